//! Changes to a plugin's configuration and state in an update or a rollback.

use outrigger_contract::PluginName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ConfigurationDifference;

/// The changes of a migration, done or planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationReport {
    /// The version that was there.
    pub from: String,
    pub to: String,
    /// The steps in order, as text for people.
    pub steps: Vec<String>,
    /// The keys of the configuration that differ. Left out if the caller is not allowed to see them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Vec<ConfigurationDifference>>,
    pub state: StateChanges,
}

/// The keys of the state that differ, at most 100 of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateChanges {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    /// The number of further keys.
    pub unnamed: u64,
}

impl StateChanges {
    /// The maximum number of keys of each kind.
    pub const NAMED: usize = 100;

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

/// Options of a rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// Only say what it would do.
    #[serde(default)]
    pub dry_run: bool,
}

/// The changes of a rollback, done or planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RollbackReport {
    pub plugin: PluginName,
    /// Nothing was done.
    #[serde(default)]
    pub dry_run: bool,
    /// The number of later writes to the state that are lost.
    pub lost_writes: u64,
    pub migration: MigrationReport,
}
