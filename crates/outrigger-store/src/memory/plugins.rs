//! Plugins with their revisions and grants, in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use outrigger_contract::{Digest, PluginName};
use outrigger_engine::store::{GrantRecord, PluginRecord, RevisionRecord, StoreError};

use super::{Plugin, Revision, Tables, conflict};

impl Tables {
    /// Whether the revision will be the plugin's once `added` is written.
    fn has(&self, name: &PluginName, digest: &Digest, added: Option<&RevisionRecord>) -> bool {
        match self.owners.get(digest) {
            Some(owner) => owner == name,
            None => added.is_some_and(|added| added.digest == *digest && added.manifest.name == *name),
        }
    }

    /// Implements [`Store::plugin_put`](outrigger_engine::store::Store::plugin_put).
    pub(super) fn put(
        &mut self,
        plugin: &PluginRecord,
        revision: Option<&RevisionRecord>,
        grant: Option<&GrantRecord>,
        expected: u64,
    ) -> Result<u64, StoreError> {
        let tables = self;
        let name = &plugin.name;
        let present = tables.plugins.get(name).map_or(0, |plugin| plugin.record.generation);
        if present != expected {
            return Err(conflict(format!("the plugin {name}")));
        }
        let mentioned =
            [Some(&plugin.active), revision.map(|revision| &revision.digest), grant.map(|grant| &grant.digest)];
        for digest in mentioned.into_iter().flatten() {
            if !tables.has(name, digest, revision) {
                return Err(conflict(format!("the revision {digest} of the plugin {name}")));
            }
        }

        let generation = expected.saturating_add(1);
        let record = PluginRecord { generation, ..plugin.clone() };
        let entry = match tables.plugins.entry(name.clone()) {
            Entry::Occupied(entry) => {
                let entry = entry.into_mut();
                entry.record = record;
                entry
            }
            Entry::Vacant(entry) => entry.insert(Plugin {
                record,
                revisions: BTreeMap::new(),
                configurations: Vec::new(),
                state: BTreeMap::new(),
                writes: 0,
                predecessor: None,
                statistics: BTreeMap::new(),
                health: None,
            }),
        };
        if let Some(revision) = revision
            && !tables.owners.contains_key(&revision.digest)
        {
            tables.owners.insert(revision.digest, name.clone());
            let (record, summary) = (revision.clone(), revision.summary());
            entry.revisions.insert(revision.digest, Revision { record, summary, grant: None });
        }
        if let Some(grant) = grant
            && let Some(revision) = entry.revisions.get_mut(&grant.digest)
        {
            revision.grant = Some(grant.clone());
            tables.writable_folders.extend(grant.grant.permissions.writable_folders().map(str::to_owned));
        }
        Ok(generation)
    }
}
