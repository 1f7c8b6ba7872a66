//! The health of plugins in memory.

use async_trait::async_trait;
use outrigger_contract::PluginName;
use outrigger_engine::health::HealthRecord;
use outrigger_engine::store::{HealthStore, StoreError};

use super::MemoryStore;
use crate::health;

#[async_trait]
impl HealthStore for MemoryStore {
    async fn health_list(&self) -> Result<Vec<HealthRecord>, StoreError> {
        Ok(self.tables.lock().plugins.values().filter_map(|plugin| plugin.health.clone()).collect())
    }

    async fn health_fetch(&self, name: &PluginName) -> Result<Option<HealthRecord>, StoreError> {
        Ok(self.tables.lock().plugins.get(name).and_then(|plugin| plugin.health.clone()))
    }

    async fn health_put(&self, record: &HealthRecord) -> Result<(), StoreError> {
        let mut tables = self.tables.lock();
        let plugin = tables.plugins.get_mut(&record.plugin).ok_or_else(|| health::missing(&record.plugin))?;
        plugin.health = Some(record.clone());
        Ok(())
    }
}
