//! Back to what was there before the last update: the revision, its configuration and its state.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_contract::{Code, PluginName};
use serde_json::{Map, Value};

use super::trial::{Course, Rehearsal, Successor};
use super::update::Migrated;
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::plugins::Slot;
use crate::store::Predecessor;

/// The predecessor.
#[derive(Debug)]
pub(super) struct Former {
    /// The revision of the configuration.
    pub(super) revision: u64,
    /// Its values; none where they are the present ones.
    pub(super) configuration: Option<Map<String, Value>>,
    /// None where the update left the state as it was, and so does going back.
    pub(super) state: Option<BTreeMap<String, Vec<u8>>>,
}

/// The changes of a rollback, done or planned.
#[derive(Clone, Debug, PartialEq)]
pub struct RolledBack {
    pub migrated: Migrated,
    /// How many writes to the state since the update are lost by it.
    pub lost: u64,
}

impl Engine {
    /// Goes back to what was there before the last update.
    ///
    /// # Errors
    /// There is nothing to go back to, it does not get along with the plugins that it needs or that need it, it could not be
    /// brought up, or the store failed; then nothing has changed.
    pub async fn rollback(&self, name: &PluginName, correlation: CorrelationId) -> Result<RolledBack, Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        let (successor, predecessor) = self.former(&slot, correlation).await?;
        let lost = self.lost(&slot, &predecessor).await?;
        let migrated = self.take_over(&slot, &successor).await?;
        Ok(RolledBack { migrated, lost })
    }

    /// The effect of a rollback. Nothing is stored.
    ///
    /// # Errors
    /// As for [`Engine::rollback`], but that nothing is brought up.
    pub async fn rollback_rehearse(&self, name: &PluginName) -> Result<RolledBack, Failure> {
        let slot = self.slot(name)?;
        let (successor, predecessor) = self.former(&slot, CorrelationId::new()).await?;
        let lost = self.lost(&slot, &predecessor).await?;
        let trial = self.attempt(&slot, &successor, &Rehearsal::OnlyMigrate).await?;
        Ok(RolledBack { migrated: trial.migrated, lost })
    }

    async fn lost(&self, slot: &Slot, predecessor: &Predecessor) -> Result<u64, Failure> {
        let stamp = self.inner.store.state_stamp(&slot.name).await?;
        Ok(if predecessor.state_kept { stamp.writes.saturating_sub(predecessor.writes) } else { 0 })
    }

    async fn former(&self, slot: &Arc<Slot>, correlation: CorrelationId) -> Result<(Successor, Predecessor), Failure> {
        let (store, name) = (&self.inner.store, &slot.name);
        let Some(predecessor) = store.predecessor_fetch(name).await? else {
            let message =
                format!("nothing to roll back: `{name}` was not updated since it was installed or rolled back");
            return Err(Failure::new(Code::Conflict, message).with_hint(
                "install the version you want; `--allow-downgrade` replaces a newer version with an older one",
            ));
        };
        let record = self.revision(&predecessor.digest).await?;
        self.check_dependencies(&record.manifest).await?;
        let grant = store.grant_fetch(&predecessor.digest).await?;
        let granted = grant.map(|record| record.grant).unwrap_or_default();
        let revision = predecessor.configuration;
        let configuration = match self.present(name).await?.revision == revision {
            true => None,
            false => Some(self.kept(name, revision).await?),
        };
        let state = match predecessor.state_kept {
            true => Some(store.predecessor_state(name).await?),
            false => None,
        };
        let loaded = self.load(record, granted, None).await;
        let candidate = loaded.inspect_err(|_| slot.counts.load_failed())?;
        let course = Course::Back(Former { revision, configuration, state });
        Ok((Successor { candidate, grant: None, course, correlation }, predecessor))
    }
}
