//! Origins of call chains: limits count a call for its origin, whatever is in between.

use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::units::Span;
use outrigger_contract::{Code, FunctionRef, OnError, PluginName};
use outrigger_engine::access::{Principal, built_in_roles};
use outrigger_engine::hooks::{Firing, HookCaller, NewSubscription};
use outrigger_engine::{Arguments, Call, CallOptions, Caller, Origin, PluginCaller};
use serde_json::{Value as Json, json};

use crate::bench::{Bench, call, installation, no_arguments, until};

const LIMITED: &str = "[functions.version]\nrate-limit = \"2/1h\"\n[functions.echo]\nrate-limit = \"2/1h\"\n";

/// `demo` calls `middle`, which calls `other`, whose functions are limited.
async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.demo("[permissions]\nplugins = [\"other.*\", \"middle.*\"]\n").await;
    let middle = "[permissions]\nplugins = [\"other.*\"]\n";
    bench.engine.install(installation("middle", "1.0.0", middle)).await.expect("it is installed");
    bench.engine.install(installation("other", "1.0.0", LIMITED)).await.expect("it is installed");
    bench
}

fn key(id: &str) -> Caller {
    let roles = built_in_roles().into_iter().take(1).map(Arc::new).collect();
    let principal = Principal { id: id.to_owned(), name: id.to_owned(), roles, scope: None, expires_at: None };
    Caller::Key(Arc::new(principal))
}

fn as_caller(caller: &Caller, function: &str, arguments: Json) -> Call {
    Call { caller: caller.clone(), ..call(function, arguments, CallOptions::default()) }
}

async fn outcome(bench: &Bench, call: Call) -> String {
    match bench.engine.call(call).await {
        Ok(_) => "ok".to_owned(),
        Err(failure) if failure.message.contains("rate_limited") => "rate_limited".to_owned(),
        Err(failure) => failure.code.to_string(),
    }
}

async fn direct(bench: &Bench, caller: &Caller) -> String {
    outcome(bench, as_caller(caller, "other.version", no_arguments())).await
}

fn nested(function: &str, arguments: &Json) -> Json {
    json!({"function": function, "arguments": arguments.to_string()})
}

async fn through_one(bench: &Bench, caller: &Caller) -> String {
    outcome(bench, as_caller(caller, "demo.call", nested("other.version", &json!({})))).await
}

async fn through_two(bench: &Bench, caller: &Caller) -> String {
    let inner = nested("other.version", &json!({}));
    outcome(bench, as_caller(caller, "demo.call", nested("middle.call", &inner))).await
}

#[tokio::test]
async fn s11_a_key_has_no_more_calls_through_a_plugin() {
    let bench = bench().await;
    let (one, two) = (key("one"), key("two"));
    assert_eq!(through_one(&bench, &one).await, "ok");
    assert_eq!(through_one(&bench, &one).await, "ok");
    assert_eq!(through_one(&bench, &one).await, "rate_limited");
    assert_eq!(direct(&bench, &one).await, "rate_limited", "it is the same key");
    assert_eq!(through_one(&bench, &two).await, "ok", "nobody else's calls are used up");
    assert_eq!(direct(&bench, &two).await, "ok");
    assert_eq!(direct(&bench, &two).await, "rate_limited");
    assert_eq!(direct(&bench, &Caller::Local).await, "ok");
}

#[tokio::test]
async fn s11_two_plugins_in_between_change_nothing() {
    let bench = bench().await;
    let one = key("one");
    assert_eq!(through_two(&bench, &one).await, "ok");
    assert_eq!(through_one(&bench, &one).await, "ok");
    assert_eq!(through_two(&bench, &one).await, "rate_limited");
    assert_eq!(direct(&bench, &one).await, "rate_limited");
    assert_eq!(through_two(&bench, &Caller::Local).await, "ok");
}

#[tokio::test]
async fn s11_calls_in_a_batch_count_for_their_key() {
    let bench = bench().await;
    let one = key("one");
    let through = || as_caller(&one, "demo.call", nested("other.version", &json!({})));
    let calls = vec![through(), as_caller(&one, "other.version", no_arguments()), through(), through()];
    let answers = bench.engine.call_many(calls, 1).await;
    let good: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, true, false, false]);
}

#[tokio::test]
async fn s11_a_subscriber_is_called_for_whoever_caused_the_hook() {
    let bench = bench().await;
    let manifest = "[hooks.\"shop.sold\"]\nkind = \"filter\"\ndescription = \"x\"\n";
    bench.engine.install(installation("shop", "1.0.0", manifest)).await.expect("it is installed");
    let new = NewSubscription {
        hook: "shop.sold".parse().expect("a name"),
        function: "other.echo".parse().expect("a function's name"),
        priority: 0,
        condition: None,
        on_error: OnError::FailClosed,
        timeout: Span::from_secs(5),
        description: None,
        created_by: "the test".to_owned(),
    };
    bench.engine.subscribe(new).await.expect("it fits");
    let fired = async |cause: &Caller| {
        let hook = "shop.sold".parse().expect("a name");
        let firing = Firing { cause: Some(cause.clone()), ..Firing::new(hook, json!("x")) };
        bench.engine.fire(firing).await.expect("there is such a hook").failure.is_none()
    };
    let (one, two) = (key("one"), key("two"));
    assert!(fired(&one).await && fired(&one).await);
    assert!(!fired(&one).await);
    assert!(fired(&two).await, "another key has calls of its own");
    // The same through a plugin that fires a hook.
    let shop = |origin| {
        let chain = vec!["shop.echo".parse::<FunctionRef>().expect("a function's name")];
        Caller::Plugin(Arc::new(PluginCaller { chain, origin }))
    };
    assert!(fired(&shop(two.origin())).await);
    assert!(!fired(&shop(two.origin())).await && !fired(&shop(one.origin())).await);
}

#[tokio::test]
async fn s11_a_plugin_that_acts_by_itself_uses_up_nobodys_calls() {
    let bench = bench().await;
    let plugin: PluginName = "demo".parse().expect("a name");
    // Lifecycle steps and health checks have no chain.
    let step = Caller::Plugin(Arc::new(PluginCaller { chain: Vec::new(), origin: Origin::Plugin(plugin) }));
    let hook = Caller::Hook(Arc::new(HookCaller { hook: "plugin.enabled".parse().expect("a name"), cause: None }));
    for caller in [&step, &hook, &Caller::Local] {
        assert_eq!(direct(&bench, caller).await, "ok", "{caller}");
        assert_eq!(direct(&bench, caller).await, "ok", "{caller}");
        assert_eq!(direct(&bench, caller).await, "rate_limited", "{caller}");
    }
    assert_eq!((step.to_string().as_str(), step.key(), hook.key()), ("plugin demo", None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_lifecycle_steps_of_plugins_do_not_wait_for_each_others_turns() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let (begin, begun) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let work = move || {
        _ = begin.send(());
        _ = released.recv();
    };
    let turn = tokio::spawn(async move { outrigger_compute::blocking("plugin one", work).await });
    begun.await.expect("the turn is taken");
    // Long enough to be read in a turn.
    let text = Arguments::Text(json!({"text": "x".repeat(300_000)}).to_string());
    let step = |plugin: &str| {
        let origin = Origin::Plugin(plugin.parse().expect("a name"));
        let caller = Caller::Plugin(Arc::new(PluginCaller { chain: Vec::new(), origin }));
        bench.engine.call(Call { arguments: text.clone(), ..as_caller(&caller, "demo.echo", no_arguments()) })
    };
    step("other").await.expect("it has a turn of its own");
    assert!(tokio::time::timeout(Duration::from_millis(100), step("one")).await.is_err(), "its turn is taken");
    drop(release);
    turn.await.expect("no panic").expect("nor in the turn");
    step("one").await.expect("it has its turn");
}

#[tokio::test]
async fn s11_who_is_not_known_is_not_known_behind_a_plugin_either() {
    let bench = Bench::new().await;
    bench.demo("[functions.version]\nrequires-auth = true\n").await;
    let chain = vec!["shop.echo".parse::<FunctionRef>().expect("a function's name")];
    let behind = |origin| Caller::Plugin(Arc::new(PluginCaller { chain: chain.clone(), origin }));
    let hook = Origin::Hook("plugin.enabled".parse().expect("a name"));
    for (caller, expected) in [(behind(hook), "forbidden"), (behind(key("one").origin()), "ok")] {
        assert_eq!(outcome(&bench, as_caller(&caller, "demo.version", no_arguments())).await, expected);
    }
    assert_eq!(behind(key("one").origin()).key(), Some("one"), "the audit log names the key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_a_guard_of_calls_sees_the_key_behind_a_plugin() {
    let bench = bench().await;
    bench.engine.install(installation("guard", "1.0.0", "")).await.expect("it is installed");
    let subscribe = async |hook: &str, function: &str, condition: &str| {
        let new = NewSubscription {
            hook: hook.parse().expect("a name"),
            function: format!("guard.{function}").parse().expect("a function's name"),
            priority: 0,
            condition: Some(format!("event.function == 'middle.version' && {condition}")),
            on_error: OnError::FailClosed,
            timeout: Span::from_secs(5),
            description: None,
            created_by: "the test".to_owned(),
        };
        bench.engine.subscribe(new).await.expect("it fits").id
    };
    let is_refused = async |caller: &Caller, function: &str, arguments: Json| {
        let ended = bench.engine.call(as_caller(caller, function, arguments)).await;
        ended.is_err_and(|failure| failure.code == Code::HookRefused || failure.message.contains("hook_refused"))
    };
    let (one, two) = (key("one"), key("two"));
    for (condition, is_seen_behind) in
        [("caller == 'key one'", false), ("origin == 'key one'", true), ("event.origin == 'key one'", true)]
    {
        let id = subscribe("call.before", "fail", condition).await;
        assert!(is_refused(&one, "middle.version", no_arguments()).await, "{condition}");
        assert!(!is_refused(&two, "middle.version", no_arguments()).await, "{condition}");
        let inner = nested("middle.version", &json!({}));
        assert_eq!(is_refused(&one, "demo.call", inner.clone()).await, is_seen_behind, "{condition}");
        assert!(!is_refused(&two, "demo.call", inner).await, "{condition}");
        bench.engine.unsubscribe(&id).await.expect("it is removed");
    }
    subscribe("call.after", "echo", "event.caller == 'plugin demo.call' && event.origin == 'key one'").await;
    for caller in [&two, &one] {
        assert!(!is_refused(caller, "demo.call", nested("middle.version", &json!({}))).await);
    }
    until("the end of one call is told", || bench.runtime.count("guard.echo") == 1).await;
}
