//! The state machine of a job: a pure function from its state and an event to where it stands then. It writes nothing
//! and calls nothing.
//!
//! ```text
//! waiting_for_approval ──▶ queued ◀──▶ running ──▶ succeeded, failed, cancelled
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{JobRecord, OnInterruption};

/// How often a job is begun again by itself after the process ended in the middle of it. One that is cut off each time may
/// well be what ends the process.
pub const MOST_INTERRUPTIONS: u32 = 5;

/// No attempt waits longer than this for its turn after the one before it.
const LONGEST_BACKOFF: Duration = Duration::from_secs(3600);

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It is begun when there is room.
    Queued,
    Running,
    /// It is not begun before somebody approves it.
    WaitingForApproval,
    Succeeded,
    Failed,
    Cancelled,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is room for it.
    Start,
    /// Its call has succeeded.
    Succeeded,
    /// Its call has failed; whether another attempt could end differently.
    Failed(Prospect),
    /// Its call was cancelled.
    Cancelled,
    /// The process ended while it ran.
    Interrupted,
    /// Cancellation was requested.
    Cancel,
    /// The job is approved.
    Approve,
    /// A retry was requested.
    Retry,
}

/// Whether another attempt could end differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    MayPass,
    ForGood,
}

/// The effect to execute after the new state is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Call the function.
    Call,
    /// Cancel the call that is under way.
    CancelCall,
    /// Count from the beginning again, and ask for approval again.
    StartOver,
    /// Begin no attempt before this time has passed.
    Wait(Duration),
}

/// The fields of a job that decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub state: JobState,
    pub attempt: u32,
    pub interruptions: u32,
    pub max_attempts: u32,
    pub backoff: Duration,
    pub on_interruption: OnInterruption,
    pub needs_approval: bool,
    pub cancel_requested: bool,
}

/// Where a job stands then, and what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    pub state: JobState,
    pub effect: Option<Effect>,
}

/// It makes no sense for a job that stands where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job is {state} and cannot be {}", verb(.event))]
pub struct Refusal {
    pub state: JobState,
    pub event: Event,
}

const fn verb(event: &Event) -> &'static str {
    match event {
        Event::Start => "begun",
        Event::Succeeded | Event::Failed(_) | Event::Cancelled | Event::Interrupted => "ended",
        Event::Cancel => "cancelled",
        Event::Approve => "approved",
        Event::Retry => "retried",
    }
}

/// The next state and the effects after an event.
///
/// # Errors
/// It cannot happen to a job that stands there.
pub fn advance(job: &Standing, event: Event) -> Result<Transition, Refusal> {
    use JobState::{Cancelled, Failed, Queued, Running, Succeeded, WaitingForApproval};
    let (state, effect) = match (job.state, event) {
        (Queued, Event::Start) => (Running, Some(Effect::Call)),
        (Queued | WaitingForApproval, Event::Cancel) => (Cancelled, None),
        (Running, Event::Cancel) => (Running, Some(Effect::CancelCall)),
        (WaitingForApproval, Event::Approve) => (Queued, None),
        (Running, Event::Succeeded) => (Succeeded, None),
        (Running, Event::Cancelled) => (Cancelled, None),
        (Running, Event::Failed(_) | Event::Interrupted) if job.cancel_requested => (Cancelled, None),
        (Running, Event::Failed(Prospect::MayPass)) if job.failures() < job.max_attempts => {
            (Queued, Some(Effect::Wait(job.wait())))
        }
        (Running, Event::Failed(_)) => (Failed, None),
        (Running, Event::Interrupted) => match job.on_interruption {
            OnInterruption::Retry if job.interruptions < MOST_INTERRUPTIONS => (Queued, None),
            OnInterruption::Retry | OnInterruption::Fail => (Failed, None),
            OnInterruption::Ask => (WaitingForApproval, None),
        },
        (Failed | Cancelled, Event::Retry) => (JobState::at_first(job.needs_approval), Some(Effect::StartOver)),
        (state, event) => return Err(Refusal { state, event }),
    };
    Ok(Transition { state, effect })
}

impl Standing {
    /// Attempts that came to an end by themselves, the present one included.
    const fn failures(&self) -> u32 {
        self.attempt.saturating_sub(self.interruptions)
    }

    /// How long to wait after the failure of the present attempt.
    fn wait(&self) -> Duration {
        let doublings = self.failures().saturating_sub(1).min(31);
        self.backoff.saturating_mul(1 << doublings).min(LONGEST_BACKOFF)
    }
}

impl From<&JobRecord> for Standing {
    fn from(job: &JobRecord) -> Self {
        Self {
            state: job.state,
            attempt: job.attempt,
            interruptions: job.interruptions,
            max_attempts: job.task.max_attempts,
            backoff: job.task.backoff,
            on_interruption: job.task.on_interruption,
            needs_approval: job.task.needs_approval,
            cancel_requested: job.cancel_requested,
        }
    }
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::WaitingForApproval, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Where a new job stands.
    #[must_use]
    pub const fn at_first(needs_approval: bool) -> Self {
        if needs_approval { Self::WaitingForApproval } else { Self::Queued }
    }

    /// Whether nothing more happens by itself, or by approval.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::WaitingForApproval => "waiting_for_approval",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::fmt::Display for JobState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests;
