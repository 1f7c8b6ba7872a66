//! Requests about jobs and schedules: validated, completed with defaults, and stored. The host checks rights.

use std::time::{Duration, Instant};

use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, FunctionRef};
use time::OffsetDateTime;

use super::machine::{self, Effect, Event, Standing};
use super::{Cron, JobId, JobRecord, Missed, OnInterruption, Overlap, Owner, ScheduleRecord, Task, event};
use crate::call::{Arguments, Call, CallOptions, Caller};
use crate::cap;
use crate::engine::Engine;
use crate::error::Failure;
use crate::quota::{self, Kind};
use crate::store::StoreError;

/// Attempts may be this many.
const MOST_ATTEMPTS: u32 = 100;
/// Of a name or a key.
const LONGEST_NAME: usize = 128;
/// Of the text of arguments, in bytes: they are kept with the job, and shown with every list of jobs.
const LONGEST_ARGUMENTS: usize = 256 << 10;
/// The size of a job besides its arguments and its result: its row, and the events of its states.
const JOB_BYTES: u64 = 2 << 10;

/// A request for a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRequest {
    pub function: FunctionRef,
    /// The text of a JSON object with a member for each parameter.
    pub arguments: String,
    /// For one attempt, instead of the function's own.
    pub timeout: Option<Duration>,
    pub max_attempts: u32,
    pub backoff: Duration,
    pub concurrency_key: Option<String>,
    /// By the function, where it is left open: one that only reads, or is idempotent, is begun again; any other has failed.
    pub on_interruption: Option<OnInterruption>,
    pub needs_approval: bool,
    pub not_before: Option<OffsetDateTime>,
}

/// A request for a schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleRequest {
    pub name: String,
    pub cron: Cron,
    pub job: JobRequest,
    pub enabled: bool,
    pub missed: Missed,
    pub overlap: Overlap,
}

impl Engine {
    /// Puts a job into the queue. A runner, of this process or of the one that holds the data directory, does it.
    ///
    /// # Errors
    /// The function cannot be called by this caller or with these arguments, too many jobs wait already, or the store failed.
    pub async fn job_create(&self, caller: &Caller, request: JobRequest) -> Result<JobRecord, Failure> {
        let not_before = request.not_before;
        let task = self.task(caller, request).await?;
        let owner = owner(caller);
        self.charge_job(caller, &task)?;
        self.job_room(&owner, &task).await??;
        let mut job = JobRecord::new(task, owner, OffsetDateTime::now_utc());
        job.not_before = not_before;
        let told = event::of(&job);
        self.inner.store.job_create(&job, Some(&told)).await?;
        job.generation = 1;
        self.told_of_job(Some(told));
        self.inner.jobs.wake();
        Ok(job)
    }

    /// One job.
    ///
    /// # Errors
    /// There is no such job, or the store failed.
    pub async fn job(&self, id: JobId) -> Result<JobRecord, Failure> {
        let found = self.inner.store.job_fetch(id).await?;
        found.ok_or_else(|| {
            Failure::new(Code::NotFound, format!("there is no job {id}")).with_hint("`outrigger job list` shows them")
        })
    }

    /// Cancels a job: at once if it has not started, otherwise as soon as its call ends.
    ///
    /// # Errors
    /// It has ended, there is no such job, or the store failed.
    pub async fn job_cancel(&self, id: JobId) -> Result<JobRecord, Failure> {
        self.job_change(id, Event::Cancel, |job| {
            job.cancel_requested = true;
            Ok(())
        })
        .await
    }

    /// Approves a job that waits for it. This requires a right of its own: the approver need not be able to call the
    /// function, which is called as the job's owner.
    ///
    /// # Errors
    /// It does not wait for approval, there is no such job, or the store failed.
    pub async fn job_approve(&self, id: JobId, by: &Caller) -> Result<JobRecord, Failure> {
        self.job_change(id, Event::Approve, |job| {
            job.approved_by = Some(by.to_string());
            Ok(())
        })
        .await
    }

    /// Retries a job that failed or was cancelled. It is called as its owner, so the caller must be allowed to call the
    /// function too; otherwise a caller could have others do what it is not allowed to do itself.
    /// # Errors
    /// It has not ended so, the function can no longer be called, too many jobs wait, there is no such job, or the
    /// store failed.
    pub async fn job_retry(&self, id: JobId, by: &Caller) -> Result<JobRecord, Failure> {
        let JobRecord { task, owner, .. } = self.job(id).await?;
        // Boxed: with the job beside it, the future would be large.
        Box::pin(self.check_call(by, task.function.clone(), task.arguments.clone())).await?;
        self.charge_job(by, &task)?;
        self.job_room(&owner, &task).await??;
        self.job_change(id, Event::Retry, |_| Ok(())).await
    }

    /// Takes a job from the write quota of a key. The administrator of the data directory has no quota.
    fn charge_job(&self, caller: &Caller, task: &Task) -> Result<(), Failure> {
        let Some(key) = caller.key() else { return Ok(()) };
        let taken = self.writes_of(key).take(Kind::Job, bytes_of(task), Instant::now());
        taken.map_err(|wait| quota::exceeded(&format!("the {caller}"), "jobs", wait))
    }

    /// Checks that this owner can have one more unfinished job.
    pub(super) async fn job_room(&self, owner: &Owner, task: &Task) -> Result<Result<(), Failure>, StoreError> {
        let store = &self.inner.store;
        let all = store.job_backlog(None).await?;
        let own = match &owner.key {
            Some(key) => Some(store.job_backlog(Some(key)).await?),
            None => None,
        };
        Ok(cap::JOBS.check_sums(own, all, bytes_of(task)))
    }

    /// Applies an event to a job: runs the state machine, writes its result, and performs its effects. `also` writes
    /// related records; it is asked again after a conflict.
    pub(crate) async fn job_change(
        &self,
        id: JobId,
        event: Event,
        also: impl Fn(&mut JobRecord) -> Result<(), Failure> + Send,
    ) -> Result<JobRecord, Failure> {
        loop {
            let mut job = self.job(id).await?;
            let before = job.state;
            let effect = apply(&mut job, event, OffsetDateTime::now_utc())
                .map_err(|refusal| Failure::new(Code::Conflict, refusal.to_string()))?;
            also(&mut job)?;
            let told = (job.state != before).then(|| event::of(&job));
            match self.inner.store.job_put(&job, told.as_ref()).await {
                Ok(generation) => job.generation = generation,
                Err(StoreError::Conflict { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            if effect == Some(Effect::CancelCall) {
                self.inner.jobs.cancel(id);
            }
            self.told_of_job(told);
            self.inner.jobs.wake();
            return Ok(job);
        }
    }

    /// Creates a schedule, or replaces the one of the same name. `is_expected` checks the schedule that would be
    /// replaced, if any.
    ///
    /// # Errors
    /// Its function cannot be called, its expression never matches, the existing schedule is not the expected one,
    /// there are too many, or the store failed.
    pub async fn schedule_put(
        &self,
        caller: &Caller,
        request: ScheduleRequest,
        is_expected: impl Fn(Option<&ScheduleRecord>) -> bool + Send,
    ) -> Result<ScheduleRecord, Failure> {
        let ScheduleRequest { name, cron, job, enabled, missed, overlap } = request;
        check_name("name of a schedule", &name)?;
        if job.not_before.is_some() {
            return Err(invalid("a scheduled job cannot have `not_before`", "leave it out"));
        }
        let task = self.task(caller, job).await?;
        let now = OffsetDateTime::now_utc();
        let first = cron.after(now);
        if first.is_none() {
            return Err(invalid(&format!("the cron expression `{cron}` never matches"), "check the day and the month"));
        }
        loop {
            let mut others = self.inner.store.schedule_list().await?;
            let present = others.iter().position(|present| present.name == name).map(|at| others.remove(at));
            if !is_expected(present.as_ref()) {
                return Err(StoreError::Conflict { what: format!("the schedule {name}") }.into());
            }
            let others = others.iter().map(|other| (other.owner.key.as_deref(), bytes_of(&other.task)));
            cap::SCHEDULES.check(caller.key(), others, bytes_of(&task))?;
            let (last_job, skipped, created_at, generation) = present.map_or((None, 0, now, 0), |present| {
                (present.last_job, present.skipped, present.created_at, present.generation)
            });
            let mut schedule = ScheduleRecord {
                name: name.clone(),
                cron: cron.clone(),
                task: task.clone(),
                owner: owner(caller),
                enabled,
                missed,
                overlap,
                skipped,
                next_at: first.filter(|_| enabled),
                last_job,
                created_at,
                generation,
            };
            match self.inner.store.schedule_put(&schedule, None).await {
                Ok(generation) => schedule.generation = generation,
                Err(StoreError::Conflict { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            self.inner.jobs.wake();
            return Ok(schedule);
        }
    }

    /// Checks what is asked for, and settles what was left open.
    async fn task(&self, caller: &Caller, request: JobRequest) -> Result<Task, Failure> {
        let JobRequest {
            function,
            arguments,
            timeout,
            max_attempts,
            backoff,
            concurrency_key,
            on_interruption,
            needs_approval,
            not_before: _,
        } = request;
        if !(1..=MOST_ATTEMPTS).contains(&max_attempts) {
            return Err(invalid(&format!("{max_attempts} is not a number of attempts"), "a job has 1 to 100 attempts"));
        }
        if let Some(key) = &concurrency_key {
            check_name("concurrency key", key)?;
        }
        if arguments.len() > LONGEST_ARGUMENTS {
            let size = ByteSize::bytes(arguments.len() as u64).rounded();
            let limit = ByteSize::bytes(LONGEST_ARGUMENTS as u64);
            let message = format!("the arguments of the job are {size}; the limit is {limit}");
            return Err(Failure::new(Code::TooLarge, message)
                .with_hint("store the data where the function can fetch it, and pass only its location"));
        }
        let repeatable = self.check_call(caller, function.clone(), arguments.clone()).await?;
        let by_function = if repeatable { OnInterruption::Retry } else { OnInterruption::Fail };
        Ok(Task {
            function,
            arguments,
            timeout,
            max_attempts,
            backoff,
            concurrency_key,
            on_interruption: on_interruption.unwrap_or(by_function),
            needs_approval,
        })
    }

    /// Checks that this caller could call a function with these arguments. Answers whether it does no harm to call it once
    /// more.
    async fn check_call(&self, caller: &Caller, function: FunctionRef, arguments: String) -> Result<bool, Failure> {
        let arguments = Arguments::Text(arguments);
        self.check(Call { caller: caller.clone(), function, arguments, options: CallOptions::default() }).await
    }
}

/// Lets an event happen to a job in memory.
pub(super) fn apply(
    job: &mut JobRecord,
    event: Event,
    now: OffsetDateTime,
) -> Result<Option<Effect>, machine::Refusal> {
    let transition = machine::advance(&Standing::from(&*job), event)?;
    job.state = transition.state;
    match transition.effect {
        Some(Effect::Call) => {
            job.attempt += 1;
            job.started_at.get_or_insert(now);
            job.not_before = None;
        }
        Some(Effect::Wait(wait)) => job.not_before = Some(now + wait),
        Some(Effect::StartOver) => {
            (job.attempt, job.interruptions, job.cancel_requested) = (0, 0, false);
            (job.approved_by, job.progress, job.result, job.error) = (None, None, None, None);
            (job.not_before, job.started_at) = (None, None);
        }
        Some(Effect::CancelCall) | None => {}
    }
    if event == Event::Interrupted {
        job.interruptions += 1;
    }
    job.ended_at = job.state.has_ended().then_some(now);
    Ok(transition.effect)
}

/// The size of a job with this task, without a result.
pub(super) const fn bytes_of(task: &Task) -> u64 {
    task.arguments.len() as u64 + JOB_BYTES
}

fn owner(caller: &Caller) -> Owner {
    Owner { name: caller.to_string(), key: caller.key().map(str::to_owned) }
}

fn check_name(what: &str, name: &str) -> Result<(), Failure> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/');
    if !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(sound) {
        return Ok(());
    }
    let message = format!("`{name}` is not the {what}");
    Err(invalid(&message, "it has 1 to 128 letters, digits, `.`, `_`, `-`, `:` and `/`"))
}

fn invalid(message: &str, hint: &str) -> Failure {
    Failure::new(Code::InvalidInput, message).with_hint(hint)
}
