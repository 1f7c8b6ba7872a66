//! The state of a plugin as a revision sees it that does not take calls yet: what is stored, with changes over it that are
//! kept only when the revision takes the place of the active one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outrigger_contract::PluginName;
use outrigger_contract::manifest::MigrationStep;
use parking_lot::Mutex;

use crate::store::{Expected, StateOutcome, StateStamp, StateWrite, Store, StoreError};

/// Keys and their values; none where a key is removed.
pub(super) type Changes = BTreeMap<String, Option<Vec<u8>>>;

/// Which keys of a state differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDifference {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

/// A view of a plugin's state that can be changed without anybody else seeing it.
#[derive(Debug)]
pub(crate) struct StagedState {
    store: Arc<dyn Store>,
    plugin: PluginName,
    /// As it was when this view began. What was read since may be newer; then the stamp is no longer that of the store,
    /// and the changes are not kept.
    pub(super) stamp: StateStamp,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    changes: Changes,
    /// Of all keys and values, with the changes.
    bytes: u64,
}

impl StagedState {
    pub(super) async fn begin(store: &Arc<dyn Store>, plugin: &PluginName) -> Result<Self, StoreError> {
        let stamp = store.state_stamp(plugin).await?;
        let over = Mutex::new(Over { changes: Changes::new(), bytes: stamp.bytes });
        Ok(Self { store: Arc::clone(store), plugin: plugin.clone(), stamp, over })
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(changed) = self.over.lock().changes.get(key) {
            return Ok(changed.clone());
        }
        self.store.state_get(&self.plugin, key).await
    }

    pub(crate) async fn set(&self, write: StateWrite<'_>, capacity: u64) -> Result<StateOutcome, StoreError> {
        let StateWrite { key, value, expected } = write;
        let present = self.get(key).await?;
        let as_expected = match expected {
            Expected::Anything => true,
            Expected::Nothing => present.is_none(),
            Expected::Value(value) => present.as_deref() == Some(value),
        };
        if !as_expected {
            return Ok(StateOutcome::Changed);
        }
        let mut over = self.over.lock();
        let bytes = over.bytes.saturating_sub(size(key, present.as_deref())) + size(key, Some(value));
        if bytes > capacity {
            return Ok(StateOutcome::OverCapacity(bytes));
        }
        over.bytes = bytes;
        over.changes.insert(key.to_owned(), Some(value.to_vec()));
        Ok(StateOutcome::Written)
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        if let Some(present) = self.get(key).await? {
            self.put(key.to_owned(), Some(&present), None);
        }
        Ok(())
    }

    pub(crate) async fn keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        let of_prefix = |changes: &Changes, present: bool| -> BTreeSet<String> {
            let changed = changes.iter().filter(|(key, value)| key.starts_with(prefix) && value.is_some() == present);
            changed.map(|(key, _)| key.clone()).collect()
        };
        let (set, removed) = {
            let over = self.over.lock();
            (of_prefix(&over.changes, true), of_prefix(&over.changes, false))
        };
        // Those that are removed here count towards the limit there.
        let more = u32::try_from(removed.len()).unwrap_or(u32::MAX);
        let stored = self.store.state_keys(&self.plugin, prefix, limit.saturating_add(more)).await?;
        let mut keys: BTreeSet<String> = stored.into_iter().filter(|key| !removed.contains(key)).collect();
        keys.extend(set);
        Ok(keys.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    /// Takes a step of the manifest. What keeps it from being taken is for a person to read.
    pub(super) async fn take(&self, step: &MigrationStep) -> Result<Result<(), String>, StoreError> {
        let keys = self.keys("", u32::MAX).await?.into_iter().collect();
        let moves = match step.state(&keys) {
            Ok(moves) => moves,
            Err(conflict) => return Ok(Err(conflict.to_string())),
        };
        // All of them are taken out before any is put back, so that two keys can change places.
        let mut taken = Vec::with_capacity(moves.len());
        for (old, new) in moves {
            let Some(value) = self.get(&old).await? else { continue };
            self.put(old, Some(&value), None);
            taken.extend(new.map(|new| (new, value)));
        }
        for (new, value) in taken {
            self.put(new, None, Some(value));
        }
        Ok(Ok(()))
    }

    /// Makes it what it was once, whatever it is.
    pub(super) async fn become_again(&self, values: BTreeMap<String, Vec<u8>>) -> Result<(), StoreError> {
        for key in self.keys("", u32::MAX).await? {
            if !values.contains_key(&key) {
                self.delete(&key).await?;
            }
        }
        for (key, value) in values {
            let present = self.get(&key).await?;
            self.put(key, present.as_deref(), Some(value));
        }
        Ok(())
    }

    fn put(&self, key: String, present: Option<&[u8]>, value: Option<Vec<u8>>) {
        let mut over = self.over.lock();
        over.bytes = over.bytes.saturating_sub(size(&key, present)) + size(&key, value.as_deref());
        over.changes.insert(key, value);
    }

    /// Bytes of all keys and values together.
    pub(super) fn bytes(&self) -> u64 {
        self.over.lock().bytes
    }

    /// The changed values to write, and their keys.
    pub(super) async fn difference(&self) -> Result<(Changes, StateDifference), StoreError> {
        let changes = self.over.lock().changes.clone();
        let (mut kept, mut difference) = (Changes::new(), StateDifference::default());
        for (key, value) in changes {
            let stored = self.store.state_get(&self.plugin, &key).await?;
            if stored == value {
                continue;
            }
            let kind = match (&stored, &value) {
                (None, _) => &mut difference.added,
                (Some(_), Some(_)) => &mut difference.changed,
                (Some(_), None) => &mut difference.removed,
            };
            kind.push(key.clone());
            kept.insert(key, value);
        }
        Ok((kept, difference))
    }
}

/// The size of a key; 0 if it has no value.
fn size(key: &str, value: Option<&[u8]>) -> u64 {
    value.map_or(0, |value| (key.len() + value.len()) as u64)
}
