//! Requests in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use async_trait::async_trait;
use outrigger_engine::store::{Bound, RequestProgress, RequestRecord, RequestStore, StoreError};

use super::MemoryStore;

/// By their place.
#[derive(Debug, Default)]
pub(super) struct Requests(BTreeMap<[u8; 32], RequestRecord>);

impl Requests {
    /// Drops those beyond what is to be kept.
    pub(super) fn prune(&mut self, bound: &Bound) -> usize {
        let first = super::first(bound, self.0.values().map(|request| request.at));
        let present = self.0.len();
        self.0.retain(|_, request| request.at >= first);
        present - self.0.len()
    }
}

#[async_trait]
impl RequestStore for MemoryStore {
    async fn request_begin(&self, request: &RequestRecord) -> Result<Option<RequestRecord>, StoreError> {
        match self.tables.lock().requests.0.entry(request.place) {
            Entry::Occupied(present) => Ok(Some(present.get().clone())),
            Entry::Vacant(place) => {
                place.insert(request.clone());
                Ok(None)
            }
        }
    }

    async fn request_end(&self, place: &[u8; 32], answer: Option<&[u8]>) -> Result<(), StoreError> {
        if let Some(request) = self.tables.lock().requests.0.get_mut(place) {
            request.progress = RequestProgress::Ended(answer.map(<[u8]>::to_vec));
        }
        Ok(())
    }

    async fn request_forget(&self, place: &[u8; 32]) -> Result<(), StoreError> {
        self.tables.lock().requests.0.remove(place);
        Ok(())
    }
}
