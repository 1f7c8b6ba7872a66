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
    /// Where each effective value comes from.
    #[serde(default)]
    pub sources: BTreeMap<String, ConfigurationSource>,
    /// Counts changes; 0 while nothing was ever set.
    pub revision: u64,
    /// Why the plugin cannot be started with it, where that is so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Changes of single values; the others stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigurationEdits {
    /// To be set, whether they were set or not.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub set: Map<String, Value>,
    /// To be set, and not set yet.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub create: Map<String, Value>,
    /// To go back to their defaults; they are set.
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

    /// Puts one value back to its default.
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
    /// An environment variable of Outrigger's.
    Environment {
        /// Its name.
        name: String,
    },
}

/// A configuration as somebody set it once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationRevision {
    pub revision: u64,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: OffsetDateTime,
    /// The caller that set it.
    pub by: String,
    /// The id under which all that was done with it is written down.
    pub correlation: String,
    /// The revision whose values were taken up again, where that is what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<u64>,
    pub values: Map<String, Value>,
}

/// The keys in which two revisions of a configuration differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigurationDiff {
    pub plugin: PluginName,
    /// 0 for the time before anything was set.
    pub from: u64,
    pub to: u64,
    pub differences: Vec<ConfigurationDifference>,
}

/// One key in which they differ. Of a secret, only that it does.
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
    /// The id of the key that secrets are encrypted with from now on.
    pub key: String,
    /// How many revisions of configurations were encrypted again.
    pub rewritten: u64,
    /// The ids of keys that were dropped, because nothing was encrypted with them any more.
    pub dropped: Vec<String>,
}
