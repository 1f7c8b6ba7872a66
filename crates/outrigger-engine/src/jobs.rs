//! Jobs: durable background calls. A job is stored before anything is done for it. It takes the same path as any other
//! call, as the caller that started it.
//!
//! [`machine`] is the state machine, [`runner`] runs due jobs, [`schedule`] creates the jobs of schedules.

mod event;
pub mod machine;
mod request;
pub mod runner;
pub mod schedule;

use std::time::Duration;

use outrigger_contract::{Code, FunctionRef};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ulid::Generator;

pub use machine::JobState;
pub use request::{JobRequest, ScheduleRequest};
pub(crate) use runner::Desk;
pub use runner::{Callers, Clock, JobOptions};
pub use schedule::{Cron, InvalidCron, Missed, Overlap};

use crate::correlation::CorrelationId;
use crate::error::Failure;
use crate::progress::Progress;

/// Of a job: also the correlation id of everything that is done for it, so that its runs and log lines are found by it.
pub type JobId = CorrelationId;

/// A job, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    pub id: JobId,
    /// The function, its arguments and the policies.
    pub task: Task,
    /// The owner.
    pub owner: Owner,
    pub state: JobState,
    /// How often it was begun since it was started, or was last retried by somebody.
    pub attempt: u32,
    /// How many of those were cut off, because the process ended in the middle.
    pub interruptions: u32,
    /// Cancellation was requested.
    pub cancel_requested: bool,
    /// The approver.
    pub approved_by: Option<String>,
    /// Not to be begun before this.
    pub not_before: Option<OffsetDateTime>,
    /// How far it is, as its function says; of one that did not succeed, how far it got.
    pub progress: Option<Progress>,
    /// The result, as JSON text of the function's result type.
    pub result: Option<String>,
    /// Why it failed; while it waits for another attempt, why the last one did.
    pub error: Option<JobError>,
    /// The schedule that made it.
    pub schedule: Option<String>,
    pub created_at: OffsetDateTime,
    pub started_at: Option<OffsetDateTime>,
    pub ended_at: Option<OffsetDateTime>,
    /// Counts writes; guards against two writers.
    pub generation: u64,
}

impl JobRecord {
    /// The owner for retention: the key that started the job, by plugin.
    #[must_use]
    pub fn owner_of_row(&self) -> crate::store::Owner {
        let account = self.owner.key.clone().unwrap_or_else(|| self.owner.name.clone());
        crate::store::Owner { account, source: self.task.function.plugin.to_string() }
    }
}

/// The settings of a job, with defaults applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub function: FunctionRef,
    /// The text of a JSON object with a member for each parameter.
    pub arguments: String,
    /// For one attempt, instead of the function's own.
    pub timeout: Option<Duration>,
    /// How often it may be begun before it has failed.
    pub max_attempts: u32,
    /// How long to wait before the second attempt; doubled for each one after it.
    pub backoff: Duration,
    /// Of all jobs with the same key, one runs at a time.
    pub concurrency_key: Option<String>,
    pub on_interruption: OnInterruption,
    /// It is not begun before somebody has approved it.
    pub needs_approval: bool,
}

/// The owner of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// For a person to read.
    pub name: String,
    /// The id of the key; none for the administrator of the data directory.
    pub key: Option<String>,
}

/// The policy for a job that ran when the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnInterruption {
    /// It has failed. Nobody knows how much of it was done.
    Fail,
    /// It is begun again.
    Retry,
    /// It waits until somebody approves another attempt.
    Ask,
}

/// Why a job, or one attempt of it, failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobError {
    pub code: Code,
    pub message: String,
    pub hint: String,
    /// The error value of the function, as JSON of its declared type.
    pub detail: Option<serde_json::Value>,
}

/// Something that makes a job at certain times, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleRecord {
    pub name: String,
    /// In UTC.
    pub cron: Cron,
    pub task: Task,
    /// The owner; its jobs run as this caller.
    pub owner: Owner,
    pub enabled: bool,
    pub missed: Missed,
    #[serde(default)]
    pub overlap: Overlap,
    /// How often its time came and it made no job, because the one before had not ended or too many waited.
    #[serde(default)]
    pub skipped: u64,
    /// When it makes its next job; none while it is not enabled, or where that time never comes.
    pub next_at: Option<OffsetDateTime>,
    pub last_job: Option<JobId>,
    pub created_at: OffsetDateTime,
    /// Counts writes; guards against two writers.
    pub generation: u64,
}

impl JobRecord {
    /// A new job.
    #[must_use]
    pub fn new(task: Task, owner: Owner, now: OffsetDateTime) -> Self {
        Self {
            id: next_id(now),
            state: JobState::at_first(task.needs_approval),
            task,
            owner,
            attempt: 0,
            interruptions: 0,
            cancel_requested: false,
            approved_by: None,
            not_before: None,
            progress: None,
            result: None,
            error: None,
            schedule: None,
            created_at: now,
            started_at: None,
            ended_at: None,
            generation: 0,
        }
    }
}

/// Ids grow with every job, also within a millisecond: jobs are begun in the order of their ids.
fn next_id(now: OffsetDateTime) -> JobId {
    static IDS: Mutex<Generator> = Mutex::new(Generator::new());
    IDS.lock().generate_from_datetime(now.into()).map_or_else(|_| JobId::at(now), JobId::from)
}

impl OnInterruption {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Retry => "retry",
            Self::Ask => "ask",
        }
    }
}

impl From<Failure> for JobError {
    fn from(failure: Failure) -> Self {
        let hint = failure.advice().to_owned();
        let Failure { code, message, hint: _, detail, retry_after: _ } = failure;
        Self { code, message, hint, detail }
    }
}
