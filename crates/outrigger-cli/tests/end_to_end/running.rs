//! Records of runs, and interrupted commands.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::harness::{Outcome, Place, bundled};

#[test]
fn calls_are_counted_and_recorded() {
    let place = Place::with("pricing");
    place.run(&["call", "pricing.currencies"]).succeeded();
    place.run(&["call", "pricing.quote", "--service", "nope", "--quantity", "1"]);
    let statistics = place.json(&["plugin", "stats", "pricing"]);
    assert_eq!((&statistics["total"]["calls"], &statistics["total"]["failures"]), (&json!(2), &json!(1)));
    place.run(&["plugin", "stats"]).succeeded().shows(&["FUNCTION", "pricing.quote", "total"]);
    let runs = place.json(&["runs", "pricing.quote", "--failed"]);
    assert_eq!((runs.as_array().unwrap().len(), &runs[0]["outcome"]), (1, &json!("function_failed")));
    let correlation = runs[0]["correlation"].as_str().unwrap();
    assert_eq!(place.json(&["runs", "--correlation", correlation, "--since", "1h"]), runs);
    assert_eq!(place.json(&["plugin", "logs", "pricing", "--level", "error", "--since", "10m"]), json!([]));
    place.run(&["runs", "--since", "yesterday"]).failed(2, &["10m"]);
    place.run(&["doctor"]).succeeded().shows(&["Everything is in order."]);
}

#[test]
fn what_was_run_is_summed_up() {
    let place = Place::with("pricing");
    assert_eq!(place.json(&["usage"])["groups"], json!([]));
    for _ in 0..2 {
        place.run(&["call", "pricing.currencies"]).succeeded();
    }
    place.run(&["call", "pricing.quote", "--service", "nope", "--quantity", "1"]);
    let report = place.json(&["usage"]);
    let groups: Vec<_> =
        report["groups"].as_array().unwrap().iter().map(|group| (&group["function"], &group["calls"])).collect();
    let (currencies, quote) = (json!("pricing.currencies"), json!("pricing.quote"));
    assert_eq!(groups, [(&currencies, &json!(2)), (&quote, &json!(1))]);
    assert_eq!((&report["by"], &report["truncated"]), (&json!(["function"]), &json!(false)));
    let failed = place.json(&["usage", "pricing.quote", "--by", "day,outcome", "--since", "1h"]);
    let group = &failed["groups"][0];
    assert_eq!((&group["outcome"], &group["failures"]), (&json!("function_failed"), &json!(1)));
    assert!(group["from"].as_str().unwrap().ends_with("T00:00:00Z") && group["max_us"].is_u64(), "{group}");
    let shown = place.run(&["usage", "pricing", "--by", "caller,outcome", "--caller", "local"]).succeeded();
    shown.shows(&["CALLER", "OUTCOME", "CALLS", "local", "function_failed"]);
    assert_eq!(place.json(&["usage", "--caller", "key ci"])["groups"], json!([]));
    assert_eq!(place.json(&["usage", "--limit", "1"])["truncated"], json!(true));
    place.run(&["usage", "--by", "month"]).failed(2, &["hour", "outcome"]);
    place.run(&["usage", "--since", "2020-01-01T00:00:00Z"]).failed(2, &["invalid_input", "92 days"]);
}

/// A plugin that never comes to an end, with the time to do so.
fn endless(place: &Place) {
    place.install_hostile("[limits]\ntimeout = \"5m\"\ncpu = \"5m\"\n");
}

fn spawn(place: &Place, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(arguments)
        .env("OUTRIGGER_DATA", place.path("data"))
        .env("OUTRIGGER_BUNDLED", bundled())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started")
}

#[test]
fn ctrl_c_cancels_a_call_and_records_it() {
    let place = Place::new();
    endless(&place);
    let mut child = spawn(&place, &["call", "hostile.spin", "-vv"]);
    // The log tells when the call has begun.
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("calling") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended early");
    }
    interrupt(&child);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(8), "{rest}");
    assert!(rest.contains("error[cancelled]"), "{rest}");
    assert_eq!(place.json(&["runs", "hostile"])[0]["outcome"], "cancelled");
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::with("pricing");
    let mut child = spawn(&place, &["call", "pricing.services"]);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_time_limit_is_kept() {
    let place = Place::new();
    endless(&place);
    place.run(&["call", "hostile.spin", "--timeout", "200ms"]).failed(6, &["error[deadline_exceeded]"]);
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let place = Place::with("pricing");
    assert!(!place.run(&["plugin", "list"]).succeeded().stdout.contains('\u{1b}'));
    assert!(place.run(&["plugin", "list", "--color", "always"]).succeeded().stdout.contains('\u{1b}'));
    let forced = Outcome::of(place.command(&["plugin", "list", "--color", "never"]).env("CLICOLOR_FORCE", "1"));
    assert!(!forced.succeeded().stdout.contains('\u{1b}'));
    assert!(!place.run(&["--help", "--color", "never"]).stdout.contains('\u{1b}'));
}
