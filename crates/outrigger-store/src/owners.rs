//! The owners of records, and how many each has: stored beside the records in the transactions that write and drop
//! them, so that pruning never reads a whole table. Above a retention limit, the owners with the most records are
//! pruned first.

use std::collections::BTreeMap;

use outrigger_engine::store::{Amount, Bound, Owner, Share, StoreError, fair_shares};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, Value};

use crate::columns;
use crate::database::{Database, Transaction, failed};
use crate::records::parts;

/// Maximum number of rows deleted in one transaction, so that other writers wait only briefly.
const AT_ONCE: usize = 500;
const PRUNE: &str = "prune old records";

/// A table of records that have owners.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The moment by which its records are old.
    at: &'static str,
    /// Which of its rows may be dropped.
    may_go: &'static str,
    /// Whether its rows are only added and dropped, so that the stored counts are right. The rows of other tables are
    /// counted when they are pruned; they are few.
    counted: bool,
}

pub(crate) const RUNS: Table = Table { name: "runs", at: "started_at", may_go: "1", counted: true };
pub(crate) const LOGS: Table = Table { name: "logs", at: "at", may_go: "1", counted: true };
/// Ids continue after the newest event.
pub(crate) const EVENTS: Table =
    Table { name: "events", at: "at", may_go: "id < (SELECT max(id) FROM events)", counted: true };
/// Chained records have no owner. Numbering continues after the newest record.
pub(crate) const REFUSALS: Table = Table {
    name: "audit",
    at: "at",
    may_go: "owner > 0 AND sequence < (SELECT max(sequence) FROM audit)",
    counted: true,
};
pub(crate) const JOBS: Table = Table { name: "jobs", at: "ended_at", may_go: "ended_at IS NOT NULL", counted: false };
pub(crate) const REQUESTS: Table = Table { name: "requests", at: "at", may_go: "1", counted: false };
pub(crate) const DELIVERIES: Table =
    Table { name: "deliveries", at: "ended_at", may_go: "ended_at IS NOT NULL", counted: false };
/// Pending deliveries have no end time, so they are pruned in the order of their arrival, read from an index.
pub(crate) const PENDING_DELIVERIES: Table =
    Table { name: "deliveries", at: "ended_at", may_go: "ended_at IS NULL", counted: false };

/// The usage of each owner in a batch.
pub(crate) type Amounts = BTreeMap<Owner, Amount>;

/// Counts one record.
pub(crate) fn count(amounts: &mut Amounts, owner: Owner, bytes: u64) {
    amounts.entry(owner).or_default().add(bytes);
}

/// Charges records to owners, within the transaction that writes them. Returns the owners' ids.
pub(crate) async fn charge(
    transaction: &Transaction,
    table: Table,
    amounts: Amounts,
) -> Result<BTreeMap<Owner, i64>, DbErr> {
    let mut ids = BTreeMap::new();
    for part in parts(amounts.into_iter().collect()) {
        let places = vec!["(?, ?, ?, ?, ?)"; part.len()].join(", ");
        let sql = format!(
            "INSERT INTO owners (kind, account, source, records, bytes) VALUES {places} \
             ON CONFLICT (kind, account, source) DO UPDATE SET records = records + excluded.records, \
             bytes = bytes + excluded.bytes RETURNING id, account, source"
        );
        let values = part.into_iter().flat_map(|(Owner { account, source }, Amount { records, bytes })| {
            let (records, bytes) = (columns::from_count(records), columns::from_count(bytes));
            [Value::from(table.name), account.into(), source.into(), records.into(), bytes.into()]
        });
        let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
        for row in transaction.query_all_raw(statement).await? {
            let owner = Owner { account: row.try_get_by_index(1)?, source: row.try_get_by_index(2)? };
            ids.insert(owner, row.try_get_by_index(0)?);
        }
    }
    Ok(ids)
}

/// The same for one record.
pub(crate) async fn charge_one(
    transaction: &Transaction,
    table: Table,
    owner: Owner,
    bytes: u64,
) -> Result<i64, DbErr> {
    let ids = charge(transaction, table, Amounts::from([(owner, Amount { records: 1, bytes })])).await?;
    ids.into_values().next().ok_or_else(|| DbErr::RecordNotInserted)
}

/// The records of each account, and how many were pruned above the limits.
pub(crate) async fn list(database: &Database) -> Result<Vec<Share>, StoreError> {
    const ACTION: &str = "list the owners of records";
    let sql = "SELECT kind, account, sum(records), sum(bytes), sum(dropped) FROM owners \
               WHERE kind IN ('runs', 'logs', 'events', 'audit') OR dropped > 0 GROUP BY kind, account \
               ORDER BY kind, account";
    let statement = Statement::from_string(database.read.get_database_backend(), sql);
    let rows = database.read.query_all_raw(statement).await.map_err(failed(ACTION))?;
    let share = |row: &QueryResult| -> Result<Share, DbErr> {
        let number = |at| row.try_get_by_index::<i64>(at).map(|number| u64::try_from(number).unwrap_or_default());
        let (kind, account) = (row.try_get_by_index::<String>(0)?, row.try_get_by_index(1)?);
        let kind = if kind == REFUSALS.name { "refusals".to_owned() } else { kind };
        Ok(Share { kind, account, records: number(2)?, bytes: number(3)?, dropped: number(4)? })
    };
    rows.iter().map(share).collect::<Result<_, _>>().map_err(failed(ACTION))
}

/// Prunes records outside the bound. Returns their number.
pub(crate) async fn prune(database: &Database, table: Table, bound: &Bound) -> Result<u64, StoreError> {
    let mut dropped = drop_old(database, table, columns::from_time(bound.since)).await?;
    dropped += prune_to(database, table, Amount { records: bound.most, bytes: bound.bytes }).await?;
    if dropped > 0 {
        forget(database, table).await?;
    }
    Ok(dropped)
}

/// Drops records above the limit. Returns their number.
pub(crate) async fn prune_to(database: &Database, table: Table, most: Amount) -> Result<u64, StoreError> {
    let dropped = cut(database, table, most.records, Measure::Records).await?;
    Ok(dropped + cut(database, table, most.bytes, Measure::Bytes).await?)
}

/// The unit of a share.
#[derive(Clone, Copy, Debug)]
enum Measure {
    Records,
    Bytes,
}

impl Measure {
    const fn of(self, amount: Amount) -> u64 {
        match self {
            Self::Records => amount.records,
            Self::Bytes => amount.bytes,
        }
    }
}

/// A row that may be dropped.
struct Row {
    id: i64,
    owner: i64,
    size: u64,
}

async fn drop_old(database: &Database, table: Table, since: i64) -> Result<u64, StoreError> {
    let Table { name, at, may_go, .. } = table;
    let sql =
        format!("SELECT rowid, owner, size FROM {name} WHERE {at} < ? AND {may_go} ORDER BY {at} LIMIT {AT_ONCE}");
    let mut dropped = 0;
    loop {
        let transaction = database.begin_essential(PRUNE).await?;
        let rows = rows(&transaction, &sql, [since.into()]).await.map_err(failed(PRUNE))?;
        let found = rows.len();
        remove(&transaction, table, &rows, false).await.map_err(failed(PRUNE))?;
        transaction.commit().await.map_err(failed(PRUNE))?;
        dropped += found as u64;
        if found < AT_ONCE {
            return Ok(dropped);
        }
    }
}

/// Prunes owners to their fair shares, oldest records first.
async fn cut(database: &Database, table: Table, most: u64, measure: Measure) -> Result<u64, StoreError> {
    let owned = owned(database, table).await.map_err(failed(PRUNE))?;
    let amounts: Vec<_> = owned.iter().map(|(_, owner, amount)| (owner.clone(), measure.of(*amount))).collect();
    let mut dropped = 0;
    for ((id, ..), ((_, amount), share)) in owned.iter().zip(amounts.iter().zip(fair_shares(&amounts, most))) {
        dropped += cut_one(database, table, *id, amount.saturating_sub(share), measure).await?;
    }
    Ok(dropped)
}

/// Prunes this many of the records of one owner.
async fn cut_one(
    database: &Database,
    table: Table,
    owner: i64,
    mut excess: u64,
    measure: Measure,
) -> Result<u64, StoreError> {
    let Table { name, at, may_go, .. } = table;
    let sql = format!(
        "SELECT rowid, owner, size FROM {name} WHERE owner = ? AND {may_go} ORDER BY {at}, rowid LIMIT {AT_ONCE}"
    );
    let mut dropped = 0;
    while excess > 0 {
        let transaction = database.begin_essential(PRUNE).await?;
        let mut rows = rows(&transaction, &sql, [owner.into()]).await.map_err(failed(PRUNE))?;
        let mut enough = 0;
        while excess > 0 && enough < rows.len() {
            let weight = measure.of(Amount { records: 1, bytes: rows[enough].size });
            excess = excess.saturating_sub(weight.max(1));
            enough += 1;
        }
        rows.truncate(enough);
        remove(&transaction, table, &rows, true).await.map_err(failed(PRUNE))?;
        transaction.commit().await.map_err(failed(PRUNE))?;
        dropped += enough as u64;
        if enough < AT_ONCE {
            break;
        }
    }
    Ok(dropped)
}

async fn owned(database: &Database, table: Table) -> Result<Vec<(i64, Owner, Amount)>, DbErr> {
    let Table { name, may_go, counted, .. } = table;
    let sql = match counted {
        true => format!("SELECT id, account, source, records, bytes FROM owners WHERE kind = '{name}' AND records > 0"),
        false => format!(
            "SELECT owners.id, account, source, owned.records, owned.bytes FROM (SELECT owner, count(*) AS records, \
             sum(size) AS bytes FROM {name} WHERE {may_go} GROUP BY owner) AS owned JOIN owners ON owners.id = owner"
        ),
    };
    let statement = Statement::from_string(database.read.get_database_backend(), sql);
    let owned = |row: &QueryResult| -> Result<(i64, Owner, Amount), DbErr> {
        let number = |at| row.try_get_by_index::<i64>(at).map(|number| u64::try_from(number).unwrap_or_default());
        let owner = Owner { account: row.try_get_by_index(1)?, source: row.try_get_by_index(2)? };
        Ok((row.try_get_by_index(0)?, owner, Amount { records: number(3)?, bytes: number(4)? }))
    };
    database.read.query_all_raw(statement).await?.iter().map(owned).collect()
}

async fn rows(transaction: &Transaction, sql: &str, values: [Value; 1]) -> Result<Vec<Row>, DbErr> {
    let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    let row = |row: &QueryResult| -> Result<Row, DbErr> {
        let size = row.try_get_by_index::<i64>(2)?;
        let size = u64::try_from(size).unwrap_or_default();
        Ok(Row { id: row.try_get_by_index(0)?, owner: row.try_get_by_index(1)?, size })
    };
    transaction.query_all_raw(statement).await?.iter().map(row).collect()
}

/// Deletes rows, and updates their owners; `displaced` says whether a limit was exceeded.
async fn remove(transaction: &Transaction, table: Table, rows: &[Row], displaced: bool) -> Result<(), DbErr> {
    if rows.is_empty() {
        return Ok(());
    }
    let backend = transaction.get_database_backend();
    let ids = serde_json::Value::from_iter(rows.iter().map(|row| row.id)).to_string();
    let sql = format!("DELETE FROM {} WHERE rowid IN (SELECT value FROM json_each(?))", table.name);
    transaction.execute_raw(Statement::from_sql_and_values(backend, sql, [ids.into()])).await?;
    let mut owners: BTreeMap<i64, Amount> = BTreeMap::new();
    for row in rows {
        owners.entry(row.owner).or_default().add(row.size);
    }
    for (owner, Amount { records, bytes }) in owners {
        let sql = "UPDATE owners SET records = records - ?, bytes = bytes - ?, dropped = dropped + ? WHERE id = ?";
        let (records, bytes) = (columns::from_count(records), columns::from_count(bytes));
        let dropped = if displaced { records } else { 0 };
        let values = [records.into(), bytes.into(), dropped.into(), owner.into()];
        transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    }
    Ok(())
}

/// The account that counts dropped records of forgotten accounts.
const FORGOTTEN: &str = "forgotten";

/// Forgets owners without records, after the retention time or if there are too many. The dropped records of a source
/// move to its account, and those of an account without sources to the account `forgotten`, because the number of names
/// is unlimited.
async fn forget(database: &Database, table: Table) -> Result<(), StoreError> {
    let empty = match table.counted {
        true => "owner.records <= 0".to_owned(),
        false => format!("NOT EXISTS (SELECT 1 FROM {} WHERE {0}.owner = owner.id)", table.name),
    };
    let of_account = "NOT EXISTS (SELECT 1 FROM owners AS other WHERE other.kind = owner.kind \
                      AND other.account = owner.account AND other.id <> owner.id)";
    let sources = format!("owner.source <> '' AND {empty}");
    let accounts = format!("owner.source = '' AND owner.account <> '{FORGOTTEN}' AND {empty} AND {of_account}");
    let transaction = database.begin_essential(PRUNE).await?;
    for (account, which) in [("owner.account".to_owned(), sources), (format!("'{FORGOTTEN}'"), accounts)] {
        let counted = format!(
            "INSERT INTO owners (kind, account, source, dropped) SELECT ?, {account}, '', sum(owner.dropped) \
             FROM owners AS owner WHERE owner.kind = ? AND owner.dropped > 0 AND {which} GROUP BY {account} \
             ON CONFLICT (kind, account, source) DO UPDATE SET dropped = dropped + excluded.dropped"
        );
        let removed = format!("DELETE FROM owners AS owner WHERE owner.kind = ? AND {which}");
        for (sql, values) in [(counted, vec![table.name; 2]), (removed, vec![table.name])] {
            let values = values.into_iter().map(Value::from);
            let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
            transaction.execute_raw(statement).await.map_err(failed(PRUNE))?;
        }
    }
    transaction.commit().await.map_err(failed(PRUNE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn s06_owners_with_nothing_left_are_forgotten_and_what_was_dropped_stays_counted() {
        let directory = tempfile::tempdir().unwrap();
        let store = crate::SqliteStore::open(directory.path().join("outrigger.db")).await.unwrap();
        let database = store.database();
        // A plugin with a thousand sources, a deleted key, and a key that still has records.
        for source in 0..1_000 {
            add(database, "runs", "plugin loud", &format!("calls p{source}"), 0, 2).await;
        }
        add(database, "runs", "plugin loud", "key a", 3, 1).await;
        for key in 0..500 {
            add(database, "runs", &format!("key {key}"), "refused", 0, u64::from(key % 2 == 0)).await;
        }
        for _ in 0..2 {
            forget(database, RUNS).await.unwrap();
            let found = list(database).await.unwrap();
            let found: Vec<_> = found.iter().map(|share| (&*share.account, share.records, share.dropped)).collect();
            assert_eq!(found, [("forgotten", 0, 250), ("plugin loud", 3, 2_001)]);
            assert_eq!(rows_of_owners(database).await, 3);
        }
        // Records that are counted differently are looked up in their own table.
        add(database, "requests", "gone", "", 1, 4).await;
        forget(database, REQUESTS).await.unwrap();
        let found = list(database).await.unwrap();
        assert!(found.iter().any(|share| share.kind == "requests" && share.account == FORGOTTEN && share.dropped == 4));
        assert_eq!(rows_of_owners(database).await, 4);
    }

    async fn add(database: &Database, kind: &str, account: &str, source: &str, records: u64, dropped: u64) {
        let transaction = database.begin(PRUNE).await.unwrap();
        let sql = "INSERT INTO owners (kind, account, source, records, dropped) VALUES (?, ?, ?, ?, ?)";
        let values: [Value; 5] = [
            kind.into(),
            account.into(),
            source.into(),
            columns::from_count(records).into(),
            columns::from_count(dropped).into(),
        ];
        let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
        transaction.execute_raw(statement).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn rows_of_owners(database: &Database) -> i64 {
        let statement = Statement::from_string(
            database.read.get_database_backend(),
            "SELECT count(*) FROM owners WHERE kind IN ('runs', 'requests') AND (records > 0 OR dropped > 0)",
        );
        database.read.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }
}
