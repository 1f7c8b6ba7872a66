//! The configuration of plugins. A secret is never in here: `{"$secret": "set"}` stands in its place, and sent back it
//! keeps the secret as it is.

use std::collections::BTreeMap;

use outrigger_contract::PluginName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// A plugin's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    pub plugin: PluginName,
    /// JSON Schema of it.
    pub schema: Value,
    /// The stored values.
    pub values: Map<String, Value>,
    /// The effective values: defaults, overridden by stored values, overridden by files and variables.
    pub effective: Map<String, Value>,
    /// The source of each effective value.
    #[serde(default)]
    pub sources: BTreeMap<String, ConfigurationSource>,
    /// Counts changes; 0 if nothing was ever set.
    pub revision: u64,
    /// Why the plugin cannot start with it, if so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Changes of single values; others are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigurationEdits {
    /// Values to set.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub set: Map<String, Value>,
    /// To be set, and not set yet.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub create: Map<String, Value>,
    /// Values to reset to their defaults; they must be set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<String>,
}

impl ConfigurationEdits {
    /// Sets one value.
    #[must_use]
    pub fn set(key: impl Into<String>, value: Value) -> Self {
        Self { set: Map::from_iter([(key.into(), value)]), ..Self::default() }
    }

    /// Sets one value that is not set yet.
    #[must_use]
    pub fn create(key: impl Into<String>, value: Value) -> Self {
        Self { create: Map::from_iter([(key.into(), value)]), ..Self::default() }
    }

    /// Resets one value to its default.
    #[must_use]
    pub fn unset(key: impl Into<String>) -> Self {
        Self { unset: vec![key.into()], ..Self::default() }
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ConfigurationSource {
    /// The manifest.
    Default,
    /// It was set.
    Stored,
    /// A file where Outrigger runs.
    File {
        /// Its path.
        path: String,
    },
    /// An environment variable of the Outrigger process.
    Environment {
        /// Its name.
        name: String,
    },
}

/// A revision of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationRevision {
    pub revision: u64,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: OffsetDateTime,
    /// The caller that set it.
    pub by: String,
    /// The correlation id of the change.
    pub correlation: String,
    /// The revision that was restored, if this one is a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<u64>,
    pub values: Map<String, Value>,
}

/// The keys in which two revisions of a configuration differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationDiff {
    pub plugin: PluginName,
    /// 0 for the empty configuration.
    pub from: u64,
    pub to: u64,
    pub differences: Vec<ConfigurationDifference>,
}

/// A key in which they differ. Values of secrets are hidden.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationDifference {
    pub key: String,
    pub kind: DifferenceKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The change of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    Added,
    Removed,
    Changed,
}

/// The result of a rotation of the encryption key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretsRotation {
    /// The id of the new encryption key.
    pub key: String,
    /// How many revisions of configurations were encrypted again.
    pub rewritten: u64,
    /// The ids of deleted keys, with which no secret is encrypted any more.
    pub dropped: Vec<String>,
}
