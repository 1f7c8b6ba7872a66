//! Many plugins, and memory: each figure from a process of its own, which begins with what is on the disk.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use outrigger_api::{CallRequest, FunctionQuery, JsonObject, Platform};
use outrigger_contract::{Digest, Grant};
use outrigger_engine::Runtime as _;
use outrigger_engine::Store as _;
use outrigger_engine::lifecycle::PluginState;
use outrigger_engine::store::{GrantRecord, PluginRecord, RevisionRecord};
use outrigger_host::{Host, HostOptions};
use outrigger_runtime::{WasmOptions, WasmRuntime};
use outrigger_store::SqliteStore;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::contenders::outrigger::manifest;
use crate::contenders::{ANSWER, ARGUMENTS};
use crate::guests::Guests;
use crate::measure::{Effort, Series};
use crate::report::{Report, Section, Unit, millis, status};
use crate::say;

pub const PLUGINS: usize = 1_000;
const CALLED: usize = 100;
/// A platform that was just opened has work in the background; after this long it is at rest.
const REST: Duration = Duration::from_secs(1);

/// What a process found out about itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Probe {
    open: Duration,
    list: Duration,
    functions: Duration,
    /// Of all calls.
    calls: Duration,
    /// Resident memory in KiB: at rest after opening, after the list, and after the calls.
    opened: u64,
    listed: u64,
    called: u64,
}

/// Opens a data directory, lists what is in it and calls some of it; says on standard output what that took.
pub async fn probe(data: &Path, calls: usize) -> Result<()> {
    let started = Instant::now();
    let options = HostOptions { data: data.to_owned(), search_paths: Vec::new() };
    let platform: Arc<dyn Platform> = Arc::new(Host::open(options).await?.session());
    let open = started.elapsed();
    tokio::time::sleep(REST).await;
    let opened = resident();

    let started = Instant::now();
    let plugins = platform.plugin_list().await?;
    let list = started.elapsed();
    let listed = resident();

    let started = Instant::now();
    for plugin in plugins.iter().take(calls) {
        let function = format!("{}.quote", plugin.name).parse().map_err(|error| anyhow!("{error}"))?;
        let answer = platform.call(CallRequest::new(function, JsonObject::parse(ARGUMENTS.to_owned())?)).await?;
        ensure!(answer.result.as_str() == ANSWER, "{} answers {}", plugin.name, answer.result.as_str());
    }
    let calls = started.elapsed();
    let called = resident();

    let started = Instant::now();
    platform.function_list(&FunctionQuery::default()).await?;
    let functions = started.elapsed();
    platform.close().await?;
    println!("{}", serde_json::to_string(&Probe { open, list, functions, calls, opened, listed, called })?);
    Ok(())
}

fn resident() -> u64 {
    status("/proc/self/status", "VmRSS:").unwrap_or_default()
}

pub async fn measure(guests: &Guests, effort: Effort, report: &mut Report) -> Result<()> {
    say("memory at rest");
    let empty = tempfile::tempdir()?;
    run_probe(empty.path(), 0)?;
    let idle = run_probe(empty.path(), 0)?;

    say(&format!("{PLUGINS} installed plugins"));
    let many = tempfile::tempdir()?;
    populate(many.path(), &guests.component).await?;
    let starts: Vec<Probe> = (0..effort.pick(3, 7)).map(|_| run_probe(many.path(), 0)).collect::<Result<_>>()?;
    say(&format!("calling {CALLED} of them"));
    let compiling = run_probe(many.path(), CALLED)?;
    let compiled = run_probe(many.path(), CALLED)?;

    let median = |part: fn(&Probe) -> Duration| Series::of("", starts.iter().map(part).collect()).median();
    let (open, list) = (median(|probe| probe.open), median(|probe| probe.list));
    let resident = starts.iter().map(|probe| probe.listed).max().unwrap_or_default();
    let named = |what: &str| format!("{PLUGINS} installed plugins: {what}");
    report.at_most(named("start"), open.as_secs_f64() * 1e3, 1_000.0, Unit::Millis);
    report.at_most(named("list"), list.as_secs_f64() * 1e3, 50.0, Unit::Millis);
    report.at_most(named("resident memory after start and list"), mebibytes(resident), 150.0, Unit::Mebibytes);
    let what = format!("resident memory after calling {CALLED} of them");
    report.at_most(named(&what), mebibytes(compiled.called), 150.0, Unit::Mebibytes);

    let row = |what: &str, figure: String| vec![what.to_owned(), figure];
    let memory = |kibibytes: u64| format!("{:.1} MiB", mebibytes(kibibytes));
    report.section(Section {
        title: format!("{PLUGINS} installed plugins"),
        intro: format!(
            "Copies of one component of {} KiB under different names, each a revision of its own. Times are medians of \
             {} processes.",
            guests.component.len() / 1024,
            starts.len()
        ),
        columns: vec!["", ""],
        rows: vec![
            row("start (open the data directory)", millis(open)),
            row("list the plugins", millis(list)),
            row("list all their functions", millis(median(|probe| probe.functions))),
            row(
                "resident memory after start",
                memory(starts.iter().map(|probe| probe.opened).max().unwrap_or_default()),
            ),
            row("resident memory after the list", memory(resident)),
            row(&format!("first call of {CALLED} plugins, nothing compiled yet: each"), each(compiling.calls)),
            row("resident memory after it, that of the compiler included", memory(compiling.called)),
            row(&format!("first call of {CALLED} plugins, compiled code cached: each"), each(compiled.calls)),
            row("resident memory after it", memory(compiled.called)),
        ],
    });
    report.section(Section {
        title: "Memory at rest".to_owned(),
        intro: "A platform without plugins, one second after it was opened.".to_owned(),
        columns: vec!["", ""],
        rows: vec![row("resident memory", memory(idle.opened)), row("start", millis(idle.open))],
    });
    Ok(())
}

fn each(all: Duration) -> String {
    millis(all / CALLED as u32)
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

fn run_probe(data: &Path, calls: usize) -> Result<Probe> {
    let output = Command::new(std::env::current_exe()?)
        .arg("probe")
        .arg(data)
        .arg(calls.to_string())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start this program once more")?;
    ensure!(output.status.success(), "a process that was to look at its own memory ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Writes what a thousand installations would have left behind, without making each of them.
pub async fn populate(data: &Path, component: &[u8]) -> Result<()> {
    run_probe(data, 0).context("while the data directory was made")?;
    let store = SqliteStore::open(data.join("outrigger.db")).await?;
    let runtime =
        WasmRuntime::new(WasmOptions::new(data.join("cache/compiled"))).map_err(|fault| anyhow!("{fault:?}"))?;
    let mut inspected = None;
    for number in 0..PLUGINS {
        let manifest = manifest(&format!("orders-{number:04}"), "\"fresh\"", "")?;
        let digest = Digest::of(manifest.name.as_str().as_bytes());
        let root = data.join("packages").join(digest.hex());
        std::fs::create_dir(&root)?;
        std::fs::write(root.join("peer.wasm"), component)?;
        let inspection = match &inspected {
            Some(inspection) => inspection,
            None => inspected.insert(runtime.inspect(&root, &manifest).await.map_err(|fault| anyhow!("{fault:?}"))?),
        };
        let now = OffsetDateTime::now_utc();
        let plugin = PluginRecord {
            name: manifest.name.clone(),
            active: digest,
            state: PluginState::Active,
            reason: None,
            installed_at: now,
            updated_at: now,
            generation: 0,
        };
        let inspection = inspection.clone();
        let revision = RevisionRecord { digest, manifest, inspection, source: "benches".to_owned(), installed_at: now };
        let grant = GrantRecord {
            digest,
            grant: Grant::default(),
            granted_by: "benches".to_owned(),
            granted_at: now,
        };
        store.plugin_put(&plugin, Some(&revision), Some(&grant), 0).await?;
    }
    Ok(())
}
