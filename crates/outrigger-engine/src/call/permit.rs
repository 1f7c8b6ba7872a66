//! Only so many calls at once, of the function and of its plugin. Who finds no room waits until the deadline.

use outrigger_contract::Code;
use tokio::sync::SemaphorePermit;

use super::Target;
use super::deadline::Deadline;
use crate::error::Failure;

/// Room for one call; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    _function: Option<SemaphorePermit<'a>>,
    _plugin: SemaphorePermit<'a>,
}

pub(super) async fn acquire(target: &Target, deadline: Deadline) -> Result<Permit<'_>, Failure> {
    if let Some(permit) = at_once(target) {
        return Ok(permit);
    }
    let wait = async {
        let function = match &target.slot().concurrency {
            Some(limit) => Some(limit.acquire().await),
            None => None,
        };
        (function.transpose(), target.revision.concurrency.acquire().await)
    };
    match tokio::time::timeout_at(deadline.at.into(), wait).await {
        Ok((Ok(function), Ok(plugin))) => Ok(Permit { _function: function, _plugin: plugin }),
        Ok(_) => Err(Failure::new(Code::ShuttingDown, format!("`{}` is being shut down", target.name))),
        Err(_) => Err(Failure::new(
            Code::Busy,
            format!("`{}` found no room among the calls running at once within {:?}", target.name, deadline.limit),
        )),
    }
}

/// As a rule there is room, and no timer has to be made for waiting. Nobody who waits is overtaken: room that is given
/// back is theirs first.
fn at_once(target: &Target) -> Option<Permit<'_>> {
    let function = match &target.slot().concurrency {
        Some(limit) => Some(limit.try_acquire().ok()?),
        None => None,
    };
    Some(Permit { _function: function, _plugin: target.revision.concurrency.try_acquire().ok()? })
}
