//! The audit log in memory.

use async_trait::async_trait;
use outrigger_engine::audit::{AuditEntry, AuditRecord, Head, KeptRecord};
use outrigger_engine::store::{AuditFilter, AuditStore, StoreError};

use super::MemoryStore;
use crate::audit::chain;
use crate::records;

/// The chain, each record beside the entry that it is of.
#[derive(Debug)]
pub(super) struct Log {
    records: Vec<(AuditEntry, AuditRecord)>,
    head: Head,
}

impl Default for Log {
    fn default() -> Self {
        Self { records: Vec::new(), head: Head::EMPTY }
    }
}

impl Log {
    /// Appends all of the entries or, where one cannot be written, none.
    pub(super) fn append(&mut self, entries: &[AuditEntry]) -> Result<Head, StoreError> {
        let (records, head) = chain(self.head, entries)?;
        self.records.extend(entries.iter().cloned().zip(records));
        self.head = head;
        Ok(head)
    }
}

fn matches(filter: &AuditFilter, entry: &AuditEntry, record: &AuditRecord) -> bool {
    let AuditFilter { actor, action, resource, correlation, allowed, since, until, before, limit: _ } = filter;
    actor.as_ref().is_none_or(|actor| *actor == entry.actor)
        && action.as_ref().is_none_or(|action| *action == entry.action)
        && resource.as_ref().is_none_or(|resource| *resource == entry.resource)
        && correlation.is_none_or(|correlation| correlation == entry.correlation)
        && allowed.is_none_or(|allowed| allowed == entry.allowed)
        && since.is_none_or(|since| entry.at >= since)
        && until.is_none_or(|until| entry.at < until)
        && before.is_none_or(|before| record.sequence < before)
}

#[async_trait]
impl AuditStore for MemoryStore {
    async fn audit_append(&self, entries: &[AuditEntry]) -> Result<Head, StoreError> {
        self.tables.lock().audit.append(entries)
    }

    async fn audit_list(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>, StoreError> {
        let tables = self.tables.lock();
        let wanted = tables.audit.records.iter().rev().filter(|(entry, record)| matches(filter, entry, record));
        let limit = usize::try_from(records::limit_of(filter.limit)).unwrap_or(usize::MAX);
        Ok(wanted.take(limit).map(|(_, record)| record.clone()).collect())
    }

    async fn audit_read(&self, after: Option<u64>, limit: u32) -> Result<Vec<KeptRecord>, StoreError> {
        let tables = self.tables.lock();
        let after = usize::try_from(after.unwrap_or(0)).unwrap_or(usize::MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        // The first record has the number 1, so as many stand before those wanted as the number says.
        let wanted = tables.audit.records.iter().skip(after).take(limit);
        Ok(wanted.map(|(_, record)| KeptRecord { record: record.clone(), differs: None }).collect())
    }

    async fn audit_head(&self) -> Result<Head, StoreError> {
        Ok(self.tables.lock().audit.head)
    }
}
