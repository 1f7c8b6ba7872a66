//! API keys, by their hash.

use outrigger_engine::store::{KeyRecord, StoreError};
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "keys")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Unique.
    pub name: String,
    /// A SHA-256.
    pub hash: Vec<u8>,
    /// JSON: a list of names.
    pub roles: String,
    /// JSON: a list of rules.
    pub scope: Option<String>,
    pub created_at: i64,
    pub created_by: String,
    pub expires_at: Option<i64>,
    pub last_used_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a record.
    pub(crate) fn of(record: &KeyRecord) -> Result<Self, StoreError> {
        let KeyRecord { id, name, hash, roles, scope, created_at, created_by, expires_at, last_used_at } = record;
        let what = format_args!("the key {name}");
        Ok(Self {
            id: Set(id.clone()),
            name: Set(name.clone()),
            hash: Set(hash.to_vec()),
            roles: Set(columns::from_document(what, roles)?),
            scope: Set(scope.as_ref().map(|scope| columns::from_document(what, scope)).transpose()?),
            created_at: Set(columns::from_time(*created_at)),
            created_by: Set(created_by.clone()),
            expires_at: Set(expires_at.map(columns::from_time)),
            last_used_at: Set(last_used_at.map(columns::from_time)),
        })
    }
}

impl TryFrom<Model> for KeyRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { id, name, hash, roles, scope, created_at, created_by, expires_at, last_used_at } = row;
        let what = format_args!("the key {name}");
        Ok(Self {
            hash: columns::to_hash(what, &hash)?,
            roles: columns::to_document(what, &roles)?,
            scope: scope.map(|scope| columns::to_document(what, &scope)).transpose()?,
            created_at: columns::to_time(created_at),
            created_by,
            expires_at: expires_at.map(columns::to_time),
            last_used_at: last_used_at.map(columns::to_time),
            id,
            name,
        })
    }
}
