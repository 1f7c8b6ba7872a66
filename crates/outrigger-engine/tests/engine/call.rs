//! The stages of a call.

use std::time::Duration;

use outrigger_contract::{Code, Value};
use outrigger_engine::store::{CacheOutcome, RecordFilter};
use outrigger_engine::{Arguments, CallOptions};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::bench::{Bench, author, call, installation, no_arguments, until};

#[tokio::test]
async fn a_name_is_resolved_or_the_right_one_is_suggested() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let failure = bench.call("dem.echo", no_arguments()).await.expect_err("no such plugin");
    assert_eq!((failure.code, failure.advice()), (Code::PluginNotFound, "did you mean `demo`?"));
    let failure = bench.call("demo.ecko", no_arguments()).await.expect_err("no such function");
    assert_eq!((failure.code, failure.advice()), (Code::FunctionNotFound, "did you mean `demo.echo`?"));
}

#[tokio::test]
async fn all_faults_in_the_input_are_reported_at_once_and_nothing_runs() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let failure = bench.call("demo.echo", json!({"text": 1, "txt": "x"})).await.expect_err("wrong input");
    assert_eq!(failure.code, Code::InvalidInput);
    assert_eq!(
        failure.detail,
        Some(json!([
            {"path": "/text", "message": "must be a string, but is 1"},
            {"path": "", "message": "there is no argument `txt`; did you mean `text`?"},
        ]))
    );
    assert_eq!(bench.runtime.count("demo.echo"), 0);
}

#[tokio::test]
async fn values_that_are_no_json_are_checked_too() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let mut right = call("demo.echo", no_arguments(), CallOptions::default());
    right.arguments = Arguments::Values(vec![Value::String("hello".to_owned())]);
    assert_eq!(bench.engine.call(right.clone()).await.expect("it fits").json(), json!("hello"));
    right.arguments = Arguments::Values(vec![Value::Bool(true)]);
    assert_eq!(bench.engine.call(right).await.expect_err("it does not fit").code, Code::InvalidInput);
}

#[tokio::test]
async fn an_error_value_is_the_failure_of_the_call() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let failure = bench.call("demo.fail", json!({"text": "no such server"})).await.expect_err("it fails");
    assert_eq!(failure.code, Code::FunctionFailed);
    assert_eq!((failure.message.as_str(), failure.detail), ("no such server", Some(json!("no such server"))));
}

#[tokio::test]
async fn an_answer_that_is_not_of_its_type_is_refused() {
    let bench = Bench::new().await;
    bench.demo("").await;
    assert_eq!(bench.code("demo.lie", no_arguments()).await, "invalid_output");
}

#[tokio::test]
async fn the_rate_limit_says_when_to_come_back() {
    let bench = Bench::new().await;
    bench.demo("[functions.version]\nrate-limit = \"2/1h\"\n").await;
    for _ in 0..2 {
        bench.call("demo.version", no_arguments()).await.expect("within the limit");
    }
    let failure = bench.call("demo.version", no_arguments()).await.expect_err("over the limit");
    assert_eq!(failure.code, Code::RateLimited);
    let wait = failure.retry_after.expect("it says when");
    assert!(wait > Duration::from_secs(1700) && wait <= Duration::from_secs(1800), "{wait:?}");
    // Another function has its own; a reload does not refill this one.
    bench.call("demo.echo", json!({"text": "x"})).await.expect("it has no limit");
    bench.engine.reload(&"demo".parse().expect("a name")).await.expect("it reloads");
    assert_eq!(bench.code("demo.version", no_arguments()).await, "rate_limited");
}

const CACHED: &str = "[functions.echo]\nread-only = true\ncache = \"1h\"\n[functions.wait]\nread-only = true\ncache = \"1h\"\n\
                      [functions.setting]\nread-only = true\ncache = \"1h\"\n\
                      [configuration.colour]\ntype = \"string\"\ndefault = \"grey\"\n";

#[tokio::test]
async fn an_equal_call_is_answered_from_the_cache() {
    let bench = Bench::new().await;
    bench.demo(CACHED).await;
    let check = async |text: &str, no_cache: bool, cache: CacheOutcome, runs: usize| {
        let options = CallOptions { no_cache, ..CallOptions::default() };
        let answer = bench.call_with("demo.echo", json!({"text": text}), options).await.expect("it answers");
        assert_eq!((answer.json(), answer.cache), (json!(text), cache));
        assert_eq!(bench.runtime.count("demo.echo"), runs);
    };
    check("a", false, CacheOutcome::Miss, 1).await;
    check("a", false, CacheOutcome::Hit, 1).await;
    check("b", false, CacheOutcome::Miss, 2).await;
    check("a", true, CacheOutcome::Bypass, 3).await;
    check("a", false, CacheOutcome::Hit, 3).await;
}

#[tokio::test]
async fn s19_large_arguments_bypass_the_cache() {
    let bench = Bench::new().await;
    bench.demo(CACHED).await;
    for _ in 0..2 {
        let answer = bench.call("demo.echo", json!({"text": "x".repeat(2 << 20)})).await.expect("it answers");
        assert_eq!(answer.cache, CacheOutcome::Bypass);
    }
    assert_eq!(bench.runtime.count("demo.echo"), 2);
}

#[tokio::test]
async fn a_change_of_the_configuration_is_a_change_of_the_key() {
    let bench = Bench::new().await;
    bench.demo(CACHED).await;
    let setting = async || bench.code("demo.setting", json!({"key": "colour"})).await;
    assert_eq!(setting().await, "ok \"\\\"grey\\\"\"");
    let name = "demo".parse().expect("a name");
    let values = json!({"colour": "red"}).as_object().cloned().expect("an object");
    bench.engine.configure(&name, values, 0, &author()).await.expect("it fits the schema");
    assert_eq!(setting().await, "ok \"\\\"red\\\"\"");
    let values = json!({"colour": 5}).as_object().cloned().expect("an object");
    let failure = bench.engine.configure(&name, values, 1, &author()).await.expect_err("not a string");
    assert_eq!(failure.code, Code::InvalidConfiguration);
    assert_eq!(setting().await, "ok \"\\\"red\\\"\"");
}

#[tokio::test]
async fn equal_calls_at_once_run_once() {
    let bench = Bench::new().await;
    bench.demo(CACHED).await;
    let calls: Vec<_> = (0..10).map(|_| bench.start("demo.wait", no_arguments(), CallOptions::default())).collect();
    until("one call is under way", || bench.runtime.waiting() == 1).await;
    // The others have arrived by the time the one that runs is let go, or find the answer kept.
    tokio::task::yield_now().await;
    bench.runtime.release();
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(call.await.expect("no panic").expect("it answers").cache);
    }
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == CacheOutcome::Miss).count(), 1, "{outcomes:?}");
    assert_eq!(bench.runtime.count("demo.wait"), 1);
}

#[tokio::test]
async fn who_waits_for_a_call_that_is_cancelled_runs_it_itself() {
    let bench = Bench::new().await;
    bench.demo(CACHED).await;
    let cancel = CancellationToken::new();
    let options = CallOptions { cancel: cancel.clone().into(), ..CallOptions::default() };
    let first = bench.start("demo.wait", no_arguments(), options);
    until("the first is under way", || bench.runtime.waiting() == 1).await;
    let second = bench.start("demo.wait", no_arguments(), CallOptions::default());
    tokio::time::sleep(Duration::from_millis(20)).await;
    cancel.cancel();
    assert_eq!(first.await.expect("no panic").expect_err("cancelled").code, Code::Cancelled);
    until("the second runs itself", || bench.runtime.count("demo.wait") == 2 && bench.runtime.waiting() == 1).await;
    bench.runtime.release();
    second.await.expect("no panic").expect("it answers");
}

#[tokio::test]
async fn only_so_many_run_at_once_and_the_rest_waits_until_its_deadline() {
    let bench = Bench::new().await;
    bench.demo("[functions.wait]\nconcurrency = 2\n").await;
    let running: Vec<_> = (0..2).map(|_| bench.start("demo.wait", no_arguments(), CallOptions::default())).collect();
    until("two are under way", || bench.runtime.waiting() == 2).await;
    let options = CallOptions { timeout: Some(Duration::from_millis(50)), ..CallOptions::default() };
    let failure = bench.call_with("demo.wait", no_arguments(), options).await.expect_err("no room");
    assert_eq!(failure.code, Code::Busy);
    // Other functions of the plugin have room.
    bench.call("demo.version", no_arguments()).await.expect("it answers");
    bench.runtime.release();
    for call in running {
        call.await.expect("no panic").expect("it answers");
    }
}

#[tokio::test]
async fn a_deadline_can_be_set_for_the_function_and_for_the_call() {
    let bench = Bench::new().await;
    bench.demo("[functions.sleep]\ntimeout = \"50ms\"\n").await;
    assert_eq!(bench.code("demo.sleep", json!({"milliseconds": 200})).await, "deadline_exceeded");
    let options = CallOptions { timeout: Some(Duration::from_secs(5)), ..CallOptions::default() };
    bench.call_with("demo.sleep", json!({"milliseconds": 200}), options).await.expect("time enough");
}

#[tokio::test]
async fn an_idempotent_function_is_tried_again_and_no_other() {
    let bench = Bench::new().await;
    bench.demo("[functions.trap-until]\nidempotent = true\nretry = { attempts = 3, backoff = \"1ms\" }\n").await;
    let answer = bench.call("demo.trap-until", json!({"times": 3})).await.expect("the third try succeeds");
    assert_eq!((answer.json(), answer.attempts), (json!(3), 3));
    let plain = Bench::new().await;
    plain.demo("").await;
    assert_eq!(plain.code("demo.trap-until", json!({"times": 2})).await, "trapped");
    assert_eq!(plain.runtime.count("demo.trap-until"), 1);
}

#[tokio::test]
async fn hooks_are_counted_over_all_tries_of_a_call() {
    let bench = Bench::new().await;
    let manifest = "[functions.fire-then-fail]\nidempotent = true\nretry = { attempts = 3, backoff = \"1ms\" }\n\
        [hooks.\"demo.fired\"]\nkind = \"action\"\ndescription = \"For tests.\"\n";
    bench.demo(manifest).await;
    let options = CallOptions { timeout: Some(Duration::from_secs(60)), ..CallOptions::default() };
    let call = async || {
        let arguments = json!({"hook": "demo.fired", "times": 400});
        bench.call_with("demo.fire-then-fail", arguments, options.clone()).await.expect_err("it fails").message
    };
    let message = call().await;
    assert!(message.contains("rate_limited"), "{message}");
    assert_eq!((bench.runtime.count("demo.fire-then-fail"), bench.runtime.count("fired demo.fired")), (3, 1_000));
    // Another call has a bound of its own.
    call().await;
    assert_eq!((bench.runtime.count("demo.fire-then-fail"), bench.runtime.count("fired demo.fired")), (6, 2_000));
}

#[tokio::test]
async fn the_tries_of_a_call_that_fails_are_recorded() {
    let bench = Bench::new().await;
    let retry = "idempotent = true\nretry = { attempts = 3, backoff = \"1ms\" }\n";
    bench.demo(&format!("[functions.fire-then-fail]\n{retry}[functions.trap-until]\n{retry}")).await;
    for (function, arguments) in [
        ("demo.fire-then-fail", json!({"hook": "demo.fired", "times": 0})),
        ("demo.trap-until", json!({"times": 2})),
        ("demo.version", no_arguments()),
        ("demo.fail", json!({"text": "no"})),
    ] {
        bench.code(function, arguments).await;
    }
    bench.engine.flush().await;
    let runs = bench.store.run_list(&RecordFilter::default()).await.expect("it reads");
    let tries: Vec<_> =
        runs.iter().rev().map(|run| (run.function.as_str(), run.code.is_some(), run.attempts)).collect();
    let expected = [("fire-then-fail", true, 3), ("trap-until", false, 2), ("version", false, 1), ("fail", true, 1)];
    assert_eq!(tries, expected);
}

#[tokio::test]
async fn a_cancelled_call_ends_at_once() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let cancel = CancellationToken::new();
    let running = bench.start(
        "demo.wait",
        no_arguments(),
        CallOptions { cancel: cancel.clone().into(), ..CallOptions::default() },
    );
    until("it is under way", || bench.runtime.waiting() == 1).await;
    cancel.cancel();
    assert_eq!(running.await.expect("no panic").expect_err("cancelled").code, Code::Cancelled);
    assert_eq!(bench.runtime.waiting(), 0, "what ran was dropped");
}

#[tokio::test]
async fn many_calls_run_in_parallel_and_answer_in_order() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let calls = (0..20).map(|number| call("demo.echo", json!({"text": number.to_string()}), CallOptions::default()));
    let answers = bench.engine.call_many(calls.collect(), 4).await;
    let texts: Vec<_> = answers.into_iter().map(|answer| answer.expect("it answers").json()).collect();
    assert_eq!(texts, (0..20).map(|number| json!(number.to_string())).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s19_only_a_very_large_result_waits_for_the_turn_of_its_caller() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let echo = async |length| bench.call("demo.echo", json!({"text": "x".repeat(length)})).await.expect("it answers");
    let (small, medium, large) = (echo(1_000).await, echo(100_000).await, echo(2_000_000).await);
    let (release, released) = std::sync::mpsc::channel::<()>();
    let turn = tokio::spawn(async move { outrigger_compute::blocking("local", move || _ = released.recv()).await });
    let rendered = small.json_text().await.expect("it is rendered");
    assert_eq!(rendered.len(), 1_002, "a small one does not wait");
    let rendered = medium.json_text().await.expect("it is rendered");
    assert_eq!(rendered.len(), 100_002, "nor does one that takes a few milliseconds");
    let waits = tokio::time::timeout(Duration::from_millis(100), large.json_text()).await;
    assert!(waits.is_err(), "the turn is taken");
    release.send(()).expect("it waits");
    turn.await.expect("no panic").expect("nor in the turn");
    assert_eq!(large.json_text().await.expect("it is rendered").len(), 2_000_002);
}

#[tokio::test]
async fn a_plugin_calls_what_it_was_granted_and_nothing_else() {
    let bench = Bench::new().await;
    bench.demo("[permissions]\nplugins = [\"other.echo\"]\n").await;
    bench.engine.install(installation("other", "1.0.0", "")).await.expect("it is installed");
    let nested = |function: &str| json!({"function": function, "arguments": "{\"text\": \"hi\"}"});
    let answer = bench.call("demo.call", nested("other.echo")).await.expect("it was granted");
    assert_eq!(answer.json(), json!("\"hi\""));
    let failure = bench.call("demo.call", nested("other.fail")).await.expect_err("it was not");
    assert!(failure.message.starts_with("permission_denied"), "{}", failure.message);
}

#[tokio::test]
async fn plugins_that_call_each_other_in_a_circle_are_stopped() {
    let bench = Bench::new().await;
    bench.demo("[permissions]\nplugins = [\"demo.call\"]\n").await;
    let mut arguments = json!({"text": "x"}).to_string();
    for _ in 0..10 {
        arguments = json!({"function": "demo.call", "arguments": arguments}).to_string();
    }
    let failure =
        bench.call("demo.call", json!({"function": "demo.call", "arguments": arguments})).await.expect_err("too deep");
    assert!(failure.message.contains("call_depth"), "{}", failure.message);
}

#[tokio::test]
async fn state_is_kept_within_its_limit() {
    let bench = Bench::new().await;
    bench.demo("[limits]\nstate = \"64\"\n").await;
    let remember = async |value: &str| bench.code("demo.remember", json!({"key": "k", "value": value})).await;
    assert_eq!(remember("one").await, "ok \"\"");
    assert_eq!(remember("two").await, "ok \"one\"");
    assert_eq!(remember(&"x".repeat(100)).await, "function_failed");
    assert_eq!(remember("three").await, "ok \"two\"");
}
