//! A function that is idempotent and says so may be tried again when it fails for a reason that may pass.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use outrigger_contract::{Code, Value};

use super::Execution;
use super::deadline::Deadline;
use super::large::Held;
use super::permit::{self, Permit};
use crate::error::Failure;
use crate::profile::Stage;
use crate::runtime::Observed;

/// Runs until it succeeds, fails for good, or has used up its tries. Answers with the number of tries.
/// Room among the calls at once is held only while a try runs, not while it waits for the next.
pub(super) async fn run(
    execution: &Execution<'_>,
    arguments: &Arc<[Value]>,
    deadline: Deadline,
    observed: &Arc<Observed>,
    mut early: Option<Permit<'_>>,
) -> Result<(Held<Value>, u32), Failure> {
    let retry = execution.target.slot().retry;
    let attempts = retry.map_or(1, |retry| retry.attempts.get());
    let mut attempt = 1;
    loop {
        execution.enter(Stage::Queue);
        let permit = match early.take() {
            Some(permit) => permit,
            None => permit::acquire(execution.target, execution.caller, deadline).await?,
        };
        let outcome = execution.run_once(arguments, deadline, observed).await;
        drop(permit);
        execution.enter(Stage::Other);
        let failure = match outcome {
            Ok(value) => return Ok((value, attempt)),
            Err(failure) => failure,
        };
        let backoff =
            retry.map_or(Duration::ZERO, |retry| retry.backoff.as_duration() * 2_u32.saturating_pow(attempt - 1));
        if attempt == attempts || !may_pass(failure.code) || Instant::now() + backoff >= deadline.at {
            return Err(failure);
        }
        tracing::debug!(function = %execution.target.name, attempt, code = %failure.code, "trying again");
        execution.enter(Stage::Queue);
        // Boxed: it would make the future of every call larger.
        Box::pin(tokio::time::sleep(backoff)).await;
        attempt += 1;
        execution.tries.store(attempt, Ordering::Relaxed);
    }
}

/// Whether another try could end differently. A limit that was hit will be hit again.
const fn may_pass(code: Code) -> bool {
    matches!(code, Code::Trapped | Code::FunctionFailed)
}
