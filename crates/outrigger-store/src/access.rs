//! Keys and roles.

use std::collections::BTreeMap;

use outrigger_engine::access::{Role, RoleName};
use outrigger_engine::store::{KeyRecord, StoreError};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, SqlErr};
use time::OffsetDateTime;

use crate::columns;
use crate::database::{Database, Transaction, failed};
use crate::entities::{key, role};

pub(crate) async fn key_list(database: &Database) -> Result<Vec<KeyRecord>, StoreError> {
    let query = key::Entity::find().order_by_asc(key::Column::Name);
    let rows = query.all(&database.read).await.map_err(failed("list the keys"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn key_create(database: &Database, record: &KeyRecord) -> Result<(), StoreError> {
    const ACTION: &str = "add a key";
    let transaction = database.begin(ACTION).await?;
    insert_key(&transaction, record, ACTION).await?;
    transaction.commit().await.map_err(failed(ACTION))
}

pub(crate) async fn key_create_first(database: &Database, record: &KeyRecord) -> Result<bool, StoreError> {
    const ACTION: &str = "add the first key";
    // Counted under the lock: of several that find no key, one does so.
    let transaction = database.begin(ACTION).await?;
    if key::Entity::find().count(&transaction).await.map_err(failed(ACTION))? > 0 {
        return Ok(false);
    }
    insert_key(&transaction, record, ACTION).await?;
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(true)
}

async fn insert_key(transaction: &Transaction, record: &KeyRecord, action: &'static str) -> Result<(), StoreError> {
    let outcome = key::Entity::insert(key::ActiveModel::of(record)?).exec_without_returning(transaction).await;
    outcome.map(|_| ()).map_err(|error| match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => key_conflict(record),
        _ => failed(action)(error),
    })
}

/// The error for a key whose id or name is already in use.
pub(crate) fn key_conflict(record: &KeyRecord) -> StoreError {
    StoreError::Conflict { what: format!("the key {}", record.name) }
}

pub(crate) async fn key_delete(database: &Database, id: &str) -> Result<bool, StoreError> {
    const ACTION: &str = "revoke a key";
    let transaction = database.begin_essential(ACTION).await?;
    let outcome = key::Entity::delete_by_id(id).exec(&transaction).await.map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(outcome.rows_affected > 0)
}

pub(crate) async fn key_used(database: &Database, used: &[(String, OffsetDateTime)]) -> Result<(), StoreError> {
    use key::Column;
    const ACTION: &str = "note when keys were used";
    let mut latest: BTreeMap<&str, i64> = BTreeMap::new();
    for (id, at) in used {
        let at = columns::from_time(*at);
        latest.entry(id).and_modify(|latest| *latest = at.max(*latest)).or_insert(at);
    }
    if latest.is_empty() {
        return Ok(());
    }
    let transaction = database.begin(ACTION).await?;
    for (id, at) in latest {
        key::Entity::update_many()
            .col_expr(Column::LastUsedAt, Expr::val(at))
            .filter(Column::Id.eq(id))
            .filter(Condition::any().add(Column::LastUsedAt.is_null()).add(Column::LastUsedAt.lt(at)))
            .exec(&transaction)
            .await
            .map_err(failed(ACTION))?;
    }
    transaction.commit().await.map_err(failed(ACTION))
}

pub(crate) async fn role_list(database: &Database) -> Result<Vec<Role>, StoreError> {
    let query = role::Entity::find().order_by_asc(role::Column::Name);
    let rows = query.all(&database.read).await.map_err(failed("list the roles"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn role_put(database: &Database, record: &Role) -> Result<(), StoreError> {
    const ACTION: &str = "write a role";
    let replace = OnConflict::column(role::Column::Name).update_column(role::Column::Role).to_owned();
    let insert = role::Entity::insert(role::ActiveModel::of(record)?).on_conflict(replace);
    let transaction = database.begin(ACTION).await?;
    insert.exec_without_returning(&transaction).await.map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))
}

pub(crate) async fn role_delete(database: &Database, name: &RoleName) -> Result<bool, StoreError> {
    const ACTION: &str = "remove a role";
    let transaction = database.begin_essential(ACTION).await?;
    let outcome = role::Entity::delete_by_id(name.as_str()).exec(&transaction).await.map_err(failed(ACTION))?;
    if outcome.rows_affected == 0 {
        return Ok(false);
    }
    let keys = key::Entity::find().select_only().columns([key::Column::Name, key::Column::Roles]);
    let keys: Vec<(String, String)> = keys.into_tuple().all(&transaction).await.map_err(failed(ACTION))?;
    for (key, roles) in keys {
        let roles: Vec<RoleName> = columns::to_document(format_args!("the key {key}"), &roles)?;
        if roles.contains(name) {
            // The transaction is dropped, and with it the removal.
            return Err(role_conflict(name, &key));
        }
    }
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(true)
}

/// The error for removing a role that a key still has.
pub(crate) fn role_conflict(name: &RoleName, key: &str) -> StoreError {
    StoreError::Conflict { what: format!("the role {name}, which the key {key} still has,") }
}
