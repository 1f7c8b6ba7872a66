//! `outrigger job` and `outrigger schedule`: durable background calls.

use std::collections::HashSet;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use outrigger_api::{
    ApiError, Code, JobErrorInfo, JobInfo, JobProgressInfo, JobQuery, JobRequest, LogEntry, Platform, RecordQuery,
    ScheduleInfo, ScheduleRequest,
};
use outrigger_contract::units::Span;
use serde_json::json;
use time::OffsetDateTime;

use super::{call, filters, records};
use crate::cli::{
    InputOptions, JobCommand, JobListArguments, JobOptions, JobStartArguments, Missed, Overlap, ScheduleCommand,
    ScheduleSetArguments,
};
use crate::context::Context;
use crate::error::CliResult;
use crate::output::human;
use crate::output::table::{cell, fields, status, table_or};
use crate::output::{moment, one_line};

/// How often a job is looked at.
const POLL: Duration = Duration::from_millis(300);

/// Runs one of the commands.
///
/// # Errors
/// The platform's.
pub async fn run(context: &Context, command: JobCommand) -> CliResult {
    match command {
        JobCommand::Start(arguments) => start(context, arguments).await,
        JobCommand::List(arguments) => list(context, arguments).await,
        JobCommand::Show { id } => {
            let job = context.platform().await?.job_fetch(&id).await?;
            context.output.print(&job, || job_text(&job))
        }
        JobCommand::Wait { id, timeout } => wait(context, &id, timeout.map(Span::as_duration)).await,
        JobCommand::Cancel { id } => {
            let job = context.platform().await?.job_cancel(&id).await?;
            context.output.print(&job, || match job.state.as_str() {
                "running" => format!("Cancelling job {id}"),
                state => format!("job {id} is {state}"),
            })
        }
        JobCommand::Retry { id } => {
            let job = context.platform().await?.job_retry(&id).await?;
            remark_on_server(context);
            context.output.print(&job, || format!("job {id} is {}", job.state))
        }
        JobCommand::Approve { id } => {
            let job = context.platform().await?.job_approve(&id).await?;
            remark_on_server(context);
            context.output.print(&job, || format!("job {id} is {}", job.state))
        }
        JobCommand::Logs { id, since, limit, follow } => {
            let limit = limit.unwrap_or(records::ALL);
            let query = RecordQuery { since: since.map(|since| since.0), limit, ..RecordQuery::default() };
            if follow { follow_logs(context, &id, query).await } else { logs(context, &id, &query).await }
        }
    }
}

/// Runs one of the commands for schedules.
///
/// # Errors
/// The platform's.
pub async fn schedule(context: &Context, command: ScheduleCommand) -> CliResult {
    match command {
        ScheduleCommand::Set(arguments) => set(context, arguments).await,
        ScheduleCommand::List => schedules(context).await,
        ScheduleCommand::Remove { name } => {
            context.platform().await?.schedule_delete(&name).await?;
            context.output.print(&json!({"schedule": name, "action": "removed"}), || format!("schedule {name} removed"))
        }
    }
}

async fn start(context: &Context, arguments: JobStartArguments) -> CliResult {
    let JobStartArguments { job, delay, input, words } = arguments;
    let request = wanted(context, job, input, &words).await?;
    let not_before = delay.map(|delay| OffsetDateTime::now_utc() + delay.as_duration());
    let job = context.platform().await?.job_create(JobRequest { not_before, ..request }).await?;
    remark_on_server(context);
    if job.state == "waiting_for_approval" {
        context.output.remark(&format!("The job is waiting for approval: `outrigger job approve {}`.", job.id));
    }
    context.output.print(&job, || job.id.clone())
}

/// The job that the words on the command line ask for.
async fn wanted(context: &Context, job: JobOptions, input: InputOptions, words: &[OsString]) -> CliResult<JobRequest> {
    let request = call::read(&**context.platform().await?, input, words).await?;
    let JobOptions { attempts, backoff, key, on_interruption, needs_approval } = job;
    Ok(JobRequest {
        timeout_ms: request.timeout_ms,
        max_attempts: attempts,
        backoff_ms: u64::try_from(backoff.as_duration().as_millis()).unwrap_or(u64::MAX),
        concurrency_key: key,
        on_interruption: on_interruption.map(|policy| policy.as_str().to_owned()),
        needs_approval,
        ..JobRequest::new(request.function, request.arguments)
    })
}

/// Warns if no server is running, because nothing happens until one starts.
fn remark_on_server(context: &Context) {
    if !context.has_server() {
        context.output.remark("No server runs over this data directory: jobs wait until `outrigger serve` does them.");
    }
}

async fn list(context: &Context, arguments: JobListArguments) -> CliResult {
    let JobListArguments { state, function, schedule, limit } = arguments;
    let query = JobQuery { state, function, schedule, limit, ..JobQuery::default() };
    let jobs = context.platform().await?.job_list(&query).await?;
    let row = |job: &JobInfo| {
        let told = match (&job.progress, &job.error) {
            (Some(progress), _) if job.state == "running" => progress_text(progress),
            (_, Some(error)) => error.message.clone(),
            _ => String::new(),
        };
        vec![
            cell(&job.id),
            cell(job.function.to_string()),
            status(&job.state),
            cell(format!("{}/{}", job.attempt, job.max_attempts)),
            cell(&job.caller),
            cell(moment(job.created_at)),
            cell(one_line(&told)),
        ]
    };
    context.output.print(&jobs, || {
        let head = ["ID", "FUNCTION", "STATE", "ATTEMPT>", "BY", "CREATED", "MESSAGE"];
        let filters = [query.state.is_some(), query.function.is_some(), query.schedule.is_some()];
        table_or(&filters::empty("jobs", &filters), &head, jobs.iter().map(row).collect())
    })?;
    if jobs.is_empty() {
        let named = query.function.as_ref().map(|named| (&named.plugin, &named.function)).unzip();
        filters::check_plugin(context, named.0, named.1).await;
        if let Some(schedule) = &query.schedule {
            filters::check_schedule(context, schedule).await;
        }
    }
    Ok(())
}

fn job_text(job: &JobInfo) -> String {
    let at = |time: Option<OffsetDateTime>| time.map_or_else(|| "-".to_owned(), moment);
    let mut lines = vec![
        ("Job", job.id.clone()),
        ("Function", job.function.to_string()),
        ("State", job.state.clone()),
        ("Attempt", format!("{} of {}", job.attempt, job.max_attempts)),
        ("If interrupted", job.on_interruption.clone()),
        ("Asked for by", job.caller.clone()),
        ("Created", moment(job.created_at)),
        ("Started", at(job.started_at)),
        ("Ended", at(job.ended_at)),
    ];
    let optional = [
        ("Not before", job.not_before.map(moment)),
        ("Key", job.concurrency_key.clone()),
        ("Approved by", job.approved_by.clone()),
        ("Schedule", job.schedule.clone()),
        ("Progress", job.progress.as_ref().map(progress_text)),
        ("Error", job.error.as_ref().map(|error| format!("{}: {}", error.code, one_line(&error.message)))),
        ("Result", job.result.as_ref().map(|result| human::text(&result.to_value()))),
    ];
    lines.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    fields(&lines)
}

/// `40 %, copying the third of seven tables`
fn progress_text(JobProgressInfo { fraction, message }: &JobProgressInfo) -> String {
    let message = one_line(message);
    match fraction.map(|fraction| format!("{:.0} %", fraction * 100.0)) {
        Some(share) if message.is_empty() => share,
        Some(share) => format!("{share}, {message}"),
        None => message,
    }
}

fn has_ended(job: &JobInfo) -> bool {
    matches!(job.state.as_str(), "succeeded" | "failed" | "cancelled")
}

async fn wait(context: &Context, id: &str, timeout: Option<Duration>) -> CliResult {
    let platform = context.platform().await?;
    let started = Instant::now();
    let mut ticks = tokio::time::interval(POLL);
    let progress = context.output.spinner(format!("waiting for job {id}"));
    let job = loop {
        ticks.tick().await;
        let job = platform.job_fetch(id).await?;
        if has_ended(&job) {
            break job;
        }
        progress.say(match &job.progress {
            Some(progress) if job.state == "running" => progress_text(progress),
            _ => format!("job {id} is {}", job.state),
        });
        if timeout.is_some_and(|timeout| started.elapsed() >= timeout) {
            let message = format!("job {id} is still {}", job.state);
            return Err(ApiError::new(Code::DeadlineExceeded, message)
                .with_hint("the job continues; wait again with `outrigger job wait`")
                .into());
        }
    };
    drop(progress);
    match (job.state.as_str(), &job.error) {
        ("succeeded", _) => context.output.print(&job, || job_text(&job)),
        (_, Some(JobErrorInfo { code, message, hint, detail })) => {
            let error = ApiError::new(*code, message.clone()).with_hint(hint.clone());
            Err(ApiError { detail: detail.clone(), ..error }.into())
        }
        (state, None) => Err(ApiError::new(Code::Cancelled, format!("job {id} is {state}")).into()),
    }
}

async fn logs(context: &Context, id: &str, query: &RecordQuery) -> CliResult {
    let entries = context.platform().await?.job_logs(id, query).await?;
    context.output.print(&entries, || match entries.is_empty() {
        true => "No log lines.".to_owned(),
        false => entries.iter().map(records::log_line).collect(),
    })
}

/// Shows lines as they come. The job is looked at before its lines are, so that none is missed at its end.
async fn follow_logs(context: &Context, id: &str, mut query: RecordQuery) -> CliResult {
    let platform: &dyn Platform = &**context.platform().await?;
    let mut seen: HashSet<(OffsetDateTime, String)> = HashSet::new();
    let mut ticks = tokio::time::interval(POLL);
    loop {
        ticks.tick().await;
        let ended = has_ended(&platform.job_fetch(id).await?);
        let entries: Vec<LogEntry> = platform.job_logs(id, &query).await?;
        for entry in &entries {
            if seen.insert((entry.at, entry.message.clone())) {
                context.output.print_line(entry, || records::log_line(entry))?;
            }
        }
        if ended {
            return Ok(());
        }
        query.since = query.since.max(records::earliest(&entries, query.limit));
        query.limit = records::ALL;
        if let Some(last) = entries.last() {
            // Lines are written in batches, so one may come after a later one.
            let again = last.at - Duration::from_secs(5);
            query.since = query.since.max(Some(again));
            seen.retain(|(at, _)| *at >= again);
        }
    }
}

async fn set(context: &Context, arguments: ScheduleSetArguments) -> CliResult {
    let ScheduleSetArguments { job, missed, overlap, disabled, input, name, cron, words } = arguments;
    let job = wanted(context, job, input, &words).await?;
    let missed = match missed {
        Missed::Skip => "skip",
        Missed::RunOnce => "run_once",
    };
    let overlap = match overlap {
        Overlap::Skip => "skip",
        Overlap::Queue => "queue",
    };
    let (missed, overlap) = (missed.to_owned(), overlap.to_owned());
    let request = ScheduleRequest { cron, job, enabled: !disabled, missed, overlap };
    let set = context.platform().await?.schedule_put(&name, request, None).await?;
    remark_on_server(context);
    context.output.print(&set, || match set.next_at {
        Some(next) => format!("schedule {name}: next at {}", moment(next)),
        None => format!("schedule {name}: disabled"),
    })
}

async fn schedules(context: &Context) -> CliResult {
    let all = context.platform().await?.schedule_list().await?;
    let row = |schedule: &ScheduleInfo| {
        let ScheduleInfo {
            name,
            cron,
            job,
            caller,
            enabled: _,
            missed,
            overlap: _,
            skipped,
            next_at,
            last_job,
            created_at: _,
        } = schedule;
        vec![
            cell(name),
            cell(cron),
            cell(job.function.to_string()),
            cell(next_at.map_or_else(|| "disabled".to_owned(), moment)),
            cell(missed),
            cell(skipped.to_string()),
            cell(last_job.as_deref().unwrap_or("-")),
            cell(caller),
        ]
    };
    context.output.print(&all, || {
        let head = ["NAME", "CRON", "FUNCTION", "NEXT", "IF MISSED", "SKIPPED>", "LAST JOB", "BY"];
        table_or("No schedules.", &head, all.iter().map(row).collect())
    })
}
