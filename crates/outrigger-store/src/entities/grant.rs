//! Grants, by digest.

use outrigger_engine::store::{GrantRecord, StoreError};
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "grants")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub digest: String,
    pub granted_by: String,
    pub granted_at: i64,
    /// The whole grant as JSON, including limits and hooks.
    pub permissions: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a record.
    pub(crate) fn of(record: &GrantRecord) -> Result<Self, StoreError> {
        let GrantRecord { digest, grant, granted_by, granted_at } = record;
        Ok(Self {
            digest: Set(digest.to_string()),
            granted_by: Set(granted_by.clone()),
            granted_at: Set(columns::from_time(*granted_at)),
            permissions: Set(columns::from_document(format_args!("the grant to {digest}"), grant)?),
        })
    }
}

impl TryFrom<Model> for GrantRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { digest, granted_by, granted_at, permissions } = row;
        let what = format_args!("the grant to {digest}");
        Ok(Self {
            grant: columns::to_document(what, &permissions)?,
            granted_by,
            granted_at: columns::to_time(granted_at),
            digest: columns::parse(what, &digest)?,
        })
    }
}
