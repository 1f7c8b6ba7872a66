//! The life of a plugin: what fails is undone, and calls never notice a change.

use std::time::Duration;

use outrigger_contract::{Code, Grant, PluginName};
use outrigger_engine::lifecycle::PluginState;
use outrigger_engine::store::EventFilter;
use outrigger_engine::{CallOptions, Failure};
use serde_json::json;

use crate::bench::{Bench, author, installation, no_arguments, until};

fn demo() -> PluginName {
    "demo".parse().expect("a name")
}

fn state(bench: &Bench) -> PluginState {
    bench.engine.plugin(&demo()).expect("it is installed").0.state
}

#[tokio::test]
async fn an_installation_that_fails_leaves_nothing() {
    for step in ["demo:load", "demo:initialize", "demo:activate"] {
        let bench = Bench::new().await;
        bench.runtime.fail(step);
        let failure = bench.engine.install(installation("demo", "1.0.0", "")).await.expect_err("it was told to fail");
        assert!(failure.message.contains("was told to fail"), "{step}: {failure}");
        assert!(bench.engine.plugins().is_empty(), "{step}");
        assert!(bench.store.plugin_list().await.expect("it reads").is_empty(), "{step}");
        let cleanups = usize::from(step != "demo:load");
        assert_eq!(bench.runtime.count("demo:cleanup"), cleanups, "{step}");
        bench.runtime.heal();
        bench.demo("").await;
        assert_eq!(state(&bench), PluginState::Active, "{step}: the next try succeeds");
    }
}

#[tokio::test]
async fn an_update_that_fails_leaves_the_old_version_running() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let before = bench.code("demo.version", no_arguments()).await;
    bench.runtime.fail("demo:initialize");
    bench.engine.update(installation("demo", "2.0.0", "")).await.expect_err("it was told to fail");
    assert_eq!(bench.code("demo.version", no_arguments()).await, before);
    assert_eq!(bench.store.revision_list(&demo()).await.expect("it reads").len(), 1);
    bench.runtime.heal();
    bench.engine.update(installation("demo", "2.0.0", "")).await.expect("now it succeeds");
    assert_ne!(bench.code("demo.version", no_arguments()).await, before);
    let (_, summary) = bench.engine.plugin(&demo()).expect("it is installed");
    assert_eq!(summary.version.to_string(), "2.0.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_run_finish_on_the_old_version_and_none_fails() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let old = bench.call("demo.version", no_arguments()).await.expect("it answers").json();
    let running = bench.start("demo.wait", no_arguments(), CallOptions::default());
    until("it is under way", || bench.runtime.waiting() == 1).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load = {
        let (engine, stop) = (bench.engine.clone(), std::sync::Arc::clone(&stop));
        tokio::spawn(async move {
            let mut answered = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let call = crate::bench::call("demo.version", no_arguments(), CallOptions::default());
                engine.call(call).await.expect("no call fails for an update");
                answered += 1;
                tokio::task::yield_now().await;
            }
            answered
        })
    };
    for version in 2..12 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        bench.engine.update(installation("demo", &format!("{version}.0.0"), "")).await.expect("it is updated");
        bench.engine.reload(&demo()).await.expect("it is reloaded");
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(load.await.expect("no panic") > 0);
    until("revisions without calls are shut down", || bench.runtime.count("demo:deactivate") > 0).await;
    bench.runtime.release();
    assert_eq!(running.await.expect("no panic").expect("it answers").json(), old);
    bench.engine.shutdown().await;
    assert_eq!(bench.runtime.count("demo:deactivate"), 20, "every replaced revision was shut down");
}

#[tokio::test]
async fn a_disabled_plugin_takes_no_calls_also_after_a_restart() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let running = bench.start("demo.wait", no_arguments(), CallOptions::default());
    until("it is under way", || bench.runtime.waiting() == 1).await;
    let engine = bench.engine.clone();
    let disabling = tokio::spawn(async move { engine.disable(&demo()).await });
    until("no new call is taken", || state(&bench) == PluginState::Disabled).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(bench.runtime.count("demo:deactivate"), 0, "a call is still running");
    bench.runtime.release();
    running.await.expect("no panic").expect("it was allowed to finish");
    disabling.await.expect("no panic").expect("it is disabled");
    assert_eq!(bench.runtime.count("demo:cleanup"), 1);
    assert_eq!(bench.code("demo.version", no_arguments()).await, "plugin_not_active");
    let restarted = bench.restarted().await;
    assert_eq!(restarted.code("demo.version", no_arguments()).await, "plugin_not_active");
    restarted.engine.enable(&demo()).await.expect("it is enabled");
    restarted.call("demo.version", no_arguments()).await.expect("it takes calls");
}

#[tokio::test]
async fn what_still_runs_on_a_disabled_plugin_is_said() {
    let bench = Bench::impatient().await;
    bench.demo("").await;
    let running = bench.start("demo.wait", no_arguments(), CallOptions::default());
    until("it is under way", || bench.runtime.waiting() == 1).await;
    bench.engine.disable(&demo()).await.expect("it is disabled all the same");
    assert_eq!(bench.code("demo.version", no_arguments()).await, "plugin_not_active");
    let told = bench.store.event_list(&EventFilter::default()).await.expect("it lists");
    let disabled = told.iter().find(|event| event.name.as_str() == "plugin.disabled").expect("it was told");
    let payload: serde_json::Value = serde_json::from_str(&disabled.payload).expect("it is JSON");
    assert_eq!(payload["reason"], json!("calls that began before still run"));
    bench.runtime.release();
    running.await.expect("no panic").expect("it was allowed to finish");
}

#[tokio::test]
async fn a_plugin_is_loaded_when_it_is_first_needed() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let restarted = bench.restarted().await;
    assert_eq!(restarted.runtime.count("demo:load"), 0);
    let calls: Vec<_> =
        (0..10).map(|_| restarted.start("demo.version", no_arguments(), CallOptions::default())).collect();
    for call in calls {
        call.await.expect("no panic").expect("it answers");
    }
    assert_eq!(restarted.runtime.count("demo:load"), 1);
    assert_eq!(restarted.runtime.count("demo:initialize"), 1);
}

#[tokio::test]
async fn a_plugin_that_fails_to_start_says_why_and_can_be_tried_again() {
    let bench = Bench::new().await;
    bench.demo("").await;
    bench.engine.disable(&demo()).await.expect("it is disabled");
    bench.runtime.fail("demo:activate");
    let failure = bench.engine.enable(&demo()).await.expect_err("it was told to fail");
    assert_eq!(failure.code, Code::LifecycleFailed);
    assert_eq!(state(&bench), PluginState::Failed);
    let failure = bench.call("demo.version", no_arguments()).await.expect_err("it takes no calls");
    assert!(failure.message.contains("activate was told to fail"), "{failure}");
    bench.runtime.heal();
    bench.engine.enable(&demo()).await.expect("it is enabled");
    assert_eq!(state(&bench), PluginState::Active);
}

#[tokio::test]
async fn it_is_counted_how_often_a_plugin_is_loaded_and_unloaded() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let counted = || {
        let counters = bench.engine.plugin_counters();
        let [demo] = &counters[..] else { panic!("{counters:?}") };
        (demo.loads, demo.load_failures, demo.unloads)
    };
    assert_eq!(counted(), (1, 0, 0));
    bench.engine.reload(&demo()).await.expect("it is reloaded");
    until("the former one is freed", || counted() == (2, 0, 1)).await;
    bench.engine.disable(&demo()).await.expect("it is disabled");
    until("it is freed", || counted() == (2, 0, 2)).await;
    for (step, expected) in [("demo:load", (2, 1, 2)), ("demo:initialize", (3, 2, 3)), ("demo:activate", (4, 3, 4))] {
        bench.runtime.fail(step);
        bench.engine.enable(&demo()).await.expect_err("it was told to fail");
        until(step, || counted() == expected).await;
        bench.runtime.heal();
    }
    bench.engine.enable(&demo()).await.expect("it is enabled");
    bench.runtime.fail("demo:load");
    bench.engine.update(installation("demo", "2.0.0", "")).await.expect_err("it was told to fail");
    assert_eq!(counted(), (5, 4, 4));
}

#[tokio::test]
async fn what_was_not_granted_does_not_run() {
    let bench = Bench::new().await;
    let mut installation = installation("demo", "1.0.0", "[permissions]\nenvironment = [\"HOME\"]\n");
    installation.granted = Grant::default();
    let failure = bench.engine.install(installation).await.expect_err("it was not granted");
    assert_eq!(failure.code, Code::GrantRequired);
    assert!(bench.engine.plugins().is_empty());
}

#[tokio::test]
async fn an_uninstalled_plugin_is_gone_with_its_files_and_its_state() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let (record, _) = bench.engine.plugin(&demo()).expect("it is installed");
    let folder = bench.package_folder(&record.active);
    std::fs::create_dir(&folder).expect("a folder");
    bench.call("demo.remember", json!({"key": "k", "value": "v"})).await.expect("it answers");
    bench.engine.uninstall(&demo()).await.expect("it is uninstalled");
    assert!(!folder.exists());
    assert_eq!(bench.code("demo.version", no_arguments()).await, "plugin_not_found");
    assert_eq!(bench.store.state_get(&demo(), "k").await.expect("it reads"), None);
    bench.demo("").await;
    assert_eq!(bench.code("demo.remember", json!({"key": "k", "value": "v"})).await, "ok \"\"");
}

#[tokio::test]
async fn warming_up_loads_and_makes_instances() {
    let bench = Bench::new().await;
    bench.demo("").await;
    assert_eq!(bench.engine.warm(&demo()).await.expect("it warms up"), 1);
    assert_eq!(bench.runtime.count("demo:warm"), 1);
}

#[tokio::test]
async fn a_configuration_that_the_plugin_refuses_is_not_kept() {
    let bench = Bench::new().await;
    bench.demo("[configuration.colour]\ntype = \"string\"\ndefault = \"grey\"\n").await;
    let red = json!({"colour": "red"}).as_object().cloned().expect("an object");
    bench.runtime.fail("demo:initialize");
    bench.engine.configure(&demo(), red.clone(), 0, &author()).await.expect_err("the plugin refuses it");
    assert_eq!(bench.store.configuration_fetch(&demo()).await.expect("it reads"), None);
    assert_eq!(bench.code("demo.setting", json!({"key": "colour"})).await, "ok \"\\\"grey\\\"\"");
    bench.runtime.heal();
    let configured = bench.engine.configure(&demo(), red, 0, &author()).await.expect("it is accepted");
    assert_eq!(configured.revision, 1);
    assert_eq!(bench.code("demo.setting", json!({"key": "colour"})).await, "ok \"\\\"red\\\"\"");
}

#[tokio::test]
async fn a_configuration_is_tried_on_a_plugin_that_nobody_called_yet() {
    let bench = Bench::new().await;
    bench.demo("[configuration.colour]\ntype = \"string\"\ndefault = \"grey\"\n").await;
    let red = json!({"colour": "red"}).as_object().cloned().expect("an object");
    // As a command does, which works without a server.
    let restarted = bench.restarted().await;
    restarted.runtime.fail("demo:initialize");
    let failure = restarted.engine.configure(&demo(), red.clone(), 0, &author()).await;
    assert!(failure.expect_err("the plugin refuses it").message.contains("was told to fail"));
    assert_eq!(restarted.store.configuration_fetch(&demo()).await.expect("it reads"), None);
    assert_eq!(state(&restarted), PluginState::Active, "it was not asked to take calls");
    restarted.runtime.heal();
    restarted.engine.configure(&demo(), red.clone(), 0, &author()).await.expect("it is accepted");
    assert_eq!(restarted.code("demo.setting", json!({"key": "colour"})).await, "ok \"\\\"red\\\"\"");
    assert_eq!(restarted.runtime.count("demo:load"), 2, "what was tried takes the calls");

    // One that is disabled stays so.
    restarted.engine.disable(&demo()).await.expect("it is disabled");
    restarted.runtime.fail("demo:initialize");
    restarted.engine.configure(&demo(), red, 1, &author()).await.expect("nothing is brought up");
    assert_eq!(restarted.runtime.count("demo:load"), 2);
}

#[tokio::test]
async fn a_plugin_is_there_only_with_those_that_it_needs() {
    let bench = Bench::new().await;
    let install = async |name: &str, version: &str, dependencies: &str| {
        let manifest = format!("[dependencies]\n{dependencies}\n");
        bench.engine.install(installation(name, version, &manifest)).await
    };
    let update = async |version: &str| bench.engine.update(installation("pricing", version, "")).await.map(drop);
    let check = |outcome: Result<(), Failure>, code: Code, message: &str| {
        let failure = outcome.expect_err("it is refused");
        assert_eq!((failure.code, failure.message.as_str()), (code, message));
    };
    let needs = "pricing = \"^1.2\"\nweather = { version = \"^1\", optional = true }";
    let missing = "`shop` needs `pricing` ^1.2, which is not installed";
    check(install("shop", "1.0.0", needs).await, Code::DependencyMissing, missing);
    install("pricing", "1.1.0", "").await.expect("it needs nothing");
    let other = "`shop` needs `pricing` ^1.2, but 1.1.0 is installed";
    check(install("shop", "1.0.0", needs).await, Code::DependencyMissing, other);
    update("1.2.0").await.expect("nobody needs it yet");
    install("shop", "1.0.0", needs).await.expect("all that it needs is there");
    update("1.3.0").await.expect("that will do");
    check(update("2.0.0").await, Code::Conflict, "`shop` needs `pricing` ^1.2; version 2.0.0 does not match");
    let pricing = "pricing".parse().expect("a name");
    check(bench.engine.uninstall(&pricing).await, Code::Conflict, "`shop` needs `pricing` ^1.2");
    bench.engine.disable(&pricing).await.expect("it is there all the same");
    let shop = "shop".parse().expect("a name");
    bench.engine.uninstall(&shop).await.expect("nobody needs it");
    bench.engine.uninstall(&pricing).await.expect("nobody needs it any more");
}
