//! How long what happened is kept, and how much of it. The audit log is not part of it: nothing of that is ever dropped.

use std::time::Duration;

use time::OffsetDateTime;

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
    /// How often what goes beyond is dropped.
    pub period: Duration,
}

/// Of one kind: for so long, and the newest so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub age: Duration,
    pub most: u64,
}

impl Retention {
    /// A month of records, a day of requests.
    pub const DEFAULT: Self = Self {
        runs: Kept { age: Duration::from_hours(30 * 24), most: 1_000_000 },
        logs: Kept { age: Duration::from_hours(30 * 24), most: 1_000_000 },
        jobs: Kept { age: Duration::from_hours(30 * 24), most: 100_000 },
        requests: Kept { age: Duration::from_hours(24), most: 100_000 },
        period: Duration::from_mins(1),
    };

    fn keep(&self, now: OffsetDateTime) -> Keep {
        let Self { runs, logs, jobs, requests, period: _ } = self;
        let bound = |kept: &Kept| Bound {
            since: now.checked_sub(time::Duration::try_from(kept.age).unwrap_or(time::Duration::MAX)).unwrap_or(EVER),
            most: kept.most,
        };
        Keep { runs: bound(runs), logs: bound(logs), jobs: bound(jobs), requests: bound(requests) }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Nothing is older.
const EVER: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

impl Engine {
    /// Drops what goes beyond, now and then, as long as the engine is there. Once, and for who has the store to itself.
    pub fn start_pruning(&self, retention: Retention) {
        let weak = std::sync::Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            loop {
                let Some(inner) = weak.upgrade() else { return };
                match inner.store.prune(&retention.keep(OffsetDateTime::now_utc())).await {
                    Ok(0) => {}
                    Ok(dropped) => tracing::debug!(dropped, "old records were dropped"),
                    Err(error) => tracing::warn!(%error, "old records could not be dropped"),
                }
                drop(inner);
                tokio::time::sleep(retention.period).await;
            }
        });
    }
}
