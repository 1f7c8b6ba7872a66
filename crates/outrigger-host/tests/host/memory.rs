//! Memory that the server holds for a plugin is counted and limited: arguments and results, log lines, texts in errors,
//! tables and instances. Each test checks the memory of the process, not only the response, and runs in its own
//! process.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_api::{ApiError, CallRequest, CallResponse, JsonObject, Platform, PluginMetrics, RecordQuery};
use outrigger_testkit::greedy;
use serde_json::{Value as Json, json};

use crate::bench::{Bench, none};

const MIB: u64 = 1 << 20;

/// The resident memory of this process, and its peak since [`Resident::mark`].
struct Resident(u64);

impl Resident {
    /// Starts measuring: resets the system's peak.
    fn mark() -> Self {
        std::fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
        Self(Self::read("VmRSS:"))
    }

    /// The peak above the initial resident memory, in bytes.
    fn grown(&self) -> u64 {
        Self::read("VmHWM:").saturating_sub(self.0)
    }

    fn read(name: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
        let line = status.lines().find(|line| line.starts_with(name)).expect("it is there");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
        kib << 10
    }
}

async fn greedy_plugin(limits: &str) -> Bench {
    let bench = Bench::new().await;
    let package = bench.package("greedy", "greedy", "1.0.0", limits, &greedy::greedy());
    bench.install(&package).await.expect("it is installed");
    bench
}

/// Calls with arguments as text, as a server receives them.
async fn send(platform: &Arc<dyn Platform>, function: &str, arguments: String) -> Result<CallResponse, ApiError> {
    let arguments: JsonObject = serde_json::from_str(&arguments).expect("an object");
    let mut request = CallRequest::new(function.parse().expect("a name"), serde_json::Map::new());
    request.arguments = arguments;
    platform.call(request).await
}

async fn metrics(bench: &Bench, plugin: &str) -> PluginMetrics {
    let report = bench.platform.metrics().await.expect("it counts");
    report.each_plugin.into_iter().find(|one| one.plugin.as_str() == plugin).expect("it is installed")
}

/// `{"v": [item,item,…]}` of about this many bytes.
fn list_of(item: &str, bytes: usize) -> String {
    let mut text = "{\"v\": [".to_owned();
    while text.len() < bytes {
        text.push_str(item);
        text.push(',');
    }
    text.pop();
    text.push_str("]}");
    text
}

/// One call is refused, and so are a dozen concurrent ones; their memory stays within the limits of a call and of a
/// plugin.
async fn is_bounded(function: &str, arguments: String) {
    // Reading has a low priority, and other tests run beside this one.
    let bench = greedy_plugin("[limits]\ntimeout = \"2m\"\n").await;
    send(&bench.platform, function, "{\"v\": []}".to_owned()).await.expect("it is small");
    let before = Resident::mark();
    let error = send(&bench.platform, function, arguments.clone()).await.expect_err("it is too large");
    assert_eq!(error.code.as_str(), "host_memory_limit", "{}", error.message);
    assert!(error.message.contains("80MiB"), "{}", error.message);
    let grown = before.grown();
    assert!(grown < 160 * MIB, "one call took {} MiB", grown / MIB);
    let before = Resident::mark();
    let calls = (0..12).map(|_| {
        let (platform, arguments) = (Arc::clone(&bench.platform), arguments.clone());
        let function = function.to_owned();
        tokio::spawn(async move { send(&platform, &function, arguments).await })
    });
    for call in calls.collect::<Vec<_>>() {
        let error = call.await.expect("it does not panic").expect_err("it is too large");
        assert_eq!(error.code.as_str(), "host_memory_limit", "{}", error.message);
    }
    let grown = before.grown();
    assert!(grown < 460 * MIB, "twelve calls took {} MiB", grown / MIB);
    let counted = metrics(&bench, "greedy").await;
    assert!(counted.memory_held_peak_bytes <= 256 * MIB, "{counted:?}");
    assert!(counted.memory_held_bytes < 16 * MIB, "all of it is given back: {counted:?}");
    send(&bench.platform, function, "{\"v\": []}".to_owned()).await.expect("the next call works");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_deep_lists_are_charged_before_they_are_made() {
    is_bounded("greedy.deep", list_of("[[\"\"]]", 7 << 20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_records_of_which_everything_is_left_out_are_charged() {
    is_bounded("greedy.wide", list_of("{}", 7 << 20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_a_short_text_with_many_values_is_read_in_the_turn_of_its_caller() {
    let bench = greedy_plugin("").await;
    let (begin, begun) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let work = move || {
        _ = begin.send(());
        _ = released.recv();
    };
    let turn = tokio::spawn(async move { outrigger_compute::blocking("local", work).await });
    begun.await.expect("the turn is taken");
    // A third of a MiB and 20 MiB of values.
    let (few, many) = (list_of("{}", 1_000), list_of("{}", 60_000));
    send(&bench.platform, "greedy.wide", few).await.expect("it does not wait");
    let waits =
        tokio::time::timeout(Duration::from_millis(200), send(&bench.platform, "greedy.wide", many.clone())).await;
    assert!(waits.is_err(), "the turn is taken");
    drop(release);
    turn.await.expect("no panic").expect("nor in the turn");
    send(&bench.platform, "greedy.wide", many).await.expect("it has its turn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_what_is_wrong_is_charged_while_it_is_read_to_explain_it() {
    // The fast parser gives up at the 7; the thorough parser builds a tree of everything.
    is_bounded("greedy.deep", list_of("[[\"\"]]", 7 << 20).replacen('[', "[7,", 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_tuples_of_options_are_charged() {
    is_bounded("greedy.pairs", list_of("[true,true,true]", 8 << 20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_calls_that_wait_for_their_permit_hold_text_only() {
    let limits = "[limits]\nconcurrency = 1\ntimeout = \"6s\"\n[functions.deep]\ntimeout = \"2s\"\n";
    let bench = greedy_plugin(limits).await;
    send(&bench.platform, "greedy.deep", "{\"v\": []}".to_owned()).await.expect("it is small");
    let before_it = metrics(&bench, "greedy").await.memory_held_peak_bytes;
    let platform = Arc::clone(&bench.platform);
    let spinning = tokio::spawn(async move { send(&platform, "greedy.spin", "{}".to_owned()).await });
    while metrics(&bench, "greedy").await.memory_held_bytes == 0 {
        tokio::task::yield_now().await;
    }
    // Each would take 14 MiB and be accepted by itself.
    let arguments = list_of("[[\"\"]]", 300 << 10);
    let calls = (0..12).map(|_| {
        let (platform, arguments) = (Arc::clone(&bench.platform), arguments.clone());
        tokio::spawn(async move { send(&platform, "greedy.deep", arguments).await })
    });
    for call in calls.collect::<Vec<_>>() {
        let error = call.await.expect("it does not panic").expect_err("there is no permit");
        assert_eq!(error.code.as_str(), "busy", "{}", error.message);
    }
    let peak = metrics(&bench, "greedy").await.memory_held_peak_bytes;
    assert!(peak < before_it + 8 * MIB, "{peak} bytes, {before_it} before");
    assert_eq!(
        spinning.await.expect("it does not panic").expect_err("it never ends").code.as_str(),
        "deadline_exceeded"
    );
    let arguments = list_of("[[\"\"]]", 20 << 10);
    send(&bench.platform, "greedy.deep", arguments).await.expect("with its permit it is let in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_names_that_make_an_answer_large_are_bounded() {
    let bench = greedy_plugin("").await;
    bench.call("greedy.names", json!({"count": 10})).await.expect("it is small");
    let before = Resident::mark();
    let error = bench.call("greedy.names", json!({"count": 190_000})).await.expect_err("95 MB of names");
    assert_eq!(error.code.as_str(), "output_limit", "{}", error.message);
    let grown = before.grown();
    assert!(grown < 140 * MIB, "{} MiB", grown / MIB);
    // Large values are freed in the background.
    let deadline = Instant::now() + Duration::from_secs(10);
    while metrics(&bench, "greedy").await.memory_held_bytes >= 16 * MIB {
        assert!(Instant::now() < deadline, "{:?}", metrics(&bench, "greedy").await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_requests_responses_and_headers_that_are_never_sent_count() {
    let bench = greedy_plugin("[limits]\ntimeout = \"60s\"\n").await;
    // The names of the methods are too long, and are refused; the headers are as long as they may be.
    let attacks = [
        ("requests", 900, 1 << 20),
        ("requests", 900, 12 << 20),
        ("requests", 900, 16_000),
        ("headers", 900, 60_000),
        ("responses", 900, 60_000),
    ];
    for (function, count, bytes) in attacks {
        let before = Resident::mark();
        let arguments = json!({"count": count, "bytes": bytes});
        let outcome = bench.call(&format!("greedy.{function}"), arguments).await;
        assert!(outcome.is_ok(), "{function}: {:?}", outcome.err());
        let (grown, counted) = (before.grown(), metrics(&bench, "greedy").await);
        let peak = counted.memory_held_peak_bytes;
        assert!(grown < peak + 24 * MIB, "{function} of {bytes}: {} MiB, {} MiB counted", grown / MIB, peak / MIB);
        assert!(counted.memory_held_bytes < 16 * MIB, "{function}: all of it is given back");
    }
}

fn size_of_files(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries.map(|entry| entry.metadata().map_or(0, |data| data.len())).sum()
}

/// The size of a call's log lines in memory, in the records, and on disk.
async fn log(limits: &str, arguments: Json) -> (Vec<outrigger_api::LogEntry>, CallResponse) {
    let bench = greedy_plugin(limits).await;
    bench.call("greedy.log-fields", json!({"lines": 1, "fields": 1, "bytes": 1})).await.expect("it is small");
    let disk = size_of_files(&bench.path("data"));
    let before = Resident::mark();
    let response =
        send(&bench.platform, "greedy.log-fields", arguments.to_string()).await.expect("a flood is no failure");
    let query = RecordQuery { correlation: Some(response.correlation.clone()), limit: 1000, ..RecordQuery::default() };
    let mut lines = bench.platform.log_list(&query).await.expect("it lists");
    // The first call's belongs to the same session.
    lines.retain(|line| line.message.len() > 1);
    let (grown, disk) = (before.grown(), size_of_files(&bench.path("data")).saturating_sub(disk));
    // The guest's own memory counts towards the 64 MiB as well.
    assert!(grown < 112 * MIB, "{} MiB of memory", grown / MIB);
    assert!(disk < 12 * MIB, "{} MiB on the disk", disk / MIB);
    (lines, response)
}

fn bytes_of(line: &outrigger_api::LogEntry) -> usize {
    let fields = serde_json::to_string(&line.fields).expect("it is JSON");
    line.message.len() + fields.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s02_fields_count_as_the_line_does() {
    let (lines, response) = log("", json!({"lines": 1_000, "fields": 32, "bytes": 16_384})).await;
    let total: usize = lines.iter().map(bytes_of).sum();
    assert!(total < 2 << 20, "{total} bytes");
    assert!(!lines.is_empty(), "the first ones are kept");
    assert!(lines.iter().all(|line| bytes_of(line) < 20 << 10), "no line is longer than a line may be");
    let warning = response.warnings.iter().find(|warning| warning.code.as_str() == "log_limit").expect("it is said");
    assert!(warning.message.starts_with(&(1_000 - lines.len()).to_string()), "{}", warning.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s02_a_line_with_a_hundred_thousand_fields_is_cut_and_says_so() {
    let (lines, _) = log("", json!({"lines": 3, "fields": 100_000, "bytes": 40})).await;
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| bytes_of(line) < 20 << 10));
    let fields = serde_json::to_string(&lines[0].fields).expect("it is JSON");
    assert!(fields.contains("99968 more fields"), "{fields}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s02_names_of_fields_count_too() {
    let (lines, _) = log("", json!({"lines": 200, "fields": 2, "bytes": 900_000})).await;
    assert!(lines.iter().all(|line| bytes_of(line) < 20 << 10), "{:?}", lines.iter().map(bytes_of).max());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s02_a_manifest_that_allows_more_lines_is_bounded_in_bytes_all_the_same() {
    let limits = "[limits]\nlog-lines = 100000\ntimeout = \"20s\"\n";
    let (lines, response) = log(limits, json!({"lines": 20_000, "fields": 8, "bytes": 1_000})).await;
    assert!(!lines.is_empty());
    assert!(response.warnings.iter().any(|warning| warning.code.as_str() == "log_limit"), "{:?}", response.warnings);
}

/// A failed call has a short response and a short record.
async fn is_short(bench: &Bench, function: &str, arguments: Json, code: &str) -> ApiError {
    let before = Resident::mark();
    let error = bench.call(function, arguments).await.expect_err("it fails");
    assert_eq!(error.code.as_str(), code, "{}", error.message);
    assert!(error.message.len() < 9 << 10, "a message of {} bytes", error.message.len());
    let detail = error.detail.as_ref().map_or(0, |detail| detail.to_string().len());
    assert!(detail <= 66 << 10, "a detail of {detail} bytes");
    let runs = bench.platform.run_list(&RecordQuery { limit: 1000, ..RecordQuery::default() }).await.expect("it lists");
    let longest = runs.iter().filter_map(|run| run.message.as_ref()).map(String::len).max().unwrap_or_default();
    assert!(longest <= 1_100, "a run with a message of {longest} bytes");
    assert!(before.grown() < 120 * MIB, "{} MiB", before.grown() / MIB);
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_a_refused_path_is_cut_where_it_enters() {
    let bench = Bench::new().await;
    bench.install(&bench.hostile("1.0.0", "")).await.expect("it is installed");
    let path = "x".repeat(8 << 20);
    let open = json!({"folder": 0, "path": path, "open-flags": 0, "descriptor-flags": 1, "trap": true});
    let error = bench.call("hostile.open", open).await.expect_err("not granted");
    assert!(error.message.len() < 9 << 10, "{} bytes", error.message.len());
    let runs = bench.platform.run_list(&RecordQuery { limit: 10, ..RecordQuery::default() }).await.expect("it lists");
    assert!(runs[0].message.as_ref().is_none_or(|message| message.len() <= 1_100), "{runs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_an_error_value_of_megabytes_is_cut() {
    let bench = greedy_plugin("").await;
    let error = is_short(&bench, "greedy.fail-text", json!({"bytes": 4_000_000}), "function_failed").await;
    assert!(error.detail.is_some_and(|detail| detail.to_string().ends_with("…\"")), "its beginning is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_an_error_value_with_long_names_is_not_written_out() {
    let bench = greedy_plugin("").await;
    is_short(&bench, "greedy.fail-names", json!({"count": 190_000}), "function_failed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_names_of_functions_in_a_backtrace_are_cut() {
    let bench = Bench::new().await;
    let component = greedy::instances(&greedy::long_frame(90_000), 1);
    let package = bench.package("frames", "frames", "1.0.0", "", &component);
    bench.install(&package).await.expect("it is installed");
    let error = is_short(&bench, "frames.run", none(), "trapped").await;
    assert!(error.message.contains("ffff"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s05_names_in_wrong_arguments_are_cut() {
    let bench = greedy_plugin("").await;
    let long = "y".repeat(100_000);
    let mut members: serde_json::Map<String, Json> =
        (0..40).map(|index| (format!("{long}{index}"), json!(1))).collect();
    members.insert("count".to_owned(), json!(long));
    is_short(&bench, "greedy.names", Json::Object(members), "invalid_input").await;
}

/// Installs a component with one module, and calls it.
async fn run(component: &[u8], limits: &str) -> (Bench, Result<Json, ApiError>) {
    let bench = Bench::new().await;
    let package = bench.package("many", "many", "1.0.0", limits, component);
    let outcome = match bench.install(&package).await {
        Ok(_) => bench.call("many.run", none()).await,
        Err(error) => Err(error),
    };
    (bench, outcome)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s07_tables_count_with_memory() {
    let small = "[limits]\nmemory = \"16MiB\"\n";
    let (bench, outcome) = run(&greedy::instances(&greedy::tables(15, 1, 199_000), 1), small).await;
    let before = Resident::mark();
    // A failed table growth returns -1, and the plugin continues.
    assert_eq!(outcome.expect("it copes"), json!(u32::MAX));
    let peak = metrics(&bench, "many").await.memory_peak_bytes.expect("it ran");
    assert!(peak > 12 * MIB && peak <= 16 * MIB, "tables are in the peak: {peak}");
    let outcome = bench.call("many.run", none()).await;
    assert_eq!(outcome.expect("it copes"), json!(u32::MAX));
    assert!(before.grown() < 40 * MIB, "{} MiB", before.grown() / MIB);
    let (_, outcome) = run(&greedy::instances(&greedy::tables(4, 1, 199_000), 1), small).await;
    assert_eq!(outcome.expect("there is room"), json!(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s07_tables_that_never_fit_are_refused_at_installation() {
    let component = greedy::instances(&greedy::tables(16, 190_000, 0), 1);
    let (_, outcome) = run(&component, "[limits]\nmemory = \"16MiB\"\n").await;
    let first = outcome.expect_err("24 MB of tables from the start");
    assert_eq!(first.code.as_str(), "memory_limit", "{}", first.message);
    let (_, outcome) = run(&greedy::instances(&greedy::tables(15, 1, 199_000), 16), "").await;
    let many = outcome.expect_err("240 tables");
    assert_eq!(many.code.as_str(), "invalid_component", "{}", many.message);
    assert!(many.message.contains("240 tables"), "{}", many.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s07_a_thousand_instances_of_one_module_are_refused() {
    let (_, outcome) = run(&greedy::instances("(func (export \"run\") (result i32) (i32.const 1))", 1_000), "").await;
    let error = outcome.expect_err("no instance may have so many");
    assert_eq!(error.code.as_str(), "invalid_component", "{}", error.message);
    assert!(error.message.contains("1000 core instances"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s07_more_memories_than_an_instance_may_have_are_refused() {
    let module = "(memory 0) (func (export \"run\") (result i32) (i32.const 1))";
    let (_, outcome) = run(&greedy::instances(module, 8), "").await;
    assert_eq!(outcome.expect("so many may be"), json!(1));
    let (_, outcome) = run(&greedy::instances(module, 9), "").await;
    let error = outcome.expect_err("they are slots of a pool for all");
    assert_eq!(error.code.as_str(), "invalid_component", "{}", error.message);
    assert!(error.message.contains("9 memories"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s07_what_core_instances_take_counts() {
    let component = greedy::instances(&greedy::globals(60_000), 90);
    let before = Resident::mark();
    let (_, outcome) = run(&component, "").await;
    let error = outcome.expect_err("86 MB of globals");
    assert_eq!(error.code.as_str(), "memory_limit", "{}", error.message);
    assert!(before.grown() < 300 * MIB, "{} MiB", before.grown() / MIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s07_memories_count_together() {
    let module = "(memory 1) (memory 1) (memory 1) (func (export \"run\") (result i32)
        (drop (memory.grow 1 (i32.const 300))) (drop (memory.grow 2 (i32.const 300))) (memory.grow 0 (i32.const 600)))";
    let (bench, outcome) = run(&greedy::instances(module, 1), "").await;
    assert_eq!(outcome.expect("it copes"), json!(u32::MAX), "1,203 pages are more than 64 MiB");
    let peak = metrics(&bench, "many").await.memory_peak_bytes.expect("it ran");
    assert!(peak > 36 * MIB && peak <= 64 * MIB, "{peak}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s07_kept_instances_are_counted_for_their_plugin() {
    let bench = Bench::new().await;
    let module = "(memory 640) (func (export \"run\") (result i32) (i32.const 1))";
    let manifest = "instances = { warm = { max-instances = 64, max-calls = 1000 } }\n";
    let package = bench.package("many", "many", "1.0.0", manifest, &greedy::instances(module, 1));
    bench.install(&package).await.expect("it is installed");
    let name = "many".parse().expect("a name");
    let error = bench.platform.plugin_warm(&name).await.expect_err("2.5 GiB of instances");
    assert_eq!(error.code.as_str(), "host_memory_limit", "{}", error.message);
    let counted = metrics(&bench, "many").await;
    assert!(counted.memory_held_bytes <= 256 * MIB, "{counted:?}");
    assert!(counted.memory_held_bytes >= 200 * MIB, "those that fit are kept: {counted:?}");
    assert_eq!(bench.call("many.run", none()).await.expect("one of them answers"), json!(1));
    // Others still run.
    bench.install(&bench.hostile("1.0.0", "")).await.expect("it is installed");
    assert_eq!(bench.call("hostile.good", json!({"number": 3})).await.expect("it works"), json!(3));
}
