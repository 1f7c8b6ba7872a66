//! The audit log in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use outrigger_contract::Code;
use outrigger_engine::audit::{AuditEntry, AuditRecord, Head, KeptRecord, Part};
use outrigger_engine::store::{AuditFilter, AuditStore, Bound, StoreError};

use super::MemoryStore;
use super::prune::{Droppable, kept};
use crate::audit::chain;
use crate::entities::audit::size;
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
        let last = self.records.last().map_or(0, |(_, record)| record.sequence);
        let (records, head) = chain(self.head, last, entries)?;
        self.records.extend(entries.iter().cloned().zip(records));
        self.head = head;
        Ok(head)
    }

    /// Prunes refusals above the retention limits, but never the newest record, whose sequence the next one follows.
    pub(super) fn prune(&mut self, bound: &Bound) -> usize {
        let newest = self.records.last().map(|(_, record)| record.sequence);
        let refusals = self.records.iter().filter(|(entry, _)| entry.prunable).map(|(entry, record)| {
            let (size, stays) = (size(&record.text), Some(record.sequence) == newest);
            (record.sequence, Droppable { owner: entry.owner(), at: entry.at, size, stays })
        });
        let (numbers, refusals): (Vec<u64>, Vec<_>) = refusals.unzip();
        let kept = kept(bound, &refusals).into_iter().zip(numbers);
        let gone: BTreeSet<u64> = kept.filter(|(kept, _)| !kept).map(|(_, number)| number).collect();
        self.records.retain(|(_, record)| !gone.contains(&record.sequence));
        gone.len()
    }
}

fn matches(filter: &AuditFilter, entry: &AuditEntry, record: &AuditRecord) -> bool {
    let AuditFilter { since, until, before, limit: _, .. } = filter;
    let itself = Part {
        actor: entry.actor.clone(),
        key: entry.key.clone(),
        action: entry.action.clone(),
        resource: entry.resource.clone(),
        allowed: entry.allowed,
        code: entry.code.map(Code::as_str),
        correlation: Some(entry.correlation),
    };
    since.is_none_or(|since| entry.until.unwrap_or(entry.at) >= since)
        && until.is_none_or(|until| entry.at < until)
        && before.is_none_or(|before| record.sequence < before)
        && (is_asked_for(filter, &itself) || entry.parts().iter().any(|part| is_asked_for(filter, part)))
}

fn is_asked_for(filter: &AuditFilter, part: &Part) -> bool {
    let AuditFilter { actor, key, action, resource, correlation, allowed, code, .. } = filter;
    actor.as_ref().is_none_or(|actor| *actor == part.actor)
        && key.as_ref().is_none_or(|key| Some(key) == part.key.as_ref())
        && action.as_ref().is_none_or(|action| *action == part.action)
        && resource.as_ref().is_none_or(|resource| *resource == part.resource)
        && correlation.is_none_or(|correlation| Some(correlation) == part.correlation)
        && allowed.is_none_or(|allowed| allowed == part.allowed)
        && code.is_none_or(|code| Some(code.as_str()) == part.code)
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
        let after = after.unwrap_or(0);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let wanted = tables.audit.records.iter().filter(|(_, record)| record.sequence > after).take(limit);
        Ok(wanted.map(|(_, record)| KeptRecord { record: record.clone(), differs: None }).collect())
    }

    async fn audit_head(&self) -> Result<Head, StoreError> {
        Ok(self.tables.lock().audit.head)
    }
}
