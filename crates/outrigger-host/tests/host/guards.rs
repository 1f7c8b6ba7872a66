//! A hook with an unavailable fail-closed subscriber stays closed until a key with the right over hooks lifts the
//! subscription.

use std::sync::Arc;

use outrigger_api::{
    CheckOutcome, Code, EventQuery, FireRequest, InstallRequest, PackageSource, Platform, RollbackRequest,
};
use serde_json::{Value as Json, json};

use crate::bench::call;
use crate::yard::{GUARD, Yard, guard, install, refused, shop, subject};

const CLOSED: &str = "hook_failed";

/// The outcome of `shop.priced` for the plugin that fires it.
async fn fired(yard: &Yard, payload: Json) -> String {
    let arguments = json!({"hook": "shop.priced", "payload": payload.to_string()});
    match call(&yard.bench.platform, "shop.fire", arguments).await {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.detail.map_or_else(|| error.code.to_string(), |said| text(&said["code"])),
    }
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

async fn key(yard: &Yard, name: &str, allow: &[&str]) -> Arc<dyn Platform> {
    let role = serde_json::from_value(json!({"allow": allow})).expect("a request");
    yard.bench.platform.role_put(name, role, None).await.expect("it is made");
    let request = serde_json::from_value(json!({"name": name, "roles": [name]})).expect("a request");
    let key = yard.bench.platform.key_create(request).await.expect("it is made").key;
    outrigger_api::Door::enter(&yard.host, &key, outrigger_api::Visit::default()).await.expect("it is let in")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_condition_that_cannot_be_evaluated_keeps_the_hook_closed() {
    let yard = Yard::new().await;
    shop(&yard).await;
    let matched = "event.text.matches('^[01]*1[01]{900}$')";
    for (number, (condition, carried, why)) in [
        ("event.age > 3", json!({"name": "Ada"}), "there is no `age`"),
        ("event.age > 3", json!({"age": "young"}), "the condition cannot be evaluated"),
        ("event.age", json!({"age": 4}), "and not true or false"),
        (matched, json!({"text": "01".repeat(30_000)}), "too large for the conditions of this plugin"),
    ]
    .into_iter()
    .enumerate()
    {
        let guarding = format!("{GUARD}condition = \"{condition}\"\n");
        let package = guard(&yard, &format!("1.{number}.0"), &guarding);
        yard.granted(&package).await;
        assert_eq!(fired(&yard, carried.clone()).await, CLOSED, "{condition}");
        // The trace shows it, also for a firing over the API and a dry run.
        for dry_run in [false, true] {
            let hook = "shop.priced".parse().expect("a name");
            let request = FireRequest { payload: carried.clone(), dry_run };
            let report = yard.bench.platform.hook_fire(&hook, request).await.expect("it is tried");
            assert_eq!(report.trace.result, "failed", "{condition}");
            let said = report.trace.callbacks[0].message.clone().unwrap_or_default();
            assert!(said.contains(why), "{condition}: {said}");
        }
        // A key without the right over hooks cannot lift it.
        let id = yard.bench.platform.subscription_list(&Default::default()).await.expect("it lists").remove(0).id;
        refused(yard.developer.subscription_switch(&id, false).await, Code::Forbidden, "hook_delete");
        assert_eq!(fired(&yard, carried.clone()).await, CLOSED, "{condition}");
        yard.bench.platform.subscription_switch(&id, false).await.expect("an administrator may");
        assert_eq!(fired(&yard, carried).await, "ok", "{condition}");
        yard.bench.platform.plugin_uninstall(&subject()).await.expect("it is removed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_hook_stays_closed_whatever_becomes_of_its_guard() {
    let yard = Yard::new().await;
    let platform = Arc::clone(&yard.bench.platform);
    shop(&yard).await;
    yard.granted(&guard(&yard, "1.0.0", GUARD)).await;
    assert_eq!(fired(&yard, json!("x")).await, "ok");

    yard.developer.plugin_disable(&subject()).await.expect("a developer may");
    assert_eq!(fired(&yard, json!("x")).await, CLOSED, "disabled");
    yard.developer.plugin_enable(&subject()).await.expect("a developer may");
    assert_eq!(fired(&yard, json!("x")).await, "ok");

    // While it is reloaded, the hook waits or refuses, and never passes a payload unchecked.
    let reloading = {
        let developer = Arc::clone(&yard.developer);
        tokio::spawn(async move {
            for _ in 0..5 {
                developer.plugin_reload(&subject()).await.expect("a developer may");
            }
        })
    };
    while !reloading.is_finished() {
        let arguments = json!({"hook": "shop.priced", "payload": "\"x\""});
        if let Ok(answer) = call(&platform, "shop.fire", arguments).await {
            assert_eq!(answer, json!("\"xa\""), "the guard has seen it");
        }
    }
    reloading.await.expect("it is reloaded");

    // An approver without the right over hooks cannot install a version without the subscription, and cannot roll back
    // to one.
    let approver = key(&yard, "approver", &["plugin_*", "path_use"]).await;
    let without = guard(&yard, "1.1.0", "");
    let source = PackageSource::Path(without.clone());
    let digest = approver.package_inspect(&source).await.expect("it is read").digest;
    let approved = InstallRequest { approved: Some(digest), ..InstallRequest::new(source) };
    refused(approver.plugin_install(approved.clone()).await, Code::Forbidden, "hook_delete");
    refused(install(&*approver, &without).await, Code::GrantRequired, "end or change its fail-closed subscription");
    platform.plugin_disable(&subject()).await.expect("it is disabled");
    assert_eq!(fired(&yard, json!("x")).await, CLOSED, "it is still there");
    refused(approver.plugin_install(approved.clone()).await, Code::Forbidden, "hook_delete");

    // The plugin is removed, and another package without the guard takes its name.
    platform.plugin_uninstall(&subject()).await.expect("it is removed");
    assert_eq!(fired(&yard, json!("x")).await, CLOSED, "uninstalled");
    refused(approver.plugin_install(approved.clone()).await, Code::Forbidden, "hook_delete");
    refused(yard.developer_installs(&without).await, Code::GrantRequired, "");
    assert_eq!(fired(&yard, json!("x")).await, CLOSED, "nobody has lifted it");
    let lifter = key(&yard, "lifter", &["plugin_*", "path_use", "hook_delete:shop.*"]).await;
    lifter.plugin_install(approved).await.expect("it may approve and lift");
    assert_eq!(fired(&yard, json!("x")).await, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_going_back_to_a_version_without_the_guard_takes_the_right_over_hooks() {
    let yard = Yard::new().await;
    shop(&yard).await;
    yard.granted(&guard(&yard, "1.0.0", "")).await;
    yard.granted(&guard(&yard, "1.1.0", GUARD)).await;
    let approver = key(&yard, "approver", &["plugin_*"]).await;
    for dry_run in [true, false] {
        let outcome = approver.plugin_rollback(&subject(), RollbackRequest { dry_run }).await;
        refused(outcome, Code::Forbidden, "hook_delete");
    }
    let lifter = key(&yard, "lifter", &["plugin_*", "hook_delete"]).await;
    lifter.plugin_rollback(&subject(), RollbackRequest { dry_run: false }).await.expect("it may");
    assert_eq!(fired(&yard, json!("x")).await, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_a_hook_of_a_plugin_is_fired_with_a_right_over_it_and_the_event_names_the_caller() {
    let yard = Yard::new().await;
    shop(&yard).await;
    let hook = "shop.sold".parse().expect("a name");
    let fire = |dry_run: bool| FireRequest { payload: json!("x"), dry_run };
    let stranger = key(&yard, "stranger", &["hook_execute", "plugin_modify:subject"]).await;
    refused(stranger.hook_fire(&hook, fire(false)).await, Code::Forbidden, "plugin_modify");
    stranger.hook_fire(&hook, fire(true)).await.expect("it may see what would happen");
    let keeper = key(&yard, "keeper", &["hook_execute", "plugin_modify:shop"]).await;
    keeper.hook_fire(&hook, fire(false)).await.expect("it may");
    let arguments = json!({"hook": "shop.sold", "payload": "\"x\""});
    call(&yard.bench.platform, "shop.fire", arguments).await.expect("a plugin fires its own");
    let query = EventQuery { name: "shop.sold".parse().ok(), ..EventQuery::default() };
    let events = yard.bench.platform.event_list(&query).await.expect("it lists");
    let callers: Vec<_> = events.iter().map(|event| event.caller.as_deref().unwrap_or_default()).collect();
    assert_eq!(callers, ["plugin shop.fire", "key keeper"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_guard_that_breaks_and_is_removed_keeps_the_hook_closed() {
    let yard = Yard::new().await;
    shop(&yard).await;
    let guarding = "[[subscriptions]]\nhook = \"shop.priced\"\nfunction = \"crash\"\non-error = \"fail-closed\"\n";
    yard.granted(&guard(&yard, "1.0.0", guarding)).await;
    assert_eq!(fired(&yard, json!("x")).await, CLOSED, "it fails each time");
    yard.bench.platform.plugin_uninstall(&subject()).await.expect("it is removed");
    assert_eq!(fired(&yard, json!("x")).await, CLOSED);
    let yard = yard.reopened(&[]).await;
    assert_eq!(fired(&yard, json!("x")).await, CLOSED, "also for the next process");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_whoever_stops_a_guard_is_told_what_is_closed() {
    let yard = Yard::new().await;
    shop(&yard).await;
    yard.granted(&guard(&yard, "1.0.0", GUARD)).await;
    let hook = "shop.priced".parse().expect("a name");
    let platform = &yard.bench.platform;
    assert!(platform.hook_fetch(&hook).await.expect("it is there").closed_by.is_empty());
    let report = yard.developer.plugin_disable(&subject()).await.expect("a developer may");
    let [closed] = &report.closed_hooks[..] else { panic!("one is closed: {report:?}") };
    assert_eq!((closed.hook.as_str(), closed.reason.as_str()), ("shop.priced", "the plugin `subject` is disabled"));
    assert!(closed.sentence().contains(&format!("`outrigger hook disable {}` opens it", closed.subscription)));
    assert_eq!(platform.hook_fetch(&hook).await.expect("it is there").closed_by, report.closed_hooks);
    let listed = platform.hook_list().await.expect("it lists");
    assert_eq!(listed.iter().filter(|hook| !hook.closed_by.is_empty()).count(), 1);
    let doctor = platform.doctor().await.expect("it looks");
    let found = doctor.checks.iter().find(|check| check.name == "hook shop.priced").expect("it says so");
    assert_eq!(found.outcome, CheckOutcome::Warning);
    let payload = || json!({"hook": "shop.priced", "payload": "\"x\""});
    let error = call(platform, "shop.fire", payload()).await.expect_err("it is closed");
    assert_eq!(error.detail.expect("the function says why")["code"], "hook_failed");
    // A developer cannot lift it; an administrator can.
    refused(yard.developer.subscription_switch(&closed.subscription, false).await, Code::Forbidden, "hook_delete");
    platform.subscription_switch(&closed.subscription, false).await.expect("it may");
    assert_eq!(call(platform, "shop.fire", payload()).await.expect("it is open"), json!("\"x\""));
    assert!(platform.plugin_uninstall(&subject()).await.expect("it is removed").closed_hooks.is_empty());
}
