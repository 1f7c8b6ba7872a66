//! Hooks, their subscribers, and traces of firings.

use outrigger_contract::units::Span;
use outrigger_contract::{Code, FunctionRef, HookKind, HookName, OnError, PluginName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// A hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookInfo {
    pub name: HookName,
    pub kind: HookKind,
    /// When the hook is fired, and its payload.
    pub description: String,
    /// A JSON Schema (2020-12) of the payload; none for any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Only Outrigger fires it.
    pub built_in: bool,
    /// The plugin whose manifest declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginName>,
    /// How many are subscribed to it.
    pub subscriptions: u64,
    /// The fail-closed subscribers that are unavailable. While there is one, the hook refuses everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed_by: Vec<ClosedHook>,
}

/// A hook that refuses everything, because a fail-closed subscriber is unavailable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClosedHook {
    pub hook: HookName,
    /// The id of the subscription. Disabling or removing it opens the hook.
    pub subscription: String,
    pub function: FunctionRef,
    /// Why the subscriber is unavailable.
    pub reason: String,
}

impl ClosedHook {
    /// A sentence that names the closed hook, the reason, and the command that opens it.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { hook, subscription, function, reason } = self;
        format!(
            "hook `{hook}` is closed: its fail-closed subscriber `{function}` is unavailable ({reason}); \
             `outrigger hook disable {subscription}` opens it"
        )
    }
}

/// A hook that is to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HookRequest {
    pub name: HookName,
    pub kind: HookKind,
    #[serde(default)]
    #[schemars(length(max = 4000))]
    pub description: String,
    /// A JSON Schema (2020-12) of the payload, of at most 64 KiB, with keywords that describe a single value (`type`,
    /// `properties`, `enum`, `minimum` and the like, not `$ref` or `anyOf`). Payloads are validated against it, and
    /// subscribers must accept it. Without a schema, the payload is any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Map<String, Value>>,
}

/// A function that is called when a hook is fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionInfo {
    /// A ULID.
    pub id: String,
    pub hook: HookName,
    pub kind: HookKind,
    pub function: FunctionRef,
    /// Lower numbers are called first; among equal numbers, the older subscription.
    pub priority: i32,
    /// A CEL expression; if it is false, the function is not called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    pub on_error: OnError,
    /// How long one call may take.
    pub timeout: Span,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub enabled: bool,
    /// Why it was disabled, unless a user did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `manifest` or `api`.
    pub source: String,
    pub created_by: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: OffsetDateTime,
    /// Consecutive failures; counted if `on_error` needs it.
    pub failures: u32,
}

/// A subscription that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionRequest {
    pub hook: HookName,
    /// It has one parameter, which receives the payload: a `string` as JSON text, any other type as a value.
    pub function: FunctionRef,
    /// Lower numbers are called first; the default is 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -10_000, max = 10_000))]
    pub priority: Option<i32>,
    /// A CEL expression over `event`, `hook`, `caller` and `origin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub condition: Option<String>,
    #[serde(default)]
    pub on_error: OnError,
    /// The timeout of one call, at most 60 s; the default is 2 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4000))]
    pub description: Option<String>,
}

/// Which subscriptions to list. All given fields must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionQuery {
    /// Of functions of this plugin.
    #[serde(default)]
    pub plugin: Option<PluginName>,
    /// To this hook.
    #[serde(default)]
    pub hook: Option<HookName>,
}

/// How a hook is to be fired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FireRequest {
    /// The payload: at most 262,144 bytes.
    #[serde(default)]
    pub payload: Value,
    /// Only show what would happen: conditions are evaluated, but no function is called. The trace is not kept.
    #[serde(default)]
    pub dry_run: bool,
}

/// The outcome of a firing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FireReport {
    /// The payload after all filters.
    pub value: Value,
    /// Why the firing failed: a subscriber refused, or a fail-closed subscriber failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub trace: HookTraceInfo,
}

/// The trace of a firing. Without values, which may be secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookTraceInfo {
    /// A ULID.
    pub id: String,
    pub hook: HookName,
    pub kind: HookKind,
    pub correlation: String,
    /// The caller that caused it.
    pub caller: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: OffsetDateTime,
    pub duration_us: u64,
    pub dry_run: bool,
    /// `passed`, `refused` or `failed`.
    pub result: String,
    /// In the order in which they were called.
    pub callbacks: Vec<HookCallbackInfo>,
}

/// The result of one subscriber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookCallbackInfo {
    pub subscription: String,
    pub function: FunctionRef,
    pub priority: i32,
    /// `done`, `skipped`, `refused`, `failed` or `failed_and_disabled`.
    pub outcome: String,
    /// Why it was skipped: `disabled`, `condition`, `plugin_disabled`, `ended` or `dry_run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub duration_us: u64,
    /// The filter changed the payload.
    pub value_changed: bool,
}

/// Which traces to list. All given fields must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HookTraceQuery {
    /// Of this hook.
    #[serde(default)]
    pub hook: Option<HookName>,
    /// A ULID.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"))]
    pub correlation: Option<String>,
    /// Maximum number of entries, newest first: at most 1,000; 0 for 100.
    #[serde(default)]
    #[schemars(range(max = 1000))]
    pub limit: u32,
}
