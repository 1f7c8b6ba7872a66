//! The health of plugins, as it is kept.

use async_trait::async_trait;
use outrigger_contract::PluginName;

use super::StoreError;
use crate::health::HealthRecord;

/// Keeps what is known of the health of plugins. It goes with its plugin.
#[async_trait]
pub trait HealthStore: Send + Sync {
    /// Of all plugins of which anything is known, by name.
    async fn health_list(&self) -> Result<Vec<HealthRecord>, StoreError>;
    /// Of one plugin.
    async fn health_fetch(&self, name: &PluginName) -> Result<Option<HealthRecord>, StoreError>;
    /// Writes a record, in the place of the one before it. A plugin that is not there is a [`StoreError::Conflict`].
    async fn health_put(&self, record: &HealthRecord) -> Result<(), StoreError>;
}
