//! Requests with an idempotency key: recorded in the store, and counted against the quota of their owner.

use std::time::Instant;

use crate::engine::Engine;
use crate::quota::{Kind, ROW_BYTES};
use crate::store::{RequestRecord, StoreError};

impl Engine {
    /// Records that a request begins. If there is a record for it already, returns that.
    ///
    /// # Errors
    /// The store failed.
    pub async fn request_begin(&self, request: &RequestRecord) -> Result<Option<RequestRecord>, StoreError> {
        let present = self.inner.store.request_begin(request).await?;
        if present.is_none() {
            self.inner.written.add(ROW_BYTES);
        }
        Ok(present)
    }

    /// Records that a request has ended. The response is stored within the owner's quota; the fact that it ended is
    /// always stored.
    ///
    /// # Errors
    /// The store failed.
    pub async fn request_end(&self, place: &[u8; 32], owner: &str, answer: Option<&[u8]>) -> Result<(), StoreError> {
        let has_room = |answer: &&[u8]| {
            let bytes = answer.len() as u64 + ROW_BYTES;
            self.writes_of(owner).take(Kind::Answer, bytes, Instant::now()).is_ok()
        };
        let kept = answer.filter(has_room);
        self.inner.store.request_end(place, kept).await?;
        self.inner.written.add(kept.map_or(0, |answer| answer.len() as u64));
        Ok(())
    }
}
