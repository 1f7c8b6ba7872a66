//! Keys and roles in memory.

use async_trait::async_trait;
use outrigger_engine::access::{Role, RoleName};
use outrigger_engine::store::{AccessStore, KeyRecord, StoreError};
use time::OffsetDateTime;

use super::{MemoryStore, Tables};
use crate::access;

impl Tables {
    fn add_key(&mut self, key: &KeyRecord) -> Result<(), StoreError> {
        if self.keys.iter().any(|present| present.id == key.id || present.name == key.name) {
            return Err(access::key_conflict(key));
        }
        self.keys.push(key.clone());
        self.keys.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(())
    }
}

#[async_trait]
impl AccessStore for MemoryStore {
    async fn key_list(&self) -> Result<Vec<KeyRecord>, StoreError> {
        Ok(self.tables.lock().keys.clone())
    }

    async fn key_create(&self, key: &KeyRecord) -> Result<(), StoreError> {
        self.tables.lock().add_key(key)
    }

    async fn key_create_first(&self, key: &KeyRecord) -> Result<bool, StoreError> {
        let mut tables = self.tables.lock();
        if !tables.keys.is_empty() {
            return Ok(false);
        }
        tables.add_key(key)?;
        Ok(true)
    }

    async fn key_delete(&self, id: &str) -> Result<bool, StoreError> {
        let mut tables = self.tables.lock();
        let present = tables.keys.len();
        tables.keys.retain(|key| key.id != id);
        Ok(tables.keys.len() < present)
    }

    async fn key_used(&self, used: &[(String, OffsetDateTime)]) -> Result<(), StoreError> {
        let mut tables = self.tables.lock();
        for (id, at) in used {
            if let Some(key) = tables.keys.iter_mut().find(|key| key.id == *id) {
                // No moment at all is before any.
                key.last_used_at = key.last_used_at.max(Some(*at));
            }
        }
        Ok(())
    }

    async fn role_list(&self) -> Result<Vec<Role>, StoreError> {
        Ok(self.tables.lock().roles.values().cloned().collect())
    }

    async fn role_put(&self, role: &Role) -> Result<(), StoreError> {
        self.tables.lock().roles.insert(role.name.clone(), role.clone());
        Ok(())
    }

    async fn role_delete(&self, name: &RoleName) -> Result<bool, StoreError> {
        let mut tables = self.tables.lock();
        if !tables.roles.contains_key(name) {
            return Ok(false);
        }
        if let Some(key) = tables.keys.iter().find(|key| key.roles.contains(name)) {
            return Err(access::role_conflict(name, &key.name));
        }
        Ok(tables.roles.remove(name).is_some())
    }
}
