//! How well plugins are: what one says when it is asked, and what the health monitor of a server makes of many answers.

use outrigger_contract::PluginName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// How well a plugin is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthInfo {
    pub plugin: PluginName,
    /// The status of this check: `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    pub checks: Vec<HealthCheckInfo>,
    pub monitor: PluginHealth,
}

/// One named check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheckInfo {
    pub name: String,
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The health monitor's status of a plugin. It monitors plugins that were called since the server started, and
/// unhealthy ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginHealth {
    pub plugin: PluginName,
    /// The state of the plugin, such as `active`, `disabled`, `failed`.
    pub state: String,
    /// The reason of the state, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The status, determined by several checks: `healthy`, `degraded` or `unhealthy`; `unknown` before the first one.
    pub status: String,
    /// Checks in a row that failed.
    pub consecutive_failures: u32,
    /// Checks in a row that did not.
    pub consecutive_successes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<LastCheckInfo>,
    /// None while nobody watches over it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_check_at: Option<OffsetDateTime>,
    /// When it will be restarted, unless it recovers.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_restart_at: Option<OffsetDateTime>,
    /// Restarts that count towards its limit.
    pub restarts: u32,
    /// Restarts since it was installed.
    pub restarts_total: u64,
    /// The last 20, the newest first.
    pub changes: Vec<HealthChangeInfo>,
}

/// The last check of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastCheckInfo {
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: OffsetDateTime,
    /// `healthy`, `degraded` or `failed`.
    pub outcome: String,
    /// The problem, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub duration_us: u64,
}

/// From one status to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthChangeInfo {
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: OffsetDateTime,
    pub from: String,
    pub to: String,
    pub reason: String,
}
