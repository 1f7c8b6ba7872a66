//! The id that follows a call through plugins, logs and records.

use serde::{Deserialize, Serialize};

/// A correlation id: a ULID, so that ids sort by time. A caller may bring its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CorrelationId(ulid::Ulid);

impl CorrelationId {
    /// A new id.
    #[must_use]
    pub fn new() -> Self {
        Self(ulid::Ulid::new())
    }

    /// A new id of something that began then.
    #[must_use]
    pub fn at(time: time::OffsetDateTime) -> Self {
        Self(ulid::Ulid::from_datetime(time.into()))
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
    pub fn following(last: Option<Self>, time: time::OffsetDateTime) -> Self {
        let new = Self::at(time);
        match last {
            Some(last) if new <= last => last.0.increment().map_or(new, Self),
            _ => new,
        }
    }
}

impl From<ulid::Ulid> for CorrelationId {
    fn from(id: ulid::Ulid) -> Self {
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
