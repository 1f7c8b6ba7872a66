//! Traces and metrics, from a request to a collector.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value as Json, json};

use crate::collector::{Collector, attribute};
use crate::harness::{Outcome, Place, bundled};

/// A server with variables of its own. It is killed when the test is over, however it ends.
struct Server {
    child: Child,
    address: String,
    key: String,
}

impl Server {
    fn start(place: &Place, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_outrigger"))
            .args(["serve", "--listen", "127.0.0.1:0", "-o", "json"])
            .env("OUTRIGGER_DATA", place.path("data"))
            .env("OUTRIGGER_BUNDLED", bundled())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Json = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |name: &str| told[name].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
        Self { address: text("address"), key: text("administrator_key"), child }
    }

    /// Calls a function; gives the answer and the correlation id.
    fn call(&self, plugin: &str, body: &Json, traceparent: Option<&str>) -> (Json, String) {
        let mut request = Command::new("curl");
        request.args(["--silent", "--show-error", "--fail-with-body", "--dump-header", "-"]);
        request.arg(format!("{}/api/v1/plugins/{plugin}/execute", self.address));
        request.args(["--header", &format!("Authorization: Bearer {}", self.key)]);
        request.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
        if let Some(traceparent) = traceparent {
            request.args(["--header", &format!("traceparent: {traceparent}")]);
        }
        let output = request.output().expect("curl is there");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let correlation = head.lines().find_map(|line| line.strip_prefix("x-correlation-id: ")).unwrap();
        (serde_json::from_str(body).unwrap(), correlation.trim().to_owned())
    }

    /// Ends it in order; gives what it said meanwhile, and how long it took to end.
    fn stop(mut self) -> (String, Duration) {
        let began = Instant::now();
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let status = self.child.wait().unwrap();
        let took = began.elapsed();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(status.success(), "{said}");
        (said, took)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two plugins, of which the first may call the second.
fn place() -> Place {
    let place = Place::new();
    for (name, more) in [("first", "[permissions]\nplugins = [\"second.*\"]\n"), ("second", "")] {
        place.write(&format!("{name}/x.wasm"), outrigger_testkit::components::hostile());
        let manifest = format!(
            "name = \"{name}\"\nversion = \"1.0.0\"\ntitle = \"A test plugin\"\ndescription = \"For tests.\"\n\
             [runtime]\nkind = \"wasm\"\nentry = \"x.wasm\"\n{more}"
        );
        place.write(&format!("{name}/plugin.toml"), manifest);
        place.run(&["plugin", "install", &format!("./{name}"), "--yes"]).succeeded();
    }
    place
}

/// A call that makes another, with something in its arguments that must not get out.
fn nested() -> Json {
    let inner = json!({"text": "very-secret\n", "times": 1}).to_string();
    json!({"function": "call", "args": {"function": "second.print", "arguments": inner}})
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The span of this name in a trace.
fn named<'a>(spans: &'a [Span], trace: &str, name: &str) -> Option<&'a Span> {
    spans.iter().find(|span| span.name == name && hex(&span.trace_id) == trace)
}

#[test]
fn a_request_is_a_trace_with_the_calls_that_it_led_to() {
    let (place, collector) = (place(), Collector::start());
    let server = Server::start(
        &place,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20of-the-collector"),
            ("OTEL_SERVICE_NAME", "fleet"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ],
    );
    // A client that has decided against it is heard.
    let unwanted = "1".repeat(32);
    server.call("first", &nested(), Some(&format!("00-{unwanted}-{CLIENT}-00")));
    let (_, correlation) = server.call("first", &nested(), Some(&format!("00-{TRACE}-{CLIENT}-01")));
    let route = "POST /api/v1/plugins/{plugin_id}/execute";
    let spans = collector.until("the request", |arrived| {
        named(&arrived.spans, TRACE, route).map(|_| arrived.spans.clone()).filter(|spans| {
            named(spans, TRACE, "first.call").is_some() && named(spans, TRACE, "second.print").is_some()
        })
    });
    let span = |name: &str| named(&spans, TRACE, name).unwrap_or_else(|| panic!("no {name}: {spans:#?}"));
    assert_eq!((hex(&span(route).parent_span_id).as_str(), span(route).kind), (CLIENT, SpanKind::Server as i32));
    let call = span("first.call");
    assert_eq!(hex(&call.parent_span_id), hex(&span(route).span_id));
    let parts: Vec<_> = spans.iter().filter(|span| span.parent_span_id == call.span_id).collect();
    let within = |part: &&Span| {
        call.start_time_unix_nano <= part.start_time_unix_nano && part.end_time_unix_nano <= call.end_time_unix_nano
    };
    assert!(parts.iter().all(within), "{call:?} {parts:?}");
    let stages: Vec<_> = parts.iter().map(|part| part.name.as_str()).collect();
    let expected = ["cache", "hooks", "instantiate", "queue", "record", "resolve", "run", "validate"];
    assert!(expected.iter().all(|stage| stages.contains(stage)), "{stages:?}");
    let call = span("outrigger:plugin/calls");
    assert!(spans.iter().any(|run| run.name == "run" && run.span_id == call.parent_span_id), "{call:?}");
    assert_eq!(hex(&span("second.print").parent_span_id), hex(&call.span_id));

    let told = &span("second.print").attributes;
    for (name, value) in [
        ("outrigger.correlation", correlation.as_str()),
        ("outrigger.plugin", "second"),
        ("outrigger.function", "print"),
        ("outrigger.outcome", "ok"),
    ] {
        assert_eq!(attribute(told, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(attribute(&span(route).attributes, "http.response.status_code").as_deref(), Some("200"));
    assert!(spans.iter().all(|span| hex(&span.trace_id) != unwanted), "{spans:#?}");

    collector.until("metrics of both calls", |arrived| {
        let calls = arrived.metrics.iter().find(|metric| metric.name == "outrigger_function_calls_total")?;
        let Some(Data::Sum(sum)) = &calls.data else { panic!("{calls:?}") };
        let of = |point: &&_| attribute(point_attributes(point), "function").as_deref() == Some("print");
        let point = sum.data_points.iter().find(of)?;
        (sum.is_monotonic && point.value == Some(Value::AsInt(2))).then_some(())
    });
    collector.until("the time of calls", |arrived| {
        let time = arrived.metrics.iter().find(|metric| metric.name == "outrigger_function_duration_seconds")?;
        let Some(Data::Histogram(histogram)) = &time.data else { panic!("{time:?}") };
        let point = histogram.data_points.first()?;
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        (point.bucket_counts.iter().sum::<u64>() == point.count).then_some(())
    });
    collector.until("who sent it", |arrived| {
        let resource = &arrived.resource.attributes;
        assert_eq!(attribute(resource, "service.name").as_deref(), Some("fleet"));
        assert_eq!(attribute(resource, "deployment.environment.name").as_deref(), Some("test"));
        assert_eq!(arrived.headers["authorization"], "Bearer of-the-collector");
        let sent = String::from_utf8_lossy(&arrived.bytes).into_owned();
        assert!(!sent.contains("very-secret") && !sent.contains(&server.key), "{sent}");
        Some(())
    });
    server.stop();
}

fn point_attributes(
    point: &opentelemetry_proto::tonic::metrics::v1::NumberDataPoint,
) -> &[opentelemetry_proto::tonic::common::v1::KeyValue] {
    &point.attributes
}

#[test]
fn what_waits_is_sent_when_the_server_is_stopped() {
    let (place, collector) = (place(), Collector::start());
    let server = Server::start(
        &place,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "3600000"),
        ],
    );
    let (_, correlation) = server.call("second", &json!({"function": "good", "args": {"number": 3}}), None);
    let (said, _) = server.stop();
    assert!(!said.contains("lost"), "{said}");
    collector.until("the trace, named by the correlation id", |arrived| {
        let call = arrived.spans.iter().find(|span| span.name == "second.good")?;
        assert_eq!(attribute(&call.attributes, "outrigger.correlation"), Some(correlation.clone()));
        arrived.metrics.iter().find(|metric| metric.name == "outrigger_plugins").map(drop)
    });
}

#[test]
fn s17_requests_without_a_valid_key_are_not_traced() {
    let (place, collector) = (place(), Collector::start());
    let endpoint = collector.endpoint();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    let server = Server::start(&place, &variables);
    for key in ["X-Nothing: x", "X-Api-Key: wrong", "Authorization: Bearer wrong"] {
        let mut request = Command::new("curl");
        request.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--header", key]);
        request.args(["--header", &format!("traceparent: 00-{TRACE}-{CLIENT}-01")]);
        let answer = request.arg(format!("{}/api/v1/plugins", server.address)).output().expect("curl is there");
        assert_eq!(String::from_utf8_lossy(&answer.stdout), "401", "{key}");
    }
    server.call("second", &json!({"function": "good", "args": {"number": 3}}), None);
    server.stop();
    collector.until("the trace of the call", |arrived| {
        let status = |span: &Span| attribute(&span.attributes, "http.response.status_code");
        assert!(arrived.spans.iter().all(|span| status(span).as_deref() != Some("401")), "{:#?}", arrived.spans);
        arrived.spans.iter().find(|span| span.name == "second.good").map(drop)
    });
}

#[test]
fn a_collector_that_is_away_is_told_of_and_holds_up_nobody() {
    let place = place();
    // One that takes connections and never says anything, and one that is not there.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let server = Server::start(
        &place,
        &[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint),
            // Port 1 is nobody's.
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://127.0.0.1:1/v1/metrics"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "100"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "50"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ],
    );
    let began = Instant::now();
    for _ in 0..30 {
        let (answer, _) = server.call("second", &json!({"function": "good", "args": {"number": 3}}), None);
        assert_eq!(answer["result"], 3);
    }
    let each = began.elapsed() / 30;
    assert!(each < Duration::from_secs(1), "{each:?}");
    let (said, took) = server.stop();
    assert!(took < Duration::from_secs(15), "{took:?}");
    let complaints = said.matches("could not be sent").count();
    assert_eq!(complaints, 1, "{said}");
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318").env("OTEL_TRACES_SAMPLER", "sometimes");
    Outcome::of(&mut command).failed(2, &["OTEL_TRACES_SAMPLER", "sometimes", "parentbased_traceidratio"]);
}

#[test]
fn a_call_shows_where_its_time_went() {
    let place = place();
    let inner = json!({"function": "second.good", "arguments": "{\"number\": 3}"}).to_string();
    let arguments = ["call", "first.call", "--json", &inner];
    let outcome = place.run(&[&arguments[..], &["--profile"]].concat()).succeeded();
    assert_eq!(outcome.stdout.trim(), "3");
    for part in ["STAGE", "instantiate", "HOST CALLS", "outrigger:plugin/calls", "second.good", "total", "█"] {
        assert!(outcome.stderr.contains(part), "`{part}` is not in {outcome:#?}");
    }
    let details = place.json(&[&arguments[..], &["--profile"]].concat());
    let profile = &details["profile"];
    let sum: u64 = profile["stages"].as_array().unwrap().iter().map(|stage| stage["ns"].as_u64().unwrap()).sum();
    assert_eq!(Some(sum), profile["total_ns"].as_u64(), "{profile}");
    assert_eq!(profile["calls"][0]["function"], "second.good");
    assert_eq!(place.json(&arguments), json!("3"), "nothing of it without being asked");
}

#[test]
fn a_server_knows_where_the_time_of_its_calls_goes() {
    let place = place();
    place.run(&["plugin", "profile", "second"]).succeeded().shows(&["not loaded"]);
    let server = Server::start(&place, &[]);
    for _ in 0..20 {
        server.call("second", &json!({"function": "sleep", "args": {"nanoseconds": 2_000_000}}), None);
    }
    let profile = place.json(&["plugin", "profile", "second"]);
    let sleep = &profile["functions"][0];
    assert_eq!((&sleep["function"], &sleep["samples"]), (&json!("second.sleep"), &json!(5)), "{profile}");
    let stage = |name: &str| {
        let stages = sleep["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["stage"] == name).unwrap_or_else(|| panic!("no {name}: {sleep}"))
    };
    assert!(stage("host")["mean_us"].as_f64().unwrap() >= 2_000.0, "{sleep}");
    assert!(stage("host")["share"].as_f64().unwrap() > stage("run")["share"].as_f64().unwrap(), "{sleep}");
    assert_eq!(sleep["host_calls"][0]["import"], "wasi:io/poll", "{sleep}");
    let shown = place.run(&["plugin", "profile", "second"]).succeeded();
    shown.shows(&["second.sleep: 5 calls profiled", "MEAN", "P95", "host", "wasi:io/poll", "█"]);
    server.stop();
}
