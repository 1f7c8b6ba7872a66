//! Hooks with real components as subscribers: order, chains, failures under each policy, conditions, what is refused.

mod built_in;
mod subscribing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_api::{
    ApiError, Code, FireReport, FireRequest, HookRequest, HookTraceInfo, HookTraceQuery, Platform, RecordQuery,
    SubscriptionInfo, SubscriptionQuery,
};
use outrigger_testkit::components;
use serde_json::{Value as Json, json};

use crate::bench::Bench;

/// Twice the time that a callback may take here: a component is compiled before its first call, and not on its time.
const QUICK: Duration = Duration::from_secs(5);

/// A bench with the callbacks installed, and a filter, an action and an event of its own.
async fn bench() -> Bench {
    with_manifest("").await
}

async fn with_manifest(manifest: &str) -> Bench {
    let bench = Bench::new().await;
    bench.install(&package(&bench, "1.0.0", manifest)).await.expect("it is installed");
    for (name, kind) in [("text.shown", "filter"), ("text.stored", "action"), ("customer.created", "event")] {
        let request: HookRequest = request(json!({"name": name, "kind": kind}));
        bench.platform.hook_create(request).await.expect("it is added");
    }
    bench
}

fn package(bench: &Bench, version: &str, manifest: &str) -> std::path::PathBuf {
    bench.package(&format!("callbacks-{version}"), "callbacks", version, manifest, &components::callbacks())
}

fn request<T: serde::de::DeserializeOwned>(json: Json) -> T {
    serde_json::from_value(json).expect("a request")
}

async fn try_subscribe(
    platform: &Arc<dyn Platform>,
    hook: &str,
    function: &str,
    more: Json,
) -> Result<SubscriptionInfo, ApiError> {
    let mut wanted = json!({"hook": hook, "function": format!("callbacks.{function}")});
    for (name, value) in more.as_object().expect("an object") {
        wanted[name] = value.clone();
    }
    platform.subscription_create(request(wanted)).await
}

async fn subscribe(bench: &Bench, hook: &str, function: &str, more: Json) -> SubscriptionInfo {
    try_subscribe(&bench.platform, hook, function, more).await.expect("it fits")
}

async fn fire(bench: &Bench, hook: &str, payload: Json) -> FireReport {
    let request = FireRequest { payload, dry_run: false };
    bench.platform.hook_fire(&hook.parse().expect("a name"), request).await.expect("there is such a hook")
}

/// `function outcome` of each subscriber, with what it was skipped for or failed with.
fn course(trace: &HookTraceInfo) -> String {
    let callbacks = trace.callbacks.iter().map(|callback| {
        let why = callback.skipped.as_deref().or(callback.code.map(outrigger_api::Code::as_str));
        let outcome = why.map_or(callback.outcome.clone(), |why| format!("{}({why})", callback.outcome));
        format!("{} {outcome}", callback.function.function)
    });
    callbacks.collect::<Vec<_>>().join(", ")
}

/// The newest trace of a hook, once there is one.
async fn trace(platform: &Arc<dyn Platform>, hook: &str) -> HookTraceInfo {
    let query = HookTraceQuery { hook: Some(hook.parse().expect("a name")), ..HookTraceQuery::default() };
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(trace) = platform.hook_traces(&query).await.expect("it lists").into_iter().next() {
            return trace;
        }
        assert!(Instant::now() < deadline, "`{hook}` was not fired");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How often the callbacks were called.
async fn runs(platform: &Arc<dyn Platform>) -> usize {
    let query = RecordQuery { limit: 1000, ..RecordQuery::default() };
    platform.run_list(&query).await.expect("it lists").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_are_chained_in_the_order_of_their_priorities_and_then_of_their_age() {
    let bench = bench().await;
    subscribe(&bench, "text.shown", "append-a", json!({})).await;
    subscribe(&bench, "text.shown", "append-b", json!({})).await;
    subscribe(&bench, "text.shown", "append-a", json!({"priority": 100})).await;
    subscribe(&bench, "text.shown", "keep", json!({"priority": -1})).await;
    subscribe(&bench, "text.shown", "append-b", json!({"priority": 50})).await;
    let report = fire(&bench, "text.shown", json!("x")).await;
    assert_eq!(report.value, json!("xbaba"));
    assert_eq!(course(&report.trace), "keep done, append-b done, append-a done, append-b done, append-a done");
    let changed: Vec<_> = report.trace.callbacks.iter().map(|callback| callback.value_changed).collect();
    assert_eq!(changed, [false, true, true, true, true]);
    assert_eq!((report.trace.result.as_str(), report.message), ("passed", None));
    assert_eq!(trace(&bench.platform, "text.shown").await, report.trace);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s13_a_hook_carries_as_much_over_the_api_as_for_a_plugin() {
    let bench = bench().await;
    let fire = |payload: Json, dry_run: bool| {
        let hook = "text.shown".parse().expect("a name");
        let platform = Arc::clone(&bench.platform);
        async move { platform.hook_fire(&hook, FireRequest { payload, dry_run }).await }
    };
    // With its quotes.
    fire(json!("x".repeat((256 << 10) - 2)), false).await.expect("as much as it may");
    for (payload, dry_run) in [(json!("x".repeat(256 << 10)), false), (json!(vec![json!([]); 100_000]), true)] {
        let error = fire(payload, dry_run).await.expect_err("that is more");
        assert!(error.code == Code::InvalidInput && error.message.contains("the limit is 256KiB"), "{}", error.message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_ignores_what_its_subscribers_answer() {
    let bench = bench().await;
    subscribe(&bench, "text.stored", "append-a", json!({})).await;
    subscribe(&bench, "text.stored", "measure", json!({})).await;
    let report = fire(&bench, "text.stored", json!("x")).await;
    assert_eq!((report.value, course(&report.trace).as_str()), (json!("x"), "append-a done, measure done"));
    assert!(report.trace.callbacks.iter().all(|callback| !callback.value_changed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_fails_is_left_out_or_takes_the_hook_with_it() {
    for (policy, value, result, expected) in [
        ("fail-open", "xab", "passed", "append-a done, crash failed(trapped), append-b done"),
        ("fail-closed", "xa", "failed", "append-a done, crash failed(trapped), append-b skipped(ended)"),
        ("disable-after(1)", "xab", "passed", "append-a done, crash failed_and_disabled(trapped), append-b done"),
    ] {
        let bench = bench().await;
        subscribe(&bench, "text.shown", "append-a", json!({"priority": 1})).await;
        subscribe(&bench, "text.shown", "crash", json!({"priority": 2, "on_error": policy})).await;
        subscribe(&bench, "text.shown", "append-b", json!({"priority": 3})).await;
        let report = fire(&bench, "text.shown", json!("x")).await;
        assert_eq!(course(&report.trace), expected, "{policy}");
        assert_eq!((report.value, report.trace.result.as_str()), (json!(value), result), "{policy}");
        assert_eq!(report.message.is_some(), policy == "fail-closed", "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_so_many_failures_in_a_row_it_is_switched_off_for_good() {
    let bench = bench().await;
    let made = subscribe(&bench, "text.shown", "flaky", json!({"on_error": "disable-after(2)"})).await;
    for (text, expected) in [
        ("", "flaky failed(trapped)"),
        // A success begins the count anew.
        ("x", "flaky done"),
        ("", "flaky failed(trapped)"),
        ("", "flaky failed_and_disabled(trapped)"),
        ("x", "flaky skipped(disabled)"),
    ] {
        assert_eq!(course(&fire(&bench, "text.shown", json!(text)).await.trace), expected, "{text:?}");
    }
    let of_plugin =
        RecordQuery { plugin: Some("callbacks".parse().expect("a name")), limit: 10, ..RecordQuery::default() };
    let lines = bench.platform.log_list(&of_plugin).await.expect("it lists");
    assert!(lines.iter().any(|line| line.message.contains("was disabled: failed 2 times in a row")), "{lines:?}");

    // Another process over the same directory finds it disabled, and enables it again.
    let another = bench.another().await;
    let [kept] = &another.subscription_list(&SubscriptionQuery::default()).await.expect("it lists")[..] else {
        panic!("there is one subscription");
    };
    assert_eq!((&kept.id, kept.enabled, kept.failures), (&made.id, false, 2));
    assert!(kept.reason.as_ref().expect("it says why").starts_with("failed 2 times in a row, at last: "));
    let on = another.subscription_switch(&made.id, true).await.expect("it is there");
    assert_eq!((on.enabled, on.failures, on.reason), (true, 0, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_hangs_is_ended_at_its_deadline() {
    let bench = bench().await;
    subscribe(&bench, "text.shown", "spin", json!({"timeout": "100ms"})).await;
    subscribe(&bench, "text.shown", "append-a", json!({})).await;
    let started = Instant::now();
    let report = fire(&bench, "text.shown", json!("x")).await;
    assert!(started.elapsed() < QUICK, "{:?}", started.elapsed());
    assert_eq!(course(&report.trace), "spin failed(deadline_exceeded), append-a done");
    assert_eq!(report.value, json!("xa"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_answers_with_its_error_refuses_whatever_its_policy() {
    let bench = bench().await;
    subscribe(&bench, "text.shown", "refuse", json!({"on_error": "fail-open"})).await;
    subscribe(&bench, "text.shown", "append-a", json!({})).await;
    let report = fire(&bench, "text.shown", json!("x")).await;
    assert_eq!(course(&report.trace), "refuse refused(function_failed), append-a skipped(ended)");
    assert_eq!(report.trace.result, "refused");
    let message = "the subscriber `callbacks.refuse` of `text.shown` refused: not today";
    assert_eq!(report.message.as_deref(), Some(message));
    // An action has nothing to refuse: there it is a failure as any other.
    subscribe(&bench, "text.stored", "refuse", json!({})).await;
    let report = fire(&bench, "text.stored", json!("x")).await;
    assert_eq!(
        (course(&report.trace).as_str(), report.trace.result.as_str()),
        ("refuse failed(function_failed)", "passed")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_decide_who_is_called() {
    let bench = bench().await;
    subscribe(&bench, "customer.created", "welcome", json!({"condition": "event.country == 'NO'"})).await;
    subscribe(&bench, "customer.created", "welcome", json!({"condition": "event.country == 'SE'"})).await;
    subscribe(&bench, "customer.created", "welcome", json!({"condition": "event.age > 18", "on_error": "fail-closed"}))
        .await;
    subscribe(
        &bench,
        "customer.created",
        "welcome",
        json!({"condition": "hook == 'customer.created' && caller == 'local'"}),
    )
    .await;
    let report = fire(&bench, "customer.created", json!({"name": "Ada", "country": "NO"})).await;
    let expected = "welcome done, welcome skipped(condition), welcome failed(hook_failed), welcome skipped(ended)";
    assert_eq!((course(&report.trace).as_str(), report.trace.result.as_str()), (expected, "failed"));
    let message = report.trace.callbacks[2].message.clone().expect("it says why");
    assert!(message.contains("there is no `age`"), "{message}");
    let error =
        try_subscribe(&bench.platform, "customer.created", "welcome", json!({"condition": "event.country = 'NO'"}))
            .await;
    let error = error.expect_err("one `=` too few");
    assert_eq!(error.code.as_str(), "invalid_input");
    assert!(error.message.contains("at character 15"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_who_would_be_called_and_calls_nobody() {
    let bench = bench().await;
    subscribe(&bench, "customer.created", "welcome", json!({"condition": "has(event.country)"})).await;
    subscribe(&bench, "customer.created", "welcome", json!({"condition": "!has(event.country)"})).await;
    subscribe(&bench, "plugin.enabled", "measure", json!({})).await;
    let dry = async |hook: &str, payload: Json| {
        let request = FireRequest { payload, dry_run: true };
        bench.platform.hook_fire(&hook.parse().expect("a name"), request).await.expect("it is tried")
    };
    let report = dry("customer.created", json!({"name": "Ada"})).await;
    assert_eq!(course(&report.trace), "welcome skipped(condition), welcome skipped(dry_run)");
    assert_eq!(course(&dry("plugin.enabled", json!({})).await.trace), "measure skipped(dry_run)");
    assert_eq!(runs(&bench.platform).await, 0, "nothing was called");
    // Only Outrigger fires its own hooks.
    let request = FireRequest { payload: json!({}), dry_run: false };
    let error = bench.platform.hook_fire(&"plugin.enabled".parse().expect("a name"), request).await;
    assert_eq!(error.expect_err("it is built in").code.as_str(), "invalid_usage");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hook_carries_is_held_to_the_type_of_who_takes_it() {
    let bench = bench().await;
    subscribe(&bench, "customer.created", "welcome", json!({})).await;
    let fired = async |payload: Json| course(&fire(&bench, "customer.created", payload).await.trace);
    assert_eq!(fired(json!({"name": "Ada", "country": null})).await, "welcome done");
    assert_eq!(fired(json!({"name": 5})).await, "welcome failed(invalid_input)");
    // A text takes anything, as JSON text; what is no text must come back as JSON text too.
    subscribe(&bench, "text.shown", "mumble", json!({"condition": "type(event) == map"})).await;
    let report = fire(&bench, "text.shown", json!({"a": 1})).await;
    assert_eq!((course(&report.trace).as_str(), report.value), ("mumble failed(invalid_output)", json!({"a": 1})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_plugin_is_passed_over() {
    let bench = bench().await;
    subscribe(&bench, "text.shown", "append-a", json!({})).await;
    bench.platform.plugin_disable(&"callbacks".parse().expect("a name")).await.expect("it is disabled");
    let report = fire(&bench, "text.shown", json!("x")).await;
    assert_eq!((course(&report.trace).as_str(), report.value), ("append-a skipped(plugin_disabled)", json!("x")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_for_callers_who_are_known_is_not_called_where_there_is_none() {
    let bench = with_manifest("[functions.measure]\nrequires-auth = true\n").await;
    subscribe(&bench, "text.stored", "measure", json!({})).await;
    subscribe(&bench, "plugin.installed", "measure", json!({})).await;
    assert_eq!(course(&fire(&bench, "text.stored", json!("x")).await.trace), "measure done", "it is fired by somebody");
    bench.install(&bench.hostile("1.0.0", "")).await.expect("it is installed");
    assert_eq!(course(&trace(&bench.platform, "plugin.installed").await), "measure failed(forbidden)");
}
