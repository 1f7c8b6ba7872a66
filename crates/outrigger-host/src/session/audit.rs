//! The audit log: listed, and verified from end to end.

use async_trait::async_trait;
use outrigger_api::{ApiError, ApiResult, Audit, AuditCall, AuditHead, AuditInfo, AuditQuery, AuditVerification, Code};
use outrigger_engine::access::Right;
use outrigger_engine::audit::{self, AuditEntry, AuditRecord, GroupedCall, Head, Stage};
use outrigger_engine::store::{AuditFilter, Store, StoreError};

use super::Session;
use crate::{convert, records};

/// Records read at once while verifying.
const PAGE: u32 = 1_000;

#[async_trait]
impl Audit for Session {
    async fn audit_list(&self, query: &AuditQuery) -> ApiResult<Vec<AuditInfo>> {
        self.require(Right::AUDIT_VIEW, "*")?;
        self.host.engine.flush().await;
        let found = self.host.engine.store().audit_list(&filter(query)?).await.map_err(convert::store_error)?;
        found.iter().map(info).collect()
    }

    async fn audit_verify(&self) -> ApiResult<AuditVerification> {
        self.require(Right::AUDIT_VIEW, "*")?;
        self.host.engine.flush().await;
        let (head, fault) = read_audit_log(&**self.host.engine.store()).await?;
        let Head { sequence, hash } = head;
        let whole = fault.is_none();
        Ok(AuditVerification { whole, records: sequence, head: AuditHead { sequence, hash: hash.hex() }, fault })
    }
}

/// Reads the whole log: where it ends, and the first fault in it.
pub(crate) async fn read_audit_log(store: &dyn Store) -> ApiResult<(Head, Option<String>)> {
    let (mut head, mut after) = (Head::EMPTY, None);
    loop {
        let page = match store.audit_read(after, PAGE).await {
            // Nothing that was written by us.
            Err(error @ StoreError::Corrupt { .. }) => return Ok((head, Some(error.to_string()))),
            page => page.map_err(convert::store_error)?,
        };
        if page.is_empty() {
            return Ok((head, None));
        }
        match page.iter().try_fold(head, audit::verify_kept) {
            Ok(end) => (head, after) = (end, Some(end.sequence)),
            Err(broken) => return Ok((head, Some(broken.to_string()))),
        }
    }
}

fn filter(query: &AuditQuery) -> ApiResult<AuditFilter> {
    let AuditQuery { actor, action, resource, correlation, allowed, since, until, before, limit } = query;
    Ok(AuditFilter {
        actor: actor.clone(),
        action: action.clone(),
        resource: resource.clone(),
        correlation: correlation.as_deref().map(records::correlation).transpose()?,
        allowed: *allowed,
        since: *since,
        until: *until,
        before: *before,
        limit: if *limit == 0 { 100 } else { (*limit).min(1_000) },
    })
}

fn info(record: &AuditRecord) -> ApiResult<AuditInfo> {
    let entry = record.entry().map_err(|error| {
        let message = format!("record {} of the audit log cannot be read: {error}", record.sequence);
        ApiError::new(Code::StoreFailed, message).with_hint("`outrigger audit verify` says whether it was changed")
    })?;
    let AuditEntry {
        at,
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
    } = entry;
    let call = |call: GroupedCall| {
        let GroupedCall { actor, function, code, correlation } = call;
        AuditCall { actor, function, code, correlation: correlation.to_string() }
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
        actor,
        key,
        action,
        resource,
        allowed,
        decision,
        stage: stage.to_owned(),
        code,
        revision,
        before,
        after,
        correlation: correlation.to_string(),
        calls: calls.into_iter().map(call).collect(),
    })
}
