//! Requests and answers. What a server says went wrong comes out as the same error that it had there.

use std::error::Error as _;
use std::fmt::Display;

use outrigger_api::{ApiError, ApiResult, Code};
use reqwest::header::{CONTENT_TYPE, ETAG, IF_MATCH, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Client;

impl Client {
    /// A request to a path below the base. Parts that come from users are escaped with [`segment`] first.
    pub(crate) fn request(&self, method: Method, path: &str) -> ApiResult<RequestBuilder> {
        let url = self.base.join(path).map_err(|error| {
            ApiError::new(Code::Internal, format!("`{path}` is not the path of a request: {error}"))
        })?;
        let request = self.http.request(method, url);
        Ok(match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> ApiResult<T> {
        self.read(self.request(Method::GET, path)?.query(query)).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> ApiResult<T> {
        self.read(self.request(Method::POST, path)?.json(body)).await
    }

    /// A POST whose actions are recorded with the caller's own correlation id.
    pub(crate) async fn post_under<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        correlation: Option<&str>,
    ) -> ApiResult<T> {
        let mut request = self.request(Method::POST, path)?.json(body);
        if let Some(correlation) = correlation {
            request = request.header("X-Correlation-Id", correlation);
        }
        self.read(request).await
    }

    /// A POST without a body.
    pub(crate) async fn post_empty<T: DeserializeOwned>(&self, path: &str) -> ApiResult<T> {
        self.read(self.request(Method::POST, path)?).await
    }

    /// A list that comes whole.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str, query: &impl Serialize) -> ApiResult<Vec<T>> {
        let List { items } = self.get(path, query).await?;
        Ok(items)
    }

    /// A list that comes in pages, put together again.
    pub(crate) async fn pages<T: DeserializeOwned>(&self, path: &str, filter: &impl Serialize) -> ApiResult<Vec<T>> {
        let mut all = Vec::new();
        loop {
            let request = self.request(Method::GET, path)?.query(filter);
            let request = request.query(&[("offset", all.len()), ("limit", PAGE)]);
            let List { items } = self.read(request).await?;
            let last = items.len() < PAGE;
            all.extend(items);
            if last {
                return Ok(all);
            }
        }
    }

    /// A POST without a body, whose response has no content.
    pub(crate) async fn act(&self, path: &str) -> ApiResult<()> {
        self.send(self.request(Method::POST, path)?).await.map(drop)
    }

    /// A response with its ETag, without quotes. A later change can expect it.
    pub(crate) async fn get_tagged<T: DeserializeOwned>(&self, path: &str) -> ApiResult<(T, Option<String>)> {
        let response = self.send(self.request(Method::GET, path)?).await?;
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        let tag = tag.map(|tag| {
            // A compressing proxy makes the ETag weak; it still names the same version.
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            strong.trim_matches('"').to_owned()
        });
        Ok((self.parse(response).await?, tag))
    }

    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        expected: Option<impl Display>,
    ) -> ApiResult<T> {
        self.change(Method::PUT, path, body, expected).await
    }

    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        expected: Option<impl Display>,
    ) -> ApiResult<T> {
        self.change(Method::PATCH, path, body, expected).await
    }

    /// A change of what is still in the state that is expected, or in any. That state is an ETag there; here it is a parameter
    /// like any other, and where it is another one there is a conflict.
    async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        expected: Option<impl Display>,
    ) -> ApiResult<T> {
        let mut request = self.request(method, path)?.json(body);
        if let Some(expected) = expected {
            request = request.header(IF_MATCH, format!("\"{expected}\""));
        }
        self.read(request).await.map_err(|error| match error.code {
            Code::PreconditionFailed => ApiError { code: Code::Conflict, ..error },
            _ => error,
        })
    }

    pub(crate) async fn delete(&self, path: &str) -> ApiResult<()> {
        self.send(self.request(Method::DELETE, path)?).await.map(drop)
    }

    /// The same, and parses the response body.
    pub(crate) async fn delete_answered<T: DeserializeOwned>(&self, path: &str) -> ApiResult<T> {
        self.read(self.request(Method::DELETE, path)?).await
    }

    pub(crate) async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> ApiResult<T> {
        let response = self.send(request).await?;
        self.parse(response).await
    }

    async fn parse<T: DeserializeOwned>(&self, response: Response) -> ApiResult<T> {
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body).map_err(|error| {
            ApiError::new(
                Code::Internal,
                format!("{} returned a response that this version does not understand: {error}", self.shown),
            )
            .with_hint("use the same version of Outrigger on both sides")
        })
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> ApiResult<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(self.problem(response).await),
        }
    }

    async fn problem(&self, response: Response) -> ApiError {
        let status = response.status();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
        let body = response.bytes().await.unwrap_or_default();
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if is_problem => {
                let error = ApiError::from(problem);
                let retry_after_ms = error.retry_after_ms.or(retry_after.map(|seconds| seconds * 1_000));
                ApiError { retry_after_ms, ..error }
            }
            _ => ApiError::new(Code::Internal, format!("{} answered {status}", self.shown))
                .with_hint("check that this is the address of an Outrigger server and not of a proxy"),
        }
    }

    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> ApiError {
        let why = chain(error);
        let unreachable = ApiError::new(Code::Unreachable, format!("{} cannot be reached: {why}", self.shown));
        match advice(&self.shown, error, &why) {
            Some(advice) => unreachable.with_hint(advice),
            None => unreachable,
        }
    }
}

/// The causes of an error, in one line.
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    match causes.is_empty() {
        true => error.to_string(),
        false => causes.join(": "),
    }
}

/// The hint for a failed TLS handshake. TLS errors are recognised by their text alone, because they are wrapped in
/// other errors, some of which hide them.
fn advice(address: &str, error: &reqwest::Error, why: &str) -> Option<&'static str> {
    if why.contains("CaUsedAsEndEntity") {
        return Some(
            "the server shows the certificate of an authority; have that authority issue one for the server, or make it \
             with `basicConstraints=CA:FALSE`",
        );
    }
    if why.contains("UnknownIssuer") {
        return Some(
            "this system does not know who issued the server's certificate; `--ca-certificate FILE`, or \
             OUTRIGGER_CA_CERTIFICATE, names the certificate of that authority",
        );
    }
    if why.contains("invalid peer certificate") {
        return Some("ask for the server by a name that its certificate is for, and look until when it is valid");
    }
    if why.contains("corrupt message") || why.contains("handshake eof") {
        return Some("does the server speak TLS? if not, its address begins with http://");
    }
    // Typical errors of a plain HTTP request to a TLS server. A socket has a path, and never uses TLS.
    let broken = ["invalid HTTP", "connection closed before message completed", "Connection reset"];
    let plain = address.starts_with("http://") && error.is_request() && broken.iter().any(|words| why.contains(words));
    plain.then_some("check that the server is running; if it uses TLS, its address starts with https://")
}

/// Problem details (RFC 9457) with what Outrigger adds to them.
#[derive(Deserialize)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    hint: String,
    #[serde(default)]
    faults: Option<Value>,
    #[serde(default)]
    detail_value: Option<Value>,
    #[serde(default)]
    retry_after_ms: Option<u64>,
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let Problem { code, detail, hint, faults, detail_value, retry_after_ms } = problem;
        Self { code, message: detail, hint, detail: faults.or(detail_value), retry_after_ms }
    }
}

#[derive(Deserialize)]
struct List<T> {
    items: Vec<T>,
}

/// How much of a list is asked for at once.
const PAGE: usize = 1_000;

/// One part of a path, whatever characters it has.
pub(crate) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
