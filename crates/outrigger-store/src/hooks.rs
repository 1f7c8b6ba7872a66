//! Hooks and subscriptions.

use outrigger_contract::{HookName, PluginName};
use outrigger_engine::hooks::{HookRecord, Source, Subscription};
use outrigger_engine::store::StoreError;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, SqlErr};

use crate::database::{Database, Transaction, failed};
use crate::entities::{hook, subscription};

pub(crate) async fn hook_list(database: &Database) -> Result<Vec<HookRecord>, StoreError> {
    let query = hook::Entity::find().order_by_asc(hook::Column::Name);
    let rows = query.all(&database.read).await.map_err(failed("list the hooks"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn hook_create(database: &Database, record: &HookRecord) -> Result<(), StoreError> {
    const ACTION: &str = "add a hook";
    let transaction = database.begin(ACTION).await?;
    insert_hook(&transaction, record, ACTION).await?;
    transaction.commit().await.map_err(failed(ACTION))
}

async fn insert_hook(transaction: &Transaction, record: &HookRecord, action: &'static str) -> Result<(), StoreError> {
    let outcome = hook::Entity::insert(hook::ActiveModel::of(record)?).exec_without_returning(transaction).await;
    outcome.map(|_| ()).map_err(|error| match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => hook_conflict(record),
        _ => failed(action)(error),
    })
}

/// The error for a hook that already exists.
pub(crate) fn hook_conflict(record: &HookRecord) -> StoreError {
    StoreError::Conflict { what: format!("the hook {}", record.name) }
}

pub(crate) async fn hook_delete(database: &Database, name: &HookName) -> Result<bool, StoreError> {
    const ACTION: &str = "remove a hook";
    let transaction = database.begin_essential(ACTION).await?;
    let outcome = hook::Entity::delete_by_id(name.as_str()).exec(&transaction).await.map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(outcome.rows_affected > 0)
}

pub(crate) async fn subscription_list(database: &Database) -> Result<Vec<Subscription>, StoreError> {
    let query = subscription::Entity::find().order_by_asc(subscription::Column::Id);
    let rows = query.all(&database.read).await.map_err(failed("list the subscriptions"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn subscription_put(database: &Database, record: &Subscription) -> Result<(), StoreError> {
    const ACTION: &str = "write a subscription";
    let transaction = database.begin(ACTION).await?;
    put(&transaction, record, ACTION).await?;
    transaction.commit().await.map_err(failed(ACTION))
}

async fn put(transaction: &Transaction, record: &Subscription, action: &'static str) -> Result<(), StoreError> {
    use subscription::Column;
    let replace = OnConflict::column(Column::Id)
        .update_columns([Column::Plugin, Column::Source, Column::Subscription])
        .to_owned();
    let insert = subscription::Entity::insert(subscription::ActiveModel::of(record)?).on_conflict(replace);
    insert.exec_without_returning(transaction).await.map(drop).map_err(failed(action))
}

pub(crate) async fn subscription_delete(database: &Database, id: &str) -> Result<bool, StoreError> {
    const ACTION: &str = "remove a subscription";
    let transaction = database.begin_essential(ACTION).await?;
    let outcome = subscription::Entity::delete_by_id(id).exec(&transaction).await.map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(outcome.rows_affected > 0)
}

pub(crate) async fn hook_replace(
    database: &Database,
    plugin: &PluginName,
    hooks: &[HookRecord],
    subscriptions: &[Subscription],
) -> Result<(), StoreError> {
    const ACTION: &str = "write the hooks of a manifest";
    let transaction = database.begin(ACTION).await?;
    let of_plugin = hook::Entity::delete_many().filter(hook::Column::Plugin.eq(plugin.as_str()));
    of_plugin.exec(&transaction).await.map_err(failed(ACTION))?;
    subscription::Entity::delete_many()
        .filter(subscription::Column::Plugin.eq(plugin.as_str()))
        .filter(subscription::Column::Source.eq(subscription::source(Source::Manifest)))
        .exec(&transaction)
        .await
        .map_err(failed(ACTION))?;
    for hook in hooks {
        insert_hook(&transaction, hook, ACTION).await?;
    }
    for subscription in subscriptions {
        put(&transaction, subscription, ACTION).await?;
    }
    transaction.commit().await.map_err(failed(ACTION))
}
