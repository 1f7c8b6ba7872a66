//! The hooks that Outrigger fires itself: around calls, and in the life of a plugin.

use std::time::{Duration, Instant};

use outrigger_api::{ApiError, HookTraceQuery, StopReport};
use serde_json::{Value as Json, json};

use super::{bench, course, package, subscribe, trace};
use crate::bench::{call, names};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_a_call_its_arguments_may_be_changed_and_it_may_be_refused() {
    let bench = bench().await;
    let greet = async || match call(&bench.platform, "callbacks.greet", json!({"name": "Ada"})).await {
        Ok(value) => value.to_string(),
        Err(error) => format!("{}: {}", error.code, error.message),
    };
    assert_eq!(greet().await, "\"Ada\"");
    let of_greet = |more: Json| {
        let mut of = json!({"condition": "event.function == 'callbacks.greet' && event.arguments.name == 'Ada'"});
        of.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        of
    };
    let renamed = subscribe(&bench, "call.before", "rename", of_greet(json!({}))).await;
    assert_eq!(greet().await, "\"changed\"");
    // The subscriber's own call has fired nothing.
    let traces = bench.platform.hook_traces(&HookTraceQuery::default()).await.expect("it lists");
    assert_eq!(traces.len(), 1, "{traces:?}");
    bench.platform.subscription_delete(&renamed.id).await.expect("it is there");

    let refused = subscribe(&bench, "call.before", "refuse", of_greet(json!({}))).await;
    assert_eq!(greet().await, "hook_refused: the subscriber `callbacks.refuse` of `call.before` refused: not today");
    assert_eq!(
        call(&bench.platform, "callbacks.greet", json!({"name": "Bob"})).await.expect("another name"),
        json!("Bob")
    );
    bench.platform.subscription_delete(&refused.id).await.expect("it is there");

    let diverted = subscribe(&bench, "call.before", "divert", of_greet(json!({}))).await;
    assert!(greet().await.starts_with("hook_failed: a subscriber of `call.before` changed more than the arguments"));
    bench.platform.subscription_delete(&diverted.id).await.expect("it is there");

    subscribe(&bench, "call.before", "crash", of_greet(json!({"on_error": "fail-closed"}))).await;
    assert!(greet().await.starts_with("hook_failed: the subscriber `callbacks.crash` of `call.before` failed: "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_happened_is_told_in_the_background() {
    let bench = bench().await;
    let slow = json!({"timeout": "3s", "priority": 2});
    for hook in ["call.after", "configuration.changed"] {
        subscribe(&bench, hook, "measure", json!({"priority": 1})).await;
        subscribe(&bench, hook, "spin", slow.clone()).await;
    }
    // Compiled and loaded by now, whatever that took.
    call(&bench.platform, "callbacks.greet", json!({"name": "Ada"})).await.expect("it answers");
    let started = Instant::now();
    call(&bench.platform, "callbacks.greet", json!({"name": "Ada"})).await.expect("it answers");
    call(&bench.platform, "callbacks.crash", json!({"text": "x"})).await.expect_err("it traps");
    let name = "callbacks".parse().expect("a name");
    bench.platform.configuration_put(&name, serde_json::Map::new(), 0).await.expect("it is set");
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "nothing has waited for those who hang: {:?}",
        started.elapsed()
    );
    for hook in ["call.after", "configuration.changed"] {
        let told = trace(&bench.platform, hook).await;
        assert_eq!(course(&told), "measure done, spin failed(deadline_exceeded)", "{hook}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_life_of_a_plugin_is_told() {
    let bench = bench().await;
    let events = [
        "plugin.installed",
        "plugin.updated",
        "plugin.disabled",
        "plugin.enabled",
        "plugin.reloaded",
        "plugin.removed",
    ];
    for event in events {
        subscribe(&bench, event, "measure", json!({"condition": "event.plugin == 'hostile'"})).await;
    }
    let name = "hostile".parse().expect("a name");
    bench.install(&bench.hostile("1.0.0", "")).await.expect("it is installed");
    bench.install(&bench.hostile("1.0.1", "")).await.expect("it is updated");
    bench.platform.plugin_disable(&name).await.expect("it is disabled");
    bench.platform.plugin_enable(&name).await.expect("it is enabled");
    bench.platform.plugin_reload(&name).await.expect("it is reloaded");
    bench.platform.plugin_uninstall(&name).await.expect("it is removed");
    trace(&bench.platform, "plugin.removed").await;
    let traces = bench.platform.hook_traces(&HookTraceQuery::default()).await.expect("it lists");
    let told: Vec<_> = traces.iter().rev().map(|trace| trace.hook.as_str()).collect();
    assert_eq!(told, events, "each once, in the order in which it happened");
    assert!(traces.iter().all(|trace| course(trace) == "measure done" && trace.caller == "system"), "{traces:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_something_is_done_with_a_plugin_it_may_be_refused() {
    let bench = bench().await;
    let refusing = subscribe(
        &bench,
        "plugin.before",
        "refuse",
        json!({"condition": "event.plugin == 'hostile' && event.change in ['install', 'disable', 'remove']"}),
    )
    .await;
    let error = bench.install(&bench.hostile("1.0.0", "")).await.expect_err("it is refused");
    assert_eq!(error.code.as_str(), "hook_refused", "{}", error.message);
    assert!(error.message.ends_with("refused: not today"), "{}", error.message);
    assert_eq!(names(&bench.path("data/packages")).len(), 1, "nothing of it is there");
    let hostile = "hostile".parse().expect("a name");
    bench.platform.subscription_switch(&refusing.id, false).await.expect("it is there");
    bench.install(&bench.hostile("1.0.0", "")).await.expect("nobody minds any more");
    bench.platform.subscription_switch(&refusing.id, true).await.expect("it is there");
    let refused = |outcome: Result<StopReport, ApiError>| outcome.expect_err("it is refused").code.as_str().to_owned();
    assert_eq!(refused(bench.platform.plugin_disable(&hostile).await), "hook_refused");
    assert_eq!(refused(bench.platform.plugin_uninstall(&hostile).await), "hook_refused");
    bench.platform.plugin_reload(&hostile).await.expect("its condition says nothing of that");
    let told = trace(&bench.platform, "plugin.before").await;
    assert_eq!((course(&told).as_str(), told.caller.as_str()), ("refuse skipped(condition)", "local"));
    bench.install(&bench.hostile("2.0.0", "")).await.expect("nor of that");
    assert_eq!(bench.call("hostile.good", json!({"number": 7})).await.expect("it is there"), json!(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_a_guard_is_asked_before_the_files_of_a_plugin_are_replaced_by_its_own_package() {
    let bench = bench().await;
    let folder = bench.hostile("1.0.0", "");
    let digest = bench.install(&folder).await.expect("it is installed").digest;
    subscribe(&bench, "plugin.before", "refuse", json!({"on_error": "fail-closed"})).await;
    assert_eq!(bench.install(&folder).await.expect("nothing is done").action, "unchanged");
    let place = bench.path("data/packages").join(digest.trim_start_matches("sha256:")).join("plugin.toml");
    let manifest = std::fs::read_to_string(&place).expect("a manifest");
    let changed = format!("{manifest}# changed\n");
    std::fs::write(&place, &changed).expect("it is written");
    let error = bench.install(&folder).await.expect_err("it is refused");
    assert_eq!(error.code.as_str(), "hook_refused", "{}", error.message);
    assert_eq!(std::fs::read_to_string(&place).expect("a manifest"), changed, "nothing is done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_has_no_say_in_what_becomes_of_itself_and_nobody_changes_what_is_done() {
    let bench = bench().await;
    subscribe(&bench, "plugin.before", "refuse", json!({})).await;
    let callbacks = "callbacks".parse().expect("a name");
    bench.platform.plugin_reload(&callbacks).await.expect("it is not asked");
    let other = bench.install(&bench.hostile("1.0.0", "")).await.expect_err("it is asked of others");
    assert_eq!(other.code.as_str(), "hook_refused");
    bench.platform.plugin_uninstall(&callbacks).await.expect("it is not asked");
    bench.install(&bench.hostile("1.0.0", "")).await.expect("nobody is there any more");

    let bench = self::bench().await;
    subscribe(&bench, "plugin.before", "rename", json!({})).await;
    let error = bench.install(&bench.hostile("1.0.0", "")).await.expect_err("it changed what is done");
    assert_eq!(error.code.as_str(), "hook_failed", "{}", error.message);
    // That is nothing for a manifest.
    let manifest = "[[subscriptions]]\nhook = \"plugin.before\"\nfunction = \"refuse\"\n";
    let error = bench.install(&package(&bench, "2.0.0", manifest)).await.expect_err("it may not");
    assert_eq!(error.code.as_str(), "invalid_manifest", "{}", error.message);
}
