//! Runs and log lines: appended in batches, listed from the newest on.

use outrigger_engine::store::{LogRecord, RecordBatch, RecordFilter, RunRecord, StoreError};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    SqlErr,
};
use time::OffsetDateTime;

use crate::columns;
use crate::database::{Database, failed};
use crate::dialect;
use crate::entities::{log, run};
use crate::statistics;

/// Records of one list where the filter names no limit.
pub(crate) const DEFAULT_LIMIT: u32 = 1_000;

const APPEND: &str = "append records";

pub(crate) async fn append(database: &Database, batch: &RecordBatch) -> Result<(), StoreError> {
    let RecordBatch { runs, logs, statistics } = batch;
    if batch.is_empty() {
        return Ok(());
    }
    let runs = runs.iter().map(run::ActiveModel::of).collect();
    let logs = logs.iter().map(log::ActiveModel::of).collect::<Result<_, _>>()?;
    let transaction = database.begin(APPEND).await?;
    insert_all(&transaction, runs).await.map_err(|error| match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => duplicate(),
        _ => failed(APPEND)(error),
    })?;
    insert_all(&transaction, logs).await.map_err(failed(APPEND))?;
    statistics::add(&transaction, statistics).await?;
    transaction.commit().await.map_err(failed(APPEND))
}

/// What a batch fails with that has a run which is there already.
pub(crate) fn duplicate() -> StoreError {
    StoreError::Conflict { what: "one of the runs to be appended".to_owned() }
}

/// Inserts many rows with few statements.
pub(crate) async fn insert_all<A: ActiveModelTrait>(
    transaction: &DatabaseTransaction,
    rows: Vec<A>,
) -> Result<(), DbErr> {
    for part in parts(rows) {
        A::Entity::insert_many(part).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Splits rows into parts of a few fixed sizes. A size of its own for each batch would be a statement of its own, and the
/// driver keeps the last hundred statements prepared: some MiB for nothing. 64 rows of our widest table are far from
/// the number of variables that a database allows in one statement (32,766 in SQLite).
pub(crate) fn parts<T>(rows: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    const SIZES: [usize; 3] = [64, 8, 1];
    let mut rows = rows.into_iter();
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        Some(rows.by_ref().take(size).collect())
    })
}

pub(crate) async fn run_list(database: &Database, filter: &RecordFilter) -> Result<Vec<RunRecord>, StoreError> {
    let RecordFilter { plugin, function, correlation, level: _, contains, since, until, limit } = filter;
    let mut query = run::Entity::find();
    if let Some(plugin) = plugin {
        query = query.filter(run::Column::Plugin.eq(plugin.as_str()));
    }
    if let Some(function) = function {
        query = query.filter(run::Column::Function.eq(function.as_str()));
    }
    if let Some(correlation) = correlation {
        query = query.filter(run::Column::Correlation.eq(correlation.to_string()));
    }
    if let Some(needle) = contains {
        let (folded, message) = ((run::Entity, run::Column::MessageFolded), (run::Entity, run::Column::Message));
        let backend = sea_orm::ConnectionTrait::get_database_backend(&database.read);
        query = query.filter(dialect::contains(backend, folded, message, columns::fold(needle)));
    }
    if let Some(since) = since {
        query = query.filter(run::Column::StartedAt.gte(columns::from_time(*since)));
    }
    if let Some(until) = until {
        query = query.filter(run::Column::StartedAt.lt(columns::from_time(*until)));
    }
    let query =
        query.order_by_desc(run::Column::StartedAt).order_by_desc(run::Column::Id).limit(u64::from(limit_of(*limit)));
    let rows = query.all(&database.read).await.map_err(failed("list runs"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn log_list(database: &Database, filter: &RecordFilter) -> Result<Vec<LogRecord>, StoreError> {
    let RecordFilter { plugin, function, correlation, level, contains, since, until, limit } = filter;
    let mut query = log::Entity::find();
    if let Some(plugin) = plugin {
        query = query.filter(log::Column::Plugin.eq(plugin.as_str()));
    }
    if let Some(function) = function {
        query = query.filter(log::Column::Function.eq(function.as_str()));
    }
    if let Some(correlation) = correlation {
        query = query.filter(log::Column::Correlation.eq(correlation.to_string()));
    }
    if let Some(level) = level {
        query = query.filter(log::Column::Level.gte(columns::from_level(*level)));
    }
    if let Some(needle) = contains {
        let (folded, message) = ((log::Entity, log::Column::MessageFolded), (log::Entity, log::Column::Message));
        let backend = sea_orm::ConnectionTrait::get_database_backend(&database.read);
        query = query.filter(dialect::contains(backend, folded, message, columns::fold(needle)));
    }
    if let Some(since) = since {
        query = query.filter(log::Column::At.gte(columns::from_time(*since)));
    }
    if let Some(until) = until {
        query = query.filter(log::Column::At.lt(columns::from_time(*until)));
    }
    let query =
        query.order_by_desc(log::Column::At).order_by_desc(log::Column::Sequence).limit(u64::from(limit_of(*limit)));
    let rows = query.all(&database.read).await.map_err(failed("list log lines"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// How many records a filter lets through.
pub(crate) const fn limit_of(limit: u32) -> u32 {
    if limit == 0 { DEFAULT_LIMIT } else { limit }
}

pub(crate) async fn prune(database: &Database, before: OffsetDateTime) -> Result<u64, StoreError> {
    const ACTION: &str = "drop old records";
    let before = columns::from_time(before);
    let transaction = database.begin(ACTION).await?;
    let runs = run::Entity::delete_many().filter(run::Column::StartedAt.lt(before)).exec(&transaction);
    let runs = runs.await.map_err(failed(ACTION))?.rows_affected;
    let logs = log::Entity::delete_many().filter(log::Column::At.lt(before)).exec(&transaction);
    let logs = logs.await.map_err(failed(ACTION))?.rows_affected;
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(runs + logs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_split_into_few_sizes() {
        let check = |rows: usize, expected: &[usize]| {
            let parts: Vec<Vec<usize>> = parts((0..rows).collect()).collect();
            assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), expected);
            assert_eq!(parts.concat(), (0..rows).collect::<Vec<_>>());
        };
        check(0, &[]);
        check(3, &[1, 1, 1]);
        check(9, &[8, 1]);
        check(146, &[64, 64, 8, 8, 1, 1]);
    }
}
