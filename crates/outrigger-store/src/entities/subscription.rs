//! Subscriptions to hooks.

use outrigger_engine::hooks::{Source, Subscription};
use outrigger_engine::store::StoreError;
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "subscriptions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The plugin of the function.
    pub plugin: String,
    /// A word of [`source`].
    pub source: String,
    /// JSON, with the columns before it once more: a subscription is read and written as a whole.
    pub subscription: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Where a subscription comes from, as a word.
pub(crate) const fn source(source: Source) -> &'static str {
    match source {
        Source::Manifest => "manifest",
        Source::Api => "api",
    }
}

impl ActiveModel {
    /// The row of a subscription.
    pub(crate) fn of(subscription: &Subscription) -> Result<Self, StoreError> {
        let id = &subscription.id;
        Ok(Self {
            id: Set(id.clone()),
            plugin: Set(subscription.function.plugin.to_string()),
            source: Set(source(subscription.source).to_owned()),
            subscription: Set(columns::from_document(format_args!("the subscription {id}"), subscription)?),
        })
    }
}

impl TryFrom<Model> for Subscription {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { id, plugin: _, source: _, subscription } = row;
        columns::to_document(format_args!("the subscription {id}"), &subscription)
    }
}
