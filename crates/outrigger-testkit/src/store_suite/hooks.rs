//! Hooks and subscriptions.

use std::sync::Arc;

use outrigger_contract::{HookKind, OnError};
use outrigger_engine::Store;
use outrigger_engine::hooks::{HookRecord, Source, Subscription};

use super::fixtures::{assert_conflict, hook, moment, name, subscription};

fn declared(hook_name: &str, plugin: &str) -> HookRecord {
    HookRecord { plugin: Some(name(plugin)), ..hook(hook_name) }
}

fn of_manifest(id: &str, plugin: &str) -> Subscription {
    Subscription { source: Source::Manifest, ..subscription(id, &name(plugin)) }
}

async fn ids(store: &dyn Store) -> Vec<String> {
    store.subscription_list().await.expect("the store works").into_iter().map(|kept| kept.id).collect()
}

pub async fn a_hook_comes_back_as_it_was_created(store: Arc<dyn Store>) {
    assert_eq!(store.hook_list().await.unwrap(), []);
    let filter = HookRecord {
        kind: HookKind::Filter,
        description: "☂ “quoted”\nin lines".to_owned(),
        created_at: moment(7),
        ..declared("price.shown", "pricing")
    };
    for hook in [&filter, &hook("customer.created")] {
        store.hook_create(hook).await.unwrap();
    }
    assert_eq!(store.hook_list().await.unwrap(), [hook("customer.created"), filter.clone()], "by name");
    assert_conflict(store.hook_create(&HookRecord { plugin: None, ..filter.clone() }).await);
    assert!(store.hook_delete(&filter.name).await.unwrap());
    assert!(!store.hook_delete(&filter.name).await.unwrap());
    assert_eq!(store.hook_list().await.unwrap(), [hook("customer.created")]);
}

pub async fn a_subscription_comes_back_as_it_was_put(store: Arc<dyn Store>) {
    assert_eq!(store.subscription_list().await.unwrap(), []);
    let bare = subscription("A", &name("pricing"));
    let full = Subscription {
        priority: -5,
        condition: Some("event.country == 'NO' && event.name != \"☂\"".to_owned()),
        on_error: OnError::DisableAfter(3.try_into().expect("more than none")),
        description: Some("Writes it down.".to_owned()),
        enabled: false,
        reason: Some("failed 3 times".to_owned()),
        created_at: moment(9),
        failures: 3,
        ..of_manifest("B", "pricing")
    };
    for subscription in [&bare, &full] {
        store.subscription_put(subscription).await.unwrap();
    }
    assert_eq!(store.subscription_list().await.unwrap(), [bare.clone(), full.clone()]);
    let changed = Subscription { enabled: true, reason: None, failures: 0, ..full };
    store.subscription_put(&changed).await.unwrap();
    assert_eq!(store.subscription_list().await.unwrap(), [bare, changed], "it takes the place of the one with its id");
}

pub async fn subscriptions_are_listed_by_id(store: Arc<dyn Store>) {
    for id in ["C", "A", "B"] {
        store.subscription_put(&subscription(id, &name("pricing"))).await.unwrap();
    }
    assert_eq!(ids(&*store).await, ["A", "B", "C"]);
    assert!(store.subscription_delete("B").await.unwrap());
    assert!(!store.subscription_delete("B").await.unwrap());
    assert_eq!(ids(&*store).await, ["A", "C"]);
}

pub async fn a_manifest_replaces_what_it_declared(store: Arc<dyn Store>) {
    let (pricing, other) = (name("pricing"), name("other"));
    store.hook_create(&hook("by.hand")).await.unwrap();
    store.subscription_put(&subscription("A", &pricing)).await.unwrap();
    store.hook_replace(&other, &[declared("other.done", "other")], &[of_manifest("B", "other")]).await.unwrap();
    let first = [declared("price.shown", "pricing"), declared("price.changed", "pricing")];
    store.hook_replace(&pricing, &first, &[of_manifest("C", "pricing"), of_manifest("D", "pricing")]).await.unwrap();
    assert_eq!(store.hook_list().await.unwrap().len(), 4);
    assert_eq!(ids(&*store).await, ["A", "B", "C", "D"]);

    let second = declared("price.shown", "pricing");
    store.hook_replace(&pricing, std::slice::from_ref(&second), &[of_manifest("D", "pricing")]).await.unwrap();
    let kept = [hook("by.hand"), declared("other.done", "other"), second];
    assert_eq!(store.hook_list().await.unwrap(), kept, "what others declare, and what was added by hand, stays");
    assert_eq!(ids(&*store).await, ["A", "B", "D"]);

    store.hook_replace(&pricing, &[], &[]).await.unwrap();
    assert_eq!(ids(&*store).await, ["A", "B"]);
}

pub async fn a_manifest_takes_no_hook_of_another(store: Arc<dyn Store>) {
    let pricing = name("pricing");
    store.hook_create(&hook("by.hand")).await.unwrap();
    store.hook_replace(&name("other"), &[declared("other.done", "other")], &[]).await.unwrap();
    for taken in ["by.hand", "other.done"] {
        assert_conflict(store.hook_replace(&pricing, &[declared(taken, "pricing")], &[]).await);
    }
    assert_eq!(store.hook_list().await.unwrap(), [hook("by.hand"), declared("other.done", "other")]);
}

pub async fn what_cannot_all_be_replaced_is_left_as_it_was(store: Arc<dyn Store>) {
    let pricing = name("pricing");
    store.hook_create(&hook("by.hand")).await.unwrap();
    let before = declared("price.shown", "pricing");
    store.hook_replace(&pricing, std::slice::from_ref(&before), &[of_manifest("A", "pricing")]).await.unwrap();
    let wrong = [declared("price.changed", "pricing"), declared("by.hand", "pricing")];
    assert_conflict(store.hook_replace(&pricing, &wrong, &[of_manifest("B", "pricing")]).await);
    assert_eq!(store.hook_list().await.unwrap(), [hook("by.hand"), before]);
    assert_eq!(ids(&*store).await, ["A"]);
}
