//! Calls and requests as spans of OTLP.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use outrigger_api::TracedRequest;
use outrigger_engine::profile::{Stage, TimeSpan, What};
use outrigger_engine::trace::{CallTrace, TracedCall};
use time::OffsetDateTime;

use super::exporter::scope;
use super::queue::Item;
use crate::convert;

/// The data to send.
pub(super) fn request(resource: &Resource, items: Vec<Item>) -> ExportTraceServiceRequest {
    let mut spans = Vec::new();
    for item in items {
        match item {
            Item::Call(call) => spans.extend(of_call(&call)),
            Item::Request(request) => spans.push(of_request(&request)),
        }
    }
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
    let spans = ResourceSpans { resource: Some(resource.clone()), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![spans] }
}

fn of_request(request: &TracedRequest) -> Span {
    let TracedRequest { context, parent, correlation, method, route, status, started_at, duration } = request;
    let start = nanoseconds(*started_at);
    Span {
        trace_id: context.trace.get().to_be_bytes().to_vec(),
        span_id: context.span.get().to_be_bytes().to_vec(),
        parent_span_id: parent.map(|parent| parent.get().to_be_bytes().to_vec()).unwrap_or_default(),
        name: format!("{method} {route}"),
        kind: SpanKind::Server as i32,
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(nanoseconds_of(*duration)),
        attributes: vec![
            text("http.request.method", method),
            text("http.route", *route),
            number("http.response.status_code", i64::from(*status)),
            text("outrigger.correlation", correlation.to_string()),
        ],
        // By the conventions for servers, an error of the client's is none of the server's.
        status: (*status >= 500).then(|| failed(status.to_string())),
        ..Span::default()
    }
}

/// The span of a call, and those of its parts.
fn of_call(call: &TracedCall) -> Vec<Span> {
    let CallTrace { context, parent } = call.trace;
    let (function, code) = (call.function(), call.code());
    let start = nanoseconds(call.started_at);
    let outcome = code.map_or("ok", |code| code.as_str());
    let mut attributes = vec![
        text("outrigger.plugin", function.plugin.as_str()),
        text("outrigger.function", function.function.as_str()),
        text("outrigger.correlation", call.correlation.to_string()),
        text("outrigger.outcome", outcome),
        text("outrigger.cache", convert::cache_outcome(call.cache)),
        number("outrigger.attempts", i64::from(call.attempts)),
    ];
    attributes.extend(call.version.as_ref().map(|version| text("outrigger.version", version.to_string())));
    attributes.extend(call.revision.as_ref().map(|digest| text("outrigger.revision", digest.to_string())));
    let trace_id = context.trace.get().to_be_bytes().to_vec();
    let whole = Span {
        trace_id: trace_id.clone(),
        span_id: context.span.get().to_be_bytes().to_vec(),
        parent_span_id: parent.map(|parent| parent.get().to_be_bytes().to_vec()).unwrap_or_default(),
        name: function.to_string(),
        kind: SpanKind::Internal as i32,
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(nanoseconds_of(call.profile.total)),
        attributes,
        status: code.map(|code| failed(code.as_str().to_owned())),
        ..Span::default()
    };
    let mut spans = vec![whole];
    // Host calls are made while the plugin runs, and that ends after them.
    let mut running = context.span;
    for TimeSpan { what, id, from, to } in call.spans.iter().rev() {
        let (name, parent) = match what {
            What::Stage(stage) => (stage.as_str(), context.span),
            What::HostCall(import) => (*import, running),
        };
        if *what == What::Stage(Stage::Run) {
            running = *id;
        }
        spans.push(Span {
            trace_id: trace_id.clone(),
            span_id: id.get().to_be_bytes().to_vec(),
            parent_span_id: parent.get().to_be_bytes().to_vec(),
            name: name.to_owned(),
            kind: SpanKind::Internal as i32,
            start_time_unix_nano: start.saturating_add(nanoseconds_of(*from)),
            end_time_unix_nano: start.saturating_add(nanoseconds_of(*to)),
            ..Span::default()
        });
    }
    spans
}

fn failed(message: String) -> Status {
    Status { message, code: StatusCode::Error as i32 }
}

/// An attribute that is a text.
pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.into()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Since 1970.
pub(super) fn nanoseconds(time: OffsetDateTime) -> u64 {
    u64::try_from(time.unix_timestamp_nanos()).unwrap_or_default()
}

fn nanoseconds_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
