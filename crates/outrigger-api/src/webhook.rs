//! Webhooks: HTTP endpoints notified of events, and their deliveries.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use outrigger_contract::{HookName, Pattern, WebhookName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::fingerprint::Fingerprint;

/// A text that goes over the wire and is not shown otherwise.
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
    /// Only of events about such a plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Pattern>,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    #[schemars(length(max = 4000))]
    pub description: String,
    /// Headers to send besides. Their values are encrypted, and never shown again.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Whether to allow plain, unencrypted HTTP.
    #[serde(default)]
    pub allow_http: bool,
    /// Private, loopback and link-local addresses are meant too.
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
    /// Only of events about such a plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Pattern>,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    #[schemars(length(max = 4000))]
    pub description: String,
    /// Headers to send besides. Left out, they stay as they are; they must be given where the address becomes another
    /// server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, Secret>>,
    /// Whether to allow plain, unencrypted HTTP.
    #[serde(default)]
    pub allow_http: bool,
    /// Private, loopback and link-local addresses are meant too.
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
    /// Only of events about such a plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Pattern>,
    pub enabled: bool,
    /// Why it was switched off, where that was not done by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub description: String,
    /// The names of the headers that are sent besides.
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
    /// Of what it is to be, and when it was made so: its secret and the values of its headers are not to be seen, and may
    /// be others. How its deliveries fare is not in it.
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

/// A webhook that was just added, with the secret that it is signed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewWebhook {
    pub webhook: WebhookInfo,
    /// `whsec_…`. It is not shown again.
    pub secret: Secret,
}

/// The secret that a webhook is signed with from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookSecret {
    pub name: WebhookName,
    /// `whsec_…`. It is not shown again. For a day there are two signatures, of this one and the one before.
    pub secret: Secret,
}

/// One event on its way to one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryInfo {
    /// A ULID: the `webhook-id` that the receiver sees, the same at every attempt.
    pub id: String,
    pub webhook: WebhookName,
    /// The event; none for a delivery that tries the webhook out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The event's name.
    pub name: HookName,
    /// `pending`, `delivered`, `dead` or `abandoned`.
    pub state: String,
    /// How often it was sent since it was made, or was last retried by somebody.
    pub attempts: u32,
    /// When it is sent next, while it is pending.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_at: Option<OffsetDateTime>,
    /// The last response of the receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: OffsetDateTime,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub ended_at: Option<OffsetDateTime>,
}

/// Which deliveries to list. All that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveryQuery {
    /// `pending`, `delivered`, `dead` or `abandoned`.
    #[serde(default)]
    #[schemars(regex(pattern = "^(pending|delivered|dead|abandoned)$"))]
    pub state: Option<String>,
    /// Only those older than this delivery, for the page after.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"))]
    pub before: Option<String>,
    /// Maximum number of entries, newest first: at most 1,000; 0 for 100.
    #[serde(default)]
    #[schemars(range(max = 1000))]
    pub limit: u32,
}

/// How many dead letters are sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryRetry {
    pub retried: u64,
}
