//! Profiles of calls in the runtime.

mod common;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Bench, Loaded, PLENTY, number, text};
use outrigger_contract::Value;
use outrigger_contract::manifest::InstancePolicy;
use outrigger_engine::profile::{CallProfile, Recording, Stage};
use outrigger_engine::runtime::CallContext;

async fn recorded(loaded: &Loaded, function: &str, arguments: &[Value], time: Duration) -> CallProfile {
    let recording = Arc::new(Recording::new(Instant::now(), true, None));
    let context = CallContext { recording: Some(Arc::clone(&recording)), ..loaded.services.context(time) };
    // Some of them are to fail.
    let _ = Arc::clone(&loaded.revision).call(loaded.place(function), arguments.into(), context).await;
    recording.finish("test.function".parse().expect("a name"), None).0
}

fn warm() -> InstancePolicy {
    let some = |count| NonZeroU32::new(count).expect("not nothing");
    InstancePolicy::Warm { max_instances: some(1), max_calls: some(1_000) }
}

#[tokio::test]
async fn to_sleep_in_a_host_call_is_not_to_run() {
    let bench = Bench::new();
    let loaded = bench.hostile(|_| {}).await;
    let profile = recorded(&loaded, "sleep", &[number(50_000_000)], PLENTY).await;
    assert!(profile.stage(Stage::Host) >= Duration::from_millis(50), "{profile:?}");
    assert!(profile.stage(Stage::Run) < Duration::from_millis(25), "{profile:?}");
    assert!(profile.stage(Stage::Instantiate) > Duration::ZERO, "{profile:?}");
    assert!(profile.stage(Stage::Transfer) > Duration::ZERO, "{profile:?}");
    let host = &profile.host;
    let poll = host.iter().find(|calls| calls.import == "wasi:io/poll").expect("it waits there");
    assert!(poll.calls >= 1 && poll.time >= Duration::from_millis(50), "{host:?}");
    assert!(host.iter().any(|calls| calls.import == "wasi:clocks/monotonic-clock"), "{host:?}");
}

#[tokio::test]
async fn to_compute_is_to_run_and_a_call_that_is_stopped_is_told_too() {
    let bench = Bench::new();
    let loaded = bench.hostile(|_| {}).await;
    let profile = recorded(&loaded, "spin", &[], Duration::from_millis(60)).await;
    assert!(profile.stage(Stage::Run) >= Duration::from_millis(40), "{profile:?}");
    // A call that waits in a host call at its deadline is stopped there.
    let profile = recorded(&loaded, "sleep", &[number(60_000_000_000)], Duration::from_millis(60)).await;
    assert!(profile.stage(Stage::Host) >= Duration::from_millis(40), "{profile:?}");
}

#[tokio::test]
async fn an_instance_that_was_kept_need_not_be_made() {
    let bench = Bench::new();
    let loaded = bench.hostile(|spec| spec.instances = warm()).await;
    let first = recorded(&loaded, "count", &[], PLENTY).await;
    assert!(first.stage(Stage::Instantiate) > Duration::ZERO, "{first:?}");
    let second = recorded(&loaded, "count", &[], PLENTY).await;
    assert_eq!(second.stage(Stage::Instantiate), Duration::ZERO, "{second:?}");
    assert!(second.stage(Stage::Run) > Duration::ZERO, "{second:?}");
    // A call that nobody looks at is told to nobody, also on an instance that was looked at.
    assert_eq!(loaded.call("count", &[]).await.expect("it answers"), number(3));
    let fourth = recorded(&loaded, "count", &[], PLENTY).await;
    assert_eq!(fourth.stages.iter().sum::<Duration>(), fourth.total);
}

#[tokio::test]
async fn host_calls_are_told_by_interface() {
    let bench = Bench::new();
    let loaded = bench.hostile(|_| {}).await;
    let check = async |function: &str, arguments: &[Value], import: &str, least: u64| {
        let profile = recorded(&loaded, function, arguments, PLENTY).await;
        let host = &profile.host;
        let calls = host.iter().find(|calls| calls.import == import);
        assert!(calls.is_some_and(|calls| calls.calls >= least), "{import} by {function}: {host:?}");
        let sum: Duration = host.iter().map(|calls| calls.time).sum();
        assert_eq!(sum, profile.stage(Stage::Host), "{host:?}");
    };
    check("log", &[number(7)], "outrigger:plugin/logging", 7).await;
    check("setting", &[text("colour")], "outrigger:plugin/configuration", 1).await;
    check("call", &[text("other.echo"), text("{}")], "outrigger:plugin/calls", 1).await;
    check("print", &[text("hello\n"), number(3)], "wasi:cli/stdout", 1).await;
    check("print", &[text("hello\n"), number(3)], "wasi:io/streams", 3).await;
    check("folders", &[], "wasi:filesystem/preopens", 1).await;
    check("variables", &[], "wasi:cli/environment", 1).await;
    check("bomb-kindly", &[], "runtime", 1).await;
}
