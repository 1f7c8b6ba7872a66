//! Jobs and schedules over HTTP.

use async_trait::async_trait;
use outrigger_api::{
    ApiResult, Fingerprint, JobInfo, JobQuery, JobRequest, Jobs, LogEntry, RecordQuery, ScheduleInfo, ScheduleRequest,
};

use crate::Client;
use crate::http::segment;
use crate::records::{MOST, newest};

fn job(id: &str, rest: &str) -> String {
    format!("api/v1/jobs/{}{rest}", segment(id))
}

#[async_trait]
impl Jobs for Client {
    async fn job_create(&self, request: JobRequest) -> ApiResult<JobInfo> {
        self.post("api/v1/jobs", &request).await
    }

    async fn job_list(&self, query: &JobQuery) -> ApiResult<Vec<JobInfo>> {
        self.list("api/v1/jobs", &JobQuery { limit: query.limit.min(MOST), ..query.clone() }).await
    }

    async fn job_fetch(&self, id: &str) -> ApiResult<JobInfo> {
        self.get(&job(id, ""), &()).await
    }

    async fn job_cancel(&self, id: &str) -> ApiResult<JobInfo> {
        self.post_empty(&job(id, "/cancel")).await
    }

    async fn job_retry(&self, id: &str) -> ApiResult<JobInfo> {
        self.post_empty(&job(id, "/retry")).await
    }

    async fn job_approve(&self, id: &str) -> ApiResult<JobInfo> {
        self.post_empty(&job(id, "/approve")).await
    }

    async fn job_logs(&self, id: &str, query: &RecordQuery) -> ApiResult<Vec<LogEntry>> {
        let path = job(id, "/logs");
        let path = &path;
        let ask = |query: RecordQuery| async move { self.list(path, &query).await };
        newest(query, |line: &LogEntry| line.at, ask).await
    }

    async fn schedule_list(&self) -> ApiResult<Vec<ScheduleInfo>> {
        self.list("api/v1/schedules", &()).await
    }

    async fn schedule_put(
        &self,
        name: &str,
        request: ScheduleRequest,
        expected: Option<Fingerprint>,
    ) -> ApiResult<ScheduleInfo> {
        self.put(&format!("api/v1/schedules/{}", segment(name)), &request, expected).await
    }

    async fn schedule_delete(&self, name: &str) -> ApiResult<()> {
        self.delete(&format!("api/v1/schedules/{}", segment(name))).await
    }
}
