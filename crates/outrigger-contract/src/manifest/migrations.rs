//! Migrations in a manifest: keys of the configuration and of the state that are renamed, removed or added. Pure
//! functions; the engine applies them to a view of the stored data.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use indexmap::IndexMap;
use semver::{Version, VersionReq};
use serde::Serialize;
use serde_json::{Map, Value};

use super::configuration::Key;
use super::read::{keys, requirement};
use super::reader::{Item, MOST_ITEMS, Table};
use crate::name::shorten;

/// The longest key of a plugin's state, in bytes.
pub const LONGEST_STATE_KEY: usize = 256;

/// One step from older versions. Within it, first what is to be removed goes, then what has another name gets it, then
/// what is new is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MigrationStep {
    /// The installed versions that need it.
    pub from: VersionReq,
    /// Keys of the configuration: the old one → the new one.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub rename: IndexMap<String, String>,
    /// Keys of the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Values of the configuration.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub set: Map<String, Value>,
    /// Keys of the state: what they begin with → what they begin with from now on.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub rename_state: IndexMap<String, String>,
    /// Keys of the state that begin with these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_state: Vec<String>,
}

/// A step cannot be taken without losing something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrationConflict {
    /// A key of the configuration is to take a name that another one has.
    #[error("cannot rename the configuration key `{old}` to `{new}`: `{new}` is already set")]
    ConfigurationTaken { old: String, new: String },
    /// The same of a key of the state.
    #[error("cannot rename the state key `{old}` to `{new}`: `{new}` already exists")]
    StateTaken { old: String, new: String },
    /// A key of the state would be longer than may be.
    #[error("the renamed state key `{old}` would have {length} bytes; the limit is {LONGEST_STATE_KEY}")]
    StateKeyTooLong { old: String, length: usize },
}

impl MigrationStep {
    /// Whether it is for data that this version left. A pre-release counts as itself and as what it leads to: `<2.0.0` is
    /// for `1.4.0-beta.1`, and not for `2.0.0-rc.1`, which has what 2.0.0 has.
    #[must_use]
    pub fn applies_to(&self, version: &Version) -> bool {
        let released = Version::new(version.major, version.minor, version.patch);
        self.from.matches(version) || self.from.matches(&released)
    }

    /// The configuration after it. Values are moved as they are, sealed ones too.
    ///
    /// # Errors
    /// A key is to take the name of another one.
    pub fn configuration(&self, before: &Map<String, Value>) -> Result<Map<String, Value>, MigrationConflict> {
        let mut values = before.clone();
        for key in &self.remove {
            values.shift_remove(key);
        }
        // All of them are taken out before any is put back, so that two keys can change places.
        let moved: Vec<_> = self
            .rename
            .iter()
            .filter_map(|(old, new)| values.shift_remove(old).map(|value| (old, new, value)))
            .collect();
        for (old, new, value) in moved {
            if values.contains_key(new) {
                return Err(MigrationConflict::ConfigurationTaken { old: old.clone(), new: new.clone() });
            }
            values.insert(new.clone(), value);
        }
        values.extend(self.set.clone());
        Ok(values)
    }

    /// The number of keys that it renames and removes.
    pub(super) fn changes(&self) -> usize {
        self.rename.len() + self.remove.len() + self.rename_state.len() + self.remove_state.len()
    }

    /// Whether it changes the state.
    #[must_use]
    pub fn touches_state(&self) -> bool {
        !self.rename_state.is_empty() || !self.remove_state.is_empty()
    }

    /// The new names of the affected state keys, or none if they are deleted. The longest beginning counts where a key
    /// has several.
    ///
    /// # Errors
    /// A key is to take the name of another one, or one that is too long.
    pub fn state(&self, keys: &BTreeSet<String>) -> Result<BTreeMap<String, Option<String>>, MigrationConflict> {
        let mut changes = BTreeMap::new();
        for key in keys {
            if self.remove_state.iter().any(|prefix| key.starts_with(prefix)) {
                changes.insert(key.clone(), None);
                continue;
            }
            let prefixes = self.rename_state.iter().filter(|(old, _)| key.starts_with(old.as_str()));
            let Some((old, new)) = prefixes.max_by_key(|(old, _)| old.len()) else { continue };
            let renamed = format!("{new}{}", &key[old.len()..]);
            if renamed.len() > LONGEST_STATE_KEY {
                return Err(MigrationConflict::StateKeyTooLong { old: key.clone(), length: renamed.len() });
            }
            changes.insert(key.clone(), Some(renamed));
        }
        let mut taken: BTreeSet<&String> = keys.iter().filter(|key| !changes.contains_key(*key)).collect();
        for (old, new) in changes.iter().filter_map(|(old, new)| Some((old, new.as_ref()?))) {
            if !taken.insert(new) {
                return Err(MigrationConflict::StateTaken { old: old.clone(), new: new.clone() });
            }
        }
        Ok(changes)
    }

    /// A description of the step for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { from, rename, remove, set, rename_state, remove_state } = self;
        let mut parts = Vec::new();
        parts.extend(remove.iter().map(|key| format!("remove `{key}`")));
        parts.extend(rename.iter().map(|(old, new)| format!("rename `{old}` to `{new}`")));
        parts.extend(set.keys().map(|key| format!("set `{key}`")));
        parts.extend(remove_state.iter().map(|prefix| format!("remove `{prefix}…` from the state")));
        parts.extend(rename_state.iter().map(|(old, new)| format!("rename `{old}…` in the state to `{new}…`")));
        match parts.is_empty() {
            true => format!("from {from}: only the plugin's own migration"),
            false => format!("from {from}: {}", parts.join(", ")),
        }
    }
}

pub(super) fn step(item: &Item<'_>) -> Option<MigrationStep> {
    let table = item.table(keys::MIGRATION)?;
    let from = table.require("from", "from = \"<2.0.0\"").and_then(|item| requirement(&item));
    let rename = renames::<Key>(&table, "rename");
    let remove = listed::<Key>(&table, "remove");
    let set = table.get("set").and_then(|item| values(&item)).unwrap_or_default();
    let rename_state = renames::<Prefix>(&table, "rename-state");
    let remove_state = listed::<Prefix>(&table, "remove-state");
    Some(MigrationStep { from: from?, rename, remove, set, rename_state, remove_state })
}

fn listed<K: FromStr<Err: std::fmt::Display> + Into<String>>(table: &Table<'_>, key: &'static str) -> Vec<String> {
    let read = |item: &Item<'_>| item.parse::<K>().map(Into::into);
    table.get(key).and_then(|item| item.set(read)).unwrap_or_default()
}

fn renames<K: FromStr<Err: std::fmt::Display> + Into<String>>(
    table: &Table<'_>,
    key: &'static str,
) -> IndexMap<String, String> {
    let Some(item) = table.get(key) else { return IndexMap::new() };
    let Some(named) = item.named::<K>() else { return IndexMap::new() };
    if named.len() > MOST_ITEMS {
        item.fail::<()>(format!("{} keys are too many; the limit is {MOST_ITEMS}", named.len()), None);
        return IndexMap::new();
    }
    let mut renames = IndexMap::new();
    for (old, item) in named {
        let old: String = old.into();
        let Some(new) = item.parse::<K>().map(Into::<String>::into) else { continue };
        if new == old {
            item.fail::<()>("the new name is the old one", Some("leave it out".to_owned()));
        } else if renames.values().any(|taken| *taken == new) {
            let message = format!("two keys would be renamed to `{}`", shorten(&new));
            item.fail::<()>(message, Some("give each a name of its own".to_owned()));
        } else {
            renames.insert(old, new);
        }
    }
    renames
}

fn values(item: &Item<'_>) -> Option<Map<String, Value>> {
    let named = item.named::<Key>()?;
    let value = |(key, item): (Key, Item<'_>)| match item.node.to_json() {
        Some(value) => Some((key.into(), value)),
        None => item.fail("JSON cannot represent this number", Some("write a finite number".to_owned())),
    };
    Some(named.into_iter().filter_map(value).collect())
}

/// A prefix of state keys.
struct Prefix(String);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.len() {
            1..=LONGEST_STATE_KEY => Ok(Self(text.to_owned())),
            length => Err(format!("a key of the state has 1 to {LONGEST_STATE_KEY} bytes; this begins with {length}")),
        }
    }
}

impl From<Prefix> for String {
    fn from(Prefix(text): Prefix) -> Self {
        text
    }
}
