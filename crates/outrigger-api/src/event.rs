//! The log of events: what happened, in one order.

use std::pin::Pin;

use futures::Stream;
use outrigger_contract::{HookName, Pattern, PluginName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{ApiResult, JsonText};

/// Events as they happen. A slow reader misses nothing.
pub type EventStream = Pin<Box<dyn Stream<Item = ApiResult<EventInfo>> + Send>>;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventInfo {
    /// A ULID, greater than that of any earlier event.
    pub id: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: OffsetDateTime,
    /// Such as `plugin.installed`, `job.failed`, or an event hook's own name.
    pub name: HookName,
    /// The plugin that it is about, or that declares the event hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginName>,
    /// The caller that fired the event hook, such as `plugin orders.place` or `key ci`. Missing in events of Outrigger itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Of whatever caused it.
    pub correlation: String,
    /// The payload.
    #[schemars(with = "serde_json::Value")]
    pub payload: JsonText,
}

/// Which events to list. All given fields must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// Only events of such a name.
    #[serde(default)]
    pub name: Option<Pattern>,
    /// Only those about such a plugin.
    #[serde(default)]
    pub plugin: Option<Pattern>,
    /// Only those newer than this event.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"))]
    pub after: Option<String>,
    /// Only events before this one, for the next page.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"))]
    pub before: Option<String>,
    /// Only events at this time or later.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<OffsetDateTime>,
    /// Maximum number of entries, newest first: at most 1,000; 0 for 100. A list with more than 4 MiB of payloads ends
    /// early; `before` continues it.
    #[serde(default)]
    #[schemars(range(max = 1000))]
    pub limit: u32,
}

/// Which events to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowQuery {
    /// Only events of such a name.
    #[serde(default)]
    pub name: Option<Pattern>,
    /// Only those about such a plugin.
    #[serde(default)]
    pub plugin: Option<Pattern>,
    /// Start after this event instead of now. The header `Last-Event-ID` overrides it.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"))]
    pub after: Option<String>,
}
