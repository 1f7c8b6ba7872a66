//! Which traces are kept, as `OTEL_TRACES_SAMPLER` says.

use std::num::NonZeroU128;

/// Decides by the trace alone, so that everybody who has a part in it decides alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampler {
    /// Where a client has decided, it is as the client decided.
    pub(super) follows_client: bool,
    /// Of all other traces this share, from 0 to 1.
    pub(super) share: f64,
}

impl Sampler {
    /// Whether a trace is kept. `client` is what the client decided, where there is one.
    pub(super) fn keeps(self, trace: NonZeroU128, client: Option<bool>) -> bool {
        if let Some(decided) = client.filter(|_| self.follows_client) {
            return decided;
        }
        // The lower 56 bits are those that are random, by the specification of trace ids and in a ULID alike.
        const BITS: u128 = (1 << 56) - 1;
        self.share >= 1.0 || as_float(trace.get() & BITS) < self.share * as_float(BITS)
    }
}

#[expect(clippy::cast_precision_loss, reason = "one in 2^53 traces may be decided the other way")]
const fn as_float(number: u128) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> NonZeroU128 {
        NonZeroU128::new(ulid::Ulid::new().into()).unwrap()
    }

    #[test]
    fn a_share_is_kept() {
        for (share, least, most) in [(0.0, 0, 0), (0.25, 2_000, 3_000), (1.0, 10_000, 10_000)] {
            let sampler = Sampler { follows_client: true, share };
            let kept = (0..10_000).filter(|_| sampler.keeps(trace(), None)).count();
            assert!((least..=most).contains(&kept), "{kept} of 10,000 at {share}");
        }
    }

    #[test]
    fn a_client_that_has_decided_is_followed_or_not() {
        let check = |follows_client, share, client, kept| {
            assert_eq!(Sampler { follows_client, share }.keeps(trace(), Some(client)), kept);
        };
        check(true, 0.0, true, true);
        check(true, 1.0, false, false);
        check(false, 0.0, true, false);
        check(false, 1.0, false, true);
    }
}
