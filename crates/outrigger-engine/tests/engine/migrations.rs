//! How an update takes over a state that is in use: calls wait for a moment, and for no longer.

use std::time::Duration;

use outrigger_contract::{Code, PluginName};
use outrigger_engine::CallOptions;
use outrigger_engine::lifecycle::PluginState;
use outrigger_engine::store::{Expected, StateWrite};
use serde_json::json;

use crate::bench::{Bench, author, installation, no_arguments, until};

const RENAMES: &str = "[configuration.place]\ntype = \"string\"\n[[migrations]]\nfrom = \"<2.0.0\"\n\
                       rename = { region = \"place\" }\nrename-state = { \"user/\" = \"users/\" }\n";

fn demo() -> PluginName {
    "demo".parse().expect("a name")
}

async fn prepared() -> Bench {
    prepared_on(Bench::new().await).await
}

async fn prepared_on(bench: Bench) -> Bench {
    bench.demo("[configuration.region]\ntype = \"string\"\n").await;
    let values = json!({"region": "eu"}).as_object().cloned().expect("an object");
    bench.engine.configure(&demo(), values, 0, &author()).await.expect("it fits");
    remember(&bench, "user/1", "ada").await;
    bench
}

async fn remember(bench: &Bench, key: &str, value: &str) {
    bench.call("demo.remember", json!({"key": key, "value": value})).await.expect("it is kept");
}

async fn keys(bench: &Bench) -> Vec<String> {
    bench.store.state_keys(&demo(), "", 100).await.expect("it lists")
}

/// Adds this many keys to the state.
async fn fill(bench: &Bench, count: usize) {
    for number in 0..count {
        let write = StateWrite { key: &format!("a{number}"), value: b"", expected: Expected::Anything };
        bench.store.state_set(&demo(), write, u64::MAX).await.expect("it is written");
    }
}

#[tokio::test]
async fn s02_steps_over_many_keys_are_bounded() {
    let bench = Bench::new().await;
    bench.demo("").await;
    fill(&bench, 3_000).await;
    let swaps = |count: usize| {
        let step = |(old, new): (&str, &str)| {
            format!("[[migrations]]\nfrom = \"<2.0.0\"\nrename-state = {{ {old} = \"{new}\" }}\n")
        };
        ["a", "b"].into_iter().zip(["b", "a"]).cycle().take(count).map(step).collect::<String>()
    };
    let before = keys(&bench).await;
    let failure = bench.engine.update(installation("demo", "2.0.0", &swaps(1_000))).await.expect_err("it is too much");
    assert_eq!(failure.code, Code::MigrationFailed, "{failure}");
    assert!(failure.message.contains("too many keys of the state"), "{failure}");
    assert_eq!(keys(&bench).await, before);
    let migrated = bench.engine.update(installation("demo", "2.0.0", &swaps(11))).await.expect("a few are fine");
    assert_eq!((migrated.state.added.len(), migrated.state.removed.len()), (3_000, 3_000));
}

#[tokio::test]
async fn s02_an_update_changes_a_limited_number_of_keys() {
    let bench = Bench::new().await;
    bench.demo("").await;
    fill(&bench, 10_500).await;
    let rename = "[[migrations]]\nfrom = \"<2.0.0\"\nrename-state = { a = \"b\" }\n";
    let failure = bench.engine.update(installation("demo", "2.0.0", rename)).await.expect_err("it is too much");
    assert_eq!(failure.code, Code::MigrationFailed, "{failure}");
    assert!(failure.message.contains("at most 20000 keys of the state"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_for_an_update_that_takes_over_the_state() {
    let bench = prepared().await;
    let running = bench.start("demo.wait", no_arguments(), CallOptions::default());
    until("it is under way", || bench.runtime.waiting() == 1).await;
    let engine = bench.engine.clone();
    let updating = tokio::spawn(async move { engine.update(installation("demo", "2.0.0", RENAMES)).await });
    until("it is brought up", || bench.runtime.count("demo:activate") == 3).await;
    // The new version waits for the call, and a second call for the new version.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let waiting = bench.start("demo.version", no_arguments(), CallOptions::default());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished() && !updating.is_finished());
    assert_eq!(keys(&bench).await, ["user/1"]);
    bench.runtime.release();
    running.await.expect("no panic").expect("it was allowed to finish");
    let migrated = updating.await.expect("no panic").expect("it is updated");
    assert_eq!(
        (migrated.state.added.as_slice(), migrated.state.removed.as_slice()),
        (["users/1".to_owned()].as_slice(), ["user/1".to_owned()].as_slice())
    );
    let version = waiting.await.expect("no panic").expect("it was let in").json();
    let (record, _) = bench.engine.plugin(&demo()).expect("it is installed");
    assert_eq!(version, json!(record.active.short()));
    assert_eq!(keys(&bench).await, ["users/1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_does_not_end_keeps_the_old_version() {
    let bench = prepared().await;
    let before = bench.engine.plugin(&demo()).expect("it is installed");
    let running = bench.start("demo.wait", no_arguments(), CallOptions::default());
    until("it is under way", || bench.runtime.waiting() == 1).await;
    let engine = bench.engine.clone();
    let updating = tokio::spawn(async move { engine.update(installation("demo", "2.0.0", RENAMES)).await });
    until("it is brought up", || bench.runtime.count("demo:activate") == 3).await;
    // Held for as long as that takes, and no longer; its own time begins then.
    let quick = CallOptions { timeout: Some(Duration::from_millis(200)), ..CallOptions::default() };
    let held = bench.start("demo.version", no_arguments(), quick);
    let failure = updating.await.expect("no panic").expect_err("a call still runs");
    assert_eq!(failure.code, Code::MigrationFailed, "{failure}");
    assert!(failure.message.contains("still ran after 500ms"), "{failure}");
    held.await.expect("no panic").expect("it is answered by the old version");
    assert_eq!(bench.engine.plugin(&demo()).expect("it is installed"), before);
    assert_eq!(keys(&bench).await, ["user/1"]);
    assert_eq!(bench.runtime.count("demo:cleanup"), 2, "the one that was configured away, and the one that was tried");
    assert_eq!(bench.store.revision_list(&demo()).await.expect("it lists").len(), 1);
    remember(&bench, "user/2", "bob").await;
    bench.runtime.release();
    running.await.expect("no panic").expect("it was allowed to finish");
    bench.engine.update(installation("demo", "2.0.0", RENAMES)).await.expect("now it is updated");
    assert_eq!(keys(&bench).await, ["users/1", "users/2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_outlived_its_revision_is_waited_for_too() {
    for way in ["disabled", "reloaded"] {
        let bench = prepared_on(Bench::impatient().await).await;
        let late = json!({"key": "user/2", "value": "bob"});
        let running = bench.start("demo.remember-late", late, CallOptions::default());
        until("it is under way", || bench.runtime.waiting() == 1).await;
        match way {
            "disabled" => bench.engine.disable(&demo()).await.expect("it is disabled all the same"),
            _ => bench.engine.reload(&demo()).await.expect("it is reloaded"),
        }
        let failure =
            bench.engine.update(installation("demo", "2.0.0", RENAMES)).await.expect_err("the call still runs");
        assert_eq!(failure.code, Code::MigrationFailed, "{way}: {failure}");
        assert!(failure.message.contains("still ran after 500ms"), "{way}: {failure}");
        assert_eq!(keys(&bench).await, ["user/1"], "{way}");
        bench.runtime.release();
        running.await.expect("no panic").expect("it writes to the state that it knows");
        bench.engine.update(installation("demo", "2.0.0", RENAMES)).await.expect("now it is updated");
        assert_eq!(keys(&bench).await, ["users/1", "users/2"], "{way}: what it wrote was taken over");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_outlives_its_plugin_writes_nothing_to_one_of_the_same_name() {
    let bench = prepared_on(Bench::impatient().await).await;
    let late = json!({"key": "user/2", "value": "bob"});
    let running = bench.start("demo.remember-late", late, CallOptions::default());
    until("it is under way", || bench.runtime.waiting() == 1).await;
    bench.engine.uninstall(&demo()).await.expect("it is uninstalled");
    bench.demo("").await;
    bench.runtime.release();
    running.await.expect("no panic").expect_err("that state is gone");
    assert_eq!(keys(&bench).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_whose_calls_still_run_is_known() {
    let bench = prepared().await;
    let first = bench.engine.plugin(&demo()).expect("it is installed").0.active;
    let running = bench.start("demo.wait", no_arguments(), CallOptions::default());
    until("it is under way", || bench.runtime.waiting() == 1).await;
    let manifest = "[configuration.region]\ntype = \"string\"\n";
    for version in ["2.0.0", "3.0.0"] {
        bench.engine.update(installation("demo", version, manifest)).await.expect("it is updated");
    }
    let second = bench.store.predecessor_fetch(&demo()).await.expect("it reads").expect("it is kept").digest;
    assert_eq!([first, second].map(|digest| bench.engine.still_runs(&demo(), &digest)), [true, false]);
    bench.runtime.release();
    running.await.expect("no panic").expect("it was allowed to finish");
    until("nothing runs on it any more", || !bench.engine.still_runs(&demo(), &first)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_leaves_the_state_alone_waits_for_no_call() {
    let bench = prepared().await;
    let running = bench.start("demo.wait", no_arguments(), CallOptions::default());
    until("it is under way", || bench.runtime.waiting() == 1).await;
    let renames = RENAMES.split("rename-state").next().expect("a part");
    let migrated = bench.engine.update(installation("demo", "2.0.0", renames)).await.expect("it is updated");
    assert_eq!(migrated.configuration.len(), 2);
    assert!(!running.is_finished());
    assert_eq!(bench.call("demo.setting", json!({"key": "place"})).await.expect("it answers").json(), json!("\"eu\""));
    bench.runtime.release();
    running.await.expect("no panic").expect("it was allowed to finish");
}

#[tokio::test]
async fn a_version_that_does_not_start_takes_nothing_over() {
    for step in ["demo:load", "demo:initialize", "demo:activate"] {
        let bench = prepared().await;
        let configured = bench.store.configuration_revisions(&demo()).await.expect("it lists");
        let stamp = bench.store.state_stamp(&demo()).await.expect("it reads");
        let before = bench.store.plugin_fetch(&demo()).await.expect("it reads");
        bench.runtime.fail(step);
        let failure =
            bench.engine.update(installation("demo", "2.0.0", RENAMES)).await.expect_err("it was told to fail");
        assert!(failure.message.contains("was told to fail"), "{step}: {failure}");
        assert_eq!(bench.store.configuration_revisions(&demo()).await.expect("it lists"), configured, "{step}");
        assert_eq!(bench.store.state_stamp(&demo()).await.expect("it reads"), stamp, "{step}");
        assert_eq!(bench.store.plugin_fetch(&demo()).await.expect("it reads"), before, "{step}");
        bench.runtime.heal();
        bench.engine.update(installation("demo", "2.0.0", RENAMES)).await.expect("now it is updated");
        assert_eq!(keys(&bench).await, ["users/1"], "{step}");
    }
}

#[tokio::test]
async fn going_back_is_possible_however_often_the_configuration_was_changed() {
    let bench = prepared().await;
    bench.engine.update(installation("demo", "2.0.0", RENAMES)).await.expect("it is updated");
    for revision in 2..60_u64 {
        let values = json!({"place": revision.to_string()}).as_object().cloned().expect("an object");
        bench.engine.configure(&demo(), values, revision, &author()).await.expect("it fits");
    }
    bench.engine.rollback(&demo(), author().correlation).await.expect("it goes back");
    assert_eq!(bench.call("demo.setting", json!({"key": "region"})).await.expect("it answers").json(), json!("\"eu\""));
}

#[tokio::test]
async fn going_back_is_undone_where_the_former_version_does_not_start() {
    let bench = prepared().await;
    bench.engine.update(installation("demo", "2.0.0", RENAMES)).await.expect("it is updated");
    remember(&bench, "users/2", "bob").await;
    bench.runtime.fail("demo:initialize");
    let correlation = author().correlation;
    bench.engine.rollback(&demo(), correlation).await.expect_err("it was told to fail");
    assert_eq!(keys(&bench).await, ["users/1", "users/2"]);
    bench.runtime.heal();
    let done = bench.engine.rollback(&demo(), correlation).await.expect("it goes back");
    assert_eq!((done.lost, keys(&bench).await), (1, vec!["user/1".to_owned()]));
    let (record, summary) = bench.engine.plugin(&demo()).expect("it is installed");
    assert_eq!((record.state, summary.version.to_string().as_str()), (PluginState::Active, "1.0.0"));
    let restarted = bench.restarted().await;
    assert_eq!(
        restarted.call("demo.setting", json!({"key": "region"})).await.expect("it answers").json(),
        json!("\"eu\"")
    );
}
