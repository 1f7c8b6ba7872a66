//! Parses the path, query and body of a request into types. A request with unknown or invalid parts is refused, and the
//! error names the part.

use std::future::Future;

use axum::RequestPartsExt as _;
use axum::body::Body;
use axum::extract::{Path, Query, RawPathParams};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri, header};
use outrigger_api::{ApiError, ApiResult, Code, TreeBound};
use outrigger_compute::blocking;
use schemars::{JsonSchema, Schema, SchemaGenerator, schema_for};
use serde::de::DeserializeOwned;

use super::body::{self, BodyLimits};
use super::budget::Share;
use super::numbers;

/// The parsed request that a handler gets.
#[derive(Debug)]
pub struct Input<P, Q, B> {
    pub path: P,
    pub query: Q,
    pub body: B,
    /// For routes with [`super::api::Operation::takes_if_match`]; see [`crate::etag`].
    pub if_match: Option<HeaderValue>,
    /// For routes with [`super::api::Operation::resumes`].
    pub last_event_id: Option<HeaderValue>,
}

/// A body, or none.
pub trait Payload: Sized + Send + 'static {
    /// The accepted media types; empty if there is no body.
    const MEDIA: &'static [&'static str];
    /// Whether the body is passed on while it arrives. Then a repeated request cannot be recognized in advance.
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

/// No body. If one is sent, it is not read.
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
        let counted = |bytes: &[u8], held: &mut Share| count_values(bytes, held).and_then(|()| parse(bytes));
        Ok((read(&bytes, held, counted).await?, bytes))
    }

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }
}

/// A body whose JSON stays text in the type, such as the arguments of a call. Its values are not parsed here; the
/// parser counts them later.
#[derive(Debug)]
pub struct AsText<T>(pub T);

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Payload for AsText<T> {
    const MEDIA: &'static [&'static str] = T::MEDIA;

    async fn receive(
        headers: &HeaderMap,
        body: Body,
        limits: BodyLimits,
        held: &mut Share,
    ) -> ApiResult<(Self, Bytes)> {
        json_only(headers)?;
        let bytes = body::read(headers, body, limits, held).await?;
        Ok((Self(read(&bytes, held, |bytes, _| parse(bytes)).await?), bytes))
    }

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        T::schema(generator)
    }
}

/// Bodies up to this size, in bytes, are parsed at once.
pub const SMALL_BODY: usize = 64 << 10;

/// Parses a body. A large one is parsed in the pool for long computations, in the turn of its sender. The pool has the
/// share meanwhile, because it goes on when the sender leaves.
async fn read<T: Send + 'static>(
    bytes: &Bytes,
    held: &mut Share,
    parse: fn(&[u8], &mut Share) -> ApiResult<T>,
) -> ApiResult<T> {
    if bytes.len() <= SMALL_BODY {
        return parse(bytes, held);
    }
    let (owner, bytes, mut share) = (held.turn_owner(), bytes.clone(), std::mem::take(held));
    let parsed = blocking(&owner, move || (parse(&bytes, &mut share), share)).await;
    let (parsed, share) = parsed.map_err(|panicked| ApiError::new(Code::Internal, panicked.to_string()))?;
    *held = share;
    parsed
}

fn parse<T: DeserializeOwned + JsonSchema>(bytes: &[u8]) -> ApiResult<T> {
    if bytes.trim_ascii_start().starts_with(b"[") {
        refuse_list_for_object::<T>()?;
    }
    serde_json::from_slice(bytes).or_else(|error| again(&error, bytes))
}

/// Counts the values of a JSON text before they are parsed: up to a hundred times the size of the text, which stays in
/// memory beside them.
fn count_values(json: &[u8], held: &mut Share) -> ApiResult<()> {
    let values = TreeBound::of(json) as u64;
    held.grow(values).map_err(|full| match full.is_final() {
        true => ApiError::new(Code::TooLarge, "the request body has too many values")
            .with_hint("send fewer values at once, in several requests"),
        false => full.into(),
    })
}

/// serde would read a struct from a list of its members' values, too.
fn refuse_list_for_object<T: JsonSchema>() -> ApiResult<()> {
    match schema_for!(T).get("type").and_then(|kind| kind.as_str()) {
        Some("object") => Err(invalid_body("expected an object, got a list")),
        _ => Ok(()),
    }
}

fn invalid_body(told: &str) -> ApiError {
    ApiError::new(Code::InvalidInput, format!("invalid request body: {told}"))
        .with_hint("`/api/v1/docs` shows the schema of the body")
}

/// Reads a body again that did not match, this time accepting whole numbers in any notation as integers.
fn again<T: DeserializeOwned>(error: &serde_json::Error, bytes: &[u8]) -> ApiResult<T> {
    let whole = if error.is_data() { numbers::written_whole(bytes) } else { None };
    let read = whole.and_then(|whole| serde_json::from_slice(&whole).ok());
    read.ok_or_else(|| malformed::<T>(error, bytes))
}

fn malformed<T: DeserializeOwned>(error: &serde_json::Error, bytes: &[u8]) -> ApiError {
    if !error.is_data() {
        return ApiError::new(Code::InvalidUsage, format!("the body is not JSON: {error}"))
            .with_hint("send a JSON document; the message names the position of the error");
    }
    // Parse again, this time tracking the path. Valid requests do not pay for it.
    let message = match axum::Json::<T>::from_bytes(bytes) {
        Err(rejection) => {
            let text = rejection.body_text();
            text.split_once("target type: ").map_or_else(|| error.to_string(), |(_, told)| told.to_owned())
        }
        Ok(_) => error.to_string(),
    };
    invalid_body(&message)
}

/// The parameters in the path. An invalid name is reported as not found.
pub async fn path<P: DeserializeOwned + Send + 'static>(parts: &mut Parts) -> ApiResult<P> {
    match parts.extract::<Path<P>>().await {
        Ok(Path(path)) => Ok(path),
        Err(rejection) => {
            let text = rejection.body_text();
            Err(ApiError::new(Code::NotFound, text.strip_prefix("Invalid URL: ").unwrap_or(&text))
                .with_hint("`/api/v1/docs` shows the parameters of the path"))
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
            Err(ApiError::new(Code::InvalidUsage, format!("invalid parameter: {told}"))
                .with_hint("`/api/v1/docs` shows the parameters of this address"))
        }
    }
}

fn json_only(headers: &HeaderMap) -> ApiResult<()> {
    let refuse = |message: String| Err(ApiError::new(Code::UnsupportedMediaType, message));
    let Some(media) = headers.get(header::CONTENT_TYPE) else {
        return refuse("the request has no `Content-Type`".to_owned());
    };
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return refuse("the body is encoded; send it without `Content-Encoding`".to_owned());
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
    refuse(format!("unsupported media type `{}`", text.chars().take(80).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use outrigger_compute::is_in_pool;

    use super::super::budget::{Bounds, Budget, Holder};
    use super::*;

    #[test]
    fn s13_values_are_counted_and_what_can_never_fit_is_told_apart() {
        let budget = Budget::of_bytes("bytes of request bodies", Bounds { each: 1 << 20, all: 1 << 30 });
        let share = || budget.share(Some(Holder::of_key("a")));
        let list = |values: usize| format!("[{}0]", "0,".repeat(values)).into_bytes();
        let (mut first, mut second) = (share(), share());
        count_values(&list(5_000), &mut first).unwrap();
        assert_eq!(count_values(&list(5_000), &mut second).unwrap_err().code, Code::Busy);
        assert_eq!(count_values(&list(10_000), &mut second).unwrap_err().code, Code::TooLarge);
        drop(first);
        count_values(&list(5_000), &mut second).unwrap();
    }

    #[tokio::test]
    async fn s19_a_large_body_is_counted_and_parsed_in_the_pool() {
        let budget = Budget::of_bytes("bytes of request bodies", Bounds { each: 10, all: 10 });
        let holder = Some(Holder::of_key("a"));
        let mut held = budget.share(holder);
        let place = |_: &[u8], held: &mut Share| -> ApiResult<bool> {
            held.grow(5)?;
            Ok(is_in_pool())
        };
        for (length, in_pool) in [(10, false), (SMALL_BODY + 1, true)] {
            let bytes = Bytes::from(vec![b' '; length]);
            assert_eq!(read(&bytes, &mut held, place).await.unwrap(), in_pool);
        }
        budget.share(holder).grow(1).unwrap_err();
        drop(held);
        budget.share(holder).grow(10).unwrap();
    }
}
