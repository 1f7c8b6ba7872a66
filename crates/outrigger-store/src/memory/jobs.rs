//! Jobs and schedules in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use outrigger_contract::PluginName;
use outrigger_engine::events::NewEvent;
use outrigger_engine::jobs::{JobId, JobRecord, JobState, ScheduleRecord};
use outrigger_engine::store::{Amount, Bound, JobFilter, JobStore, ROW_BYTES, StoreError};
use time::OffsetDateTime;

use super::MemoryStore;
use super::prune::{Droppable, prune_map};
use crate::{jobs, records};

/// Jobs by their age, and schedules by name.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    jobs: BTreeMap<JobId, JobRecord>,
    schedules: BTreeMap<String, ScheduleRecord>,
}

impl Jobs {
    fn create(&mut self, job: &JobRecord) -> Result<(), StoreError> {
        if self.jobs.contains_key(&job.id) {
            return Err(jobs::job_conflict(job.id));
        }
        self.jobs.insert(job.id, JobRecord { generation: 1, ..job.clone() });
        Ok(())
    }
}

impl Jobs {
    /// Drops those that have ended beyond what is to be kept.
    pub(super) fn prune(&mut self, bound: &Bound) -> usize {
        prune_map(&mut self.jobs, bound, |_, job| {
            let at = job.ended_at.filter(|_| job.state.has_ended())?;
            Some(Droppable { owner: job.owner_of_row(), at, size: size(job), stays: false })
        })
    }
}

fn size(job: &JobRecord) -> u64 {
    ROW_BYTES + serde_json::to_string(job).map_or(0, |text| text.len() as u64)
}

fn matches(filter: &JobFilter, job: &JobRecord) -> bool {
    let JobFilter { state, plugin, function, schedule, before, limit: _ } = filter;
    state.is_none_or(|state| state == job.state)
        && plugin.as_ref().is_none_or(|plugin| *plugin == job.task.function.plugin)
        && function.as_ref().is_none_or(|function| *function == job.task.function.function)
        && schedule.as_ref().is_none_or(|schedule| Some(schedule) == job.schedule.as_ref())
        && before.is_none_or(|before| job.id < before)
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn job_create(&self, job: &JobRecord, event: Option<&NewEvent>) -> Result<(), StoreError> {
        let mut tables = self.tables.lock();
        tables.jobs.create(job)?;
        tables.events.append(event);
        Ok(())
    }

    async fn job_fetch(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.tables.lock().jobs.jobs.get(&id).cloned())
    }

    async fn job_exists(&self, id: JobId) -> Result<bool, StoreError> {
        Ok(self.tables.lock().jobs.jobs.contains_key(&id))
    }

    async fn job_list(&self, filter: &JobFilter) -> Result<Vec<JobRecord>, StoreError> {
        let limit = usize::try_from(records::limit_of(filter.limit)).unwrap_or(usize::MAX);
        let tables = self.tables.lock();
        let found = tables.jobs.jobs.values().rev().filter(|job| matches(filter, job));
        Ok(found.take(limit).map(|job| JobRecord { result: None, ..job.clone() }).collect())
    }

    async fn job_next(
        &self,
        now: OffsetDateTime,
        busy: &[String],
        except: &[String],
    ) -> Result<Option<JobRecord>, StoreError> {
        let tables = self.tables.lock();
        let next = tables.jobs.jobs.values().find(|job| {
            job.state == JobState::Queued
                && job.not_before.is_none_or(|not_before| not_before <= now)
                && job.task.concurrency_key.as_ref().is_none_or(|key| !busy.contains(key))
                && !except.contains(&job.owner_of_row().account)
        });
        Ok(next.cloned())
    }

    async fn job_backlog(&self, account: Option<&str>) -> Result<Amount, StoreError> {
        let mut backlog = Amount::default();
        for job in self.tables.lock().jobs.jobs.values().filter(|job| !job.state.has_ended()) {
            if account.is_none_or(|account| job.owner_of_row().account == account) {
                backlog.add(size(job));
            }
        }
        Ok(backlog)
    }

    async fn job_unfinished(&self, plugin: &PluginName, except: Option<&str>) -> Result<u64, StoreError> {
        let counts = |job: &&JobRecord| {
            job.task.function.plugin == *plugin
                && job.state != JobState::Succeeded
                && except.is_none_or(|account| job.owner_of_row().account != account)
        };
        Ok(self.tables.lock().jobs.jobs.values().filter(counts).count() as u64)
    }

    async fn job_put(&self, job: &JobRecord, event: Option<&NewEvent>) -> Result<u64, StoreError> {
        let mut tables = self.tables.lock();
        let present = tables.jobs.jobs.get_mut(&job.id).filter(|present| present.generation == job.generation);
        let Some(present) = present else { return Err(jobs::job_conflict(job.id)) };
        *present = JobRecord { generation: job.generation + 1, ..job.clone() };
        let generation = present.generation;
        tables.events.append(event);
        Ok(generation)
    }

    async fn schedule_list(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        Ok(self.tables.lock().jobs.schedules.values().cloned().collect())
    }

    async fn schedule_put(
        &self,
        schedule: &ScheduleRecord,
        job: Option<(&JobRecord, &NewEvent)>,
    ) -> Result<u64, StoreError> {
        let mut tables = self.tables.lock();
        let present = tables.jobs.schedules.get(&schedule.name).map_or(0, |present| present.generation);
        if present != schedule.generation {
            return Err(jobs::schedule_conflict(&schedule.name));
        }
        if let Some((job, event)) = job {
            tables.jobs.create(job)?;
            tables.events.append([event]);
        }
        let written = ScheduleRecord { generation: present + 1, ..schedule.clone() };
        tables.jobs.schedules.insert(schedule.name.clone(), written);
        Ok(present + 1)
    }

    async fn schedule_delete(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.tables.lock().jobs.schedules.remove(name).is_some())
    }
}
