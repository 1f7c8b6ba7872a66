//! The responses of handlers. The type determines the status, and the OpenAPI document.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use outrigger_api::{ApiError, ApiResult, CallResponse, Code, EventInfo, JobInfo, LogEntry, ScheduleInfo, text};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use ulid::Ulid;

use super::CORRELATION;
use super::budget::Share;
use super::live::Live;
use super::outflow::{Holding, Outflow};
use crate::etag::ETag;
use crate::page::List;

pub const JSON: &str = "application/json";

/// An answer, ready to be sent: once, or again to who repeats an idempotent request.
#[derive(Clone, Debug)]
pub struct Answered {
    pub status: StatusCode,
    pub media: &'static str,
    pub body: Bytes,
    pub etag: Option<HeaderValue>,
    pub location: Option<HeaderValue>,
    /// In seconds.
    pub retry_after: Option<u64>,
    /// Scripts and styles that the page may use.
    pub content_policy: Option<HeaderValue>,
    /// The body, where it is sent as it comes.
    pub live: Option<Live>,
    /// It was kept from an earlier request with the same idempotency key.
    pub replayed: bool,
}

impl Answered {
    pub fn new(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            media,
            body: body.into(),
            etag: None,
            location: None,
            retry_after: None,
            content_policy: None,
            live: None,
            replayed: false,
        }
    }

    /// None if the JSON is longer than `longest`, in bytes.
    fn json<T: Serialize>(status: StatusCode, body: &T, longest: usize) -> Option<ApiResult<Self>> {
        // Most fit, and need not grow step by step.
        let mut bounded = BoundedText { text: Vec::with_capacity(1024), longest };
        match serde_json::to_writer(&mut bounded, body) {
            Ok(()) => Some(Ok(Self::new(status, JSON, safe(bounded.text)))),
            Err(error) if error.is_io() => None,
            Err(_) => Some(Err(ApiError::new(Code::Internal, "failed to serialize the response as JSON"))),
        }
    }

    /// `held` is the share that is held until the response is sent, and the time limit for sending.
    pub fn into_response(self, correlation: Ulid, held: Option<(Share, Duration)>) -> Response {
        let Self { status, media, body, etag, location, retry_after, content_policy, live, replayed } = self;
        let body = match (&live, held) {
            (None, None) => Body::from(body),
            (None, Some((share, patience))) => Outflow::body(body, share, patience),
            (Some(live), None) => live.take(),
            (Some(live), Some((share, _))) => Holding::body(live.take(), share),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let mut id = [0; ulid::ULID_LEN];
        if let Ok(id) = HeaderValue::from_str(correlation.array_to_str(&mut id)) {
            headers.insert(CORRELATION, id);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if status != StatusCode::NO_CONTENT {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if live.is_some() {
            // Proxies are not to hold it back.
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        }
        if replayed {
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        let optional = [
            (header::ETAG, etag),
            (header::LOCATION, location),
            (header::RETRY_AFTER, retry_after.map(HeaderValue::from)),
            (header::CONTENT_SECURITY_POLICY, content_policy),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// A text that refuses to become longer than `longest`, in bytes.
struct BoundedText {
    text: Vec<u8>,
    longest: usize,
}

impl io::Write for BoundedText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.longest - self.text.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON with escaped control and invisible characters, because people read responses in terminals too.
pub fn safe(json: Vec<u8>) -> Vec<u8> {
    if json.iter().all(|byte| *byte < 0x7f) {
        return json;
    }
    match String::from_utf8(json) {
        Ok(json) => match text::json(&json) {
            Cow::Owned(escaped) => escaped.into_bytes(),
            Cow::Borrowed(_) => json.into_bytes(),
        },
        Err(other) => other.into_bytes(),
    }
}

/// A rendered response, or the response itself if its body would be longer than it may be.
pub type Rendered<R> = Result<ApiResult<Answered>, R>;

/// A response of a handler.
pub trait Answer: Sized + Send + 'static {
    const STATUS: StatusCode;
    const MEDIA: Option<&'static str> = Some(JSON);
    /// Whether it carries an ETag.
    const TAGGED: bool = false;
    /// Whether it carries a `Location`.
    const LOCATED: bool = false;
    /// Another status, for where nothing was made after all.
    const OTHERWISE: Option<StatusCode> = None;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;

    /// The size of its largest part, in bytes, if that is known: it is counted before the response is rendered.
    fn size(&self) -> usize {
        0
    }

    /// What counts its body already. Such a response is sent in any case.
    fn share(&mut self) -> Option<Share> {
        None
    }

    /// Renders it, if its JSON is not longer than `longest`, in bytes. Stops there: a longer response is not for the
    /// serving threads.
    fn render(self, longest: usize) -> Rendered<Self>;
}

/// 200 with JSON.
#[derive(Debug)]
pub struct Reply<T>(pub T);

impl<T: Serialize + JsonSchema + Send + 'static> Answer for Reply<T> {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn render(self, longest: usize) -> Rendered<Self> {
        Answered::json(Self::STATUS, &self.0, longest).ok_or(self)
    }
}

/// 200 with JSON that may be large.
#[derive(Debug)]
pub struct Large<T>(pub T);

impl<T: Measured + Serialize + JsonSchema + Send + 'static> Answer for Large<T> {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn size(&self) -> usize {
        self.0.bytes()
    }

    fn render(self, longest: usize) -> Rendered<Self> {
        Answered::json(Self::STATUS, &self.0, longest).ok_or(self)
    }
}

/// 200 with the response to a call.
pub type Called = Large<CallResponse>;

/// A body whose parts of any size can be measured before they are rendered.
pub trait Measured {
    /// The size of these parts, in bytes.
    fn bytes(&self) -> usize;
}

impl Measured for CallResponse {
    fn bytes(&self) -> usize {
        self.result.as_str().len()
    }
}

impl Measured for JobInfo {
    fn bytes(&self) -> usize {
        self.arguments.as_str().len() + self.result.as_ref().map_or(0, |result| result.as_str().len())
    }
}

impl Measured for ScheduleInfo {
    fn bytes(&self) -> usize {
        self.job.arguments.as_str().len()
    }
}

impl Measured for EventInfo {
    fn bytes(&self) -> usize {
        self.payload.as_str().len()
    }
}

impl Measured for LogEntry {
    fn bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len());
        self.message.len() + fields.sum::<usize>()
    }
}

impl<T: Measured> Measured for List<T> {
    fn bytes(&self) -> usize {
        self.items.iter().map(T::bytes).sum()
    }
}

/// 200 with JSON that is counted already. It is sent in any case.
#[derive(Debug)]
pub struct Counted<T>(pub T, pub Option<Share>);

impl<T: Serialize + JsonSchema + Send + 'static> Answer for Counted<T> {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn share(&mut self) -> Option<Share> {
        self.1.take()
    }

    fn render(self, longest: usize) -> Rendered<Self> {
        Answered::json(Self::STATUS, &self.0, longest).ok_or(self)
    }
}

/// 200 with JSON and the ETag to send with a change.
#[derive(Debug)]
pub struct Tagged<T>(pub T, pub ETag);

impl<T: Serialize + JsonSchema + Send + 'static> Answer for Tagged<T> {
    const STATUS: StatusCode = StatusCode::OK;
    const TAGGED: bool = true;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn render(self, longest: usize) -> Rendered<Self> {
        let Some(answered) = Answered::json(Self::STATUS, &self.0, longest) else { return Err(self) };
        Ok(answered.and_then(|answered| Ok(Answered { etag: Some(self.1.header()?), ..answered })))
    }
}

/// 201 with JSON, and the path of what was made.
#[derive(Debug)]
pub struct Created<T>(pub T, pub String);

impl<T: Serialize + JsonSchema + Send + 'static> Answer for Created<T> {
    const STATUS: StatusCode = StatusCode::CREATED;
    const LOCATED: bool = true;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn render(self, longest: usize) -> Rendered<Self> {
        let Some(answered) = Answered::json(Self::STATUS, &self.0, longest) else { return Err(self) };
        let location = super::header_value(&self.1);
        Ok(answered.and_then(|answered| Ok(Answered { location: Some(location?), ..answered })))
    }
}

/// 201 with JSON and the path of what was made; 200 without the path where it was only tried.
#[derive(Debug)]
pub struct CreatedOrTried<T>(pub T, pub Option<String>);

impl<T: Serialize + JsonSchema + Send + 'static> Answer for CreatedOrTried<T> {
    const STATUS: StatusCode = StatusCode::CREATED;
    const LOCATED: bool = true;
    const OTHERWISE: Option<StatusCode> = Some(StatusCode::OK);

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn render(self, longest: usize) -> Rendered<Self> {
        match self.1 {
            Some(location) => {
                let created = Created(self.0, location).render(longest);
                created.map_err(|Created(body, location)| Self(body, Some(location)))
            }
            None => Reply(self.0).render(longest).map_err(|Reply(body)| Self(body, None)),
        }
    }
}

/// 204.
#[derive(Debug)]
pub struct Done;

impl Answer for Done {
    const STATUS: StatusCode = StatusCode::NO_CONTENT;
    const MEDIA: Option<&'static str> = None;

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    fn render(self, _: usize) -> Rendered<Self> {
        Ok(Ok(Answered::new(Self::STATUS, "", Bytes::new())))
    }
}

/// JSON that is written already.
#[derive(Debug)]
pub struct Written(pub Bytes);

impl Answer for Written {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        Some(schemars::json_schema!({"type": "object"}))
    }

    fn render(self, _: usize) -> Rendered<Self> {
        Ok(Ok(Answered::new(Self::STATUS, JSON, self.0)))
    }
}

/// A page for people, with what it may load.
#[derive(Debug)]
pub struct Html {
    pub text: String,
    pub policy: String,
}

impl Answer for Html {
    const STATUS: StatusCode = StatusCode::OK;
    const MEDIA: Option<&'static str> = Some("text/html; charset=utf-8");

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        Some(schemars::json_schema!({"type": "string"}))
    }

    fn render(self, _: usize) -> Rendered<Self> {
        let answered = Answered::new(Self::STATUS, Self::MEDIA.unwrap_or_default(), self.text);
        Ok(super::header_value(&self.policy).map(|policy| Answered { content_policy: Some(policy), ..answered }))
    }
}

/// Metrics, in the text format of Prometheus.
#[derive(Debug)]
pub struct Exposition(pub String);

impl Answer for Exposition {
    const STATUS: StatusCode = StatusCode::OK;
    const MEDIA: Option<&'static str> = Some("text/plain; version=0.0.4; charset=utf-8");

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        Some(schemars::json_schema!({"type": "string"}))
    }

    fn render(self, _: usize) -> Rendered<Self> {
        Ok(Ok(Answered::new(Self::STATUS, Self::MEDIA.unwrap_or_default(), self.0)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn s12_large_jobs_and_lists_are_measured_before_they_are_rendered() {
        fn size<T: Measured + serde::de::DeserializeOwned + Serialize + JsonSchema + Send + 'static>(
            body: serde_json::Value,
        ) -> usize {
            Large(serde_json::from_str::<T>(&body.to_string()).expect("it is one")).size()
        }
        let (at, text) = ("2026-11-30T00:00:00Z", "x".repeat(998));
        let job = json!({
            "id": "1", "function": "pricing.quote", "arguments": {}, "state": "succeeded", "caller": "local",
            "attempt": 1, "max_attempts": 1, "backoff_ms": 0, "on_interruption": "fail", "needs_approval": false,
            "cancel_requested": false, "result": text, "created_at": at,
        });
        assert_eq!(size::<JobInfo>(job.clone()), 1_002);
        assert_eq!(size::<List<JobInfo>>(json!({"items": [job, job]})), 2_004);
        let event = json!({"id": "1", "at": at, "name": "job.failed", "correlation": "1", "payload": text});
        assert_eq!(size::<List<EventInfo>>(json!({"items": [event]})), 1_000);
        let line = json!({
            "at": at, "level": "info", "plugin": "pricing", "correlation": "1", "message": text,
            "fields": [["a", "b"]],
        });
        assert_eq!(size::<List<LogEntry>>(json!({"items": [line, line]})), 2_000);
    }

    #[test]
    fn s19_a_long_response_is_given_back_before_it_is_written() {
        let list = |items: usize| Tagged(vec!["\u{7f}"; items], ETag::new("1"));
        let short = list(100).render(1_000).expect("it fits").expect("it is rendered");
        assert_eq!(short.body.len(), 100 * 9 + 1);
        let long = list(1_000).render(1_000).expect_err("it is longer");
        let answered = long.render(usize::MAX).expect("anything fits").expect("it is rendered");
        assert_eq!((answered.body.len(), answered.etag.is_some()), (1_000 * 9 + 1, true));
    }
}
