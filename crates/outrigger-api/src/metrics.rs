//! What monitoring asks for: counters and latencies of each function, and how well plugins are.

use std::collections::BTreeMap;

use outrigger_contract::PluginName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::FunctionStatistics;

/// The state of the whole, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricsReport {
    /// How many plugins are installed, by state.
    pub plugins: BTreeMap<String, u32>,
    /// Each function that was ever called, by name.
    pub functions: Vec<FunctionMetrics>,
    /// Each plugin that the health monitor has looked at, by name.
    pub health: Vec<PluginHealthMetrics>,
}

/// How well one plugin is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginHealthMetrics {
    pub plugin: PluginName,
    /// `unknown`, `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// How often the monitor has restarted it since it was installed.
    pub restarts: u64,
}

/// The numbers of one function, since its plugin was installed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionMetrics {
    pub statistics: FunctionStatistics,
    /// How many calls took at most so long.
    pub latency: Vec<LatencyBucket>,
    /// Of all calls together, in microseconds, to within 1 %.
    pub sum_us: u64,
}

/// How many calls took at most so long. Each counts those of the ones before it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyBucket {
    /// In microseconds.
    pub at_most_us: u64,
    pub calls: u64,
}
