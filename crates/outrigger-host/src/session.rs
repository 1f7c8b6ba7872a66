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
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::BoxFuture;
use outrigger_api::{ApiError, ApiResult, Code, DoctorReport, MetricsReport, Platform};
use outrigger_contract::excerpt::cut;
use outrigger_contract::{Digest, TraceContext};
use outrigger_engine::access::{Principal, Right};
use outrigger_engine::audit::{AuditEntry, Stage};
use outrigger_engine::{Caller, CorrelationId, Failure, correlation};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::host::Inner;
use crate::{convert, doctor};

pub(crate) use audit::{AuditReading, read_audit_log};

/// How long an answer waits for its entry in the audit log on a full disk, and between two tries.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

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
    kind: Kind,
}

/// How an act is written down, and what happens where there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// When it is done. Beyond the quota of its key it is refused.
    Changes,
    /// The same, and before, for it cannot be taken back.
    Destroys,
    /// When it is done. Programs do it as often as they call, so that it is counted beyond a rate, as calls are.
    Works,
}

impl<'a> Act<'a> {
    const fn new(right: Right, name: &'a str) -> Self {
        Self { right, name, kind: Kind::Changes }
    }

    const fn destroys(right: Right, name: &'a str) -> Self {
        Self { right, name, kind: Kind::Destroys }
    }

    const fn works(right: Right, name: &'a str) -> Self {
        Self { right, name, kind: Kind::Works }
    }
}

/// On a full disk an act that destroys takes so much of the quota: its entries are written into the reserve.
const UNITS_IN_RESERVE: u64 = 10;
/// The longest name in an entry, and the longest of what was there before or after, in bytes. What is longer is not shown, but
/// by its length and hash.
const LONGEST_NAME: usize = 256;
const LONGEST_TRACE: usize = 8 << 10;

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
    fn act<'s, T>(
        &'s self,
        act: Act<'s>,
        work: impl Future<Output = ApiResult<(T, Trace)>> + Send + 's,
    ) -> impl Future<Output = ApiResult<T>> + Send + 's
    where
        T: Send + 's,
    {
        // Boxed: the work is a large future.
        self.act_in(act, Box::pin(work))
    }

    async fn act_in<T>(&self, act: Act<'_>, work: BoxFuture<'_, ApiResult<(T, Trace)>>) -> ApiResult<T> {
        let Act { right, name, kind } = act;
        self.require(right, name)?;
        let (engine, caller) = (&self.host.engine, self.caller());
        let takes_no_writes = engine.store().write_fault().is_some();
        if kind != Kind::Works {
            let units = if kind == Kind::Destroys && takes_no_writes { UNITS_IN_RESERVE } else { 1 };
            engine.act_begin(&caller, units).map_err(|failure| self.over_quota(failure, right, name))?;
        }
        if kind == Kind::Destroys {
            engine.audit(self.entry(right, name, Stage::Intent)).await.map_err(convert::error)?;
        }
        let outcome = correlation::within(self.correlation, work).await;
        let mut entry = self.entry(right, name, Stage::Done);
        let outcome = match outcome {
            Ok((value, Trace { before, after, revision })) => {
                (entry.before, entry.after, entry.revision) = (before.map(shown), after.map(shown), revision);
                Ok(value)
            }
            Err(error) => {
                if kind == Kind::Changes {
                    engine.act_failed(&caller);
                }
                match error.code {
                    // Only the engine knew enough to refuse it, as for a job whose function the caller may not call.
                    Code::Forbidden => {
                        (entry.allowed, entry.prunable, entry.decision) = (false, true, Some(error.message.clone()));
                        engine.audit_soon(entry);
                        return Err(error);
                    }
                    // It was refused before anything was done, as all writes are for now, which the process's own log says.
                    // Entries of each would use up the space that is reserved for what is done.
                    code if takes_no_writes && kind != Kind::Destroys && is_of_the_disk(code) => return Err(error),
                    code => entry.code = Some(code),
                }
                // What was written down before it was done has an end of its own.
                if kind != Kind::Destroys {
                    engine.audit_failed(entry).await;
                    return Err(error);
                }
                Err(error)
            }
        };
        match kind {
            Kind::Works => {
                if let Err(failure) = engine.audit_as_call(&caller, entry.clone()).await {
                    self.write_down_later(entry, &failure);
                }
            }
            Kind::Changes | Kind::Destroys => {
                engine.act_done(&caller, &entry);
                let patience = if outcome.is_ok() { PATIENCE } else { Duration::ZERO };
                self.write_down(entry, patience).await;
            }
        }
        outcome
    }

    /// Writes down what was done. A disk that has just become full has room for it as soon as the reserved space is released.
    async fn write_down(&self, entry: AuditEntry, patience: Duration) {
        let deadline = Instant::now() + patience;
        while let Err(failure) = self.host.engine.audit(entry.clone()).await {
            if Instant::now() >= deadline || !is_of_the_disk(failure.code) {
                self.write_down_later(entry, &failure);
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// It is done, and the caller is told so; that it could not be written down is the operator's to know, and tried again.
    fn write_down_later(&self, entry: AuditEntry, failure: &Failure) {
        let AuditEntry { action, resource, correlation, .. } = &entry;
        tracing::error!(%failure, action, resource, %correlation, "failed to write an audit record; retrying");
        self.host.engine.audit_soon(entry);
    }

    /// Refuses what goes beyond the quota of a key. That is counted as refusals are.
    fn over_quota(&self, failure: Failure, right: Right, name: &str) -> ApiError {
        let mut entry = self.entry(right, name, Stage::Done);
        (entry.allowed, entry.prunable) = (false, true);
        (entry.decision, entry.code) = (Some(failure.message.clone()), Some(failure.code));
        self.host.engine.audit_soon(entry);
        convert::error(failure)
    }

    fn entry(&self, right: Right, name: &str, stage: Stage) -> AuditEntry {
        let caller = self.caller();
        AuditEntry {
            at: OffsetDateTime::now_utc(),
            actor: caller.to_string(),
            key: caller.key().map(str::to_owned),
            action: right.to_string(),
            resource: cut(name.to_owned(), LONGEST_NAME),
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

/// What the audit log shows of what was there before or after.
fn shown(value: Value) -> Value {
    let text = value.to_string();
    if text.len() <= LONGEST_TRACE {
        return value;
    }
    json!({"omitted": {"bytes": text.len(), "digest": Digest::of(text.as_bytes())}})
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
