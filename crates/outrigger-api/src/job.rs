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
    /// The maximum number of attempts.
    #[serde(default = "once")]
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: u32,
    /// The pause before the second attempt, in milliseconds; it doubles with each further attempt.
    #[serde(default = "soon")]
    #[schemars(range(max = 3_600_000))]
    pub backoff_ms: u64,
    /// The concurrency key: jobs with the same key run one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9._:/-]+$"))]
    pub concurrency_key: Option<String>,
    /// What to do with the job if the server stops while it runs: `fail`, `retry`, or `ask` for approval. The default
    /// is `retry` for read-only or idempotent functions, `fail` for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(fail|retry|ask)$"))]
    pub on_interruption: Option<String>,
    /// The job does not start until it is approved.
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
    /// A job with one attempt, which starts as soon as possible.
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
    /// A ULID; also the correlation id of the job's calls.
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
    /// The progress that its function reported last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<JobProgressInfo>,
    /// The result, which matches the function's result schema. Not included in lists.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub result: Option<JsonText>,
    /// Why the job or its last attempt failed.
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

/// Which jobs to list. All given fields must match.
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
    /// Only jobs of this function, `plugin.function`.
    #[serde(default)]
    pub function: Option<FunctionRef>,
    /// Only jobs created by this schedule.
    #[serde(default)]
    pub schedule: Option<String>,
    /// Only those older than this job.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"))]
    pub before: Option<String>,
    /// At most this many; 0 for 100. A list with more than 4 MiB of arguments ends early; `before` continues it.
    #[serde(default)]
    #[schemars(range(max = 1000))]
    pub limit: u32,
}

/// The settings of a schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// Minute, hour, day of the month, month and day of the week, in UTC; optionally with a sixth field for seconds in
    /// front.
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
    /// How often it created no job when it was due, because the previous job had not ended or too many jobs waited.
    #[serde(default)]
    pub skipped: u64,
    /// When it creates its next job; none while it is disabled.
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
    /// Covers its settings and its owner, not its next time and its jobs.
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
