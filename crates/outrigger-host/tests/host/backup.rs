//! Backups: made while others write, restored, and refused where anything about them is not as it was.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use outrigger_api::{ApiError, ApiResult, BackupReport, BackupRequest, Code, KeyRequest, Platform, RecordQuery};
use outrigger_host::backup::{Progress, restore, verify};
use outrigger_host::{Host, HostOptions};
use outrigger_testkit::traps;
use serde_json::{Map, Value as Json, json};
use tar::EntryType;

use crate::bench::{Bench, call, entries, names};

async fn with_plugin() -> Bench {
    let bench = Bench::new().await;
    let package = bench.hostile("1.0.0", "");
    fs::create_dir(package.join("data")).expect("a folder");
    fs::write(package.join("data/prices.json"), "{\"eu\": 3}").expect("a file");
    // Longer than the name of an entry can be without a second header.
    let long = format!("data/{}.txt", "long".repeat(30));
    fs::write(package.join(long), "something").expect("a file");
    bench.install(&package).await.expect("it is installed");
    bench
}

fn silent() -> Progress {
    Arc::new(|_, _| {})
}

async fn create(platform: &Arc<dyn Platform>, path: &Path) -> ApiResult<BackupReport> {
    platform.backup_create(BackupRequest { path: path.to_owned(), include_secret_key: false }).await
}

async fn open(data: &Path) -> Arc<dyn Platform> {
    let options = HostOptions { data: data.to_owned(), search_paths: Vec::new() };
    Arc::new(Host::open(options).await.expect("it opens").session())
}

async fn seven(platform: &Arc<dyn Platform>) -> Json {
    call(platform, "hostile.good", json!({"number": 7})).await.expect("it answers")
}

fn all() -> RecordQuery {
    RecordQuery { limit: 100_000, ..RecordQuery::default() }
}

#[tokio::test]
async fn what_is_restored_gives_the_same_answers() {
    let bench = with_plugin().await;
    seven(&bench.platform).await;
    let request =
        KeyRequest { name: "ci".to_owned(), roles: vec!["viewer".to_owned()], scope: None, expires_in_s: None };
    bench.platform.key_create(request).await.expect("it is made");
    let runs = bench.platform.run_list(&all()).await.expect("they are listed");
    let report = create(&bench.platform, &bench.path("one.tar.gz")).await.expect("it is made");
    assert_eq!(fs::metadata(&report.path).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(report.size, fs::metadata(&report.path).expect("a file").len());
    assert_eq!(verify(&report.path, silent()).await.expect("it is whole"), report);
    assert_eq!(restore(&report.path, &bench.path("restored"), silent()).await.expect("it is restored"), report);

    assert!(!bench.path("restored/cache").exists(), "compiled code is left out");
    let restored = open(&bench.path("restored")).await;
    let verification = restored.audit_verify().await.expect("it is read");
    assert_eq!((verification.whole, &verification.head), (true, &report.audit));
    let plugins = |platform: Arc<dyn Platform>| async move { platform.plugin_list().await.expect("they are listed") };
    assert_eq!(plugins(Arc::clone(&restored)).await, plugins(Arc::clone(&bench.platform)).await);
    let keys = |platform: Arc<dyn Platform>| async move { platform.key_list().await.expect("they are listed") };
    assert_eq!(keys(Arc::clone(&restored)).await, keys(Arc::clone(&bench.platform)).await);
    assert_eq!((runs.len(), restored.run_list(&all()).await.expect("they are listed")), (1, runs));
    assert_eq!(seven(&restored).await, json!(7));
    let digest = names(&bench.path("data/packages")).remove(0);
    for file in names(&bench.path("hostile-1.0.0/data")) {
        let inside = format!("packages/{digest}/data/{file}");
        let read = |root: &str| fs::read(bench.path(root).join(&inside)).expect("a file");
        assert_eq!(read("restored"), read("data"), "{file}");
    }
}

#[tokio::test]
async fn a_backup_is_one_moment_while_others_go_on() {
    let bench = with_plugin().await;
    let (platform, path) = (Arc::clone(&bench.platform), bench.path("busy.tar.gz"));
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn(async move {
        let mut made = 0;
        while stopped.try_recv().is_err() {
            let (name, roles) = (format!("key-{made}"), vec!["viewer".to_owned()]);
            let request = KeyRequest { name, roles, scope: None, expires_in_s: None };
            platform.key_create(request).await.expect("it is made, backup or not");
            seven(&platform).await;
            made += 1;
        }
        made
    });
    let until = Instant::now() + Duration::from_secs(20);
    while bench.platform.key_list().await.expect("they are listed").len() < 3 {
        assert!(Instant::now() < until, "no keys are made");
        tokio::task::yield_now().await;
    }
    let report = create(&bench.platform, &path).await.expect("it is made");
    stop.send(()).expect("the writer waits");
    let made: usize = writer.await.expect("it writes");
    restore(&path, &bench.path("restored"), silent()).await.expect("it is restored");

    let restored = open(&bench.path("restored")).await;
    let keys = restored.key_list().await.expect("they are listed").len();
    assert!((3..=made).contains(&keys), "{keys} of {made}");
    // Each key has its entry in the log, which ends at the same moment as the table of keys does.
    let query = outrigger_api::AuditQuery { action: Some("key_create".to_owned()), limit: 1000, ..Default::default() };
    let recorded = restored.audit_list(&query).await.expect("they are listed").len();
    assert!(recorded == keys || recorded + 1 == keys, "{recorded} entries, {keys} keys");
    let known = outrigger_api::AuditQuery { before: Some(report.audit.sequence + 1), limit: 1, ..Default::default() };
    let known = bench.platform.audit_list(&known).await.expect("they are listed");
    assert_eq!(known[0].hash, report.audit.hash, "the log of the one that went on has the head of the backup in it");
    assert_eq!(seven(&restored).await, json!(7));
}

#[tokio::test]
async fn a_backup_goes_where_nothing_is_and_is_written_down_first() {
    let bench = with_plugin().await;
    let report = create(&bench.platform, &bench.path("one.tar.gz")).await.expect("it is made");
    let refused = |path: PathBuf| async { create(&bench.platform, &{ path }).await.expect_err("refused").code };
    assert_eq!(refused(report.path.clone()).await, Code::AlreadyExists);
    assert_eq!(refused(bench.path("data/inside.tar.gz")).await, Code::InvalidInput);
    assert_eq!(refused("beside.tar.gz".into()).await, Code::InvalidInput);
    for missing in ["nowhere/one.tar.gz", "no\0where/one.tar.gz", &"n".repeat(250)] {
        assert_eq!(refused(bench.path(missing)).await, Code::InvalidInput, "{missing}");
    }
    assert_eq!(entries(&bench.path("data/staging")), 0, "no copy is left");
    let partial = names(bench.folder.path()).into_iter().filter(|name| name.contains("partial")).count();
    assert_eq!(partial, 0);
    let query = outrigger_api::AuditQuery { action: Some("backup_create".to_owned()), limit: 99, ..Default::default() };
    let entries = bench.platform.audit_list(&query).await.expect("they are listed");
    let stages: Vec<_> = entries.iter().rev().map(|entry| (entry.stage.as_str(), entry.code)).collect();
    assert_eq!(stages[..3], [("intent", None), ("done", None), ("intent", None)], "{stages:?}");
    assert_eq!(stages[3], ("done", Some(Code::AlreadyExists)));
}

#[tokio::test]
async fn the_key_of_secrets_is_in_it_only_for_who_asks() {
    let bench = with_plugin().await;
    fs::write(bench.path("data/secret.key"), "the key").expect("a file");
    for (name, include_secret_key) in [("without", false), ("with", true)] {
        let path = bench.path(&format!("{name}.tar.gz"));
        let request = BackupRequest { path: path.clone(), include_secret_key };
        let report = bench.platform.backup_create(request).await.expect("it is made");
        assert_eq!(report.has_secret_key, include_secret_key);
        restore(&path, &bench.path(name), silent()).await.expect("it is restored");
        let key = fs::read_to_string(bench.path(name).join("secret.key")).ok();
        assert_eq!(key.as_deref(), include_secret_key.then_some("the key"));
    }
}

#[tokio::test]
async fn keys_that_are_not_all_in_the_file_are_not_said_to_be_in_the_backup() {
    let bench = Bench::new().await;
    let manifest = "[configuration.token]\ntype = \"string\"\nsecret = true\n";
    bench.install(&bench.hostile("1.0.0", manifest)).await.expect("it is installed");
    let plugin = "hostile".parse().expect("a name");
    let values = Map::from_iter([("token".to_owned(), json!("hunter2"))]);
    bench.platform.configuration_put(&plugin, values, 0).await.expect("it is kept");
    let ask = |name: &str, include_secret_key| {
        let path = bench.path(name);
        let platform = Arc::clone(&bench.platform);
        async move { platform.backup_create(BackupRequest { path, include_secret_key }).await }
    };
    assert!(ask("first.tar.gz", true).await.expect("the key is there").has_secret_key);
    let file = bench.path("data/secret.key");
    let right = fs::read(&file).expect("it reads");
    let not_there = |error: &ApiError| {
        assert_eq!(error.code, Code::Conflict, "{error:?}");
        assert!(error.hint.contains("OUTRIGGER_SECRET_KEY"), "{error:?}");
    };
    // As where the key is given from outside: another one in the file, or none.
    fs::write(&file, "11".repeat(32)).expect("written");
    not_there(&ask("second.tar.gz", true).await.expect_err("it is another key"));
    fs::remove_file(&file).expect("removed");
    not_there(&ask("second.tar.gz", true).await.expect_err("there is no key"));
    assert!(!bench.path("second.tar.gz").exists());
    ask("second.tar.gz", false).await.expect("the key is not asked for");

    fs::write(&file, right).expect("written");
    restore(&bench.path("first.tar.gz"), &bench.path("restored"), silent()).await.expect("it is restored");
    let restored = open(&bench.path("restored")).await;
    let token = call(&restored, "hostile.setting", json!({"key": "token"})).await.expect("it opens");
    assert_eq!(token, json!("\"hunter2\""));
}

#[tokio::test]
async fn what_is_restored_has_the_same_configuration_files() {
    let bench = Bench::new().await;
    let config = bench.path("data/config");
    fs::create_dir_all(config.join("production")).expect("folders");
    let elsewhere = bench.path("elsewhere.toml");
    fs::write(&elsewhere, "region = \"us\"\n").expect("written");
    std::os::unix::fs::symlink(&elsewhere, config.join("hostile.toml")).expect("a link");
    std::os::unix::fs::symlink(&config, config.join("production/above")).expect("a link that leads back");
    for (name, text) in [
        ("production/hostile.yml", "token: hunter2\n"),
        ("other.json", "{}"),
        ("notes.txt", "mine"),
        (".hidden.yaml", "x: 1\n"),
    ] {
        fs::write(config.join(name), text).expect("written");
    }
    let manifest = "[configuration.region]\ntype = \"string\"\ndefault = \"eu\"\n\
                    [configuration.token]\ntype = \"string\"\nsecret = true\n";
    bench.install(&bench.hostile("1.0.0", manifest)).await.expect("it is installed");
    let trust = "require = true\nunsigned = [\"hostile\"]\n";
    fs::write(bench.path("data/trust.toml"), trust).expect("written");
    let report = create(&bench.platform, &bench.path("one.tar.gz")).await.expect("it is made");
    assert_eq!(report.configuration_files, 3);
    assert_eq!(verify(&report.path, silent()).await.expect("it is whole"), report);
    restore(&report.path, &bench.path("restored"), silent()).await.expect("it is restored");
    assert_eq!(fs::read_to_string(bench.path("restored/trust.toml")).expect("it is there, too"), trust);
    let restored = bench.path("restored/config");
    for name in ["hostile.toml", "production/hostile.yml", "other.json"] {
        assert_eq!(fs::read(restored.join(name)).expect(name), fs::read(config.join(name)).expect(name));
        assert_eq!(fs::metadata(restored.join(name)).expect("a file").permissions().mode() & 0o777, 0o600);
    }
    let mut found = names(&restored);
    found.sort();
    assert_eq!(found, ["hostile.toml", "other.json", "production"]);
    let restored = open(&bench.path("restored")).await;
    let plugin = "hostile".parse().expect("a name");
    let values =
        async |platform: &Arc<dyn Platform>| platform.configuration_fetch(&plugin).await.expect("it is read").effective;
    assert_eq!(values(&restored).await, values(&bench.platform).await);
    let region = async |platform: &Arc<dyn Platform>| call(platform, "hostile.setting", json!({"key": "region"})).await;
    assert_eq!(region(&restored).await.expect("it answers"), json!("\"us\""));
    assert_eq!(region(&bench.platform).await.expect("it answers"), json!("\"us\""));
}

#[tokio::test]
async fn trust_that_cannot_be_read_is_not_left_out() {
    let bench = with_plugin().await;
    let (trust, backup) = (bench.path("data/trust.toml"), bench.path("one.tar.gz"));
    std::os::unix::fs::symlink(bench.path("nowhere"), &trust).expect("a link");
    let error = create(&bench.platform, &backup).await.expect_err("who is trusted would be lost");
    assert_eq!(error.code, Code::Io);
    assert!(error.message.contains("trust.toml cannot be read"), "{}", error.message);
    assert!(!backup.exists());
    fs::remove_file(&trust).expect("it is removed");
    create(&bench.platform, &backup).await.expect("nobody is trusted");
}

#[test]
fn s22_only_a_regular_file_is_read_as_a_backup() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("one.tar.gz");
    let told = traps::refusals(&path, |path| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let error = runtime.block_on(verify(path, silent())).expect_err("it is refused");
        assert_eq!(error.code, Code::Io, "{error}");
        error.message
    });
    let expected = ["a pipe", "a device"]
        .map(|kind| format!("{} cannot be read: it is {kind}, not a regular file", path.display()));
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_backup_with_one_wrong_byte_is_refused() {
    let bench = with_plugin().await;
    let report = create(&bench.platform, &bench.path("one.tar.gz")).await.expect("it is made");
    let whole = fs::read(&report.path).expect("a file");
    let damaged = bench.path("damaged.tar.gz");
    let spread = (0..whole.len()).step_by(whole.len() / 150);
    for place in spread.chain(0..12).chain(whole.len() - 12..whole.len()) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0xff;
        fs::write(&damaged, bytes).expect("it is written");
        let error = verify(&damaged, silent()).await.expect_err("one byte is wrong");
        assert_eq!(error.code, Code::InvalidBackup, "byte {place}: {}", error.message);
    }
    for length in [0, 5, 10, whole.len() / 2, whole.len() - 1] {
        fs::write(&damaged, &whole[..length]).expect("it is written");
        refused(&bench, &damaged, "cut off").await;
    }
    fs::write(&damaged, [&*whole, b"x"].concat()).expect("it is written");
    refused(&bench, &damaged, "there is data after its end").await;
    assert_eq!(names(bench.folder.path()).into_iter().filter(|name| name.starts_with('.')).count(), 0);
}

/// One entry of the archive.
#[derive(Clone)]
struct Entry {
    path: String,
    kind: EntryType,
    content: Vec<u8>,
}

fn unpack(path: &Path) -> Vec<Entry> {
    let mut archive = tar::Archive::new(GzDecoder::new(std::io::BufReader::new(File::open(path).expect("a file"))));
    let entry = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.expect("an entry");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("it is read");
        let path = entry.path().expect("a path").display().to_string();
        Entry { path, kind: EntryType::Regular, content }
    };
    archive.entries().expect("entries").map(entry).collect()
}

fn pack(entries: &[Entry], to: &Path) {
    let mut archive = tar::Builder::new(Vec::new());
    for Entry { path, kind, content } in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o600);
        header.set_size(content.len() as u64);
        if path.len() < 100 {
            // As it stands: the builder would refuse what these tests are about.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            if *kind == EntryType::Symlink {
                header.set_link_name("/etc/passwd").expect("it fits");
            }
            header.set_cksum();
            archive.append(&header, &**content).expect("it is added");
        } else {
            archive.append_data(&mut header, path, &**content).expect("it is added");
        }
    }
    compress(&archive.into_inner().expect("it is finished"), to);
}

fn compress(bytes: &[u8], to: &Path) {
    let mut compressed = GzEncoder::new(File::create(to).expect("a file"), Compression::new(6));
    compressed.write_all(bytes).and_then(|()| compressed.finish().map(drop)).expect("it is written");
}

/// It is neither restored nor found whole, and nothing of it is left.
async fn refused(bench: &Bench, backup: &Path, about: &str) {
    let check = |error: ApiError| assert_eq!(error.code, Code::InvalidBackup, "{about}: {}", error.message);
    check(verify(backup, silent()).await.expect_err(about));
    check(restore(backup, &bench.path("restored"), silent()).await.expect_err(about));
    assert!(!bench.path("restored").exists(), "{about}");
    let left: Vec<_> = names(bench.folder.path()).into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(left.is_empty(), "{about}: {left:?}");
}

/// These have a checksum that is right: somebody made them so.
#[tokio::test]
async fn a_backup_that_is_not_as_its_list_says_is_refused() {
    type Change = fn(&mut Vec<Entry>);
    fn list(entries: &mut [Entry], from: &str, to: &str) {
        let text = String::from_utf8(entries[0].content.clone()).expect("it is text");
        assert!(text.contains(from), "{from} is not in {text}");
        entries[0].content = text.replacen(from, to, 1).into_bytes();
    }
    fn flip(entry: &mut Entry) {
        let middle = entry.content.len() / 2;
        entry.content[middle] ^= 1;
    }
    fn push(entries: &mut Vec<Entry>, path: &str, kind: EntryType) {
        entries.push(Entry { path: path.to_owned(), kind, content: Vec::new() });
    }
    let changes: [(&str, Change); 17] = [
        ("a byte of the database", |entries| flip(&mut entries[1])),
        ("a byte of a package", |entries| flip(&mut entries[2])),
        ("the last byte is gone", |entries| assert!(entries[2].content.pop().is_some())),
        ("one more byte", |entries| entries[2].content.push(0)),
        ("a file is missing", |entries| drop(entries.pop())),
        ("the database is missing", |entries| drop(entries.remove(1))),
        ("a file twice", |entries| entries.push(entries[2].clone())),
        ("in another order", |entries| entries.swap(2, 3)),
        ("a file more", |entries| push(entries, "server.lock", EntryType::Regular)),
        ("a path that leads out", |entries| push(entries, "../out", EntryType::Regular)),
        ("a link", |entries| push(entries, "packages/link", EntryType::Symlink)),
        ("a link in the place of a file", |entries| entries[2].kind = EntryType::Symlink),
        ("a folder", |entries| push(entries, "packages/", EntryType::Directory)),
        ("no list", |entries| drop(entries.remove(0))),
        ("a list of paths that lead out", |entries| {
            list(entries, "outrigger.db", "../outrigger");
            entries[1].path = "../outrigger".to_owned();
        }),
        ("of another format", |entries| list(entries, "\"format\": 3", "\"format\": 4")),
        ("of another schema", |entries| list(entries, "\"schema\": ", "\"schema\": 1")),
    ];
    let bench = with_plugin().await;
    let report = create(&bench.platform, &bench.path("one.tar.gz")).await.expect("it is made");
    let (entries, changed) = (unpack(&report.path), bench.path("changed.tar.gz"));
    assert_eq!((entries[0].path.as_str(), entries[1].path.as_str()), ("backup.json", "outrigger.db"));
    pack(&entries, &changed);
    verify(&changed, silent()).await.expect("packed anew, and nothing else");
    let mut former = entries.clone();
    for (present, earlier) in [("3", "2"), ("2", "1")] {
        list(&mut former, &format!("\"format\": {present}"), &format!("\"format\": {earlier}"));
        pack(&former, &changed);
        verify(&changed, silent()).await.expect("one from before there were configuration files or `trust.toml` in it");
    }
    for (about, change) in changes {
        let mut entries = entries.clone();
        change(&mut entries);
        pack(&entries, &changed);
        refused(&bench, &changed, about).await;
    }
    // A database that fits its digest, with an audit log that ends elsewhere.
    let mut cut = entries.clone();
    let head = format!("\"sequence\": {}", report.audit.sequence);
    list(&mut cut, &head, &format!("\"sequence\": {}", report.audit.sequence + 1));
    pack(&cut, &changed);
    refused(&bench, &changed, "another head").await;
    // Long runs of nothing, as a bomb has them: not one byte more than is listed is written.
    let mut bomb = entries;
    bomb[2].content = vec![0; 64 << 20];
    pack(&bomb, &changed);
    refused(&bench, &changed, "a bomb").await;
}

#[tokio::test]
async fn a_backup_is_never_put_over_anything() {
    let bench = with_plugin().await;
    let report = create(&bench.platform, &bench.path("one.tar.gz")).await.expect("it is made");
    let taken = bench.path("taken");
    fs::create_dir(&taken).expect("a folder");
    fs::write(taken.join("mine"), "mine").expect("a file");
    fs::write(bench.path("file"), "mine").expect("a file");
    for place in [taken.clone(), bench.path("file"), bench.path("data"), "/".into()] {
        let error = restore(&report.path, &place, silent()).await.expect_err("something is there");
        assert_eq!(error.code, Code::AlreadyExists, "{}", place.display());
    }
    assert_eq!(names(&taken), ["mine"]);
    let empty = bench.path("empty");
    fs::create_dir(&empty).expect("a folder");
    restore(&report.path, &empty, silent()).await.expect("nothing is there");
    assert_eq!(seven(&open(&empty).await).await, json!(7));
    let missing = verify(&bench.path("missing.tar.gz"), silent()).await.expect_err("it is not there");
    assert_eq!(missing.code, Code::NotFound);
}

#[tokio::test]
async fn a_restoration_that_is_broken_off_leaves_nothing() {
    let bench = with_plugin().await;
    let report = create(&bench.platform, &bench.path("one.tar.gz")).await.expect("it is made");
    let (reached, half_way) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = parking_lot::Mutex::new(may_go_on);
    let progress: Progress = Arc::new(move |done, total| {
        if done * 2 > total && reached.send(()).is_ok() {
            // Ends too when the other side is gone.
            let _ = may_go_on.lock().recv();
        }
    });
    let (backup, data) = (report.path.clone(), bench.path("restored"));
    let work = tokio::spawn(async move { restore(&backup, &data, progress).await });
    tokio::task::spawn_blocking(move || half_way.recv_timeout(Duration::from_secs(20)))
        .await
        .expect("it waits")
        .expect("it comes half-way");
    // A process that died here would leave this.
    assert!(!bench.path("restored").exists(), "nothing is in place while it is not whole");
    work.abort();
    assert!(work.await.expect_err("it was broken off").is_cancelled());
    drop(go_on);
    let until = Instant::now() + Duration::from_secs(20);
    while names(bench.folder.path()).iter().any(|name| name.contains("restore")) {
        assert!(Instant::now() < until, "{:?}", names(bench.folder.path()));
        tokio::task::yield_now().await;
    }
    restore(&report.path, &bench.path("restored"), silent()).await.expect("it is restored");
}
