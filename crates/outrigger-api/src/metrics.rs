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
    /// How often a plugin was not told of an event or the end of a call, since the start, because too many waited for it.
    #[serde(default)]
    pub dropped_firings: u64,
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

/// Something that is counted of each function: one row of what monitoring is told, whichever way it asks.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// Monitoring calls it `outrigger_function_NAME_total`.
    pub name: &'static str,
    /// What it counts.
    pub about: &'static str,
    /// Where it is found.
    pub value: fn(&FunctionStatistics) -> u64,
}

const fn counter(name: &'static str, about: &'static str, value: fn(&FunctionStatistics) -> u64) -> Counter {
    Counter { name, about, value }
}

/// All that is counted of each function.
pub const COUNTERS: [Counter; 11] = [
    counter("calls", "Calls that arrived, whatever came of them.", |counted| counted.calls),
    counter("failures", "Calls that ended in an error that is none of the others.", |counted| counted.failures),
    counter("refused", "Calls refused for their input, their caller or the plugin's state.", |counted| counted.refused),
    counter("rate_limited", "Calls refused by a rate limit.", |counted| counted.rate_limited),
    counter("limited", "Calls ended by a limit.", |counted| counted.limited),
    counter("cancelled", "Calls cancelled by their caller.", |counted| counted.cancelled),
    counter("cache_hits", "Calls answered from the cache.", |counted| counted.cache_hits),
    counter("cache_misses", "Calls looked up in the cache and not found.", |counted| counted.cache_misses),
    counter("retries", "Tries beyond the first.", |counted| counted.retries),
    counter("violations", "Things reached for without a grant.", |counted| counted.violations),
    counter("dropped_log_lines", "Log lines beyond the limit.", |counted| counted.dropped_log_lines),
];

/// What monitoring calls the number of plugins by state, and what it is told of it.
pub const PLUGINS: (&str, &str) = ("outrigger_plugins", "Installed plugins by state.");
/// What monitoring calls the number of firings that were dropped, and what it is told of it.
pub const DROPPED_FIRINGS: (&str, &str) = (
    "outrigger_hook_firings_dropped_total",
    "Events and ends of calls that a plugin was not told of: too many waited.",
);
/// What monitoring calls the time of calls, and what it is told of it.
pub const DURATION: (&str, &str) =
    ("outrigger_function_duration_seconds", "How long calls took, from arrival to answer.");

impl Counter {
    /// What monitoring calls it.
    #[must_use]
    pub fn metric(&self) -> String {
        format!("outrigger_function_{}_total", self.name)
    }
}

/// How many calls took at most so long. Each counts those of the ones before it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyBucket {
    /// In microseconds.
    pub at_most_us: u64,
    pub calls: u64,
}
