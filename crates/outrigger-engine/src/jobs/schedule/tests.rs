use std::time::Duration;

use time::macros::datetime;

use super::*;
use crate::jobs::{OnInterruption, Owner, Task};

fn schedule(missed: Missed, next_at: OffsetDateTime) -> ScheduleRecord {
    ScheduleRecord {
        name: "nightly".to_owned(),
        cron: "*/10 * * * *".parse().unwrap(),
        task: Task {
            function: "demo.echo".parse().unwrap(),
            arguments: "{}".to_owned(),
            timeout: None,
            max_attempts: 1,
            backoff: Duration::ZERO,
            concurrency_key: None,
            on_interruption: OnInterruption::Fail,
            needs_approval: false,
        },
        owner: Owner { name: "local".to_owned(), key: None },
        enabled: true,
        missed,
        overlap: Overlap::Skip,
        skipped: 0,
        next_at: Some(next_at),
        last_job: None,
        created_at: next_at,
        generation: 1,
    }
}

#[test]
fn the_next_time_is_found() {
    let check = |cron: &str, after: OffsetDateTime, expected: Option<OffsetDateTime>| {
        let cron: Cron = cron.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(cron.after(after), expected, "{cron}");
    };
    let now = datetime!(2026-11-21 08:30:00.5 UTC);
    check("*/10 * * * *", now, Some(datetime!(2026-11-21 08:40 UTC)));
    check("30 8 * * *", now, Some(datetime!(2026-11-22 08:30 UTC)));
    check("0 3 * * MON", now, Some(datetime!(2026-11-23 03:00 UTC)));
    check("*/5 * * * * *", now, Some(datetime!(2026-11-21 08:30:05 UTC)));
    check("0 0 29 2 *", now, Some(datetime!(2028-02-29 00:00 UTC)));
    check("0 0 30 2 *", now, None);
    // A time that was hit exactly is over.
    check("30 8 * * *", datetime!(2026-11-21 08:30 UTC), Some(datetime!(2026-11-22 08:30 UTC)));
}

/// The library's own result is the reference, wherever it finds a time.
#[test]
fn the_next_time_is_that_of_the_library() {
    let moments = [
        datetime!(2026-11-21 08:30:00.5 UTC),
        datetime!(2027-12-31 23:59:59.9 UTC),
        datetime!(2028-02-28 23:59:58 UTC),
        datetime!(2026-01-31 22:15:00 -05:00),
    ];
    for text in [
        "* * * * *",
        "*/7 * * * * *",
        "59 59 23 * * *",
        "15,45 1-5,22 * * *",
        "0 0 1 1 *",
        "0 12 L * *",
        "0 9 15W * *",
        "30 6 * * MON#2",
        "0 0 * * FRIL",
        "0 0 13 * +FRI",
        "0 0 13 * FRI",
        "0 0 29 2 *",
        "5 4 3 2 1 * 2030-2040/5",
        "0 0 0 1 6 * 4999",
        "@weekly",
        "0 0 31 4,6,12 *",
    ] {
        let cron: Cron = text.parse().unwrap();
        for moment in moments {
            let from = chrono::DateTime::from_timestamp(moment.unix_timestamp(), moment.nanosecond()).unwrap();
            let expected = cron.cron.find_next_occurrence(&from, false).unwrap().timestamp();
            assert_eq!(cron.after(moment).map(OffsetDateTime::unix_timestamp), Some(expected), "{text} after {moment}");
        }
    }
}

#[test]
fn s03_the_search_for_a_time_that_never_comes_ends() {
    let now = datetime!(2026-11-21 08:30 UTC);
    for text in [
        "0 0 30 2 *",
        "0 0 31 2,4,6,9,11 +MON",
        // The 31st is never a first Monday, so all days are checked.
        "0 0 31 * +MON#1",
        "0 0 1-10 * +1#5,2#5,3#5,4#5,5#5,6#5,0#5,1L,2L,3L",
        "0 0 31W 2,4,6,9,11 *",
        "0 0 0 30 2 * 4999",
    ] {
        let (cron, mut looked_at) = (text.parse::<Cron>().unwrap(), 0);
        assert!(matches!(cron.search(now, &mut looked_at), Ok(None)), "{text}");
        assert!(looked_at <= MOST_DAYS, "{text}: {looked_at}");
    }
    // The rarest day is found, even across a century year that is not a leap year.
    let rarest: Cron = "0 0 29 2 +MON".parse().unwrap();
    assert_eq!(rarest.after(datetime!(2072-03-01 0:00 UTC)), Some(datetime!(2112-02-29 0:00 UTC)));
    // Times beyond the supported range.
    assert_eq!(rarest.after(datetime!(9999-12-31 23:59:59 -12:00)), None);
    assert_eq!(rarest.after(datetime!(9999-12-31 23:59:59 UTC)), None);
}

#[test]
fn s03_long_expressions_are_not_read() {
    for text in [format!("{} * * * *", vec!["0-59/1"; 200_000].join(",")), "@".repeat(1_000_000)] {
        let error = text.parse::<Cron>().expect_err("it is too long").to_string();
        assert!(error.contains("bytes long; the limit is 1000") && error.len() < 300, "{error}");
    }
    let every = |count: u8| (0..count).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let longest = format!("{} {} {} {} {} {}", every(60), every(60), every(24), "1,31", "1,12", every(7));
    assert!(longest.parse::<Cron>().is_ok(), "{}", longest.len());
    let strange = format!("* * * * {}", "Ä".repeat(450));
    assert!(strange.parse::<Cron>().expect_err("it is none").to_string().len() < 400);
}

#[test]
fn what_is_no_expression_is_refused() {
    for text in ["", "* * *", "61 * * * *", "every day"] {
        let error = text.parse::<Cron>().expect_err(text).to_string();
        assert!(error.starts_with(&format!("`{text}` is not a cron expression: ")), "{error}");
    }
}

#[test]
fn one_job_is_made_for_however_many_times() {
    let due = datetime!(2026-11-21 08:00 UTC);
    let check = |missed, now: OffsetDateTime, made: Option<bool>, next: OffsetDateTime| {
        let before = schedule(missed, due);
        match tick(&before, now, Room::Free) {
            None => assert_eq!(made, None, "{missed:?} at {now}"),
            Some((after, job)) => {
                assert_eq!((Some(job.is_some()), after.next_at), (made, Some(next)), "{missed:?} at {now}");
                assert_eq!(after.last_job, job.map(|job| job.id));
            }
        }
    };
    let soon = datetime!(2026-11-21 08:10 UTC);
    check(Missed::Skip, datetime!(2026-11-21 07:59:59 UTC), None, due);
    check(Missed::Skip, due, Some(true), soon);
    check(Missed::Skip, datetime!(2026-11-21 08:00:59 UTC), Some(true), soon);
    check(Missed::Skip, datetime!(2026-11-23 12:05 UTC), Some(false), datetime!(2026-11-23 12:10 UTC));
    check(Missed::RunOnce, datetime!(2026-11-23 12:05 UTC), Some(true), datetime!(2026-11-23 12:10 UTC));
    let mut off = schedule(Missed::RunOnce, due);
    off.enabled = false;
    assert_eq!(tick(&off, soon, Room::Free), None);
}

#[test]
fn where_there_is_no_room_the_time_passes_and_is_counted() {
    let due = datetime!(2026-11-21 08:00 UTC);
    let before =
        ScheduleRecord { skipped: 2, last_job: Some(crate::jobs::JobId::new()), ..schedule(Missed::RunOnce, due) };
    assert_eq!(tick(&before, datetime!(2026-11-21 07:59 UTC), Room::None), None);
    let (after, job) = tick(&before, due, Room::None).expect("its time has come");
    assert_eq!((job, after.skipped, after.last_job), (None, 3, before.last_job));
    assert_eq!(after.next_at, Some(datetime!(2026-11-21 08:10 UTC)));
    let (after, job) = tick(&after, datetime!(2026-11-21 08:10 UTC), Room::Free).expect("its time has come");
    assert_eq!((after.skipped, after.last_job), (3, job.map(|job| job.id)));
}

#[test]
fn a_schedule_that_knows_nothing_of_overlaps_skips_them() {
    let mut kept = serde_json::to_value(schedule(Missed::Skip, datetime!(2026-11-21 08:00 UTC))).unwrap();
    for later in ["overlap", "skipped"] {
        kept.as_object_mut().unwrap().remove(later);
    }
    let read: ScheduleRecord = serde_json::from_value(kept).unwrap();
    assert_eq!((read.overlap, read.skipped), (Overlap::Skip, 0));
}
