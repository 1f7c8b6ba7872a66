//! Only so many calls at once, of the function and of its plugin. Who finds no room waits until the deadline. A call that was
//! led to by one that has room already needs none of its own: that one waits for it, and they would wait for each other. (Who is told of
//! it in the background runs beside it; of those there are few at once.)

use outrigger_contract::Code;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use super::deadline::Deadline;
use super::record::Run;
use super::{Caller, Target};
use crate::error::Failure;
use crate::profile::Stage;
use crate::runtime::Cancellation;

/// Room for one call; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    _function: Option<SemaphorePermit<'a>>,
    _plugin: Option<SemaphorePermit<'a>>,
}

/// Acquires the permit of a call with large arguments, before they are read.
pub(super) async fn early<'a>(
    run: &Run<'_>,
    target: &'a Target,
    cancel: &Cancellation,
    deadline: Deadline,
) -> Result<Permit<'a>, Failure> {
    run.enter(Stage::Queue);
    let permit = tokio::select! {
        biased;
        permit = acquire(target, run.caller(), deadline) => permit?,
        () = cancel.cancelled() => return Err(Failure::cancelled(&target.name)),
    };
    run.enter(Stage::Validate);
    Ok(permit)
}

pub(super) async fn acquire<'a>(
    target: &'a Target,
    caller: &Caller,
    deadline: Deadline,
) -> Result<Permit<'a>, Failure> {
    let function = target.slot().concurrency.as_ref().filter(|_| !caller.chain().contains(&target.name));
    let plugin = (!caller.is_within(&target.name.plugin)).then_some(&target.revision.concurrency);
    if let Some(permit) = at_once(function, plugin) {
        return Ok(permit);
    }
    let wait =
        async { Ok::<_, AcquireError>(Permit { _function: room(function).await?, _plugin: room(plugin).await? }) };
    match tokio::time::timeout_at(deadline.at.into(), wait).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(Failure::new(Code::ShuttingDown, format!("`{}` is being shut down", target.name))),
        Err(_) => Err(Failure::new(
            Code::Busy,
            format!("`{}` is at its concurrency limit (waited {:?})", target.name, deadline.limit),
        )),
    }
}

/// As a rule there is room, and no timer has to be made for waiting. Nobody who waits is overtaken: room that is given
/// back is theirs first.
fn at_once<'a>(function: Option<&'a Semaphore>, plugin: Option<&'a Semaphore>) -> Option<Permit<'a>> {
    let room = |limit: Option<&'a Semaphore>| limit.map(Semaphore::try_acquire).transpose().ok();
    Some(Permit { _function: room(function)?, _plugin: room(plugin)? })
}

async fn room(limit: Option<&Semaphore>) -> Result<Option<SemaphorePermit<'_>>, AcquireError> {
    match limit {
        Some(limit) => limit.acquire().await.map(Some),
        None => Ok(None),
    }
}
