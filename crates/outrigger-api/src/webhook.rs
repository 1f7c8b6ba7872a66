//! Webhooks: HTTP endpoints notified of events, and their deliveries.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use outrigger_contract::{HookName, Pattern, WebhookName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::fingerprint::Fingerprint;

/// Secret text: it is sent over the API, but never shown otherwise.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The text, given away.
    #[must_use]
    pub fn into_revealed(self) -> String {
        self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

/// A webhook that is to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    pub name: WebhookName,
    /// Where it is told, `https://…`.
    #[schemars(length(max = 2000))]
    pub url: String,
    /// It receives events whose name matches one of these patterns.
    #[serde(default = "all")]
    #[schemars(length(min = 1, max = 50))]
    pub events: Vec<Pattern>,
    /// Only events about this plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Pattern>,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    #[schemars(length(max = 4000))]
    pub description: String,
    /// Extra headers to send. Their values are encrypted, and never shown again.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Whether to allow plain, unencrypted HTTP.
    #[serde(default)]
    pub allow_http: bool,
    /// Whether to allow private, loopback and link-local addresses.
    #[serde(default)]
    pub allow_private_network: bool,
}

/// The new settings of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookChange {
    /// Where it is told, `https://…`.
    #[schemars(length(max = 2000))]
    pub url: String,
    /// It receives events whose name matches one of these patterns.
    #[serde(default = "all")]
    #[schemars(length(min = 1, max = 50))]
    pub events: Vec<Pattern>,
    /// Only events about this plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Pattern>,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    #[schemars(length(max = 4000))]
    pub description: String,
    /// Extra headers to send. If omitted, they are kept; they must be given if the address moves to another server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, Secret>>,
    /// Whether to allow plain, unencrypted HTTP.
    #[serde(default)]
    pub allow_http: bool,
    /// Whether to allow private, loopback and link-local addresses.
    #[serde(default)]
    pub allow_private_network: bool,
}

fn all() -> Vec<Pattern> {
    vec!["*".parse().expect("a star is a pattern")]
}

const fn yes() -> bool {
    true
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookInfo {
    pub name: WebhookName,
    pub url: String,
    /// It receives events whose name matches one of these patterns.
    pub events: Vec<Pattern>,
    /// Only events about this plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Pattern>,
    pub enabled: bool,
    /// Why it was disabled, unless a user did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub description: String,
    /// The names of the extra headers.
    pub headers: Vec<String>,
    pub allow_http: bool,
    pub allow_private_network: bool,
    /// Since when every attempt has failed.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub failing_since: Option<OffsetDateTime>,
    /// Deliveries that are on their way.
    pub pending: u64,
    /// Deliveries that were given up.
    pub dead: u64,
    pub created_by: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub updated_at: OffsetDateTime,
}

impl WebhookInfo {
    /// Covers its settings and the time of the last change, because secret and header values are not visible.
    /// Deliveries are not included.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let Self {
            name: _,
            url,
            events,
            plugin,
            enabled,
            reason: _,
            description,
            headers,
            allow_http,
            allow_private_network,
            failing_since: _,
            pending: _,
            dead: _,
            created_by: _,
            created_at: _,
            updated_at,
        } = self;
        let updated_at = updated_at.unix_timestamp_nanos().to_string();
        let network = (allow_http, allow_private_network);
        Fingerprint::of(&(url, events, plugin, enabled, description, headers, network, updated_at))
    }
}

/// A new webhook, with its signing secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewWebhook {
    pub webhook: WebhookInfo,
    /// `whsec_…`. It is not shown again.
    pub secret: Secret,
}

/// The new signing secret of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookSecret {
    pub name: WebhookName,
    /// `whsec_…`. It is not shown again. For a day, deliveries are signed with both this and the previous secret.
    pub secret: Secret,
}

/// The delivery of one event to one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryInfo {
    /// A ULID: the `webhook-id` that the receiver sees, the same at every attempt.
    pub id: String,
    pub webhook: WebhookName,
    /// The event; none for a test delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The event's name.
    pub name: HookName,
    /// `pending`, `delivered`, `dead` or `abandoned`.
    pub state: String,
    /// The number of attempts since it was created or last retried by a user.
    pub attempts: u32,
    /// The time of the next attempt, while it is pending.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_at: Option<OffsetDateTime>,
    /// The last response of the receiver. If the webhook allowed private networks then, only shown to callers with the
    /// right `network_open`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the last attempt failed, shown like `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: OffsetDateTime,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub ended_at: Option<OffsetDateTime>,
}

/// Which deliveries to list. All given fields must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveryQuery {
    /// `pending`, `delivered`, `dead` or `abandoned`.
    #[serde(default)]
    #[schemars(regex(pattern = "^(pending|delivered|dead|abandoned)$"))]
    pub state: Option<String>,
    /// Only deliveries before this one, for the next page.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"))]
    pub before: Option<String>,
    /// Maximum number of entries, newest first: at most 1,000; 0 for 100.
    #[serde(default)]
    #[schemars(range(max = 1000))]
    pub limit: u32,
}

/// The number of dead letters queued to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryRetry {
    pub retried: u64,
}
