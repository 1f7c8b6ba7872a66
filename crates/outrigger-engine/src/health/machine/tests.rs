use std::num::NonZeroU32;

use proptest::prelude::*;
use time::OffsetDateTime;

use super::*;

const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn policy(restart: RestartPolicy, max_restarts: u32) -> HealthPolicy {
    HealthPolicy { restart, max_restarts: NonZeroU32::new(max_restarts).unwrap(), ..HealthPolicy::default() }
}

fn at(seconds: u64) -> Moment {
    Moment { now: START + Duration::from_secs(seconds), jitter: 0.0 }
}

fn grade(letter: char) -> Grade {
    match letter {
        'h' => Grade::Healthy,
        'd' => Grade::Degraded,
        'f' => Grade::Failed,
        _ => panic!("{letter} is no grade"),
    }
}

/// The status after each check, a letter each; `?` is unknown.
fn walk(checks: &str) -> String {
    let policy = policy(RestartPolicy::Never, 1);
    let mut standing = Standing::default();
    let letter = |letter| {
        standing = advance(&standing, &policy, Event::Checked(grade(letter)), at(0)).0;
        match standing.status {
            Status::Unknown => '?',
            Status::Healthy => 'h',
            Status::Degraded => 'd',
            Status::Unhealthy => 'u',
        }
    };
    checks.chars().map(letter).collect()
}

#[test]
fn a_status_changes_when_several_checks_agree() {
    let check = |checks: &str, expected: &str| assert_eq!(walk(checks), expected, "{checks}");
    // Three failures, two that are none.
    check("hfff", "hhhu");
    check("hfffhh", "hhhuuh");
    check("hfffhfhh", "hhhuuuuh");
    // Two that are not failures, one of them no better than degraded.
    check("hfffhd", "hhhuud");
    check("hfffddhh", "hhhuuddh");
    // Three in a row that are less than healthy, two that are healthy.
    check("hdddhh", "hhhddh");
    check("hdfd", "hhhd");
    // Three failures count, whatever it was before them.
    check("hdddfff", "hhhdddu");
    check("hddfff", "hhhddu");
    // What is not known yet is settled by the first check that is no failure.
    check("ffd", "??d");
    check("fff", "??u");
}

#[test]
fn what_comes_and_goes_changes_nothing() {
    for checks in ["hf", "hff", "hd", "hdf", "hfd", "hdd"] {
        let walked = walk(&checks.repeat(50));
        assert!(walked.chars().all(|status| status == 'h'), "{checks}: {walked}");
    }
    let unhealthy = format!("fff{}", "hf".repeat(50));
    assert!(walk(&unhealthy).ends_with(&"u".repeat(100)), "one success is none");
}

/// A plugin with a clock: it is checked, and restarted when its time has come.
struct Patient {
    policy: HealthPolicy,
    standing: Standing,
    now: u64,
    restarts: Vec<u64>,
    told: Vec<(Status, Status)>,
    disabled: bool,
}

impl Patient {
    fn new(policy: HealthPolicy) -> Self {
        Self { policy, standing: Standing::default(), now: 0, restarts: vec![], told: vec![], disabled: false }
    }

    fn let_happen(&mut self, event: Event) {
        let (standing, effects) = advance(&self.standing, &self.policy, event, at(self.now));
        self.standing = standing;
        for effect in effects {
            match effect {
                Effect::Tell { from, to } => self.told.push((from, to)),
                Effect::Restart => self.restarts.push(self.now),
                Effect::Disable => self.disabled = true,
            }
        }
    }

    /// Lets so many seconds pass, and checks it then.
    fn check_after(&mut self, seconds: u64, grade: Grade) {
        let end = self.now + seconds;
        while let Some(due) = self.standing.restart_at.map(|due| (due - START).whole_seconds().unsigned_abs()) {
            if due > end {
                break;
            }
            self.now = due.max(self.now);
            self.let_happen(Event::Tick);
        }
        self.now = end;
        self.let_happen(Event::Tick);
        self.let_happen(Event::Checked(grade));
    }
}

#[test]
fn restarts_back_off_and_end() {
    let mut patient = Patient::new(policy(RestartPolicy::OnFailure, 7));
    patient.check_after(0, Grade::Healthy);
    while !patient.disabled {
        patient.check_after(1, Grade::Failed);
    }
    // Unhealthy at 3; each restart is followed by the check that fails within a second.
    let gaps: Vec<_> = std::iter::once(3).chain(patient.restarts.iter().copied()).collect();
    let gaps: Vec<_> = gaps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [10_u64, 20, 40, 80, 160, 300, 300]);
    assert_eq!(patient.told, [(Status::Healthy, Status::Unhealthy)]);
}

#[test]
fn a_restart_is_called_off_by_recovery_and_not_by_one_success() {
    let mut patient = Patient::new(policy(RestartPolicy::OnFailure, 5));
    for _ in 0..3 {
        patient.check_after(1, Grade::Failed);
    }
    assert_eq!(patient.standing.restart_at, Some(at(13).now));
    patient.check_after(1, Grade::Healthy);
    assert!(patient.standing.restart_at.is_some());
    patient.check_after(1, Grade::Healthy);
    assert_eq!((patient.standing.status, patient.standing.restart_at), (Status::Healthy, None));
    patient.check_after(60, Grade::Healthy);
    assert!(patient.restarts.is_empty());
}

#[test]
fn an_hour_of_health_forgives_and_an_hour_of_sickness_does_not() {
    let check = |grade: Grade, gap: u64, expected: usize| {
        let mut patient = Patient::new(policy(RestartPolicy::OnFailure, 5));
        for _ in 0..3 {
            patient.check_after(1, Grade::Failed);
        }
        patient.check_after(20, Grade::Healthy);
        patient.check_after(1, grade);
        assert_eq!(patient.standing.restarts.len(), 1);
        // Where it is sick, it never recovers and never fails twice in a row.
        for turn in 0..130 {
            let sick = grade == Grade::Failed && turn % 2 == 1;
            patient.check_after(gap, if sick { Grade::Failed } else { Grade::Healthy });
            if patient.disabled {
                break;
            }
        }
        assert!(patient.now > WINDOW.as_secs());
        assert_eq!(patient.standing.restarts.len(), expected, "{grade:?}");
    };
    check(Grade::Healthy, 30, 0);
    check(Grade::Failed, 900, 5);
}

#[test]
fn an_administrator_wipes_the_slate_clean() {
    let mut patient = Patient::new(policy(RestartPolicy::OnFailure, 1));
    for _ in 0..40 {
        patient.check_after(1, Grade::Failed);
    }
    assert!(patient.disabled && patient.standing.status == Status::Unhealthy);
    patient.let_happen(Event::Reset);
    assert_eq!(patient.standing, Standing::default());
    assert_eq!(patient.told.last(), Some(&(Status::Unhealthy, Status::Unknown)));
    patient.disabled = false;
    patient.check_after(1, Grade::Failed);
    patient.check_after(1, Grade::Failed);
    assert_eq!(patient.standing.status, Status::Unknown, "it is counted from the beginning");
}

#[test]
fn checks_are_spread() {
    let policy = HealthPolicy::default();
    let seconds = |at: OffsetDateTime| (at - START).whole_milliseconds();
    let moment = |jitter| Moment { now: START, jitter };
    let next = [0.0, 0.5, 1.0].map(|jitter| seconds(next_check(&policy, moment(jitter))));
    assert_eq!(next, [27_000, 30_000, 33_000]);
    let first = [0.0, 0.5, 1.0].map(|jitter| seconds(first_check(&policy, moment(jitter))));
    assert_eq!(first, [0, 15_000, 30_000]);
}

/// Checks some time apart from each other.
fn course() -> impl Strategy<Value = Vec<(u64, Grade)>> {
    let grade = prop_oneof![1 => Just(Grade::Healthy), 1 => Just(Grade::Degraded), 3 => Just(Grade::Failed)];
    let gap = prop_oneof![4 => 1..60_u64, 1 => 60..4_000_u64];
    prop::collection::vec((gap, grade), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_more_restarts_in_an_hour_than_allowed(course in course(), max in 1..8_u32) {
        let mut patient = Patient::new(policy(RestartPolicy::OnFailure, max));
        for (gap, grade) in course {
            if patient.disabled {
                break;
            }
            patient.check_after(gap, grade);
        }
        let window = WINDOW.as_secs();
        for (index, first) in patient.restarts.iter().enumerate() {
            let within = patient.restarts[index..].iter().filter(|restart| **restart - first < window).count();
            prop_assert!(within <= max as usize, "{:?}", patient.restarts);
        }
    }

    #[test]
    fn what_stays_sick_is_disabled_after_all_its_restarts(gaps in prop::collection::vec(300..5_000_u64, 30), max in 1..=20_u32) {
        let mut patient = Patient::new(policy(RestartPolicy::OnFailure, max));
        for gap in gaps {
            if patient.disabled {
                break;
            }
            patient.check_after(gap, Grade::Failed);
        }
        prop_assert!(patient.disabled);
        prop_assert_eq!(patient.restarts.len(), max as usize);
    }

    #[test]
    fn without_restarts_nothing_is_done(course in course()) {
        let mut patient = Patient::new(policy(RestartPolicy::Never, 1));
        for (gap, grade) in course {
            patient.check_after(gap, grade);
        }
        prop_assert!(patient.restarts.is_empty() && !patient.disabled);
    }

    #[test]
    fn a_status_is_told_once_and_always_the_way_it_went(course in course()) {
        let mut patient = Patient::new(policy(RestartPolicy::Never, 1));
        let mut before = Status::Unknown;
        for (gap, grade) in course {
            let told = patient.told.len();
            patient.check_after(gap, grade);
            let after = patient.standing.status;
            let news: Vec<_> = patient.told[told..].to_vec();
            let expected = match before == after || (before, after) == (Status::Unknown, Status::Healthy) {
                true => vec![],
                false => vec![(before, after)],
            };
            prop_assert_eq!(news, expected);
            before = after;
        }
    }

    #[test]
    fn what_is_written_down_decides_as_the_whole_does(course in course(), cut in 0..120_usize, max in 1..8_u32) {
        let policy = policy(RestartPolicy::OnFailure, max);
        let (mut whole, mut restarted) = (Patient::new(policy), Patient::new(policy));
        for (index, (gap, grade)) in course.into_iter().enumerate() {
            if index == cut {
                // The server was killed, and goes on with what is in the store.
                let stored = serde_json::to_string(&restarted.standing.decisive(&policy)).unwrap();
                restarted.standing = serde_json::from_str(&stored).unwrap();
            }
            whole.check_after(gap, grade);
            restarted.check_after(gap, grade);
        }
        prop_assert_eq!(whole.restarts, restarted.restarts);
        prop_assert_eq!((whole.told, whole.disabled), (restarted.told, restarted.disabled));
        prop_assert_eq!(whole.standing.decisive(&policy), restarted.standing.decisive(&policy));
    }
}
