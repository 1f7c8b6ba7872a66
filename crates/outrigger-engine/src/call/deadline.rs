//! The time a call may take, everything included: waiting for room, retries, and what the plugin waits for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::{CallOptions, Execution, Target};
use crate::engine::Engine;
use crate::error::Failure;
use crate::runtime::Cancellation;

/// The runtime ends a call at its deadline and can say more about it than can be said from here; it gets this long.
const GRACE: Duration = Duration::from_millis(250);

/// When a call must be over, and how long that was from its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) limit: Duration,
}

impl Deadline {
    pub(super) fn passed(self) -> bool {
        Instant::now() >= self.at
    }

    /// Waits until the work is done, the caller cancels, or the deadline passes.
    pub(super) async fn or_cancelled<T>(
        self,
        target: &Target,
        cancel: &Cancellation,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = cancel.cancelled() => Err(Failure::cancelled(&target.name)),
            () = tokio::time::sleep_until(self.at.into()) => {
                Err(Failure::deadline(&format!("`{}`", target.name), self.limit))
            }
        }
    }
}

/// No call can take longer than the operator's ceiling, regardless of the requested timeout.
pub(super) fn of(engine: &Engine, target: &Target, options: &CallOptions, started: Instant) -> Deadline {
    let asked = options.timeout.map(|timeout| timeout.min(engine.inner.options.ceiling.timeout()));
    let limit = asked.unwrap_or(target.slot().timeout);
    Deadline { at: started + limit, limit }
}

/// Ends `work` when its caller cancels, or when it is past its deadline. Dropping it ends it: the runtime then discards
/// the instance.
pub(super) async fn within<T>(
    deadline: Deadline,
    execution: &Execution<'_>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    // As a rule it is done at once, and no timer has to be made.
    match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => {
            let late = Deadline { at: deadline.at + GRACE, ..deadline };
            // Boxed: it would make the future of every call larger.
            Box::pin(late.or_cancelled(execution.target, &execution.options.cancel, work)).await?
        }
    }
}
