//! The health state machine: a pure function from a plugin's standing and an event to its new standing, and what is to
//! be done. It looks at no clock, draws no numbers and calls nothing.
//!
//! ```text
//! unknown ──▶ healthy ◀──▶ degraded        3 in a row that are worse, 2 in a row that are better
//!     └──────────┴──▶ unhealthy ◀──┘       then: restart, restart, …, disable
//! ```
//!
//! One check changes no status but the first: what comes and goes from check to check leaves it as it was.

use std::time::Duration;

use outrigger_contract::manifest::{HealthPolicy, RestartPolicy};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Restarts within this count together. They go on counting for as long as the plugin stays unhealthy, however long that is.
pub const WINDOW: Duration = Duration::from_secs(3_600);

/// The time before the first restart; it doubles with each further one that counts.
pub const FIRST_BACKOFF: Duration = Duration::from_secs(10);

/// No restart waits longer.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// The outcome of one check, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    Healthy,
    Degraded,
    /// It answered that it does not work, failed, took too long, or could not be brought up.
    Failed,
}

/// How a plugin is, as far as several checks agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was not checked yet, or begins anew.
    #[default]
    Unknown,
    Healthy,
    Degraded,
    Unhealthy,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Healthy, Self::Degraded, Self::Unhealthy];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// All that decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub status: Status,
    pub run: Run,
    /// The restarts that count, the oldest first.
    #[serde(with = "moments")]
    pub restarts: Vec<OffsetDateTime>,
    /// When it is to be restarted.
    #[serde(with = "time::serde::rfc3339::option")]
    pub restart_at: Option<OffsetDateTime>,
}

/// How many checks there were last, in a row, of which something is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// They failed.
    pub failed: u32,
    /// They did not.
    pub passed: u32,
    /// They were less than healthy.
    pub impaired: u32,
    /// They were healthy.
    pub healthy: u32,
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was checked, or a restart failed.
    Checked(Grade),
    /// Time has passed.
    Tick,
    /// An administrator has enabled, reloaded or updated it.
    Reset,
}

/// When it happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    pub now: OffsetDateTime,
    /// From 0 to 1, drawn by lot: spreads what would otherwise happen at once.
    pub jitter: f64,
}

/// The effect to execute after the new standing is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell who wants to know.
    Tell { from: Status, to: Status },
    /// Load the active revision anew.
    Restart,
    /// Restarting has not helped: have it take no more calls.
    Disable,
}

/// How it stands then, and what is to be done.
#[must_use]
pub fn advance(standing: &Standing, policy: &HealthPolicy, event: Event, at: Moment) -> (Standing, Vec<Effect>) {
    let mut next = standing.clone();
    let effects = match event {
        Event::Checked(grade) => checked(&mut next, policy, grade, at),
        Event::Tick => tick(&mut next, at.now),
        Event::Reset => {
            next = Standing::default();
            told(standing.status, next.status).into_iter().collect()
        }
    };
    (next, effects)
}

/// When it is to be checked after this.
#[must_use]
pub fn next_check(policy: &HealthPolicy, at: Moment) -> OffsetDateTime {
    at.now + policy.interval.as_duration().mul_f64(0.9 + 0.2 * at.jitter)
}

/// When it is to be checked for the first time: some time within the interval.
#[must_use]
pub fn first_check(policy: &HealthPolicy, at: Moment) -> OffsetDateTime {
    at.now + policy.interval.as_duration().mul_f64(at.jitter)
}

impl Standing {
    /// The part that is worth writing down: runs no longer than what decides.
    #[must_use]
    pub fn decisive(&self, policy: &HealthPolicy) -> Self {
        let (failures, successes) = (policy.failures.get(), policy.successes.get());
        let Run { failed, passed, impaired, healthy } = self.run;
        let run = Run {
            failed: failed.min(failures),
            passed: passed.min(successes),
            impaired: impaired.min(failures),
            healthy: healthy.min(successes),
        };
        Self { run, ..self.clone() }
    }

    /// Whether it needs looking after, loaded or not.
    #[must_use]
    pub const fn is_troubled(&self) -> bool {
        self.run.failed > 0 || matches!(self.status, Status::Unhealthy)
    }
}

fn checked(next: &mut Standing, policy: &HealthPolicy, grade: Grade, at: Moment) -> Vec<Effect> {
    next.run.add(grade);
    let (from, to) = (next.status, settled(next, policy, grade));
    next.status = to;
    let mut effects: Vec<_> = told(from, to).into_iter().collect();
    if to != Status::Unhealthy {
        next.restart_at = None;
        next.restarts.retain(|restart| at.now - *restart < WINDOW);
    } else if grade == Grade::Failed && policy.restart == RestartPolicy::OnFailure && next.restart_at.is_none() {
        match backoff(next.restarts.len(), policy, at.jitter) {
            Some(backoff) => next.restart_at = Some(at.now + backoff),
            None => effects.push(Effect::Disable),
        }
    }
    effects
}

fn tick(next: &mut Standing, now: OffsetDateTime) -> Vec<Effect> {
    if next.restart_at.is_none_or(|restart_at| restart_at > now) {
        return Vec::new();
    }
    next.restart_at = None;
    next.restarts.push(now);
    vec![Effect::Restart]
}

/// The status after a check that is counted already.
fn settled(standing: &Standing, policy: &HealthPolicy, grade: Grade) -> Status {
    let (failures, successes) = (policy.failures.get(), policy.successes.get());
    let Run { failed, passed, impaired, healthy } = standing.run;
    match standing.status {
        _ if failed >= failures => Status::Unhealthy,
        Status::Unknown => match grade {
            Grade::Healthy => Status::Healthy,
            Grade::Degraded => Status::Degraded,
            Grade::Failed => Status::Unknown,
        },
        Status::Unhealthy | Status::Degraded if healthy >= successes => Status::Healthy,
        Status::Unhealthy if passed >= successes => Status::Degraded,
        Status::Healthy if impaired >= failures => Status::Degraded,
        status => status,
    }
}

/// That a plugin turns out to be healthy is no news.
fn told(from: Status, to: Status) -> Option<Effect> {
    (from != to && (from, to) != (Status::Unknown, Status::Healthy)).then_some(Effect::Tell { from, to })
}

/// How long to wait before another restart; none where there were enough.
fn backoff(restarts: usize, policy: &HealthPolicy, jitter: f64) -> Option<Duration> {
    let restarts = u32::try_from(restarts).unwrap_or(u32::MAX);
    let wait = FIRST_BACKOFF.saturating_mul(1 << restarts.min(16)).min(LONGEST_BACKOFF);
    // Never longer, and up to a fifth shorter.
    (restarts < policy.max_restarts.get()).then(|| wait.mul_f64(1.0 - 0.2 * jitter))
}

impl Run {
    fn add(&mut self, grade: Grade) {
        let count = |run: u32, counts: bool| if counts { run.saturating_add(1) } else { 0 };
        self.failed = count(self.failed, grade == Grade::Failed);
        self.passed = count(self.passed, grade != Grade::Failed);
        self.impaired = count(self.impaired, grade != Grade::Healthy);
        self.healthy = count(self.healthy, grade == Grade::Healthy);
    }
}

/// Moments as RFC 3339 has them.
mod moments {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use time::OffsetDateTime;

    #[derive(Serialize, Deserialize)]
    struct Moment(#[serde(with = "time::serde::rfc3339")] OffsetDateTime);

    pub(super) fn serialize<S: Serializer>(moments: &[OffsetDateTime], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(moments.iter().copied().map(Moment))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<OffsetDateTime>, D::Error> {
        Vec::<Moment>::deserialize(deserializer).map(|moments| moments.into_iter().map(|Moment(at)| at).collect())
    }
}

#[cfg(test)]
mod tests;
