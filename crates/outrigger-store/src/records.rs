//! Runs and log lines: appended in batches, listed from the newest on.

use std::collections::BTreeMap;

use outrigger_engine::store::{LogRecord, Owner, RecordBatch, RecordFilter, RunRecord, StoreError};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select, SqlErr, Statement, Value,
};

use crate::audit;
use crate::columns;
use crate::database::{Database, Transaction, failed};
use crate::dialect;
use crate::entities::run::Shared;
use crate::entities::{log, run};
use crate::owners::{self, Amounts};
use crate::statistics;

/// Records of one list where the filter names no limit.
pub(crate) const DEFAULT_LIMIT: u32 = 1_000;

const APPEND: &str = "append records";
const RUNS: &str = "runs";
/// A statement of their own is worth it for as many runs that are alike: each takes two threads that wake each other.
const FEWEST_ALIKE: usize = 8;

pub(crate) async fn append(database: &Database, batch: &RecordBatch) -> Result<(), StoreError> {
    let RecordBatch { runs, sums, logs, statistics, audit } = batch;
    if batch.is_empty() {
        return Ok(());
    }
    let transaction = database.begin(APPEND).await?;
    insert_runs(&transaction, runs).await.map_err(|error| match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => duplicate(),
        _ => failed(APPEND)(error),
    })?;
    for sum in sums {
        add_to_sum(&transaction, sum).await.map_err(failed(APPEND))?;
    }
    insert_logs(&transaction, logs).await?;
    statistics::add(&transaction, statistics).await?;
    if !audit.is_empty() {
        audit::add(&transaction, audit).await?;
    }
    transaction.commit().await.map_err(failed(APPEND))
}

/// The error for a batch with a run that already exists.
pub(crate) fn duplicate() -> StoreError {
    StoreError::Conflict { what: "one of the runs to be appended".to_owned() }
}

/// Inserts runs. Every call leaves one, so this is what a server under load does most: what many of them have in common goes
/// to the database once. Not as an `ActiveModel`, either: to ask each value whether it is set costs as much as to insert it.
async fn insert_runs(transaction: &Transaction, runs: &[RunRecord]) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let mut groups: BTreeMap<Shared<'_>, Vec<&RunRecord>> = BTreeMap::new();
    for run in runs {
        groups.entry(Shared::of(run)).or_default().push(run);
    }
    let mut amounts = Amounts::new();
    for group in groups.values() {
        let (owner, number, size) = (group[0].owner(), group.len() as u64, group[0].size());
        let amount = amounts.entry(owner).or_default();
        (amount.records, amount.bytes) = (amount.records + number, amount.bytes + number * size);
    }
    let owners = owners::charge(transaction, owners::RUNS, amounts).await?;
    for (sql, values) in insertions(backend, groups, &owners) {
        transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    }
    Ok(())
}

/// Adds a merged run to the one with its id.
async fn add_to_sum(transaction: &Transaction, run: &RunRecord) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let sql = "UPDATE runs SET calls = calls + ?, duration_us = duration_us + ?, attempts = attempts + ?, \
               max_us = max(max_us, ?) WHERE id = ? AND max_us IS NOT NULL";
    let counts = [run.calls(), run.duration_us, run.attempts.into(), run.max_us()].map(columns::from_count);
    let values = counts.into_iter().map(Value::from).chain([run.id.to_string().into()]);
    let added = transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    if added.rows_affected() > 0 {
        return Ok(());
    }
    let owner = owners::charge_one(transaction, owners::RUNS, run.owner(), run.size()).await?;
    let columns = [&run::SHARED[..], &run::OWN, &run::OF_SEVERAL].concat();
    let values = Shared::of(run).values(owner, run.size());
    let values = values.into_iter().chain(run::own_values(run)).chain(run::several_values(run));
    let sql = dialect::insert(backend, RUNS, &columns, 1);
    transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(())
}

async fn insert_logs(transaction: &Transaction, logs: &[LogRecord]) -> Result<(), StoreError> {
    if logs.is_empty() {
        return Ok(());
    }
    let mut amounts = Amounts::new();
    for line in logs {
        owners::count(&mut amounts, line.owner(), line.size());
    }
    let owners = owners::charge(transaction, owners::LOGS, amounts).await.map_err(failed(APPEND))?;
    let row = |line| log::ActiveModel::of(line, owners.get(&line.owner()).copied().unwrap_or_default());
    let rows = logs.iter().map(row).collect::<Result<_, _>>()?;
    insert_all(transaction, rows).await.map_err(failed(APPEND))
}

/// The statements that insert runs, with their values.
fn insertions(
    backend: DbBackend,
    groups: BTreeMap<Shared<'_>, Vec<&RunRecord>>,
    owners: &BTreeMap<Owner, i64>,
) -> Vec<(String, Vec<Value>)> {
    let (mut insertions, mut apart) = (Vec::new(), Vec::new());
    for (shared, group) in groups {
        let (owner, size) = (owners.get(&group[0].owner()).copied().unwrap_or_default(), group[0].size());
        for part in parts(group) {
            let alike = || dialect::insert_alike(backend, RUNS, &run::SHARED, &run::OWN, part.len());
            match (part.len() >= FEWEST_ALIKE).then(alike).flatten() {
                Some(sql) => {
                    let own = part.into_iter().flat_map(run::own_values);
                    insertions.push((sql, shared.values(owner, size).into_iter().chain(own).collect()));
                }
                None => apart.extend(part.into_iter().map(|run| (shared.values(owner, size), run))),
            }
        }
    }
    let columns = [&run::SHARED[..], &run::OWN].concat();
    for part in parts(apart) {
        let sql = dialect::insert(backend, RUNS, &columns, part.len());
        let row = |(shared, run): ([Value; run::SHARED.len()], _)| shared.into_iter().chain(run::own_values(run));
        insertions.push((sql, part.into_iter().flat_map(row).collect()));
    }
    insertions
}

/// Inserts many rows with few statements.
pub(crate) async fn insert_all<A: ActiveModelTrait>(transaction: &Transaction, rows: Vec<A>) -> Result<(), DbErr> {
    for part in parts(rows) {
        A::Entity::insert_many(part).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Splits rows into parts of a few fixed sizes. A size of its own for each batch would be a statement of its own, and the
/// driver keeps the last hundred statements prepared: some MiB for nothing. 512 rows of our widest table are far from
/// the number of variables that a database allows in one statement (32,766 in SQLite); for each statement two threads
/// wake each other, so few large ones are quicker.
pub(crate) fn parts<T>(rows: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    const SIZES: [usize; 4] = [512, 64, 8, 1];
    let mut rows = rows.into_iter();
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        Some(rows.by_ref().take(size).collect())
    })
}

pub(crate) async fn run_list(database: &Database, filter: &RecordFilter) -> Result<Vec<RunRecord>, StoreError> {
    let query = runs(filter, database.read.get_database_backend());
    let rows = query.all(&database.read).await.map_err(failed("list runs"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

fn runs(filter: &RecordFilter, backend: DbBackend) -> Select<run::Entity> {
    use run::Column;
    let RecordFilter { plugin, function, correlation, level: _, contains, failed, since, until, limit } = filter;
    run::Entity::find()
        .apply_if(plugin.as_ref(), |query, plugin| query.filter(Column::Plugin.eq(plugin.as_str())))
        .apply_if(function.as_ref(), |query, function| query.filter(Column::Function.eq(function.as_str())))
        .apply_if(*correlation, |query, correlation| query.filter(Column::Correlation.eq(correlation.to_string())))
        .apply_if(*since, |query, since| query.filter(Column::StartedAt.gte(columns::from_time(since))))
        .apply_if(*until, |query, until| query.filter(Column::StartedAt.lt(columns::from_time(until))))
        .apply_if(contains.as_ref(), |query, text| {
            query.filter(dialect::contains(backend, Column::MessageFolded, Column::Message, columns::fold(text)))
        })
        .apply_if(failed.then_some(()), |query, ()| query.filter(Column::Code.is_not_null()))
        .order_by_desc(Column::StartedAt)
        .order_by_desc(Column::Id)
        .limit(u64::from(limit_of(*limit)))
}

pub(crate) async fn log_list(database: &Database, filter: &RecordFilter) -> Result<Vec<LogRecord>, StoreError> {
    let query = logs(filter, database.read.get_database_backend());
    let rows = query.all(&database.read).await.map_err(failed("list log lines"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

fn logs(filter: &RecordFilter, backend: DbBackend) -> Select<log::Entity> {
    use log::Column;
    let RecordFilter { plugin, function, correlation, level, contains, failed: _, since, until, limit } = filter;
    log::Entity::find()
        .apply_if(plugin.as_ref(), |query, plugin| query.filter(Column::Plugin.eq(plugin.as_str())))
        .apply_if(function.as_ref(), |query, function| query.filter(Column::Function.eq(function.as_str())))
        .apply_if(*correlation, |query, correlation| query.filter(Column::Correlation.eq(correlation.to_string())))
        .apply_if(*level, |query, level| query.filter(Column::Level.gte(columns::from_level(level))))
        .apply_if(*since, |query, since| query.filter(Column::At.gte(columns::from_time(since))))
        .apply_if(*until, |query, until| query.filter(Column::At.lt(columns::from_time(until))))
        .apply_if(contains.as_ref(), |query, text| {
            query.filter(dialect::contains(backend, Column::MessageFolded, Column::Message, columns::fold(text)))
        })
        .order_by_desc(Column::At)
        .order_by_desc(Column::Sequence)
        .limit(u64::from(limit_of(*limit)))
}

/// How many records a filter lets through.
pub(crate) const fn limit_of(limit: u32) -> u32 {
    if limit == 0 { DEFAULT_LIMIT } else { limit }
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, IdenStatic, Iterable, Statement};
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn every_column_of_a_run_is_written_once() {
        let mut written = [&run::SHARED[..], &run::OWN, &run::OF_SEVERAL].concat();
        let mut columns: Vec<_> = run::Column::iter().map(|column| column.as_str()).collect();
        written.sort_unstable();
        columns.sort_unstable();
        assert_eq!(written, columns);
    }

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
        check(1_100, &[512, 512, 64, 8, 1, 1, 1, 1]);
    }

    /// How SQLite goes about a query, as its planner says.
    async fn plan(database: &Database, mut query: Statement) -> String {
        query.sql = format!("EXPLAIN QUERY PLAN {}", query.sql);
        let rows = database.read.query_all_raw(query).await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        steps.join("\n")
    }

    #[tokio::test]
    async fn lists_are_read_from_an_index_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let store = crate::SqliteStore::open(directory.path().join("outrigger.db")).await.unwrap();
        let check = async |filter: RecordFilter, of_runs: &str, of_logs: &str| {
            let database = store.database();
            let query = runs(&filter, DbBackend::Sqlite).build(DbBackend::Sqlite);
            let steps = plan(database, query).await;
            // Runs of one moment, which are few, are still put in order by their id.
            assert_eq!(steps.replace("\nUSE TEMP B-TREE FOR LAST TERM OF ORDER BY", ""), of_runs, "{filter:?}");
            let steps = plan(database, logs(&filter, DbBackend::Sqlite).build(DbBackend::Sqlite)).await;
            assert_eq!(steps, of_logs, "{filter:?}");
        };
        let any = RecordFilter::default();
        check(any.clone(), "SCAN runs USING INDEX runs_by_time", "SCAN logs USING INDEX logs_by_time").await;
        let plugin = RecordFilter { plugin: "pricing".parse().ok(), ..any.clone() };
        check(
            plugin.clone(),
            "SEARCH runs USING INDEX runs_by_plugin (plugin=?)",
            "SEARCH logs USING INDEX logs_by_plugin (plugin=?)",
        )
        .await;
        let since = Some(OffsetDateTime::UNIX_EPOCH);
        check(
            RecordFilter { since, contains: Some("timeout".to_owned()), ..plugin },
            "SEARCH runs USING INDEX runs_by_plugin (plugin=? AND started_at>?)",
            "SEARCH logs USING INDEX logs_by_plugin (plugin=? AND at>?)",
        )
        .await;
        check(
            RecordFilter { until: since, ..any.clone() },
            "SEARCH runs USING INDEX runs_by_time (started_at<?)",
            "SEARCH logs USING INDEX logs_by_time (at<?)",
        )
        .await;
        check(
            RecordFilter { failed: true, ..any.clone() },
            "SCAN runs USING INDEX runs_that_failed",
            "SCAN logs USING INDEX logs_by_time",
        )
        .await;
        // The lines of one call are few.
        check(
            RecordFilter { correlation: Some(outrigger_engine::CorrelationId::new()), ..any },
            "SEARCH runs USING INDEX runs_by_correlation (correlation=?)\nUSE TEMP B-TREE FOR ORDER BY",
            "SEARCH logs USING INDEX logs_by_correlation (correlation=?)\nUSE TEMP B-TREE FOR ORDER BY",
        )
        .await;
    }
}
