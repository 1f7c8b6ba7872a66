//! Records: runs, log lines, statistics.

use outrigger_contract::{Code, FunctionName, FunctionRef, PluginName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Which runs or log lines to list. All given fields must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordQuery {
    /// Only of this plugin.
    #[serde(default)]
    pub plugin: Option<PluginName>,
    /// Only of functions of this name.
    #[serde(default)]
    pub function: Option<FunctionName>,
    /// A ULID.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"))]
    pub correlation: Option<String>,
    /// Log lines of this level or above: `trace`, `debug`, `info`, `warn`, `error`.
    #[serde(default)]
    #[schemars(regex(pattern = "^(trace|debug|info|warn|error)$"))]
    pub level: Option<String>,
    /// Text in the message, ignoring case.
    #[serde(default)]
    pub contains: Option<String>,
    /// Only failed runs. Ignored for log lines.
    // A server of an earlier version does not know it, and says so only where it is asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// Only records at this time or later.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<OffsetDateTime>,
    /// Only records before this time.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<OffsetDateTime>,
    /// Maximum number of entries, newest first; 0 for 100. Over HTTP at most 1,000. For a key, a list of log lines
    /// contains only the newest 4 MiB; `until` asks for earlier ones.
    #[serde(default)]
    #[schemars(range(max = 1000))]
    pub limit: u32,
}

/// A log line of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogEntry {
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: OffsetDateTime,
    pub level: String,
    pub plugin: PluginName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionName>,
    pub correlation: String,
    pub message: String,
    /// Names and values, in the plugin's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

/// A run of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunEntry {
    pub id: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: OffsetDateTime,
    pub function: FunctionRef,
    pub caller: String,
    /// If the run counts several calls, their total.
    pub duration_us: u64,
    /// How many calls the run counts: above a rate, similar calls share one run per minute.
    #[serde(default = "one")]
    pub calls: u64,
    /// `ok`, or the code of the failure.
    pub outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub cache: String,
    pub attempts: u32,
    pub correlation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

const fn one() -> u64 {
    1
}

/// Statistics of functions, since their plugin was installed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatisticsReport {
    /// How many plugins are installed, by state.
    pub plugins: std::collections::BTreeMap<String, u32>,
    /// All functions together.
    pub total: FunctionStatistics,
    /// Each function that was ever called, by name.
    pub functions: Vec<FunctionStatistics>,
}

/// Statistics of one function. Durations in microseconds, shares from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionStatistics {
    /// `plugin.function`, or `total`.
    pub function: String,
    /// Calls that arrived, with any outcome.
    pub calls: u64,
    pub failures: u64,
    pub rate_limited: u64,
    /// Refused because the input, the caller or the plugin's state did not allow it.
    pub refused: u64,
    /// Ended by a limit: deadline, CPU, memory, output, concurrency.
    pub limited: u64,
    pub cancelled: u64,
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub retries: u64,
    /// Accesses refused for lack of a grant.
    pub violations: u64,
    pub dropped_log_lines: u64,
    pub error_rate: f64,
    pub cache_hit_rate: f64,
    pub mean_us: f64,
    pub p50_us: u64,
    pub p95_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}
