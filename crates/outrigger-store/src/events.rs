//! The log of events. Ids are given under the database's lock, so that those of several processes grow in the order in which
//! they are committed.

use async_trait::async_trait;
use outrigger_contract::Pattern;
use outrigger_engine::events::{EventId, EventRecord, NewEvent};
use outrigger_engine::store::{Bound, EventFilter, EventStore, StoreError};
use sea_orm::sea_query::LikeExpr;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::SqliteStore;
use crate::database::{Transaction, failed};
use crate::entities::event::{ActiveModel, Column, Entity};
use crate::owners::{self, Amounts};
use crate::records::insert_all;
use crate::{columns, records};

const APPEND: &str = "append to the log of events";

#[async_trait]
impl EventStore for SqliteStore {
    async fn event_append(&self, events: &[NewEvent]) -> Result<Vec<EventId>, StoreError> {
        let transaction = self.database().begin(APPEND).await?;
        let ids = add(&transaction, events).await?;
        transaction.commit().await.map_err(failed(APPEND))?;
        Ok(ids)
    }

    async fn event_read(&self, after: Option<EventId>, limit: u32) -> Result<Vec<EventRecord>, StoreError> {
        let condition = Condition::all().add_option(after.map(|after| Column::Id.gt(after.to_string())));
        let query = Entity::find().filter(condition).order_by_asc(Column::Id).limit(u64::from(limit));
        let rows = query.all(&self.database().read).await.map_err(failed("read the log of events"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    async fn event_list(&self, filter: &EventFilter) -> Result<Vec<EventRecord>, StoreError> {
        let EventFilter { name, plugin, after, before, since, limit } = filter;
        let condition = Condition::all()
            .add_option(name.as_ref().map(|name| Column::Name.like(like(name))))
            .add_option(plugin.as_ref().map(|plugin| Column::Plugin.like(like(plugin))))
            .add_option(after.map(|after| Column::Id.gt(after.to_string())))
            .add_option(before.map(|before| Column::Id.lt(before.to_string())))
            .add_option(since.map(|since| Column::At.gte(columns::from_time(since))));
        let limit = u64::from(records::limit_of(*limit));
        let query = Entity::find().filter(condition).order_by_desc(Column::Id).limit(limit);
        let rows = query.all(&self.database().read).await.map_err(failed("list events"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    async fn event_head(&self) -> Result<Option<EventId>, StoreError> {
        head(&self.database().read).await
    }

    async fn event_prune(&self, keep: &Bound) -> Result<u64, StoreError> {
        owners::prune(self.database(), owners::EVENTS, keep).await
    }
}

/// Appends events as part of a transaction that holds the lock.
pub(crate) async fn add(transaction: &Transaction, events: &[NewEvent]) -> Result<Vec<EventId>, StoreError> {
    let mut last = head(transaction).await?;
    let mut amounts = Amounts::new();
    for event in events {
        owners::count(&mut amounts, event.owner(), event.size());
    }
    let owners = owners::charge(transaction, owners::EVENTS, amounts).await.map_err(failed(APPEND))?;
    let (mut ids, mut rows) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
    for event in events {
        let id = EventId::following(last, event.at);
        rows.push(ActiveModel::of(id, event, owners.get(&event.owner()).copied().unwrap_or_default())?);
        ids.push(id);
        last = Some(id);
    }
    insert_all(transaction, rows).await.map_err(failed(APPEND))?;
    Ok(ids)
}

async fn head(connection: &impl ConnectionTrait) -> Result<Option<EventId>, StoreError> {
    let query = Entity::find().select_only().column(Column::Id).order_by_desc(Column::Id).limit(1);
    let id =
        query.into_tuple::<String>().one(connection).await.map_err(failed("read the head of the log of events"))?;
    id.map(|id| columns::parse("the newest event", &id)).transpose()
}

/// Patterns and the names they are held against have no upper-case letters, which `LIKE` would take for the same.
fn like(pattern: &Pattern) -> LikeExpr {
    LikeExpr::new(pattern.as_str().replace('_', "\\_").replace('*', "%")).escape('\\')
}
