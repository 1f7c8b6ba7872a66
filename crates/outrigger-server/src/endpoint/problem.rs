//! Errors as problem details, RFC 9457.

use http::StatusCode;
use outrigger_api::{ApiError, ApiResult, Code};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::answer::{Answered, safe};

pub const MEDIA: &str = "application/problem+json";

/// A problem (RFC 9457): a stable code, the error message, and a hint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `/errors/` and the code: a reference that says what kind of problem it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The general meaning of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The problem, with names and numbers.
    pub detail: String,
    pub code: Code,
    /// What to do next.
    pub hint: String,
    /// The id under which logs and records have it.
    pub correlation: String,
    /// The faults in the input, each with its path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Vec<serde_json::Value>>,
    /// More, for programs: the error value of a function that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value")]
    pub detail_value: Option<serde_json::Value>,
    /// When to try again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Problem {
    pub fn new(error: ApiError, correlation: Ulid) -> Self {
        let ApiError { code, message, hint, detail, retry_after_ms } = error;
        let (faults, detail_value) = match detail {
            Some(serde_json::Value::Array(faults)) if code != Code::FunctionFailed => (Some(faults), None),
            detail => (None, detail),
        };
        Self {
            kind: format!("/errors/{code}"),
            title: code.info().meaning.to_owned(),
            status: status(code).as_u16(),
            detail: message,
            code,
            hint,
            correlation: correlation.to_string(),
            faults,
            detail_value,
            retry_after_ms,
        }
    }
}

/// The status of a code. The table's 499 is no registered status: a call that was cancelled by somebody else is for its
/// client a service that could not answer, 503.
pub fn status(code: Code) -> StatusCode {
    match code.info().http {
        499 => StatusCode::SERVICE_UNAVAILABLE,
        other => StatusCode::from_u16(other).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The headers that answers of a status have, each with its name in the OpenAPI document.
pub const fn headers(status: u16) -> &'static [(&'static str, &'static str)] {
    match status {
        401 => &[("WWW-Authenticate", "Challenge")],
        405 => &[("Allow", "Allow")],
        429 | 503 => &[("Retry-After", "RetryAfter")],
        _ => &[],
    }
}

/// A caller without any of several rights is refused as for a single right.
///
/// # Errors
/// `forbidden`, in the words of the first, where each of them is.
pub fn refused_throughout<'a>(outcomes: impl Iterator<Item = Option<&'a Problem>>) -> ApiResult<()> {
    let mut first = None;
    for outcome in outcomes {
        match outcome {
            Some(problem) if problem.code == Code::Forbidden => first = first.or(Some(problem)),
            _ => return Ok(()),
        }
    }
    first.map_or(Ok(()), |problem| Err(ApiError::new(Code::Forbidden, &problem.detail).with_hint(&problem.hint)))
}

pub fn answered(error: ApiError, correlation: Ulid) -> Answered {
    let status = status(error.code);
    let retry_after = error.retry_after_ms.map(|wait| wait.div_ceil(1000));
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::warn!(code = %error.code, %correlation, message = error.message, "a request failed");
    }
    let text = safe(serde_json::to_vec(&Problem::new(error, correlation)).unwrap_or_default());
    Answered { retry_after, ..Answered::new(status, MEDIA, text) }
}
