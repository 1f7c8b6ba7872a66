//! `outrigger plugin profile`, and what `outrigger call --profile` adds: where time goes, as tables with bars.

use comfy_table::Cell;
use outrigger_api::{
    CallProfile, FunctionProfile, HostCallProfile, HostCallTime, PluginName, PluginProfile, StageTime,
};

use crate::context::Context;
use crate::error::CliResult;
use crate::output::table::{cell, indent, section, table};
use crate::output::{bold, count, duration, moment};

/// Shows where the time of a plugin's calls goes.
///
/// # Errors
/// The platform's.
pub async fn run(context: &Context, name: &PluginName) -> CliResult {
    let profile = context.platform().await?.plugin_profile(name).await?;
    context.output.print(&profile, || of_plugin(&profile))
}

fn of_plugin(profile: &PluginProfile) -> String {
    let PluginProfile { plugin, since, one_in, functions } = profile;
    let Some(since) = since.map(moment) else {
        return format!(
            "{plugin} is not loaded in this process. A server profiles one in {one_in} calls of each function; \
             `outrigger call --profile` profiles a single call."
        );
    };
    if functions.is_empty() {
        return format!(
            "No call of {plugin} was profiled since {since}. The second call of a function is profiled, then the \
             third, the fifth, and so on, and finally one in {one_in}."
        );
    }
    let mut text = format!("Since {since}, one in {one_in} calls.\n");
    for function in functions {
        text.push_str(&section(&heading(function), &of_function(function)));
    }
    text
}

fn heading(function: &FunctionProfile) -> String {
    let samples = usize::try_from(function.samples).unwrap_or(usize::MAX);
    format!("{}: {} profiled", function.function, count(samples, "call"))
}

fn of_function(function: &FunctionProfile) -> String {
    let rows = function.stages.iter().chain([&function.total]).map(|stage| {
        vec![
            cell(&stage.stage),
            cell(microseconds(stage.mean_us)),
            cell(microseconds(stage.p50_us)),
            cell(microseconds(stage.p95_us)),
            percent(stage.share),
            bar(stage.share),
        ]
    });
    let mut text = table(&["STAGE", "MEAN>", "P50>", "P95>", "SHARE>", ""], rows);
    let row = |host: &HostCallProfile| {
        let calls = format!("{:.1}", host.calls);
        vec![cell(&host.import), cell(calls), cell(microseconds(host.mean_us)), percent(host.share), bar(host.share)]
    };
    if !function.host_calls.is_empty() {
        let rows = function.host_calls.iter().map(row);
        text.push_str("\n\n");
        text.push_str(&table(&["HOST CALLS", "A CALL>", "MEAN>", "SHARE>", ""], rows));
    }
    text
}

/// Where the time of one call went, and that of those it made.
pub(super) fn of_call(profile: &CallProfile) -> String {
    let CallProfile { function, code, total_ns, stages, host_calls, calls, calls_left_out } = profile;
    let failed = code.map(|code| format!(" ({code})")).unwrap_or_default();
    let whole = StageTime { stage: "total".to_owned(), ns: *total_ns };
    let rows = stages.iter().chain([&whole]).map(|StageTime { stage, ns }| {
        let share = share(*ns, *total_ns);
        vec![cell(stage), cell(nanoseconds(*ns)), percent(share), bar(share)]
    });
    let mut text = format!("{}\n", bold(&format!("{function}{failed}")));
    text.push_str(&indent(&table(&["STAGE", "TIME>", "SHARE>", ""], rows), "  "));
    if !host_calls.is_empty() {
        let rows = host_calls.iter().map(|HostCallTime { import, calls, ns }| {
            let share = share(*ns, *total_ns);
            vec![cell(import), cell(calls.to_string()), cell(nanoseconds(*ns)), percent(share), bar(share)]
        });
        let host_calls = table(&["HOST CALLS", "CALLS>", "TIME>", "SHARE>", ""], rows);
        text.push_str(&format!("\n\n{}", indent(&host_calls, "  ")));
    }
    for call in calls {
        text.push_str(&format!("\n\n{}", indent(&of_call(call), "  ")));
    }
    if *calls_left_out > 0 {
        text.push_str(&format!("\n\n  and {}", count(*calls_left_out as usize, "more call")));
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn percent(share: f64) -> Cell {
    cell(format!("{:.0} %", share * 100.0))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is from 0 to 1")]
fn bar(share: f64) -> Cell {
    const WIDEST: f64 = 30.0;
    cell("█".repeat((share.clamp(0.0, 1.0) * WIDEST).round() as usize))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time is not negative, nor so long")]
fn microseconds(microseconds: f64) -> String {
    nanoseconds((microseconds * 1e3).round() as u64)
}

/// A length of time, three digits and a unit.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn nanoseconds(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..10_000 => format!("{:.2} µs", ns as f64 / 1e3),
        10_000..100_000 => format!("{:.1} µs", ns as f64 / 1e3),
        _ => duration(ns / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_shown_with_those_it_made() {
        let stage = |stage: &str, ns| StageTime { stage: stage.to_owned(), ns };
        let inner = CallProfile {
            function: "pricing.quote".parse().unwrap(),
            code: Some(outrigger_api::Code::Trapped),
            total_ns: 1_000,
            stages: vec![stage("run", 1_000)],
            host_calls: Vec::new(),
            calls: Vec::new(),
            calls_left_out: 0,
        };
        let outer = CallProfile {
            function: "demo.call".parse().unwrap(),
            code: None,
            total_ns: 40_000,
            stages: vec![stage("run", 10_000), stage("host", 30_000)],
            host_calls: vec![HostCallTime { import: "outrigger:plugin/calls".to_owned(), calls: 1, ns: 30_000 }],
            calls: vec![inner],
            calls_left_out: 2,
        };
        let text = anstream::adapter::strip_str(&of_call(&outer)).to_string();
        let text: Vec<_> = text.lines().map(str::trim_end).collect();
        let expected = "demo.call
  STAGE     TIME  SHARE
  run    10.0 µs   25 %  ████████
  host   30.0 µs   75 %  ███████████████████████
  total  40.0 µs  100 %  ██████████████████████████████

  HOST CALLS              CALLS     TIME  SHARE
  outrigger:plugin/calls      1  30.0 µs   75 %  ███████████████████████

  pricing.quote (trapped)
    STAGE     TIME  SHARE
    run    1.00 µs  100 %  ██████████████████████████████
    total  1.00 µs  100 %  ██████████████████████████████

  and 2 more calls";
        assert_eq!(text.join("\n"), expected);
    }
}
