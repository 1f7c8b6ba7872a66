//! Functions, as they are listed and described.

use outrigger_contract::{FunctionRef, PluginName, TypeGraph};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which functions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionQuery {
    /// Words that must all occur in the name, title, description or tags, ignoring case.
    #[serde(default)]
    pub text: String,
    /// Only functions of this plugin.
    #[serde(default)]
    pub plugin: Option<PluginName>,
    /// Also functions of plugins that are not active.
    #[serde(default)]
    pub all: bool,
}

/// A function, as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionSummary {
    pub function: FunctionRef,
    pub title: String,
    /// The first paragraph of its documentation.
    pub summary: String,
    /// As WIT would write it.
    pub signature: String,
    pub tags: Vec<String>,
    pub read_only: bool,
    /// It can delete or overwrite data.
    pub destructive: bool,
    pub idempotent: bool,
}

/// Everything about a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionDescription {
    #[serde(flatten)]
    pub summary: FunctionSummary,
    /// Its documentation, in Markdown.
    pub description: String,
    pub parameters: Vec<ParameterInfo>,
    /// JSON Schema of the arguments.
    pub arguments_schema: serde_json::Value,
    /// JSON Schema of the result.
    pub result_schema: serde_json::Value,
    /// JSON Schema of the error value, for a function that can fail with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_schema: Option<serde_json::Value>,
    /// In milliseconds.
    pub timeout_ms: u64,
    /// How long results are cached, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_ms: Option<u64>,
    /// Such as `100/1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<String>,
    /// How long a call usually takes, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_ms: Option<u64>,
    pub requires_auth: bool,
    pub requires_admin: bool,
    /// The function with its types, for interfaces that generate flags or forms.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub types: TypeGraph,
}

/// A parameter, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParameterInfo {
    pub name: String,
    /// As WIT would write it.
    #[serde(rename = "type")]
    pub ty: String,
    pub required: bool,
    pub description: String,
}
