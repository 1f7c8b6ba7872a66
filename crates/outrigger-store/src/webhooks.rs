//! Webhooks and their deliveries.

use std::collections::HashMap;

use async_trait::async_trait;
use outrigger_contract::WebhookName;
use outrigger_engine::events::EventId;
use outrigger_engine::store::{Amount, Bound, DeliveryFilter, MOVED, Owner, SWITCHED_OFF, StoreError, WebhookStore};
use outrigger_engine::webhooks::{DeliveryId, DeliveryRecord, DeliveryState, WebhookRecord};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, Iterable as _, QueryFilter, QueryOrder, QuerySelect, Select, Set,
    SqlErr,
};
use time::OffsetDateTime;

use crate::SqliteStore;
use crate::database::{Transaction, failed};
use crate::entities::delivery::{ActiveModel, Column, Entity, Model};
use crate::entities::{outbox, webhook};
use crate::owners::{self, Amounts};
use crate::records::insert_all;
use crate::{columns, records};

const WRITE: &str = "write a webhook";

/// The error for a webhook that already exists, or was changed in the meantime.
pub(crate) fn conflict(name: &WebhookName) -> StoreError {
    StoreError::Conflict { what: format!("the webhook {name}") }
}

#[async_trait]
impl WebhookStore for SqliteStore {
    async fn webhook_list(&self) -> Result<Vec<WebhookRecord>, StoreError> {
        let query = webhook::Entity::find().order_by_asc(webhook::Column::Name);
        let rows = query.all(&self.database().read).await.map_err(failed("list the webhooks"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    async fn webhook_put(&self, record: &WebhookRecord) -> Result<u64, StoreError> {
        let transaction = self.database().begin(WRITE).await?;
        let generation = write(&transaction, record).await?;
        transaction.commit().await.map_err(failed(WRITE))?;
        Ok(generation)
    }

    async fn webhook_move(&self, record: &WebhookRecord, now: OffsetDateTime) -> Result<u64, StoreError> {
        let transaction = self.database().begin(WRITE).await?;
        let generation = write(&transaction, record).await?;
        let unsent = [DeliveryState::Pending, DeliveryState::Dead].map(DeliveryState::as_str);
        Entity::update_many()
            .col_expr(Column::State, Expr::val(DeliveryState::Abandoned.as_str()))
            .col_expr(Column::Status, Expr::val(None::<i64>))
            .col_expr(Column::Error, Expr::val(MOVED))
            .col_expr(Column::Private, Expr::val(0_i64))
            .col_expr(Column::EndedAt, Expr::val(columns::from_time(now)))
            .filter(Column::Webhook.eq(record.name.as_str()))
            .filter(Column::State.is_in(unsent))
            .exec(&transaction)
            .await
            .map_err(failed(WRITE))?;
        transaction.commit().await.map_err(failed(WRITE))?;
        Ok(generation)
    }

    async fn webhook_delete(&self, name: &WebhookName) -> Result<bool, StoreError> {
        const ACTION: &str = "remove a webhook";
        let transaction = self.database().begin_essential(ACTION).await?;
        let outcome = webhook::Entity::delete_by_id(name.as_str()).exec(&transaction).await.map_err(failed(ACTION))?;
        transaction.commit().await.map_err(failed(ACTION))?;
        Ok(outcome.rows_affected > 0)
    }

    async fn outbox_cursor(&self) -> Result<Option<EventId>, StoreError> {
        let row = outbox::Entity::find_by_id(1).one(&self.database().read).await;
        let row = row.map_err(failed("read how far events were gone through"))?;
        row.map(|row| columns::parse("how far events were gone through", &row.cursor)).transpose()
    }

    async fn outbox_put(&self, cursor: EventId, deliveries: &[DeliveryRecord]) -> Result<(), StoreError> {
        const ACTION: &str = "add deliveries";
        let transaction = self.database().begin(ACTION).await?;
        let makers: HashMap<String, String> =
            makers(&transaction, None).await.map_err(failed(ACTION))?.into_iter().collect();
        let owned = deliveries.iter().filter_map(|delivery| {
            let made_by = makers.get(delivery.webhook.as_str())?;
            Some((delivery, delivery.owner_of_row(made_by)))
        });
        let deliveries: Vec<(&DeliveryRecord, Owner)> = owned.collect();
        let mut amounts = Amounts::new();
        for (_, owner) in &deliveries {
            owners::count(&mut amounts, owner.clone(), 0);
        }
        let owners = owners::charge(&transaction, owners::DELIVERIES, amounts).await.map_err(failed(ACTION))?;
        let row = |(delivery, owner): (&DeliveryRecord, Owner)| {
            let owner = owners.get(&owner).copied().unwrap_or_default();
            ActiveModel { owner: Set(owner), ..ActiveModel::of(delivery) }
        };
        let rows = deliveries.into_iter().map(row).collect();
        insert_all(&transaction, rows).await.map_err(failed(ACTION))?;
        let row = outbox::ActiveModel { number: Set(1), cursor: Set(cursor.to_string()) };
        outbox::Entity::insert(row)
            .on_conflict(OnConflict::column(outbox::Column::Number).update_column(outbox::Column::Cursor).to_owned())
            .exec_without_returning(&transaction)
            .await
            .map_err(failed(ACTION))?;
        transaction.commit().await.map_err(failed(ACTION))
    }

    async fn delivery_create(&self, delivery: &DeliveryRecord) -> Result<bool, StoreError> {
        const ACTION: &str = "add a delivery";
        let transaction = self.database().begin(ACTION).await?;
        let makers = makers(&transaction, Some(&delivery.webhook)).await.map_err(failed(ACTION))?;
        let [(_, made_by)] = &makers[..] else { return Ok(false) };
        let owner = owners::charge_one(&transaction, owners::DELIVERIES, delivery.owner_of_row(made_by), 0);
        let owner = owner.await.map_err(failed(ACTION))?;
        let row = ActiveModel { owner: Set(owner), ..ActiveModel::of(delivery) };
        Entity::insert(row).exec_without_returning(&transaction).await.map_err(failed(ACTION))?;
        transaction.commit().await.map_err(failed(ACTION))?;
        Ok(true)
    }

    async fn delivery_due(
        &self,
        now: OffsetDateTime,
        except: &[WebhookName],
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let rows = due(now, except, limit).all(&self.database().read).await;
        rows.map_err(failed("find deliveries that are due"))?.into_iter().map(TryInto::try_into).collect()
    }

    async fn delivery_put(&self, delivery: &DeliveryRecord, attempts: u32) -> Result<bool, StoreError> {
        const ACTION: &str = "write a delivery";
        let transaction = self.database().begin_essential(ACTION).await?;
        let outcome = Entity::update_many()
            .set(ActiveModel::of(delivery))
            .filter(Column::Id.eq(delivery.id.to_string()))
            .filter(Column::State.eq(DeliveryState::Pending.as_str()))
            .filter(Column::Attempts.eq(i64::from(attempts)))
            .exec(&transaction)
            .await
            .map_err(failed(ACTION))?;
        transaction.commit().await.map_err(failed(ACTION))?;
        Ok(outcome.rows_affected > 0)
    }

    async fn delivery_give_up(
        &self,
        webhooks: &[WebhookName],
        except: &[DeliveryId],
        now: OffsetDateTime,
        at_most: u32,
    ) -> Result<u64, StoreError> {
        const ACTION: &str = "give deliveries up";
        let mut query = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::Webhook.is_in(webhooks.iter().map(WebhookName::as_str)))
            .filter(Column::State.eq(DeliveryState::Pending.as_str()))
            .limit(u64::from(at_most));
        if !except.is_empty() {
            query = query.filter(Column::Id.is_not_in(except.iter().map(DeliveryId::to_string)));
        }
        // Found without the lock: mostly there is nothing to be done.
        let found = query.into_tuple::<String>().all(&self.database().read).await.map_err(failed(ACTION))?;
        let mut given_up = 0;
        for part in found.chunks(500) {
            let transaction = self.database().begin_essential(ACTION).await?;
            let outcome = Entity::update_many()
                .col_expr(Column::State, Expr::val(DeliveryState::Dead.as_str()))
                .col_expr(Column::Error, Expr::val(SWITCHED_OFF))
                .col_expr(Column::EndedAt, Expr::val(columns::from_time(now)))
                .filter(Column::Id.is_in(part.iter().map(String::as_str)))
                .filter(Column::State.eq(DeliveryState::Pending.as_str()))
                .exec(&transaction)
                .await
                .map_err(failed(ACTION))?;
            transaction.commit().await.map_err(failed(ACTION))?;
            given_up += outcome.rows_affected;
        }
        Ok(given_up)
    }

    async fn delivery_fetch(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        let row = Entity::find_by_id(id.to_string()).one(&self.database().read).await;
        row.map_err(failed("read a delivery"))?.map(TryInto::try_into).transpose()
    }

    async fn delivery_list(&self, filter: &DeliveryFilter) -> Result<Vec<DeliveryRecord>, StoreError> {
        let DeliveryFilter { webhook, state, before, limit } = filter;
        let condition = Condition::all()
            .add_option(webhook.as_ref().map(|webhook| Column::Webhook.eq(webhook.as_str())))
            .add_option(state.map(|state| Column::State.eq(state.as_str())))
            .add_option(before.map(|before| Column::Id.lt(before.to_string())));
        let limit = u64::from(records::limit_of(*limit));
        let query = Entity::find()
            .select_only()
            .columns(Column::iter().filter(|column| !matches!(column, Column::Body)))
            .column_as(Expr::cust("''"), "body")
            .filter(condition)
            .order_by_desc(Column::Id)
            .limit(limit);
        let rows = query.into_model::<Model>().all(&self.database().read).await.map_err(failed("list deliveries"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    async fn delivery_counts(
        &self,
        webhook: Option<&WebhookName>,
    ) -> Result<Vec<(WebhookName, DeliveryState, u64)>, StoreError> {
        let condition = Condition::all().add_option(webhook.map(|webhook| Column::Webhook.eq(webhook.as_str())));
        let query = Entity::find()
            .select_only()
            .filter(condition)
            .column(Column::Webhook)
            .column(Column::State)
            .column_as(Column::Id.count(), "number")
            .group_by(Column::Webhook)
            .group_by(Column::State)
            .order_by_asc(Column::Webhook)
            .order_by_asc(Column::State);
        let rows = query.into_tuple::<(String, String, i64)>().all(&self.database().read).await;
        let what = "a count of deliveries";
        let count = |(webhook, state, number): (String, String, i64)| {
            Ok((columns::parse(what, &webhook)?, columns::to_word(what, &state)?, columns::to_count(what, number)?))
        };
        rows.map_err(failed("count deliveries"))?.into_iter().map(count).collect()
    }

    async fn delivery_revive(
        &self,
        webhook: &WebhookName,
        id: Option<DeliveryId>,
        now: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        const ACTION: &str = "send dead letters again";
        let condition = Condition::all()
            .add(Column::Webhook.eq(webhook.as_str()))
            .add(Column::State.eq(DeliveryState::Dead.as_str()))
            .add_option(id.map(|id| Column::Id.eq(id.to_string())));
        let transaction = self.database().begin(ACTION).await?;
        let outcome = Entity::update_many()
            .col_expr(Column::State, Expr::val(DeliveryState::Pending.as_str()))
            .col_expr(Column::Attempts, Expr::val(0_i64))
            .col_expr(Column::NextAt, Expr::val(columns::from_time(now)))
            .col_expr(Column::EndedAt, Expr::val(None::<i64>))
            .filter(condition)
            .exec(&transaction)
            .await
            .map_err(failed(ACTION))?;
        transaction.commit().await.map_err(failed(ACTION))?;
        Ok(outcome.rows_affected)
    }

    async fn delivery_prune(&self, keep: &Bound) -> Result<u64, StoreError> {
        owners::prune(self.database(), owners::DELIVERIES, keep).await
    }

    async fn delivery_prune_pending(&self, most: Amount) -> Result<u64, StoreError> {
        owners::prune_to(self.database(), owners::PENDING_DELIVERIES, most).await
    }
}

/// All webhooks, or this one, each with its creator.
async fn makers(transaction: &Transaction, name: Option<&WebhookName>) -> Result<Vec<(String, String)>, DbErr> {
    let name = name.map(|name| webhook::Column::Name.eq(name.as_str()));
    let query = webhook::Entity::find()
        .select_only()
        .column(webhook::Column::Name)
        .expr_as(Expr::cust("coalesce(json_extract(webhook, '$.created_by'), '')"), "made_by")
        .filter(Condition::all().add_option(name));
    query.into_tuple().all(transaction).await
}

/// Due pending deliveries of other webhooks, longest waiting first.
pub(crate) fn due(now: OffsetDateTime, except: &[WebhookName], limit: u32) -> Select<Entity> {
    let query = Entity::find()
        .filter(Column::State.eq(DeliveryState::Pending.as_str()))
        .filter(Column::NextAt.lte(columns::from_time(now)))
        .order_by_asc(Column::NextAt)
        .order_by_asc(Column::Id)
        .limit(u64::from(limit));
    if except.is_empty() {
        return query;
    }
    query.filter(Column::Webhook.is_not_in(except.iter().map(WebhookName::as_str)))
}

/// Writes a webhook within a transaction. Returns its generation.
async fn write(transaction: &Transaction, record: &WebhookRecord) -> Result<u64, StoreError> {
    let generation = record.generation + 1;
    let row = webhook::ActiveModel::of(record, generation)?;
    if record.generation == 0 {
        let outcome = webhook::Entity::insert(row).exec_without_returning(transaction).await;
        outcome.map_err(|error| match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => conflict(&record.name),
            _ => failed(WRITE)(error),
        })?;
        return Ok(generation);
    }
    let outcome = webhook::Entity::update_many()
        .set(row)
        .filter(webhook::Column::Name.eq(record.name.as_str()))
        .filter(webhook::Column::Generation.eq(columns::from_count(record.generation)))
        .exec(transaction)
        .await
        .map_err(failed(WRITE))?;
    if outcome.rows_affected == 0 {
        return Err(conflict(&record.name));
    }
    Ok(generation)
}
