//! Jobs, and the schedules that make them.

use outrigger_api::{
    ApiError, ApiResult, Code, JobInfo, JobQuery, JobRequest, LogEntry, RecordQuery, ScheduleInfo, ScheduleRequest,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::records::{checked, record_query};
use crate::endpoint::answer::{Created, Done, Large, Reply, Tagged};
use crate::endpoint::api::Api;
use crate::endpoint::input::{AsText, Input, NoBody};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::etag::{self, Demand, ETag};
use crate::page::List;

const TAG: &str = "Jobs";

/// The error codes of starting a job.
const START: &[Code] = &[
    Code::InvalidInput,
    Code::PluginNotFound,
    Code::FunctionNotFound,
    Code::PluginNotActive,
    Code::LifecycleFailed,
    Code::Unsupported,
];

pub fn routes(api: &mut Api) {
    api.post("/api/v1/jobs", "job_create", create)
        .tag(TAG)
        .summary("Start a job")
        .describe("A durable background call. It is stored before the response is sent.")
        .right("job_create")
        .example(json!({"function": "pricing.currencies", "arguments": {}, "max_attempts": 3, "needs_approval": true}))
        .fails(START)
        .fails(&[Code::Busy]);
    api.get("/api/v1/jobs", "job_list", list).tag(TAG).summary("List jobs, newest first").right("job_view");
    api.get("/api/v1/jobs/{job_id}", "job_fetch", fetch)
        .tag(TAG)
        .summary("Show a job")
        .right("job_view")
        .fails(&[Code::NotFound, Code::OutputLimit]);
    api.get("/api/v1/jobs/{job_id}/logs", "job_logs", logs)
        .tag(TAG)
        .summary("List log lines of a job, oldest first")
        .right("job_view")
        .fails(&[Code::NotFound]);
    api.post("/api/v1/jobs/{job_id}/cancel", "job_cancel", cancel)
        .tag(TAG)
        .summary("Cancel a job")
        .describe("A running job ends when its call ends; the response does not wait for that.")
        .right("job_modify")
        .fails(&[Code::NotFound, Code::Conflict]);
    api.post("/api/v1/jobs/{job_id}/retry", "job_retry", retry)
        .tag(TAG)
        .summary("Retry a failed or cancelled job")
        .describe("The job runs as the caller that started it. Retrying it also requires the right `function_execute`.")
        .right("job_modify")
        .fails(&[Code::NotFound, Code::Conflict, Code::Busy])
        .fails(START);
    api.post("/api/v1/jobs/{job_id}/approve", "job_approve", approve)
        .tag(TAG)
        .summary("Approve a waiting job")
        .describe(
            "The job runs as the caller that started it. Approving it does not require the right to call its function.",
        )
        .right("job_approve")
        .fails(&[Code::NotFound, Code::Conflict]);
    api.get("/api/v1/schedules", "schedule_list", schedules).tag(TAG).summary("List the schedules").right("job_view");
    api.get("/api/v1/schedules/{schedule}", "schedule_fetch", schedule)
        .tag(TAG)
        .summary("Show a schedule")
        .describe("The ETag covers the schedule's settings and its owner; creating a job does not change it.")
        .right("job_view")
        .fails(&[Code::NotFound]);
    api.put("/api/v1/schedules/{schedule}", "schedule_put", put_schedule)
        .tag(TAG)
        .summary("Create or change a schedule")
        .right("job_create")
        .example(json!({"cron": "30 2 * * *", "job": {"function": "pricing.currencies"}, "missed": "run_once"}))
        .takes_if_match()
        .fails(START)
        .fails(&[Code::Conflict]);
    api.delete("/api/v1/schedules/{schedule}", "schedule_delete", delete_schedule)
        .tag(TAG)
        .summary("Remove a schedule and keep its jobs")
        .right("job_modify")
        .fails(&[Code::NotFound]);
}

/// The path of a job.
#[derive(Debug, Deserialize, JsonSchema)]
struct JobPath {
    /// Its id.
    #[schemars(length(min = 1), example = &"01JD0000000000000000000000")]
    job_id: String,
}

/// The path of a schedule.
#[derive(Debug, Deserialize, JsonSchema)]
struct SchedulePath {
    /// Its name.
    #[schemars(length(max = 128), regex(pattern = "^[A-Za-z0-9._:/-]+$"), example = &"nightly")]
    schedule: String,
}

async fn create(caller: Caller, input: Input<NoPath, NoQuery, AsText<JobRequest>>) -> ApiResult<Created<JobInfo>> {
    let job = caller.platform.job_create(input.body.0).await?;
    let location = format!("/api/v1/jobs/{}", job.id);
    Ok(Created(job, location))
}

async fn list(caller: Caller, input: Input<NoPath, JobQuery, NoBody>) -> ApiResult<Large<List<JobInfo>>> {
    checked(input.query.limit, None, None)?;
    let items = caller.platform.job_list(&input.query).await?;
    Ok(Large(List { items }))
}

async fn fetch(caller: Caller, input: Input<JobPath, NoQuery, NoBody>) -> ApiResult<Large<JobInfo>> {
    caller.platform.job_fetch(&input.path.job_id).await.map(Large)
}

async fn logs(caller: Caller, input: Input<JobPath, RecordQuery, NoBody>) -> ApiResult<Large<List<LogEntry>>> {
    record_query(&input.query)?;
    let items = caller.platform.job_logs(&input.path.job_id, &input.query).await?;
    Ok(Large(List { items }))
}

async fn cancel(caller: Caller, input: Input<JobPath, NoQuery, NoBody>) -> ApiResult<Reply<JobInfo>> {
    caller.platform.job_cancel(&input.path.job_id).await.map(Reply)
}

async fn retry(caller: Caller, input: Input<JobPath, NoQuery, NoBody>) -> ApiResult<Reply<JobInfo>> {
    caller.platform.job_retry(&input.path.job_id).await.map(Reply)
}

async fn approve(caller: Caller, input: Input<JobPath, NoQuery, NoBody>) -> ApiResult<Reply<JobInfo>> {
    caller.platform.job_approve(&input.path.job_id).await.map(Reply)
}

async fn schedules(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Large<List<ScheduleInfo>>> {
    let items = caller.platform.schedule_list().await?;
    Ok(Large(List { items }))
}

async fn schedule(caller: Caller, input: Input<SchedulePath, NoQuery, NoBody>) -> ApiResult<Tagged<ScheduleInfo>> {
    let name = input.path.schedule;
    let found = find_schedule(&caller, &name).await?;
    found.map(tagged).ok_or_else(|| {
        ApiError::new(Code::NotFound, format!("there is no schedule `{name}`"))
            .with_hint("`GET /api/v1/schedules` lists the schedules")
    })
}

async fn put_schedule(
    caller: Caller,
    input: Input<SchedulePath, NoQuery, ScheduleRequest>,
) -> ApiResult<Tagged<ScheduleInfo>> {
    let demand = Demand::read(input.if_match.as_ref())?;
    let name = input.path.schedule;
    let present = match demand {
        Demand::Nothing => None,
        Demand::Something | Demand::OneOf(_) => find_schedule(&caller, &name).await?,
    };
    let expected = demand.expected(present.as_ref().map(ScheduleInfo::fingerprint))?;
    let put = caller.platform.schedule_put(&name, input.body, expected).await;
    put.map(tagged).map_err(|error| if expected.is_some() { etag::stale(error) } else { error })
}

async fn find_schedule(caller: &Caller, name: &str) -> ApiResult<Option<ScheduleInfo>> {
    Ok(caller.platform.schedule_list().await?.into_iter().find(|schedule| schedule.name == name))
}

fn tagged(schedule: ScheduleInfo) -> Tagged<ScheduleInfo> {
    let tag = ETag::of(schedule.fingerprint());
    Tagged(schedule, tag)
}

async fn delete_schedule(caller: Caller, input: Input<SchedulePath, NoQuery, NoBody>) -> ApiResult<Done> {
    caller.platform.schedule_delete(&input.path.schedule).await.map(|()| Done)
}
