//! The log of events in memory.

use std::collections::BTreeMap;
use std::ops;

use async_trait::async_trait;
use outrigger_engine::events::{EventId, EventRecord, NewEvent};
use outrigger_engine::store::{Bound, EventFilter, EventStore, Owner, StoreError};

use super::MemoryStore;
use super::prune::{Droppable, prune_map};
use crate::records;

/// Events by id, each with its owner and size.
#[derive(Debug, Default)]
pub(super) struct Events {
    events: BTreeMap<EventId, (EventRecord, Owner, u64)>,
}

impl Events {
    pub(super) fn append<'a>(&mut self, events: impl IntoIterator<Item = &'a NewEvent>) -> Vec<EventId> {
        let mut append = |event: &NewEvent| {
            let id = EventId::following(self.head(), event.at);
            self.events.insert(id, (EventRecord::of(id, event), event.owner(), event.size()));
            id
        };
        events.into_iter().map(&mut append).collect()
    }

    fn head(&self) -> Option<EventId> {
        self.events.last_key_value().map(|(id, _)| *id)
    }
}

fn matches(filter: &EventFilter, event: &EventRecord) -> bool {
    let EventFilter { name, plugin, after, before, since, limit: _ } = filter;
    event.matches(name.as_ref(), plugin.as_ref())
        && after.is_none_or(|after| event.id > after)
        && before.is_none_or(|before| event.id < before)
        && since.is_none_or(|since| event.at >= since)
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn event_append(&self, events: &[NewEvent]) -> Result<Vec<EventId>, StoreError> {
        Ok(self.tables.lock().events.append(events))
    }

    async fn event_read(&self, after: Option<EventId>, limit: u32) -> Result<Vec<EventRecord>, StoreError> {
        let tables = self.tables.lock();
        let from = after.map_or(ops::Bound::Unbounded, ops::Bound::Excluded);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let events = tables.events.events.range((from, ops::Bound::Unbounded));
        Ok(events.take(limit).map(|(_, (event, ..))| event.clone()).collect())
    }

    async fn event_list(&self, filter: &EventFilter) -> Result<Vec<EventRecord>, StoreError> {
        let limit = usize::try_from(records::limit_of(filter.limit)).unwrap_or(usize::MAX);
        let tables = self.tables.lock();
        let found = tables.events.events.values().rev().map(|(event, ..)| event);
        let found = found.filter(|event| matches(filter, event));
        Ok(found.take(limit).cloned().collect())
    }

    async fn event_head(&self) -> Result<Option<EventId>, StoreError> {
        Ok(self.tables.lock().events.head())
    }

    async fn event_prune(&self, keep: &Bound) -> Result<u64, StoreError> {
        let mut tables = self.tables.lock();
        let head = tables.events.head();
        let dropped = prune_map(&mut tables.events.events, keep, |id, (event, owner, size)| {
            Some(Droppable { owner: owner.clone(), at: event.at, size: *size, stays: Some(*id) == head })
        });
        Ok(dropped as u64)
    }
}
