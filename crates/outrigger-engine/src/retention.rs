//! Retention: how long records are kept, and how many. In the audit log, only refusals are pruned.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::engine::Engine;
use crate::store::{Bound, Keep};

/// How long, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub runs: Kept,
    pub logs: Kept,
    /// Jobs that have ended.
    pub jobs: Kept,
    /// Requests with an idempotency key.
    pub requests: Kept,
    /// Refusals in the audit log.
    pub refusals: Kept,
    /// The pruning interval when little is written.
    pub period: Duration,
}

/// The retention limits of one kind of records: age, number and bytes. Above them, the plugins or keys with the most
/// records are pruned first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub age: Duration,
    pub most: u64,
    pub bytes: u64,
}

impl Retention {
    /// A month of records, a day of requests.
    pub const DEFAULT: Self = Self {
        runs: Kept { age: Duration::from_hours(30 * 24), most: 1_000_000, bytes: 512 << 20 },
        logs: Kept { age: Duration::from_hours(30 * 24), most: 1_000_000, bytes: 40 << 20 },
        jobs: Kept { age: Duration::from_hours(30 * 24), most: 100_000, bytes: 64 << 20 },
        requests: Kept { age: Duration::from_hours(24), most: 100_000, bytes: 32 << 20 },
        refusals: Kept { age: Duration::from_hours(365 * 24), most: 20_000, bytes: 16 << 20 },
        period: Duration::from_mins(1),
    };

    fn keep(&self, now: OffsetDateTime) -> Keep {
        let Self { runs, logs, jobs, requests, refusals, period: _ } = self;
        let bound = |kept: &Kept| {
            let since = now.checked_sub(time::Duration::try_from(kept.age).unwrap_or(time::Duration::MAX));
            Bound { since: since.unwrap_or(EVER), most: kept.most, bytes: kept.bytes }
        };
        Keep {
            runs: bound(runs),
            logs: bound(logs),
            jobs: bound(jobs),
            requests: bound(requests),
            refusals: bound(refusals),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Nothing is older.
const EVER: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
/// After this many written bytes, pruning starts before its interval is over.
const WRITTEN_AT_MOST: u64 = 8 << 20;

/// Bytes written since the last pruning.
#[derive(Debug, Default)]
pub(crate) struct Written {
    bytes: AtomicU64,
    much: Notify,
}

impl Written {
    /// Adds written bytes.
    pub(crate) fn add(&self, bytes: u64) {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= WRITTEN_AT_MOST {
            self.bytes.store(0, Ordering::Relaxed);
            self.much.notify_one();
        }
    }

    /// Waits until much was written, or the interval is over.
    pub(crate) async fn wait(&self, period: Duration) {
        // Either way, pruning is due.
        let _ = tokio::time::timeout(period, self.much.notified()).await;
    }
}

impl Engine {
    /// Prunes records above the retention limits periodically, as long as the engine exists. Started once, by the
    /// process with exclusive access to the store.
    pub fn start_pruning(&self, retention: Retention) {
        let weak = std::sync::Arc::downgrade(&self.inner);
        let written = std::sync::Arc::clone(&self.inner.written);
        tokio::spawn(async move {
            loop {
                let Some(inner) = weak.upgrade() else { return };
                match inner.store.prune(&retention.keep(OffsetDateTime::now_utc())).await {
                    Ok(0) => {}
                    Ok(dropped) => tracing::debug!(dropped, "old records were dropped"),
                    Err(error) => tracing::warn!(%error, "failed to prune old records"),
                }
                inner.plugins.each().iter().for_each(|slot| slot.forget_idle_callers());
                drop(inner);
                written.wait(retention.period).await;
            }
        });
    }
}
