//! Installed plugins.

use outrigger_engine::store::{PluginRecord, StoreError};
use sea_orm::entity::prelude::*;
use sea_orm::{NotSet, Set};

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "plugins")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub active: String,
    pub state: String,
    pub reason: Option<String>,
    pub installed_at: i64,
    pub updated_at: i64,
    pub generation: i64,
    /// Bytes of all keys and values in `state`, kept up to date by every write there.
    pub state_bytes: i64,
    /// How many keys of `state` were ever set or removed, kept up to date by every write there.
    pub state_writes: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(belongs_to = "super::revision::Entity", from = "Column::Active", to = "super::revision::Column::Digest")]
    Active,
}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a record, without the columns that only this crate writes. Its generation is the writer's to set.
    pub(crate) fn of(record: &PluginRecord, generation: i64) -> Self {
        let PluginRecord { name, active, state, reason, installed_at, updated_at, generation: _ } = record;
        Self {
            name: Set(name.to_string()),
            active: Set(active.to_string()),
            state: Set(state.as_str().to_owned()),
            reason: Set(reason.clone()),
            installed_at: Set(columns::from_time(*installed_at)),
            updated_at: Set(columns::from_time(*updated_at)),
            generation: Set(generation),
            state_bytes: NotSet,
            state_writes: NotSet,
        }
    }
}

impl TryFrom<Model> for PluginRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            name,
            active,
            state,
            reason,
            installed_at,
            updated_at,
            generation,
            state_bytes: _,
            state_writes: _,
        } = row;
        let what = format_args!("the plugin {name}");
        Ok(Self {
            active: columns::parse(what, &active)?,
            state: columns::to_word(what, &state)?,
            reason,
            installed_at: columns::to_time(installed_at),
            updated_at: columns::to_time(updated_at),
            generation: columns::to_count(what, generation)?,
            name: columns::parse(what, &name)?,
        })
    }
}
