//! The health of plugins.

use outrigger_engine::health::HealthRecord;
use outrigger_engine::store::StoreError;
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "health")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub plugin: String,
    /// JSON, with the name once more: a record is read and written as a whole.
    pub health: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a record.
    pub(crate) fn of(record: &HealthRecord) -> Result<Self, StoreError> {
        let what = format_args!("the health of the plugin {}", record.plugin);
        Ok(Self { plugin: Set(record.plugin.to_string()), health: Set(columns::from_document(what, record)?) })
    }
}

impl TryFrom<Model> for HealthRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { plugin, health } = row;
        columns::to_document(format_args!("the health of the plugin {plugin}"), &health)
    }
}
