//! The id that follows a call through plugins, logs and records.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ulid::{Generator, Ulid};

/// A correlation id: a ULID, so that ids sort by time. A caller may bring its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CorrelationId(Ulid);

impl CorrelationId {
    /// A new id, greater than all that this process made before.
    #[must_use]
    pub fn new() -> Self {
        Self::at(OffsetDateTime::now_utc())
    }

    /// A new id of something that has just begun, then; greater than all that this process made before. Not only for those
    /// who sort: an index of a database takes keys that come in order in half the time.
    #[must_use]
    pub fn at(time: OffsetDateTime) -> Self {
        static IDS: Mutex<Generator> = Mutex::new(Generator::new());
        let next = IDS.lock().generate_from_datetime(time.into());
        // Within one millisecond there are more of them than anybody can ask for.
        Self(next.unwrap_or_else(|_| Ulid::from_datetime(time.into())))
    }
}

tokio::task_local! {
    static CAUSE: CorrelationId;
}

/// Does something in the name of a correlation id: events that it leads to on the way have it too.
pub async fn within<F: Future>(correlation: CorrelationId, work: F) -> F::Output {
    CAUSE.scope(correlation, work).await
}

impl CorrelationId {
    /// The id of what this task does; a new one where nobody said so with [`within`].
    #[must_use]
    pub fn current() -> Self {
        CAUSE.try_with(|id| *id).unwrap_or_default()
    }

    /// A new id of something that began then, greater than the last one, whatever the clock says.
    #[must_use]
    pub fn following(last: Option<Self>, time: OffsetDateTime) -> Self {
        let new = Self(Ulid::from_datetime(time.into()));
        match last {
            Some(last) if new <= last => last.0.increment().map_or(new, Self),
            _ => new,
        }
    }
}

impl From<Ulid> for CorrelationId {
    fn from(id: Ulid) -> Self {
        Self(id)
    }
}

impl From<CorrelationId> for u128 {
    fn from(id: CorrelationId) -> Self {
        id.0.into()
    }
}

impl Default for CorrelationId {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for CorrelationId {
    type Err = ulid::DecodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_come_in_order_whatever_the_clock_says() {
        let now = OffsetDateTime::now_utc();
        let moments = [now, now, now - time::Duration::hours(1), now + time::Duration::milliseconds(1), now];
        let ids: Vec<_> = moments.into_iter().map(CorrelationId::at).collect();
        assert!(ids.is_sorted_by(|left, right| left < right), "{ids:?}");
    }

    #[test]
    fn threads_never_get_the_same_id() {
        let make = || (0..1_000).map(|_| CorrelationId::new()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(make)).collect();
        let ids: BTreeSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ids.len(), 4_000);
    }
}
