//! Opening a database: new, present, foreign, damaged, and by several at once.

use std::path::Path;
use std::sync::Arc;

use outrigger_contract::Code;
use outrigger_contract::causes::chain;
use outrigger_engine::Store;
use outrigger_engine::audit::{AuditEntry, Head};
use outrigger_engine::store::{
    AccessStore, AuditFilter, AuditStore, Expected, RecordBatch, StateOutcome, StateWrite, StoreError,
};
use outrigger_store::SqliteStore;
use outrigger_testkit::store_suite::audit::read_chain;
use outrigger_testkit::store_suite::{entry, key, name, put, statistics};
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{ConnectOptions, Connection, Executor};

/// Changes the file behind the store's back.
async fn meddle(path: &Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
    let mut connection = options.connect().await.expect("the file can be opened");
    connection.execute(sql).await.expect("valid SQL");
    connection.close().await.expect("the connection closes");
}

/// The failure as a user sees it, with the path of the temporary directory replaced.
fn report(error: &StoreError, path: &Path) -> String {
    chain(error).replace(path.to_str().expect("UTF-8"), "PATH")
}

#[tokio::test]
async fn what_was_written_is_there_when_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outrigger.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let revision = put(&store, &name("pricing")).await;
    store.close().await;
    assert!(store.plugin_list().await.is_err(), "a closed store answers nothing");
    assert!(!path.with_extension("db-wal").exists(), "the log was written back");

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.revision_fetch(&revision.digest).await.unwrap(), Some(revision));
    let verdict = store.check().await.unwrap();
    let (start, end) = verdict.rsplit_once(", SQLite 3.").expect("the version stands at the end");
    assert_eq!(
        start.replace(path.to_str().unwrap(), "PATH"),
        "PATH: intact and writable; plugins: 1, runs: 0, log lines: 0; schema 15"
    );
    assert!(!end.is_empty());
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outrigger.db");
    SqliteStore::open(&path).await.unwrap().close().await;
    meddle(&path, "INSERT INTO schema_version (version, applied_at) VALUES (16, 0)").await;
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(error.code(), Code::StoreFailed);
    assert_eq!(
        report(&error, &path),
        "PATH cannot be read: it has schema version 16, and this version of Outrigger knows schemas up to 15; \
         use the newer Outrigger that wrote it, or another data directory"
    );
    assert!(std::fs::read(&path).unwrap() == before);
}

#[tokio::test]
async fn what_is_no_database_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outrigger.db");
    std::fs::write(&path, "this is not a database, and longer than the header of one, which has 100 bytes".repeat(3))
        .unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    let report = report(&error, &path);
    assert!(report.starts_with("the file PATH cannot be read: it is damaged or not a database"), "{report}");
    assert!(report.ends_with("restore it from a backup, or move it away to start with an empty one"), "{report}");

    let nowhere = directory.path().join("absent").join("outrigger.db");
    let error = SqliteStore::open(&nowhere).await.unwrap_err();
    assert_eq!(
        self::report(&error, &nowhere),
        "database error: failed to open: PATH: No such file or directory (os error 2)"
    );
}

#[tokio::test]
async fn damage_is_found_by_the_check() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outrigger.db");
    let store = SqliteStore::open(&path).await.unwrap();
    put(&store, &name("pricing")).await;
    store.close().await;
    meddle(&path, "DELETE FROM plugins").await;
    let store = SqliteStore::open(&path).await.unwrap();
    let error = store.check().await.unwrap_err();
    assert_eq!(
        report(&error, &path),
        "the database cannot be read: a row of the table revisions belongs to nothing; \
         restore the data directory from a backup, or move it away to start with an empty one"
    );
}

#[tokio::test]
async fn a_record_that_makes_no_sense_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outrigger.db");
    let store = SqliteStore::open(&path).await.unwrap();
    put(&store, &name("pricing")).await;
    meddle(&path, "UPDATE plugins SET state = 'hovering'").await;
    let error = store.plugin_fetch(&name("pricing")).await.unwrap_err();
    let report = report(&error, &path);
    assert!(report.starts_with("the plugin pricing cannot be read: unknown variant `hovering`"), "{report}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outrigger.db");
    let store = SqliteStore::open(&path).await.unwrap();
    put(&store, &name("pricing")).await;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.path().display());
    }
}

/// Each store here has connections of its own, as another process would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_open_a_new_database_and_write_to_it_at_once() {
    const OPENERS: u64 = 6;
    for _ in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let path = Arc::new(directory.path().join("outrigger.db"));
        let openers = (0..OPENERS).map(|opener| {
            let path = Arc::clone(&path);
            tokio::spawn(async move {
                let store = SqliteStore::open(&*path).await.expect("each of them can open it");
                let (own, shared) = (name(&format!("plugin-{opener}")), name("shared"));
                put(&store, &own).await;
                let revision = outrigger_testkit::store_suite::revision(&shared, "1.0.0");
                let plugin = outrigger_testkit::store_suite::plugin(&shared, &revision);
                let first = store.plugin_put(&plugin, Some(&revision), None, 0).await.is_ok();
                for value in 0..5_u8 {
                    let write = StateWrite { key: "k", value: &[value], expected: Expected::Anything };
                    assert_eq!(store.state_set(&own, write, 1_000).await.unwrap(), StateOutcome::Written);
                    let batch =
                        RecordBatch { statistics: vec![statistics(&shared, "echo", 1)], ..RecordBatch::default() };
                    store.record_append(&batch).await.unwrap();
                }
                first
            })
        });
        let mut first = 0;
        for opener in openers.collect::<Vec<_>>() {
            first += u32::from(opener.await.expect("no panic"));
        }
        assert_eq!(first, 1, "one of them has put the plugin that all wanted to put");
        let store = SqliteStore::open(&*path).await.unwrap();
        assert_eq!(store.plugin_list().await.unwrap().len(), usize::try_from(OPENERS).unwrap() + 1);
        assert_eq!(store.statistics_list(None).await.unwrap(), [statistics(&name("shared"), "echo", OPENERS * 5)]);
        store.check().await.unwrap();
    }
}

/// Two stores on one file, as two processes have them.
async fn two_stores(path: &Path) -> [SqliteStore; 2] {
    let open = async || SqliteStore::open(path).await.expect("the database opens");
    [open().await, open().await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_of_several_processes_is_one_chain() {
    const APPENDS: u64 = 25;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outrigger.db");
    let stores = two_stores(&path).await;
    let writers = stores.iter().cloned().zip(["first", "second"]).flat_map(|(store, process)| {
        // Each has a writer of either kind.
        let of_both = ["append", "batch"].map(|kind| (store.clone(), format!("{process}.{kind}")));
        of_both.map(|(store, writer)| {
            tokio::spawn(async move {
                let mut heads = Vec::new();
                for number in 0..APPENDS {
                    let audit = vec![AuditEntry { resource: writer.clone(), ..entry(number) }; 3];
                    if writer.ends_with("append") {
                        heads.push(store.audit_append(&audit).await.expect("the lock is waited for"));
                    } else {
                        let batch = RecordBatch { audit, ..RecordBatch::default() };
                        store.record_append(&batch).await.expect("the lock is waited for");
                    }
                }
                (writer, heads)
            })
        })
    });
    let mut written = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        written.push(writer.await.expect("no panic"));
    }

    for store in &stores {
        let records = read_chain(store, 100).await;
        assert_eq!(records.len() as u64, 4 * 3 * APPENDS);
        for (writer, heads) in &written {
            let filter = AuditFilter { resource: Some(writer.clone()), ..AuditFilter::default() };
            let own = store.audit_list(&filter).await.unwrap();
            let moments: Vec<_> = own.iter().rev().map(|record| record.entry().unwrap().at).collect();
            assert_eq!(moments.len() as u64, 3 * APPENDS, "{writer}");
            assert!(moments.is_sorted(), "what one writer appends stays in its order");
            for head in heads {
                let last = &records[usize::try_from(head.sequence).unwrap() - 1];
                assert_eq!(last.hash, head.hash, "the head was that of its own append");
                assert_eq!(last.entry().unwrap().resource, *writer);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_processes_one_makes_the_first_key() {
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("outrigger.db");
        let stores = two_stores(&path).await;
        let start = Arc::new(tokio::sync::Barrier::new(stores.len()));
        let makers = stores.iter().cloned().zip(["left", "right"]).map(|(store, name)| {
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                store.key_create_first(&key(name)).await.expect("the lock is waited for").then(|| key(name))
            })
        });
        let mut made = Vec::new();
        for maker in makers.collect::<Vec<_>>() {
            made.extend(maker.await.expect("no panic"));
        }
        assert_eq!(made.len(), 1);
        for store in &stores {
            assert_eq!(store.key_list().await.unwrap(), made);
        }
    }
}

/// The problem in the audit log.
async fn verified(store: &SqliteStore) -> String {
    let records = store.audit_read(None, 10).await.expect("the store works");
    let verified = records.iter().try_fold(Head::EMPTY, outrigger_engine::audit::verify_kept);
    verified.map_or_else(|broken| broken.to_string(), |_| "nothing".to_owned())
}

#[tokio::test]
async fn a_record_is_what_it_is_found_by() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outrigger.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let entry = AuditEntry { key: Some("0123456789abcdef".to_owned()), ..entry(0) };
    store.audit_append(&[entry]).await.unwrap();
    let changes = [
        ("at", "UPDATE audit SET at = at + 1", "UPDATE audit SET at = at - 1"),
        ("actor", "UPDATE audit SET actor = actor || 'x'", "UPDATE audit SET actor = rtrim(actor, 'x')"),
        ("key", "UPDATE audit SET key = key || 'x'", "UPDATE audit SET key = rtrim(key, 'x')"),
        ("action", "UPDATE audit SET action = action || 'x'", "UPDATE audit SET action = rtrim(action, 'x')"),
        ("resource", "UPDATE audit SET resource = resource || 'x'", "UPDATE audit SET resource = rtrim(resource, 'x')"),
        ("allowed", "UPDATE audit SET allowed = 1 - allowed", "UPDATE audit SET allowed = 1 - allowed"),
        (
            "correlation",
            "UPDATE audit SET correlation = correlation || 'x'",
            "UPDATE audit SET correlation = rtrim(correlation, 'x')",
        ),
    ];
    for (column, change, back) in changes {
        assert_eq!(verified(&store).await, "nothing", "before {column}");
        meddle(&path, change).await;
        let expected = format!("record 1 was changed: its column `{column}` does not match its text");
        assert_eq!(verified(&store).await, expected);
        meddle(&path, back).await;
    }
    meddle(&path, "UPDATE audit SET key = NULL").await;
    assert!(verified(&store).await.contains("`key`"));
    meddle(&path, "UPDATE audit SET sequence = 0").await;
    assert_eq!(verified(&store).await, "unexpected record 0");
    meddle(&path, "UPDATE audit SET sequence = -1").await;
    let error = store.audit_read(None, 10).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_record_that_was_changed_behind_the_stores_back_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outrigger.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.audit_append(&[entry(0), entry(1), entry(2)]).await.unwrap();
    let head = store.audit_head().await.unwrap();
    meddle(&path, "UPDATE audit SET text = replace(text, 'local', 'loyal') WHERE sequence = 2").await;
    let broken = verified(&store).await;
    assert!(broken.starts_with("record 2 was changed, or one before it"), "{broken}");
    meddle(&path, "DELETE FROM audit WHERE sequence = 2").await;
    let broken = verified(&store).await;
    assert_eq!(broken, "a record between 1 and 3 is missing, or was changed");
    assert_eq!(store.audit_head().await.unwrap(), head, "a head that was noted elsewhere is still the head");

    meddle(&path, "UPDATE audit SET hash = x'00' WHERE sequence = 3").await;
    let error = store.audit_append(&[entry(3)]).await.unwrap_err();
    assert_eq!(report(&error, &path), "the audit record 3 cannot be read: its hash has 1 bytes instead of 32");
}
