//! What a request brings, read into types. Whatever does not fit is refused with its place: nothing is ignored.

use std::future::Future;

use axum::RequestPartsExt as _;
use axum::body::Body;
use axum::extract::{Path, Query, RawPathParams};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri, header};
use outrigger_api::{ApiError, ApiResult, Code};
use schemars::{JsonSchema, Schema, SchemaGenerator, schema_for};
use serde::de::DeserializeOwned;

use super::body::{self, BodyLimits};
use super::budget::Share;
use super::numbers;

/// What a handler gets.
#[derive(Debug)]
pub struct Input<P, Q, B> {
    pub path: P,
    pub query: Q,
    pub body: B,
    /// For routes that say [`super::api::Operation::takes_if_match`]; see [`crate::etag`].
    pub if_match: Option<HeaderValue>,
    /// For routes that say [`super::api::Operation::resumes`].
    pub last_event_id: Option<HeaderValue>,
}

/// A body, or none.
pub trait Payload: Sized + Send + 'static {
    /// The media types that it comes in; none where there is no body.
    const MEDIA: &'static [&'static str];
    /// It is handed on while it arrives. Then it cannot be told beforehand whether it was sent before.
    const STREAMED: bool = false;

    /// Reads the body, counted in `held` before it is in memory. Also returns the bytes, which identify a repeated
    /// request.
    fn receive(
        headers: &HeaderMap,
        body: Body,
        limits: BodyLimits,
        held: &mut Share,
    ) -> impl Future<Output = ApiResult<(Self, Bytes)>> + Send;
    /// Its schema, for the OpenAPI document.
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;
}

/// No body. One that is sent all the same is not read.
#[derive(Debug)]
pub struct NoBody;

impl Payload for NoBody {
    const MEDIA: &'static [&'static str] = &[];

    async fn receive(_: &HeaderMap, _: Body, _: BodyLimits, _: &mut Share) -> ApiResult<(Self, Bytes)> {
        Ok((Self, Bytes::new()))
    }

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

/// Any type that can be read from JSON and has a schema.
impl<T: DeserializeOwned + JsonSchema + Send + 'static> Payload for T {
    const MEDIA: &'static [&'static str] = &["application/json"];

    async fn receive(
        headers: &HeaderMap,
        body: Body,
        limits: BodyLimits,
        held: &mut Share,
    ) -> ApiResult<(Self, Bytes)> {
        json_only(headers)?;
        let bytes = body::read(headers, body, limits, held).await?;
        if bytes.trim_ascii_start().starts_with(b"[") {
            refuse_list_for_object::<T>()?;
        }
        let payload = serde_json::from_slice(&bytes).or_else(|error| again(&error, &bytes))?;
        Ok((payload, bytes))
    }

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }
}

/// serde would read a struct from a list of its members' values, too.
fn refuse_list_for_object<T: JsonSchema>() -> ApiResult<()> {
    match schema_for!(T).get("type").and_then(|kind| kind.as_str()) {
        Some("object") => Err(misshapen("an object is needed, and this is a list")),
        _ => Ok(()),
    }
}

fn misshapen(told: &str) -> ApiError {
    ApiError::new(Code::InvalidInput, format!("the body has not the shape that is needed: {told}"))
        .with_hint("`/api/v1/docs` shows the shape of the body")
}

/// Reads a body anew that did not fit, this time taking whole numbers for integers however they are written.
fn again<T: DeserializeOwned>(error: &serde_json::Error, bytes: &[u8]) -> ApiResult<T> {
    let whole = if error.is_data() { numbers::written_whole(bytes) } else { None };
    let read = whole.and_then(|whole| serde_json::from_slice(&whole).ok());
    read.ok_or_else(|| malformed::<T>(error, bytes))
}

fn malformed<T: DeserializeOwned>(error: &serde_json::Error, bytes: &[u8]) -> ApiError {
    if !error.is_data() {
        return ApiError::new(Code::InvalidUsage, format!("the body is not JSON: {error}"))
            .with_hint("the body of this request is a JSON document; the message names the place of the fault");
    }
    // Read again, this time with an eye on the path: requests that are in order need not pay for it.
    let message = match axum::Json::<T>::from_bytes(bytes) {
        Err(rejection) => {
            let text = rejection.body_text();
            text.split_once("target type: ").map_or_else(|| error.to_string(), |(_, told)| told.to_owned())
        }
        Ok(_) => error.to_string(),
    };
    misshapen(&message)
}

/// The parameters in the path. What cannot be a name is the name of nothing.
pub async fn path<P: DeserializeOwned + Send + 'static>(parts: &mut Parts) -> ApiResult<P> {
    match parts.extract::<Path<P>>().await {
        Ok(Path(path)) => Ok(path),
        Err(rejection) => {
            let text = rejection.body_text();
            Err(ApiError::new(Code::NotFound, text.strip_prefix("Invalid URL: ").unwrap_or(&text))
                .with_hint("`/api/v1/docs` shows what the address is made of"))
        }
    }
}

/// A path parameter, percent-decoded.
pub async fn raw_path(parts: &mut Parts, name: &str) -> Option<String> {
    let parameters = parts.extract::<RawPathParams>().await.ok()?;
    parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

/// The parameters in the query. Each must be known, well-formed, and given once.
pub fn query<Q: DeserializeOwned>(uri: &Uri) -> ApiResult<Q> {
    match Query::try_from_uri(uri) {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => {
            let text = rejection.body_text();
            let told = text.split_once("query string: ").map_or(&*text, |(_, told)| told);
            Err(ApiError::new(Code::InvalidUsage, format!("a parameter is wrong: {told}"))
                .with_hint("`/api/v1/docs` shows the parameters of this address"))
        }
    }
}

fn json_only(headers: &HeaderMap) -> ApiResult<()> {
    let refuse = |message: String| Err(ApiError::new(Code::UnsupportedMediaType, message));
    let Some(media) = headers.get(header::CONTENT_TYPE) else {
        return refuse("the request does not say of what media type its body is".to_owned());
    };
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return refuse("the body is encoded; send it as it is".to_owned());
    }
    if media == "application/json" {
        return Ok(());
    }
    let text = media.to_str().unwrap_or_default();
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let parameters = parameters.trim();
    let plain =
        parameters.is_empty() || parameters.to_ascii_lowercase().trim_matches('"').replace('"', "") == "charset=utf-8";
    if name.trim().eq_ignore_ascii_case("application/json") && plain {
        return Ok(());
    }
    refuse(format!("`{}` is not read here", text.chars().take(80).collect::<String>()))
}
