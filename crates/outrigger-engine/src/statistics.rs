//! Counters of each function, in memory; the increments are passed to the store. And what is counted of each plugin, in
//! memory alone.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use outrigger_contract::{Code, FunctionName, PluginName};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::account::{Account, Charge};
use crate::quota::RefusedWrites;
use crate::store::{CacheOutcome, StatisticsRow};

/// Latencies are kept from a microsecond to an hour, to 1 %.
const LONGEST_US: u64 = 3_600_000_000;

/// The memory of a histogram of latencies, in bytes.
const LATENCY_BYTES: usize = 28 << 10;

/// The memory for the latencies and profiles of functions, which all plugins share. Functions beyond it are only
/// counted: a plugin can have 2,000 functions, which would take 100 MiB.
pub(crate) static MEASURED: LazyLock<Account> = LazyLock::new(|| Account::all(64 << 20));

/// Of so many calls of a function, one is looked at closely, to tell where the time goes. Of the first ones more are, so
/// that something is known of a function that is seldom called.
pub const ONE_IN: u64 = 64;

/// Counts the calls of one function. Cheap enough for the path of a cached call.
#[derive(Debug)]
pub struct FunctionStatistics {
    inner: Mutex<Inner>,
    /// The account for the latencies.
    measured: Account,
    /// The next call is to be looked at closely. Set while a call is counted, so that no other call counts anything.
    due: AtomicBool,
}

/// The increments since they were last taken.
#[derive(Debug)]
struct Inner {
    counters: Counters,
    /// Functions that are not called have none, nor have those for which there is no memory.
    latency: Option<Latency>,
    /// Calls since this process started.
    calls: u64,
}

/// How long calls took.
#[derive(Debug)]
struct Latency {
    histogram: Histogram<u64>,
    _held: Charge,
}

/// Counters of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Calls that arrived, with any outcome.
    pub calls: u64,
    /// Calls that ended in an error other than the ones below.
    pub failures: u64,
    /// Refused by a rate limit.
    pub rate_limited: u64,
    /// Refused because the input, the caller or the plugin's state did not allow it.
    pub refused: u64,
    /// Ended by a limit: deadline, CPU, memory, output, concurrency.
    pub limited: u64,
    /// Cancelled by the caller.
    pub cancelled: u64,
    /// Answered from the cache, or by a call that was already running.
    pub cache_hits: u64,
    /// Looked up in the cache and not found.
    pub cache_misses: u64,
    /// Retries.
    pub retries: u64,
    /// Things the plugin reached for without a grant.
    pub violations: u64,
    /// Log lines dropped above the limit.
    pub dropped_log_lines: u64,
}

/// One call, as the statistics see it.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub duration: Duration,
    pub code: Option<Code>,
    pub cache: CacheOutcome,
    pub attempts: u32,
    pub violations: u64,
    pub dropped_log_lines: u64,
}

/// The counters of a plugin, without locks.
#[derive(Debug, Default)]
pub(crate) struct PluginCounts {
    pub(crate) loads: AtomicU64,
    pub(crate) load_failures: AtomicU64,
    pub(crate) unloads: AtomicU64,
    memory_peak: AtomicU64,
}

/// The counts of a plugin since this process started, or since the plugin was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginCounters {
    pub plugin: PluginName,
    /// Times that a revision was loaded.
    pub loads: u64,
    /// Times that a revision could not be brought up: it could not be loaded, or its `initialize` or `activate` failed.
    pub load_failures: u64,
    /// Times that a loaded revision was freed, after its last call.
    pub unloads: u64,
    /// The most memory that an instance had at the end of a call, in bytes; 0 where none has run.
    pub memory_peak: u64,
    /// Memory held for it, in bytes: its instances, and the host's memory for its calls.
    pub held: u64,
    /// Peak of the memory held for it, in bytes.
    pub held_peak: u64,
    /// How many allocations exceeded its memory limit.
    pub memory_refused: u64,
    /// Its refused writes.
    pub refused: RefusedWrites,
}

impl PluginCounts {
    /// A revision could not be brought up.
    pub(crate) fn load_failed(&self) {
        self.load_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// An instance had so much memory at the end of a call.
    pub(crate) fn memory_used(&self, bytes: u64) {
        // Looked at first: nearly no call has to write to what the calls on all threads share.
        if bytes > self.memory_peak.load(Ordering::Relaxed) {
            self.memory_peak.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self, plugin: &PluginName, account: &Account, refused: RefusedWrites) -> PluginCounters {
        let Self { loads, load_failures, unloads, memory_peak } = self;
        PluginCounters {
            plugin: plugin.clone(),
            loads: loads.load(Ordering::Relaxed),
            load_failures: load_failures.load(Ordering::Relaxed),
            unloads: unloads.load(Ordering::Relaxed),
            memory_peak: memory_peak.load(Ordering::Relaxed),
            held: account.held(),
            held_peak: account.peak(),
            memory_refused: account.refused(),
            refused,
        }
    }
}

impl Default for FunctionStatistics {
    fn default() -> Self {
        Self::new(Account::default())
    }
}

impl FunctionStatistics {
    /// Statistics whose latencies are charged to an account.
    pub(crate) fn new(measured: Account) -> Self {
        let inner = Inner { counters: Counters::default(), latency: None, calls: 0 };
        Self { inner: Mutex::new(inner), measured, due: AtomicBool::new(false) }
    }

    /// Counts one call.
    pub fn record(&self, sample: &Sample) {
        let inner = &mut *self.inner.lock();
        inner.record(sample, &self.measured);
        if inner.calls.is_multiple_of(ONE_IN) || inner.calls.is_power_of_two() {
            self.due.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the call that begins now is to be looked at closely. Answers so once.
    pub(crate) fn is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed) && self.due.swap(false, Ordering::Relaxed)
    }

    /// The increment since it was last taken; none if it is zero.
    pub fn take(&self, plugin: &PluginName, function: &FunctionName) -> Option<StatisticsRow> {
        let Inner { counters, latency, calls: _ } = &mut *self.inner.lock();
        if counters.calls == 0 {
            *latency = None;
            return None;
        }
        let steps = latency.iter().flat_map(|latency| latency.histogram.iter_recorded());
        let latency_us = steps.map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
        if let Some(latency) = latency {
            latency.histogram.reset();
        }
        let counters = std::mem::take(counters).to_map();
        Some(StatisticsRow { plugin: plugin.clone(), function: function.clone(), counters, latency_us })
    }
}

impl Inner {
    fn record(&mut self, sample: &Sample, measured: &Account) {
        self.calls += 1;
        let counters = &mut self.counters;
        counters.calls += 1;
        counters.retries += u64::from(sample.attempts.saturating_sub(1));
        counters.violations += sample.violations;
        counters.dropped_log_lines += sample.dropped_log_lines;
        match sample.cache {
            CacheOutcome::Hit | CacheOutcome::Shared => counters.cache_hits += 1,
            CacheOutcome::Miss => counters.cache_misses += 1,
            CacheOutcome::Bypass => {}
        }
        if let Some(code) = sample.code {
            *counters.of(code) += 1;
        }
        if self.latency.is_none() {
            self.latency = latency(measured);
        }
        if let Some(Latency { histogram, .. }) = &mut self.latency {
            histogram.saturating_record(u64::try_from(sample.duration.as_micros()).unwrap_or(LONGEST_US).max(1));
        }
    }
}

#[cold]
fn latency(measured: &Account) -> Option<Latency> {
    let held = measured.charge(LATENCY_BYTES).ok()?;
    let histogram = Histogram::new_with_bounds(1, LONGEST_US, 2).expect("the bounds are constants that fit");
    Some(Latency { histogram, _held: held })
}

impl Counters {
    /// The counter that a failure with this code belongs to.
    fn of(&mut self, code: Code) -> &mut u64 {
        match code {
            Code::RateLimited => &mut self.rate_limited,
            Code::Cancelled => &mut self.cancelled,
            Code::DeadlineExceeded
            | Code::CpuLimit
            | Code::MemoryLimit
            | Code::HostMemoryLimit
            | Code::OutputLimit
            | Code::StackOverflow
            | Code::Busy
            | Code::CallDepth => &mut self.limited,
            Code::InvalidInput
            | Code::Forbidden
            | Code::GrantRequired
            | Code::PluginNotActive
            | Code::FunctionNotFound => &mut self.refused,
            _ => &mut self.failures,
        }
    }

    fn to_map(self) -> BTreeMap<String, u64> {
        let value = serde_json::to_value(self).unwrap_or_default();
        let members = value.as_object().into_iter().flatten();
        members.filter_map(|(name, value)| Some((name.clone(), value.as_u64().filter(|value| *value > 0)?))).collect()
    }

    fn from_map(map: &BTreeMap<String, u64>) -> Self {
        let value = |name: &str| map.get(name).copied().unwrap_or_default();
        Self {
            calls: value("calls"),
            failures: value("failures"),
            rate_limited: value("rate_limited"),
            refused: value("refused"),
            limited: value("limited"),
            cancelled: value("cancelled"),
            cache_hits: value("cache_hits"),
            cache_misses: value("cache_misses"),
            retries: value("retries"),
            violations: value("violations"),
            dropped_log_lines: value("dropped_log_lines"),
        }
    }
}

/// Counters with what follows from them. Durations in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    #[serde(flatten)]
    pub counters: Counters,
    /// Share of calls that failed for a reason of the plugin's own: failures and limits, from 0 to 1.
    pub error_rate: f64,
    /// Share of cache look-ups that were answered, from 0 to 1.
    pub cache_hit_rate: f64,
    pub mean_us: f64,
    pub p50_us: u64,
    pub p95_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

impl Summary {
    /// The stored statistics of one function, or of several together: counters by name, and a histogram of durations.
    #[must_use]
    pub fn of(counters: &BTreeMap<String, u64>, latency_us: &BTreeMap<u64, u64>) -> Self {
        let counters = Counters::from_map(counters);
        let calls: u64 = latency_us.values().sum();
        Self {
            counters,
            error_rate: ratio(counters.failures + counters.limited, counters.calls),
            cache_hit_rate: ratio(counters.cache_hits, counters.cache_hits + counters.cache_misses),
            mean_us: mean(latency_us, calls),
            p50_us: quantile(latency_us, calls, 50),
            p95_us: quantile(latency_us, calls, 95),
            p99_us: quantile(latency_us, calls, 99),
            max_us: latency_us.last_key_value().map_or(0, |(bound, _)| *bound),
        }
    }
}

/// The bound that so many of a hundred calls did not exceed.
fn quantile(latency_us: &BTreeMap<u64, u64>, calls: u64, percent: u64) -> u64 {
    let rank = (u128::from(calls) * u128::from(percent)).div_ceil(100);
    let mut counted = 0_u128;
    let reached = latency_us.iter().find(|(_, calls)| {
        counted += u128::from(**calls);
        counted >= rank
    });
    reached.map_or(0, |(bound, _)| *bound)
}

#[expect(clippy::cast_precision_loss, reason = "a mean to 1 % needs no 53 bits")]
fn mean(latency_us: &BTreeMap<u64, u64>, calls: u64) -> f64 {
    if calls == 0 {
        return 0.0;
    }
    latency_us.iter().map(|(bound, calls)| middle(*bound) as f64 * *calls as f64).sum::<f64>() / calls as f64
}

/// The middle of the bucket that ends at a bound. Two digits are told apart: buckets have the width 1 below 256, and twice as
/// much with each power of two.
const fn middle(bound: u64) -> u64 {
    let width = 1_u64 << (64 - bound.leading_zeros()).saturating_sub(8);
    bound + 1 - width + width / 2
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_says_what_was_counted() {
        let statistics = FunctionStatistics::default();
        for number in 1..2_000_u64 {
            let sample = Sample {
                duration: Duration::from_micros(number * number % 700_001),
                code: number.is_multiple_of(7).then_some(Code::Trapped),
                cache: CacheOutcome::Miss,
                attempts: 1,
                violations: 0,
                dropped_log_lines: 0,
            };
            statistics.record(&sample);
        }
        let (counted, latency) = {
            let inner = statistics.inner.lock();
            (inner.counters, inner.latency.as_ref().expect("calls were counted").histogram.clone())
        };
        let (plugin, function) = ("a".parse().expect("a name"), "b".parse().expect("a name"));
        let row = statistics.take(&plugin, &function).expect("it was counted");
        assert!(statistics.inner.lock().latency.is_some(), "it is kept for the next calls");
        assert_eq!(statistics.take(&plugin, &function), None);
        assert!(statistics.inner.lock().latency.is_none(), "s02: and freed where there are none");
        let stored = Summary::of(&row.counters, &row.latency_us);
        assert!((stored.mean_us - latency.mean()).abs() < 1e-6, "{} {}", stored.mean_us, latency.mean());
        let expected = Summary {
            counters: counted,
            error_rate: ratio(counted.failures, 1_999),
            cache_hit_rate: 0.0,
            mean_us: stored.mean_us,
            p50_us: latency.value_at_quantile(0.50),
            p95_us: latency.value_at_quantile(0.95),
            p99_us: latency.value_at_quantile(0.99),
            max_us: latency.max(),
        };
        assert_eq!((counted.calls, counted.cache_misses), (1_999, 1_999));
        assert_eq!(stored, expected);
        assert_eq!(Summary::of(&BTreeMap::new(), &BTreeMap::new()), Summary::default());
    }

    #[test]
    fn s02_latencies_of_many_functions_take_a_fair_share_of_the_memory() {
        let all = Account::all(4 << 20);
        let (greedy, modest) = (all.measurements(), all.measurements());
        let sample = Sample {
            duration: Duration::from_micros(1),
            code: None,
            cache: CacheOutcome::Bypass,
            attempts: 1,
            violations: 0,
            dropped_log_lines: 0,
        };
        let called = |account: &Account| {
            let statistics = FunctionStatistics::new(account.clone());
            statistics.record(&sample);
            statistics
        };
        let is_measured = |statistics: &&FunctionStatistics| statistics.inner.lock().latency.is_some();
        let functions: Vec<_> = (0..2_000).map(|_| called(&greedy)).collect();
        let measured = functions.iter().filter(is_measured).count();
        assert!((50..150).contains(&measured), "{measured}");
        assert!(functions.iter().all(|function| function.inner.lock().counters.calls == 1), "all are counted");
        assert!(is_measured(&&called(&modest)));
        drop(functions);
        assert_eq!((greedy.held(), all.held()), (0, 0));
    }
}
