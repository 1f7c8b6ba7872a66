//! How much the calls of a revision compute, which decides where its next calls run: on the serving threads, or in the
//! low-priority pool from their beginning. In the pool run:
//!
//! - calls of a revision whose calls are long, because making and removing their instances is work, too: on the serving
//!   threads, the first ticks of fifty calls are a tenth of a second;
//! - calls of a revision that computes a lot in total, beside others, while the processors are busy: a thousand short
//!   calls then delay others as much as a long one. While a processor is idle, no call waits for one, and moving a call
//!   to the pool takes longer than most calls do.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::limits::{Clock, Stopwatch};

/// How long the calls of one revision compute, on average, and how much they compute in total.
#[derive(Debug)]
pub(super) struct Pace {
    /// The average.
    nanoseconds: AtomicU64,
    /// The number of next calls that are measured in processor time.
    exact: AtomicU32,
    recent: Recent,
}

static PROCESSORS: LazyLock<u64> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, |number| number.get() as u64));

/// What all revisions compute.
static ALL: Recent = Recent(AtomicU64::new(0));

impl Default for Pace {
    /// The first call runs in the pool, because its duration is unknown.
    fn default() -> Self {
        Self { nanoseconds: AtomicU64::new(Self::LONG + 1), exact: AtomicU32::new(0), recent: Recent::default() }
    }
}

impl Pace {
    /// Calls that compute longer than this, in nanoseconds, are long.
    const LONG: u64 = 1_000_000;
    /// The most that one call counts, so that a revision is soon quick again.
    const MOST: u64 = 16 * Self::LONG;
    /// The number of calls that are measured exactly after one seemed long.
    const EXACT: u32 = 16;
    /// A revision that computes more than this, in units of [`Recent`], computes a lot: more than about one percent of a
    /// processor.
    const MUCH: u64 = 5_000_000 / Recent::UNIT;
    /// Processors that compute more than this for plugins, on average, in units of [`Recent`], are busy: more than about a
    /// sixth of their time.
    const BUSY: u64 = 64_000_000 / Recent::UNIT;

    /// Whether the next call runs in the pool from its beginning.
    pub(super) fn belongs_in_pool(&self) -> bool {
        self.nanoseconds.load(Ordering::Relaxed) > Self::LONG || self.computes_much()
    }

    /// Whether it computes a lot, and is not the only one that computes, while the processors are busy.
    fn computes_much(&self) -> bool {
        let period = period();
        Self::is_much(self.recent.read(period), ALL.read(period), *PROCESSORS)
    }

    const fn is_much(own: u64, all: u64, processors: u64) -> bool {
        own > Self::MUCH && own < all / 8 * 7 && all > processors * Self::BUSY
    }

    /// The clock for the next call.
    pub(super) fn clock(&self) -> Clock {
        if self.exact.load(Ordering::Relaxed) > 0 { Clock::Processor } else { Clock::Wall }
    }

    /// Counts a call when it ends, also if its future is dropped because its caller has left.
    pub(super) const fn watch<'a>(&'a self, stopwatch: &'a Stopwatch) -> Watched<'a> {
        Watched { pace: self, stopwatch }
    }

    /// Counts a call. Of two at the same moment, one may be missed.
    pub(super) fn note(&self, spent: Duration, clock: Clock) {
        let mut spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        let exact = self.exact.load(Ordering::Relaxed);
        if spent > Self::LONG {
            self.exact.store(Self::EXACT, Ordering::Relaxed);
            if clock == Clock::Wall {
                // It may have waited for a processor: the next calls show how long they compute.
                spent = Self::LONG / 4;
            }
        } else if exact > 0 {
            self.exact.store(exact - 1, Ordering::Relaxed);
        }
        let period = period();
        self.recent.add(period, spent);
        ALL.add(period, spent);
        let spent = spent.min(Self::MOST);
        let before = self.nanoseconds.load(Ordering::Relaxed);
        self.nanoseconds.store(before - before / 8 + spent / 8, Ordering::Relaxed);
    }
}

/// A running call.
pub(super) struct Watched<'a> {
    pace: &'a Pace,
    stopwatch: &'a Stopwatch,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.pace.note(self.stopwatch.total(), self.stopwatch.clock());
    }
}

/// Computing in about the last half second, in units of 64 ns: halved in each period of 256 ms. The upper half of the
/// number is the period of the last change.
#[derive(Debug, Default)]
struct Recent(AtomicU64);

impl Recent {
    /// In nanoseconds. The lower half of the number is then enough for 500 processors.
    const UNIT: u64 = 64;

    fn read(&self, period: u32) -> u64 {
        let kept = self.0.load(Ordering::Relaxed);
        let age = period.wrapping_sub((kept >> 32) as u32);
        u64::from(kept as u32).checked_shr(age).unwrap_or_default()
    }

    fn add(&self, period: u32, nanoseconds: u64) {
        let units = nanoseconds / Self::UNIT;
        let sum = (self.read(period) + units).min(u64::from(u32::MAX));
        self.0.store(u64::from(period) << 32 | sum, Ordering::Relaxed);
    }
}

/// The present period of 256 ms. The coarse clock takes a tenth of the time of the exact one.
fn period() -> u32 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    ((now.tv_sec * 1_000 + now.tv_nsec / 1_000_000) / 256).cast_unsigned() as u32
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn a_revision_is_long_as_long_as_its_calls_are() {
        let pace = Pace::default();
        let is_long = || pace.nanoseconds.load(Ordering::Relaxed) > Pace::LONG;
        let call = |spent: Duration| pace.note(spent, pace.clock());
        let (short, long) = (Duration::from_micros(100), Duration::from_millis(10));
        assert!(is_long(), "nothing is known yet");
        call(short);
        assert!(!is_long());
        (0..100).for_each(|_| call(short));
        call(long);
        assert!(!is_long(), "it may have waited for a processor");
        call(long);
        assert!(is_long());
        // One that is long now and then is.
        for _ in 0..10 {
            (0..3).for_each(|_| call(short));
            call(long);
            assert!(is_long());
        }
        call(Duration::from_secs(60));
        (0..30).for_each(|_| call(short));
        assert!(!is_long());
        assert_eq!(pace.clock(), Clock::Wall, "processor time is not read for short calls");
    }

    #[test]
    fn s19_a_call_whose_caller_leaves_counts() {
        let (pace, stopwatch) = (Pace::default(), Stopwatch::new());
        (0..100).for_each(|_| pace.note(Duration::from_micros(100), Clock::Wall));
        stopwatch.begin(Clock::Processor);
        {
            let endless = async {
                let _watched = pace.watch(&stopwatch);
                let computing = async {
                    while stopwatch.spent() < Duration::from_millis(20) {}
                    std::future::pending::<()>().await;
                };
                stopwatch.measure(computing).await;
            };
            assert!(pin!(endless).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert!(pace.nanoseconds.load(Ordering::Relaxed) > Pace::LONG);
    }

    #[test]
    fn s19_what_was_computed_is_soon_forgotten() {
        let recent = Recent::default();
        recent.add(7, 64_000);
        recent.add(7, 64_000);
        assert_eq!((recent.read(7), recent.read(8), recent.read(10), recent.read(100)), (2_000, 1_000, 250, 0));
        recent.add(9, u64::MAX);
        assert_eq!(recent.read(9), u64::from(u32::MAX));
    }

    #[test]
    fn s19_a_revision_is_not_the_only_one_on_many_processors() {
        let (own, all) = (Recent::default(), Recent::default());
        for period in 0..16 {
            // Of 256 processors, the revision uses half.
            for processor in 0..256 {
                all.add(period, 256_000_000);
                if processor % 2 == 0 {
                    own.add(period, 256_000_000);
                }
            }
        }
        let (own, all) = (own.read(15), all.read(15));
        assert!(Pace::is_much(own, all, 256), "{own} of {all}");
    }

    #[test]
    fn s19_a_revision_stays_on_the_serving_threads_while_processors_are_idle() {
        // Two revisions that each compute for this many nanoseconds in each period.
        let is_much = |each: u64, processors: u64| {
            let (own, all) = (Recent::default(), Recent::default());
            for period in 0..16 {
                own.add(period, each);
                all.add(period, 2 * each);
            }
            Pace::is_much(own.read(15), all.read(15), processors)
        };
        assert!(!is_much(20_000_000, 2), "they use a tenth of two processors");
        assert!(is_much(120_000_000, 2), "they are busy");
        assert!(!is_much(120_000_000, 8), "most of eight are idle");
    }
}
