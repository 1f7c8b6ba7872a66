//! The state machine of a delivery: a pure function from its state, the receiver's response, the time and a number
//! drawn by chance, to where it stands then.
//!
//! ```text
//! pending ──▶ delivered
//!    ▲ └────▶ dead ──(retried by hand)──▶ pending
//!    └─ (waits longer after each failure)
//! ```
//! When a webhook is moved to another server, pending and dead deliveries are abandoned, so they never reach another
//! receiver.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is sent when its time has come.
    Pending,
    /// The receiver has answered that it has it.
    Delivered,
    /// It was given up. Somebody may have it sent again.
    Dead,
    /// Its webhook was moved to another address, where it is not sent any more.
    Abandoned,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Dead, Self::Abandoned];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Abandoned => "abandoned",
        }
    }
}

impl std::fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How patient we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often a delivery is sent before it is given up.
    pub attempts: u32,
    /// How long to wait after the first failure; four times as long after each one that follows.
    pub first_wait: Duration,
    /// No wait is longer.
    pub longest_wait: Duration,
    /// A webhook at which every attempt has failed for so long is disabled.
    pub switched_off_after: Duration,
}

impl Default for Patience {
    /// Ten attempts over about a day; off after five days.
    fn default() -> Self {
        Self {
            attempts: 10,
            first_wait: Duration::from_secs(5),
            longest_wait: Duration::from_hours(6),
            switched_off_after: Duration::from_hours(5 * 24),
        }
    }
}

/// Why a webhook is disabled after a 410.
const GONE: &str = "the receiver answered 410: it is gone for good";
/// The same, without the status.
const REFUSED: &str = "the receiver refuses all further deliveries";

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A status between 200 and 299.
    Accepted,
    /// 410: nobody wants it there any more.
    Gone,
    /// Any other status, a redirect among them, or no answer at all.
    Failed {
        /// The receiver's `Retry-After`.
        retry_after: Option<Duration>,
    },
}

/// The other inputs of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How often it was sent, this time included.
    pub attempts: u32,
    /// Since when every attempt at the webhook has failed.
    pub failing_since: Option<OffsetDateTime>,
    /// The webhook allows private networks, so the reason must not say what the receiver answered.
    pub private: bool,
}

/// Where the delivery and its webhook stand then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub state: DeliveryState,
    /// When it is sent again.
    pub next_at: Option<OffsetDateTime>,
    pub failing_since: Option<OffsetDateTime>,
    /// The webhook is to be disabled, for this reason.
    pub switch_off: Option<String>,
}

/// The next state after an outcome. `chance` is between 0 and 1, and spreads the attempts of many deliveries.
#[must_use]
pub fn advance(
    standing: Standing,
    outcome: &Outcome,
    patience: &Patience,
    now: OffsetDateTime,
    chance: f64,
) -> Transition {
    let failing_since = standing.failing_since.or(Some(now));
    match outcome {
        Outcome::Accepted => {
            Transition { state: DeliveryState::Delivered, next_at: None, failing_since: None, switch_off: None }
        }
        Outcome::Gone => Transition {
            state: DeliveryState::Dead,
            next_at: None,
            failing_since,
            switch_off: Some(if standing.private { REFUSED } else { GONE }.to_owned()),
        },
        Outcome::Failed { retry_after } => {
            let again = standing.attempts < patience.attempts;
            let wait = wait(standing.attempts, patience, chance).max(retry_after.unwrap_or_default());
            let since = failing_since.unwrap_or(now);
            let long = now - since >= patience.switched_off_after;
            Transition {
                state: if again { DeliveryState::Pending } else { DeliveryState::Dead },
                next_at: again.then(|| now + wait.min(patience.longest_wait)),
                failing_since,
                switch_off: long.then(|| format!("every attempt has failed since {}", when(since))),
            }
        }
    }
}

/// Between four fifths and six fifths of the wait that is due.
fn wait(attempts: u32, patience: &Patience, chance: f64) -> Duration {
    let times = 4_u32.saturating_pow(attempts.saturating_sub(1).min(15));
    let due = patience.first_wait.saturating_mul(times).min(patience.longest_wait);
    due.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
}

fn when(at: OffsetDateTime) -> String {
    at.format(&time::format_description::well_known::Rfc3339).unwrap_or_else(|_| at.to_string())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 10:00 UTC);

    fn check(attempts: u32, failing_for: Option<Duration>, outcome: Outcome, chance: f64, expected: &str) {
        let standing = Standing { attempts, failing_since: failing_for.map(|length| NOW - length), private: false };
        let Transition { state, next_at, failing_since, switch_off } =
            advance(standing, &outcome, &Patience::default(), NOW, chance);
        let wait = next_at.map_or("-".to_owned(), |at| (at - NOW).to_string());
        let failing = failing_since.map_or("-".to_owned(), |since| (NOW - since).to_string());
        let off = if switch_off.is_some() { " off" } else { "" };
        assert_eq!(format!("{state} {wait} {failing}{off}"), expected, "{attempts} {outcome:?} {chance}");
    }

    #[test]
    fn attempts_are_made_ever_more_rarely_and_then_no_more() {
        let failed = || Outcome::Failed { retry_after: None };
        check(1, None, failed(), 0.5, "pending 5s 0s");
        check(2, None, failed(), 0.5, "pending 20s 0s");
        check(4, None, failed(), 0.5, "pending 5m20s 0s");
        check(9, None, failed(), 0.5, "pending 6h 0s");
        check(10, None, failed(), 0.5, "dead - 0s");
    }

    #[test]
    fn chance_spreads_them_and_the_receiver_may_ask_for_more_time() {
        let failed = |seconds: Option<u64>| Outcome::Failed { retry_after: seconds.map(Duration::from_secs) };
        check(1, None, failed(None), 0.0, "pending 4s 0s");
        check(1, None, failed(None), 1.0, "pending 6s 0s");
        check(1, None, failed(None), 7.0, "pending 6s 0s");
        check(1, None, failed(Some(60)), 0.5, "pending 1m 0s");
        check(1, None, failed(Some(1)), 0.5, "pending 5s 0s");
        check(1, None, failed(Some(1_000_000)), 0.5, "pending 6h 0s");
    }

    #[test]
    fn success_forgives_and_long_failure_switches_off() {
        let day = Duration::from_hours(24);
        check(3, Some(day), Outcome::Accepted, 0.5, "delivered - -");
        check(3, Some(4 * day), Outcome::Failed { retry_after: None }, 0.5, "pending 1m20s 4d");
        check(3, Some(5 * day), Outcome::Failed { retry_after: None }, 0.5, "pending 1m20s 5d off");
        check(1, None, Outcome::Gone, 0.5, "dead - 0s off");
    }

    #[test]
    fn s16_the_reason_tells_no_status_from_a_private_network() {
        let reason = |private: bool| {
            let standing = Standing { attempts: 1, failing_since: None, private };
            advance(standing, &Outcome::Gone, &Patience::default(), NOW, 0.5).switch_off.expect("it is disabled")
        };
        assert_eq!(reason(false), "the receiver answered 410: it is gone for good");
        assert_eq!(reason(true), "the receiver refuses all further deliveries");
    }
}
