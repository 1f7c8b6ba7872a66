//! A storm of links: twenty guests create folders, symbolic links and hard links, rename and exchange them, and read,
//! write and set times through them, in nested folders that were granted to several guests. Beside the granted folders
//! is a canary tree. No byte of it may be read or written, and none of its times changed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::guests::storm::{CANARY, component};
use crate::server::Server;
use crate::table::Table;
use crate::{Options, say};

/// The grants below the tree: path, and whether for writing.
const GRANTS: [&[(&str, bool)]; 10] = [
    &[("outer/", true)],
    &[("outer/inner/", true)],
    &[("outer/", true), ("outer/inner/", true)],
    &[("outer/inner/deep/", false), ("other/", true)],
    &[("outer/file.txt", false)],
    &[("outer/inner/file.txt", false), ("other/", true)],
    &[("other/", true), ("outer/", false)],
    &[("kept/", false), ("outer/", true)],
    &[("kept/", false), ("outer/inner/deep/", true)],
    &[("outer/inner/", true), ("other/inner/", true), ("kept/file.txt", false)],
];

/// Names that guests use, relative to any folder. There are few, so that guests use the same ones; repeated names are used
/// more often.
const NAMES: [&str; 20] = [
    "inner",
    "inner",
    "inner",
    "deep",
    "deep",
    "file.txt",
    "file.txt",
    "secret",
    "secret",
    "a",
    "a/b",
    "inner/file.txt",
    "inner/deep",
    "inner/secret",
    "nested/secret",
    "a/secret",
    "a/canary/secret",
    "../canary/secret",
    "inner/../../canary/secret",
    "a/../b",
];
/// Granted single files are opened by their complete path, from the plugin's root.
const WHOLE: [&str; 4] = ["outer/file.txt", "outer/inner/file.txt", "kept/file.txt", "canary/secret"];

pub async fn run(options: &Options, place: &Path, table: &mut Table) -> Result<()> {
    let tree = place.join("tree");
    furnish(&tree)?;
    let canaries = [tree.join("canary"), tree.join("kept")];
    let before: Vec<_> = canaries.iter().map(|folder| snapshot(folder)).collect::<Result<_>>()?;
    let mut server = Server::start(&options.program, &place.join("server"), &[])?;
    let component = component();
    let mut guests = Vec::new();
    for number in 0..20 {
        let name = format!("storm-{number:02}");
        // The last ten have write access to one folder less, and share the others with the first ten.
        let granted = GRANTS[number % GRANTS.len()];
        let folder = server.package(&name, "1.0.0", &component, &permissions(&tree, granted))?;
        match server.install_folder(&folder)? {
            None => guests.push((name, folder)),
            Some(refusal) => say(&format!("{name} is refused: {}", refusal.lines().last().unwrap_or_default())),
        }
    }
    table.at_least("storm: guests that run", guests.len() as u64, 10, "guests");
    let lasts = if options.full { 60 } else { 8 };
    say(&format!("{} guests for {lasts} s", guests.len()));
    let deadline = Instant::now() + Duration::from_secs(lasts);
    let (names, targets) = (names(&tree), targets(&tree));
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for (number, (name, _)) in (0_u32..).zip(&guests) {
        let (client, name) = (server.administrator()?, name.clone());
        let arguments = json!({"names": names, "targets": targets, "rounds": 300});
        tasks.push(tokio::spawn(guest(client, name, arguments, number, deadline, Arc::clone(&stop))));
    }
    // In the meantime, some guests are reloaded, and the host restores the granted folders.
    let administrator = server.administrator()?;
    let mut round = 0;
    while Instant::now() < deadline {
        let (name, _) = &guests[round % guests.len()];
        // A guest without its folder may fail to start; this is no leak.
        let _ = administrator.post(&format!("plugins/{name}/reload"), &json!({})).await;
        round += 1;
        // Rarely enough that replacements by guests are opened before.
        if round % 10 == 0 {
            mend(&tree);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut total = Tally::default();
    for task in tasks {
        let tally = task.await.context("a guest's caller panicked")?;
        total.calls += tally.calls;
        total.succeeded += tally.succeeded;
        total.leaks += tally.leaks;
        for (code, count) in tally.codes {
            *total.codes.entry(code).or_default() += count;
        }
    }
    say(&format!("{total:?}"));
    server.alive()?;
    table.at_least("storm: operations that succeeded", total.succeeded, 1_000, "operations");
    table.equal("storm: canary files read by guests", total.leaks, 0);
    for (folder, before) in canaries.iter().zip(before) {
        let after = snapshot(folder)?;
        let changed: Vec<_> = before
            .iter()
            .filter(|(path, found)| after.get(*path) != Some(*found))
            .map(|(path, _)| path.display().to_string())
            .chain(
                after.keys().filter(|path| !before.contains_key(*path)).map(|path| format!("new: {}", path.display())),
            )
            .collect();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        table.holds(
            format!("storm: the tree `{name}`, its bytes, inodes, links and times"),
            "unchanged",
            if changed.is_empty() { "unchanged".to_owned() } else { changed.join(", ") },
            changed.is_empty(),
        );
    }
    let logs = administrator.get("logs?limit=1000").await?;
    let said = String::from_utf8_lossy(&logs.body).into_owned() + &server.log();
    table.holds(
        "storm: the log has nothing of the canary",
        "nothing",
        if said.contains(CANARY) { "something" } else { "nothing" },
        !said.contains(CANARY),
    );
    Ok(())
}

/// Creates the tree, with granted and other folders.
fn furnish(tree: &Path) -> Result<()> {
    for folder in ["outer/inner/deep", "other/inner", "kept/nested", "canary/nested/deeper", "canary/inner"] {
        std::fs::create_dir_all(tree.join(folder))?;
    }
    for file in ["outer/file.txt", "outer/inner/file.txt", "outer/inner/deep/file.txt", "other/file.txt"] {
        std::fs::write(tree.join(file), "an ordinary file\n")?;
    }
    for file in ["secret", "file.txt", "nested/secret", "nested/deeper/secret", "inner/secret", "inner/file.txt"] {
        std::fs::write(tree.join("canary").join(file), format!("{CANARY} {file} {}\n", "0123456789".repeat(30)))?;
    }
    for file in ["secret", "file.txt", "nested/secret"] {
        std::fs::write(tree.join("kept").join(file), "may be read, not written\n")?;
    }
    Ok(())
}

/// Restores renamed or removed folders, so that granted paths exist. Never through a link, because this would write to
/// the canary.
fn mend(tree: &Path) {
    for folder in ["outer/inner", "other/inner"] {
        let place = tree.join(folder);
        if std::fs::symlink_metadata(&place).is_ok_and(|found| !found.is_dir()) {
            // A guest may be faster; then it is restored the next time.
            let _ = std::fs::remove_file(&place);
        }
        let _ = std::fs::create_dir(&place);
    }
    // Removes the object of this name; a link is removed itself. The spare one has a name that no guest knows.
    let _ = std::fs::write(tree.join("outer/spare"), "an ordinary file\n");
    let _ = std::fs::rename(tree.join("outer/spare"), tree.join("outer/file.txt"));
}

fn permissions(tree: &Path, granted: &[(&str, bool)]) -> String {
    let grants = granted.iter().map(|(path, write)| {
        let access = if *write { "write" } else { "read" };
        format!("{{ path = \"{}/{path}\", access = \"{access}\" }}", tree.display())
    });
    format!("[permissions]\nfiles = [{}]\n", grants.collect::<Vec<_>>().join(", "))
}

/// The link targets: outside, the canary by every possible path, and each other.
fn targets(tree: &Path) -> Vec<String> {
    let mut targets =
        ["../canary", "../../canary", "../canary/secret", "../../canary/secret", "../kept/file.txt", "..", "a"]
            .map(str::to_owned)
            .to_vec();
    targets.push(tree.join("canary").display().to_string());
    targets.push(format!("/proc/self/root{}", tree.join("canary").display()));
    targets
}

/// All names that guests use.
fn names(tree: &Path) -> Vec<String> {
    let whole = WHOLE.map(|path| tree.join(path).display().to_string().trim_start_matches('/').to_owned());
    NAMES.map(str::to_owned).into_iter().chain(whole).collect()
}

#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    succeeded: u64,
    leaks: u64,
    codes: BTreeMap<String, u64>,
}

async fn guest(
    client: Client,
    name: String,
    mut arguments: Json,
    number: u32,
    deadline: Instant,
    stop: Arc<AtomicBool>,
) -> Tally {
    let mut tally = Tally::default();
    let mut seed = number.wrapping_mul(2_654_435_761) | 1;
    while Instant::now() < deadline && !stop.load(Ordering::Relaxed) {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        arguments["seed"] = seed.into();
        let Ok(answer) = client.call(&format!("{name}.storm"), arguments.to_string().into(), None).await else {
            continue;
        };
        let result = &answer.json()["result"];
        tally.calls += 1;
        tally.succeeded += result[0].as_u64().unwrap_or_default();
        tally.leaks += result[1].as_u64().unwrap_or_default();
        // No response may contain the canary.
        tally.leaks += u64::from(String::from_utf8_lossy(&answer.body).contains(CANARY));
        *tally.codes.entry(answer.code()).or_default() += 1;
    }
    tally
}

/// The state of a file or folder: content, inode, mode, links, and modification time.
type Found = (Vec<u8>, u64, u32, u64, (i64, i64));

fn snapshot(folder: &Path) -> Result<BTreeMap<PathBuf, Found>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let found = std::fs::symlink_metadata(&path).with_context(|| format!("{} is gone", path.display()))?;
        let content = if found.is_file() { Sha256::digest(std::fs::read(&path)?).to_vec() } else { Vec::new() };
        all.insert(
            path.clone(),
            (content, found.ino(), found.mode(), found.nlink(), (found.mtime(), found.mtime_nsec())),
        );
        if found.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        }
    }
    Ok(all)
}
