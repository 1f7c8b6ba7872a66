//! Hooks that are not built in.

use outrigger_engine::hooks::HookRecord;
use outrigger_engine::store::StoreError;
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "hooks")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The plugin whose manifest declares it.
    pub plugin: Option<String>,
    /// JSON, with the name and the plugin once more: a hook is read and written as a whole.
    pub hook: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a hook.
    pub(crate) fn of(hook: &HookRecord) -> Result<Self, StoreError> {
        Ok(Self {
            name: Set(hook.name.to_string()),
            plugin: Set(hook.plugin.as_ref().map(ToString::to_string)),
            hook: Set(columns::from_document(format_args!("the hook {}", hook.name), hook)?),
        })
    }
}

impl TryFrom<Model> for HookRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { name, plugin: _, hook } = row;
        columns::to_document(format_args!("the hook {name}"), &hook)
    }
}
