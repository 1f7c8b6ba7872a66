//! Records when the database refuses writes, or refuses one of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed, and says where")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::Code;
use outrigger_engine::audit::{AuditEntry, GroupedCall, Stage};
use outrigger_engine::store::{AuditFilter, AuditStore, RecordFilter};
use outrigger_engine::{
    Answer, Arguments, Call, CallOptions, Caller, CorrelationId, Engine, EngineOptions, Failure, Store,
};
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

/// Additions to the manifest of `demo`.
const MANIFEST: &str = "[permissions]\nplugins = [\"demo.*\"]\n\
    [functions.echo]\ndestructive = false\n[functions.version]\nread-only = true\n[functions.fail]\nread-only = true\n";

struct Bench {
    engine: Engine,
    store: Arc<SqliteStore>,
    runtime: Arc<ScriptedRuntime>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// With the plugin `demo`, of which `echo` may change something; what the manifest does not name may destroy something.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outrigger.db");
        let store = Arc::new(SqliteStore::open(&path).await.unwrap());
        let runtime = Arc::new(ScriptedRuntime::default());
        let options = EngineOptions::new(folder.path().join("packages"));
        let engine = Engine::start(options, store.clone(), runtime.clone()).await.unwrap();
        engine.install(installation("demo", "1.0.0", MANIFEST)).await.unwrap();
        Self { engine, store, runtime, path, _folder: folder }
    }

    fn start(&self, function: &str, arguments: &str) -> tokio::task::JoinHandle<Result<Answer, Failure>> {
        self.start_as(CorrelationId::new(), function, arguments)
    }

    /// With a correlation id that is known before there is an answer.
    fn start_as(
        &self,
        correlation: CorrelationId,
        function: &str,
        arguments: &str,
    ) -> tokio::task::JoinHandle<Result<Answer, Failure>> {
        let call = Call {
            caller: Caller::Local,
            function: function.parse().unwrap(),
            arguments: Arguments::Text(arguments.to_owned()),
            options: CallOptions { correlation: Some(correlation), ..CallOptions::default() },
        };
        let engine = self.engine.clone();
        tokio::spawn(async move { engine.call(call).await })
    }

    /// The audit records of a call, or of all calls, oldest first.
    async fn audit(&self, correlation: Option<CorrelationId>) -> Vec<AuditEntry> {
        let filter = AuditFilter { correlation, ..AuditFilter::default() };
        let mut records = self.store.audit_list(&filter).await.unwrap();
        records.reverse();
        records.iter().map(|record| record.entry().unwrap()).collect()
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

#[tokio::test]
async fn calls_that_only_read_are_in_the_audit_log_in_groups_and_all_of_them() {
    const CALLS: usize = 200;
    let bench = Bench::new().await;
    let mut expected = Vec::new();
    for number in 0..CALLS {
        let (function, arguments, code) = match number % 50 {
            0 => ("demo.fail", "{\"text\": \"no\"}", Some(Code::FunctionFailed)),
            _ => ("demo.version", "{}", None),
        };
        let correlation = CorrelationId::new();
        let outcome = bench.start_as(correlation, function, arguments).await.unwrap();
        assert_eq!(outcome.err().map(|failure| failure.code), code);
        expected.push((function, code, correlation));
    }
    // One that was never let in is of no group.
    bench.start("demo.fail", "{\"text\": 5}").await.unwrap().expect_err("a number is no text");
    bench.engine.shutdown().await;

    let entries = bench.audit(None).await;
    let groups: Vec<_> = entries.iter().filter(|entry| entry.stage == Stage::Group).collect();
    let grouped: Vec<_> = groups.iter().flat_map(|group| group.calls.clone()).collect();
    for (function, code) in [("demo.version", None), ("demo.fail", Some(Code::FunctionFailed))] {
        let of = |call: &&GroupedCall| call.resource == function && call.code == code && call.actor == "local";
        let counted: u64 = grouped.iter().filter(of).map(|call| call.count).sum();
        let called = expected.iter().filter(|(name, failed, _)| *name == function && *failed == code).count();
        assert_eq!(counted, called as u64, "each call of {function} is counted once");
    }
    let named: Vec<_> = grouped.iter().flat_map(|call| call.correlations.clone()).collect();
    assert!(named.iter().all(|named| expected.iter().any(|(.., correlation)| correlation == named)));
    assert!(named.contains(&expected[0].2), "the first is named");
    // How many there are is a matter of time: a group is what is written at once.
    assert!(groups.len() < CALLS / 2, "{} groups", groups.len());
    for group in groups {
        assert_eq!((group.action.as_str(), group.resource.as_str()), ("function_execute", "*"));
        assert_eq!((group.actor.as_str(), group.allowed, group.prunable), ("several", true, false));
        assert!(group.until.is_some_and(|until| until >= group.at), "{group:?}");
    }
    let alone = |entry: &&AuditEntry| entry.stage != Stage::Group && entry.action == "function_execute";
    assert_eq!(entries.iter().find(alone), None, "none has a record of its own");
}

#[tokio::test]
async fn what_may_destroy_something_is_in_the_audit_log_before_it_runs() {
    let bench = Bench::new().await;
    let correlation = CorrelationId::new();
    bench.start_as(correlation, "demo.sleep", "{\"milliseconds\": 0}").await.unwrap().expect("it answers");
    let entries = bench.audit(Some(correlation)).await;
    assert_eq!(entries.iter().map(|entry| entry.stage).collect::<Vec<_>>(), [Stage::Intent, Stage::Done]);
    assert!(entries.iter().all(|entry| entry.resource == "demo.sleep" && entry.allowed), "{entries:#?}");
    assert!(entries[0].revision.is_some() && entries[0].revision == entries[1].revision, "{entries:#?}");

    // While it waits, its intent is all that is there.
    let correlation = CorrelationId::new();
    let running = bench.start_as(correlation, "demo.wait", "{}");
    let waiting = tokio::time::timeout(Duration::from_secs(30), async {
        while bench.runtime.waiting() == 0 {
            tokio::task::yield_now().await;
        }
    });
    waiting.await.expect("it runs");
    let entries = bench.audit(Some(correlation)).await;
    assert_eq!(entries.iter().map(|entry| entry.stage).collect::<Vec<_>>(), [Stage::Intent]);
    bench.runtime.release();
    running.await.unwrap().expect("it answers");
    assert_eq!(bench.audit(Some(correlation)).await.len(), 2);

    // One that only may change something has none.
    let correlation = CorrelationId::new();
    bench.start_as(correlation, "demo.echo", "{\"text\": \"a\"}").await.unwrap().expect("it answers");
    let entries = bench.audit(Some(correlation)).await;
    assert_eq!(entries.iter().map(|entry| entry.stage).collect::<Vec<_>>(), [Stage::Done]);
}

#[tokio::test]
async fn what_may_destroy_something_does_not_run_where_that_cannot_be_written_down() {
    let bench = Bench::new().await;
    meddle(&bench.path, FULL).await;
    let correlation = CorrelationId::new();
    let started = bench.start_as(correlation, "demo.sleep", "{\"milliseconds\": 0}");
    let refused = started.await.unwrap().expect_err("its intent cannot be written");
    assert_eq!(refused.code, Code::StoreFailed, "{}", refused.message);
    assert_eq!(bench.runtime.count("demo.sleep"), 0);

    meddle(&bench.path, ROOM).await;
    bench.engine.flush().await;
    let entries = bench.audit(Some(correlation)).await;
    assert!(entries.is_empty(), "nothing was done: {entries:#?}");
    assert_eq!(bench.runs().await, ["sleep"], "that it was called is known all the same");
    bench.start("demo.sleep", "{\"milliseconds\": 0}").await.unwrap().expect("it answers");
    assert_eq!(bench.runtime.count("demo.sleep"), 1);
}
