//! Switches between versions, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use outrigger_contract::{Digest, PluginName};
use outrigger_engine::store::{Keeps, Predecessor, StateChange, StateStamp, StoreError, Switch, UpdateStore};
use time::OffsetDateTime;

use super::{MemoryStore, Plugin, conflict};

/// The predecessor of an update, with its state if that is stored.
#[derive(Debug)]
pub(super) struct Kept {
    predecessor: Predecessor,
    state: BTreeMap<String, Vec<u8>>,
}

impl Kept {
    pub(super) fn is_of(&self, digest: &Digest) -> bool {
        self.predecessor.digest == *digest
    }

    /// The revision of the configuration.
    pub(super) const fn configuration(&self) -> u64 {
        self.predecessor.configuration
    }
}

#[async_trait]
impl UpdateStore for MemoryStore {
    async fn state_stamp(&self, name: &PluginName) -> Result<StateStamp, StoreError> {
        let tables = self.tables.lock();
        let plugin = tables.plugins.get(name).ok_or_else(|| conflict(format!("the plugin {name}")))?;
        let bytes: usize = plugin.state.iter().map(|(key, value)| key.len() + value.len()).sum();
        Ok(StateStamp { writes: plugin.writes, bytes: bytes as u64 })
    }

    async fn plugin_switch(&self, switch: &Switch) -> Result<u64, StoreError> {
        let Switch { plugin: record, expected, revision, grant, configuration, state, keeps } = switch;
        let mut tables = self.tables.lock();
        let name = &record.name;
        // All that may fail comes before anything is written.
        let present = tables.plugins.get(name).ok_or_else(|| conflict(format!("the plugin {name}")))?;
        if let Some(configuration) = configuration {
            present.follows(configuration)?;
        }
        if state.as_ref().and_then(|change| change.expected).is_some_and(|expected| expected != present.writes) {
            return Err(conflict(format!("the state of the plugin {name}")));
        }
        let kept = present.keep(*keeps, state.as_ref());
        let generation = tables.put(record, Some(revision), grant.as_ref(), *expected)?;
        let plugin = tables.plugins.get_mut(name).ok_or_else(|| conflict(format!("the plugin {name}")))?;
        plugin.predecessor = kept;
        if let Some(configuration) = configuration {
            plugin.configure(configuration);
        }
        if let Some(change) = state {
            plugin.change(change);
        }
        Ok(generation)
    }

    async fn predecessor_fetch(&self, name: &PluginName) -> Result<Option<Predecessor>, StoreError> {
        let tables = self.tables.lock();
        let kept = tables.plugins.get(name).and_then(|plugin| plugin.predecessor.as_ref());
        Ok(kept.map(|kept| kept.predecessor.clone()))
    }

    async fn predecessor_state(&self, name: &PluginName) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let tables = self.tables.lock();
        let kept = tables.plugins.get(name).and_then(|plugin| plugin.predecessor.as_ref());
        Ok(kept.map(|kept| kept.state.clone()).unwrap_or_default())
    }
}

impl Plugin {
    /// The predecessor to store for a switch that changes the state in this way.
    fn keep(&self, keeps: Keeps, change: Option<&StateChange>) -> Option<Kept> {
        let state = match keeps {
            Keeps::Predecessor => Some(self.state.clone()),
            Keeps::PredecessorWithoutState => None,
            Keeps::Nothing => return None,
        };
        let predecessor = Predecessor {
            digest: self.record.active,
            configuration: self.configurations.last().map_or(0, |newest| newest.revision),
            state_kept: state.is_some(),
            writes: self.writes + change.map_or(0, |change| change.changes.len() as u64),
            replaced_at: OffsetDateTime::now_utc(),
        };
        Some(Kept { predecessor, state: state.unwrap_or_default() })
    }

    fn change(&mut self, change: &StateChange) {
        self.writes += change.changes.len() as u64;
        for (key, value) in &change.changes {
            match value {
                Some(value) => self.state.insert(key.clone(), value.clone()),
                None => self.state.remove(key),
            };
        }
    }
}
