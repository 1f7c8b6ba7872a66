//! Background delivery: each plugin has its own queue.

use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::units::Span;
use outrigger_contract::{Code, OnError, PluginName};
use outrigger_engine::hooks::{CallbackOutcome, Firing, LONGEST_CARRIED, NewSubscription, TraceFilter};
use outrigger_engine::{Arguments, Call, CallOptions, Caller, Origin, PluginCaller};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::bench::{Bench, call, installation, no_arguments, until};

/// Installs a plugin and has one of its functions called for a hook.
async fn subscribed(bench: &Bench, plugin: &str, function: &str, hook: &str, priority: i32) {
    if bench.engine.plugin(&name(plugin)).is_err() {
        bench.engine.install(installation(plugin, "1.0.0", "")).await.expect("it is installed");
    }
    let new = NewSubscription {
        hook: hook.parse().expect("a name"),
        function: format!("{plugin}.{function}").parse().expect("a function's name"),
        priority,
        condition: None,
        on_error: OnError::FailOpen,
        timeout: Span::new(Duration::from_secs(600)),
        description: None,
        created_by: "the test".to_owned(),
    };
    bench.engine.subscribe(new).await.expect("it fits");
}

fn name(text: &str) -> PluginName {
    text.parse().expect("a name")
}

async fn reload(bench: &Bench, times: usize) {
    for _ in 0..times {
        bench.engine.reload(&name("demo")).await.expect("it is reloaded");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_hangs_holds_up_nobody_but_itself() {
    let bench = Bench::new().await;
    bench.demo("").await;
    subscribed(&bench, "slow", "hold", "plugin.reloaded", 1).await;
    subscribed(&bench, "slow", "echo", "plugin.reloaded", 2).await;
    subscribed(&bench, "quick", "echo", "plugin.reloaded", 3).await;
    reload(&bench, 3).await;
    until("the other one is told of all", || bench.runtime.count("quick.echo") == 3).await;
    until("it hangs", || bench.runtime.waiting() == 1).await;
    assert_eq!((bench.runtime.count("slow.hold"), bench.runtime.count("slow.echo")), (1, 0), "in order");
    for times in 1..=3 {
        until("it is told of the next", || bench.runtime.waiting() == 1).await;
        bench.runtime.release();
        until("and goes on", || bench.runtime.count("slow.echo") == times).await;
    }
    until("all is traced", || bench.engine.hook_traces(&TraceFilter::default()).len() == 6).await;
    assert_eq!(bench.engine.dropped_firings(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_panics_is_not_the_end_of_what_is_told() {
    let bench = Bench::new().await;
    bench.demo("").await;
    subscribed(&bench, "broken", "panic", "plugin.reloaded", 1).await;
    for times in 1..=3 {
        reload(&bench, 1).await;
        until("it is told", || bench.runtime.count("broken.panic") == times).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_dropped_and_counted() {
    let bench = Bench::new().await;
    bench.demo("").await;
    subscribed(&bench, "slow", "hold", "call.after", 1).await;
    let call = async |times: usize| {
        for _ in 0..times {
            bench.call("demo.version", no_arguments()).await.expect("it answers");
        }
    };
    call(16).await;
    until("as many as may are told", || bench.runtime.waiting() == 16).await;
    call(10_000).await;
    assert_eq!(bench.engine.dropped_firings(), 0);
    call(4).await;
    assert_eq!(bench.engine.dropped_firings(), 4);
    assert_eq!(bench.code("demo.echo", json!({"text": "x"})).await, "ok \"x\"", "calls go on");
}

/// A filter of the plugin `demo` with any payload.
const FILTER: &str = "[hooks.\"demo.shown\"]\nkind = \"filter\"\ndescription = \"For tests.\"\n";

/// The memory that the server holds for a plugin.
fn held(bench: &Bench, plugin: &str) -> u64 {
    let counters = bench.engine.plugin_counters();
    counters.iter().find(|one| one.plugin.as_str() == plugin).expect("it is installed").held
}

/// Fires on a separate task; `slow.hold` is the last subscriber.
fn fire(
    bench: &Bench,
    payload: Json,
) -> tokio::task::JoinHandle<Result<outrigger_engine::hooks::Fired, outrigger_engine::Failure>> {
    let (engine, firing) = (bench.engine.clone(), Firing::new("demo.shown".parse().expect("a name"), payload));
    tokio::spawn(async move { engine.fire(firing).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_what_a_filter_answers_is_charged_as_long_as_it_is_carried() {
    let bench = Bench::new().await;
    bench.demo(FILTER).await;
    subscribed(&bench, "guard", "echo", "demo.shown", 1).await;
    subscribed(&bench, "slow", "hold", "demo.shown", 2).await;
    let before = held(&bench, "guard");
    let firing = fire(&bench, json!(vec![0; 100_000]));
    until("the next one is asked", || bench.runtime.waiting() == 1).await;
    assert!(held(&bench, "guard") >= before + 100_000 * size_of::<Json>() as u64, "{}", held(&bench, "guard"));
    bench.runtime.release();
    let fired = firing.await.expect("it does not panic").expect("it is fired");
    assert!(held(&bench, "guard") > before, "who fired it has it still");
    drop(fired);
    assert_eq!(held(&bench, "guard"), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_a_filter_answers_with_no_more_than_a_hook_carries() {
    let bench = Bench::new().await;
    bench.demo(FILTER).await;
    subscribed(&bench, "greedy", "zeros", "demo.shown", 1).await;
    let fired = fire(&bench, json!({"cents": 1})).await.expect("it does not panic").expect("it is fired");
    assert_eq!(*fired.value, json!({"cents": 1}), "it goes on with what it had");
    let callback = &fired.trace.callbacks[0];
    assert_eq!((callback.outcome, callback.code), (CallbackOutcome::Failed, Some(Code::InvalidOutput)));
    assert!(callback.message.as_deref().is_some_and(|text| text.contains("returned 3.5MiB")), "{callback:?}");
    // A hook is not fired with a larger payload, either.
    let refused = fire(&bench, json!("x".repeat(LONGEST_CARRIED))).await.expect("it does not panic");
    assert_eq!(refused.expect_err("it is too long").code, Code::InvalidInput);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_dry_runs_leave_the_traces_of_a_hook() {
    let bench = Bench::new().await;
    bench.demo("").await;
    subscribed(&bench, "quick", "echo", "plugin.reloaded", 1).await;
    let filter = TraceFilter { hook: "plugin.reloaded".parse().ok(), ..TraceFilter::default() };
    reload(&bench, 1).await;
    until("the firing is traced", || bench.engine.hook_traces(&filter).len() == 1).await;
    let kept = bench.engine.hook_traces(&filter);
    for _ in 0..300 {
        let hook = "plugin.reloaded".parse().expect("a name");
        let firing = Firing { dry_run: true, ..Firing::new(hook, json!({})) };
        let fired = bench.engine.fire(firing).await.expect("there is such a hook");
        assert!(fired.trace.dry_run && fired.trace.callbacks.len() == 1, "{:?}", fired.trace);
    }
    assert_eq!(bench.engine.hook_traces(&filter), kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_what_becomes_of_the_arguments_of_a_call_is_charged_before_it_is_read() {
    let bench = Bench::new().await;
    bench.demo("").await;
    subscribed(&bench, "greedy", "zeros", "call.before", 1).await;
    // As a tree, it would take more than 130 MB.
    assert_eq!(bench.code("demo.echo", json!({"text": "x"})).await, "ok \"x\"", "it fails open");
    let traces = bench.engine.hook_traces(&TraceFilter::default());
    assert_eq!(traces[0].callbacks[0].code, Some(Code::HostMemoryLimit), "{traces:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s03_a_cancelled_call_does_not_wait_for_its_turn() {
    let bench = Bench::new().await;
    bench.demo("").await;
    subscribed(&bench, "quick", "echo", "call.before", 1).await;
    let (begin, begun) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let work = move || {
        _ = begin.send(());
        _ = released.recv();
    };
    let turn = tokio::spawn(async move { outrigger_compute::blocking("plugin cancelled", work).await });
    begun.await.expect("the turn is taken");
    let caller = PluginCaller { chain: Vec::new(), origin: Origin::Plugin(name("cancelled")) };
    let caller = Caller::Plugin(Arc::new(caller));
    let cancel = CancellationToken::new();
    cancel.cancel();
    // Rendered in a turn for the subscriber; read in a turn.
    for length in [20_000, 100_000] {
        let options = CallOptions { cancel: cancel.clone().into(), ..CallOptions::default() };
        let arguments = Arguments::Text(json!({"text": "x".repeat(length)}).to_string());
        let call = Call { caller: caller.clone(), arguments, ..call("demo.echo", no_arguments(), options) };
        let ended = tokio::time::timeout(Duration::from_secs(10), bench.engine.call(call)).await;
        let failure = ended.expect("it does not wait").expect_err("it was cancelled");
        assert_eq!(failure.code, Code::Cancelled, "{length}");
    }
    drop(release);
    turn.await.expect("no panic").expect("nor in the turn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s04_conditions_that_are_expensive_to_compile_are_refused_at_once() {
    let bench = Bench::new().await;
    subscribed(&bench, "quick", "echo", "plugin.reloaded", 1).await;
    let subscribe = async |condition: String| {
        let new = NewSubscription {
            hook: "plugin.reloaded".parse().expect("a name"),
            function: "quick.echo".parse().expect("a function's name"),
            priority: 2,
            condition: Some(condition),
            on_error: OnError::FailOpen,
            timeout: Span::new(Duration::from_secs(1)),
            description: None,
            created_by: "the test".to_owned(),
        };
        bench.engine.subscribe(new).await
    };
    let matches = |pattern: &str| format!("event.plugin.matches(r'{pattern}')");
    let classes = format!("(?i){}", r"[\S]{0}".repeat(110));
    let nested = format!("(?i){}", r"[a[\W]]".repeat(100));
    let properties = format!("(?i){}", r"[a\p{L}]".repeat(60));
    for pattern in [classes, nested, properties] {
        let started = std::time::Instant::now();
        let failure = subscribe(matches(&pattern)).await.expect_err("it is too expensive");
        assert_eq!(failure.code, Code::InvalidInput);
        assert!(failure.message.contains("is too expensive"), "{}", failure.message);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    let kept = subscribe(matches("(?i)^QUI")).await.expect("it is cheap");
    assert_eq!(bench.engine.subscription(&kept.id).expect("it is there").condition, kept.condition);
}
