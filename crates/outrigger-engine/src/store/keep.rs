//! How much of what happened is kept.

use time::OffsetDateTime;

/// What is to be kept. What goes beyond it is dropped, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    pub runs: Bound,
    pub logs: Bound,
    /// Jobs that have ended, by their end.
    pub jobs: Bound,
    /// Requests with an idempotency key.
    pub requests: Bound,
}

/// Of one kind: what is not older, and of that the newest so many. Of several of one moment that cannot all be among
/// them, none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub since: OffsetDateTime,
    pub most: u64,
}

impl Keep {
    /// Everything from a moment on.
    #[must_use]
    pub const fn since(since: OffsetDateTime) -> Self {
        let bound = Bound { since, most: u64::MAX };
        Self { runs: bound, logs: bound, jobs: bound, requests: bound }
    }
}
