//! Actions of the health monitor on a plugin.

use std::sync::Arc;

use outrigger_contract::PluginName;

use crate::engine::Engine;
use crate::error::Failure;
use crate::hooks::spec;
use crate::lifecycle::PluginState;
use crate::plugins::{ActiveRevision, Slot};

impl Engine {
    /// Loads the active revision anew. Not where an administrator was quicker: answers whether it was done.
    pub(crate) async fn restart(&self, name: &PluginName, era: u64, reason: &str) -> Result<bool, Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        if !self.is_as_it_was(&slot, era) {
            return Ok(false);
        }
        self.load_anew(&slot).await?;
        self.tell_why(spec::PLUGIN_RESTARTED, &slot, Some(reason)).await;
        Ok(true)
    }

    /// Stops a plugin taking calls, for a reason. Not where an administrator was quicker: answers whether it was done.
    pub(crate) async fn give_up_on(&self, name: &PluginName, era: u64, reason: &str) -> Result<bool, Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        if !self.is_as_it_was(&slot, era) {
            return Ok(false);
        }
        self.switch_off(&slot, Some(reason.to_owned())).await?;
        Ok(true)
    }

    /// Whether a plugin takes calls, and nothing was done about it since the era began.
    fn is_as_it_was(&self, slot: &Slot, era: u64) -> bool {
        slot.record.lock().0.state.is_enabled() && self.inner.health.is_era(&slot.name, era)
    }

    /// Brings the active revision up once more, and lets it take the place of the one that is loaded. The caller holds the
    /// slot's lock.
    pub(super) async fn load_anew(&self, slot: &Arc<Slot>) -> Result<(), Failure> {
        let digest = slot.record.lock().0.active;
        let successor = self.bring_up(slot, &digest).await?;
        self.settle(slot, PluginState::Active, None).await?;
        self.put_into_service(slot, successor).await;
        Ok(())
    }

    /// Lets a revision that was brought up take the calls, in the place of the one that is loaded or as the first. The
    /// caller holds the slot's lock.
    pub(super) async fn put_into_service(&self, slot: &Arc<Slot>, successor: Arc<ActiveRevision>) {
        let first = slot.active.load().is_none();
        self.replace(slot, Some(Arc::clone(&successor)));
        if first {
            self.adopt_loaded(&successor).await;
        }
    }

    /// An administrator has done something about a plugin: what the monitor holds against it no longer counts. The caller
    /// holds the slot's lock.
    pub(super) async fn forgive(&self, slot: &Slot) {
        // The action is complete; only the operator needs to know that earlier failures still count.
        if let Err(failure) = self.health_begins_anew(slot).await {
            tracing::error!(plugin = %slot.name, %failure, "earlier failures still count in the health monitor");
        }
    }
}
