//! How often a wrong key may be tried from one address.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Wrong keys from one address: this many at once, and some more each second. No rate makes 256 random bits guessable;
/// the limit is for the noise, and wide enough for a team behind one address.
const BURST: NonZeroU32 = NonZeroU32::new(1_000).expect("1000 is not zero");
const INTERVAL: Duration = Duration::from_millis(50);

/// Counts wrong keys by address.
#[derive(Debug)]
pub struct Attempts {
    clock: DefaultClock,
    limiter: DefaultKeyedRateLimiter<Option<IpAddr>>,
}

impl Default for Attempts {
    fn default() -> Self {
        let quota = Quota::with_period(INTERVAL).expect("the interval is longer than nothing").allow_burst(BURST);
        Self { clock: DefaultClock::default(), limiter: RateLimiter::keyed(quota) }
    }
}

impl Attempts {
    /// Counts a wrong key.
    ///
    /// # Errors
    /// There were too many from this address; the time after which one more may be tried.
    pub fn failed(&self, from: Option<IpAddr>) -> Result<(), Duration> {
        // An IPv6 user has a whole /64 to come from.
        let from = from.map(|address| match address {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
            v4 @ IpAddr::V4(_) => v4,
        });
        self.limiter.check_key(&from).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    /// Forgets addresses that have nothing against them any more.
    pub fn tidy(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}
