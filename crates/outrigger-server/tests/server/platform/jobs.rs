//! The jobs, always the same one, and the schedules, which are kept as they were changed.

use async_trait::async_trait;
use outrigger_api::*;
use time::OffsetDateTime;

use super::{Seen, put};

fn job(state: &str) -> JobInfo {
    JobInfo {
        id: "01JD0000000000000000000000".to_owned(),
        function: "pricing.echo".parse().unwrap(),
        arguments: JsonObject::default(),
        state: state.to_owned(),
        caller: "local".to_owned(),
        attempt: 1,
        max_attempts: 3,
        backoff_ms: 1000,
        timeout_ms: None,
        concurrency_key: Some("prices".to_owned()),
        on_interruption: "fail".to_owned(),
        needs_approval: false,
        approved_by: None,
        cancel_requested: false,
        progress: Some(JobProgressInfo { fraction: None, message: "attempt 1 of 3".to_owned() }),
        result: None,
        error: None,
        schedule: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
        not_before: None,
        started_at: Some(OffsetDateTime::UNIX_EPOCH),
        ended_at: None,
    }
}

pub(super) fn schedule(name: &str) -> ScheduleInfo {
    ScheduleInfo {
        name: name.to_owned(),
        cron: "30 2 * * *".to_owned(),
        job: JobRequest::new("pricing.echo".parse().unwrap(), JsonObject::default()),
        caller: "local".to_owned(),
        enabled: true,
        missed: "skip".to_owned(),
        overlap: "skip".to_owned(),
        skipped: 0,
        next_at: Some(OffsetDateTime::UNIX_EPOCH),
        last_job: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
    }
}

#[async_trait]
impl Jobs for Seen {
    async fn job_create(&self, request: JobRequest) -> ApiResult<JobInfo> {
        self.plugin(&request.function.plugin).map(|()| job("queued"))
    }

    async fn job_list(&self, query: &JobQuery) -> ApiResult<Vec<JobInfo>> {
        self.allowed()?;
        if query.schedule.as_deref() == Some("slow") {
            self.state.pass("list").await;
        }
        Ok(vec![job("running")])
    }

    async fn job_fetch(&self, _: &str) -> ApiResult<JobInfo> {
        self.allowed().map(|()| job("running"))
    }

    async fn job_cancel(&self, _: &str) -> ApiResult<JobInfo> {
        self.allowed().map(|()| job("cancelled"))
    }

    async fn job_retry(&self, _: &str) -> ApiResult<JobInfo> {
        self.allowed().map(|()| job("queued"))
    }

    async fn job_approve(&self, _: &str) -> ApiResult<JobInfo> {
        self.allowed().map(|()| job("queued"))
    }

    async fn job_logs(&self, _: &str, query: &RecordQuery) -> ApiResult<Vec<LogEntry>> {
        self.log_list(query).await
    }

    async fn schedule_list(&self) -> ApiResult<Vec<ScheduleInfo>> {
        self.allowed()?;
        Ok(self.state.schedules.lock().clone())
    }

    async fn schedule_put(
        &self,
        name: &str,
        request: ScheduleRequest,
        expected: Option<Fingerprint>,
    ) -> ApiResult<ScheduleInfo> {
        self.allowed()?;
        let ScheduleRequest { cron, job, enabled, missed, overlap } = request;
        let new = ScheduleInfo { cron, job, enabled, missed, overlap, ..schedule(name) };
        let mut all = self.state.schedules.lock();
        let place = all.iter().position(|schedule| schedule.name == name);
        self.check_expected(expected, place.map(|place| all[place].fingerprint()))?;
        put(&mut all, place, new)
    }

    async fn schedule_delete(&self, _: &str) -> ApiResult<()> {
        self.allowed()
    }
}
