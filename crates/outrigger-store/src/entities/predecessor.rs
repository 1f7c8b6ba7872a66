//! The predecessor of a plugin's last update, by plugin.

use outrigger_engine::store::{Predecessor, StoreError};
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "predecessors")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub plugin: String,
    pub digest: String,
    pub configuration: i64,
    /// 1 where what the state was is kept in `predecessor_state`, else 0.
    pub state_kept: i64,
    pub writes: i64,
    pub replaced_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Predecessor {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { plugin, digest, configuration, state_kept, writes, replaced_at } = row;
        let what = format_args!("the predecessor of the plugin {plugin}");
        Ok(Self {
            digest: columns::parse(what, &digest)?,
            configuration: columns::to_count(what, configuration)?,
            state_kept: state_kept != 0,
            writes: columns::to_count(what, writes)?,
            replaced_at: columns::to_time(replaced_at),
        })
    }
}
