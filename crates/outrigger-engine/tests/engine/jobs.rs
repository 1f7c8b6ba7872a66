//! Jobs: begun when they may be, ended as they should be, found again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use outrigger_contract::Code;
use outrigger_engine::jobs::{
    Callers, Clock, JobId, JobOptions, JobRecord, JobRequest, JobState, Missed, OnInterruption, Overlap, Owner,
    ScheduleRequest,
};
use outrigger_engine::store::JobFilter;
use outrigger_engine::{Caller, Failure};
use serde_json::{Value as Json, json};
use time::OffsetDateTime;

use crate::bench::{Bench, until};

/// Knows the administrator, and no key any more.
#[derive(Debug)]
struct Administrator;

#[async_trait]
impl Callers for Administrator {
    async fn caller(&self, owner: &Owner) -> Result<Caller, Failure> {
        match &owner.key {
            None => Ok(Caller::Local),
            Some(key) => Err(Failure::new(Code::Forbidden, format!("the key {key} is gone"))),
        }
    }
}

fn request(function: &str, arguments: Json) -> JobRequest {
    JobRequest {
        function: function.parse().expect("a function's name"),
        arguments: arguments.to_string(),
        timeout: None,
        max_attempts: 1,
        backoff: Duration::ZERO,
        concurrency_key: None,
        on_interruption: None,
        needs_approval: false,
        not_before: None,
    }
}

impl Bench {
    async fn demo_with_jobs() -> Self {
        let bench = Self::new().await;
        bench.demo("").await;
        bench.do_jobs(JobOptions::default()).await;
        bench
    }

    async fn do_jobs(&self, options: JobOptions) {
        let options = JobOptions { period: Duration::from_millis(20), ..options };
        self.engine.start_jobs(options, Arc::new(Administrator)).await.expect("the store works");
    }

    async fn start_job(&self, request: JobRequest) -> JobId {
        self.engine.job_create(&Caller::Local, request).await.expect("it may be started").id
    }

    async fn reaches(&self, id: JobId, state: JobState) -> JobRecord {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let job = self.engine.job(id).await.expect("it is there");
            if job.state == state {
                return job;
            }
            assert!(Instant::now() < deadline, "it is not {state}: {job:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn a_job_is_called_as_any_function_is_and_its_result_kept() {
    let bench = Bench::demo_with_jobs().await;
    let id = bench.start_job(request("demo.echo", json!({"text": "hello"}))).await;
    let job = bench.reaches(id, JobState::Succeeded).await;
    assert_eq!((job.result.as_deref(), job.attempt, job.error), (Some("\"hello\""), 1, None));
    assert!(job.started_at.is_some() && job.ended_at >= job.started_at);
    bench.engine.flush().await;
    let runs = bench.store.run_list(&Default::default()).await.expect("the store works");
    assert_eq!(runs.iter().map(|run| run.correlation).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn what_cannot_be_called_is_not_queued() {
    let bench = Bench::demo_with_jobs().await;
    let check = async |request: JobRequest, expected: Code| {
        let failure = bench.engine.job_create(&Caller::Local, request).await.expect_err("it is refused");
        assert_eq!(failure.code, expected, "{failure}");
    };
    check(request("demo.nothing", json!({})), Code::FunctionNotFound).await;
    check(request("nothing.echo", json!({})), Code::PluginNotFound).await;
    check(request("demo.echo", json!({"text": 1})), Code::InvalidInput).await;
    check(JobRequest { max_attempts: 0, ..request("demo.version", json!({})) }, Code::InvalidInput).await;
    let odd = Some("a key".to_owned());
    check(JobRequest { concurrency_key: odd, ..request("demo.version", json!({})) }, Code::InvalidInput).await;
    assert_eq!(bench.store.job_list(&JobFilter::default()).await.expect("the store works"), []);
}

#[tokio::test]
async fn of_jobs_with_one_key_one_runs_at_a_time() {
    let bench = Bench::demo_with_jobs().await;
    let keyed = || JobRequest { concurrency_key: Some("network".to_owned()), ..request("demo.wait", json!({})) };
    let first = bench.start_job(keyed()).await;
    let second = bench.start_job(keyed()).await;
    let free = bench.start_job(request("demo.wait", json!({}))).await;
    bench.reaches(free, JobState::Running).await;
    until("two of three run", || bench.runtime.waiting() == 2).await;
    bench.reaches(first, JobState::Running).await;
    assert_eq!(bench.engine.job(second).await.expect("it is there").state, JobState::Queued);
    bench.runtime.release();
    bench.reaches(first, JobState::Succeeded).await;
    until("the other one runs", || bench.runtime.waiting() == 1).await;
    bench.runtime.release();
    bench.reaches(second, JobState::Succeeded).await;
}

#[tokio::test]
async fn so_many_run_at_once_and_no_more() {
    let bench = Bench::new().await;
    bench.demo("").await;
    bench.do_jobs(JobOptions { parallel: 2, ..JobOptions::default() }).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(bench.start_job(request("demo.wait", json!({}))).await);
    }
    until("two run", || bench.runtime.waiting() == 2).await;
    bench.reaches(ids[1], JobState::Running).await;
    assert_eq!(bench.engine.job(ids[2]).await.expect("it is there").state, JobState::Queued);
    bench.runtime.release();
    until("the third runs", || bench.runtime.waiting() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_is_followed_by_another_when_its_time_has_come() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let (start, at) = (tokio::time::Instant::now(), OffsetDateTime::now_utc());
    let clock = Clock::new(move || at + start.elapsed());
    bench.do_jobs(JobOptions { clock, ..JobOptions::default() }).await;
    let trying = |function: &str, arguments, max_attempts| JobRequest {
        max_attempts,
        backoff: Duration::from_secs(100),
        ..request(function, arguments)
    };
    let healed = bench.start_job(trying("demo.trap-until", json!({"times": 3}), 5)).await;
    let hopeless = bench.start_job(trying("demo.fail", json!({"text": "no"}), 2)).await;
    let job = bench.reaches(healed, JobState::Succeeded).await;
    assert_eq!((job.attempt, job.error), (3, None));
    // 100 s after the first, 200 s after the second.
    assert!((300..310).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    let job = bench.reaches(hopeless, JobState::Failed).await;
    assert_eq!((job.attempt, job.error.expect("it failed").message.as_str()), (2, "no"));
}

#[tokio::test]
async fn s06_little_is_kept_of_a_failed_attempt_while_another_is_awaited() {
    let bench = Bench::demo_with_jobs().await;
    let failing = |max_attempts| JobRequest {
        max_attempts,
        backoff: Duration::from_secs(3600),
        ..request("demo.fail", json!({"text": "x".repeat(50_000)}))
    };
    let waiting = bench.start_job(failing(2)).await;
    let ended = bench.reaches(bench.start_job(failing(1)).await, JobState::Failed).await;
    assert!(ended.error.expect("it failed").detail.is_some(), "all of it is kept in the end");
    until("it was tried", || bench.runtime.count("demo.fail") == 2).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let error = loop {
        let job = bench.engine.job(waiting).await.expect("it is there");
        match (job.state, job.error) {
            (JobState::Queued, Some(error)) => break error,
            _ => assert!(Instant::now() < deadline, "it does not wait"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    assert!(error.message.len() < 1_100 && error.detail.is_none(), "{} bytes", error.message.len());
}

#[tokio::test]
async fn a_job_is_cancelled_where_it_stands() {
    let bench = Bench::demo_with_jobs().await;
    let running = bench.start_job(request("demo.wait", json!({}))).await;
    until("it runs", || bench.runtime.waiting() == 1).await;
    bench.reaches(running, JobState::Running).await;
    bench.engine.job_cancel(running).await.expect("it can be");
    let job = bench.reaches(running, JobState::Cancelled).await;
    assert_eq!(job.error.expect("it was cut off").code, Code::Cancelled);
    assert_eq!(bench.runtime.waiting(), 0);

    let later = Some(OffsetDateTime::now_utc() + Duration::from_secs(3600));
    let queued = bench.start_job(JobRequest { not_before: later, ..request("demo.version", json!({})) }).await;
    assert_eq!(bench.engine.job_cancel(queued).await.expect("it can be").state, JobState::Cancelled);
    assert_eq!(bench.engine.job_cancel(queued).await.expect_err("it has ended").code, Code::Conflict);
    assert_eq!(bench.runtime.count("demo.version"), 0);
    assert_eq!(bench.engine.job_retry(queued, &Caller::Local).await.expect("it can be").state, JobState::Queued);
    bench.reaches(queued, JobState::Succeeded).await;
}

#[tokio::test]
async fn a_job_waits_for_approval() {
    let bench = Bench::demo_with_jobs().await;
    let guarded = JobRequest { needs_approval: true, ..request("demo.version", json!({})) };
    let id = bench.start_job(guarded).await;
    let behind = bench.start_job(request("demo.echo", json!({"text": "x"}))).await;
    bench.reaches(behind, JobState::Succeeded).await;
    assert_eq!(bench.engine.job(id).await.expect("it is there").state, JobState::WaitingForApproval);
    bench.engine.job_approve(id, &Caller::Local).await.expect("it waits");
    let job = bench.reaches(id, JobState::Succeeded).await;
    assert_eq!(job.approved_by.as_deref(), Some("local"));
    assert_eq!(bench.engine.job_approve(id, &Caller::Local).await.expect_err("it has ended").code, Code::Conflict);
}

#[tokio::test]
async fn a_caller_that_is_gone_calls_nothing() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let id = bench.start_job(JobRequest { max_attempts: 5, ..request("demo.version", json!({})) }).await;
    let mut job = bench.engine.job(id).await.expect("it is there");
    job.owner.key = Some("k1".to_owned());
    bench.store.job_put(&job, None).await.expect("nobody else writes");
    bench.do_jobs(JobOptions::default()).await;
    let job = bench.reaches(id, JobState::Failed).await;
    assert_eq!((job.attempt, job.error.expect("it failed").code), (1, Code::Forbidden));
    assert_eq!(bench.runtime.count("demo.version"), 0);
}

#[tokio::test]
async fn what_ran_when_the_last_process_ended_goes_where_its_policy_says() {
    let bench = Bench::new().await;
    bench.demo("[functions.version]\nidempotent = true\n").await;
    let mut ids = Vec::new();
    for policy in [OnInterruption::Fail, OnInterruption::Ask, OnInterruption::Retry] {
        let wanted = JobRequest { on_interruption: Some(policy), ..request("demo.version", json!({})) };
        ids.push(bench.start_job(wanted).await);
    }
    // Left open, the function decides.
    ids.push(bench.start_job(request("demo.version", json!({}))).await);
    let untouched = bench.start_job(request("demo.version", json!({}))).await;
    for id in &ids {
        let mut job = bench.engine.job(*id).await.expect("it is there");
        (job.state, job.attempt) = (JobState::Running, 1);
        bench.store.job_put(&job, None).await.expect("nobody else writes");
    }
    bench.do_jobs(JobOptions::default()).await;
    let failed = bench.reaches(ids[0], JobState::Failed).await;
    assert_eq!(failed.error.expect("it failed").message, "the server stopped while the job ran");
    assert_eq!(bench.reaches(ids[1], JobState::WaitingForApproval).await.attempt, 1);
    for id in &ids[2..] {
        let job = bench.reaches(*id, JobState::Succeeded).await;
        assert_eq!((job.attempt, job.interruptions, job.error), (2, 1, None));
    }
    assert_eq!(bench.reaches(untouched, JobState::Succeeded).await.attempt, 1);
}

#[tokio::test]
async fn what_takes_too_long_at_shutdown_was_interrupted() {
    let bench = Bench::new().await;
    bench.demo("").await;
    bench.do_jobs(JobOptions { drain: Duration::from_millis(50), ..JobOptions::default() }).await;
    let policy = Some(OnInterruption::Retry);
    let id = bench.start_job(JobRequest { on_interruption: policy, ..request("demo.wait", json!({})) }).await;
    until("it runs", || bench.runtime.waiting() == 1).await;
    bench.engine.shutdown().await;
    let job = bench.engine.job(id).await.expect("it is there");
    assert_eq!((job.state, job.interruptions), (JobState::Queued, 1));
    assert_eq!(bench.runtime.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_makes_a_job_each_time() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let wanted = ScheduleRequest {
        name: "often".to_owned(),
        cron: "* * * * *".parse().expect("a cron expression"),
        job: request("demo.version", json!({})),
        enabled: true,
        missed: Missed::Skip,
        overlap: Overlap::Skip,
    };
    let schedule = bench.engine.schedule_put(&Caller::Local, wanted.clone(), |_| true).await.expect("it is sound");
    let (start, due) = (tokio::time::Instant::now(), schedule.next_at.expect("it comes"));
    let clock = Clock::new(move || due - Duration::from_secs(1) + start.elapsed());
    bench.do_jobs(JobOptions { clock, ..JobOptions::default() }).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.runtime.count("demo.version") < 3 {
        assert!(Instant::now() < deadline, "no three jobs were made");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!((121..130).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    let filter = JobFilter { schedule: Some("often".to_owned()), ..JobFilter::default() };
    let made = bench.store.job_list(&filter).await.expect("the store works");
    let present = &bench.store.schedule_list().await.expect("the store works")[0];
    assert_eq!((made.len(), present.last_job), (3, Some(made[0].id)));
    let off = ScheduleRequest { enabled: false, ..wanted };
    assert_eq!(bench.engine.schedule_put(&Caller::Local, off, |_| true).await.expect("it is sound").next_at, None);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_waits_for_the_end_of_its_last_job_unless_it_says_otherwise() {
    for (overlap, jobs) in [(Overlap::Skip, 1), (Overlap::Queue, 4)] {
        let bench = Bench::new().await;
        bench.demo("").await;
        let job = JobRequest { timeout: Some(Duration::from_secs(36_000)), ..request("demo.wait", json!({})) };
        let wanted = ScheduleRequest {
            name: "often".to_owned(),
            cron: "* * * * *".parse().expect("a cron expression"),
            job,
            enabled: true,
            missed: Missed::Skip,
            overlap,
        };
        let schedule = bench.engine.schedule_put(&Caller::Local, wanted.clone(), |_| true).await.expect("it is sound");
        let (start, due) = (tokio::time::Instant::now(), schedule.next_at.expect("it comes"));
        let clock = Clock::new(move || due + start.elapsed());
        bench.do_jobs(JobOptions { clock, parallel: 2, ..JobOptions::default() }).await;
        let present = async || bench.store.schedule_list().await.expect("the store works").remove(0);
        while present().await.next_at < Some(due + Duration::from_secs(4 * 60)) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let made = bench.store.job_list(&JobFilter::default()).await.expect("the store works");
        let schedule = present().await;
        assert_eq!((made.len(), schedule.skipped), (jobs, 4 - jobs as u64), "{overlap:?}");
        // What was counted stays when it is changed.
        let changed = bench.engine.schedule_put(&Caller::Local, wanted, |_| true).await.expect("it is sound");
        assert_eq!((changed.skipped, changed.last_job), (schedule.skipped, schedule.last_job), "{overlap:?}");
    }
}

#[tokio::test]
async fn no_more_jobs_wait_than_there_is_room_for() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let first = bench.start_job(request("demo.version", json!({}))).await;
    let kept = bench.engine.job(first).await.expect("it is there");
    for _ in 1..10_000 {
        let job = JobRecord { id: JobId::new(), ..kept.clone() };
        bench.store.job_create(&job, None).await.expect("it is kept");
    }
    let refused = bench.engine.job_create(&Caller::Local, request("demo.version", json!({}))).await;
    let refused = refused.expect_err("too many wait");
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (Code::Busy, "the server has 10000 waiting jobs; the limit is 10000")
    );
    bench.engine.job_cancel(first).await.expect("it can be");
    bench.start_job(request("demo.version", json!({}))).await;
    let refused = bench.engine.job_retry(first, &Caller::Local).await.expect_err("too many wait again");
    assert_eq!(refused.code, Code::Busy);
}

#[tokio::test]
async fn arguments_that_are_too_long_are_not_kept() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let check = async |length: usize, expected: Option<Code>| {
        let wanted = request("demo.echo", json!({"text": "x".repeat(length)}));
        let job = bench.engine.job_create(&Caller::Local, wanted.clone()).await;
        assert_eq!(job.err().map(|failure| failure.code), expected, "a job with {length}");
        let wanted = ScheduleRequest {
            name: "long".to_owned(),
            cron: "0 0 * * *".parse().expect("a cron expression"),
            job: wanted,
            enabled: true,
            missed: Missed::Skip,
            overlap: Overlap::Skip,
        };
        let schedule = bench.engine.schedule_put(&Caller::Local, wanted, |_| true).await;
        assert_eq!(schedule.err().map(|failure| failure.code), expected, "a schedule with {length}");
    };
    let around = json!({"text": ""}).to_string().len();
    check((256 << 10) - around, None).await;
    check((256 << 10) - around + 1, Some(Code::TooLarge)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attempts_that_follow_each_other_at_once_are_each_made_once() {
    let bench = Bench::new().await;
    bench.demo("").await;
    bench.do_jobs(JobOptions { parallel: 8, period: Duration::from_millis(1), ..JobOptions::default() }).await;
    // Several, so that there is a turn at any moment.
    let trying = || JobRequest { max_attempts: 40, ..request("demo.fail", json!({"text": "no"})) };
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(bench.start_job(trying()).await);
    }
    for id in ids {
        let job = bench.reaches(id, JobState::Failed).await;
        assert_eq!((job.attempt, job.interruptions), (40, 0));
    }
    assert_eq!(bench.runtime.count("demo.fail"), 6 * 40);
}
