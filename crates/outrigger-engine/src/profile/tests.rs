use std::time::{Duration, Instant};

use outrigger_contract::FunctionRef;

use super::*;
use crate::trace::{CallTrace, trace_id};

fn function() -> FunctionRef {
    "demo.echo".parse().unwrap()
}

fn of(stage: Stage, microseconds: u64) -> CallProfile {
    let mut stages = [Duration::ZERO; Stage::COUNT];
    stages[stage as usize] = Duration::from_micros(microseconds);
    CallProfile {
        function: function(),
        code: None,
        total: stages.iter().sum(),
        stages,
        host: Vec::new(),
        calls: Vec::new(),
        calls_left_out: 0,
    }
}

#[test]
fn every_moment_belongs_to_one_stage() {
    let recording = Recording::new(Instant::now(), false, None);
    for stage in [Stage::Validate, Stage::Queue, Stage::Cache, Stage::Transfer] {
        recording.enter(stage);
    }
    recording.code_entered();
    recording.host_entered();
    recording.host_import("wasi:io/poll");
    // For room to put its result the host calls the plugin, which grows its memory.
    recording.code_entered();
    recording.host_entered();
    recording.host_left();
    recording.code_left();
    recording.host_left();
    recording.code_left();
    recording.enter(Stage::Record);
    let (profile, spans) = recording.finish(function(), None);
    assert_eq!(profile.stages.iter().sum::<Duration>(), profile.total);
    let host: Duration = profile.host.iter().map(|calls| calls.time).sum();
    assert_eq!(host, profile.stage(Stage::Host));
    let mut calls: Vec<_> = profile.host.iter().map(|calls| (calls.import, calls.calls)).collect();
    calls.sort_unstable();
    assert_eq!(calls, [("runtime", 1), ("wasi:io/poll", 1)]);
    assert!(spans.is_empty(), "it is not traced");
}

#[test]
fn a_trace_has_a_span_for_each_stage_one_for_the_plugin_and_one_for_each_host_call() {
    let trace = CallTrace::new(trace_id(crate::CorrelationId::new()), None);
    let recording = Recording::new(Instant::now(), false, Some(trace));
    recording.enter(Stage::Validate);
    recording.enter(Stage::Transfer);
    recording.code_entered();
    recording.host_entered();
    recording.host_import("outrigger:plugin/calls");
    let within = recording.context().unwrap();
    recording.host_left();
    recording.code_left();
    assert_eq!(recording.context().unwrap(), trace.context, "the host call is over");
    recording.enter(Stage::Record);
    let (_, spans) = recording.finish(function(), None);
    let what: Vec<_> = spans.iter().map(|span| span.what).collect();
    let expected = [
        What::Stage(Stage::Resolve),
        What::Stage(Stage::Validate),
        What::HostCall("outrigger:plugin/calls"),
        What::Stage(Stage::Run),
        What::Stage(Stage::Record),
    ];
    assert_eq!(what, expected);
    assert_eq!((within.trace, within.span), (trace.context.trace, spans[2].id));
    assert!(spans[3].from <= spans[2].from && spans[2].to <= spans[3].to);
}

#[test]
fn what_was_under_way_when_a_call_broke_off_gets_the_time() {
    let recording = Recording::new(Instant::now(), false, None);
    recording.enter(Stage::Transfer);
    recording.code_entered();
    recording.host_entered();
    let before = Instant::now();
    while before.elapsed() < Duration::from_millis(2) {
        std::hint::spin_loop();
    }
    let (profile, _) = recording.finish(function(), Some(outrigger_contract::Code::DeadlineExceeded));
    assert!(profile.stage(Stage::Host) >= Duration::from_millis(2), "{profile:?}");
}

#[test]
fn a_function_that_makes_calls_without_end_is_not_kept_whole() {
    let recording = Recording::new(Instant::now(), true, None);
    for _ in 0..100 {
        recording.called(of(Stage::Run, 1));
    }
    let (profile, _) = recording.finish(function(), None);
    assert_eq!((profile.calls.len(), profile.calls_left_out), (64, 36));
}

#[test]
fn shares_and_quantiles_count_calls_in_which_a_stage_took_no_time() {
    let gathered = Gathered::default();
    let name = || "echo".parse().unwrap();
    assert_eq!(gathered.summary(name()), None);
    // Nine answers from the cache, and one that ran.
    for _ in 0..9 {
        gathered.add(&of(Stage::Cache, 10));
    }
    gathered.add(&of(Stage::Run, 910));
    let profile = gathered.summary(name()).unwrap();
    assert_eq!((profile.samples, profile.total.mean), (10, Duration::from_micros(100)));
    let [(Stage::Cache, cache), (Stage::Run, run)] = &profile.stages[..] else { panic!("{profile:?}") };
    assert!((cache.share - 0.09).abs() < 1e-9 && (run.share - 0.91).abs() < 1e-9, "{profile:?}");
    assert_eq!((run.mean, run.p50), (Duration::from_micros(91), Duration::ZERO));
    let near = |time: Duration, microseconds: f64| (time.as_secs_f64() * 1e6 / microseconds - 1.0).abs() < 0.07;
    assert!(near(run.p95, 910.0) && near(cache.p50, 10.0), "{profile:?}");
}
