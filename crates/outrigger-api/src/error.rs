//! Errors as every face shows them.

use outrigger_contract::Code;
use outrigger_contract::causes::chain;
use outrigger_contract::excerpt::cut;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum size of an error's message or hint, in bytes. Both can quote the request.
const LONGEST_MESSAGE: usize = 64 << 10;

/// An error: a stable code, a message, a hint.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[error("{message}")]
pub struct ApiError {
    pub code: Code,
    /// The problem, with names and numbers.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// Details for programs: the error value of a failed function, or the list of faults in the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
    /// When to try again, in milliseconds; for `rate_limited`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ApiError {
    /// An error with the general advice of its code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let hint = code.info().help.to_owned();
        Self { code, message: cut(message.into(), LONGEST_MESSAGE), hint, detail: None, retry_after_ms: None }
    }

    /// The same with advice of its own.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = cut(hint.into(), LONGEST_MESSAGE);
        self
    }

    /// An error with its causes, and its hint if it has one.
    pub fn caused(code: Code, error: &dyn std::error::Error, hint: Option<String>) -> Self {
        let shown = Self::new(code, chain(error));
        match hint {
            Some(hint) => shown.with_hint(hint),
            None => shown,
        }
    }
}
