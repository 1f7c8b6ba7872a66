//! A disk that is full for a while: acknowledged writes are kept, other writes are refused, and the store resumes by
//! itself when there is space again.
#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outrigger_contract::Code;
use outrigger_engine::Store;
use outrigger_engine::jobs::{JobRecord, JobState};
use outrigger_engine::store::{
    AccessStore, AuditStore, Expected, JobStore, StateOutcome, StateWrite, StoreError, WriteFaultKind,
};
use outrigger_store::{LEAST_RESERVE, SqliteStore};
use outrigger_testkit::disk::{FaultyDisk, SmallDisk};
use outrigger_testkit::store_suite::audit::read_chain;
use outrigger_testkit::store_suite::{entry, job, moment, name, put};
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{ConnectOptions, Connection, Executor};

const DEADLINE: Duration = Duration::from_secs(30);

/// Writes a value of this size under a new key.
async fn write(store: &SqliteStore, key: &str, bytes: usize) -> Result<(), StoreError> {
    let value = vec![b'v'; bytes];
    let write = StateWrite { key, value: &value, expected: Expected::Anything };
    let outcome = store.state_set(&name("steady"), write, u64::MAX).await?;
    assert_eq!(outcome, StateOutcome::Written);
    Ok(())
}

/// Begins a write that is then refused: the transaction is dropped.
async fn begin_and_roll_back(store: &SqliteStore) {
    let write = StateWrite { key: "first", value: b"other", expected: Expected::Value(b"never") };
    if let Ok(outcome) = store.state_set(&name("steady"), write, u64::MAX).await {
        assert_eq!(outcome, StateOutcome::Changed);
    }
}

/// Writes until one is acknowledged.
async fn write_until_it_is_kept(store: &SqliteStore, key: &str) {
    let deadline = Instant::now() + DEADLINE;
    while let Err(error) = write(store, key, 100).await {
        assert!(Instant::now() < deadline, "it does not go on by itself: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The data that another process would see.
async fn present(path: &Path, keys: &[String]) {
    let other = SqliteStore::open(path).await.expect("it opens");
    for key in keys {
        assert!(
            other.state_get(&name("steady"), key).await.expect("it reads").is_some(),
            "{key} was acknowledged and is lost"
        );
    }
    other.check().await.expect("it is whole");
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_after_a_full_disk_no_write_is_acknowledged_that_is_not_kept() {
    let Some(disk) = SmallDisk::mount(4 << 20) else { return };
    let path = disk.path().join("outrigger.db");
    let store = SqliteStore::open(&path).await.expect("it opens");
    put(&store, &name("steady")).await;
    write(&store, "first", 10).await.expect("there is room");
    let mut acknowledged = vec!["first".to_owned()];
    for round in 0..5 {
        let filler = disk.fill();
        for number in 0..40 {
            let key = format!("full-{round}-{number}");
            if write(&store, &key, 30_000).await.is_ok() {
                acknowledged.push(key);
            }
            begin_and_roll_back(&store).await;
        }
        drop(filler);
        for number in 0..5 {
            let key = format!("after-{round}-{number}");
            write_until_it_is_kept(&store, &key).await;
            acknowledged.push(key);
        }
        present(&path, &acknowledged).await;
    }
    store.close().await;
    present(&path, &acknowledged).await;
}

/// A disk with space for the reserve, the log, and a database.
const LARGER_DISK: u64 = 3 * LEAST_RESERVE;

/// A store with reserved disk space.
async fn with_reserve(disk: &SmallDisk) -> SqliteStore {
    let store =
        SqliteStore::open_with_reserve(disk.path().join("outrigger.db"), Some(LEAST_RESERVE)).await.expect("it opens");
    put(&store, &name("steady")).await;
    write(&store, "first", 10).await.expect("there is room");
    store
}

/// Waits until the condition holds.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Writes until the disk is full. All acknowledged writes exist.
async fn exhaust(store: &SqliteStore) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0..10_000 {
        let key = format!("exhaust-{number}");
        match write(store, &key, 30_000).await {
            Ok(()) => acknowledged.push(key),
            Err(error) => {
                assert_eq!(error.code(), Code::DiskFull, "{error:?}");
                return acknowledged;
            }
        }
    }
    panic!("the disk is never full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_on_a_full_disk_what_is_essential_is_still_written_and_nothing_else() {
    let Some(disk) = SmallDisk::mount(LARGER_DISK) else { return };
    let store = with_reserve(&disk).await;
    assert_eq!(disk.path().join("reserve").metadata().expect("it is there").len(), LEAST_RESERVE);
    assert_eq!(store.write_fault(), None);
    // As large as the log can grow: writing it back uses the reserve, and frees space again.
    for number in 0..130 {
        write(&store, &format!("before-{number}"), 30_000).await.expect("there is room");
    }
    let mut fillers = Vec::new();
    eventually("it stays full", async || {
        fillers.push(disk.fill());
        exhaust(&store).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        store.write_fault().is_some()
    })
    .await;
    let fault = store.write_fault().expect("it is said");
    assert_eq!(fault.kind, WriteFaultKind::Full);
    assert!(fault.reason.contains("once 9MiB are free"), "an eighth more than the reserve: {}", fault.reason);

    // Completed actions are recorded, and deletions are possible.
    eventually("an audit entry is kept", async || store.audit_append(&[entry(1)]).await.is_ok()).await;
    for number in 0..100 {
        store.state_delete(&name("steady"), &format!("before-{number}")).await.expect("it makes room");
    }
    assert!(store.key_delete("nobody").await.is_ok());
    // Everything else is refused at once.
    let begun = Instant::now();
    for _ in 0..100 {
        let refused = write(&store, "more", 10).await.expect_err("the disk is full");
        assert!(matches!(refused, StoreError::Unwritable(_)), "{refused:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    // Existing data can be read.
    assert_eq!(store.audit_head().await.expect("it reads").sequence, 1);
    // A plugin with its state can be removed, as an administrator would.
    assert!(store.plugin_delete(&name("steady")).await.expect("it makes room"));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_on_a_full_disk_long_results_of_jobs_leave_the_reserve_to_others() {
    let Some(disk) = SmallDisk::mount(LARGER_DISK) else { return };
    let store = with_reserve(&disk).await;
    let mut running = Vec::new();
    for number in 0..9 {
        let made = JobRecord { state: JobState::Running, ..job(number) };
        store.job_create(&made, None).await.expect("there is room");
        running.push(JobRecord { generation: 1, ..made });
    }
    let mut fillers = Vec::new();
    eventually("it stays full", async || {
        fillers.push(disk.fill());
        exhaust(&store).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        store.write_fault().is_some()
    })
    .await;
    eventually("an audit entry is kept", async || store.audit_append(&[entry(1)]).await.is_ok()).await;
    let ended = |job: &JobRecord, bytes: usize| JobRecord {
        state: JobState::Succeeded,
        ended_at: Some(moment(100)),
        result: Some("x".repeat(bytes)),
        ..job.clone()
    };
    for job in &running[1..] {
        let refused = store.job_put(&ended(job, 2 << 20), None).await.expect_err("it waits");
        assert!(matches!(refused, StoreError::Unwritable(_)), "{refused:?}");
    }
    store.job_put(&ended(&running[0], 10), None).await.expect("a short one is kept");
    store.audit_append(&[entry(2)]).await.expect("there is room");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_a_reader_does_not_keep_a_full_disk_from_what_is_essential() {
    let Some(disk) = SmallDisk::mount(LARGER_DISK) else { return };
    let store = with_reserve(&disk).await;
    // Its snapshot is in the log, which cannot be restarted while it reads.
    let mut reader =
        SqliteConnectOptions::new().filename(disk.path().join("outrigger.db")).connect().await.expect("it opens");
    reader.execute("BEGIN; SELECT count(*) FROM state").await.expect("it reads");
    write(&store, "second", 10).await.expect("there is room");
    let filler = disk.fill();
    exhaust(&store).await;
    let begun = Instant::now();
    eventually("an audit entry is kept", async || store.audit_append(&[entry(1)]).await.is_ok()).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waits for the reader: {:?}", begun.elapsed());
    drop(filler);
    eventually("writes are taken again", async || store.write_fault().is_none()).await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    reader.execute("COMMIT").await.expect("it ends");
    reader.close().await.expect("it closes");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_the_reserve_is_made_again_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(LARGER_DISK) else { return };
    let store = with_reserve(&disk).await;
    let reserve = disk.path().join("reserve");
    let filler = disk.fill();
    exhaust(&store).await;
    eventually("it is released", async || !reserve.exists()).await;
    assert!(store.write_fault().is_some(), "the reserve is not for everybody");
    drop(filler);
    eventually("writes are taken again", async || store.write_fault().is_none()).await;
    assert_eq!(reserve.metadata().expect("it is there again").len(), LEAST_RESERVE);
    write(&store, "after", 10).await.expect("there is room");
    store.close().await;
    present(&disk.path().join("outrigger.db"), &["first".to_owned(), "after".to_owned()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_a_store_that_opens_on_a_full_disk_says_so_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount(LARGER_DISK) else { return };
    let path = disk.path().join("outrigger.db");
    let store = SqliteStore::open(&path).await.expect("it opens");
    put(&store, &name("steady")).await;
    store.close().await;
    let filler = disk.fill_but(200 << 10);
    let store = SqliteStore::open_with_reserve(&path, Some(LEAST_RESERVE)).await.expect("what is there can be read");
    let fault = store.write_fault().expect("it is said");
    assert_eq!(fault.kind, WriteFaultKind::Full);
    assert!(fault.reason.contains("for the reserve of 8MiB (`--reserve`)"), "{}", fault.reason);
    assert_eq!(write(&store, "early", 10).await.expect_err("there is no reserve").code(), Code::DiskFull);
    assert!(store.plugin_fetch(&name("steady")).await.expect("it reads").is_some());
    drop(filler);
    write_until_it_is_kept(&store, "late").await;
    store.close().await;
    present(&path, &["late".to_owned()]).await;
}

/// A trigger simulates a statement that fails for another reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_a_transaction_that_sqlite_ended_by_itself_does_not_take_later_writes_with_it() {
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().join("outrigger.db");
    let store = SqliteStore::open(&path).await.expect("it opens");
    put(&store, &name("steady")).await;
    let mut meddler = SqliteConnectOptions::new().filename(&path).connect().await.expect("it opens");
    let trigger =
        "CREATE TRIGGER spoil BEFORE INSERT ON state WHEN NEW.size > 1000 BEGIN SELECT RAISE(ROLLBACK, 'no'); END";
    meddler.execute(trigger).await.expect("valid SQL");
    meddler.close().await.expect("it closes");
    let mut acknowledged = Vec::new();
    for number in 0..20 {
        write(&store, "spoilt", 2_000).await.expect_err("the trigger ends the transaction");
        begin_and_roll_back(&store).await;
        let key = format!("kept-{number}");
        write(&store, &key, 10).await.expect("the disk is well");
        acknowledged.push(key);
        present(&path, &acknowledged).await;
    }
    assert_eq!(store.write_fault(), None, "nothing is wrong with the disk");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_a_read_only_file_system_is_said_and_gone_on_from() {
    let Some(disk) = SmallDisk::mount(8 << 20) else { return };
    let path = disk.path().join("outrigger.db");
    let store = SqliteStore::open(&path).await.expect("it opens");
    put(&store, &name("steady")).await;
    write(&store, "first", 10).await.expect("there is room");
    store.close().await;
    assert!(disk.remount("ro"), "nobody has a file open there");
    // The kernel does this to a failed disk while the server runs; here it was done before, and the connection notices
    // at its first write.
    let opened = SqliteStore::open(&path).await;
    if let Ok(store) = &opened {
        let refused = write(store, "never", 10).await.expect_err("it is read-only");
        assert_eq!(refused.code(), Code::StoreReadOnly, "{refused:?}");
    }
    assert!(disk.remount("rw"));
    let store = SqliteStore::open(&path).await.expect("it opens");
    write_until_it_is_kept(&store, "after").await;
    store.close().await;
    present(&path, &["first".to_owned(), "after".to_owned()]).await;
}

/// Environment of the writer: the database, and the prefix of its keys.
const DATABASE: &str = "OUTRIGGER_FAULTY_DATABASE";
const PREFIX: &str = "OUTRIGGER_FAULTY_PREFIX";

/// Writes endlessly, and prints each acknowledged write. Run as an ordinary test, it does nothing.
#[tokio::test]
async fn faulty_writer() {
    let (Ok(path), Ok(prefix)) = (std::env::var(DATABASE), std::env::var(PREFIX)) else { return };
    let store = SqliteStore::open(path).await.expect("it opens");
    if store.plugin_fetch(&name("steady")).await.expect("it reads").is_none() {
        put(&store, &name("steady")).await;
    }
    let say = |text: &str| {
        // A single write, so that the line is complete or missing.
        std::io::stdout().lock().write_all(format!("\n{text}\n").as_bytes()).expect("the test listens");
    };
    for number in 0.. {
        let key = format!("{prefix}-{number}");
        // Many sizes, so that transactions sometimes share pages of the log.
        let bytes = (number * 977) % 9_000;
        match write(&store, &key, bytes).await {
            Ok(()) => say(&format!("ack state {key}")),
            Err(error) => say(&format!("failed {}", error.code())),
        }
        if number % 3 == 0 {
            match store.audit_append(&[entry(1)]).await {
                Ok(head) => say(&format!("ack audit {}", head.sequence)),
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        if number % 7 == 0 {
            begin_and_roll_back(&store).await;
        }
    }
}

/// The output of a writer.
#[derive(Debug, Default)]
struct Said {
    keys: Vec<String>,
    audited: u64,
    failures: u64,
}

/// Runs a writer on a disk that fails in this way for a while, and kills the writer some time later.
fn write_on(disk: &FaultyDisk, prefix: &str, fault: &str, moments: &mut impl FnMut(u64) -> Duration) -> Said {
    disk.fail("");
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command
        .args(["--exact", "faulty_writer", "--nocapture"])
        .env(DATABASE, disk.path().join("outrigger.db"))
        .env(PREFIX, prefix)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    disk.attach(&mut command);
    let mut writer = command.spawn().expect("this test can be run again");
    let output = writer.stdout.take().expect("it is piped");
    let (send, receive) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let mut said = Said::default();
    let mut listen = |until: &dyn Fn(&Said, Instant) -> bool| {
        let begun = Instant::now();
        while !until(&said, begun) {
            assert!(begun.elapsed() < DEADLINE, "the writer does not go on: {fault}");
            let Ok(line) = receive.recv_timeout(Duration::from_millis(10)) else { continue };
            match *line.split(' ').collect::<Vec<_>>() {
                ["ack", "state", key] => said.keys.push(key.to_owned()),
                ["ack", "audit", sequence] => said.audited = sequence.parse().expect("a number"),
                ["failed", _] => said.failures += 1,
                _ => {}
            }
        }
    };
    listen(&|said, _| said.keys.len() > 5);
    for _ in 0..2 {
        let for_a_while = moments(150);
        disk.fail(fault);
        listen(&|said, begun| begun.elapsed() > for_a_while && said.failures > 0);
        disk.fail("");
        let reached = Cell::new(None);
        // It resumes by itself.
        listen(&|said, _| {
            let first = reached.get().unwrap_or(said.keys.len());
            reached.set(Some(first));
            said.keys.len() > first + 3
        });
    }
    let for_a_while = moments(60);
    listen(&|_, begun| begun.elapsed() > for_a_while);
    writer.kill().expect("it is our child");
    writer.wait().expect("it is our child");
    reader.join().expect("it does not panic");
    for line in receive {
        if let Some(key) = line.strip_prefix("ack state ") {
            said.keys.push(key.to_owned());
        }
    }
    said
}

/// A failing disk, a killed process, and a power cut after every second kill.
async fn failing(fault: &'static str) {
    let disk = FaultyDisk::new();
    let (mut acknowledged, mut audited) = (Vec::new(), 0);
    for round in 0..6 {
        let prefix = format!("round-{round}");
        let mut moments = |most| Duration::from_millis(random(most));
        let said = write_on(&disk, &prefix, fault, &mut moments);
        assert!(said.failures > 0, "the disk never failed");
        acknowledged.extend(said.keys);
        audited = audited.max(said.audited);
        // A killed process leaves its writes in the operating system's memory; this does not test durability, only the
        // state that the next process finds.
        disk.cut_power();
        let path = disk.path().join("outrigger.db");
        present(&path, &acknowledged).await;
        let store = SqliteStore::open(&path).await.expect("it opens");
        let records = read_chain(&store, 1_000).await;
        assert!(records.len() as u64 >= audited, "{audited} were acknowledged, {} are there", records.len());
        store.close().await;
        // All existing data is durable.
        std::fs::remove_dir_all(disk.after_a_power_cut()).expect("ours");
        std::fs::create_dir(disk.after_a_power_cut()).expect("ours");
        for entry in std::fs::read_dir(disk.path()).expect("ours").flatten() {
            std::fs::copy(entry.path(), disk.after_a_power_cut().join(entry.file_name())).expect("copied");
        }
    }
    assert!(acknowledged.len() > 100, "only {} writes: this has shown nothing", acknowledged.len());
}

fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(below) % below
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_after_a_failed_fsync_nothing_is_acknowledged_that_a_power_cut_takes() {
    failing("fsync=5").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_after_a_failed_write_nothing_is_acknowledged_that_a_power_cut_takes() {
    failing("write=5").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_after_a_full_disk_nothing_is_acknowledged_that_a_power_cut_takes() {
    failing("write=28").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_after_a_disk_that_turned_read_only_nothing_is_acknowledged_that_a_power_cut_takes() {
    failing("write=30").await;
}
