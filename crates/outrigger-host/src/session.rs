//! What one caller can ask: each method of the platform, with the right that it takes. What is refused is audited, and so is
//! whatever changes something, with what was there before and after.

mod access;
mod audit;
mod backups;
mod configurations;
mod events;
mod functions;
pub(crate) mod health;
mod hooks;
mod jobs;
mod plugins;
mod records;
mod templates;
mod uploads;
mod webhooks;

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use outrigger_api::{ApiError, ApiResult, Code, DoctorReport, MetricsReport, Platform};
use outrigger_contract::TraceContext;
use outrigger_engine::access::{Principal, Right};
use outrigger_engine::audit::{AuditEntry, Stage};
use outrigger_engine::{Caller, CorrelationId, Failure, correlation};
use serde_json::Value;
use time::OffsetDateTime;

use crate::host::Inner;
use crate::{convert, doctor};

pub(crate) use audit::{AuditReading, read_audit_log};

/// The platform for one caller.
#[derive(Clone, Debug)]
pub struct Session {
    host: Arc<Inner>,
    who: Who,
    correlation: CorrelationId,
    /// Where what is asked stands in a trace.
    trace: Option<TraceContext>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// Whoever can open the data directory: its administrator.
    Local,
    Key(Arc<Principal>),
}

/// Something that changes something.
#[derive(Clone, Copy, Debug)]
struct Act<'a> {
    right: Right,
    /// What it is done to; `*` for what has no name.
    name: &'a str,
    /// It cannot be taken back, so it is written down before it is done.
    destroys: bool,
}

impl<'a> Act<'a> {
    const fn new(right: Right, name: &'a str) -> Self {
        Self { right, name, destroys: false }
    }

    const fn destroys(right: Right, name: &'a str) -> Self {
        Self { right, name, destroys: true }
    }
}

/// What was there before and after something was done; secrets are left out by whoever makes it.
#[derive(Clone, Debug, Default)]
struct Trace {
    before: Option<Value>,
    after: Option<Value>,
    revision: Option<String>,
}

impl Session {
    pub(crate) const fn new(
        host: Arc<Inner>,
        who: Who,
        correlation: CorrelationId,
        trace: Option<TraceContext>,
    ) -> Self {
        Self { host, who, correlation, trace }
    }

    /// As the engine knows the caller.
    fn caller(&self) -> Caller {
        match &self.who {
            Who::Local => Caller::Local,
            Who::Key(principal) => Caller::Key(Arc::clone(principal)),
        }
    }

    fn may(&self, right: Right, name: &str) -> bool {
        match &self.who {
            Who::Local => true,
            Who::Key(principal) => principal.may(right, name),
        }
    }

    /// Refuses who lacks the right.
    fn require(&self, right: Right, name: &str) -> ApiResult<()> {
        match &self.who {
            Who::Key(principal) if !principal.may(right, name) => Err(self.refuse(principal, right, name)),
            _ => Ok(()),
        }
    }

    /// Refuses who has the right over nothing at all. Lists then show what the caller may see.
    fn require_some(&self, right: Right) -> ApiResult<()> {
        match &self.who {
            Who::Key(principal) if !principal.may_some(right) => Err(self.refuse(principal, right, "*")),
            _ => Ok(()),
        }
    }

    fn refuse(&self, principal: &Principal, right: Right, name: &str) -> outrigger_api::ApiError {
        let failure = Failure::forbidden(principal, right, name);
        let mut entry = self.entry(right, name, Stage::Done);
        (entry.allowed, entry.prunable, entry.decision) = (false, true, Some(failure.message.clone()));
        self.host.engine.audit_soon(entry);
        convert::error(failure)
    }

    /// Does something that changes something, and writes down that it was done and what came of it.
    async fn act<T>(&self, act: Act<'_>, work: impl Future<Output = ApiResult<(T, Trace)>> + Send) -> ApiResult<T> {
        let Act { right, name, destroys } = act;
        self.require(right, name)?;
        let takes_no_writes = self.host.engine.store().write_fault().is_some();
        if destroys {
            let intent = self.entry(right, name, Stage::Intent);
            self.host.engine.audit(intent).await.map_err(convert::error)?;
        }
        let outcome = correlation::within(self.correlation, work).await;
        let mut entry = self.entry(right, name, Stage::Done);
        let outcome = match outcome {
            Ok((value, Trace { before, after, revision })) => {
                (entry.before, entry.after, entry.revision) = (before, after, revision);
                Ok(value)
            }
            // Only the engine knew enough to refuse it, as for a job whose function the caller may not call.
            Err(error) if error.code == Code::Forbidden => {
                (entry.allowed, entry.prunable, entry.decision) = (false, true, Some(error.message.clone()));
                self.host.engine.audit_soon(entry);
                return Err(error);
            }
            // Refused before anything was done, like all writes at present, which the server's log reports. Records of
            // each would use up the reserved space.
            Err(error) if takes_no_writes && !destroys && is_of_the_disk(error.code) => return Err(error),
            Err(error) => {
                entry.code = Some(error.code);
                Err(error)
            }
        };
        let written = self.host.engine.audit(entry.clone()).await;
        // It is done, and the caller is told so; that it could not be written down is the operator's to know, and tried again.
        if let Err(failure) = written {
            tracing::error!(%failure, action = %right, name, correlation = %self.correlation, "not in the audit log yet");
            self.host.engine.audit_soon(entry);
        }
        outcome
    }

    fn entry(&self, right: Right, name: &str, stage: Stage) -> AuditEntry {
        let caller = self.caller();
        AuditEntry {
            at: OffsetDateTime::now_utc(),
            actor: caller.to_string(),
            key: caller.key().map(str::to_owned),
            action: right.to_string(),
            resource: name.to_owned(),
            allowed: true,
            decision: None,
            stage,
            code: None,
            revision: None,
            before: None,
            after: None,
            correlation: self.correlation,
            calls: Vec::new(),
            until: None,
            prunable: false,
        }
    }
}

const fn is_of_the_disk(code: Code) -> bool {
    matches!(code, Code::DiskFull | Code::StoreReadOnly | Code::StoreFailed)
}

#[async_trait]
impl Platform for Session {
    fn admit(&self, right: &str, name: Option<&str>) -> ApiResult<()> {
        // Routes name existing rights; nobody has an unknown one.
        let right = right.parse::<Right>().map_err(|unknown| ApiError::new(Code::Internal, unknown.to_string()))?;
        match name {
            Some(name) => self.require(right, name),
            None => self.require_some(right),
        }
    }

    async fn doctor(&self) -> ApiResult<DoctorReport> {
        self.require(Right::SYSTEM_VIEW, "*")?;
        Ok(doctor::examine(&self.host.engine, &self.host.packages, &self.host.overrides).await)
    }

    async fn metrics(&self) -> ApiResult<MetricsReport> {
        self.require(Right::SYSTEM_VIEW, "*")?;
        crate::records::metrics(&self.host.engine).await
    }

    async fn close(&self) -> ApiResult<()> {
        if matches!(self.who, Who::Local) {
            // A complete shutdown matters more than the time a key was last used.
            if let Err(error) = self.host.keys.close().await {
                tracing::warn!(%error, "failed to record when keys were last used");
            }
            self.host.engine.shutdown().await;
            if let Some(telemetry) = &self.host.telemetry {
                telemetry.close().await;
            }
        }
        Ok(())
    }
}
