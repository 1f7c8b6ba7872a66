//! How long the calls of a revision compute. If they are long, they run in the pool for long computations from their
//! beginning, because making and removing their instances is work, too: on the serving threads, the first ticks of fifty
//! calls are a tenth of a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long the calls of one revision compute, on average.
#[derive(Debug, Default)]
pub(super) struct Pace {
    nanoseconds: AtomicU64,
}

impl Pace {
    /// Calls that compute longer than this, in nanoseconds, are long.
    const LONG: u64 = 1_000_000;
    /// The most that one call counts, so that a revision is soon quick again.
    const MOST: u64 = 16 * Self::LONG;

    pub(super) fn is_long(&self) -> bool {
        self.nanoseconds.load(Ordering::Relaxed) > Self::LONG
    }

    /// Counts a call. Of two at the same moment, one may be missed.
    pub(super) fn note(&self, spent: Duration) {
        let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX).min(Self::MOST);
        let before = self.nanoseconds.load(Ordering::Relaxed);
        self.nanoseconds.store(before - before / 8 + spent / 8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_long_as_long_as_its_calls_are() {
        let pace = Pace::default();
        let (short, long) = (Duration::from_micros(100), Duration::from_millis(10));
        (0..100).for_each(|_| pace.note(short));
        assert!(!pace.is_long());
        pace.note(long);
        assert!(pace.is_long());
        // One that is long now and then is.
        for _ in 0..10 {
            (0..3).for_each(|_| pace.note(short));
            pace.note(long);
            assert!(pace.is_long());
        }
        pace.note(Duration::from_secs(60));
        (0..30).for_each(|_| pace.note(short));
        assert!(!pace.is_long());
    }
}
