//! Records of updates and rollbacks of a plugin with all its data: one transaction that switches, and what was there
//! before it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use outrigger_contract::{Digest, PluginName};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{ConfigurationRevision, GrantRecord, PluginRecord, RevisionRecord, StoreError};

/// Switches versions.
#[async_trait]
pub trait UpdateStore {
    /// How often the state of a plugin was written to, and how large it is. A plugin that is not there is a
    /// [`StoreError::Conflict`].
    async fn state_stamp(&self, name: &PluginName) -> Result<StateStamp, StoreError>;
    /// Makes another revision the active one, together with its grant, the configuration and the state that it needs, and
    /// keeps what was there before (see [`Predecessor`]) or, after going back to it, nothing. Answers with the new
    /// generation, or [`StoreError::Conflict`] where the plugin, its configuration or its state is no longer what was read;
    /// then nothing of it was done.
    async fn plugin_switch(&self, switch: &Switch) -> Result<u64, StoreError>;
    /// The predecessor of the last update, if a rollback to it is possible.
    async fn predecessor_fetch(&self, name: &PluginName) -> Result<Option<Predecessor>, StoreError>;
    /// The state as it was before the last update. Empty where that did not change it: see [`Predecessor::state_kept`].
    async fn predecessor_state(&self, name: &PluginName) -> Result<BTreeMap<String, Vec<u8>>, StoreError>;
}

/// A state at one moment, as far as two moments can be told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateStamp {
    /// Counts writes, each key that was set or removed as one.
    pub writes: u64,
    /// Bytes of all keys and values together.
    pub bytes: u64,
}

/// One version in the place of another.
#[derive(Clone, Debug)]
pub struct Switch {
    /// The plugin as it is to be; its active revision is `revision`.
    pub plugin: PluginRecord,
    /// The generation that was read.
    pub expected: u64,
    /// Kept as it is where it is there already.
    pub revision: RevisionRecord,
    /// None where it stays.
    pub grant: Option<GrantRecord>,
    /// None where it stays.
    pub configuration: Option<ConfigurationRevision>,
    /// None where it stays.
    pub state: Option<StateChange>,
    /// Whether what was there before can be gone back to.
    pub keeps: Keeps,
}

/// Whether what was there before a switch is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// All of it.
    Predecessor,
    /// The revision and the configuration.
    PredecessorWithoutState,
    Nothing,
}

/// Changes of a plugin's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The writes that had been when it was read; none where the changes do not depend on what was read.
    pub expected: Option<u64>,
    /// By key: the value that is to be there, or none.
    pub changes: BTreeMap<String, Option<Vec<u8>>>,
}

/// The predecessor of an update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predecessor {
    /// The revision that was active.
    pub digest: Digest,
    /// The revision of the configuration that was the present one; 0 where nothing was set.
    pub configuration: u64,
    /// Whether the update changed the state, and what it was before is kept.
    pub state_kept: bool,
    /// The writes that had been once the update was done. What is beyond was written by its successor.
    pub writes: u64,
    pub replaced_at: OffsetDateTime,
}
