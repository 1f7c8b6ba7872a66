//! The log of events.

use outrigger_contract::PluginName;
use outrigger_engine::events::{EventId, EventRecord, NewEvent};
use outrigger_engine::store::StoreError;
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub at: i64,
    pub name: String,
    pub plugin: Option<String>,
    pub correlation: String,
    /// JSON.
    pub payload: String,
    /// Its owner, and its size in bytes.
    pub owner: i64,
    pub size: i64,
    pub caller: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of an event.
    pub(crate) fn of(id: EventId, event: &NewEvent, owner: i64) -> Result<Self, StoreError> {
        let NewEvent { at, name, payload, correlation, plugin, key: _, caller } = event;
        Ok(Self {
            id: Set(id.to_string()),
            at: Set(columns::from_time(*at)),
            name: Set(name.to_string()),
            plugin: Set(plugin.as_ref().map(PluginName::to_string)),
            correlation: Set(correlation.to_string()),
            payload: Set(columns::from_document("the payload of an event", &**payload)?),
            owner: Set(owner),
            size: Set(columns::from_count(event.size())),
            caller: Set(caller.clone()),
        })
    }
}

impl TryFrom<Model> for EventRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { id, at, name, plugin, correlation, payload, owner: _, size: _, caller } = row;
        let what = format_args!("the event {id}");
        Ok(Self {
            id: columns::parse(what, &id)?,
            at: columns::to_time(at),
            name: columns::parse(what, &name)?,
            payload,
            correlation: columns::parse(what, &correlation)?,
            plugin: plugin.map(|plugin| columns::parse(what, &plugin)).transpose()?,
            caller,
        })
    }
}
