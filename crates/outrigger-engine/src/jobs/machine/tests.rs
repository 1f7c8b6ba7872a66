use proptest::prelude::*;

use super::*;

fn standing(state: JobState) -> Standing {
    Standing {
        state,
        attempt: 1,
        interruptions: 0,
        max_attempts: 3,
        backoff: Duration::from_secs(2),
        on_interruption: OnInterruption::Fail,
        needs_approval: false,
        cancel_requested: false,
    }
}

fn events() -> [Event; 9] {
    [
        Event::Start,
        Event::Succeeded,
        Event::Failed(Prospect::MayPass),
        Event::Failed(Prospect::ForGood),
        Event::Cancelled,
        Event::Interrupted,
        Event::Cancel,
        Event::Approve,
        Event::Retry,
    ]
}

/// What comes of it, as a line.
fn told(job: &Standing, event: Event) -> String {
    match advance(job, event) {
        Ok(Transition { state, effect: None }) => state.to_string(),
        Ok(Transition { state, effect: Some(effect) }) => format!("{state}, then {effect:?}"),
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn every_state_and_event() {
    let mut lines = Vec::new();
    for state in JobState::ALL {
        for event in events() {
            if let Ok(Transition { state: next, effect }) = advance(&standing(state), event) {
                let effect = effect.map(|effect| format!(" ({effect:?})")).unwrap_or_default();
                lines.push(format!("{state} + {event:?} = {next}{effect}"));
            }
        }
    }
    let expected = "queued + Start = running (Call)
queued + Cancel = cancelled
running + Succeeded = succeeded
running + Failed(MayPass) = queued (Wait(2s))
running + Failed(ForGood) = failed
running + Cancelled = cancelled
running + Interrupted = failed
running + Cancel = running (CancelCall)
waiting_for_approval + Cancel = cancelled
waiting_for_approval + Approve = queued
failed + Retry = queued (StartOver)
cancelled + Retry = queued (StartOver)";
    assert_eq!(lines.join("\n"), expected);
}

#[test]
fn what_ran_when_the_process_ended_goes_where_its_policy_says() {
    let check = |on_interruption, interruptions, expected: &str| {
        let job = Standing {
            on_interruption,
            interruptions,
            attempt: interruptions + 1,
            max_attempts: 1,
            ..standing(JobState::Running)
        };
        assert_eq!(told(&job, Event::Interrupted), expected, "{on_interruption:?} after {interruptions}");
    };
    check(OnInterruption::Fail, 0, "failed");
    check(OnInterruption::Ask, 0, "waiting_for_approval");
    check(OnInterruption::Retry, 0, "queued");
    check(OnInterruption::Retry, MOST_INTERRUPTIONS - 1, "queued");
    check(OnInterruption::Retry, MOST_INTERRUPTIONS, "failed");
}

#[test]
fn attempts_that_fail_wait_longer_each_time_until_there_are_no_more() {
    let check = |attempt, interruptions, expected: &str| {
        let job = Standing { attempt, interruptions, ..standing(JobState::Running) };
        assert_eq!(told(&job, Event::Failed(Prospect::MayPass)), expected, "attempt {attempt}");
    };
    check(1, 0, "queued, then Wait(2s)");
    check(2, 0, "queued, then Wait(4s)");
    check(3, 0, "failed");
    // One that was cut off is none of them.
    check(3, 1, "queued, then Wait(4s)");
    let patient = Standing { attempt: 90, max_attempts: 100, ..standing(JobState::Running) };
    assert_eq!(told(&patient, Event::Failed(Prospect::MayPass)), "queued, then Wait(3600s)");
}

#[test]
fn what_was_to_end_is_not_begun_again() {
    let job =
        Standing { cancel_requested: true, on_interruption: OnInterruption::Retry, ..standing(JobState::Running) };
    for event in [Event::Interrupted, Event::Failed(Prospect::MayPass), Event::Cancelled] {
        assert_eq!(told(&job, event), "cancelled", "{event:?}");
    }
    assert_eq!(told(&job, Event::Succeeded), "succeeded");
}

#[test]
fn a_retry_asks_for_approval_again() {
    let job = Standing { needs_approval: true, ..standing(JobState::Failed) };
    assert_eq!(told(&job, Event::Retry), "waiting_for_approval, then StartOver");
    assert_eq!(told(&standing(JobState::Succeeded), Event::Retry), "the job is succeeded and cannot be retried");
}

proptest! {
    #[test]
    fn only_a_queued_job_begins_and_what_has_ended_stays_so(
        state in proptest::sample::select(JobState::ALL.to_vec()),
        event in proptest::sample::select(events().to_vec()),
        attempt in 0..200_u32,
        interruptions in 0..200_u32,
        max_attempts in 1..200_u32,
        backoff in 0..u64::MAX,
        on_interruption in proptest::sample::select(vec![OnInterruption::Fail, OnInterruption::Retry, OnInterruption::Ask]),
        needs_approval: bool,
        cancel_requested: bool,
    ) {
        let job = Standing {
            state,
            attempt,
            interruptions,
            max_attempts,
            backoff: Duration::from_millis(backoff),
            on_interruption,
            needs_approval,
            cancel_requested,
        };
        let outcome = advance(&job, event);
        if let Ok(Transition { state: next, effect }) = outcome {
            prop_assert_eq!(effect == Some(Effect::Call), state == JobState::Queued && next == JobState::Running);
            prop_assert!(!state.has_ended() || event == Event::Retry);
            prop_assert!(state != JobState::WaitingForApproval || matches!(event, Event::Approve | Event::Cancel));
            if let Some(Effect::Wait(wait)) = effect {
                prop_assert!(wait <= LONGEST_BACKOFF);
            }
        }
        if !state.has_ended() {
            prop_assert!(advance(&job, Event::Cancel).is_ok());
        }
    }
}
