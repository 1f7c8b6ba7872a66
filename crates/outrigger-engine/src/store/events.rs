//! The log of events, as it is kept.

use async_trait::async_trait;
use outrigger_contract::Pattern;
use time::OffsetDateTime;

use super::{Bound, StoreError};
use crate::events::{EventId, EventRecord, NewEvent};

/// Keeps the log of events.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Appends events, and gives each an id in their order, greater than that of any event before it, whoever wrote that.
    async fn event_append(&self, events: &[NewEvent]) -> Result<Vec<EventId>, StoreError>;
    /// Events behind this one, or from the first that is kept, the oldest first, at most `limit`.
    async fn event_read(&self, after: Option<EventId>, limit: u32) -> Result<Vec<EventRecord>, StoreError>;
    /// Matching events, newest first.
    async fn event_list(&self, filter: &EventFilter) -> Result<Vec<EventRecord>, StoreError>;
    /// The newest event.
    async fn event_head(&self) -> Result<Option<EventId>, StoreError>;
    /// Prunes events above the retention limits, a few at a time, and never the newest one, whose id the next one
    /// follows. Returns their number.
    async fn event_prune(&self, keep: &Bound) -> Result<u64, StoreError>;
}

/// Which events to list. All given fields must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub name: Option<Pattern>,
    pub plugin: Option<Pattern>,
    /// Newer than this one.
    pub after: Option<EventId>,
    /// Older than this one.
    pub before: Option<EventId>,
    /// From this moment on.
    pub since: Option<OffsetDateTime>,
    /// At most this many; 0 for 1,000.
    pub limit: u32,
}
