//! Where the time of calls goes.

use outrigger_contract::{Code, FunctionRef, PluginName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Where the time of one call went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallProfile {
    pub function: FunctionRef,
    /// The error code; none on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// From arrival until it was recorded, in nanoseconds. The sum of the stages.
    pub total_ns: u64,
    /// The stages that took any time, in order.
    pub stages: Vec<StageTime>,
    /// The parts of the stage `host`, the longest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_calls: Vec<HostCallTime>,
    /// The calls that it caused, by the plugin and by hooks, in order; at most 64.
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
    /// Such as `wasi:io/poll`; `runtime` for work of the runtime itself, such as growing memory.
    pub import: String,
    pub calls: u64,
    /// In nanoseconds.
    pub ns: u64,
}

/// The profile of a plugin's calls. A few calls of each function are profiled; it starts again with another revision or
/// a reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PluginProfile {
    pub plugin: PluginName,
    /// When profiling started; none while the plugin is not loaded.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<OffsetDateTime>,
    /// One in this many calls of a function is profiled, and more of the first ones.
    pub one_in: u64,
    /// The profiled functions, by name.
    pub functions: Vec<FunctionProfile>,
}

/// The profile of one function's calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionProfile {
    pub function: FunctionRef,
    /// Calls that were looked at.
    pub samples: u64,
    /// All stages together; named `total`.
    pub total: StageProfile,
    /// The stages that took any time, in order.
    pub stages: Vec<StageProfile>,
    /// The parts of the stage `host`, the longest first.
    pub host_calls: Vec<HostCallProfile>,
}

/// The duration of one stage in the profiled calls, in microseconds.
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
