//! The audit log.

use outrigger_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Which audit records to list. All given fields must match the record, or one item of a group record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// The actor: `local`, `key ci-deploy`, `plugin pricing.quote`.
    #[serde(default)]
    pub actor: Option<String>,
    /// The id of a key.
    #[serde(default)]
    pub key: Option<String>,
    /// A right, such as `plugin_create`.
    #[serde(default)]
    pub action: Option<String>,
    /// The object, such as `pricing`.
    #[serde(default)]
    pub resource: Option<String>,
    /// A ULID.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"))]
    pub correlation: Option<String>,
    /// Only allowed or only denied requests.
    #[serde(default)]
    pub allowed: Option<bool>,
    /// Only records with this error code.
    #[serde(default)]
    pub code: Option<Code>,
    /// Only records at this time or later.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<OffsetDateTime>,
    /// Only records before this time.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<OffsetDateTime>,
    /// Only records before this sequence number, for the next page.
    #[serde(default)]
    pub before: Option<u64>,
    /// Maximum number of entries, newest first: at most 1,000; 0 for 100.
    #[serde(default)]
    #[schemars(range(max = 1000))]
    pub limit: u32,
}

/// One thing that was done or denied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditInfo {
    /// Numbered from 1. A missing number is a pruned refusal.
    pub sequence: u64,
    /// SHA-256 over the previous chained record (refusals are not chained), this record's sequence, and its text.
    pub hash: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: OffsetDateTime,
    /// For a group record, the time of its last item; `at` is the time of the first.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<OffsetDateTime>,
    pub actor: String,
    /// The id of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The right that it took.
    pub action: String,
    pub resource: String,
    pub allowed: bool,
    /// The rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// `intent` for an action recorded before it ran, `done`, or `group` for a record that counts several calls or
    /// refusals.
    pub stage: String,
    /// How many calls or refusals the record counts.
    #[serde(default = "one")]
    pub count: u64,
    /// The code of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<serde_json::Value>,
    pub correlation: String,
    /// The items of a group record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<AuditCall>,
}

const fn one() -> u64 {
    1
}

/// An item of a group record: calls or refusals with the same actor, resource and code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditCall {
    /// `several` for the rest, when the group record had no space for more items.
    pub actor: String,
    /// The id of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `plugin.function`, or the resource of a refusal; `*` for the rest, when the group record had no space for more
    /// items.
    pub resource: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    pub count: u64,
    /// Correlation ids of the first ones.
    #[serde(default)]
    pub correlations: Vec<String>,
}

/// The result of verifying the whole chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditVerification {
    /// Whether every record is unchanged and in its place.
    pub whole: bool,
    /// How many were read.
    pub records: u64,
    /// How many refusals were pruned. Other records are never pruned.
    #[serde(default)]
    pub refusals_pruned: u64,
    /// Sequence and hash of the last record. Store them elsewhere to detect a log that was cut off.
    pub head: AuditHead,
    /// The first fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// The end of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditHead {
    pub sequence: u64,
    pub hash: String,
}
