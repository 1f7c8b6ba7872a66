//! A call and its answer.

use outrigger_contract::{Code, FunctionRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::json::{JsonObject, JsonText};
use crate::profile::CallProfile;

/// A call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallRequest {
    /// `plugin.function`.
    pub function: FunctionRef,
    /// An object with a member for each parameter.
    #[serde(default)]
    pub arguments: JsonObject,
    /// In milliseconds, instead of the function's own timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Ask for a fresh answer.
    #[serde(default)]
    pub no_cache: bool,
    /// The correlation id to use (a ULID); otherwise one is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Say where the time went.
    #[serde(default)]
    pub profile: bool,
}

impl CallRequest {
    /// A call with the function's own timeout, which may use the cache.
    #[must_use]
    pub fn new(function: FunctionRef, arguments: impl Into<JsonObject>) -> Self {
        Self {
            function,
            arguments: arguments.into(),
            timeout_ms: None,
            no_cache: false,
            correlation: None,
            profile: false,
        }
    }
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallResponse {
    /// The result, which matches the function's result schema; `null` if there is none.
    pub result: JsonText,
    /// The cache status: `bypass`, `miss`, `hit` or `shared`.
    pub cache: String,
    /// From arrival to response, in microseconds.
    pub duration_us: u64,
    /// The number of attempts; 0 if the function did not have to run.
    pub attempts: u32,
    pub correlation: String,
    /// The version that answered.
    pub version: String,
    /// The digest that answered.
    pub revision: String,
    /// Warnings about a successful call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<CallWarning>,
    /// The profile, if requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Box<CallProfile>>,
}

/// A warning about a successful call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallWarning {
    pub code: Code,
    pub message: String,
}
