//! Deliveries of events to webhooks. They go with their webhook.

use outrigger_engine::events::EventId;
use outrigger_engine::store::{ROW_BYTES, StoreError};
use outrigger_engine::webhooks::DeliveryRecord;
use sea_orm::entity::prelude::*;
use sea_orm::{NotSet, Set};

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "deliveries")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub webhook: String,
    pub event: Option<String>,
    pub name: String,
    pub state: String,
    pub attempts: i64,
    pub next_at: i64,
    pub status: Option<i64>,
    pub error: Option<String>,
    pub created_at: i64,
    pub ended_at: Option<i64>,
    pub body: String,
    /// 0 or 1.
    pub private: i64,
    /// Its owner, and its size in bytes.
    pub owner: i64,
    pub size: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a delivery. Its owner is set when it is inserted.
    pub(crate) fn of(record: &DeliveryRecord) -> Self {
        let DeliveryRecord {
            id,
            webhook,
            event,
            name,
            state,
            attempts,
            next_at,
            status,
            error,
            private,
            created_at,
            ended_at,
            body,
        } = record.clone();
        Self {
            owner: NotSet,
            size: Set(columns::from_count(ROW_BYTES + body.len() as u64)),
            id: Set(id.to_string()),
            webhook: Set(webhook.to_string()),
            event: Set(event.as_ref().map(EventId::to_string)),
            name: Set(name.to_string()),
            state: Set(state.as_str().to_owned()),
            attempts: Set(attempts.into()),
            next_at: Set(columns::from_time(next_at)),
            status: Set(status.map(i64::from)),
            error: Set(error),
            private: Set(private.into()),
            created_at: Set(columns::from_time(created_at)),
            ended_at: Set(ended_at.map(columns::from_time)),
            body: Set(body),
        }
    }
}

impl TryFrom<Model> for DeliveryRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            id,
            webhook,
            event,
            name,
            state,
            attempts,
            next_at,
            status,
            error,
            created_at,
            ended_at,
            body,
            private,
            owner: _,
            size: _,
        } = row;
        let what = format_args!("the delivery {id}");
        let status = status.map(|status| {
            u16::try_from(status).map_err(|_| columns::corrupt(what, format_args!("{status} is no status of HTTP")))
        });
        Ok(Self {
            id: columns::parse(what, &id)?,
            webhook: columns::parse(what, &webhook)?,
            event: event.map(|event| columns::parse(what, &event)).transpose()?,
            name: columns::parse(what, &name)?,
            state: columns::to_word(what, &state)?,
            attempts: columns::to_small_count(what, attempts)?,
            next_at: columns::to_time(next_at),
            status: status.transpose()?,
            error,
            private: private != 0,
            created_at: columns::to_time(created_at),
            ended_at: ended_at.map(columns::to_time),
            body,
        })
    }
}
