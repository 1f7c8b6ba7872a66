//! Jobs and schedules, whichever way they are reached.

use outrigger_api::{Code, JobInfo, JobProgressInfo, JobQuery, JobRequest, RecordQuery, ScheduleRequest};
use serde_json::{Value, json};

use crate::places::{Place, WAYS, Way, everywhere, from_json, until};

everywhere! {
    a_job_is_done_and_its_log_can_be_followed
    a_job_that_needs_approval_waits_for_it
    a_job_is_cancelled_and_retried
    a_job_shows_how_far_its_function_says_it_is
    jobs_are_listed_as_the_query_says
    schedules_are_set_listed_and_removed
    a_schedule_is_changed_only_as_it_was_seen
    jobs_that_cannot_be_are_refused
}

async fn worker(place: &Place) {
    let limits = "[limits]\ntimeout = \"5m\"\n";
    place.install(&place.package("worker", "1.0.0", limits)).await.expect("it is installed");
}

fn wanted(function: &str, arguments: Value, more: Value) -> JobRequest {
    let mut wanted = json!({"function": format!("worker.{function}"), "arguments": arguments});
    for (name, value) in more.as_object().expect("an object") {
        wanted[name] = value.clone();
    }
    from_json(wanted)
}

async fn start(place: &Place, function: &str, arguments: Value, more: Value) -> JobInfo {
    place.platform.job_create(wanted(function, arguments, more)).await.expect("it is taken")
}

async fn reaches(place: &Place, id: &str, state: &str) -> JobInfo {
    until(state, async || {
        let job = place.platform.job_fetch(id).await.expect("it is there");
        (job.state == state).then_some(job)
    })
    .await
}

mod behaviour {
    use super::*;

    pub async fn a_job_is_done_and_its_log_can_be_followed(place: &Place, way: Way) {
        worker(place).await;
        let more = json!({"max_attempts": 3, "backoff_ms": 7, "concurrency_key": "disk", "timeout_ms": 9000});
        let job = start(place, "log", json!({"lines": 3}), more).await;
        assert_eq!((job.max_attempts, job.backoff_ms, job.timeout_ms), (3, 7, Some(9_000)), "{way:?}");
        assert_eq!((job.concurrency_key.as_deref(), job.on_interruption.as_str()), (Some("disk"), "fail"));
        let by = if matches!(way, Way::Http) { "key administrator" } else { "local" };
        assert_eq!(job.caller, by);
        let done = reaches(place, &job.id, "succeeded").await;
        assert_eq!((done.attempt, done.result.is_some(), done.error), (1, true, None), "{way:?}");
        assert!(done.started_at.is_some() && done.ended_at >= done.started_at);
        let lines = place.platform.job_logs(&job.id, &RecordQuery::default()).await.expect("it lists");
        assert_eq!(lines.len(), 3, "{way:?}");
        assert!(lines.iter().all(|line| line.correlation == job.id));
        let after = RecordQuery { since: Some(lines[2].at), limit: 1, ..RecordQuery::default() };
        assert_eq!(place.platform.job_logs(&job.id, &after).await.expect("it lists"), [lines[2].clone()], "{way:?}");
    }

    pub async fn a_job_that_needs_approval_waits_for_it(place: &Place, way: Way) {
        worker(place).await;
        let job = start(place, "good", json!({"number": 7}), json!({"needs_approval": true})).await;
        assert_eq!((job.state.as_str(), job.needs_approval), ("waiting_for_approval", true), "{way:?}");
        let approved = place.platform.job_approve(&job.id).await.expect("it waits for it");
        let by = if matches!(way, Way::Http) { "key administrator" } else { "local" };
        assert_eq!(approved.approved_by.as_deref(), Some(by), "{way:?}");
        let done = reaches(place, &job.id, "succeeded").await;
        assert_eq!(done.result.expect("it has one").to_value(), json!(7));
        let error = place.platform.job_approve(&job.id).await.expect_err("it has ended");
        assert_eq!(error.code, Code::Conflict, "{way:?}: {}", error.message);
        assert_eq!(place.platform.job_retry(&job.id).await.expect_err("it is done").code, Code::Conflict);
        assert_eq!(place.platform.job_cancel(&job.id).await.expect_err("it is done").code, Code::Conflict);
    }

    pub async fn a_job_is_cancelled_and_retried(place: &Place, way: Way) {
        worker(place).await;
        let job = start(place, "sleep", json!({"nanoseconds": 200_000_000_000_u64}), json!({})).await;
        reaches(place, &job.id, "running").await;
        place.platform.job_cancel(&job.id).await.expect("it runs");
        let cancelled = reaches(place, &job.id, "cancelled").await;
        assert!(cancelled.cancel_requested, "{way:?}");
        let failing = start(place, "fail", json!({}), json!({"max_attempts": 2, "backoff_ms": 1})).await;
        let failed = reaches(place, &failing.id, "failed").await;
        let error = failed.error.expect("it says why");
        assert_eq!((failed.attempt, error.code, error.detail.is_some()), (2, Code::FunctionFailed, true), "{way:?}");
        let again = place.platform.job_retry(&failing.id).await.expect("it has failed");
        assert!(again.attempt <= 1, "it is counted from the beginning");
        reaches(place, &failing.id, "failed").await;
        let later = start(place, "good", json!({"number": 1}), json!({"not_before": "2999-01-01T00:00:00Z"})).await;
        assert_eq!((later.state.as_str(), later.not_before.is_some()), ("queued", true), "{way:?}");
        let cancelled = place.platform.job_cancel(&later.id).await.expect("it has not begun");
        assert_eq!(cancelled.state, "cancelled", "{way:?}");
    }

    pub async fn a_job_shows_how_far_its_function_says_it_is(place: &Place, way: Way) {
        place.install_telling().await;
        let start = async |function: &str, fraction: Value, message: &str| {
            let arguments = json!({"fraction": fraction, "message": message});
            let wanted =
                json!({"function": format!("telling.{function}"), "arguments": arguments, "timeout_ms": 60_000});
            place.platform.job_create(from_json(wanted)).await.expect("it is taken").id
        };
        let told = |fraction, message: &str| Some(JobProgressInfo { fraction, message: message.to_owned() });
        let id = start("work-on", json!(0.25), "copying").await;
        let running = until("it says how far it is", async || {
            let job = place.platform.job_fetch(&id).await.expect("it is there");
            job.progress.is_some().then_some(job)
        })
        .await;
        assert_eq!((running.state.as_str(), running.progress), ("running", told(Some(0.25), "copying")), "{way:?}");
        // A job that did not complete shows its last progress.
        place.platform.job_cancel(&id).await.expect("it runs");
        assert_eq!(reaches(place, &id, "cancelled").await.progress, told(Some(0.25), "copying"), "{way:?}");
        let id = start("work-and-fail", json!(7), "nearly").await;
        assert_eq!(reaches(place, &id, "failed").await.progress, told(Some(1.0), "nearly"), "{way:?}");
        let id = start("work", Value::Null, "whatever").await;
        assert_eq!(reaches(place, &id, "succeeded").await.progress, None, "{way:?}");
    }

    pub async fn jobs_are_listed_as_the_query_says(place: &Place, way: Way) {
        worker(place).await;
        let mut ids = Vec::new();
        for number in 0..5 {
            let job = start(place, "good", json!({"number": number}), json!({})).await;
            reaches(place, &job.id, "succeeded").await;
            ids.insert(0, job.id);
        }
        let list = async |query: JobQuery| {
            let found = place.platform.job_list(&query).await.expect("it lists");
            found.into_iter().map(|job| job.id).collect::<Vec<_>>()
        };
        assert_eq!(list(JobQuery::default()).await, ids, "{way:?}: the newest first");
        let page = JobQuery { before: Some(ids[1].clone()), limit: 2, ..JobQuery::default() };
        assert_eq!(list(page).await, ids[2..4], "{way:?}");
        let query =
            JobQuery { state: Some("succeeded".to_owned()), plugin: "worker".parse().ok(), ..JobQuery::default() };
        assert_eq!(list(query).await.len(), 5);
        let query = JobQuery { function: "worker.fail".parse().ok(), ..JobQuery::default() };
        assert_eq!(list(query).await, Vec::<String>::new());
        for wrong in [
            JobQuery { state: Some("nonsense".to_owned()), ..JobQuery::default() },
            JobQuery { before: Some("nonsense".to_owned()), ..JobQuery::default() },
        ] {
            let error = place.platform.job_list(&wrong).await.expect_err("it is wrong");
            assert_eq!(error.code.info().http / 100, 4, "{way:?} {wrong:?}: {error:?}");
        }
    }

    pub async fn schedules_are_set_listed_and_removed(place: &Place, way: Way) {
        worker(place).await;
        let platform = &place.platform;
        let request = |cron: &str| -> ScheduleRequest {
            let job = json!({"function": "worker.good", "arguments": {"number": 1}, "max_attempts": 2});
            from_json(json!({"cron": cron, "job": job}))
        };
        let set = platform.schedule_put("nightly", request("30 2 * * *"), None).await.expect("it is set");
        assert_eq!((set.cron.as_str(), set.enabled, set.missed.as_str()), ("30 2 * * *", true, "skip"), "{way:?}");
        assert!(set.next_at.is_some() && set.last_job.is_none());
        let often = platform.schedule_put("nightly", request("* * * * * *"), None).await.expect("it is changed");
        assert_eq!((often.created_at, often.job.max_attempts), (set.created_at, 2), "{way:?}");
        let made = JobQuery { schedule: Some("nightly".to_owned()), ..JobQuery::default() };
        let job = until("a job is made", async || platform.job_list(&made).await.expect("it lists").pop()).await;
        assert_eq!(job.schedule.as_deref(), Some("nightly"), "{way:?}");
        let off = ScheduleRequest { enabled: false, ..request("0 0 * * *") };
        let off = platform.schedule_put("nightly", off, None).await.expect("it is disabled");
        assert_eq!((off.enabled, off.next_at), (false, None), "{way:?}");
        let listed = platform.schedule_list().await.expect("it lists");
        assert_eq!(listed, [off], "{way:?}");
        let error = platform.schedule_put("other", request("* * *"), None).await.expect_err("it is no cron expression");
        assert_eq!(error.code, Code::InvalidInput, "{way:?}");
        platform.schedule_delete("nightly").await.expect("it is removed");
        assert_eq!(platform.schedule_delete("nightly").await.expect_err("it is gone").code, Code::NotFound, "{way:?}");
        assert_eq!(platform.schedule_list().await.expect("it lists"), []);
    }

    pub async fn a_schedule_is_changed_only_as_it_was_seen(place: &Place, way: Way) {
        worker(place).await;
        let platform = &place.platform;
        let request = |cron: &str| -> ScheduleRequest {
            let job = json!({"function": "worker.good", "arguments": {"number": 1}});
            from_json(json!({"cron": cron, "job": job}))
        };
        let present = async || platform.schedule_list().await.expect("it lists").pop();
        let first = platform.schedule_put("nightly", request("* * * * * *"), None).await.expect("it is set");
        let seen = Some(first.fingerprint());
        // That it makes jobs does not make it another.
        until("a job is made", async || present().await.expect("it is there").last_job).await;
        assert_eq!(present().await.map(|schedule| schedule.fingerprint()), seen, "{way:?}");
        let second = platform.schedule_put("nightly", request("30 2 * * *"), seen).await.expect("it is as it was seen");
        let error = platform.schedule_put("nightly", request("0 3 * * *"), seen).await.expect_err("it is another now");
        assert_eq!((error.code, present().await), (Code::Conflict, Some(second)), "{way:?}");
        platform.schedule_delete("nightly").await.expect("it is removed");
        let error = platform.schedule_put("nightly", request("30 2 * * *"), seen).await.expect_err("it is gone");
        assert_eq!((error.code, present().await), (Code::Conflict, None), "{way:?}");
    }

    pub async fn jobs_that_cannot_be_are_refused(place: &Place, way: Way) {
        worker(place).await;
        let number = || json!({"number": 1});
        for (function, arguments, more, code) in [
            ("nothing", json!({}), json!({}), Code::FunctionNotFound),
            ("good", json!({"number": "one"}), json!({}), Code::InvalidInput),
            ("good", number(), json!({"on_interruption": "hope"}), Code::InvalidInput),
            ("good", number(), json!({"max_attempts": 0}), Code::InvalidInput),
            ("good", number(), json!({"concurrency_key": "with space"}), Code::InvalidInput),
        ] {
            let error = place.platform.job_create(wanted(function, arguments, more.clone())).await;
            let error = error.expect_err("it cannot be");
            assert_eq!(error.code, code, "{way:?} {function} {more}: {}", error.message);
        }
        for id in ["nonsense", "01JD0000000000000000000000"] {
            let error = place.platform.job_fetch(id).await.expect_err("there is none");
            assert_eq!(error.code, Code::NotFound, "{way:?} {id}");
            let error = place.platform.job_logs(id, &RecordQuery::default()).await.expect_err("there is none");
            assert_eq!(error.code, Code::NotFound, "{way:?} {id}");
        }
        assert_eq!(place.platform.job_list(&JobQuery::default()).await.expect("it lists"), [], "{way:?}");
    }
}
