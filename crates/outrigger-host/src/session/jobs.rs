//! Jobs and schedules. The right to call is checked on the engine's path, when a job is started and again when it runs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use outrigger_api::{
    ApiError, ApiResult, Code, Fingerprint, JobErrorInfo, JobInfo, JobProgressInfo, JobQuery, JobRequest, Jobs,
    JsonObject, JsonText, LogEntry, Platform as _, RecordQuery, Records, ScheduleInfo, ScheduleRequest,
};
use outrigger_compute::Turn;
use outrigger_contract::Digest;
use outrigger_contract::types::json::tree_size;
use outrigger_engine::Failure;
use outrigger_engine::access::Right;
use outrigger_engine::jobs::{self, JobError, JobId, JobRecord, JobState, Missed, OnInterruption, Overlap, Task};
use outrigger_engine::progress::Progress;
use outrigger_engine::store::JobFilter;
use serde_json::{Value, json};

use super::{Act, LONGEST_LIST, ListTurn, Session, Trace, Who, page_size, shorten};
use crate::convert;

/// As the schema of a job says it.
const LONGEST_BACKOFF_MS: u64 = 3_600_000;
const LONGEST_TIMEOUT_MS: u64 = 86_400_000;

/// Jobs that are read at once, which may be large,
const PAGE: u32 = 50;
/// and how often it is read on where too few of those may be seen.
const MOST_PAGES: usize = 200;

#[async_trait]
impl Jobs for Session {
    async fn job_create(&self, request: JobRequest) -> ApiResult<JobInfo> {
        let function = request.function.to_string();
        let work = async {
            let job = self.host.engine.job_create(&self.caller(), wanted(request)?).await.map_err(convert::error)?;
            Ok(traced(None, job))
        };
        self.act(Act::works(Right::JOB_CREATE, &function), work).await
    }

    async fn job_list(&self, query: &JobQuery) -> ApiResult<Vec<JobInfo>> {
        self.require_some(Right::JOB_VIEW)?;
        let Some(mut filter) = filter(query)? else { return Ok(Vec::new()) };
        let most = filter.limit as usize;
        filter.limit = filter.limit.min(PAGE);
        let turn = self.list_turn().await;
        let (mut seen, mut left) = (Vec::new(), LONGEST_LIST);
        for _ in 0..MOST_PAGES {
            let (store, asked) = (Arc::clone(self.host.engine.store()), filter.clone());
            let read = async move { store.job_list(&asked).await.map_err(convert::store_error) };
            let mut page = turn.read(read).await?;
            let last = page.last().filter(|_| page.len() == filter.limit as usize).map(|job| job.id);
            page.retain(|job| self.may(Right::JOB_VIEW, &job.task.function.to_string()));
            let is_cut = shorten(&mut page, &mut left, size);
            let bytes = page.iter().map(size).sum();
            seen.extend(self.converted(bytes, move || page.into_iter().map(info).collect::<Vec<_>>()).await?);
            if last.is_none() || is_cut || seen.len() >= most {
                break;
            }
            filter.before = last;
        }
        seen.truncate(most);
        Ok(seen)
    }

    async fn job_fetch(&self, id: &str) -> ApiResult<JobInfo> {
        let job = self.job(Right::JOB_VIEW, id).await?;
        self.converted(size(&job), move || info(job)).await
    }

    async fn job_cancel(&self, id: &str) -> ApiResult<JobInfo> {
        let _turn = self.job_turn().await;
        let job = self.job(Right::JOB_MODIFY, id).await?;
        let cancelled = self.host.engine.job_cancel(job.id);
        self.job_change(Right::JOB_MODIFY, job, cancelled).await
    }

    async fn job_retry(&self, id: &str) -> ApiResult<JobInfo> {
        let _turn = self.job_turn().await;
        let job = self.job(Right::JOB_MODIFY, id).await?;
        let by = self.caller();
        let retried = self.host.engine.job_retry(job.id, &by);
        self.job_change(Right::JOB_MODIFY, job, retried).await
    }

    async fn job_approve(&self, id: &str) -> ApiResult<JobInfo> {
        let _turn = self.job_turn().await;
        let (job, by) = (self.job(Right::JOB_APPROVE, id).await?, self.caller());
        let approved = self.host.engine.job_approve(job.id, &by);
        self.job_change(Right::JOB_APPROVE, job, approved).await
    }

    async fn job_logs(&self, id: &str, query: &RecordQuery) -> ApiResult<Vec<LogEntry>> {
        let job = self.job(Right::JOB_VIEW, id).await?;
        self.log_list(&RecordQuery { correlation: Some(job.id.to_string()), ..query.clone() }).await
    }

    async fn schedule_list(&self) -> ApiResult<Vec<ScheduleInfo>> {
        self.require_some(Right::JOB_VIEW)?;
        let turn = self.list_turn().await;
        let mut found = self.schedules(&turn).await?;
        found.retain(|schedule| self.may(Right::JOB_VIEW, &schedule.task.function.to_string()));
        let bytes = found.iter().map(|schedule| schedule.task.arguments.len()).sum();
        self.converted(bytes, move || found.into_iter().map(schedule_info).collect()).await
    }

    async fn schedule_put(
        &self,
        name: &str,
        request: ScheduleRequest,
        expected: Option<Fingerprint>,
    ) -> ApiResult<ScheduleInfo> {
        let function = request.job.function.to_string();
        self.require(Right::JOB_CREATE, &function)?;
        let present = self.schedule(name).await?;
        if let Some(present) = &present {
            // It is taken from whoever set it.
            self.require(Right::JOB_CREATE, &present.task.function.to_string())?;
        }
        let work = async {
            let request = scheduled(name, request)?;
            let put = self.host.engine.schedule_put(&self.caller(), request, is(expected)).await;
            let put = put.map_err(convert::error)?;
            let (before, after) = (present.as_ref().map(standing), Some(standing(&put)));
            Ok((schedule_info(put), Trace { before, after, revision: None }))
        };
        self.act(Act::new(Right::JOB_CREATE, &function), work).await
    }

    async fn schedule_delete(&self, name: &str) -> ApiResult<()> {
        self.require_some(Right::JOB_MODIFY)?;
        let Some(present) = self.schedule(name).await? else {
            let message = format!("there is no schedule `{name}`");
            return Err(ApiError::new(Code::NotFound, message).with_hint("`outrigger schedule list` shows them"));
        };
        let function = present.task.function.to_string();
        let work = async {
            self.host.engine.store().schedule_delete(name).await.map_err(convert::store_error)?;
            Ok(((), Trace { before: Some(standing(&present)), ..Trace::default() }))
        };
        self.act(Act::destroys(Right::JOB_MODIFY, &function), work).await
    }
}

impl Session {
    /// A job over whose function the caller has a right.
    async fn job(&self, right: Right, id: &str) -> ApiResult<JobRecord> {
        self.require_some(right)?;
        let job = self.host.engine.job(job_id(id)?).await.map_err(convert::error)?;
        self.require(right, &job.task.function.to_string())?;
        Ok(job)
    }

    /// Does something to a job, and writes down what it was before.
    async fn job_change(
        &self,
        right: Right,
        before: JobRecord,
        change: impl Future<Output = Result<JobRecord, Failure>> + Send,
    ) -> ApiResult<JobInfo> {
        let function = before.task.function.to_string();
        let work = async { Ok(traced(Some(before), change.await.map_err(convert::error)?)) };
        self.act(Act::works(right, &function), work).await
    }

    async fn schedule(&self, name: &str) -> ApiResult<Option<jobs::ScheduleRecord>> {
        let all = self.schedules(&self.list_turn().await).await?;
        Ok(all.into_iter().find(|schedule| schedule.name == name))
    }

    async fn schedules(&self, turn: &ListTurn) -> ApiResult<Vec<jobs::ScheduleRecord>> {
        let store = Arc::clone(self.host.engine.store());
        turn.read(async move { store.schedule_list().await.map_err(convert::store_error) }).await
    }

    /// Waits until the caller may change a job. A key changes one at a time, because the job is read with its result,
    /// which can be large. None for the administrator, who does not wait.
    async fn job_turn(&self) -> Option<Turn> {
        match &self.who {
            Who::Local => None,
            Who::Key(_) => Some(self.host.job_changes.begin(&self.turn_owner()).await),
        }
    }
}

/// The answer, with what the audit log says of it. Arguments and results are left out there: they may be secret, and the
/// job has them.
fn traced(before: Option<JobRecord>, after: JobRecord) -> (JobInfo, Trace) {
    let short = |job: &JobRecord| json!({"job": job.id.to_string(), "state": job.state.as_str()});
    let (before, written) = (before.as_ref().map(short), short(&after));
    (info(after), Trace { before, after: Some(written), revision: None })
}

/// The audit entry of a schedule. Arguments may be secret, so it contains only their digest: enough to see whether they
/// were changed.
fn standing(schedule: &jobs::ScheduleRecord) -> Value {
    json!({
        "schedule": schedule.name,
        "cron": schedule.cron.to_string(),
        "function": schedule.task.function.to_string(),
        "arguments": Digest::of(schedule.task.arguments.as_bytes()).to_string(),
        "enabled": schedule.enabled,
        "missed": schedule.missed.as_str(),
        "overlap": schedule.overlap.as_str(),
        "owner": schedule.owner.name,
    })
}

fn job_id(text: &str) -> ApiResult<JobId> {
    text.parse().map_err(|_| {
        ApiError::new(Code::NotFound, format!("there is no job `{text}`"))
            .with_hint("the id of a job is a ULID; `outrigger job list` shows them")
    })
}

/// A job to list those before: no job is asked for, so one that cannot be is a wrong question.
fn earlier_than(text: &str) -> ApiResult<JobId> {
    text.parse().map_err(|_| {
        ApiError::new(Code::InvalidUsage, format!("`before` is `{text}`, which is not the id of a job"))
            .with_hint("the id of a job is a ULID: 26 letters and digits")
    })
}

fn invalid(message: String, hint: &str) -> ApiError {
    ApiError::new(Code::InvalidInput, message).with_hint(hint)
}

fn wanted(request: JobRequest) -> ApiResult<jobs::JobRequest> {
    let JobRequest {
        function,
        arguments,
        timeout_ms,
        max_attempts,
        backoff_ms,
        concurrency_key,
        on_interruption,
        needs_approval,
        not_before,
    } = request;
    if backoff_ms > LONGEST_BACKOFF_MS {
        return Err(invalid(format!("`backoff_ms` is {backoff_ms}"), "the maximum is 3,600,000 (one hour)"));
    }
    if let Some(timeout) = timeout_ms.filter(|timeout| !(1..=LONGEST_TIMEOUT_MS).contains(timeout)) {
        return Err(invalid(format!("`timeout_ms` is {timeout}"), "write 1 to 86,400,000 (one day)"));
    }
    let policy = |text: String| match text.as_str() {
        "fail" => Ok(OnInterruption::Fail),
        "retry" => Ok(OnInterruption::Retry),
        "ask" => Ok(OnInterruption::Ask),
        _ => {
            Err(invalid(format!("`{text}` is not a policy for interruptions"), "the policies are fail, retry and ask"))
        }
    };
    Ok(jobs::JobRequest {
        function,
        arguments: arguments.into_string(),
        timeout: timeout_ms.map(Duration::from_millis),
        max_attempts,
        backoff: Duration::from_millis(backoff_ms),
        concurrency_key,
        on_interruption: on_interruption.map(policy).transpose()?,
        needs_approval,
        not_before,
    })
}

fn scheduled(name: &str, request: ScheduleRequest) -> ApiResult<jobs::ScheduleRequest> {
    let ScheduleRequest { cron, job, enabled, missed, overlap } = request;
    let hint = "write, for example, `30 2 * * *` for 02:30 UTC every day";
    Ok(jobs::ScheduleRequest {
        name: name.to_owned(),
        cron: cron.parse().map_err(|error: jobs::InvalidCron| invalid(error.to_string(), hint))?,
        job: wanted(job)?,
        enabled,
        missed: match missed.as_str() {
            "skip" => Missed::Skip,
            "run_once" => Missed::RunOnce,
            _ => {
                return Err(invalid(
                    format!("`{missed}` is not a policy for missed jobs"),
                    "the policies are skip and run_once",
                ));
            }
        },
        overlap: match overlap.as_str() {
            "skip" => Overlap::Skip,
            "queue" => Overlap::Queue,
            _ => {
                return Err(invalid(
                    format!("`{overlap}` is not a policy for overlaps"),
                    "the policies are skip and queue",
                ));
            }
        },
    })
}

/// None where nothing can match.
fn filter(query: &JobQuery) -> ApiResult<Option<JobFilter>> {
    let JobQuery { state, plugin, function, schedule, before, limit } = query;
    let known = |text: &String| {
        let found = JobState::ALL.into_iter().find(|state| state.as_str() == text);
        let names = || JobState::ALL.map(JobState::as_str).join(", ");
        found.ok_or_else(|| {
            ApiError::new(Code::InvalidUsage, format!("`{text}` is not a state of a job"))
                .with_hint(format!("states are {}", names()))
        })
    };
    // A question is looked at as a whole, whether or not something can match.
    let state = state.as_ref().map(known).transpose()?;
    let before = before.as_deref().map(earlier_than).transpose()?;
    let (of_plugin, of_function) = match function {
        None => (plugin.clone(), None),
        Some(function) if plugin.as_ref().is_none_or(|plugin| *plugin == function.plugin) => {
            (Some(function.plugin.clone()), Some(function.function.clone()))
        }
        Some(_) => return Ok(None),
    };
    Ok(Some(JobFilter {
        state,
        plugin: of_plugin,
        function: of_function,
        schedule: schedule.clone(),
        before,
        limit: page_size(*limit),
    }))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The size of a job, in bytes: its arguments, its result, and its error.
fn size(job: &JobRecord) -> usize {
    let result = job.result.as_ref().map_or(0, String::len);
    let detail = job.error.as_ref().and_then(|error| error.detail.as_ref());
    job.task.arguments.len() + result + detail.map_or(0, tree_size)
}

fn info(record: JobRecord) -> JobInfo {
    let JobRecord {
        id,
        task,
        owner,
        state,
        attempt,
        interruptions: _,
        cancel_requested,
        approved_by,
        not_before,
        progress,
        result,
        error,
        schedule,
        created_at,
        started_at,
        ended_at,
        generation: _,
    } = record;
    let JobRequest {
        function,
        arguments,
        timeout_ms,
        max_attempts,
        backoff_ms,
        concurrency_key,
        on_interruption,
        needs_approval,
        not_before: _,
    } = asked(task);
    JobInfo {
        id: id.to_string(),
        function,
        arguments,
        state: state.as_str().to_owned(),
        caller: owner.name,
        attempt,
        max_attempts,
        backoff_ms,
        timeout_ms,
        concurrency_key,
        on_interruption: on_interruption.unwrap_or_default(),
        needs_approval,
        approved_by,
        cancel_requested,
        progress: progress.map(|Progress { fraction, message }| JobProgressInfo { fraction, message }),
        result: result.map(|text| JsonText::parse(text).unwrap_or_default()),
        error: error.map(|JobError { code, message, hint, detail }| JobErrorInfo { code, message, hint, detail }),
        schedule,
        created_at,
        not_before,
        started_at,
        ended_at,
    }
}

/// A task, as it could be asked for again.
fn asked(task: Task) -> JobRequest {
    let Task { function, arguments, timeout, max_attempts, backoff, concurrency_key, on_interruption, needs_approval } =
        task;
    JobRequest {
        function,
        arguments: JsonObject::parse(arguments).unwrap_or_default(),
        timeout_ms: timeout.map(milliseconds),
        max_attempts,
        backoff_ms: milliseconds(backoff),
        concurrency_key,
        on_interruption: Some(on_interruption.as_str().to_owned()),
        needs_approval,
        not_before: None,
    }
}

/// Asks whether a schedule is as it was read.
fn is(expected: Option<Fingerprint>) -> impl Fn(Option<&jobs::ScheduleRecord>) -> bool + Send {
    move |present| {
        expected.is_none_or(|expected| {
            present.is_some_and(|present| schedule_info(present.clone()).fingerprint() == expected)
        })
    }
}

fn schedule_info(record: jobs::ScheduleRecord) -> ScheduleInfo {
    let jobs::ScheduleRecord {
        name,
        cron,
        task,
        owner,
        enabled,
        missed,
        overlap,
        skipped,
        next_at,
        last_job,
        created_at,
        generation: _,
    } = record;
    ScheduleInfo {
        name,
        cron: cron.to_string(),
        job: asked(task),
        caller: owner.name,
        enabled,
        missed: missed.as_str().to_owned(),
        overlap: overlap.as_str().to_owned(),
        skipped,
        next_at,
        last_job: last_job.map(|id| id.to_string()),
        created_at,
    }
}
