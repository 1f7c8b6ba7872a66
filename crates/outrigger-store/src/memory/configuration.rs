//! Configurations and their revisions, in memory.

use async_trait::async_trait;
use outrigger_contract::PluginName;
use outrigger_engine::store::{
    CONFIGURATION_BYTES_KEPT, CONFIGURATION_REVISIONS_KEPT, ConfigurationRecord, ConfigurationRevision,
    ConfigurationRewrite, ConfigurationStore, StoreError,
};

use super::updates::Kept;
use super::{MemoryStore, Plugin, conflict};

impl Plugin {
    /// That a revision of the configuration is the one after the present.
    pub(super) fn follows(&self, revision: &ConfigurationRevision) -> Result<(), StoreError> {
        let present = self.configurations.last().map_or(0, |newest| newest.revision);
        match revision.revision.checked_sub(1) == Some(present) {
            true => Ok(()),
            false => Err(conflict(format!("the configuration of the plugin {}", self.record.name))),
        }
    }

    pub(super) fn configure(&mut self, revision: &ConfigurationRevision) {
        let gone_back_to = self.predecessor.as_ref().map(Kept::configuration);
        let oldest = revision.revision.saturating_sub(CONFIGURATION_REVISIONS_KEPT);
        let kept = &mut self.configurations;
        kept.push(revision.clone());
        kept.retain(|kept| kept.revision > oldest || Some(kept.revision) == gone_back_to);
        let (mut bytes, mut least) = (0, revision.revision);
        for kept in kept.iter().rev() {
            bytes += serde_json::to_string(&kept.values).map_or(0, |text| text.len() as u64);
            if bytes > CONFIGURATION_BYTES_KEPT {
                break;
            }
            least = kept.revision;
        }
        kept.retain(|kept| kept.revision >= least || Some(kept.revision) == gone_back_to);
    }
}

#[async_trait]
impl ConfigurationStore for MemoryStore {
    async fn configuration_fetch(&self, name: &PluginName) -> Result<Option<ConfigurationRecord>, StoreError> {
        let tables = self.tables.lock();
        let newest = tables.plugins.get(name).and_then(|plugin| plugin.configurations.last());
        Ok(newest.map(|newest| ConfigurationRecord { values: newest.values.clone(), revision: newest.revision }))
    }

    async fn configuration_put(&self, name: &PluginName, revision: &ConfigurationRevision) -> Result<(), StoreError> {
        let mut tables = self.tables.lock();
        let plugin = tables.plugins.get_mut(name);
        let plugin = plugin.ok_or_else(|| conflict(format!("the configuration of the plugin {name}")))?;
        plugin.follows(revision)?;
        plugin.configure(revision);
        Ok(())
    }

    async fn configuration_revisions(&self, name: &PluginName) -> Result<Vec<ConfigurationRevision>, StoreError> {
        let tables = self.tables.lock();
        let kept = tables.plugins.get(name).map(|plugin| plugin.configurations.iter().rev().cloned().collect());
        Ok(kept.unwrap_or_default())
    }

    async fn configuration_revision(
        &self,
        name: &PluginName,
        revision: u64,
    ) -> Result<Option<ConfigurationRevision>, StoreError> {
        let tables = self.tables.lock();
        let Some(plugin) = tables.plugins.get(name) else { return Ok(None) };
        Ok(plugin.configurations.iter().find(|kept| kept.revision == revision).cloned())
    }

    async fn configuration_rewrite(&self, rewrites: &[ConfigurationRewrite]) -> Result<u64, StoreError> {
        let mut tables = self.tables.lock();
        let mut rewritten = 0;
        for ConfigurationRewrite { plugin, revision, before, after } in rewrites {
            let kept = tables.plugins.get_mut(plugin).into_iter().flat_map(|plugin| &mut plugin.configurations);
            for kept in kept.filter(|kept| kept.revision == *revision && kept.values == *before) {
                kept.values.clone_from(after);
                rewritten += 1;
            }
        }
        Ok(rewritten)
    }
}
