//! The audit log, as it is kept: append-only, each record bound to the one before it.

use async_trait::async_trait;
use outrigger_contract::Code;
use time::OffsetDateTime;

use super::StoreError;
use crate::audit::{AuditEntry, AuditRecord, Head, KeptRecord};
use crate::correlation::CorrelationId;

/// Stores the audit log. Records cannot be changed, and chained records cannot be removed; refusals are pruned by
/// [`super::Store::prune`].
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends entries in their order, all or nothing, each chained to the one before; see [`crate::audit`]. Answers with
    /// the head of the chain afterwards. Other processes may append in between: the chain has one order, the one in
    /// which transactions were made.
    async fn audit_append(&self, entries: &[AuditEntry]) -> Result<Head, StoreError>;
    /// Records that match, or groups with a matching item, newest first.
    async fn audit_list(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>, StoreError>;
    /// At most `limit` records behind this sequence number, or from the lowest on, the oldest first: for reading the chain from
    /// end to end. Each is held against what is kept beside it.
    async fn audit_read(&self, after: Option<u64>, limit: u32) -> Result<Vec<KeptRecord>, StoreError>;
    /// The sequence and hash of the last chained record.
    async fn audit_head(&self) -> Result<Head, StoreError>;
}

/// Which records to list. All given fields must match the record, or one item of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Who, as the entry has it: `local`, `key ci-deploy`, `plugin pricing.quote`.
    pub actor: Option<String>,
    /// The id of a key.
    pub key: Option<String>,
    /// A right, such as `plugin_create`.
    pub action: Option<String>,
    /// The object, such as `pricing` or `pricing.quote`.
    pub resource: Option<String>,
    pub correlation: Option<CorrelationId>,
    /// Only what was allowed, or only what was denied.
    pub allowed: Option<bool>,
    /// The code of the failure.
    pub code: Option<Code>,
    /// From this moment on.
    pub since: Option<OffsetDateTime>,
    /// Before this moment.
    pub until: Option<OffsetDateTime>,
    /// Only records before this sequence number, for the next page.
    pub before: Option<u64>,
    /// At most this many; 0 for 1,000.
    pub limit: u32,
}
