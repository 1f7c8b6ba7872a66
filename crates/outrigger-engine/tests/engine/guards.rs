//! Fail-closed subscribers: their hook stays closed while they are unavailable, until the subscription is disabled or
//! removed.

use outrigger_contract::units::Span;
use outrigger_contract::{Code, OnError, PluginName};
use outrigger_engine::hooks::{Firing, NewSubscription, Source, Subscription};
use outrigger_engine::life::{Change, Intent};
use outrigger_engine::{Caller, CorrelationId, Failure};
use serde_json::json;

use crate::bench::{Bench, installation, no_arguments};

/// A bench with `demo`, and a plugin `guard` with additions to its manifest.
async fn guarded(manifest: &str) -> Bench {
    let bench = Bench::new().await;
    bench.demo("[hooks.\"demo.made\"]\nkind = \"filter\"\ndescription = \"Something was made.\"\n").await;
    bench.engine.install(installation("guard", "1.0.0", manifest)).await.expect("it is installed");
    bench
}

async fn subscribe(bench: &Bench, hook: &str, on_error: OnError) -> Subscription {
    let new = NewSubscription {
        hook: hook.parse().expect("a name"),
        function: "guard.echo".parse().expect("a function's name"),
        priority: 0,
        condition: None,
        on_error,
        timeout: Span::from_secs(5),
        description: None,
        created_by: "the test".to_owned(),
    };
    bench.engine.subscribe(new).await.expect("it fits")
}

fn guard() -> PluginName {
    "guard".parse().expect("a name")
}

async fn call(bench: &Bench) -> String {
    let code = bench.code("demo.version", no_arguments()).await;
    if code.starts_with("ok ") { "ok".to_owned() } else { code }
}

async fn made(bench: &Bench) -> Option<Failure> {
    let firing = Firing::new("demo.made".parse().expect("a name"), json!("x"));
    bench.engine.fire(firing).await.expect("there is such a hook").failure
}

/// The reasons of closed hooks.
fn reasons(bench: &Bench) -> Vec<String> {
    bench.engine.closed_hooks().into_iter().map(|closed| closed.reason).collect()
}

async fn consult(bench: &Bench, plugin: &str, change: Change) -> Result<(), Failure> {
    let (plugin, digest) = (plugin.parse().expect("a name"), outrigger_contract::Digest::of(b"x"));
    let (by, correlation) = (Caller::Local, CorrelationId::new());
    bench.engine.consult(Intent { plugin: &plugin, change, version: "1.0.0".to_owned(), digest, by, correlation }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_disabled_guard_keeps_its_hook_closed_until_its_subscription_is_lifted() {
    let bench = guarded("").await;
    let subscription = subscribe(&bench, "call.before", OnError::FailClosed).await;
    assert_eq!(call(&bench).await, "ok");
    assert_eq!(reasons(&bench), [""; 0]);
    bench.engine.disable(&guard()).await.expect("it is disabled");
    let failure = bench.call("demo.version", no_arguments()).await.expect_err("nobody was asked");
    assert_eq!(failure.code, Code::HookFailed);
    assert!(failure.message.contains("the plugin `guard` is disabled"), "{}", failure.message);
    assert!(failure.advice().contains(&format!("outrigger hook disable {}", subscription.id)), "{}", failure.advice());
    assert_eq!(reasons(&bench), ["the plugin `guard` is disabled"]);
    bench.engine.subscription_switch(&subscription.id, false).await.expect("it is lifted");
    assert_eq!(call(&bench).await, "ok");
    assert_eq!(reasons(&bench), [""; 0]);
    bench.engine.subscription_switch(&subscription.id, true).await.expect("it is back");
    assert_eq!(call(&bench).await, "hook_failed");
    bench.engine.enable(&guard()).await.expect("it is enabled");
    assert_eq!(call(&bench).await, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_dry_run_shows_that_the_guard_cannot_be_asked() {
    let bench = guarded("").await;
    subscribe(&bench, "demo.made", OnError::FailClosed).await;
    bench.engine.disable(&guard()).await.expect("it is disabled");
    let hook = "demo.made".parse().expect("a name");
    let fired =
        bench.engine.fire(Firing { dry_run: true, ..Firing::new(hook, json!("x")) }).await.expect("it is tried");
    assert_eq!(fired.failure.expect("it is closed").code, Code::HookFailed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_guard_that_was_removed_keeps_its_hook_closed_also_after_a_restart() {
    let bench = guarded("").await;
    let subscription = subscribe(&bench, "demo.made", OnError::FailClosed).await;
    bench.engine.uninstall(&guard()).await.expect("it is removed");
    assert_eq!(made(&bench).await.expect("it is closed").code, Code::HookFailed);
    assert_eq!(reasons(&bench), ["the plugin `guard` is not installed"]);
    let bench = bench.restarted().await;
    assert_eq!(made(&bench).await.expect("it is closed").code, Code::HookFailed);
    bench.engine.unsubscribe(&subscription.id).await.expect("it is lifted");
    assert!(made(&bench).await.is_none());
    assert!(bench.restarted().await.engine.subscriptions().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_what_a_manifest_guards_stays_closed_when_its_plugin_is_removed() {
    let guards = "[[subscriptions]]\nhook = \"demo.made\"\nfunction = \"echo\"\non-error = \"fail-closed\"\n";
    let own = "[hooks.\"guard.own\"]\nkind = \"filter\"\ndescription = \"x\"\n\
               [[subscriptions]]\nhook = \"guard.own\"\nfunction = \"echo\"\non-error = \"fail-closed\"\n\
               [[subscriptions]]\nhook = \"demo.made\"\nfunction = \"echo\"\n";
    let manifest = format!("{own}{guards}");
    let bench = guarded(&manifest).await;
    assert!(made(&bench).await.is_none());
    bench.engine.uninstall(&guard()).await.expect("it is removed");
    let [kept] = &bench.engine.subscriptions()[..] else { panic!("only the guard stays") };
    assert_eq!((kept.hook.as_str(), kept.source, kept.on_error), ("demo.made", Source::Manifest, OnError::FailClosed));
    assert_eq!(made(&bench).await.expect("it is closed").code, Code::HookFailed);
    // After it is enabled again, it guards as before, and a subscription in its manifest cannot be removed.
    bench.engine.install(installation("guard", "1.0.0", &manifest)).await.expect("it is installed");
    assert!(made(&bench).await.is_none());
    assert_eq!(bench.engine.unsubscribe(&kept.id).await.expect_err("the manifest says so").code, Code::Conflict);
    bench.engine.uninstall(&guard()).await.expect("it is removed");
    bench.engine.unsubscribe(&kept.id).await.expect("nobody else can lift it");
    assert!(made(&bench).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_guard_that_failed_or_cannot_be_loaded_keeps_its_hook_closed() {
    let bench = guarded("").await;
    subscribe(&bench, "call.before", OnError::FailClosed).await;
    bench.engine.disable(&guard()).await.expect("it is disabled");
    bench.runtime.fail("guard:load");
    bench.engine.enable(&guard()).await.expect_err("it cannot be loaded");
    assert_eq!(call(&bench).await, "hook_failed");
    assert!(reasons(&bench)[0].starts_with("the plugin `guard` failed: "), "{:?}", reasons(&bench));
    bench.runtime.heal();
    bench.engine.enable(&guard()).await.expect("it is enabled");
    assert_eq!(call(&bench).await, "ok");
    // Loaded by another process, as after a restart: the guard is not loaded yet.
    let bench = bench.restarted().await;
    bench.runtime.fail("guard:load");
    assert_eq!(call(&bench).await, "hook_failed");
    bench.runtime.heal();
    assert_eq!(call(&bench).await, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_dead_guard_of_plugins_keeps_no_administrator_out() {
    let bench = guarded("").await;
    let subscription = subscribe(&bench, "plugin.before", OnError::FailClosed).await;
    bench.engine.disable(&guard()).await.expect("it is disabled");
    assert_eq!(consult(&bench, "demo", Change::Disable).await.expect_err("it is closed").code, Code::HookFailed);
    consult(&bench, "guard", Change::Enable).await.expect("the guard itself can be brought back");
    bench.engine.uninstall(&guard()).await.expect("it is removed");
    assert_eq!(consult(&bench, "demo", Change::Update).await.expect_err("it is closed").code, Code::HookFailed);
    consult(&bench, "guard", Change::Install).await.expect("the guard itself can be brought back");
    bench.engine.subscription_switch(&subscription.id, false).await.expect("it is lifted");
    consult(&bench, "demo", Change::Update).await.expect("nobody is asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_an_update_without_the_guarding_function_keeps_its_hook_closed() {
    let bench = guarded("").await;
    subscribe(&bench, "demo.made", OnError::FailClosed).await;
    let mut update = installation("guard", "1.1.0", "");
    update.revision.inspection.graph.functions.retain(|function| function.name != "echo");
    bench.engine.update(update).await.expect("it is updated");
    assert_eq!(made(&bench).await.expect("it is closed").code, Code::HookFailed);
    assert_eq!(reasons(&bench), ["the plugin `guard` has no function `echo`"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_who_is_not_fail_closed_is_passed_over_and_goes_with_its_plugin() {
    for on_error in [OnError::FailOpen, "disable-after(3)".parse().expect("a policy")] {
        let bench = guarded("").await;
        subscribe(&bench, "call.before", on_error).await;
        bench.engine.disable(&guard()).await.expect("it is disabled");
        assert_eq!(call(&bench).await, "ok");
        assert_eq!(reasons(&bench), [""; 0]);
        bench.engine.uninstall(&guard()).await.expect("it is removed");
        assert!(bench.engine.subscriptions().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_lifted_guard_does_not_come_back_with_another_package_of_the_name() {
    let bench = guarded("").await;
    let subscription = subscribe(&bench, "demo.made", OnError::FailClosed).await;
    bench.engine.subscription_switch(&subscription.id, false).await.expect("it is lifted");
    bench.engine.uninstall(&guard()).await.expect("it is removed");
    // The state after a process died before it ended the subscriptions of a removed plugin.
    let stale = Subscription { on_error: OnError::FailOpen, enabled: true, ..subscription };
    bench.store.subscription_put(&stale).await.expect("it is written");
    bench.engine.install(installation("guard", "2.0.0", "")).await.expect("it is installed");
    assert!(bench.restarted().await.engine.subscriptions().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_guard_that_was_lifted_is_not_left_to_the_next_package_of_the_name() {
    let bench = guarded("").await;
    let subscription = subscribe(&bench, "demo.made", OnError::FailClosed).await;
    bench.engine.uninstall(&guard()).await.expect("it is removed");
    bench.engine.subscription_switch(&subscription.id, false).await.expect("it is lifted");
    bench.engine.install(installation("guard", "2.0.0", "")).await.expect("it is installed");
    assert!(bench.engine.subscriptions().is_empty(), "neither here nor in the store");
    assert!(bench.store.subscription_list().await.expect("it lists").is_empty());
    let code = bench.engine.subscription_switch(&subscription.id, true).await.expect_err("it is gone").code;
    assert_eq!(code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_what_a_person_switched_off_is_not_switched_on_by_an_update() {
    let manifest = "[[subscriptions]]\nhook = \"demo.made\"\nfunction = \"echo\"\n";
    let bench = guarded(manifest).await;
    let states = |bench: &Bench| bench.engine.subscriptions().iter().map(|one| one.enabled).collect::<Vec<_>>();
    let id = bench.engine.subscriptions()[0].id.clone();
    bench.engine.subscription_switch(&id, false).await.expect("it is disabled");
    let otherwise = format!("{manifest}priority = 7\n{manifest}condition = \"true\"\n");
    for (version, manifest) in [("1.1.0", manifest), ("1.2.0", otherwise.as_str()), ("1.3.0", manifest)] {
        bench.engine.update(installation("guard", version, manifest)).await.expect("it is updated");
        assert!(states(&bench).iter().all(|on| !on), "{version}");
        assert!(states(&bench.restarted().await).iter().all(|on| !on), "{version}");
    }
    let id = bench.engine.subscriptions()[0].id.clone();
    bench.engine.subscription_switch(&id, true).await.expect("it is enabled");
    bench.engine.update(installation("guard", "1.4.0", manifest)).await.expect("it is updated");
    assert_eq!(states(&bench), [true]);
}
