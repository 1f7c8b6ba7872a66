//! The state of plugins.

use outrigger_contract::PluginName;
use outrigger_engine::store::{Expected, StateChange, StateOutcome, StateStamp, StateWrite, StoreError};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select, Set,
};

use crate::columns;
use crate::database::{Database, Transaction, failed};
use crate::entities::{plugin, state};

pub(crate) async fn get(database: &Database, name: &PluginName, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let query = state::Entity::find_by_id(id(name, key)).select_only().column(state::Column::Value);
    query.into_tuple().one(&database.read).await.map_err(failed("read a plugin's state"))
}

pub(crate) async fn set(
    database: &Database,
    name: &PluginName,
    write: StateWrite<'_>,
    capacity: u64,
) -> Result<StateOutcome, StoreError> {
    const ACTION: &str = "write a plugin's state";
    let StateWrite { key, value, expected } = write;
    let transaction = database.begin(ACTION).await?;
    let used = used(&transaction, name).await?;
    let present = size(&transaction, name, key).await?;

    let size = size_of(key, value);
    if !is_as_expected(&transaction, name, key, present, expected).await? {
        return Ok(StateOutcome::Changed);
    }
    let total = used - present.unwrap_or(0) + size;
    if columns::to_count("the size of a plugin's state", total)? > capacity {
        return Ok(StateOutcome::OverCapacity(columns::to_count("the size of a plugin's state", total)?));
    }

    put(&transaction, name, key, value).await?;
    set_used(&transaction, name, total, 1).await?;
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(StateOutcome::Written)
}

async fn put(transaction: &Transaction, name: &PluginName, key: &str, value: &[u8]) -> Result<(), StoreError> {
    let row = state::ActiveModel {
        plugin: Set(name.to_string()),
        key: Set(key.as_bytes().to_vec()),
        size: Set(size_of(key, value)),
        value: Set(value.to_vec()),
    };
    let replace = OnConflict::columns([state::Column::Plugin, state::Column::Key])
        .update_columns([state::Column::Size, state::Column::Value])
        .to_owned();
    let insert = state::Entity::insert(row).on_conflict(replace);
    insert.exec_without_returning(transaction).await.map(|_| ()).map_err(failed("write a plugin's state"))
}

/// Sets and removes several keys, within a transaction, where the state was not written to since it was read. Answers how
/// many writes there have been then.
pub(crate) async fn change(
    transaction: &Transaction,
    name: &PluginName,
    change: &StateChange,
) -> Result<u64, StoreError> {
    const ACTION: &str = "change a plugin's state";
    let StateChange { expected, changes } = change;
    let StateStamp { writes, .. } = stamp(transaction, name).await?;
    if expected.is_some_and(|expected| writes != expected) {
        return Err(StoreError::Conflict { what: format!("the state of the plugin {name}") });
    }
    let mut used = used(transaction, name).await?;
    for (key, value) in changes {
        used -= size(transaction, name, key).await?.unwrap_or(0);
        match value {
            Some(value) => {
                used += size_of(key, value);
                put(transaction, name, key, value).await?;
            }
            None => {
                state::Entity::delete_by_id(id(name, key)).exec(transaction).await.map_err(failed(ACTION))?;
            }
        }
    }
    set_used(transaction, name, used, changes.len() as u64).await?;
    Ok(writes.saturating_add(changes.len() as u64))
}

/// How often the state was written to, and how large it is.
pub(crate) async fn stamp(connection: &impl ConnectionTrait, name: &PluginName) -> Result<StateStamp, StoreError> {
    let query = plugin::Entity::find_by_id(name.as_str())
        .select_only()
        .columns([plugin::Column::StateWrites, plugin::Column::StateBytes]);
    let found: Option<(i64, i64)> =
        query.into_tuple().one(connection).await.map_err(failed("measure a plugin's state"))?;
    let (writes, bytes) = found.ok_or_else(|| StoreError::Conflict { what: format!("the plugin {name}") })?;
    let count = |count| columns::to_count(format_args!("the state of the plugin {name}"), count);
    Ok(StateStamp { writes: count(writes)?, bytes: count(bytes)? })
}

/// Whether what is there is what the writer thinks it is. Reads the value only where the size does not tell.
async fn is_as_expected(
    transaction: &Transaction,
    name: &PluginName,
    key: &str,
    present: Option<i64>,
    expected: Expected<'_>,
) -> Result<bool, StoreError> {
    let expected = match expected {
        Expected::Anything => return Ok(true),
        Expected::Nothing => return Ok(present.is_none()),
        Expected::Value(value) => value,
    };
    if present != Some(size_of(key, expected)) {
        return Ok(false);
    }
    let query = state::Entity::find_by_id(id(name, key)).select_only().column(state::Column::Value);
    let value: Option<Vec<u8>> =
        query.into_tuple().one(transaction).await.map_err(failed("compare a plugin's state"))?;
    Ok(value.is_some_and(|value| value == expected))
}

pub(crate) async fn delete(database: &Database, name: &PluginName, key: &str) -> Result<(), StoreError> {
    const ACTION: &str = "remove from a plugin's state";
    let transaction = database.begin_essential(ACTION).await?;
    let Some(size) = size(&transaction, name, key).await? else { return Ok(()) };
    let used = used(&transaction, name).await?;
    state::Entity::delete_by_id(id(name, key)).exec(&transaction).await.map_err(failed(ACTION))?;
    set_used(&transaction, name, used - size, 1).await?;
    transaction.commit().await.map_err(failed(ACTION))
}

pub(crate) async fn keys(
    database: &Database,
    name: &PluginName,
    prefix: &str,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    let keys: Vec<Vec<u8>> = keys_of(name, prefix, limit)
        .into_tuple()
        .all(&database.read)
        .await
        .map_err(failed("list the keys of a plugin's state"))?;
    let text = |key| {
        String::from_utf8(key).map_err(|error| columns::corrupt(format_args!("a key of the plugin {name}"), error))
    };
    keys.into_iter().map(text).collect()
}

fn keys_of(name: &PluginName, prefix: &str, limit: u32) -> Select<state::Entity> {
    state::Entity::find()
        .select_only()
        .column(state::Column::Key)
        .filter(state::Column::Plugin.eq(name.as_str()))
        .filter(state::Column::Key.gte(prefix.as_bytes()))
        .apply_if(end_of(prefix), |query, end| query.filter(state::Column::Key.lt(end)))
        .order_by_asc(state::Column::Key)
        .limit(u64::from(limit))
}

/// The first key behind all that begin with `prefix`; none where every key does.
fn end_of(prefix: &str) -> Option<Vec<u8>> {
    let mut end = prefix.as_bytes().to_vec();
    // UTF-8 has no byte 0xff, so the last one can always be raised.
    *end.last_mut()? += 1;
    Some(end)
}

fn id(name: &PluginName, key: &str) -> (String, Vec<u8>) {
    (name.to_string(), key.as_bytes().to_vec())
}

fn size_of(key: &str, value: &[u8]) -> i64 {
    let bytes = key.len() + value.len();
    i64::try_from(bytes).expect("what is in memory is smaller than 2^63 bytes")
}

async fn size(transaction: &Transaction, name: &PluginName, key: &str) -> Result<Option<i64>, StoreError> {
    let query = state::Entity::find_by_id(id(name, key)).select_only().column(state::Column::Size);
    query.into_tuple().one(transaction).await.map_err(failed("measure a plugin's state"))
}

/// The total size of all keys and values.
async fn used(transaction: &Transaction, name: &PluginName) -> Result<i64, StoreError> {
    let query = plugin::Entity::find_by_id(name.as_str()).select_only().column(plugin::Column::StateBytes);
    let used: Option<i64> = query.into_tuple().one(transaction).await.map_err(failed("measure a plugin's state"))?;
    used.ok_or_else(|| StoreError::Conflict { what: format!("the plugin {name}") })
}

/// Writes down what all keys and values take together, and that there were so many more writes.
async fn set_used(transaction: &Transaction, name: &PluginName, bytes: i64, writes: u64) -> Result<(), StoreError> {
    let writes = Expr::col(plugin::Column::StateWrites).add(columns::from_count(writes));
    plugin::Entity::update_many()
        .col_expr(plugin::Column::StateBytes, Expr::val(bytes))
        .col_expr(plugin::Column::StateWrites, writes)
        .filter(plugin::Column::Name.eq(name.as_str()))
        .exec(transaction)
        .await
        .map(|_| ())
        .map_err(failed("measure a plugin's state"))
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, DbBackend};

    use super::*;

    #[test]
    fn a_range_of_keys_ends_behind_all_with_the_prefix() {
        let check = |prefix: &str, inside: &str, outside: &str| {
            let end = end_of(prefix).expect("not empty");
            assert!(inside.as_bytes() < end.as_slice() && outside.as_bytes() >= end.as_slice(), "{prefix}");
        };
        check("a", "a\u{10ffff}\u{10ffff}", "b");
        check("a/", "a/\u{10ffff}", "a0");
        check("é", "éclair", "ê");
        assert!(end_of("\u{10ffff}").expect("not empty").as_slice() > "\u{10ffff}\u{10ffff}".as_bytes());
        assert_eq!(end_of(""), None);
    }

    #[tokio::test]
    async fn keys_are_read_from_the_index_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = crate::SqliteStore::open(directory.path().join("outrigger.db")).await.unwrap();
        let mut query = keys_of(&"pricing".parse().unwrap(), "a/", 10).build(DbBackend::Sqlite);
        query.sql = format!("EXPLAIN QUERY PLAN {}", query.sql);
        let rows = store.database().read.query_all_raw(query).await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        let index = "SEARCH state USING COVERING INDEX sqlite_autoindex_state_1 (plugin=? AND key>? AND key<?)";
        assert_eq!(steps, [index]);
    }
}
