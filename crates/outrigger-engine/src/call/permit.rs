//! Concurrency permits of the function and of its plugin. A call without a free permit waits until its deadline. A call
//! that was caused by a call with a permit needs none of its own: the causing call waits for it, so the two could wait
//! for each other. (Background subscribers run beside it; their number is small.)

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
    match at_once(function, plugin) {
        Some(permit) => Ok(permit),
        // Boxed: it would make the future of every call larger.
        None => Box::pin(wait(target, function, plugin, deadline)).await,
    }
}

async fn wait<'a>(
    target: &Target,
    function: Option<&'a Semaphore>,
    plugin: Option<&'a Semaphore>,
    deadline: Deadline,
) -> Result<Permit<'a>, Failure> {
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

/// Usually a permit is free, so no timer is needed. Waiting calls are not overtaken: a released permit goes to the
/// first of them.
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
