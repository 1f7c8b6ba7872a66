//! Hooks and subscriptions in memory.

use async_trait::async_trait;
use outrigger_contract::{HookName, PluginName};
use outrigger_engine::hooks::{HookRecord, Source, Subscription};
use outrigger_engine::store::{HookStore, StoreError};

use super::MemoryStore;
use crate::hooks as shared;

#[async_trait]
impl HookStore for MemoryStore {
    async fn hook_list(&self) -> Result<Vec<HookRecord>, StoreError> {
        Ok(self.tables.lock().hooks.values().cloned().collect())
    }

    async fn hook_create(&self, hook: &HookRecord) -> Result<(), StoreError> {
        let mut tables = self.tables.lock();
        if tables.hooks.contains_key(&hook.name) {
            return Err(shared::hook_conflict(hook));
        }
        tables.hooks.insert(hook.name.clone(), hook.clone());
        Ok(())
    }

    async fn hook_delete(&self, name: &HookName) -> Result<bool, StoreError> {
        Ok(self.tables.lock().hooks.remove(name).is_some())
    }

    async fn subscription_list(&self) -> Result<Vec<Subscription>, StoreError> {
        Ok(self.tables.lock().subscriptions.values().cloned().collect())
    }

    async fn subscription_put(&self, subscription: &Subscription) -> Result<(), StoreError> {
        self.tables.lock().subscriptions.insert(subscription.id.clone(), subscription.clone());
        Ok(())
    }

    async fn subscription_delete(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.tables.lock().subscriptions.remove(id).is_some())
    }

    async fn hook_replace(
        &self,
        plugin: &PluginName,
        hooks: &[HookRecord],
        subscriptions: &[Subscription],
    ) -> Result<(), StoreError> {
        let mut tables = self.tables.lock();
        let mut kept = tables.hooks.clone();
        kept.retain(|_, hook| hook.plugin.as_ref() != Some(plugin));
        for hook in hooks {
            if kept.insert(hook.name.clone(), hook.clone()).is_some() {
                return Err(shared::hook_conflict(hook));
            }
        }
        tables.hooks = kept;
        let mine = |kept: &Subscription| kept.source == Source::Manifest && kept.function.plugin == *plugin;
        tables.subscriptions.retain(|_, kept| !mine(kept));
        tables.subscriptions.extend(subscriptions.iter().map(|new| (new.id.clone(), new.clone())));
        Ok(())
    }
}
