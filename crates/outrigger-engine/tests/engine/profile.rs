//! Where the time of calls goes, and who is told of it.

use std::num::NonZeroU128;
use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::{Code, TraceContext};
use outrigger_engine::profile::{CallProfile, Stage, What};
use outrigger_engine::trace::{TracedCall, Tracer, trace_id};
use outrigger_engine::{CallOptions, CorrelationId};
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::bench::{Bench, installation, no_arguments, until};

const NESTED: &str = "[permissions]\nplugins = [\"other.*\"]\n[functions.wait]\nconcurrency = 1\n";

fn asked() -> CallOptions {
    CallOptions { profile: true, ..CallOptions::default() }
}

#[track_caller]
fn adds_up(profile: &CallProfile) {
    assert_eq!(profile.stages.iter().sum::<Duration>(), profile.total, "{profile:?}");
    profile.calls.iter().for_each(adds_up);
}

#[tokio::test]
async fn a_call_says_where_its_time_went_if_it_is_asked() {
    let bench = Bench::new().await;
    bench.demo("[functions.echo]\nread-only = true\ncache = \"1h\"\n").await;
    assert!(bench.call("demo.echo", json!({"text": "a"})).await.expect("it answers").profile.is_none());
    let answer = bench.call_with("demo.sleep", json!({"milliseconds": 20}), asked()).await.expect("it answers");
    let profile = answer.profile.expect("it was asked for");
    adds_up(&profile);
    assert!(profile.stage(Stage::Run) >= Duration::from_millis(20), "{profile:?}");
    assert!(profile.total >= answer.duration, "to write it down takes time too");
    // What is known already need not run.
    let answer = bench.call_with("demo.echo", json!({"text": "a"}), asked()).await.expect("it answers");
    let profile = answer.profile.expect("it was asked for");
    adds_up(&profile);
    assert_eq!(profile.stage(Stage::Run), Duration::ZERO);
    assert!(profile.stage(Stage::Cache) > Duration::ZERO, "{profile:?}");
}

#[tokio::test]
async fn to_wait_for_room_is_to_queue() {
    let bench = Bench::new().await;
    bench.demo(NESTED).await;
    let first = bench.start("demo.wait", no_arguments(), CallOptions::default());
    until("the first is under way", || bench.runtime.waiting() == 1).await;
    let second = bench.start("demo.wait", no_arguments(), asked());
    tokio::time::sleep(Duration::from_millis(30)).await;
    bench.runtime.release();
    first.await.expect("no panic").expect("it answers");
    until("the second is under way", || bench.runtime.waiting() == 1).await;
    bench.runtime.release();
    let profile = second.await.expect("no panic").expect("it answers").profile.expect("it was asked for");
    adds_up(&profile);
    assert!(profile.stage(Stage::Queue) >= Duration::from_millis(25), "{profile:?}");
}

#[tokio::test]
async fn calls_that_a_call_makes_have_parts_of_their_own() {
    let bench = Bench::new().await;
    bench.demo(NESTED).await;
    bench.engine.install(installation("other", "1.0.0", "")).await.expect("it is installed");
    let nested = |function: &str| json!({"function": function, "arguments": "{\"text\": \"no\"}"});
    let answer = bench.call_with("demo.call", nested("other.echo"), asked()).await.expect("it answers");
    let profile = answer.profile.expect("it was asked for");
    adds_up(&profile);
    let [inner] = &profile.calls[..] else { panic!("{profile:?}") };
    assert_eq!((inner.function.to_string(), inner.code), ("other.echo".to_owned(), None));
    assert!(inner.total <= profile.total && inner.stage(Stage::Run) > Duration::ZERO, "{profile:?}");
}

#[tokio::test]
async fn of_each_function_a_few_calls_are_looked_at() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let name = "demo".parse().expect("a name");
    for _ in 0..200 {
        bench.call("demo.version", no_arguments()).await.expect("it answers");
    }
    bench.code("demo.fail", json!({"text": "no"})).await;
    bench.code("demo.fail", json!({"text": "no"})).await;
    let profile = bench.engine.profile(&name).expect("it is there").expect("it is loaded");
    let samples: Vec<_> = profile.functions.iter().map(|one| (one.function.as_str(), one.samples)).collect();
    // Of `version` the calls 2, 3, 5, 9, 17, 33, 65, 129 and 193; of `fail` the second.
    assert_eq!(samples, [("fail", 1), ("version", 9)]);
    let version = &profile.functions[1];
    let shares: f64 = version.stages.iter().map(|(_, summary)| summary.share).sum();
    assert!((shares - 1.0).abs() < 1e-6, "{version:?}");
    // Another revision spends its time in other ways.
    bench.engine.reload(&name).await.expect("it reloads");
    let anew = bench.engine.profile(&name).expect("it is there").expect("it is loaded");
    assert!(anew.functions.is_empty() && anew.since > profile.since, "{anew:?}");
}

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Kept {
    calls: Mutex<Vec<TracedCall>>,
}

impl Tracer for Kept {
    fn begin(&self, correlation: CorrelationId) -> Option<NonZeroU128> {
        Some(trace_id(correlation))
    }

    fn ended(&self, call: TracedCall) {
        self.calls.lock().push(call);
    }
}

impl Kept {
    fn take(&self) -> Vec<TracedCall> {
        std::mem::take(&mut self.calls.lock())
    }
}

async fn traced() -> (Bench, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let bench = Bench::traced(Arc::clone(&kept) as Arc<dyn Tracer>).await;
    bench.demo(NESTED).await;
    bench.engine.install(installation("other", "1.0.0", "")).await.expect("it is installed");
    (bench, kept)
}

#[tokio::test]
async fn a_call_without_a_trace_begins_one_under_its_correlation_id() {
    let (bench, kept) = traced().await;
    let correlation = CorrelationId::new();
    let options = CallOptions { correlation: Some(correlation), ..CallOptions::default() };
    let nested = json!({"function": "other.echo", "arguments": "{\"text\": \"secret\"}"});
    bench.call_with("demo.call", nested, options).await.expect("it answers");
    let calls = kept.take();
    let [inner, outer] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(outer.trace.context.trace, trace_id(correlation));
    assert_eq!((inner.trace.context.trace, outer.trace.parent), (outer.trace.context.trace, None));
    assert_eq!(inner.trace.parent, Some(outer.trace.context.span));
    assert_eq!((inner.function().to_string().as_str(), inner.correlation), ("other.echo", correlation));
    assert!(outer.spans.iter().any(|span| span.what == What::Stage(Stage::Run)), "{outer:?}");
    assert!(!format!("{calls:?}").contains("secret"), "nothing of arguments and results is told");
}

#[tokio::test]
async fn a_trace_is_gone_on_with_as_its_client_decided() {
    let (bench, kept) = traced().await;
    let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let context: TraceContext = text.parse().expect("a context");
    let check = async |sampled: bool| {
        let trace = Some(Box::new(TraceContext { sampled, ..context }));
        let nested = json!({"function": "other.version", "arguments": "{}"});
        let options = CallOptions { trace, ..CallOptions::default() };
        bench.call_with("demo.call", nested, options).await.expect("it answers");
        kept.take()
    };
    assert!(check(false).await.is_empty(), "neither the call nor the one it makes");
    let calls = check(true).await;
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| call.trace.context.trace == context.trace));
    assert_eq!(calls[1].trace.parent, Some(context.span));
}

#[tokio::test]
async fn calls_that_fail_or_are_given_up_are_told_too() {
    let (bench, kept) = traced().await;
    bench.code("nowhere.x", no_arguments()).await;
    bench.code("demo.echo", json!({"text": 5})).await;
    let cancel = CancellationToken::new();
    let options = CallOptions { cancel: cancel.clone().into(), ..CallOptions::default() };
    let cancelled = bench.start("demo.wait", no_arguments(), options);
    until("it is under way", || bench.runtime.waiting() == 1).await;
    cancel.cancel();
    cancelled.await.expect("no panic").expect_err("it is cancelled");
    let dropped = bench.start("demo.wait", no_arguments(), CallOptions::default());
    until("it is under way", || bench.runtime.waiting() == 1).await;
    dropped.abort();
    dropped.await.expect_err("it is dropped");
    let codes: Vec<_> = kept.take().iter().map(|call| call.code().expect("it failed")).collect();
    assert_eq!(codes, [Code::PluginNotFound, Code::InvalidInput, Code::Cancelled, Code::Cancelled]);
}
