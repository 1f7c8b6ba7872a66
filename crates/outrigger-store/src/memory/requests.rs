//! Requests in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use async_trait::async_trait;
use outrigger_engine::store::{Bound, Owner, ROW_BYTES, RequestProgress, RequestRecord, RequestStore, StoreError};

use super::MemoryStore;
use super::prune::{Droppable, prune_map};

/// By their place.
#[derive(Debug, Default)]
pub(super) struct Requests(BTreeMap<[u8; 32], RequestRecord>);

impl Requests {
    /// Drops those beyond what is to be kept.
    pub(super) fn prune(&mut self, bound: &Bound) -> usize {
        prune_map(&mut self.0, bound, |_, request| {
            let answer = match &request.progress {
                RequestProgress::Ended(Some(answer)) => answer.len() as u64,
                RequestProgress::Begun | RequestProgress::Ended(None) => 0,
            };
            let owner = Owner { account: request.owner.clone(), source: String::new() };
            Some(Droppable { owner, at: request.at, size: ROW_BYTES + answer, stays: false })
        })
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
