//! Hooks and subscriptions, as they are kept.

use async_trait::async_trait;
use outrigger_contract::{HookName, PluginName};

use super::StoreError;
use crate::hooks::{HookRecord, Subscription};

/// Keeps the hooks that are not built in, and all subscriptions.
#[async_trait]
pub trait HookStore: Send + Sync {
    /// All hooks, by name.
    async fn hook_list(&self) -> Result<Vec<HookRecord>, StoreError>;
    /// Adds a hook. One of the same name is a [`StoreError::Conflict`].
    async fn hook_create(&self, hook: &HookRecord) -> Result<(), StoreError>;
    /// Removes a hook. Answers whether it was there.
    async fn hook_delete(&self, name: &HookName) -> Result<bool, StoreError>;

    /// All subscriptions, by id.
    async fn subscription_list(&self) -> Result<Vec<Subscription>, StoreError>;
    /// Adds a subscription, or puts it in the place of the one with its id.
    async fn subscription_put(&self, subscription: &Subscription) -> Result<(), StoreError>;
    /// Removes a subscription. Answers whether it was there.
    async fn subscription_delete(&self, id: &str) -> Result<bool, StoreError>;

    /// Puts what a plugin's manifest declares in the place of what it declared before: hooks of the plugin, and
    /// subscriptions of its functions that come from a manifest. A hook that another plugin declares, or that was added
    /// over the API, is a [`StoreError::Conflict`].
    async fn hook_replace(
        &self,
        plugin: &PluginName,
        hooks: &[HookRecord],
        subscriptions: &[Subscription],
    ) -> Result<(), StoreError>;
}
