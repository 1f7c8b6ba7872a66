//! What becomes of records when the database cannot be written to, or refuses one of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed, and says where")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::Code;
use outrigger_engine::store::{AuditFilter, AuditStore, RecordFilter};
use outrigger_engine::{Answer, Arguments, Call, CallOptions, Caller, Engine, EngineOptions, Failure, Store};
use outrigger_store::SqliteStore;
use outrigger_testkit::scripted::{ScriptedRuntime, installation};
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{ConnectOptions, Connection, Executor};

/// The audit log cannot be written to, as when the disk is full.
const FULL: &str = "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
const ROOM: &str = "DROP TRIGGER full";
/// Runs of one function are there already whenever they are to be written.
const TWICE: &str = "CREATE TRIGGER twice BEFORE INSERT ON runs WHEN NEW.function = 'version' BEGIN \
    INSERT INTO runs (id, correlation, plugin, function, caller, started_at, duration_us, cache, attempts) \
    VALUES (NEW.id, '', '', '', '', 0, 0, '', 0); END";

/// What the manifest of `demo` says besides.
const MANIFEST: &str = "[permissions]\nplugins = [\"demo.*\"]\n\
    [functions.echo]\ndestructive = false\n[functions.version]\nread-only = true\n[functions.fail]\nread-only = true\n";

struct Bench {
    engine: Engine,
    store: Arc<SqliteStore>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// With the plugin `demo`, of which `echo` may change something.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outrigger.db");
        let store = Arc::new(SqliteStore::open(&path).await.unwrap());
        let options = EngineOptions::new(folder.path().join("packages"));
        let engine = Engine::start(options, store.clone(), Arc::new(ScriptedRuntime::default())).await.unwrap();
        engine.install(installation("demo", "1.0.0", MANIFEST)).await.unwrap();
        Self { engine, store, path, _folder: folder }
    }

    fn start(&self, function: &str, arguments: &str) -> tokio::task::JoinHandle<Result<Answer, Failure>> {
        let call = Call {
            caller: Caller::Local,
            function: function.parse().unwrap(),
            arguments: Arguments::Text(arguments.to_owned()),
            options: CallOptions::default(),
        };
        let engine = self.engine.clone();
        tokio::spawn(async move { engine.call(call).await })
    }

    async fn runs(&self) -> Vec<String> {
        let runs = self.store.run_list(&RecordFilter::default()).await.unwrap();
        runs.into_iter().map(|run| run.function.to_string()).collect()
    }
}

/// Changes the database behind the store's back.
async fn meddle(path: &Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
    let mut connection = options.connect().await.expect("the file can be opened");
    connection.execute(sql).await.expect("valid SQL");
    connection.close().await.expect("the connection closes");
}

#[tokio::test]
async fn a_change_is_not_answered_before_the_audit_log_has_it() {
    let bench = Bench::new().await;
    meddle(&bench.path, FULL).await;
    let mut running = bench.start("demo.echo", "{\"text\": \"a\"}");
    // Longer than a batch is tried as a whole.
    let early = tokio::time::timeout(Duration::from_secs(3), &mut running).await;
    assert!(early.is_err(), "{early:?}");
    meddle(&bench.path, ROOM).await;
    let answer = running.await.unwrap().expect("it answers");
    let of_call = AuditFilter { correlation: Some(answer.correlation), ..AuditFilter::default() };
    assert_eq!(bench.store.audit_list(&of_call).await.unwrap().len(), 1);
    bench.engine.flush().await;
    assert_eq!(bench.runs().await, ["echo"], "and the run is there as well");
}

#[tokio::test]
async fn an_engine_that_ends_gives_up_after_some_tries() {
    let bench = Bench::new().await;
    meddle(&bench.path, FULL).await;
    let running = bench.start("demo.echo", "{\"text\": \"a\"}");
    let ended = tokio::time::timeout(Duration::from_secs(30), async {
        while bench.runs().await.is_empty() && !running.is_finished() {
            bench.engine.shutdown().await;
        }
    });
    ended.await.expect("it ends");
    running.await.unwrap().expect("it answers");
    assert_eq!(bench.runs().await, ["echo"], "what could be written is");
}

#[tokio::test]
async fn a_run_that_is_there_already_takes_no_other_record_with_it() {
    let bench = Bench::new().await;
    meddle(&bench.path, TWICE).await;
    for (function, arguments) in [("demo.version", "{}"), ("demo.fail", "{\"text\": \"no\"}"), ("demo.version", "{}")] {
        let _ = bench.start(function, arguments).await.unwrap();
    }
    let answer = bench.start("demo.echo", "{\"text\": \"a\"}").await.unwrap().expect("it answers");
    bench.engine.flush().await;
    assert_eq!(bench.runs().await, ["echo", "fail"]);
    let of_call = AuditFilter { correlation: Some(answer.correlation), ..AuditFilter::default() };
    assert_eq!(bench.store.audit_list(&of_call).await.unwrap().len(), 1);
    let rows = bench.store.statistics_list(None).await.unwrap();
    assert_eq!(rows.iter().filter_map(|row| row.counters.get("calls")).sum::<u64>(), 4, "{rows:?}");
    let failed = bench.store.run_list(&RecordFilter::default()).await.unwrap().pop().unwrap();
    assert_eq!(failed.code, Some(Code::FunctionFailed));
}
