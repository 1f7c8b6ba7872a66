//! Calls of a plugin wait for a moment, so that nothing writes to its state while another version takes it over.

use std::sync::Arc;
use std::time::Instant;

use crate::plugins::{ActiveRevision, Slot};

/// While this is there, new calls of the plugin wait, but for those that a call of its own that still runs has led to.
/// They go on when it is dropped: on the successor, or on the revision that was there all along.
#[derive(Debug)]
pub(super) struct Hold<'a> {
    slot: &'a Slot,
    revision: Option<Arc<ActiveRevision>>,
}

impl<'a> Hold<'a> {
    pub(super) fn begin(slot: &'a Slot) -> Self {
        let revision = slot.active.load_full();
        // In this order: who finds the revision closed looks whether calls are held.
        slot.held.send_replace(true);
        if let Some(revision) = &revision {
            revision.calls.close();
        }
        Self { slot, revision }
    }

    /// Waits until no call runs any more. Answers whether that was so in time.
    pub(super) async fn drained(&self, until: Instant) -> bool {
        match &self.revision {
            Some(revision) => tokio::time::timeout_at(until.into(), revision.calls.wait()).await.is_ok(),
            None => true,
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let active = self.slot.active.load();
        if let (Some(revision), Some(active)) = (&self.revision, &*active)
            && Arc::ptr_eq(revision, active)
        {
            revision.calls.reopen();
        }
        self.slot.held.send_replace(false);
    }
}
