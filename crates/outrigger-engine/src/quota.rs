//! Write quotas per minute for each plugin and each key: events, log lines, state, stored responses, audit records.
//! Token buckets in memory, one set for each owner, so that none can fill the disk or displace the records of others.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outrigger_contract::Code;
use parking_lot::Mutex;

use crate::error::Failure;
pub(crate) use crate::store::ROW_BYTES;

/// Maximum number of owners whose buckets are kept. Above it, idle owners are forgotten; their buckets are full again.
const MOST_CALLERS: usize = 10_000;
const QUIET: Duration = Duration::from_mins(10);

/// The quotas of one plugin or one key, per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Events.
    pub events: u64,
    /// Bytes of events.
    pub event_bytes: u64,
    /// Bytes of log lines.
    pub log_bytes: u64,
    /// Bytes of state.
    pub state_bytes: u64,
    /// Bytes of jobs with their arguments and results.
    pub job_bytes: u64,
    /// Calls that may change something and have individual audit records; bursts can be four times as large. Further
    /// calls are aggregated.
    pub audited_calls: u64,
    /// Successful changes, each of which has an audit record of its own; bursts can be ten times as large.
    pub acts: u64,
    /// Bytes of stored responses to requests with an idempotency key.
    pub answer_bytes: u64,
}

impl Quotas {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        events: 600,
        event_bytes: 2 << 20,
        log_bytes: 1 << 20,
        state_bytes: 16 << 20,
        job_bytes: 4 << 20,
        audited_calls: 60,
        acts: 240,
        answer_bytes: 8 << 20,
    };
}

impl Default for Quotas {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A token bucket: full at first, and filled again within a minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    capacity: u64,
    per_minute: u64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// A bucket that holds the amount of one minute.
    pub(crate) const fn a_minute(amount: u64, now: Instant) -> Self {
        Self::new(amount, amount, now)
    }

    #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
    pub(crate) const fn new(capacity: u64, per_minute: u64, now: Instant) -> Self {
        Self { capacity, per_minute, level: capacity as f64, at: now }
    }

    #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
    fn fill(&mut self, now: Instant) {
        let minutes = now.saturating_duration_since(self.at).as_secs_f64() / 60.0;
        self.level = minutes.mul_add(self.per_minute as f64, self.level).min(self.capacity as f64);
        self.at = self.at.max(now);
    }

    /// Takes the whole amount or nothing. An amount above the bucket's capacity needs a full bucket.
    #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
    pub(crate) fn take(&mut self, amount: u64, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        let needed = amount.min(self.capacity) as f64;
        if self.level >= needed {
            self.level -= needed;
            return Ok(());
        }
        let minutes = (needed - self.level) / (self.per_minute.max(1)) as f64;
        Err(Duration::from_secs_f64((minutes * 60.0).min(3600.0)))
    }

    /// Whether the amount could be taken.
    #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
    pub(crate) fn has(&mut self, amount: u64, now: Instant) -> bool {
        self.fill(now);
        self.level >= amount.min(self.capacity) as f64
    }

    /// Whether it is full.
    #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level >= self.capacity as f64
    }

    /// Takes an amount that is known only afterwards, even if less is left; later ones wait for it.
    #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
    fn overdraw(&mut self, amount: u64, now: Instant) {
        self.fill(now);
        self.level -= amount as f64;
    }

    /// Whether more was taken than there was.
    fn is_overdrawn(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level < 0.0
    }

    /// Returns an amount that was not used.
    #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
    fn give_back(&mut self, amount: u64) {
        self.level = (self.level + amount as f64).min(self.capacity as f64);
    }
}

/// A kind of quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Log,
    State,
    Job,
    Act,
    Answer,
}

/// The buckets of one plugin or key, and their refusals.
#[derive(Debug)]
pub(crate) struct Writes {
    buckets: Mutex<Buckets>,
    refused: Refused,
}

#[derive(Debug)]
struct Buckets {
    events: Bucket,
    event_bytes: Bucket,
    log_bytes: Bucket,
    state_bytes: Bucket,
    job_bytes: Bucket,
    audited_calls: Bucket,
    acts: Bucket,
    answer_bytes: Bucket,
    used: Instant,
}

#[derive(Debug, Default)]
struct Refused {
    events: AtomicU64,
    log_lines: AtomicU64,
    state_writes: AtomicU64,
}

/// The refused writes of a plugin, since the plugin was installed or the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedWrites {
    pub events: u64,
    pub log_lines: u64,
    pub state_writes: u64,
}

impl Writes {
    pub(crate) fn new(quotas: &Quotas, now: Instant) -> Self {
        let Quotas { events, event_bytes, log_bytes, state_bytes, job_bytes, audited_calls, acts, answer_bytes } =
            *quotas;
        let a_minute = |amount| Bucket::a_minute(amount, now);
        let buckets = Buckets {
            events: a_minute(events),
            event_bytes: a_minute(event_bytes),
            log_bytes: a_minute(log_bytes),
            state_bytes: a_minute(state_bytes),
            job_bytes: a_minute(job_bytes),
            audited_calls: Bucket::new(audited_calls.saturating_mul(4), audited_calls, now),
            acts: Bucket::new(acts.saturating_mul(10), acts, now),
            answer_bytes: a_minute(answer_bytes),
            used: now,
        };
        Self { buckets: Mutex::new(buckets), refused: Refused::default() }
    }

    /// Takes an event from the quota, or returns how long to wait.
    pub(crate) fn event(&self, bytes: u64, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock();
        buckets.used = now;
        let taken = buckets.events.take(1, now).and_then(|()| {
            let taken = buckets.event_bytes.take(bytes, now);
            if taken.is_err() {
                buckets.events.give_back(1);
            }
            taken
        });
        if taken.is_err() {
            self.refused.events.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Whether a call that may change something has its own audit record.
    pub(crate) fn is_audited_alone(&self, now: Instant) -> bool {
        let mut buckets = self.buckets.lock();
        buckets.used = now;
        buckets.audited_calls.take(1, now).is_ok()
    }

    /// Takes more for a change with a long audit record.
    pub(crate) fn act_was_long(&self, units: u64, now: Instant) {
        self.buckets.lock().acts.overdraw(units, now);
    }

    /// Returns the amount taken for a change that has no audit record of its own.
    pub(crate) fn act_left_nothing(&self) {
        self.buckets.lock().acts.give_back(1);
    }

    /// Takes the result of a job, whose size is known only when it ends. Later jobs wait for it.
    pub(crate) fn job_had_result(&self, bytes: u64, now: Instant) {
        let mut buckets = self.buckets.lock();
        buckets.used = now;
        buckets.job_bytes.overdraw(bytes, now);
    }

    /// Whether results took more than the quota of jobs.
    pub(crate) fn is_overdrawn_by_jobs(&self, now: Instant) -> bool {
        self.buckets.lock().job_bytes.is_overdrawn(now)
    }

    /// Takes a write from the quota, or returns how long to wait.
    pub(crate) fn take(&self, kind: Kind, bytes: u64, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock();
        buckets.used = now;
        let (bucket, refused) = match kind {
            Kind::Log => (&mut buckets.log_bytes, Some(&self.refused.log_lines)),
            Kind::State => (&mut buckets.state_bytes, Some(&self.refused.state_writes)),
            Kind::Job => (&mut buckets.job_bytes, None),
            Kind::Act => (&mut buckets.acts, None),
            Kind::Answer => (&mut buckets.answer_bytes, None),
        };
        let taken = bucket.take(bytes, now);
        if let Some(refused) = refused.filter(|_| taken.is_err()) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    pub(crate) fn refused(&self) -> RefusedWrites {
        let Refused { events, log_lines, state_writes } = &self.refused;
        RefusedWrites {
            events: events.load(Ordering::Relaxed),
            log_lines: log_lines.load(Ordering::Relaxed),
            state_writes: state_writes.load(Ordering::Relaxed),
        }
    }
}

/// The buckets of keys.
#[derive(Debug, Default)]
pub(crate) struct CallerWrites {
    of: Mutex<HashMap<String, Arc<Writes>>>,
}

impl CallerWrites {
    /// The buckets of the caller of this name.
    pub(crate) fn of(&self, caller: &str, quotas: &Quotas) -> Arc<Writes> {
        let now = Instant::now();
        let mut of = self.of.lock();
        if let Some(writes) = of.get(caller) {
            return Arc::clone(writes);
        }
        if of.len() >= MOST_CALLERS {
            of.retain(|_, writes| now.saturating_duration_since(writes.buckets.lock().used) < QUIET);
        }
        let writes = Arc::new(Writes::new(quotas, now));
        of.insert(caller.to_owned(), Arc::clone(&writes));
        writes
    }
}

/// The error for a write above the quota.
pub(crate) fn exceeded(whose: &str, what: &str, wait: Duration) -> Failure {
    over(format!("{whose} wrote too many {what} within a minute"), wait)
}

/// The failure for an exceeded quota, with a message and the time to wait.
pub(crate) fn over(message: String, wait: Duration) -> Failure {
    let seconds = wait.as_secs() + 1;
    let mut failure = Failure::new(Code::RateLimited, message);
    failure.retry_after = Some(wait);
    failure.with_hint(format!("try again in {seconds} s; `outrigger serve --help` lists the quotas"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_a_minute_and_fills_evenly() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut bucket = Bucket::a_minute(60, start);
        assert_eq!(bucket.take(60, start), Ok(()));
        assert_eq!(bucket.take(10, start), Err(Duration::from_secs(10)));
        assert_eq!(bucket.take(10, after(10)), Ok(()));
        assert_eq!(bucket.take(1, after(10)), Err(Duration::from_secs(1)));
        assert_eq!(bucket.take(60, after(600)), Ok(()), "and no more than full");
        assert!(bucket.take(1, after(600)).is_err());
    }

    #[test]
    fn what_is_larger_than_the_bucket_is_taken_from_a_full_one() {
        let start = Instant::now();
        let mut bucket = Bucket::a_minute(10, start);
        assert_eq!(bucket.take(100, start), Ok(()));
        assert_eq!(bucket.take(100, start), Err(Duration::from_mins(1)));
    }

    #[test]
    fn s06_results_of_jobs_are_taken_from_the_next_minutes() {
        let start = Instant::now();
        let after = |minutes| start + Duration::from_mins(minutes);
        let quotas = Quotas { job_bytes: 100, ..Quotas::DEFAULT };
        let writes = Writes::new(&quotas, start);
        assert_eq!(writes.take(Kind::Job, 10, start), Ok(()));
        writes.job_had_result(290, start);
        assert!(writes.is_overdrawn_by_jobs(start));
        assert!(writes.take(Kind::Job, 1, after(1)).is_err(), "half of the result is not made up for");
        assert!(!writes.is_overdrawn_by_jobs(after(2)));
        assert_eq!(writes.take(Kind::Job, 0, after(2)), Ok(()));
        assert_eq!(writes.take(Kind::Job, 100, after(3)), Ok(()));
    }

    #[test]
    fn s06_an_event_that_is_refused_takes_nothing() {
        let start = Instant::now();
        let quotas = Quotas { events: 2, event_bytes: 100, ..Quotas::DEFAULT };
        let writes = Writes::new(&quotas, start);
        assert_eq!(writes.event(90, start), Ok(()));
        assert!(writes.event(90, start).is_err(), "the bytes are used up");
        assert_eq!(writes.event(10, start), Ok(()), "there was a second event to be had");
        assert!(writes.event(0, start).is_err(), "the events are used up");
        assert_eq!(writes.refused().events, 2);
    }
}
