//! The store in memory answers to any sequence of operations on state as SQLite does, and sums any runs up as it does.

use std::collections::BTreeSet;
use std::time::Duration;

use outrigger_contract::Code;
use outrigger_engine::Store;
use outrigger_engine::store::{
    CacheOutcome, Expected, Keep, RecordBatch, RunRecord, StateWrite, UsageFilter, UsageKey,
};
use outrigger_store::{MemoryStore, SqliteStore};
use outrigger_testkit::store_suite::{moment, name, put, run};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use time::OffsetDateTime;

#[derive(Clone, Debug)]
enum Operation {
    Set { key: String, value: Vec<u8>, expected: Expectation, capacity: u64 },
    Delete(String),
    Get(String),
    Keys(String, u32),
    Reinstall,
}

#[derive(Clone, Debug)]
enum Expectation {
    Anything,
    Nothing,
    /// The current value, or this if there is none.
    Present(Vec<u8>),
    Value(Vec<u8>),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    // Few letters, so that keys meet again and begin with each other.
    let key = || "[aAbé%_]{1,3}";
    let value = || proptest::collection::vec(0..4_u8, 0..6);
    let expectation = prop_oneof![
        2 => Just(Expectation::Anything),
        1 => Just(Expectation::Nothing),
        2 => value().prop_map(Expectation::Present),
        1 => value().prop_map(Expectation::Value),
    ];
    let set = (key(), value(), expectation, prop_oneof![Just(1_000), 0..60_u64]);
    let operation = prop_oneof![
        8 => set.prop_map(|(key, value, expected, capacity)| Operation::Set { key, value, expected, capacity }),
        2 => key().prop_map(Operation::Delete),
        3 => key().prop_map(Operation::Get),
        3 => ("[aAbé%_]{0,2}", 0..6_u32).prop_map(|(prefix, limit)| Operation::Keys(prefix, limit)),
        1 => Just(Operation::Reinstall),
    ];
    proptest::collection::vec(operation, 1..40)
}

/// The response of a store to an operation, as text.
async fn answer(store: &dyn Store, operation: &Operation) -> String {
    let name = name("pricing");
    match operation {
        Operation::Set { key, value, expected, capacity } => {
            let present = store.state_get(&name, key).await.expect("the store works");
            let expected = match expected {
                Expectation::Anything => Expected::Anything,
                Expectation::Nothing => Expected::Nothing,
                Expectation::Present(otherwise) => Expected::Value(present.as_ref().unwrap_or(otherwise)),
                Expectation::Value(value) => Expected::Value(value),
            };
            let write = StateWrite { key, value, expected };
            format!("{:?}", store.state_set(&name, write, *capacity).await.expect("the store works"))
        }
        Operation::Delete(key) => format!("{:?}", store.state_delete(&name, key).await.expect("the store works")),
        Operation::Get(key) => format!("{:?}", store.state_get(&name, key).await.expect("the store works")),
        Operation::Keys(prefix, limit) => {
            format!("{:?}", store.state_keys(&name, prefix, *limit).await.expect("the store works"))
        }
        Operation::Reinstall => {
            store.plugin_delete(&name).await.expect("the store works");
            put(store, &name).await;
            String::new()
        }
    }
}

#[test]
fn state_is_the_same_in_memory_and_in_sqlite() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let sqlite = runtime.block_on(SqliteStore::open(directory.path().join("outrigger.db"))).unwrap();
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&operations(), |operations| {
        runtime.block_on(async {
            let memory = MemoryStore::new();
            put(&memory, &name("pricing")).await;
            answer(&sqlite, &Operation::Reinstall).await;
            for (step, operation) in operations.iter().enumerate() {
                let (left, right) = (answer(&memory, operation).await, answer(&sqlite, operation).await);
                prop_assert_eq!(left, right, "step {} {:?}", step, operation);
            }
            Ok(())
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

const KEYS: [UsageKey; 6] =
    [UsageKey::Hour, UsageKey::Day, UsageKey::Plugin, UsageKey::Function, UsageKey::Caller, UsageKey::Outcome];

/// When, plugin, function, caller, code, cache, attempts, how long.
type Drawn = (u64, &'static str, &'static str, &'static str, Option<Code>, CacheOutcome, u32, u64);

/// A moment of the days around the year 1970 where it is an odd one, or of those around that of the other tests.
fn at(seconds: u64) -> OffsetDateTime {
    match seconds % 2 {
        0 => moment(seconds),
        _ => OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds) - Duration::from_nanos(200_000_000_000_001),
    }
}

/// Few values of each kind, so that groups have several runs.
fn runs() -> impl Strategy<Value = Vec<RunRecord>> {
    let cache = [CacheOutcome::Bypass, CacheOutcome::Miss, CacheOutcome::Hit, CacheOutcome::Shared];
    let one = (
        0..400_000_u64,
        prop_oneof![Just("a"), Just("b"), Just("c")],
        prop_oneof![Just("echo"), Just("echo.more")],
        prop_oneof![Just(""), Just("local"), Just("key ß"), Just("key z")],
        prop_oneof![2 => Just(None), 1 => Just(Some(Code::Trapped)), 1 => Just(Some(Code::Forbidden))],
        proptest::sample::select(cache.to_vec()),
        0..4_u32,
        0..1_000_000_u64,
    );
    let made =
        |(number, (began, plugin, function, caller, code, cache, attempts, duration_us)): (u64, Drawn)| RunRecord {
            started_at: at(began),
            function: function.parse().expect("a name"),
            caller: str::to_owned(caller),
            code,
            cache,
            attempts,
            duration_us,
            ..run(&name(plugin), number)
        };
    proptest::collection::vec(one, 0..60).prop_map(move |runs| (0_u64..).zip(runs).map(made).collect())
}

fn filters() -> impl Strategy<Value = UsageFilter> {
    let plugins = proptest::option::of(proptest::collection::btree_set(prop_oneof![Just("a"), Just("b")], 0..3));
    let parts = (
        0..400_000_u64,
        0..400_000_u64,
        plugins,
        proptest::option::of(Just("echo")),
        proptest::option::of(Just("local")),
        proptest::sample::subsequence(KEYS.to_vec(), 0..=KEYS.len()),
        prop_oneof![Just(0_u32), 1..12_u32],
    );
    parts.prop_map(|(since, length, plugins, function, caller, by, limit)| UsageFilter {
        plugins: plugins.map(|plugins| plugins.into_iter().map(name).collect()),
        function: function.and_then(|function| function.parse().ok()),
        caller: caller.map(str::to_owned),
        by: by.into_iter().collect::<BTreeSet<_>>(),
        limit,
        ..UsageFilter::between(at(since), at(since) + Duration::from_secs(length))
    })
}

#[test]
fn runs_add_up_to_the_same_in_memory_and_in_sqlite() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let sqlite = runtime.block_on(SqliteStore::open(directory.path().join("outrigger.db"))).unwrap();
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let strategy = (runs(), proptest::collection::vec(filters(), 1..8));
    let outcome = runner.run(&strategy, |(runs, filters)| {
        runtime.block_on(async {
            let memory = MemoryStore::new();
            sqlite.prune(&Keep::since(moment(1_000_000))).await.expect("the store works");
            let batch = RecordBatch { runs, ..RecordBatch::default() };
            let stores: [&dyn Store; 2] = [&memory, &sqlite];
            for store in stores {
                store.record_append(&batch).await.expect("the store works");
            }
            for filter in &filters {
                let found = (stores[0].run_usage(filter).await, stores[1].run_usage(filter).await);
                let (left, right) = (found.0.expect("it adds up"), found.1.expect("it adds up"));
                prop_assert_eq!(left, right, "{:?}", filter);
            }
            prop_assert_eq!(stores[0].run_plugins().await.unwrap(), stores[1].run_plugins().await.unwrap());
            Ok(())
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
