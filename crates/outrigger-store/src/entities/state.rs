//! The state of plugins, by key.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "state")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub plugin: String,
    /// UTF-8, as bytes: they compare alike in every database, whatever its collation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: Vec<u8>,
    /// Bytes of the key and the value together.
    pub size: i64,
    pub value: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
