//! The health of plugins.

use std::sync::Arc;
use std::time::Duration;

use outrigger_engine::Store;
use outrigger_engine::health::machine::{Grade, Run, Standing, Status};
use outrigger_engine::health::{HealthChange, HealthRecord, LastCheck};

use super::fixtures::{assert_conflict, moment, name, put};

/// A record with something in every part of it.
fn whole(plugin: &str) -> HealthRecord {
    let change = |at, from, to| HealthChange { at: moment(at), from, to, reason: format!("it is \"{to}\"") };
    HealthRecord {
        plugin: name(plugin),
        standing: Standing {
            status: Status::Unhealthy,
            run: Run { failed: 4, passed: 0, impaired: 5, healthy: 0 },
            restarts: vec![moment(10), moment(30)],
            restart_at: Some(moment(50)),
        },
        last_check: Some(LastCheck {
            at: moment(40),
            grade: Grade::Failed,
            reason: Some("no answer".to_owned()),
            duration: Duration::from_micros(1_234_567),
        }),
        restarts_total: 7,
        changes: vec![change(1, Status::Healthy, Status::Degraded), change(9, Status::Degraded, Status::Unhealthy)],
    }
}

pub async fn health_comes_back_as_it_was_put(store: Arc<dyn Store>) {
    let (pricing, billing) = (name("pricing"), name("billing"));
    put(&*store, &pricing).await;
    put(&*store, &billing).await;
    assert_eq!(store.health_list().await.unwrap(), []);
    assert_eq!(store.health_fetch(&pricing).await.unwrap(), None);
    let least = HealthRecord::new(pricing.clone());
    store.health_put(&least).await.unwrap();
    assert_eq!(store.health_fetch(&pricing).await.unwrap(), Some(least));
    for record in [whole("pricing"), whole("billing")] {
        store.health_put(&record).await.unwrap();
    }
    assert_eq!(store.health_fetch(&pricing).await.unwrap(), Some(whole("pricing")));
    assert_eq!(store.health_list().await.unwrap(), [whole("billing"), whole("pricing")]);
}

pub async fn health_goes_with_its_plugin(store: Arc<dyn Store>) {
    assert_conflict(store.health_put(&whole("pricing")).await);
    let pricing = name("pricing");
    put(&*store, &pricing).await;
    store.health_put(&whole("pricing")).await.unwrap();
    assert!(store.plugin_delete(&pricing).await.unwrap());
    assert_eq!(store.health_list().await.unwrap(), []);
    put(&*store, &pricing).await;
    assert_eq!(store.health_fetch(&pricing).await.unwrap(), None);
}
