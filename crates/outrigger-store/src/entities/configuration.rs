//! Configurations, by plugin.

use outrigger_engine::store::{ConfigurationRecord, StoreError};
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "configurations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub plugin: String,
    pub revision: i64,
    /// JSON.
    pub values: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for ConfigurationRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { plugin, revision, values } = row;
        let what = format_args!("the configuration of the plugin {plugin}");
        Ok(Self { values: columns::to_document(what, &values)?, revision: columns::to_count(what, revision)? })
    }
}
