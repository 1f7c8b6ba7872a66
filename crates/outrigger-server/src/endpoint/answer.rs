//! The responses of handlers. The type determines the status, and the OpenAPI document.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use outrigger_api::{ApiError, ApiResult, Code, text};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use ulid::Ulid;

use super::CORRELATION;
use super::budget::Share;
use super::live::Live;
use super::outflow::{Holding, Outflow};
use crate::etag::ETag;

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

    fn json<T: Serialize>(status: StatusCode, body: &T) -> ApiResult<Self> {
        // Most fit, and need not grow step by step.
        let mut text = Vec::with_capacity(1024);
        match serde_json::to_writer(&mut text, body) {
            Ok(()) => Ok(Self::new(status, JSON, safe(text))),
            Err(_) => Err(ApiError::new(Code::Internal, "failed to serialize the response as JSON")),
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

/// A response of a handler.
pub trait Answer: Send + 'static {
    const STATUS: StatusCode;
    const MEDIA: Option<&'static str> = Some(JSON);
    /// Whether it carries an ETag.
    const TAGGED: bool = false;
    /// Whether it carries a `Location`.
    const LOCATED: bool = false;
    /// Another status, for where nothing was made after all.
    const OTHERWISE: Option<StatusCode> = None;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;
    fn render(self) -> ApiResult<Answered>;
}

/// 200 with JSON.
#[derive(Debug)]
pub struct Reply<T>(pub T);

impl<T: Serialize + JsonSchema + Send + 'static> Answer for Reply<T> {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn render(self) -> ApiResult<Answered> {
        Answered::json(Self::STATUS, &self.0)
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

    fn render(self) -> ApiResult<Answered> {
        Ok(Answered { etag: Some(self.1.header()?), ..Answered::json(Self::STATUS, &self.0)? })
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

    fn render(self) -> ApiResult<Answered> {
        let location = super::header_value(&self.1)?;
        Ok(Answered { location: Some(location), ..Answered::json(Self::STATUS, &self.0)? })
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

    fn render(self) -> ApiResult<Answered> {
        match self.1 {
            Some(location) => Created(self.0, location).render(),
            None => Reply(self.0).render(),
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

    fn render(self) -> ApiResult<Answered> {
        Ok(Answered::new(Self::STATUS, "", Bytes::new()))
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

    fn render(self) -> ApiResult<Answered> {
        Ok(Answered::new(Self::STATUS, JSON, self.0))
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

    fn render(self) -> ApiResult<Answered> {
        let policy = super::header_value(&self.policy)?;
        let answered = Answered::new(Self::STATUS, Self::MEDIA.unwrap_or_default(), self.text);
        Ok(Answered { content_policy: Some(policy), ..answered })
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

    fn render(self) -> ApiResult<Answered> {
        Ok(Answered::new(Self::STATUS, Self::MEDIA.unwrap_or_default(), self.0))
    }
}
