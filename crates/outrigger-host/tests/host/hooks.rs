//! Hooks with real components as subscribers: order, chains, failures under each policy, conditions, what is refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_api::{
    ApiError, Code, FireReport, FireRequest, HookRequest, HookTraceInfo, HookTraceQuery, Platform, RecordQuery,
    StopReport, SubscriptionInfo, SubscriptionQuery,
};
use outrigger_testkit::components;
use serde_json::{Value as Json, json};

use crate::bench::{Bench, call, names};

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
        assert!(error.code == Code::InvalidInput && error.message.contains("the limit is 262144"), "{}", error.message);
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

    // Another process over the same directory finds it switched off, and switches it on again.
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
async fn a_function_that_does_not_fit_the_hook_is_refused_when_it_subscribes() {
    let bench = with_manifest("[functions.greet]\nrequires-admin = true\n").await;
    let check = async |hook: &str, function: &str, code: &str, part: &str| {
        let error = try_subscribe(&bench.platform, hook, function, json!({})).await.expect_err("it does not fit");
        assert_eq!(error.code.as_str(), code, "{}", error.message);
        assert!(format!("{} {}", error.message, error.hint).contains(part), "{} {}", error.message, error.hint);
    };
    check(
        "text.shown",
        "join",
        "invalid_input",
        "needs exactly one parameter, for the payload; `join(first: string, second: string) -> string` has 2",
    )
    .await;
    check("text.shown", "measure", "invalid_input", "a filter answers with the type it takes, or with an option of it")
        .await;
    check(
        "plugin.enabled",
        "welcome",
        "invalid_input",
        "which `customer` of `welcome(customer: customer)` does not take: the field `name` of type string is missing",
    )
    .await;
    check("text.shown", "append-c", "function_not_found", "did you mean `callbacks.append-a`").await;
    check("text.show", "append-a", "not_found", "did you mean `text.shown`?").await;
    check("text.shown", "greet", "invalid_input", "is for administrators").await;
    assert!(bench.platform.subscription_list(&SubscriptionQuery::default()).await.expect("it lists").is_empty());
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

const DECLARES: &str = "[hooks.\"shop.sold\"]\nkind = \"event\"\ndescription = \"Something was sold.\"\n\
                        [[subscriptions]]\nhook = \"shop.sold\"\nfunction = \"flaky\"\non-error = \"disable-after(1)\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_manifest_declares_comes_and_goes_with_the_plugin() {
    let bench = with_manifest(DECLARES).await;
    let listed = async || bench.platform.subscription_list(&SubscriptionQuery::default()).await.expect("it lists");
    assert_eq!(course(&fire(&bench, "shop.sold", json!("")).await.trace), "flaky failed_and_disabled(trapped)");
    let [declared] = &listed().await[..] else { panic!("there is one") };
    assert_eq!((declared.source.as_str(), declared.enabled), ("manifest", false));
    let error = bench.platform.subscription_delete(&declared.id).await.expect_err("it goes with the plugin");
    assert_eq!(error.code.as_str(), "conflict");
    let again = bench.another().await.subscription_list(&SubscriptionQuery::default()).await.expect("it lists");
    assert_eq!(again, listed().await, "it is kept");

    // Another version has another try.
    bench.install(&package(&bench, "1.0.1", DECLARES)).await.expect("it is updated");
    let [updated] = &listed().await[..] else { panic!("there is one") };
    assert_eq!((&updated.id, updated.enabled, updated.failures), (&declared.id, true, 0));

    subscribe(&bench, "text.shown", "append-a", json!({})).await;
    bench.platform.plugin_uninstall(&"callbacks".parse().expect("a name")).await.expect("it is removed");
    assert_eq!(listed().await, [], "nobody is left to call");
    let hooks = bench.platform.hook_list().await.expect("it lists");
    assert!(!hooks.iter().any(|hook| hook.name.as_str() == "shop.sold"));
    assert_eq!(bench.another().await.subscription_list(&SubscriptionQuery::default()).await.expect("it lists"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_does_not_fit_its_hooks_is_not_installed() {
    let check = async |manifest: &str, part: &str| {
        let bench = Bench::new().await;
        let (code, error) = bench.refused(&package(&bench, "1.0.0", manifest)).await;
        assert_eq!(code, "invalid_manifest", "{}", error.message);
        assert!(error.message.contains(part), "{}", error.message);
        assert_eq!(bench.platform.subscription_list(&SubscriptionQuery::default()).await.expect("it lists"), []);
    };
    let subscription =
        |hook: &str, function: &str| format!("[[subscriptions]]\nhook = \"{hook}\"\nfunction = \"{function}\"\n");
    check(&subscription("call.before", "rename"), "only administrators can subscribe to this hook").await;
    check(&subscription("shop.sold", "measure"), "there is no hook `shop.sold`").await;
    check(&subscription("plugin.enabled", "join"), "needs exactly one parameter").await;
    check(&(subscription("plugin.enabled", "measure") + "condition = \"evnt.x\"\n"), "unknown variable `evnt`").await;
    check("[hooks.\"plugin.sold\"]\nkind = \"event\"\ndescription = \"x\"\n", "Outrigger's own").await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_subscribes_past_their_rights() {
    let bench = bench().await;
    let host =
        outrigger_host::Host::open(outrigger_host::HostOptions { data: bench.path("data"), search_paths: Vec::new() });
    let host = host.await.expect("the data directory opens");
    let key =
        bench.platform.key_create(request(json!({"name": "dev", "roles": ["developer"]}))).await.expect("it is made");
    // A host looks for new keys now and then; one that is opened now knows it.
    let door: &dyn outrigger_api::Door = &host;
    let deadline = Instant::now() + Duration::from_secs(20);
    let developer = loop {
        match door.enter(&key.key, outrigger_api::Visit::default()).await {
            Ok(platform) => break platform,
            Err(error) => assert!(Instant::now() < deadline, "{}", error.message),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for (hook, function) in [("plugin.enabled", "measure"), ("call.before", "rename")] {
        let error = try_subscribe(&developer, hook, function, json!({})).await.expect_err("that is for operators");
        assert_eq!(error.code.as_str(), "forbidden");
        assert!(error.message.contains("`function_administer`"), "{}", error.message);
    }
    let made = subscribe(&bench, "call.before", "refuse", json!({"condition": "false"})).await;
    let error = developer.subscription_switch(&made.id, false).await.expect_err("no check is switched off like that");
    assert_eq!(error.code.as_str(), "forbidden");
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
