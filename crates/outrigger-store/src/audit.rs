//! The audit log: appended under the database's lock, so that the chain of several processes stays one.

use outrigger_engine::audit::{self, AuditEntry, AuditRecord, Head, KeptRecord};
use outrigger_engine::store::{AuditFilter, StoreError};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select};

use crate::columns;
use crate::database::{Database, Transaction, failed};
use crate::entities::audit::{ActiveModel, Column, End, Entity, Record};
use crate::records::{insert_all, limit_of};

const APPEND: &str = "append to the audit log";

pub(crate) async fn append(database: &Database, entries: &[AuditEntry]) -> Result<Head, StoreError> {
    if entries.is_empty() {
        return head(database).await;
    }
    let transaction = database.begin_essential(APPEND).await?;
    let head = add(&transaction, entries).await?;
    transaction.commit().await.map_err(failed(APPEND))?;
    Ok(head)
}

/// Puts entries behind those that are there, as part of a transaction that holds the lock: nobody else can put one
/// behind the head between reading it and the end of the transaction.
pub(crate) async fn add(transaction: &Transaction, entries: &[AuditEntry]) -> Result<Head, StoreError> {
    let (records, head) = chain(head_of(transaction).await?, entries)?;
    let rows = entries.iter().zip(records).map(|(entry, record)| ActiveModel::of(entry, record)).collect();
    insert_all(transaction, rows).await.map_err(failed(APPEND))?;
    Ok(head)
}

/// The records of entries that are put behind a head, and the head that they make.
pub(crate) fn chain(mut head: Head, entries: &[AuditEntry]) -> Result<(Vec<AuditRecord>, Head), StoreError> {
    let mut records = Vec::with_capacity(entries.len());
    for entry in entries {
        let record =
            audit::append(head, entry).map_err(|error| columns::corrupt("an entry of the audit log", error))?;
        head = Head { sequence: record.sequence, hash: record.hash };
        records.push(record);
    }
    Ok((records, head))
}

pub(crate) async fn head(database: &Database) -> Result<Head, StoreError> {
    head_of(&database.read).await
}

async fn head_of(connection: &impl ConnectionTrait) -> Result<Head, StoreError> {
    let query = Entity::find().select_only().columns(End::COLUMNS).order_by_desc(Column::Sequence).limit(1);
    let row = query.into_model::<End>().one(connection).await.map_err(failed("read the head of the audit log"))?;
    row.map_or(Ok(Head::EMPTY), TryInto::try_into)
}

pub(crate) async fn list(database: &Database, filter: &AuditFilter) -> Result<Vec<AuditRecord>, StoreError> {
    let query = records(filter).into_model::<Record>();
    let rows = query.all(&database.read).await.map_err(failed("list audit records"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

fn records(filter: &AuditFilter) -> Select<Entity> {
    let AuditFilter { actor, action, resource, correlation, allowed, since, until, before, limit } = filter;
    Entity::find()
        .select_only()
        .columns(Record::COLUMNS)
        .apply_if(actor.as_ref(), |query, actor| query.filter(Column::Actor.eq(actor.as_str())))
        .apply_if(action.as_ref(), |query, action| query.filter(Column::Action.eq(action.as_str())))
        .apply_if(resource.as_ref(), |query, resource| query.filter(Column::Resource.eq(resource.as_str())))
        .apply_if(*correlation, |query, correlation| query.filter(Column::Correlation.eq(correlation.to_string())))
        .apply_if(*allowed, |query, allowed| query.filter(Column::Allowed.eq(i64::from(allowed))))
        .apply_if(*since, |query, since| query.filter(Column::At.gte(columns::from_time(since))))
        .apply_if(*until, |query, until| query.filter(Column::At.lt(columns::from_time(until))))
        .apply_if(*before, |query, before| query.filter(Column::Sequence.lt(columns::from_count(before))))
        .order_by_desc(Column::Sequence)
        .limit(u64::from(limit_of(*limit)))
}

pub(crate) async fn read(database: &Database, after: Option<u64>, limit: u32) -> Result<Vec<KeptRecord>, StoreError> {
    let query = Entity::find()
        .apply_if(after, |query, after| query.filter(Column::Sequence.gt(columns::from_count(after))))
        .order_by_asc(Column::Sequence)
        .limit(u64::from(limit));
    let rows = query.all(&database.read).await.map_err(failed("read the audit log"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

#[cfg(test)]
mod tests {
    use outrigger_engine::CorrelationId;
    use sea_orm::DbBackend;
    use time::OffsetDateTime;

    use super::*;

    #[tokio::test]
    async fn lists_are_read_from_an_index_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let store = crate::SqliteStore::open(directory.path().join("outrigger.db")).await.unwrap();
        // No step sorts: the index gives the newest first, and reading ends with the last one wanted.
        let check = async |filter: AuditFilter, expected: &str| {
            let mut query = records(&filter).build(DbBackend::Sqlite);
            query.sql = format!("EXPLAIN QUERY PLAN {}", query.sql);
            let rows = store.database().read.query_all_raw(query).await.unwrap();
            let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
            assert_eq!(steps, [expected], "{filter:?}");
        };
        let any = AuditFilter::default;
        check(any(), "SCAN audit").await;
        check(AuditFilter { before: Some(9), ..any() }, "SEARCH audit USING INTEGER PRIMARY KEY (rowid<?)").await;
        let since = Some(OffsetDateTime::UNIX_EPOCH);
        check(AuditFilter { actor: Some("local".to_owned()), allowed: Some(false), since, ..any() }, "SCAN audit")
            .await;
        let correlation = Some(CorrelationId::new());
        let of_call = "SEARCH audit USING INDEX audit_by_correlation (correlation=?)";
        check(AuditFilter { correlation, ..any() }, of_call).await;
        let resource = Some("pricing".to_owned());
        let of_resource = "SEARCH audit USING INDEX audit_by_resource (resource=?)";
        check(AuditFilter { resource: resource.clone(), ..any() }, of_resource).await;
        let next_page = "SEARCH audit USING INDEX audit_by_resource (resource=? AND sequence<?)";
        check(AuditFilter { resource, before: Some(9), since, ..any() }, next_page).await;
    }
}
