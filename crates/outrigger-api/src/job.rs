//! Jobs: durable background calls, and schedules, which create them.

use outrigger_contract::{Code, FunctionRef, PluginName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::fingerprint::Fingerprint;
use crate::json::{JsonObject, JsonText};

/// A job that is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// `plugin.function`.
    pub function: FunctionRef,
    /// An object with a member for each parameter; at most 262,144 bytes.
    #[serde(default)]
    pub arguments: JsonObject,
    /// For one attempt, in milliseconds, instead of the function's own timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400_000))]
    pub timeout_ms: Option<u64>,
    /// How often it may be begun before it has failed.
    #[serde(default = "once")]
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: u32,
    /// How long to wait before the second attempt, in milliseconds; doubled for each one after it.
    #[serde(default = "soon")]
    #[schemars(range(max = 3_600_000))]
    pub backoff_ms: u64,
    /// Of all jobs with the same key, one runs at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9._:/-]+$"))]
    pub concurrency_key: Option<String>,
    /// What to do with the job if the server stops while it runs: `fail`, `retry`, or `ask` for approval. Without it:
    /// `retry` for functions that only read or are idempotent, `fail` for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(fail|retry|ask)$"))]
    pub on_interruption: Option<String>,
    /// It is not begun before somebody has approved it.
    #[serde(default)]
    pub needs_approval: bool,
    /// It is not begun before this.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub not_before: Option<OffsetDateTime>,
}

const fn once() -> u32 {
    1
}

const fn soon() -> u64 {
    1_000
}

impl JobRequest {
    /// A job that is begun once, as soon as there is room.
    #[must_use]
    pub fn new(function: FunctionRef, arguments: impl Into<JsonObject>) -> Self {
        Self {
            function,
            arguments: arguments.into(),
            timeout_ms: None,
            max_attempts: once(),
            backoff_ms: soon(),
            concurrency_key: None,
            on_interruption: None,
            needs_approval: false,
            not_before: None,
        }
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobInfo {
    /// A ULID: also the correlation id of everything that is done for it.
    pub id: String,
    pub function: FunctionRef,
    pub arguments: JsonObject,
    /// `queued`, `running`, `waiting_for_approval`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// The caller that started it: `local`, or `key NAME`.
    pub caller: String,
    /// How often it was begun.
    pub attempt: u32,
    pub max_attempts: u32,
    pub backoff_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<String>,
    /// `fail`, `retry` or `ask`.
    pub on_interruption: String,
    pub needs_approval: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Cancellation was requested.
    pub cancel_requested: bool,
    /// How far it is, as its function says; of one that did not succeed, how far it got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<JobProgressInfo>,
    /// The result, which fits the function's result schema. Lists leave it out.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub result: Option<JsonText>,
    /// Why it failed, or its last attempt did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<JobErrorInfo>,
    /// The schedule that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: OffsetDateTime,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub not_before: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub ended_at: Option<OffsetDateTime>,
}

/// Keeps an explicit `null`: it is the result of a function that returns nothing.
fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobProgressInfo {
    /// From 0 to 1, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fraction: Option<f64>,
    /// The current step.
    pub message: String,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobErrorInfo {
    pub code: Code,
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// The error value of the function, as JSON of its declared type.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

/// Which jobs to list. All that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobQuery {
    /// `queued`, `running`, `waiting_for_approval`, `succeeded`, `failed` or `cancelled`.
    #[serde(default)]
    #[schemars(regex(pattern = "^(queued|running|waiting_for_approval|succeeded|failed|cancelled)$"))]
    pub state: Option<String>,
    /// Only of this plugin.
    #[serde(default)]
    pub plugin: Option<PluginName>,
    /// Only of this function, `plugin.function`.
    #[serde(default)]
    pub function: Option<FunctionRef>,
    /// Only those that this schedule made.
    #[serde(default)]
    pub schedule: Option<String>,
    /// Only those older than this job.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"))]
    pub before: Option<String>,
    /// At most this many; 0 for 100.
    #[serde(default)]
    #[schemars(range(max = 1000))]
    pub limit: u32,
}

/// The settings of a schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// Minute, hour, day of the month, month and day of the week, in UTC; a sixth field in front for seconds.
    pub cron: String,
    /// The job that it makes each time.
    #[serde(deserialize_with = "outrigger_contract::object::only")]
    pub job: JobRequest,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What to do about runs that were missed while no server ran: `skip`, or `run_once` for all of them.
    #[serde(default = "skip")]
    #[schemars(regex(pattern = "^(skip|run_once)$"))]
    pub missed: String,
    /// What to do when a job is due while the previous one has not ended: `skip`, or `queue` one job.
    #[serde(default = "skip")]
    #[schemars(regex(pattern = "^(skip|queue)$"))]
    pub overlap: String,
}

const fn yes() -> bool {
    true
}

fn skip() -> String {
    "skip".to_owned()
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleInfo {
    pub name: String,
    /// In UTC.
    pub cron: String,
    /// The job that it makes each time.
    pub job: JobRequest,
    /// The owner; its jobs run as this caller.
    pub caller: String,
    pub enabled: bool,
    /// `skip` or `run_once`.
    pub missed: String,
    /// `skip` or `queue`.
    #[serde(default = "skip")]
    pub overlap: String,
    /// How often its time came and it made no job, because the one before had not ended or too many waited.
    #[serde(default)]
    pub skipped: u64,
    /// When it makes its next job; none while it is not enabled.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_at: Option<OffsetDateTime>,
    /// The last job that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_job: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: OffsetDateTime,
}

impl ScheduleInfo {
    /// Of what it is to do and who set it. When it does so next and what it did are not in it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let Self {
            name: _,
            cron,
            job,
            caller,
            enabled,
            missed,
            overlap,
            skipped: _,
            next_at: _,
            last_job: _,
            created_at: _,
        } = self;
        Fingerprint::of(&(cron, job, caller, enabled, missed, overlap))
    }
}
