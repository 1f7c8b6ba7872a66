//! What is told in the background: each plugin by itself, whatever the others do.

use std::time::Duration;

use outrigger_contract::units::Span;
use outrigger_contract::{OnError, PluginName};
use outrigger_engine::hooks::{NewSubscription, TraceFilter};
use serde_json::json;

use crate::bench::{Bench, installation, no_arguments, until};

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
