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
    /// A correlation id to go on with (a ULID); otherwise one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Say where the time went.
    #[serde(default)]
    pub profile: bool,
}

impl CallRequest {
    /// A call with the function's own timeout, answered from the cache where that may be.
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
    /// The result, which fits the function's result schema; `null` where it gives none.
    pub result: JsonText,
    /// The cache status: `bypass`, `miss`, `hit` or `shared`.
    pub cache: String,
    /// From arrival to answer, in microseconds.
    pub duration_us: u64,
    /// How many times it was tried; 0 when it did not have to run.
    pub attempts: u32,
    pub correlation: String,
    /// The version that answered.
    pub version: String,
    /// The digest that answered.
    pub revision: String,
    /// Things worth knowing although the call succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<CallWarning>,
    /// Where the time went, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Box<CallProfile>>,
}

/// Something worth knowing about a call that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallWarning {
    pub code: Code,
    pub message: String,
}
