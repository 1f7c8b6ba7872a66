//! The state of plugins.

use std::sync::Arc;
use std::task::Poll;

use outrigger_contract::PluginName;
use outrigger_engine::Store;
use outrigger_engine::store::{Expected, StateOutcome, StateWrite};

use super::fixtures::{assert_conflict, name, put};

/// More than any test but those of capacity needs.
const PLENTY: u64 = 64 << 20;

async fn set(store: &dyn Store, name: &PluginName, key: &str, value: &[u8], expected: Expected<'_>) -> StateOutcome {
    store.state_set(name, StateWrite { key, value, expected }, PLENTY).await.expect("the store works")
}

async fn get(store: &dyn Store, name: &PluginName, key: &str) -> Option<Vec<u8>> {
    store.state_get(name, key).await.expect("the store works")
}

pub async fn values_are_set_replaced_and_removed(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    assert_eq!(get(&*store, &name, "k").await, None);
    assert_eq!(set(&*store, &name, "k", b"one", Expected::Anything).await, StateOutcome::Written);
    assert_eq!(get(&*store, &name, "k").await.as_deref(), Some(b"one".as_slice()));
    assert_eq!(set(&*store, &name, "k", b"", Expected::Anything).await, StateOutcome::Written);
    assert_eq!(get(&*store, &name, "k").await, Some(Vec::new()), "empty is not absent");
    store.state_delete(&name, "k").await.unwrap();
    assert_eq!(get(&*store, &name, "k").await, None);
    store.state_delete(&name, "k").await.unwrap();
}

pub async fn any_bytes_and_any_text_are_kept(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let bytes: Vec<u8> = (0..=255).collect();
    let keys = ["a", "A", "ключ", "e\u{301}", "é", "a b", "%_\\'\"", "🦀", "x/y", "\u{10ffff}", &"k".repeat(4_096)];
    for (number, key) in keys.iter().enumerate() {
        let value = [bytes.as_slice(), key.as_bytes(), &[u8::try_from(number).expect("few")]].concat();
        assert_eq!(set(&*store, &name, key, &value, Expected::Nothing).await, StateOutcome::Written, "{key}");
        assert_eq!(get(&*store, &name, key).await, Some(value), "{key}");
    }
    assert_eq!(store.state_keys(&name, "", 100).await.unwrap().len(), keys.len());

    let large: Vec<u8> = (0..8_u32 << 20).map(|number| u8::try_from(number % 251).expect("below 251")).collect();
    assert_eq!(set(&*store, &name, "large", &large, Expected::Anything).await, StateOutcome::Written);
    assert!(get(&*store, &name, "large").await == Some(large.clone()));
    assert_eq!(set(&*store, &name, "large", b"", Expected::Value(&large)).await, StateOutcome::Written);
}

pub async fn a_write_may_expect_something(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let check = async |value: &[u8], expected: Expected<'_>, outcome: StateOutcome, then: Option<&[u8]>| {
        assert_eq!(set(&*store, &name, "k", value, expected).await, outcome, "{expected:?}");
        assert_eq!(get(&*store, &name, "k").await.as_deref(), then, "{expected:?}");
    };
    check(b"x", Expected::Value(b""), StateOutcome::Changed, None).await;
    check(b"x", Expected::Value(b"x"), StateOutcome::Changed, None).await;
    check(b"one", Expected::Nothing, StateOutcome::Written, Some(b"one")).await;
    check(b"x", Expected::Nothing, StateOutcome::Changed, Some(b"one")).await;
    check(b"x", Expected::Value(b"on"), StateOutcome::Changed, Some(b"one")).await;
    check(b"x", Expected::Value(b"two"), StateOutcome::Changed, Some(b"one")).await;
    check(b"", Expected::Value(b"one"), StateOutcome::Written, Some(b"")).await;
    check(b"x", Expected::Nothing, StateOutcome::Changed, Some(b"")).await;
    check(b"two", Expected::Value(b""), StateOutcome::Written, Some(b"two")).await;
    check(b"three", Expected::Anything, StateOutcome::Written, Some(b"three")).await;
}

pub async fn capacity_counts_keys_and_values(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let set = async |key: &str, length: usize, capacity: u64| {
        let write = StateWrite { key, value: &vec![7; length], expected: Expected::Anything };
        store.state_set(&name, write, capacity).await.expect("the store works")
    };
    assert_eq!(set("ab", 8, 10).await, StateOutcome::Written, "exactly full");
    assert_eq!(set("c", 0, 10).await, StateOutcome::OverCapacity(11));
    assert_eq!(set("ab", 9, 10).await, StateOutcome::OverCapacity(11));
    assert_eq!(get(&*store, &name, "ab").await, Some(vec![7; 8]), "the old value stays");
    assert_eq!(set("ab", 3, 10).await, StateOutcome::Written, "a smaller one makes room");
    assert_eq!(set("é", 3, 10).await, StateOutcome::Written, "keys count in bytes");
    assert_eq!(set("ab", 4, 10).await, StateOutcome::OverCapacity(11));
    store.state_delete(&name, "é").await.unwrap();
    store.state_delete(&name, "é").await.unwrap();
    assert_eq!(set("ab", 8, 10).await, StateOutcome::Written, "removing makes room");
    assert_eq!(set("x", 0, 0).await, StateOutcome::OverCapacity(11));

    let changed = StateWrite { key: "ab", value: &[0; 100], expected: Expected::Nothing };
    assert_eq!(
        store.state_set(&name, changed, 10).await.unwrap(),
        StateOutcome::Changed,
        "what is expected comes first"
    );
}

pub async fn keys_are_found_by_prefix_byte_for_byte(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let keys =
        ["a", "A", "a%", "a_b", "axb", "aXb", "ab", "b", "é", "éa", "e", "z\u{10ffff}", "za", "a/1", "a/10", "a/2"];
    for key in keys {
        set(&*store, &name, key, b"v", Expected::Anything).await;
    }
    let check = async |prefix: &str, limit: u32, expected: &[&str]| {
        assert_eq!(store.state_keys(&name, prefix, limit).await.unwrap(), expected, "{prefix}");
    };
    check("a_", 10, &["a_b"]).await;
    check("a%", 10, &["a%"]).await;
    check("A", 10, &["A"]).await;
    check("a/", 10, &["a/1", "a/10", "a/2"]).await;
    check("a/1", 10, &["a/1", "a/10"]).await;
    check("a/1", 1, &["a/1"]).await;
    check("é", 10, &["é", "éa"]).await;
    check("z", 10, &["za", "z\u{10ffff}"]).await;
    check("none", 10, &[]).await;
    check("", 0, &[]).await;
    let mut sorted = keys;
    sorted.sort_unstable();
    check("", 100, &sorted).await;
    check("", 3, &sorted[..3]).await;
}

pub async fn plugins_do_not_see_each_others_state(store: Arc<dyn Store>) {
    let (one, two, absent) = (name("a"), name("a-b"), name("absent"));
    put(&*store, &one).await;
    put(&*store, &two).await;
    set(&*store, &one, "k", b"of a", Expected::Nothing).await;
    assert_eq!(set(&*store, &two, "k", b"of a-b", Expected::Nothing).await, StateOutcome::Written);
    let write = StateWrite { key: "l", value: b"", expected: Expected::Anything };
    assert_eq!(store.state_set(&two, write, 8).await.unwrap(), StateOutcome::Written, "capacity is counted apart");
    store.state_delete(&one, "k").await.unwrap();
    assert_eq!(get(&*store, &two, "k").await.as_deref(), Some(b"of a-b".as_slice()));
    assert_eq!(store.state_keys(&one, "", 10).await.unwrap(), Vec::<String>::new());

    let write = StateWrite { key: "k", value: b"v", expected: Expected::Anything };
    assert_conflict(store.state_set(&absent, write, PLENTY).await);
    assert_eq!(get(&*store, &absent, "k").await, None);
}

pub async fn of_many_first_writes_one_wins(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let writers = (0..20_u8).map(|writer| {
        let (store, name) = (Arc::clone(&store), name.clone());
        tokio::spawn(async move { (writer, set(&*store, &name, "leader", &[writer], Expected::Nothing).await) })
    });
    let mut winners = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.expect("no panic") {
            (writer, StateOutcome::Written) => winners.push(writer),
            (_, outcome) => assert_eq!(outcome, StateOutcome::Changed),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(get(&*store, &name, "leader").await, Some(winners));
}

pub async fn increments_are_not_lost(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    set(&*store, &name, "count", b"0", Expected::Nothing).await;
    let tasks = (0..6).map(|_| {
        let (store, name) = (Arc::clone(&store), name.clone());
        tokio::spawn(async move {
            for _ in 0..5 {
                loop {
                    let present = get(&*store, &name, "count").await.expect("it is there");
                    let count: u32 = String::from_utf8_lossy(&present).parse().expect("a number");
                    let next = (count + 1).to_string();
                    let outcome = set(&*store, &name, "count", next.as_bytes(), Expected::Value(&present)).await;
                    if outcome == StateOutcome::Written {
                        break;
                    }
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    assert_eq!(get(&*store, &name, "count").await.as_deref(), Some(b"30".as_slice()));
}

pub async fn capacity_holds_against_many_writers(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let writers = (0..20).map(|writer| {
        let (store, name) = (Arc::clone(&store), name.clone());
        tokio::spawn(async move {
            let write = StateWrite { key: &format!("{writer:02}"), value: &[0; 8], expected: Expected::Anything };
            store.state_set(&name, write, 75).await.expect("the store works")
        })
    });
    let mut written = 0;
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.expect("no panic") {
            StateOutcome::Written => written += 1,
            outcome => assert_eq!(outcome, StateOutcome::OverCapacity(80)),
        }
    }
    assert_eq!(written, 7);
    assert_eq!(store.state_keys(&name, "", 100).await.unwrap().len(), 7);
}

/// A deadline drops the future of a call wherever it stands.
pub async fn an_abandoned_write_leaves_the_store_usable(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    for step in 0..40_u32 {
        let write = StateWrite { key: "k", value: &step.to_be_bytes(), expected: Expected::Anything };
        let mut writing = store.state_set(&name, write, PLENTY);
        let mut left = step;
        std::future::poll_fn(|context| match writing.as_mut().poll(context) {
            Poll::Pending if left > 0 => {
                left -= 1;
                Poll::Pending
            }
            Poll::Pending | Poll::Ready(_) => Poll::Ready(()),
        })
        .await;
        drop(writing);
    }
    assert_eq!(set(&*store, &name, "k", b"last", Expected::Anything).await, StateOutcome::Written);
    assert_eq!(get(&*store, &name, "k").await.as_deref(), Some(b"last".as_slice()));
    let write = StateWrite { key: "k", value: b"last", expected: Expected::Anything };
    assert_eq!(store.state_set(&name, write, 5).await.unwrap(), StateOutcome::Written, "the size was kept up to date");
}

/// Writes that are acknowledged after a failed write are kept, whatever the failure.
pub async fn s18_failed_writes_take_no_later_ones_with_them(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    for step in 0..30_u32 {
        let key = format!("key-{step}");
        // Refused because of a conflict, its size, or a missing plugin, and cancelled in the middle.
        let expected = Expected::Value(b"never");
        assert_eq!(set(&*store, &name, "k", b"v", expected).await, StateOutcome::Changed);
        let write = StateWrite { key: "k", value: b"too large", expected: Expected::Anything };
        assert!(matches!(store.state_set(&name, write, 1).await.unwrap(), StateOutcome::OverCapacity(_)));
        let stranger = "stranger".parse().unwrap();
        assert_conflict(store.state_set(&stranger, write, PLENTY).await);
        {
            let mut writing = store.state_set(&name, write, PLENTY);
            std::future::poll_fn(|context| {
                let _ = writing.as_mut().poll(context);
                Poll::Ready(())
            })
            .await;
        }
        assert_eq!(set(&*store, &name, &key, b"kept", Expected::Anything).await, StateOutcome::Written);
        for earlier in 0..=step {
            assert!(get(&*store, &name, &format!("key-{earlier}")).await.is_some(), "key-{earlier} is lost");
        }
    }
    assert_eq!(store.write_fault(), None);
}
