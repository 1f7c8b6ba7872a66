//! The settings of the webhook sender, and its limits for kept records.

use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::address::Network;

use super::machine::Patience;
use crate::jobs::Clock;

/// The dependencies of sending.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// Deliveries at once.
    pub parallel: usize,
    /// Of them, at one webhook.
    pub per_webhook: usize,
    /// Of them, at all webhooks of one key.
    pub per_owner: usize,
    /// How often it looks by itself.
    pub period: Duration,
    /// How long one attempt may take, from the name to the answer.
    pub timeout: Duration,
    /// How long deliveries being sent can take at shutdown.
    pub drain: Duration,
    pub patience: Patience,
    pub keep: Keep,
    /// Private networks that all webhooks may reach.
    pub networks: Arc<[Network]>,
    pub clock: Clock,
    pub chance: Chance,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Events in the log, at most,
    pub events: u64,
    /// and bytes of them,
    pub events_bytes: u64,
    /// and for how long. Above these limits, the plugins with the most events are pruned first.
    pub events_for: Duration,
    /// Deliveries that have ended, dead letters too, at most,
    pub deliveries: u64,
    /// and bytes of them,
    pub deliveries_bytes: u64,
    /// and for how long.
    pub deliveries_for: Duration,
    /// Maximum number of pending deliveries.
    pub pending: u64,
    /// Maximum size of pending deliveries, in bytes. Above a limit, the oldest deliveries of the owners with the most
    /// are dropped.
    pub pending_bytes: u64,
    /// How often old or excess records are pruned.
    pub period: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        const DAY: u64 = 24;
        Self {
            events: 50_000,
            events_bytes: 24 << 20,
            events_for: Duration::from_hours(14 * DAY),
            deliveries: 100_000,
            deliveries_bytes: 32 << 20,
            deliveries_for: Duration::from_hours(14 * DAY),
            pending: 100_000,
            pending_bytes: 64 << 20,
            period: Duration::from_mins(1),
        }
    }
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            parallel: 32,
            per_webhook: 4,
            per_owner: 8,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            patience: Patience::default(),
            keep: Keep::default(),
            networks: Arc::default(),
            clock: Clock::default(),
            chance: Chance::default(),
        }
    }
}

/// Numbers between 0 and 1.
#[derive(Clone)]
pub struct Chance(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Chance {
    /// Numbers of one's own.
    pub fn new(draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    pub(super) fn draw(&self) -> f64 {
        (self.0)()
    }
}

impl Default for Chance {
    /// Drawn by the system; a half each time where it gives no random numbers.
    fn default() -> Self {
        Self::new(|| getrandom::u32().map_or(0.5, |drawn| f64::from(drawn) / f64::from(u32::MAX)))
    }
}

impl std::fmt::Debug for Chance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chance")
    }
}
