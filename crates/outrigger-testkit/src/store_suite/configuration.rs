//! Configuration.

use std::sync::Arc;

use outrigger_engine::store::{
    CONFIGURATION_BYTES_KEPT, CONFIGURATION_REVISIONS_KEPT, ConfigurationRecord, ConfigurationRevision,
    ConfigurationRewrite,
};
use outrigger_engine::{CorrelationId, Store};
use serde_json::{Map, Value, json};

use super::fixtures::{assert_conflict, moment, name, put};

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is not an object"),
    }
}

/// A revision with these values, set by the test.
#[must_use]
pub fn set(revision: u64, values: Value) -> ConfigurationRevision {
    ConfigurationRevision {
        revision,
        at: moment(revision),
        author: "the test".to_owned(),
        correlation: CorrelationId::new(),
        restores: None,
        values: object(values),
    }
}

fn present(revision: &ConfigurationRevision) -> ConfigurationRecord {
    ConfigurationRecord { values: revision.values.clone(), revision: revision.revision }
}

pub async fn configurations_count_their_changes(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    assert_eq!(store.configuration_fetch(&name).await.unwrap(), None);
    assert_eq!(store.configuration_revisions(&name).await.unwrap(), []);
    let (first, second) = (set(1, json!({ "region": "eu" })), set(2, json!({})));
    store.configuration_put(&name, &first).await.unwrap();
    for wrong in [0, 1, 3] {
        assert_conflict(store.configuration_put(&name, &set(wrong, json!({}))).await);
    }
    assert_eq!(store.configuration_fetch(&name).await.unwrap(), Some(present(&first)));
    store.configuration_put(&name, &second).await.unwrap();
    assert_eq!(store.configuration_fetch(&name).await.unwrap(), Some(present(&second)));
}

pub async fn configurations_keep_their_revisions(store: Arc<dyn Store>) {
    let (name, other) = (name("pricing"), super::name("other"));
    put(&*store, &name).await;
    put(&*store, &other).await;
    let restoring = ConfigurationRevision { restores: Some(1), ..set(2, json!({ "region": "eu" })) };
    let revisions = [set(1, json!({ "region": "eu" })), restoring];
    for revision in &revisions {
        store.configuration_put(&name, revision).await.unwrap();
    }
    let [first, second] = revisions;
    assert_eq!(store.configuration_revisions(&name).await.unwrap(), [second, first.clone()]);
    assert_eq!(store.configuration_revision(&name, 1).await.unwrap(), Some(first));
    assert_eq!(store.configuration_revision(&name, 3).await.unwrap(), None);
    assert_eq!(store.configuration_revision(&other, 1).await.unwrap(), None);
    assert_eq!(store.configuration_revisions(&other).await.unwrap(), []);
}

pub async fn old_revisions_of_configurations_go(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let newest = CONFIGURATION_REVISIONS_KEPT + 3;
    for revision in 1..=newest {
        store.configuration_put(&name, &set(revision, json!({ "number": revision }))).await.unwrap();
    }
    let kept: Vec<_> = store.configuration_revisions(&name).await.unwrap().iter().map(|kept| kept.revision).collect();
    assert_eq!(kept, (4..=newest).rev().collect::<Vec<_>>());
}

pub async fn s06_large_revisions_of_configurations_go_sooner(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let configure = async |revision: u64, bytes: u64| {
        // Bytes, not characters.
        let text = "é".repeat(usize::try_from(bytes / 2).unwrap());
        store.configuration_put(&name, &set(revision, json!({ "text": text }))).await.unwrap();
        let kept = store.configuration_revisions(&name).await.unwrap();
        kept.iter().map(|kept| kept.revision).collect::<Vec<_>>()
    };
    let third = CONFIGURATION_BYTES_KEPT / 3;
    configure(1, third - 100).await;
    configure(2, third - 100).await;
    assert_eq!(configure(3, third - 100).await, [3, 2, 1]);
    assert_eq!(configure(4, third - 100).await, [4, 3, 2]);
    assert_eq!(configure(5, third * 2).await, [5, 4]);
    assert_eq!(configure(6, CONFIGURATION_BYTES_KEPT + 2).await, [6], "the present one stays");
    assert_eq!(store.configuration_fetch(&name).await.unwrap().map(|present| present.revision), Some(6));
    assert_eq!(configure(7, 2).await, [7]);
}

pub async fn configurations_are_rewritten_together(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let revisions = [set(1, json!({ "token": "a" })), set(2, json!({ "token": "b" }))];
    for revision in &revisions {
        store.configuration_put(&name, revision).await.unwrap();
    }
    let rewrite = |revision, before: &str, after: &str| ConfigurationRewrite {
        plugin: name.clone(),
        revision,
        before: object(json!({ "token": before })),
        after: object(json!({ "token": after })),
    };
    let absent = ConfigurationRewrite { plugin: super::name("absent"), ..rewrite(1, "a", "A") };
    let rewrites = [rewrite(1, "a", "A"), rewrite(2, "changed meanwhile", "no"), rewrite(3, "a", "no"), absent];
    assert_eq!(store.configuration_rewrite(&rewrites).await.unwrap(), 1);
    assert_eq!(store.configuration_rewrite(&[rewrite(2, "b", "B")]).await.unwrap(), 1);
    let [first, second] = revisions;
    let first = ConfigurationRevision { values: object(json!({ "token": "A" })), ..first };
    let second = ConfigurationRevision { values: object(json!({ "token": "B" })), ..second };
    assert_eq!(store.configuration_fetch(&name).await.unwrap(), Some(present(&second)));
    assert_eq!(store.configuration_revisions(&name).await.unwrap(), [second, first]);
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
    store.configuration_put(&name, &set(1, Value::Object(values.clone()))).await.unwrap();
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
            let revision = set(expected + 1, json!({ "writer": writer }));
            tokio::spawn(async move { (writer, store.configuration_put(&name, &revision).await) })
        });
        let mut winners = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.expect("no panic") {
                (writer, Ok(())) => winners.push(writer),
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
    assert_conflict(store.configuration_put(&absent, &set(1, json!({}))).await);
    assert_conflict(store.configuration_put(&absent, &set(2, json!({}))).await);
    assert_eq!(store.configuration_fetch(&absent).await.unwrap(), None);
}
