//! Jobs and schedules.

use std::sync::Arc;
use std::time::Duration;

use outrigger_engine::Store;
use outrigger_engine::jobs::{JobError, JobId, JobRecord, JobState, Missed, Overlap, Owner, ScheduleRecord};
use outrigger_engine::progress::Progress;
use outrigger_engine::store::{Amount, Bound, JobFilter, Keep};

use super::fixtures::{assert_conflict, event, job, moment, schedule};

async fn created(store: &dyn Store, job: JobRecord) -> JobRecord {
    store.job_create(&job, None).await.unwrap();
    JobRecord { generation: 1, ..job }
}

fn ids(jobs: &[JobRecord]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

pub async fn a_job_comes_back_as_it_was_written(store: Arc<dyn Store>) {
    assert_eq!(store.job_fetch(job(1).id).await.unwrap(), None);
    assert!(!store.job_exists(job(1).id).await.unwrap());
    let mut whole = created(&*store, job(1)).await;
    assert!(store.job_exists(whole.id).await.unwrap());
    assert_eq!(store.job_fetch(whole.id).await.unwrap().as_ref(), Some(&whole));
    whole.state = JobState::Failed;
    whole.task.timeout = Some(Duration::from_millis(1_500));
    whole.task.concurrency_key = Some("network".to_owned());
    (whole.attempt, whole.interruptions, whole.cancel_requested) = (3, 1, true);
    (whole.approved_by, whole.schedule) = (Some("key ops".to_owned()), Some("nightly".to_owned()));
    (whole.not_before, whole.started_at, whole.ended_at) = (Some(moment(3)), Some(moment(4)), Some(moment(5)));
    whole.progress = Some(Progress { fraction: Some(0.25), message: "a quarter".to_owned() });
    whole.result = Some("{\"b\": 1.10, \"a\": []}".to_owned());
    whole.error = Some(JobError {
        code: outrigger_contract::Code::FunctionFailed,
        message: "no".to_owned(),
        hint: "look".to_owned(),
        detail: Some(serde_json::json!({"z": 1, "a": 2})),
    });
    assert_eq!(store.job_put(&whole, None).await.unwrap(), 2);
    whole.generation = 2;
    assert_eq!(store.job_fetch(whole.id).await.unwrap().as_ref(), Some(&whole));
    whole.result = Some(format!("\"{}\"", "x".repeat(1 << 20)));
    assert_eq!(store.job_put(&whole, None).await.unwrap(), 3);
    whole.generation = 3;
    assert_eq!(store.job_fetch(whole.id).await.unwrap(), Some(whole), "a large one, too");
}

pub async fn an_id_is_of_one_job(store: Arc<dyn Store>) {
    let first = created(&*store, job(1)).await;
    let second = JobRecord { state: JobState::Failed, ..first.clone() };
    assert_conflict(store.job_create(&second, None).await);
    assert_eq!(store.job_fetch(first.id).await.unwrap(), Some(first));
}

pub async fn a_job_is_only_written_over_what_was_read(store: Arc<dyn Store>) {
    assert_conflict(store.job_put(&job(1), None).await);
    let read = created(&*store, job(1)).await;
    let running = JobRecord { state: JobState::Running, ..read.clone() };
    assert_eq!(store.job_put(&running, None).await.unwrap(), 2);
    assert_conflict(store.job_put(&JobRecord { state: JobState::Cancelled, ..read }, None).await);
    assert_eq!(store.job_fetch(running.id).await.unwrap().unwrap().state, JobState::Running);
}

pub async fn of_many_that_begin_a_job_one_does(store: Arc<dyn Store>) {
    let read = created(&*store, job(1)).await;
    let begin = || {
        let (store, running) = (Arc::clone(&store), JobRecord { state: JobState::Running, ..read.clone() });
        tokio::spawn(async move { store.job_put(&running, None).await.is_ok() })
    };
    let begun: Vec<_> = (0..8).map(|_| begin()).collect();
    let mut winners = 0;
    for outcome in begun {
        winners += u32::from(outcome.await.unwrap());
    }
    assert_eq!(winners, 1);
}

pub async fn jobs_are_listed_newest_first_as_the_filter_says(store: Arc<dyn Store>) {
    let mut all = Vec::new();
    for number in 0..6 {
        let mut next = job(number);
        next.state = if number % 2 == 0 { JobState::Queued } else { JobState::Failed };
        next.schedule = (number >= 4).then(|| "nightly".to_owned());
        next.result = Some("1".to_owned());
        if number == 5 {
            next.task.function = "billing.close".parse().unwrap();
        }
        all.insert(0, created(&*store, next).await.id);
    }
    let check = async |filter: JobFilter, expected: &[JobId]| {
        assert_eq!(ids(&store.job_list(&filter).await.unwrap()), expected, "{filter:?}");
    };
    let any = JobFilter::default();
    check(any.clone(), &all).await;
    let found = store.job_list(&any).await.unwrap();
    assert!(found.iter().all(|job| job.result.is_none()), "results are left out");
    check(JobFilter { limit: 2, ..any.clone() }, &all[..2]).await;
    check(JobFilter { before: Some(all[3]), ..any.clone() }, &all[4..]).await;
    check(JobFilter { state: Some(JobState::Queued), ..any.clone() }, &[all[1], all[3], all[5]]).await;
    check(JobFilter { schedule: Some("nightly".to_owned()), ..any.clone() }, &all[..2]).await;
    check(JobFilter { plugin: Some("billing".parse().unwrap()), ..any.clone() }, &all[..1]).await;
    check(JobFilter { function: Some("echo".parse().unwrap()), ..any }, &all[1..]).await;
}

pub async fn the_next_job_is_the_oldest_that_may_begin(store: Arc<dyn Store>) {
    let keyed = |number, key: &str| {
        let mut keyed = job(number);
        keyed.task.concurrency_key = Some(key.to_owned());
        keyed
    };
    let later = JobRecord { not_before: Some(moment(100)), ..job(1) };
    let running = JobRecord { state: JobState::Running, ..job(0) };
    let made = [running, later, keyed(2, "a"), keyed(3, "b"), job(4)];
    for job in &made {
        created(&*store, job.clone()).await;
    }
    let check = async |now, busy: &[&str], expected: Option<usize>| {
        let busy: Vec<String> = busy.iter().map(|key| (*key).to_owned()).collect();
        let next = store.job_next(moment(now), &busy, &[]).await.unwrap();
        assert_eq!(next.map(|job| job.id), expected.map(|index| made[index].id), "{now} {busy:?}");
    };
    check(10, &[], Some(2)).await;
    check(10, &["a"], Some(3)).await;
    check(10, &["a", "b"], Some(4)).await;
    check(99, &[], Some(2)).await;
    check(100, &[], Some(1)).await;
}

pub async fn s22_the_next_job_is_of_an_account_that_may_run_more(store: Arc<dyn Store>) {
    let owner = Owner { name: "key other".to_owned(), key: Some("id-of-other".to_owned()) };
    let made = [job(0), job(1), JobRecord { owner, ..job(2) }];
    for job in &made {
        created(&*store, job.clone()).await;
    }
    let check = async |except: &[&str], expected: Option<usize>| {
        let except: Vec<String> = except.iter().map(|account| (*account).to_owned()).collect();
        let next = store.job_next(moment(10), &["a".to_owned()], &except).await.unwrap();
        assert_eq!(next.map(|job| job.id), expected.map(|index| made[index].id), "{except:?}");
    };
    check(&[], Some(0)).await;
    check(&["id-of-other", "nobody"], Some(0)).await;
    check(&["id-of-ci"], Some(2)).await;
    check(&["id-of-ci", "id-of-other"], None).await;
}

pub async fn jobs_that_have_not_ended_are_counted(store: Arc<dyn Store>) {
    assert_eq!(store.job_backlog(None).await.unwrap(), Amount::default());
    for (number, state) in (0..).zip(JobState::ALL) {
        let ended_at = state.has_ended().then(|| moment(number));
        created(&*store, JobRecord { state, ended_at, ..job(number) }).await;
    }
    created(&*store, JobRecord { not_before: Some(moment(1_000)), ..job(20) }).await;
    let owner = Owner { name: "key other".to_owned(), key: Some("id-of-other".to_owned()) };
    let mut large = JobRecord { owner, ..job(21) };
    large.task.arguments = "x".repeat(100_000);
    created(&*store, large.clone()).await;
    let check = async |account: Option<&str>, records: u64, kilobytes: u64| {
        let backlog = store.job_backlog(account).await.unwrap();
        assert_eq!((backlog.records, backlog.bytes / 10_000), (records, kilobytes / 10), "{account:?}");
    };
    check(None, 5, 100).await;
    check(Some("id-of-ci"), 4, 0).await;
    check(Some("id-of-other"), 1, 100).await;
    check(Some("key other"), 0, 0).await;
    let cancelled = JobRecord { state: JobState::Cancelled, ended_at: Some(moment(30)), generation: 1, ..large };
    store.job_put(&cancelled, None).await.unwrap();
    check(Some("id-of-other"), 0, 0).await;
}

pub async fn s14_jobs_that_may_be_called_once_more_are_counted(store: Arc<dyn Store>) {
    let plugin = job(0).task.function.plugin;
    assert_eq!(store.job_unfinished(&plugin, None).await.unwrap(), 0);
    for (number, state) in (0..).zip(JobState::ALL) {
        created(&*store, JobRecord { state, ..job(number) }).await;
    }
    let owner = Owner { name: "key other".to_owned(), key: Some("id-of-other".to_owned()) };
    created(&*store, JobRecord { owner, ..job(21) }).await;
    for (except, expected) in [(None, 6), (Some("id-of-ci"), 1), (Some("id-of-other"), 5), (Some("nobody"), 6)] {
        assert_eq!(store.job_unfinished(&plugin, except).await.unwrap(), expected, "{except:?}");
    }
    let other = "another".parse().expect("a name");
    assert_eq!(store.job_unfinished(&other, None).await.unwrap(), 0);
}

pub async fn a_schedule_comes_back_as_it_was_put(store: Arc<dyn Store>) {
    assert_eq!(store.schedule_list().await.unwrap(), []);
    let mut nightly = schedule("nightly");
    nightly.missed = Missed::RunOnce;
    (nightly.overlap, nightly.skipped) = (Overlap::Queue, 7);
    nightly.last_job = Some(job(1).id);
    assert_eq!(store.schedule_put(&schedule("weekly"), None).await.unwrap(), 1);
    assert_eq!(store.schedule_put(&nightly, None).await.unwrap(), 1);
    nightly.generation = 1;
    let weekly = ScheduleRecord { generation: 1, ..schedule("weekly") };
    assert_eq!(store.schedule_list().await.unwrap(), [nightly.clone(), weekly.clone()]);
    assert!(store.schedule_delete("nightly").await.unwrap());
    assert!(!store.schedule_delete("nightly").await.unwrap());
    assert_eq!(store.schedule_list().await.unwrap(), [weekly]);
    assert_conflict(store.schedule_put(&nightly, None).await);
}

pub async fn a_schedule_and_its_job_are_written_together(store: Arc<dyn Store>) {
    store.schedule_put(&schedule("nightly"), None).await.unwrap();
    let read = ScheduleRecord { generation: 1, ..schedule("nightly") };
    let due = ScheduleRecord { next_at: Some(moment(60)), ..read.clone() };
    assert_eq!(store.schedule_put(&due, Some((&job(1), &event(1)))).await.unwrap(), 2);
    // A second look at what was read before makes no second job.
    assert_conflict(store.schedule_put(&due, Some((&job(2), &event(2)))).await);
    // Nor does the schedule move on where its job cannot be made.
    let again = ScheduleRecord { generation: 2, next_at: Some(moment(120)), ..read };
    assert_conflict(store.schedule_put(&again, Some((&job(1), &event(1)))).await);
    assert_eq!(ids(&store.job_list(&JobFilter::default()).await.unwrap()), [job(1).id]);
    let present = store.schedule_list().await.unwrap();
    assert_eq!((present[0].generation, present[0].next_at), (2, Some(moment(60))));
    let told = store.event_read(None, 10).await.unwrap();
    assert_eq!(told.iter().map(|told| told.at).collect::<Vec<_>>(), [moment(1)]);
}

pub async fn a_job_and_the_event_that_tells_of_it_are_written_together(store: Arc<dyn Store>) {
    store.job_create(&job(1), Some(&event(1))).await.unwrap();
    let read = JobRecord { generation: 1, ..job(1) };
    store.job_put(&read, Some(&event(2))).await.unwrap();
    assert_conflict(store.job_create(&job(1), Some(&event(3))).await);
    assert_conflict(store.job_put(&read, Some(&event(4))).await);
    let told = store.event_read(None, 10).await.unwrap();
    assert_eq!(told.iter().map(|told| told.at).collect::<Vec<_>>(), [moment(1), moment(2)]);
}

pub async fn only_jobs_that_have_ended_are_pruned(store: Arc<dyn Store>) {
    for (number, state) in (0..).zip(JobState::ALL) {
        let ended_at = state.has_ended().then(|| moment(number));
        created(&*store, JobRecord { state, ended_at, ..job(number) }).await;
    }
    // It has ended once, and is to be done again.
    created(&*store, JobRecord { ended_at: Some(moment(0)), ..job(20) }).await;
    let ended = |job: &JobRecord| job.state.has_ended();
    let newest = Bound::newest(2, moment(0));
    assert_eq!(store.prune(&Keep { jobs: newest, ..Keep::since(moment(0)) }).await.unwrap(), 1);
    assert_eq!(store.prune(&Keep::since(moment(5))).await.unwrap(), 1);
    let left = store.job_list(&JobFilter::default()).await.unwrap();
    assert_eq!((left.len(), left.iter().filter(|job| ended(job)).count()), (5, 1));
    assert_eq!(store.prune(&Keep::since(moment(1_000))).await.unwrap(), 1);
    assert_eq!(store.job_list(&JobFilter::default()).await.unwrap().len(), 4);
}

pub async fn s06_jobs_of_others_are_not_displaced(store: Arc<dyn Store>) {
    let ended = |number: u64, key: &str| {
        let owner = Owner { name: format!("key {key}"), key: Some(format!("id-of-{key}")) };
        let result = Some("x".repeat(10_000));
        JobRecord { owner, result, state: JobState::Succeeded, ended_at: Some(moment(number)), ..job(number) }
    };
    let waiting = job(500);
    for job in (0..3).map(|number| ended(number, "quiet")).chain((10..200).map(|number| ended(number, "loud"))) {
        created(&*store, job).await;
    }
    created(&*store, waiting.clone()).await;
    let jobs = Bound { bytes: 200_000, ..Bound::since(moment(0)) };
    assert!(store.prune(&Keep { jobs, ..Keep::since(moment(0)) }).await.unwrap() > 170);
    let left = store.job_list(&JobFilter::default()).await.unwrap();
    let of = |key: &str| left.iter().filter(|job| job.owner.name == key).count();
    assert_eq!(of("key quiet"), 3, "nobody else's went");
    assert!((10..17).contains(&of("key loud")), "{}", of("key loud"));
    assert!(left.iter().any(|job| job.id == waiting.id), "and nothing that waits");
}
