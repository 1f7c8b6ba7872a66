//! Configuration.

use std::sync::Arc;

use outrigger_engine::Store;
use outrigger_engine::store::ConfigurationRecord;
use serde_json::{Map, Value, json};

use super::fixtures::{assert_conflict, name, put};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is not an object"),
    }
}

pub async fn configurations_count_their_changes(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    assert_eq!(store.configuration_fetch(&name).await.unwrap(), None);
    let (first, second) = (object(json!({ "region": "eu" })), object(json!({})));
    assert_eq!(store.configuration_put(&name, &first, 0).await.unwrap(), 1);
    assert_conflict(store.configuration_put(&name, &second, 0).await);
    assert_conflict(store.configuration_put(&name, &second, 2).await);
    let present = ConfigurationRecord { values: first, revision: 1 };
    assert_eq!(store.configuration_fetch(&name).await.unwrap(), Some(present));
    assert_eq!(store.configuration_put(&name, &second, 1).await.unwrap(), 2);
    let present = ConfigurationRecord { values: second, revision: 2 };
    assert_eq!(store.configuration_fetch(&name).await.unwrap(), Some(present));
}

pub async fn values_come_back_as_they_were_set(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let values = object(json!({
        "zulu": [1, 2.5, -3, 0.1, 1e300, u64::MAX, i64::MIN],
        "alpha": { "nested": { "deep": [null, true, false, ""] } },
        "ключ": "'; DROP TABLE configurations; --",
        "quotes": "\"'`\\ \n\t ☂ \u{1f980}",
        "": "an empty key",
        "large": "x".repeat(200_000),
    }));
    store.configuration_put(&name, &values, 0).await.unwrap();
    let found = store.configuration_fetch(&name).await.unwrap().expect("it was set").values;
    assert_eq!(found, values);
    assert!(found.keys().eq(values.keys()), "the order of keys is kept");
}

pub async fn of_two_configurations_one_wins(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    for expected in 0..4 {
        let writers = (0..8).map(|writer| {
            let (store, name) = (Arc::clone(&store), name.clone());
            let values = object(json!({ "writer": writer }));
            tokio::spawn(async move { (writer, store.configuration_put(&name, &values, expected).await) })
        });
        let mut winners = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.expect("no panic") {
                (writer, Ok(revision)) => {
                    assert_eq!(revision, expected + 1);
                    winners.push(writer);
                }
                (_, conflict) => assert_conflict(conflict),
            }
        }
        assert_eq!(winners.len(), 1);
        let present = store.configuration_fetch(&name).await.unwrap().expect("one has won");
        assert_eq!(present.values, object(json!({ "writer": winners[0] })));
    }
}

pub async fn a_configuration_needs_its_plugin(store: Arc<dyn Store>) {
    let absent = name("absent");
    assert_conflict(store.configuration_put(&absent, &Map::new(), 0).await);
    assert_conflict(store.configuration_put(&absent, &Map::new(), 1).await);
    assert_eq!(store.configuration_fetch(&absent).await.unwrap(), None);
}
