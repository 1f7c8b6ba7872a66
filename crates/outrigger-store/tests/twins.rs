//! The store in memory answers to any sequence of operations on state as SQLite does.

use outrigger_engine::Store;
use outrigger_engine::store::{Expected, StateWrite};
use outrigger_store::{MemoryStore, SqliteStore};
use outrigger_testkit::store_suite::{name, put};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

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
    /// What is there at the time, or this where nothing is.
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

/// What a store answers to an operation, as text.
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
