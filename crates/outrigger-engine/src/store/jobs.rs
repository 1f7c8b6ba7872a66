//! Jobs and schedules, as they are kept.

use async_trait::async_trait;
use outrigger_contract::{FunctionName, PluginName};
use time::OffsetDateTime;

use super::{Amount, StoreError};
use crate::events::NewEvent;
use crate::jobs::{JobId, JobRecord, JobState, ScheduleRecord};

/// Keeps jobs and schedules.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Adds a job, with the generation 1, and the event that says so: both or neither. One of the same id is a
    /// [`StoreError::Conflict`].
    async fn job_create(&self, job: &JobRecord, event: Option<&NewEvent>) -> Result<(), StoreError>;
    /// One job.
    async fn job_fetch(&self, id: JobId) -> Result<Option<JobRecord>, StoreError>;
    /// Whether there is a job with this id. Reads nothing of it, so its size does not matter.
    async fn job_exists(&self, id: JobId) -> Result<bool, StoreError>;
    /// Jobs that match, the newest first, without their results: those can be large.
    async fn job_list(&self, filter: &JobFilter) -> Result<Vec<JobRecord>, StoreError>;
    /// The oldest job that is queued, may begin by now, has none of these concurrency keys, and is of none of these
    /// accounts.
    async fn job_next(
        &self,
        now: OffsetDateTime,
        busy: &[String],
        except: &[String],
    ) -> Result<Option<JobRecord>, StoreError>;
    /// The unfinished jobs, of all accounts or of one.
    async fn job_backlog(&self, account: Option<&str>) -> Result<Amount, StoreError>;
    /// The number of jobs of a plugin that have not succeeded and so can be run again, without those of the account
    /// `except`.
    async fn job_unfinished(&self, plugin: &PluginName, except: Option<&str>) -> Result<u64, StoreError>;
    /// Writes a job in the place of the one of its id and its generation, and answers with the next generation. Where it
    /// has another one, or is not there, it is a [`StoreError::Conflict`]. The event goes into the log with it, or neither.
    async fn job_put(&self, job: &JobRecord, event: Option<&NewEvent>) -> Result<u64, StoreError>;

    /// All schedules, by name.
    async fn schedule_list(&self) -> Result<Vec<ScheduleRecord>, StoreError>;
    /// Writes a schedule in the place of the one of its name and its generation, 0 for one that must not exist yet, and adds
    /// the job that it made with the event that says so: all or nothing. Answers with the next generation, or
    /// [`StoreError::Conflict`].
    async fn schedule_put(
        &self,
        schedule: &ScheduleRecord,
        job: Option<(&JobRecord, &NewEvent)>,
    ) -> Result<u64, StoreError>;
    /// Removes a schedule; the jobs it made stay. Answers whether it was there.
    async fn schedule_delete(&self, name: &str) -> Result<bool, StoreError>;
}

/// Which jobs to list. All that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    pub state: Option<JobState>,
    pub plugin: Option<PluginName>,
    pub function: Option<FunctionName>,
    pub schedule: Option<String>,
    /// Older than this one.
    pub before: Option<JobId>,
    /// At most this many; 0 for 1,000.
    pub limit: u32,
}
