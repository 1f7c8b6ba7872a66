//! Webhooks.

use outrigger_engine::store::StoreError;
use outrigger_engine::webhooks::WebhookRecord;
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhooks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub generation: i64,
    /// JSON, with the name once more: a webhook is read and written as a whole. Its generation is the one above, its secrets
    /// are sealed.
    pub webhook: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a webhook, in this generation.
    pub(crate) fn of(record: &WebhookRecord, generation: u64) -> Result<Self, StoreError> {
        Ok(Self {
            name: Set(record.name.to_string()),
            generation: Set(columns::from_count(generation)),
            webhook: Set(columns::from_document(format_args!("the webhook {}", record.name), record)?),
        })
    }
}

impl TryFrom<Model> for WebhookRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { name, generation, webhook } = row;
        let what = format_args!("the webhook {name}");
        let record: Self = columns::to_document(what, &webhook)?;
        Ok(Self { generation: columns::to_count(what, generation)?, ..record })
    }
}
