//! Storage of plugin configurations: the current one, and its earlier revisions. Secrets in it are sealed; the store
//! never sees one in the open.

use async_trait::async_trait;
use outrigger_contract::PluginName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::StoreError;
use crate::correlation::CorrelationId;

/// How many revisions of a configuration are kept, the present one among them.
pub const CONFIGURATION_REVISIONS_KEPT: u64 = 50;
/// How many bytes of the values of a configuration's revisions are kept, as JSON text.
pub const CONFIGURATION_BYTES_KEPT: u64 = 4 << 20;

/// Keeps configurations.
#[async_trait]
pub trait ConfigurationStore {
    /// The configuration of a plugin, as it was set (no defaults).
    async fn configuration_fetch(&self, name: &PluginName) -> Result<Option<ConfigurationRecord>, StoreError>;
    /// Sets the configuration and keeps it as a revision. Older revisions beyond [`CONFIGURATION_REVISIONS_KEPT`] and
    /// [`CONFIGURATION_BYTES_KEPT`] are deleted, except the one that a rollback needs (see [`super::Predecessor`]).
    /// [`StoreError::Conflict`] if the plugin does not exist, or if the revision is not the one after the present revision
    /// (or 1, if there is none).
    async fn configuration_put(&self, name: &PluginName, revision: &ConfigurationRevision) -> Result<(), StoreError>;
    /// The retained revisions, newest first.
    async fn configuration_revisions(&self, name: &PluginName) -> Result<Vec<ConfigurationRevision>, StoreError>;
    /// One revision.
    async fn configuration_revision(
        &self,
        name: &PluginName,
        revision: u64,
    ) -> Result<Option<ConfigurationRevision>, StoreError>;
    /// Puts other values in the place of kept ones, all in one transaction, without a new revision: the same secrets under
    /// another key. What no longer holds the values named is left as it is. Answers how many were rewritten.
    async fn configuration_rewrite(&self, rewrites: &[ConfigurationRewrite]) -> Result<u64, StoreError>;
}

/// A plugin's configuration as it was set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationRecord {
    pub values: Map<String, Value>,
    /// Counts changes, from 1.
    pub revision: u64,
}

/// A configuration as somebody set it once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationRevision {
    pub revision: u64,
    pub at: OffsetDateTime,
    /// Who, for a person to read: `local`, `key ci`.
    pub author: String,
    pub correlation: CorrelationId,
    /// The revision whose values were taken up again, where that is what was done.
    pub restores: Option<u64>,
    pub values: Map<String, Value>,
}

/// One rewrite: of the revision, and of the present configuration where that is the one.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigurationRewrite {
    pub plugin: PluginName,
    pub revision: u64,
    /// The precondition.
    pub before: Map<String, Value>,
    pub after: Map<String, Value>,
}
