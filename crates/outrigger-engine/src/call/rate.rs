//! The rate limit, per function and per caller.

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use outrigger_contract::units::Rate;
use outrigger_contract::{HookName, PluginName};

use super::{Caller, Origin, Target};
use crate::error::Failure;

/// The limiter of one function. It outlives a reload of its plugin, so that a reload does not refill it.
#[derive(Debug)]
pub(crate) struct FunctionRate {
    rate: Rate,
    clock: DefaultClock,
    limiter: DefaultKeyedRateLimiter<CallerKey>,
}

impl FunctionRate {
    pub(crate) fn new(rate: Rate) -> Self {
        let quota = Quota::with_period(rate.interval())
            .expect("a rate's interval is longer than nothing")
            .allow_burst(rate.burst());
        Self { rate, clock: DefaultClock::default(), limiter: RateLimiter::keyed(quota) }
    }

    /// Forgets callers whose limit is full again. Without that, the limiter would keep every key that ever called.
    pub(crate) fn forget_idle(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }

    /// The rate it keeps.
    pub(crate) const fn rate(&self) -> &Rate {
        &self.rate
    }
}

pub(super) fn check(target: &Target, caller: &Caller) -> Result<(), Failure> {
    let Some(rate) = &target.slot().rate else { return Ok(()) };
    rate.limiter
        .check_key(&CallerKey::of(caller))
        .map_err(|not_until| Failure::rate_limited(&target.name, not_until.wait_time_from(rate.clock.now())))
}

/// The name under which rate limits count a caller: the origin of its call chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum CallerKey {
    Local,
    /// The id of a key.
    Key(String),
    Plugin(PluginName),
    Hook(HookName),
}

impl CallerKey {
    fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Local => Self::Local,
            Caller::Key(principal) => Self::Key(principal.id.clone()),
            Caller::Plugin(by) => match &by.origin {
                Origin::Local => Self::Local,
                Origin::Key(principal) => Self::Key(principal.id.clone()),
                Origin::Plugin(plugin) => Self::Plugin(plugin.clone()),
                Origin::Hook(hook) => Self::Hook(hook.clone()),
            },
            Caller::Hook(by) => by.cause.as_ref().map_or_else(|| Self::Hook(by.hook.clone()), Self::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn s11_callers_whose_limit_is_full_again_are_forgotten() {
        let (quick, slow) = (FunctionRate::new("1000/1s".parse().unwrap()), FunctionRate::new("1/1h".parse().unwrap()));
        for number in 0..100 {
            for rate in [&quick, &slow] {
                rate.limiter.check_key(&CallerKey::Key(format!("key-{number}"))).expect("it is the first call");
            }
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while !quick.limiter.is_empty() {
            assert!(Instant::now() < deadline, "{} callers are kept", quick.limiter.len());
            quick.forget_idle();
        }
        slow.forget_idle();
        assert_eq!(slow.limiter.len(), 100, "they have called within the hour");
    }
}
