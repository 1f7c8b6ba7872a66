//! Runs jobs: `JobOptions → Engine::start_jobs → Engine::shutdown`. Only a process with exclusive access to the data
//! directory runs them.
//!
//! It compares the present with the desired state, when it is signalled and periodically: due jobs are started if there
//! is room, and jobs marked running that no task runs were interrupted. A job is `running` in the store before its
//! function is called, and its end is stored before another one is started in its place.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use outrigger_compute::with_store;
use outrigger_contract::Code;
use outrigger_contract::excerpt::excerpt_of;
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::machine::{Event, Prospect};
use super::schedule::Room;
use super::{JobError, JobId, JobRecord, JobState, Overlap, Owner, ScheduleRecord, event, request, schedule};
use crate::call::{Arguments, Call, CallOptions, Caller};
use crate::engine::{Engine, Inner};
use crate::error::Failure;
use crate::progress::{Progress, Reporter};
use crate::store::{JobFilter, StoreError};

/// How long to wait before a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long after it was written down how far a job is that is written down again.
const NOTED: Duration = Duration::from_secs(1);

/// Options of a runner.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// Jobs at once.
    pub parallel: usize,
    /// How often it looks by itself.
    pub period: Duration,
    /// How long jobs that run may take to finish at shutdown; after that they are interrupted.
    pub drain: Duration,
    pub clock: Clock,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self { parallel: 4, period: Duration::from_secs(1), drain: Duration::from_secs(10), clock: Clock::default() }
    }
}

/// The clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> OffsetDateTime + Send + Sync>);

impl Clock {
    /// A clock of one's own.
    pub fn new(now: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(OffsetDateTime::now_utc)
    }
}

impl Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// Knows callers by what is kept of them.
#[async_trait]
pub trait Callers: Debug + Send + Sync {
    /// The caller that asked for a job, with the rights that it has now.
    ///
    /// # Errors
    /// There is no such caller any more.
    async fn caller(&self, owner: &Owner) -> Result<Caller, Failure>;
}

/// The engine's handle to its runner.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    wake: Notify,
    running: Mutex<HashMap<JobId, Running>>,
    tasks: TaskTracker,
    /// Nothing more is begun.
    stop: CancellationToken,
    /// Running jobs are cancelled.
    interrupt: CancellationToken,
    drain: Mutex<Duration>,
}

#[derive(Debug)]
struct Running {
    /// The generation of the job that was begun, which no other attempt has.
    generation: u64,
    concurrency_key: Option<String>,
    /// The id of the key that owns the job.
    owner: Option<String>,
    cancel: CancellationToken,
}

/// The running jobs.
struct Busy {
    count: usize,
    concurrency_keys: Vec<String>,
    /// The keys that run as many jobs as one key may.
    owners: Vec<String>,
}

impl Desk {
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) fn cancel(&self, id: JobId) {
        if let Some(running) = self.running.lock().get(&id) {
            running.cancel.cancel();
        }
    }

    /// Begins nothing more, waits for what runs, and cuts off what takes too long.
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        let drain = *self.drain.lock();
        if tokio::time::timeout(drain, self.tasks.wait()).await.is_err() {
            self.interrupt.cancel();
            if tokio::time::timeout(drain, self.tasks.wait()).await.is_err() {
                tracing::warn!("failed to record interrupted jobs; the next start records them");
            }
        }
    }

    /// An attempt has ended. The state of another attempt stays.
    fn clear(&self, id: JobId, generation: u64) {
        let mut running = self.running.lock();
        if running.get(&id).is_some_and(|running| running.generation == generation) {
            running.remove(&id);
        }
    }

    fn busy(&self, parallel: usize) -> Busy {
        let running = self.running.lock();
        let mut owners: HashMap<&String, usize> = HashMap::new();
        running.values().filter_map(|job| job.owner.as_ref()).for_each(|key| *owners.entry(key).or_default() += 1);
        let owners = owners.into_iter().filter(|(_, count)| *count >= share_of_one(parallel));
        Busy {
            count: running.len(),
            concurrency_keys: running.values().filter_map(|job| job.concurrency_key.clone()).collect(),
            owners: owners.map(|(key, _)| key.clone()).collect(),
        }
    }
}

/// The number of jobs of one key that run at once. A quarter is left for the jobs of others, so that long jobs of one key
/// do not hold them up. The administrator of the data directory can use all.
const fn share_of_one(parallel: usize) -> usize {
    let share = parallel - parallel.div_ceil(4);
    if share == 0 { 1 } else { share }
}

impl Engine {
    /// Deals with jobs that ran when the last process ended, each by its policy, and does jobs from now on. Only for who
    /// has the store to itself, and once.
    ///
    /// # Errors
    /// The store failed.
    pub async fn start_jobs(&self, options: JobOptions, callers: Arc<dyn Callers>) -> Result<(), Failure> {
        let desk = &self.inner.jobs;
        *desk.drain.lock() = options.drain;
        let runner = Runner { engine: Arc::downgrade(&self.inner), options, callers };
        runner.settle(self).await?;
        desk.tasks.spawn(runner.run(desk.stop.clone()));
        Ok(())
    }
}

struct Runner {
    /// Weak, so that an engine that is dropped is gone.
    engine: Weak<Inner>,
    options: JobOptions,
    callers: Arc<dyn Callers>,
}

impl Runner {
    async fn run(self, stop: CancellationToken) {
        loop {
            let Some(inner) = self.engine.upgrade() else { return };
            let engine = Engine { inner };
            if let Err(failure) = self.turn(&engine).await {
                tracing::error!(%failure, "failed to look up due jobs");
            }
            let jobs = Arc::clone(&engine.inner.jobs);
            drop(engine);
            tokio::select! {
                () = stop.cancelled() => return,
                () = jobs.wake.notified() => {}
                () = tokio::time::sleep(self.options.period) => {}
            }
        }
    }

    async fn turn(&self, engine: &Engine) -> Result<(), Failure> {
        self.settle(engine).await?;
        self.tick(engine).await?;
        loop {
            let Busy { count, concurrency_keys, owners } = engine.inner.jobs.busy(self.options.parallel);
            if count >= self.options.parallel || engine.inner.jobs.stop.is_cancelled() {
                return Ok(());
            }
            let next = engine.inner.store.job_next(self.options.clock.now(), &concurrency_keys, &owners).await?;
            let Some(job) = next else { return Ok(()) };
            if engine.inner.jobs.running.lock().contains_key(&job.id) {
                // The end of the attempt before is written, and its place is about to be cleared, which wakes the next turn.
                return Ok(());
            }
            self.begin(engine, job).await?;
        }
    }

    /// Jobs marked running that no task runs were interrupted.
    async fn settle(&self, engine: &Engine) -> Result<(), Failure> {
        let filter = JobFilter { state: Some(JobState::Running), ..JobFilter::default() };
        for job in engine.inner.store.job_list(&filter).await? {
            if engine.inner.jobs.running.lock().contains_key(&job.id) {
                continue;
            }
            match end(engine, job.id, Event::Interrupted, &mut End::interrupted()).await {
                // It has ended between the two looks.
                Err(failure) if failure.code == Code::Conflict => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Creates the jobs of due schedules.
    async fn tick(&self, engine: &Engine) -> Result<(), Failure> {
        let now = self.options.clock.now();
        for present in engine.inner.store.schedule_list().await? {
            if !schedule::is_due(&present, now) {
                continue;
            }
            let room = self.room(engine, &present).await?;
            let Some((next, job)) = schedule::tick(&present, now, room) else { continue };
            let event = job.as_ref().map(event::of);
            let made = job.as_ref().zip(event.as_ref());
            match engine.inner.store.schedule_put(&next, made).await {
                Ok(_) => {
                    let (made, skipped) = (job.is_some(), next.skipped);
                    tracing::debug!(schedule = %next.name, made, skipped, "a schedule's time has come");
                    engine.told_of_job(event);
                }
                // It was changed meanwhile, and is looked at again with the next turn.
                Err(StoreError::Conflict { .. }) => engine.inner.jobs.wake(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether a due schedule can create a job.
    async fn room(&self, engine: &Engine, schedule: &ScheduleRecord) -> Result<Room, Failure> {
        let store = &engine.inner.store;
        if engine.job_room(&schedule.owner, &schedule.task).await?.is_err() {
            return Ok(Room::None);
        }
        // A schedule takes nothing from the quota, but the results of its jobs do.
        let key = schedule.owner.key.as_deref();
        if key.is_some_and(|key| engine.writes_of(key).is_overdrawn_by_jobs(Instant::now())) {
            return Ok(Room::None);
        }
        let (Overlap::Skip, Some(last)) = (schedule.overlap, schedule.last_job) else { return Ok(Room::Free) };
        let last = store.job_fetch(last).await?;
        Ok(if last.is_some_and(|job| !job.state.has_ended()) { Room::None } else { Room::Free })
    }

    /// Writes down that a job runs, and then has it run.
    async fn begin(&self, engine: &Engine, mut job: JobRecord) -> Result<(), Failure> {
        let desk = Arc::clone(&engine.inner.jobs);
        let generation = job.generation;
        if request::apply(&mut job, Event::Start, self.options.clock.now()).is_err() {
            return Ok(());
        }
        job.progress = None;
        // Registered before it is written, so that a reader of the running state can cancel it.
        let cancel = CancellationToken::new();
        let (concurrency_key, owner) = (job.task.concurrency_key.clone(), job.owner.key.clone());
        let running = Running { generation, concurrency_key, owner, cancel: cancel.clone() };
        desk.running.lock().insert(job.id, running);
        let event = event::of(&job);
        match engine.inner.store.job_put(&job, Some(&event)).await {
            Ok(_) => engine.told_of_job(Some(event)),
            Err(error) => {
                desk.clear(job.id, generation);
                return match error {
                    // It was cancelled at this moment.
                    StoreError::Conflict { .. } => Ok(()),
                    error => Err(error.into()),
                };
            }
        }
        let (engine, callers, clock) = (engine.clone(), Arc::clone(&self.callers), self.options.clock.clone());
        desk.tasks.clone().spawn(async move {
            let id = job.id;
            let (event, mut outcome) = attempt(&engine, &*callers, job, cancel, &clock).await;
            // Until it is written nothing else may take its place; a process that ends before leaves it interrupted.
            while let Err(failure) = end(&engine, id, event, &mut outcome).await {
                tracing::error!(%failure, job = %id, "failed to record the end of a job");
                if matches!(failure.code, Code::Conflict | Code::NotFound) || desk.interrupt.is_cancelled() {
                    break;
                }
                tokio::time::sleep(AGAIN).await;
            }
            desk.clear(id, generation);
            desk.wake();
        });
        Ok(())
    }
}

/// The outcome of an attempt.
#[derive(Debug)]
struct End {
    outcome: Result<String, Failure>,
    /// How far it said to be, at last.
    progress: Option<Progress>,
    at: OffsetDateTime,
}

impl End {
    fn interrupted() -> Self {
        let failure = Failure::new(Code::Cancelled, "the server stopped while the job ran")
            .with_hint("the job may have done part of its work; check this before `outrigger job retry`");
        Self { outcome: Err(failure), progress: None, at: OffsetDateTime::now_utc() }
    }
}

/// Calls the function of a job.
async fn attempt(
    engine: &Engine,
    callers: &dyn Callers,
    job: JobRecord,
    cancel: CancellationToken,
    clock: &Clock,
) -> (Event, End) {
    let interrupt = engine.inner.jobs.interrupt.clone();
    let (reporter, told) = Reporter::new();
    let noting = note(engine, job.id, told.clone());
    let work = async {
        let caller = callers.caller(&job.owner).await?;
        let options = CallOptions {
            timeout: job.task.timeout,
            correlation: Some(job.id),
            cancel: cancel.clone().into(),
            progress: Some(reporter),
            ..CallOptions::default()
        };
        let arguments = Arguments::Text(job.task.arguments);
        let call = Call { caller, function: job.task.function, arguments, options };
        let engine = engine.clone();
        // On a task of its own, so that what panics there ends there.
        let answer = tokio::spawn(async move { engine.call(call).await?.json_text().await });
        answer.await.unwrap_or_else(|_| Err(Failure::internal("the call panicked")))
    };
    let mut work = std::pin::pin!(work);
    let outcome = tokio::select! {
        outcome = &mut work => outcome,
        never = noting => match never {},
        () = interrupt.cancelled() => {
            cancel.cancel();
            match work.await {
                Err(failure) if failure.code == Code::Cancelled => {
                    let progress = told.borrow().clone();
                    return (Event::Interrupted, End { progress, ..End::interrupted() });
                }
                outcome => outcome,
            }
        }
    };
    let event = match &outcome {
        Ok(_) => Event::Succeeded,
        Err(failure) if failure.code == Code::Cancelled && cancel.is_cancelled() => Event::Cancelled,
        Err(failure) => Event::Failed(prospect(failure.code)),
    };
    let progress = told.borrow().clone();
    (event, End { outcome, progress, at: clock.now() })
}

/// Writes down how far a job is, whenever its function has said so, and then not again for a while.
async fn note(engine: &Engine, id: JobId, mut told: watch::Receiver<Option<Progress>>) -> Infallible {
    while told.changed().await.is_ok() {
        let progress = told.borrow_and_update().clone();
        if let Err(error) = write_progress(engine, id, progress).await {
            tracing::warn!(%error, job = %id, "failed to record the progress of a job");
        }
        tokio::time::sleep(NOTED).await;
    }
    std::future::pending().await
}

async fn write_progress(engine: &Engine, id: JobId, progress: Option<Progress>) -> Result<(), StoreError> {
    let store = &engine.inner.store;
    loop {
        let Some(job) = store.job_fetch(id).await?.filter(|job| job.state == JobState::Running) else { return Ok(()) };
        match store.job_put(&JobRecord { progress: progress.clone(), ..job }, None).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes down how an attempt ended.
async fn end(engine: &Engine, id: JobId, event: Event, end: &mut End) -> Result<(), Failure> {
    loop {
        let mut job = engine.job(id).await?;
        request::apply(&mut job, event, end.at).map_err(|refusal| Failure::new(Code::Conflict, refusal.to_string()))?;
        match &mut end.outcome {
            // Moved, because it can be large. It comes back if the job could not be written.
            Ok(text) => (job.result, job.error, job.progress) = (Some(std::mem::take(text)), None, None),
            Err(failure) => {
                let mut error = JobError::from(failure.clone());
                if !job.state.has_ended() {
                    // Many jobs can wait for another attempt, so only a short error is kept.
                    (error.message, error.detail) = (excerpt_of(&error.message), None);
                }
                job.error = Some(error);
                job.progress = end.progress.clone().or(job.progress);
            }
        }
        let (store, told) = (Arc::clone(&engine.inner.store), event::of(&job));
        let (mut job, told, put) = with_store(async move {
            let put = store.job_put(&job, Some(&told)).await;
            (job, told, put)
        })
        .await;
        if let (Err(_), Ok(text)) = (&put, &mut end.outcome) {
            *text = job.result.take().unwrap_or_default();
        }
        match put {
            Ok(_) => {
                engine.told_of_job(Some(told));
                // Ended jobs are pruned, and sooner when many bytes of them were written.
                let result = job.result.as_ref().map_or(0, String::len) as u64;
                engine.inner.written.add(request::bytes_of(&job.task) + result);
                if let Some(key) = job.owner.key.as_deref().filter(|_| result > 0) {
                    engine.writes_of(key).job_had_result(result, Instant::now());
                }
                tracing::debug!(job = %id, state = %job.state, attempt = job.attempt, "an attempt of a job has ended");
                return Ok(());
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether another attempt could end differently. What was wrong with the request itself stays wrong.
const fn prospect(code: Code) -> Prospect {
    match code {
        Code::InvalidUsage
        | Code::InvalidInput
        | Code::PluginNotFound
        | Code::FunctionNotFound
        | Code::Forbidden
        | Code::Unauthenticated
        | Code::CallDepth
        | Code::Unsupported => Prospect::ForGood,
        _ => Prospect::MayPass,
    }
}
