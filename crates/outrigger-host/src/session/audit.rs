//! The audit log: listed, and verified from end to end.

use std::sync::Arc;

use async_trait::async_trait;
use outrigger_api::{ApiError, ApiResult, Audit, AuditCall, AuditHead, AuditInfo, AuditQuery, AuditVerification, Code};
use outrigger_engine::access::Right;
use outrigger_engine::audit::{self, AuditEntry, AuditRecord, GroupedCall, Head, Stage};
use outrigger_engine::store::{AuditFilter, Store, StoreError};

use super::{Session, page_size};
use crate::{convert, records};

/// Records read at once while verifying.
const PAGE: u32 = 1_000;

#[async_trait]
impl Audit for Session {
    async fn audit_list(&self, query: &AuditQuery) -> ApiResult<Vec<AuditInfo>> {
        self.require(Right::AUDIT_VIEW, "*")?;
        let (turn, asked) = (self.list_turn().await, filter(query)?);
        self.host.engine.flush_audit().await;
        let store = Arc::clone(self.host.engine.store());
        let read = async move { store.audit_list(&asked).await.map_err(convert::store_error) };
        let found = turn.read(read).await?;
        found.iter().map(info).collect()
    }

    async fn audit_verify(&self) -> ApiResult<AuditVerification> {
        self.require(Right::AUDIT_VIEW, "*")?;
        let engine = self.host.engine.clone();
        // It reads the whole log, so keys share the result.
        let verified = async move {
            engine.flush_audit().await;
            let AuditReading { head, records, pruned, fault } = read_audit_log(&**engine.store()).await?;
            let Head { sequence, hash } = head;
            let (whole, head) = (fault.is_none(), AuditHead { sequence, hash: hash.hex() });
            Ok(AuditVerification { whole, records, refusals_pruned: pruned, head, fault })
        };
        self.host.verification.get(self.accepted_age(), Box::pin(verified)).await
    }
}

/// The result of reading the whole log.
#[derive(Debug)]
pub(crate) struct AuditReading {
    /// Its head.
    pub(crate) head: Head,
    /// How many records there are.
    pub(crate) records: u64,
    /// How many refusals were pruned.
    pub(crate) pruned: u64,
    /// The first fault.
    pub(crate) fault: Option<String>,
}

/// Reads the whole log.
pub(crate) async fn read_audit_log(store: &dyn Store) -> ApiResult<AuditReading> {
    let mut reading = AuditReading { head: Head::EMPTY, records: 0, pruned: 0, fault: None };
    let mut after = None;
    loop {
        let page = match store.audit_read(after, PAGE).await {
            // Nothing that was written by us.
            Err(error @ StoreError::Corrupt { .. }) => {
                reading.fault = Some(error.to_string());
                return Ok(reading);
            }
            page => page.map_err(convert::store_error)?,
        };
        let Some(last) = page.last().map(|kept| kept.record.sequence) else { return Ok(reading) };
        match page.iter().try_fold(reading.head, audit::verify_kept) {
            Ok(end) => reading.head = end,
            Err(broken) => {
                reading.fault = Some(broken.to_string());
                return Ok(reading);
            }
        }
        reading.records += page.len() as u64;
        reading.pruned = last.saturating_sub(reading.records);
        after = Some(last);
    }
}

fn filter(query: &AuditQuery) -> ApiResult<AuditFilter> {
    let AuditQuery { actor, key, action, resource, correlation, allowed, code, since, until, before, limit } = query;
    Ok(AuditFilter {
        actor: actor.clone(),
        key: key.clone(),
        action: action.clone(),
        resource: resource.clone(),
        correlation: correlation.as_deref().map(records::correlation).transpose()?,
        allowed: *allowed,
        code: *code,
        since: *since,
        until: *until,
        before: *before,
        limit: page_size(*limit),
    })
}

fn info(record: &AuditRecord) -> ApiResult<AuditInfo> {
    let entry = record.entry().map_err(|error| {
        let message = format!("record {} of the audit log cannot be read: {error}", record.sequence);
        ApiError::new(Code::StoreFailed, message).with_hint("`outrigger audit verify` shows whether it was changed")
    })?;
    let count = entry.count();
    let AuditEntry {
        at,
        until,
        actor,
        key,
        action,
        resource,
        allowed,
        decision,
        stage,
        code,
        revision,
        before,
        after,
        correlation,
        calls,
        prunable: _,
    } = entry;
    let call = |call: GroupedCall| {
        let GroupedCall { actor, key, resource, code, count, correlations } = call;
        let correlations = correlations.iter().map(ToString::to_string).collect();
        AuditCall { actor, key, resource, code, count, correlations }
    };
    let stage = match stage {
        Stage::Intent => "intent",
        Stage::Done => "done",
        Stage::Group => "group",
    };
    Ok(AuditInfo {
        sequence: record.sequence,
        hash: record.hash.hex(),
        at,
        until,
        actor,
        key,
        action,
        resource,
        allowed,
        decision,
        stage: stage.to_owned(),
        count,
        code,
        revision,
        before,
        after,
        correlation: correlation.to_string(),
        calls: calls.into_iter().map(call).collect(),
    })
}
