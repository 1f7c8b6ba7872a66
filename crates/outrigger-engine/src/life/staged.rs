//! The state of a plugin as a revision sees it that does not take calls yet: what is stored, with changes over it that are
//! kept only when the revision takes the place of the active one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outrigger_contract::PluginName;
use outrigger_contract::manifest::MigrationStep;
use outrigger_contract::units::ByteSize;
use parking_lot::Mutex;

use crate::store::{Expected, StateOutcome, StateStamp, StateWrite, Store, StoreError};

/// The maximum number of changed keys. All are written in one transaction.
const CHANGES_AT_MOST: usize = 20_000;
/// The maximum size of all changes, which are held in memory.
const CHANGED_AT_MOST: ByteSize = ByteSize::mib(64);
/// The maximum work of all steps of a manifest, about two seconds. A step compares each key with each of its prefixes.
const WORK_AT_MOST: u64 = 2_000_000;
/// The work of moving or removing a key.
const MOVE: u64 = 20;

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
    changes: BTreeMap<String, Change>,
    /// The size of all keys and values, with the changes.
    bytes: u64,
    /// The size of the changes.
    changed: u64,
    /// The work of the steps so far.
    work: u64,
}

#[derive(Debug)]
struct Change {
    /// None if the key is removed.
    value: Option<Vec<u8>>,
    /// Whether the store has the key.
    stored: bool,
}

impl Change {
    fn size(&self, key: &str) -> u64 {
        (key.len() + self.value.as_ref().map_or(0, Vec::len)) as u64
    }
}

impl Over {
    /// Sets or removes a key. A removed key is only remembered if the store has it.
    fn put(&mut self, key: String, present: Option<&[u8]>, value: Option<Vec<u8>>) {
        self.bytes = self.bytes.saturating_sub(size(&key, present)) + size(&key, value.as_deref());
        let known = self.changes.remove(&key);
        self.changed -= known.as_ref().map_or(0, |change| change.size(&key));
        let stored = known.map_or(present.is_some(), |change| change.stored);
        if value.is_some() || stored {
            let change = Change { value, stored };
            self.changed += change.size(&key);
            self.changes.insert(key, change);
        }
    }
}

impl StagedState {
    pub(super) async fn begin(store: &Arc<dyn Store>, plugin: &PluginName) -> Result<Self, StoreError> {
        let stamp = store.state_stamp(plugin).await?;
        let over = Mutex::new(Over { changes: BTreeMap::new(), bytes: stamp.bytes, changed: 0, work: 0 });
        Ok(Self { store: Arc::clone(store), plugin: plugin.clone(), stamp, over })
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(changed) = self.over.lock().changes.get(key) {
            return Ok(changed.value.clone());
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
        over.put(key.to_owned(), present.as_deref(), Some(value.to_vec()));
        Ok(StateOutcome::Written)
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        if let Some(present) = self.get(key).await? {
            self.put(key.to_owned(), Some(&present), None);
        }
        Ok(())
    }

    pub(crate) async fn keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        let of_prefix = |changes: &BTreeMap<String, Change>, present: bool| -> BTreeSet<String> {
            let changed =
                changes.iter().filter(|(key, change)| key.starts_with(prefix) && change.value.is_some() == present);
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
        let too_much = || "the steps of the update compare and move too many keys of the state".to_owned();
        let work_of_key = 1 + (step.rename_state.len() + step.remove_state.len()) as u64;
        let left = WORK_AT_MOST.saturating_sub(self.over.lock().work);
        let most = u32::try_from(left / work_of_key).unwrap_or(u32::MAX);
        let keys: BTreeSet<String> = self.keys("", most.saturating_add(1)).await?.into_iter().collect();
        if keys.len() as u64 > u64::from(most) {
            return Ok(Err(too_much()));
        }
        let moves = match step.state(&keys) {
            Ok(moves) => moves,
            Err(conflict) => return Ok(Err(conflict.to_string())),
        };
        let work = keys.len() as u64 * work_of_key + moves.len() as u64 * MOVE;
        if work > left {
            return Ok(Err(too_much()));
        }
        self.over.lock().work += work;
        // All of them are taken out before any is put back, so that two keys can change places.
        let mut taken = Vec::with_capacity(moves.len());
        let mut bytes = 0;
        for (old, new) in moves {
            let Some(value) = self.get(&old).await? else { continue };
            bytes += if new.is_some() { value.len() } else { 0 };
            if let Err(problem) = self.room(&old, bytes) {
                return Ok(Err(problem));
            }
            self.put(old, Some(&value), None);
            taken.extend(new.map(|new| (new, value)));
        }
        for (new, value) in taken {
            if let Err(problem) = self.room(&new, value.len()) {
                return Ok(Err(problem));
            }
            self.put(new, None, Some(value));
        }
        Ok(Ok(()))
    }

    /// Whether a key can be changed to a value of this length. The reason is for a person to read.
    pub(crate) fn room(&self, key: &str, length: usize) -> Result<(), String> {
        let over = self.over.lock();
        if over.changes.len() >= CHANGES_AT_MOST && !over.changes.contains_key(key) {
            return Err(format!("an update can change at most {CHANGES_AT_MOST} keys of the state"));
        }
        if length > 0 && over.changed + length as u64 > CHANGED_AT_MOST.as_u64() {
            return Err(format!("an update can change at most {CHANGED_AT_MOST} of the state"));
        }
        Ok(())
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
            if present.as_ref() != Some(&value) {
                self.put(key, present.as_deref(), Some(value));
            }
        }
        Ok(())
    }

    fn put(&self, key: String, present: Option<&[u8]>, value: Option<Vec<u8>>) {
        self.over.lock().put(key, present, value);
    }

    /// The size of all keys and values together.
    pub(super) fn bytes(&self) -> u64 {
        self.over.lock().bytes
    }

    /// The changed values to write, and their keys.
    pub(super) async fn difference(&self) -> Result<(Changes, StateDifference), StoreError> {
        let copied = |(key, change): (&String, &Change)| (key.clone(), change.value.clone());
        let changes: Changes = self.over.lock().changes.iter().map(copied).collect();
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
