//! The engine's persistent data, and the trait of its stores. Methods are named noun first; each is one transaction:
//! when it returns, what it wrote is durable, and a process that dies in between leaves nothing of it.

mod access;
mod audit;
mod configuration;
mod events;
mod health;
mod hooks;
mod jobs;
mod keep;
mod records;
mod requests;
mod templates;
mod updates;
mod usage;
mod webhooks;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use async_trait::async_trait;
use outrigger_contract::{Code, Digest, FunctionName, Grant, Manifest, PluginName};
use semver::Version;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use access::{AccessStore, KeyRecord};
pub use audit::{AuditFilter, AuditStore};
pub use configuration::{
    CONFIGURATION_BYTES_KEPT, CONFIGURATION_REVISIONS_KEPT, ConfigurationRecord, ConfigurationRevision,
    ConfigurationRewrite, ConfigurationStore,
};
pub use events::{EventFilter, EventStore};
pub use health::HealthStore;
pub use hooks::HookStore;
pub use jobs::{JobFilter, JobStore};
pub use keep::{Amount, Bound, Keep, Owner, Share, fair_shares};
pub use records::{CacheOutcome, LogRecord, ROW_BYTES, RecordBatch, RecordFilter, RunRecord, RunSum, StatisticsRow};
pub use requests::{RequestProgress, RequestRecord, RequestStore};
pub use templates::{TemplateMade, TemplateRecord, TemplateStore, TemplateSummary};
pub use updates::{Keeps, Predecessor, StateChange, StateStamp, Switch, UpdateStore};
pub use usage::{Usage, UsageFilter, UsageKey, UsageRecord, UsageStore};
pub use webhooks::{DeliveryFilter, MOVED, SWITCHED_OFF, WebhookStore};

use crate::lifecycle::PluginState;
use crate::runtime::Inspection;

/// Keeps plugins, grants, configuration, state and records.
#[async_trait]
pub trait Store:
    AccessStore
    + AuditStore
    + ConfigurationStore
    + HookStore
    + JobStore
    + EventStore
    + WebhookStore
    + UpdateStore
    + TemplateStore
    + HealthStore
    + RequestStore
    + UsageStore
    + Debug
    + Send
    + Sync
{
    /// All plugins with a summary of their active revision, by name. Reads no manifests and no types: it stays quick
    /// with thousands.
    async fn plugin_list(&self) -> Result<Vec<(PluginRecord, RevisionSummary)>, StoreError>;
    /// One plugin.
    async fn plugin_fetch(&self, name: &PluginName) -> Result<Option<PluginRecord>, StoreError>;
    /// Writes a plugin together with a revision (kept if it is there already) and, where given, its grant.
    /// `expected` is the generation that was read, 0 for a plugin that must not exist yet.
    /// Answers with the new generation, or [`StoreError::Conflict`]: also where the active revision, or the one granted to,
    /// is neither given nor there.
    async fn plugin_put(
        &self,
        plugin: &PluginRecord,
        revision: Option<&RevisionRecord>,
        grant: Option<&GrantRecord>,
        expected: u64,
    ) -> Result<u64, StoreError>;
    /// The same for a plugin that must not exist yet, together with the configuration that it begins with, if it has one.
    async fn plugin_create(
        &self,
        plugin: &PluginRecord,
        revision: &RevisionRecord,
        grant: &GrantRecord,
        configuration: Option<&ConfigurationRevision>,
    ) -> Result<u64, StoreError>;
    /// Removes a plugin with its revisions, grants, configuration, state and statistics; its runs and logs stay.
    /// Answers whether it was there.
    async fn plugin_delete(&self, name: &PluginName) -> Result<bool, StoreError>;

    /// A revision with its manifest and types.
    async fn revision_fetch(&self, digest: &Digest) -> Result<Option<RevisionRecord>, StoreError>;
    /// Whether there is such a revision. Reads none of it.
    async fn revision_exists(&self, digest: &Digest) -> Result<bool, StoreError>;
    /// All revisions of a plugin, the newest first.
    async fn revision_list(&self, name: &PluginName) -> Result<Vec<RevisionSummary>, StoreError>;
    /// Removes a revision, with its grant. Answers whether it was there; the active one is a [`StoreError::Conflict`], and so
    /// is the one that can be gone back to (see [`Predecessor`]).
    async fn revision_delete(&self, digest: &Digest) -> Result<bool, StoreError>;

    /// The grant of a digest.
    async fn grant_fetch(&self, digest: &Digest) -> Result<Option<GrantRecord>, StoreError>;
    /// The grants of all kept revisions.
    async fn grant_list(&self) -> Result<Vec<GrantRecord>, StoreError>;
    /// Folders that a grant ever let a plugin write to, also after the grant is gone: resolved, ending in `/`. Those in
    /// another one can be left out.
    async fn writable_folder_list(&self) -> Result<Vec<String>, StoreError>;

    /// The value at a key of a plugin's state.
    async fn state_get(&self, name: &PluginName, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Writes to a plugin's state. `capacity` bounds the bytes of all its keys and values together.
    /// A plugin that is not there is a [`StoreError::Conflict`].
    async fn state_set(
        &self,
        name: &PluginName,
        write: StateWrite<'_>,
        capacity: u64,
    ) -> Result<StateOutcome, StoreError>;
    /// Removes a key.
    async fn state_delete(&self, name: &PluginName, key: &str) -> Result<(), StoreError>;
    /// Keys that begin with `prefix` (byte for byte), in order, at most `limit`.
    async fn state_keys(&self, name: &PluginName, prefix: &str, limit: u32) -> Result<Vec<String>, StoreError>;

    /// Appends a batch of records, all or nothing. A run that exists already is a [`StoreError::Conflict`], except merged
    /// runs, which are added to the stored run with their id. Statistics of a removed plugin are left out: a call may end
    /// after its plugin.
    async fn record_append(&self, batch: &RecordBatch) -> Result<(), StoreError>;
    /// Runs that match, the newest first.
    async fn run_list(&self, filter: &RecordFilter) -> Result<Vec<RunRecord>, StoreError>;
    /// Log lines that match, the newest first.
    async fn log_list(&self, filter: &RecordFilter) -> Result<Vec<LogRecord>, StoreError>;
    /// Statistics since the plugin was installed: of one plugin, or of all.
    async fn statistics_list(&self, name: Option<&PluginName>) -> Result<Vec<StatisticsRow>, StoreError>;
    /// Drops the statistics of all functions of a plugin but these.
    async fn statistics_retain(&self, name: &PluginName, functions: &BTreeSet<FunctionName>) -> Result<(), StoreError>;
    /// Prunes runs, log lines, finished jobs, requests and refusals above the retention limits: a few at a time, so
    /// that others can write in between. Returns their number.
    async fn prune(&self, keep: &Keep) -> Result<u64, StoreError>;

    /// Kept and dropped records of each account, by kind and account.
    async fn share_list(&self) -> Result<Vec<Share>, StoreError>;

    /// Why writes are refused; none while writes are accepted.
    fn write_fault(&self) -> Option<WriteFault> {
        None
    }
    /// Free disk space for this process, in bytes; none if unknown.
    fn free_bytes(&self) -> Option<u64> {
        None
    }
    /// Writes something that changes nothing: proof that it can be written to. Takes as long whatever there is in it.
    async fn touch(&self) -> Result<(), StoreError>;
    /// Checks that the store is intact and can be written to; returns the findings, for people. Reads all of it.
    async fn check(&self) -> Result<String, StoreError>;
    /// Writes a copy to a path at which there is nothing yet: as the store was at one moment, while others go on writing.
    /// A store that keeps nothing on disk is [`StoreError::Unsupported`].
    async fn copy(&self, to: &Path) -> Result<(), StoreError>;
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It was changed since it was read, or is there already.
    #[error("{what} was changed by someone else in the meantime")]
    Conflict {
        /// The object, such as `the plugin pricing`.
        what: String,
    },
    /// The stored data cannot be parsed, for example because a newer version wrote it.
    #[error("{what} cannot be read: {reason}")]
    Corrupt {
        /// Which record.
        what: String,
        /// In what way.
        reason: String,
    },
    /// This kind of store cannot do it at all.
    #[error("this store cannot {action}")]
    Unsupported {
        /// The requested action.
        action: &'static str,
    },
    /// Writes are refused at present. Nothing was done.
    #[error("the database has not been writable since {}: {} ({})", shown(&.0.since), .0.kind.as_str(), .0.reason)]
    Unwritable(WriteFault),
    /// The database did not do it.
    #[error("database error: failed to {action}")]
    Database {
        /// The attempted action, such as `list the plugins`.
        action: &'static str,
        /// The driver's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// The code of the table.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Conflict { .. } => Code::Conflict,
            Self::Unsupported { .. } => Code::Unsupported,
            Self::Unwritable(WriteFault { kind: WriteFaultKind::Full, .. }) => Code::DiskFull,
            Self::Unwritable(WriteFault { kind: WriteFaultKind::ReadOnly, .. }) => Code::StoreReadOnly,
            Self::Corrupt { .. } | Self::Database { .. } | Self::Unwritable(_) => Code::StoreFailed,
        }
    }
}

/// Why a store cannot be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteFault {
    pub kind: WriteFaultKind,
    /// The driver's message for the last failure.
    pub reason: String,
    /// When the first write failed.
    pub since: OffsetDateTime,
}

/// Why a store refuses writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFaultKind {
    /// The disk is full. Deletions may still be possible.
    Full,
    /// The database file or its file system is read-only.
    ReadOnly,
    /// The disk failed in another way.
    Failed,
}

impl WriteFaultKind {
    /// A text for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "the disk is full",
            Self::ReadOnly => "it is read-only",
            Self::Failed => "the disk is failing",
        }
    }
}

fn shown(at: &OffsetDateTime) -> String {
    let at = at.replace_nanosecond(0).unwrap_or(*at);
    at.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

/// An installed plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginRecord {
    pub name: PluginName,
    /// The revision that takes calls, or would.
    pub active: Digest,
    /// Where it stands. What is stored is what was last reached; what runs is decided at start.
    pub state: PluginState,
    /// Why it stands there, where that needs saying: the message of a failure.
    pub reason: Option<String>,
    pub installed_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    /// Counts writes; guards against two writers.
    pub generation: u64,
}

/// The summary of a revision for lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisionSummary {
    pub digest: Digest,
    pub plugin: PluginName,
    pub version: Version,
    pub title: String,
    pub description: String,
    pub categories: Vec<String>,
    /// How many functions can be called.
    pub functions: u32,
    pub installed_at: OffsetDateTime,
}

/// A revision: one immutable package, by its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisionRecord {
    pub digest: Digest,
    pub manifest: Manifest,
    pub inspection: Inspection,
    /// Where the package came from, for a person to read.
    pub source: String,
    pub installed_at: OffsetDateTime,
}

impl RevisionRecord {
    /// The part that lists show.
    #[must_use]
    pub fn summary(&self) -> RevisionSummary {
        RevisionSummary {
            digest: self.digest,
            plugin: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            title: self.manifest.title.clone(),
            description: self.manifest.description.clone(),
            categories: self.manifest.categories.iter().map(ToString::to_string).collect(),
            functions: u32::try_from(self.inspection.graph.functions.len()).unwrap_or(u32::MAX),
            installed_at: self.installed_at,
        }
    }
}

/// The grant that an administrator approved for one digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrantRecord {
    pub digest: Digest,
    pub grant: Grant,
    /// The approver.
    pub granted_by: String,
    pub granted_at: OffsetDateTime,
}

/// One write to a plugin's state.
#[derive(Clone, Copy, Debug)]
pub struct StateWrite<'a> {
    pub key: &'a str,
    pub value: &'a [u8],
    /// Write only where the present value is this one.
    pub expected: Expected<'a>,
}

/// The precondition of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    Anything,
    Nothing,
    Value(&'a [u8]),
}

/// The outcome of a write to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateOutcome {
    Written,
    /// The present value is not the one expected.
    Changed,
    /// It would have taken this many bytes in all.
    OverCapacity(u64),
}
