//! Where the time of calls goes.

use outrigger_contract::{Code, FunctionRef, PluginName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Where the time of one call went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallProfile {
    pub function: FunctionRef,
    /// How it failed; none where it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// From arrival until it was written down, in nanoseconds. The stages add up to it.
    pub total_ns: u64,
    /// In the order in which a call meets them, those that took any time.
    pub stages: Vec<StageTime>,
    /// The parts of the stage `host`, the longest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_calls: Vec<HostCallTime>,
    /// Calls that were made on its behalf, by the plugin and by hooks, in order. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallProfile>,
    /// How many more there were.
    #[serde(default)]
    pub calls_left_out: u32,
}

/// How long one stage of a call took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageTime {
    /// `resolve`, `validate`, `queue`, `hooks`, `cache`, `instantiate`, `transfer`, `run`, `host`, `record` or `other`.
    pub stage: String,
    /// In nanoseconds.
    pub ns: u64,
}

/// Calls of one interface that the plugin imports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostCallTime {
    /// Such as `wasi:io/poll`; `runtime` for what the runtime does itself, such as growing memory.
    pub import: String,
    pub calls: u64,
    /// In nanoseconds.
    pub ns: u64,
}

/// Where the time of the calls of a plugin goes. A few calls of each function are looked at; another revision begins anew,
/// and so does a plugin that is loaded anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PluginProfile {
    pub plugin: PluginName,
    /// Since when its calls are looked at; none while the plugin is not loaded.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<OffsetDateTime>,
    /// Of so many calls of a function one is looked at; of the first ones more are.
    pub one_in: u64,
    /// By name, those of which anything is known.
    pub functions: Vec<FunctionProfile>,
}

/// Where the time of the calls of one function goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionProfile {
    pub function: FunctionRef,
    /// Calls that were looked at.
    pub samples: u64,
    /// All stages together; named `total`.
    pub total: StageProfile,
    /// In the order in which a call meets them, those that took any time.
    pub stages: Vec<StageProfile>,
    /// The parts of the stage `host`, the longest first.
    pub host_calls: Vec<HostCallProfile>,
}

/// How long one stage took in the calls that were looked at, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageProfile {
    pub stage: String,
    pub mean_us: f64,
    /// To within 6 %.
    pub p50_us: f64,
    /// To within 6 %.
    pub p95_us: f64,
    /// Of the whole time, from 0 to 1.
    pub share: f64,
}

/// Calls of one interface that the plugin imports, in an average call of the function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostCallProfile {
    pub import: String,
    pub calls: f64,
    /// All of them together, in microseconds.
    pub mean_us: f64,
    /// Of the whole time, from 0 to 1.
    pub share: f64,
}
