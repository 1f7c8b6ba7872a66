//! Keys and roles, as they are kept.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::StoreError;
use crate::access::{Role, RoleName, Rule};

/// Keeps keys and the roles that a team made. Built-in roles are not kept.
#[async_trait]
pub trait AccessStore: Send + Sync {
    /// All keys, by name. A revoked key is not there any more.
    async fn key_list(&self) -> Result<Vec<KeyRecord>, StoreError>;
    /// Adds a key. One of the same id or name is a [`StoreError::Conflict`].
    async fn key_create(&self, key: &KeyRecord) -> Result<(), StoreError>;
    /// Adds a key where there is none at all yet. Answers whether it was added: of several processes that start on a new
    /// directory at once, one makes the first key.
    async fn key_create_first(&self, key: &KeyRecord) -> Result<bool, StoreError>;
    /// Revokes a key. Answers whether it was there.
    async fn key_delete(&self, id: &str) -> Result<bool, StoreError>;
    /// Notes when keys were last used; a moment before the one that is noted changes nothing.
    async fn key_used(&self, used: &[(String, OffsetDateTime)]) -> Result<(), StoreError>;

    /// The roles that were made, by name.
    async fn role_list(&self) -> Result<Vec<Role>, StoreError>;
    /// Makes a role, or puts it in the place of the one of that name.
    async fn role_put(&self, role: &Role) -> Result<(), StoreError>;
    /// Removes a role. Answers whether it was there; one that a key still has is a [`StoreError::Conflict`].
    async fn role_delete(&self, name: &RoleName) -> Result<bool, StoreError>;
}

/// An API key. The key itself is not kept, only its SHA-256: it has 256 random bits, which no search finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Public, and never used again.
    pub id: String,
    /// For people; unique.
    pub name: String,
    pub hash: [u8; 32],
    pub roles: Vec<RoleName>,
    /// The scope, if any: the roles' rights are limited to these rules.
    pub scope: Option<Vec<Rule>>,
    pub created_at: OffsetDateTime,
    /// The creator, as text for people.
    pub created_by: String,
    /// It does not work from this moment on.
    pub expires_at: Option<OffsetDateTime>,
    pub last_used_at: Option<OffsetDateTime>,
}
