//! The audit records of a call. A destructive call is recorded before it runs, and any that may change something before
//! its answer is given. The recorder writes read-only calls in groups, and also calls that may change something if a
//! plugin makes too many of them.

use outrigger_contract::Code;
use time::OffsetDateTime;

use super::Target;
use super::record::Run;
use crate::access::Right;
use crate::audit::{AuditEntry, Stage};
use crate::engine::Engine;
use crate::error::Failure;
use crate::plugins::Influence;

/// Written down before the function runs; where that fails, it does not run.
pub(super) async fn intent(engine: &Engine, run: &Run<'_>, target: &Target) -> Result<(), Failure> {
    match target.slot().influence {
        // Boxed: it would make the future of every call larger.
        Influence::MayDestroy => Box::pin(write_intent(engine, run, target)).await,
        Influence::Reads | Influence::Changes => Ok(()),
    }
}

async fn write_intent(engine: &Engine, run: &Run<'_>, target: &Target) -> Result<(), Failure> {
    let mut entry = entry(run, Stage::Intent);
    if !run.is_audited_alone(target) {
        engine.inner.recorder.change(entry).await;
        return Ok(());
    }
    entry.revision = Some(target.revision.digest.to_string());
    engine.audit(entry).await
}

/// The audit record of an ended call, besides its run. None for a call that was never admitted, such as one with
/// invalid arguments, and for a read-only call.
pub(super) fn outcome(run: &Run<'_>, failure: Option<&Failure>) -> Option<AuditEntry> {
    let code = failure.map(|failure| failure.code);
    if code == Some(Code::Forbidden) {
        let mut entry = entry(run, Stage::Done);
        (entry.allowed, entry.prunable) = (false, true);
        entry.decision = failure.map(|failure| failure.message.clone());
        return Some(entry);
    }
    let target = run.admitted().filter(|target| target.slot().influence != Influence::Reads)?;
    let mut entry = entry(run, Stage::Done);
    entry.code = code;
    entry.revision = Some(target.revision.digest.to_string());
    Some(entry)
}

fn entry(run: &Run<'_>, stage: Stage) -> AuditEntry {
    let caller = run.caller();
    AuditEntry {
        at: OffsetDateTime::now_utc(),
        actor: caller.to_string(),
        key: caller.key().map(str::to_owned),
        action: Right::FUNCTION_EXECUTE.to_string(),
        resource: run.function().to_string(),
        allowed: true,
        decision: None,
        stage,
        code: None,
        revision: None,
        before: None,
        after: None,
        correlation: run.correlation(),
        calls: Vec::new(),
        until: None,
        prunable: false,
    }
}
