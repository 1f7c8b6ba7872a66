//! Aggregated recordings of one function, kept in memory, for the revision that is loaded: another revision, or the
//! same one on another day and machine, spends its time in other ways.

use std::time::Duration;

use hdrhistogram::Histogram;
use outrigger_contract::FunctionName;
use parking_lot::Mutex;
use time::OffsetDateTime;

use super::{CallProfile, HostCalls, Stage};
use crate::account::{Account, Charge};

/// The memory of the recordings of one function, in bytes.
const SAMPLES_BYTES: usize = 24 << 10;

/// The recordings of one function, summed up. Takes no room until the first.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    samples: Mutex<Option<Box<Samples>>>,
    /// The account for the recordings.
    measured: Account,
}

#[derive(Debug, Default)]
struct Samples {
    count: u64,
    total: Spread,
    stages: [Spread; Stage::COUNT],
    host: Vec<HostCalls>,
    _held: Option<Charge>,
}

/// How long something took, each time.
#[derive(Debug, Default)]
struct Spread {
    sum: Duration,
    /// In nanoseconds, to 6 %: there may be a dozen for each of thousands of functions. None while all are nothing.
    histogram: Option<Histogram<u32>>,
}

/// Where the time of a function's calls goes.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionProfile {
    pub function: FunctionName,
    /// Calls that were looked at.
    pub samples: u64,
    pub total: StageSummary,
    /// In the order of [`Stage::ALL`], those that took any time.
    pub stages: Vec<(Stage, StageSummary)>,
    /// By imported interface, what took longest first.
    pub host: Vec<HostSummary>,
}

/// How long a stage took in the calls that were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageSummary {
    pub mean: Duration,
    pub p50: Duration,
    pub p95: Duration,
    /// Of the whole time, from 0 to 1.
    pub share: f64,
}

/// Calls of one imported interface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostSummary {
    pub import: &'static str,
    /// A call of the function makes so many of them, on average.
    pub calls: f64,
    /// The time of all of them in a call of the function, on average.
    pub mean: Duration,
    /// Of the whole time, from 0 to 1.
    pub share: f64,
}

impl Gathered {
    /// Recordings that are charged to an account.
    pub(crate) fn new(measured: Account) -> Self {
        Self { samples: Mutex::default(), measured }
    }

    /// Adds a call, if there is memory for it.
    pub(crate) fn add(&self, profile: &CallProfile) {
        let samples = &mut *self.samples.lock();
        if samples.is_none() {
            let Ok(held) = self.measured.charge(SAMPLES_BYTES) else { return };
            *samples = Some(Box::new(Samples { _held: Some(held), ..Samples::default() }));
        }
        let Some(samples) = samples else { return };
        let earlier = samples.count;
        samples.count += 1;
        samples.total.add(profile.total, earlier);
        for (spread, time) in samples.stages.iter_mut().zip(profile.stages) {
            spread.add(time, earlier);
        }
        for new in &profile.host {
            match samples.host.iter_mut().find(|known| known.import == new.import) {
                Some(known) => (known.calls, known.time) = (known.calls + new.calls, known.time + new.time),
                None => samples.host.push(new.clone()),
            }
        }
    }

    /// The aggregate; none if there is no recording yet.
    pub(crate) fn summary(&self, function: FunctionName) -> Option<FunctionProfile> {
        let samples = self.samples.lock();
        let Samples { count, total, stages, host, _held: _ } = &**samples.as_ref()?;
        let whole = total.sum;
        let mut host: Vec<_> = host.iter().map(|calls| summary_of_host(calls, *count, whole)).collect();
        host.sort_by_key(|calls| std::cmp::Reverse(calls.mean));
        Some(FunctionProfile {
            function,
            samples: *count,
            total: total.summary(*count, whole),
            stages: Stage::ALL
                .into_iter()
                .zip(stages)
                .filter(|(_, spread)| !spread.sum.is_zero())
                .map(|(stage, spread)| (stage, spread.summary(*count, whole)))
                .collect(),
            host,
        })
    }
}

impl Spread {
    /// Adds a time. Those `earlier` were all nothing where there is no histogram yet.
    fn add(&mut self, time: Duration, earlier: u64) {
        if time.is_zero() && self.histogram.is_none() {
            return;
        }
        self.sum += time;
        let histogram = self.histogram.get_or_insert_with(|| {
            let mut histogram = Histogram::new(1).expect("one digit is a precision there is");
            // It grows as is needed; only a value that no memory could hold is refused.
            let _ = histogram.record_n(0, u32::try_from(earlier).unwrap_or(u32::MAX));
            histogram
        });
        let _ = histogram.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn summary(&self, count: u64, whole: Duration) -> StageSummary {
        let at = |quantile| {
            let value = self.histogram.as_ref().map_or(0, |histogram| histogram.value_at_quantile(quantile));
            Duration::from_nanos(value)
        };
        StageSummary { mean: mean(self.sum, count), p50: at(0.50), p95: at(0.95), share: share(self.sum, whole) }
    }
}

fn summary_of_host(host: &HostCalls, count: u64, whole: Duration) -> HostSummary {
    let HostCalls { import, calls, time } = host;
    HostSummary { import, calls: ratio(*calls, count), mean: mean(*time, count), share: share(*time, whole) }
}

fn mean(sum: Duration, count: u64) -> Duration {
    let nanoseconds = sum.as_nanos().checked_div(u128::from(count)).unwrap_or_default();
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}

#[expect(clippy::cast_precision_loss, reason = "an average needs no 53 bits")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Since when the functions of a plugin are looked at, and what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginProfile {
    pub since: OffsetDateTime,
    pub functions: Vec<FunctionProfile>,
}
