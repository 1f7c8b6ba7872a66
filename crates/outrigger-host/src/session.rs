//! The operations of one caller: each method of the platform, with the right that it requires. Refusals are audited,
//! and so are changes, with the values before and after.

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
use outrigger_compute::Turn;
use outrigger_contract::excerpt::cut;
use outrigger_contract::{Digest, TraceContext};
use outrigger_engine::access::{Principal, Right};
use outrigger_engine::audit::{AuditEntry, Stage};
use outrigger_engine::{Caller, CorrelationId, Failure, correlation};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::host::Inner;
use crate::latest::RECENT;
use crate::{convert, doctor};

pub(crate) use audit::{AuditReading, read_audit_log};
pub(crate) use backups::prepare_folder;

/// How long a response waits for its audit record on a full disk, and the pause between two attempts.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// The platform for one caller.
#[derive(Clone, Debug)]
pub struct Session {
    host: Arc<Inner>,
    who: Who,
    correlation: CorrelationId,
    /// The trace context of the request.
    trace: Option<TraceContext>,
}

/// The caller.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// The administrator: the user that can open the data directory.
    Local,
    Key(Arc<Principal>),
}

/// Something that changes something.
#[derive(Clone, Copy, Debug)]
struct Act<'a> {
    right: Right,
    /// The resource; `*` for operations without a name.
    name: &'a str,
    kind: Kind,
}

/// How a change is recorded, and what happens above the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Recorded when it is done. Refused above the quota of its key.
    Changes,
    /// Like `Changes`, with another record before it, because it cannot be undone.
    Destroys,
    /// Recorded when it is done. As frequent as calls, so it is aggregated above a rate, like calls.
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

/// The number of changes that a destructive change counts as on a full disk: its records use the reserve.
const UNITS_IN_RESERVE: u64 = 10;
/// Maximum size of a name in a record, and of the values before and after a change, in bytes. For longer values the
/// record shows length and hash.
const LONGEST_NAME: usize = 256;
const LONGEST_TRACE: usize = 8 << 10;
/// Maximum size of a list of events, jobs or log lines, in bytes of payloads, arguments or text. A longer list ends
/// early. A single entry is much smaller.
const LONGEST_LIST: usize = 4 << 20;

/// A turn to read a long list from the database. None for the administrator, who does not wait.
#[derive(Debug)]
struct ListTurn(Option<Arc<Turn>>);

impl ListTurn {
    /// Reads a part of the list. The database does not stop in the middle of a statement, so the turn lasts until the
    /// part is read, even if the client leaves.
    async fn read<T: Send + 'static>(&self, part: impl Future<Output = ApiResult<T>> + Send + 'static) -> ApiResult<T> {
        let Some(turn) = self.0.clone() else { return part.await };
        let task = tokio::spawn(async move {
            let read = part.await;
            drop(turn);
            read
        });
        match task.await {
            Ok(read) => read,
            Err(error) => Err(ApiError::new(Code::Internal, format!("a background task failed: {error}"))),
        }
    }
}

/// The values before and after a change; callers leave out secrets.
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

    /// Does work on this many bytes of text. Checking a long text takes milliseconds, so that happens in the pool for
    /// long computations, in the turn of the caller.
    async fn converted<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> ApiResult<T> {
        const SHORT: usize = 256 << 10;
        if bytes <= SHORT {
            return Ok(work());
        }
        let converted = outrigger_compute::blocking(&self.turn_owner(), work).await;
        converted.map_err(|panicked| convert::error(panicked.into()))
    }

    /// Waits until the caller may read a long list.
    async fn list_turn(&self) -> ListTurn {
        match &self.who {
            Who::Local => ListTurn(None),
            Who::Key(_) => ListTurn(Some(Arc::new(self.host.lists.begin(&self.turn_owner()).await))),
        }
    }

    fn may(&self, right: Right, name: &str) -> bool {
        match &self.who {
            Who::Local => true,
            Who::Key(principal) => principal.may(right, name),
        }
    }

    /// How old the result of expensive work may be. The administrator always gets a new one.
    const fn accepted_age(&self) -> Duration {
        match self.who {
            Who::Local => Duration::ZERO,
            Who::Key(_) => RECENT,
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
        let outcome = self.act_in(act, Box::pin(work));
        async move { outcome.await.map_err(|error| self.shown_error(error)) }
    }

    fn may_use_paths(&self) -> bool {
        self.may(Right::PATH_USE, "*")
    }

    /// A path of the server's disk as the caller may see it: without the right, only its last component.
    fn shown_path(&self, path: String) -> String {
        match path.rsplit('/').find(|part| !part.is_empty()) {
            Some(last) if path.starts_with('/') && !self.may_use_paths() => last.to_owned(),
            _ => path,
        }
    }

    /// A text as the caller may see it: without the right to use paths, those in the data directory and in the search
    /// paths are relative.
    fn shown_text(&self, text: String) -> String {
        if self.may_use_paths() {
            return text;
        }
        self.host.packages.without_places(text)
    }

    /// An error as the caller may see it. Why a path cannot be granted contains links and folders of the server's disk,
    /// also of other plugins, which are only for callers that may use paths there.
    fn shown_error(&self, error: ApiError) -> ApiError {
        if self.may_use_paths() {
            return error;
        }
        if error.code != Code::FileGrantRefused {
            let (message, hint) = (self.shown_text(error.message), self.shown_text(error.hint));
            return ApiError { message, hint, ..error };
        }
        ApiError::new(error.code, "the plugin asks for a file or folder that cannot be granted").with_hint(
            "the reason contains paths on the server's disk; a key with the right `path_use` sees it when it inspects \
             the package",
        )
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
                    // Only the engine could refuse it, as for a job with a function that the caller is not allowed to
                    // call.
                    Code::Forbidden => {
                        (entry.allowed, entry.prunable, entry.decision) = (false, true, Some(error.message.clone()));
                        engine.audit_soon(entry);
                        return Err(error);
                    }
                    // It was refused before anything was done, like all writes at present; the server's log says so.
                    // Records of these refusals would use up the space reserved for completed changes.
                    code if takes_no_writes && kind != Kind::Destroys && is_of_the_disk(code) => return Err(error),
                    code => entry.code = Some(code),
                }
                // A record written before the change needs a record of its end.
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

    /// Writes the audit record of a change. On a disk that has just become full, it waits until the reserve is
    /// released.
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

    /// The change is done, so the caller gets its result. The operator sees the missing record in the log, and it is
    /// retried.
    fn write_down_later(&self, entry: AuditEntry, failure: &Failure) {
        let AuditEntry { action, resource, correlation, .. } = &entry;
        tracing::error!(%failure, action, resource, %correlation, "failed to write an audit record; retrying");
        self.host.engine.audit_soon(entry);
    }

    /// Refuses a change above the quota of a key. The refusal is counted like others.
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

/// The number of entries of a list: at most 1,000; 100 for 0. The server refuses a larger limit.
fn page_size(limit: u32) -> u32 {
    if limit == 0 { 100 } else { limit.min(1_000) }
}

/// Cuts off the end of a page that does not fit into the bytes that are left for its list. Returns whether it was cut.
fn shorten<T>(page: &mut Vec<T>, left: &mut usize, size: impl Fn(&T) -> usize) -> bool {
    let all = page.len();
    let fitting = page.iter().map(size).take_while(|bytes| {
        let fits = *bytes <= *left;
        if fits {
            *left -= *bytes;
        }
        fits
    });
    let count = fitting.count();
    page.truncate(count);
    count < all
}

/// The value before or after a change, as the audit record shows it.
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
        // Routes name existing rights; no key has an unknown one.
        let right = right.parse::<Right>().map_err(|unknown| ApiError::new(Code::Internal, unknown.to_string()))?;
        match name {
            Some(name) => self.require(right, name),
            None => self.require_some(right),
        }
    }

    fn turn_owner(&self) -> String {
        self.caller().to_string()
    }

    async fn doctor(&self) -> ApiResult<DoctorReport> {
        self.require(Right::SYSTEM_VIEW, "*")?;
        let report = doctor::report(&self.host, self.accepted_age()).await?;
        Ok(if self.may_use_paths() { report } else { doctor::without_paths(report, |text| self.shown_text(text)) })
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

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use outrigger_compute::Turns;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn s13_a_turn_lasts_until_the_database_is_done_although_the_client_left() {
        let lists = Turns::new(1);
        let turn = ListTurn(Some(Arc::new(lists.begin("loud").await)));
        let (begin, has_begun) = oneshot::channel::<()>();
        let (end, has_ended) = oneshot::channel::<()>();
        let client = tokio::spawn(async move {
            let part = async move {
                begin.send(()).expect("the test waits");
                has_ended.await.expect("the test ends it");
                Ok(())
            };
            turn.read(part).await
        });
        has_begun.await.expect("it is read");
        client.abort();
        assert!(client.await.expect_err("the client left").is_cancelled());
        assert!(lists.begin("quiet").now_or_never().is_none(), "it is still read");
        end.send(()).expect("it waits");
        tokio::time::timeout(Duration::from_secs(10), lists.begin("quiet")).await.expect("the turn is over");
    }
}
