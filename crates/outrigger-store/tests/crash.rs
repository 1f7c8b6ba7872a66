//! `kill -9` at any moment loses no finished write and leaves a database that opens.
//!
//! The test runs its own binary a second time as a writer that says of each write when the store has acknowledged it,
//! kills it in the middle, and holds the database to what was said.
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outrigger_contract::PluginName;
use outrigger_engine::Store;
use outrigger_engine::audit::AuditEntry;
use outrigger_engine::store::{
    AuditStore, ConfigurationStore, Expected, GrantRecord, Keeps, RecordBatch, RecordFilter, RevisionRecord,
    StateChange, StateWrite, Switch, UpdateStore,
};
use outrigger_store::SqliteStore;
use outrigger_testkit::store_suite::audit::read_chain;
use outrigger_testkit::store_suite::{configuration_of, entry, line, moment, name, plugin, revision, run, statistics};
use serde_json::json;

/// Set for the writer: the database, and the number of its first write.
const DATABASE: &str = "OUTRIGGER_CRASH_DATABASE";
const FIRST: &str = "OUTRIGGER_CRASH_FIRST";

/// Entries of the audit log that are appended together: so many that it takes several statements.
const AUDITED: u32 = 11;

const ROUNDS: u64 = 25;
/// Numbers are far enough apart that no writer reaches those of the next one.
const STRIDE: u64 = 1_000_000;

/// The subject of runs and log lines.
fn steady() -> PluginName {
    name("steady")
}

fn numbered(number: u64) -> PluginName {
    name(&format!("plugin-{number}"))
}

/// Entries of one append, which name it.
fn audited(kind: &str, number: u64) -> Vec<AuditEntry> {
    let of_one = |part: u32| AuditEntry { resource: format!("{kind}-{number}.{part}"), ..entry(number) };
    (0..AUDITED).map(of_one).collect()
}

fn granted(revision: &RevisionRecord, number: u64) -> GrantRecord {
    GrantRecord {
        digest: revision.digest,
        grant: outrigger_contract::Grant::default(),
        granted_by: "the writer".to_owned(),
        granted_at: moment(number),
    }
}

/// Version 2.0.0 in the place of 1.0.0, with another configuration and another key in its state.
fn switched(name: &PluginName, number: u64) -> Switch {
    let revision = revision(name, "2.0.0");
    let changes = [("old", None), ("new", Some(b"kept".to_vec()))].map(|(key, value)| (key.to_owned(), value));
    Switch {
        plugin: plugin(name, &revision),
        expected: 1,
        grant: Some(granted(&revision, number)),
        configuration: Some(configuration_of(2, json!({ "moved": number }))),
        state: Some(StateChange { expected: Some(1), changes: changes.into() }),
        keeps: Keeps::Predecessor,
        revision,
    }
}

/// A switch is whole or was not made.
async fn verify_switch(store: &SqliteStore, name: &PluginName, version: &str) {
    let configured = store.configuration_fetch(name).await.expect("reads").map_or(0, |present| present.revision);
    let keys = store.state_keys(name, "", 10).await.expect("lists");
    let former = store.predecessor_state(name).await.expect("reads");
    let found = (configured, keys, store.predecessor_fetch(name).await.expect("reads").is_some(), former.len());
    if version == "2.0.0" {
        assert_eq!(found, (2, vec!["new".to_owned()], true, 1), "{name}");
    } else {
        assert!(found.0 < 2 && !found.1.contains(&"new".to_owned()) && !found.2 && found.3 == 0, "{name}: {found:?}");
    }
}

/// The writer. Run as a test of its own it has nothing to do.
#[tokio::test]
async fn writer() {
    let (Ok(path), Ok(first)) = (std::env::var(DATABASE), std::env::var(FIRST)) else { return };
    let store = SqliteStore::open(path).await.expect("the database opens");
    let acknowledge = |what: &str, number: u64| {
        // A single write, so that the line is complete or missing.
        std::io::stdout().lock().write_all(format!("\nack {what} {number}\n").as_bytes()).expect("the test listens");
    };
    if store.plugin_fetch(&steady()).await.expect("the store works").is_none() {
        outrigger_testkit::store_suite::put(&store, &steady()).await;
    }
    acknowledge("open", 0);
    let first: u64 = first.parse().expect("a number");
    for number in first.. {
        let plugin_name = numbered(number);
        let revision = revision(&plugin_name, "1.0.0");
        let grant = granted(&revision, number);
        store.plugin_put(&plugin(&plugin_name, &revision), Some(&revision), Some(&grant), 0).await.expect("put");
        acknowledge("plugin", number);

        let values = configuration_of(1, json!({ "number": number }));
        store.configuration_put(&plugin_name, &values).await.expect("configured");
        acknowledge("configuration", number);

        let kept = StateWrite { key: "old", value: b"kept", expected: Expected::Nothing };
        store.state_set(&plugin_name, kept, u64::MAX).await.expect("set");
        store.plugin_switch(&switched(&plugin_name, number)).await.expect("switched");
        acknowledge("switch", number);

        let key = format!("key-{number}");
        let value = vec![b'v'; usize::try_from(number % 9_000).expect("small")];
        let write = StateWrite { key: &key, value: &value, expected: Expected::Nothing };
        store.state_set(&steady(), write, u64::MAX).await.expect("set");
        acknowledge("state", number);

        let runs = (0..20).map(|run_number| run(&steady(), number * 100 + run_number)).collect();
        let logs = (0..20).map(|_| line(&steady(), moment(number), &format!("batch {number}"))).collect();
        let batch = RecordBatch {
            runs,
            logs,
            statistics: vec![statistics(&steady(), "echo", 20)],
            audit: audited("batch", number),
            ..RecordBatch::default()
        };
        store.record_append(&batch).await.expect("appended");
        acknowledge("records", number);

        let head = store.audit_append(&audited("append", number)).await.expect("appended");
        // The place in the chain, by which a record is found again.
        acknowledge(&format!("audit-{}", head.sequence), number);

        if number % 3 == 0 {
            store.plugin_delete(&plugin_name).await.expect("removed");
            acknowledge("removal", number);
        }
    }
}

/// Runs a writer and kills it `after` its first sign of life, or its start. Answers with what it acknowledged.
fn write_and_kill(path: &Path, first: u64, from_the_start: bool, after: Duration) -> Vec<(String, u64)> {
    let mut writer = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "writer", "--nocapture"])
        .env(DATABASE, path)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test can be run again");
    let output = writer.stdout.take().expect("it is piped");
    let (send, receive) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for text in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(("ack", text)) = text.split_once(' ')
                && let Some((what, number)) = text.split_once(' ')
            {
                let number = number.parse().expect("lines are written whole");
                if send.send((what.to_owned(), number)).is_err() {
                    return;
                }
            }
        }
    });
    let mut acknowledged = Vec::new();
    if !from_the_start {
        acknowledged.push(receive.recv_timeout(Duration::from_secs(30)).expect("the writer begins"));
    }
    let deadline = Instant::now() + after;
    while let Ok(one) = receive.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        acknowledged.push(one);
    }
    writer.kill().expect("it is our child");
    let status = writer.wait().expect("it is our child");
    assert!(!status.success() && status.code().is_none(), "the writer ended by itself: {status}");
    reader.join().expect("the reader does not panic");
    acknowledged.extend(receive);
    acknowledged
}

/// The required contents: all acknowledged writes, each complete.
async fn verify(path: &Path, acknowledged: &[(String, u64)]) {
    let store = SqliteStore::open(path).await.expect("the database opens");
    store.check().await.expect("the database is whole");

    let removed = |number: u64| number.is_multiple_of(3);
    for (what, number) in acknowledged {
        let plugin_name = numbered(*number);
        let present = match what.as_str() {
            "plugin" => removed(*number) || store.plugin_fetch(&plugin_name).await.expect("reads").is_some(),
            "configuration" => {
                removed(*number) || store.configuration_fetch(&plugin_name).await.expect("reads").is_some()
            }
            "state" => {
                let value = store.state_get(&steady(), &format!("key-{number}")).await.expect("reads");
                value.is_some_and(|value| value.len() as u64 == number % 9_000)
            }
            "switch" => {
                let record = store.plugin_fetch(&plugin_name).await.expect("reads");
                record.map_or(removed(*number), |record| record.active == revision(&plugin_name, "2.0.0").digest)
            }
            "records" => true,
            _ if what.starts_with("audit-") => true,
            "removal" => store.plugin_fetch(&plugin_name).await.expect("reads").is_none(),
            _ => store.plugin_fetch(&steady()).await.expect("reads").is_some(),
        };
        assert!(present, "{what} {number} was acknowledged and is lost");
    }

    let plugins = store.plugin_list().await.expect("reads");
    for (plugin, summary) in &plugins {
        if plugin.name != steady() {
            verify_switch(&store, &plugin.name, &summary.version.to_string()).await;
        }
        assert!(
            store.revision_fetch(&plugin.active).await.expect("reads").is_some(),
            "{} has no revision",
            plugin.name
        );
        assert!(store.grant_fetch(&plugin.active).await.expect("reads").is_some(), "{} has no grant", plugin.name);
    }
    let everything = RecordFilter { limit: u32::MAX, ..RecordFilter::default() };
    let mut runs: BTreeMap<u64, u64> = BTreeMap::new();
    for run in store.run_list(&everything).await.expect("reads") {
        let number: u64 = run.id.to_string().trim_start_matches("01JD").parse().expect("made by the writer");
        *runs.entry(number / 100).or_default() += 1;
    }
    let mut logs: BTreeMap<u64, u64> = BTreeMap::new();
    for line in store.log_list(&everything).await.expect("reads") {
        let number = line.message.trim_start_matches("batch ").parse().expect("made by the writer");
        *logs.entry(number).or_default() += 1;
    }
    assert_eq!(runs, logs, "runs and log lines of one batch");
    assert!(runs.values().all(|count| *count == 20), "a batch is whole or not there");
    let recorded = acknowledged.iter().filter(|(what, _)| what == "records");
    for (_, number) in recorded {
        assert!(runs.contains_key(number), "the records {number} were acknowledged and are lost");
    }
    let calls: u64 = store.statistics_list(None).await.expect("reads").iter().map(|row| row.counters["calls"]).sum();
    assert_eq!(calls, runs.values().sum::<u64>(), "statistics are of the same transaction as their runs");
    verify_audit(&store, acknowledged, &runs.keys().copied().collect()).await;
    store.close().await;
}

/// The chain is whole, each append is in it whole or not at all, and those that were acknowledged are where they were.
async fn verify_audit(store: &SqliteStore, acknowledged: &[(String, u64)], batches: &BTreeSet<u64>) {
    let records = read_chain(store, 1_000).await;
    let resources: Vec<String> =
        records.iter().map(|record| record.entry().expect("written by the writer").resource).collect();
    let mut found = BTreeSet::new();
    let together = usize::try_from(AUDITED).expect("few");
    for part in resources.chunks(together) {
        let (append, _) = part[0].rsplit_once('.').expect("made by the writer");
        let whole: Vec<String> = (0..AUDITED).map(|number| format!("{append}.{number}")).collect();
        assert_eq!(part, whole, "an append is whole or not there");
        assert!(found.insert(append.to_owned()), "{append} is there twice");
    }
    for (what, number) in acknowledged {
        let Some(sequence) = what.strip_prefix("audit-") else { continue };
        let last = usize::try_from(sequence.parse::<u64>().expect("a number")).expect("few");
        let resource = resources.get(last - 1).unwrap_or_else(|| panic!("{what} {number} is lost"));
        assert_eq!(*resource, format!("append-{number}.{}", AUDITED - 1));
    }
    let of_batches = found.iter().filter_map(|append| append.strip_prefix("batch-"));
    let of_batches: BTreeSet<u64> = of_batches.map(|number| number.parse().expect("a number")).collect();
    assert_eq!(of_batches, *batches, "entries are of the same transaction as the runs beside them");
}

/// Moments that differ from one run of the test to the next.
fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(below) % below
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path: PathBuf = directory.path().join("outrigger.db");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let after = Duration::from_millis(random(200));
        let path_of_writer = path.clone();
        let more =
            tokio::task::spawn_blocking(move || write_and_kill(&path_of_writer, (round + 1) * STRIDE, false, after));
        let more = more.await.expect("the round ends");
        verify(&path, &more).await;
        acknowledged.extend(more);
    }
    // Data that existed once still exists after all later kills.
    verify(&path, &acknowledged).await;
    let audited = acknowledged.iter().filter(|(what, _)| what.starts_with("audit-")).count();
    assert!(audited > 10, "only {audited} appends to the audit log: this has shown nothing");
    assert!(acknowledged.len() > 100, "only {} writes: this has shown nothing", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_the_database_is_made_leaves_one_that_opens() {
    for _ in 0..15 {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("outrigger.db");
        let after = Duration::from_micros(random(40_000));
        let path_of_writer = path.clone();
        let writing = tokio::task::spawn_blocking(move || write_and_kill(&path_of_writer, STRIDE, true, after));
        verify(&path, &writing.await.expect("the round ends")).await;
    }
}
