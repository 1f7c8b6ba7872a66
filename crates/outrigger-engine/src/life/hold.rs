//! Calls of a plugin wait for a moment, so that nothing writes to its state while another version takes it over.

use std::sync::Arc;
use std::time::Instant;

use crate::plugins::{ActiveRevision, Slot};

/// While this is there, new calls of the plugin wait, but for those that a call of its own that still runs has led to.
/// They go on when it is dropped: on the successor, or on the revision that was there all along.
#[derive(Debug)]
pub(super) struct Hold<'a> {
    slot: &'a Slot,
    /// The active one, and those before it whose calls may still run.
    revisions: Vec<Arc<ActiveRevision>>,
}

impl<'a> Hold<'a> {
    pub(super) fn begin(slot: &'a Slot) -> Self {
        let revisions = slot.revisions();
        // In this order: who finds the revision closed looks whether calls are held.
        slot.held.send_replace(true);
        for revision in &revisions {
            revision.calls.close();
        }
        Self { slot, revisions }
    }

    /// Waits until no call runs any more. Answers whether that was so in time.
    pub(super) async fn drained(&self, until: Instant) -> bool {
        let ended = async {
            // All over again each time: a call on one revision may have led to one on another that had none any more.
            while let Some(busy) = self.revisions.iter().find(|revision| !revision.calls.is_empty()) {
                busy.calls.wait().await;
            }
        };
        tokio::time::timeout_at(until.into(), ended).await.is_ok()
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let active = self.slot.active.load();
        if let Some(active) = &*active
            && self.revisions.iter().any(|revision| Arc::ptr_eq(revision, active))
        {
            active.calls.reopen();
        }
        self.slot.held.send_replace(false);
    }
}
