//! The audit log: appended under the database's lock, so that the chain of several processes stays one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use outrigger_engine::audit::{self, AuditEntry, AuditRecord, Head, KeptRecord, Part};
use outrigger_engine::store::{AuditFilter, StoreError};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select};

use crate::columns;
use crate::database::{Database, Transaction, failed};
use crate::entities::audit::{ActiveModel, Column, End, Entity, Record, size};
use crate::entities::audit_part;
use crate::owners::{self, Amounts};
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

/// Appends records within a transaction that holds the lock, so no other record can follow the head between reading it
/// and the end of the transaction.
pub(crate) async fn add(transaction: &Transaction, entries: &[AuditEntry]) -> Result<Head, StoreError> {
    let (records, head) = chain(head_of(transaction).await?, last_of(transaction).await?, entries)?;
    let mut amounts = Amounts::new();
    for (entry, record) in entries.iter().zip(&records).filter(|(entry, _)| entry.prunable) {
        owners::count(&mut amounts, entry.owner(), size(&record.text));
    }
    let ids = match amounts.is_empty() {
        true => BTreeMap::new(),
        false => owners::charge(transaction, owners::REFUSALS, amounts).await.map_err(failed(APPEND))?,
    };
    let owner = |entry: &AuditEntry| match entry.prunable {
        true => ids.get(&entry.owner()).copied().unwrap_or_default(),
        false => 0,
    };
    let parts =
        entries.iter().zip(&records).flat_map(|(entry, record)| audit_part::ActiveModel::of(entry, record.sequence));
    let parts: Vec<_> = parts.collect();
    let rows =
        entries.iter().zip(records).map(|(entry, record)| ActiveModel::of(entry, record, owner(entry))).collect();
    insert_all(transaction, rows).await.map_err(failed(APPEND))?;
    insert_all(transaction, parts).await.map_err(failed(APPEND))?;
    Ok(head)
}

/// Builds the records for new entries after the head and the last sequence, and returns them with the new head.
pub(crate) fn chain(
    mut head: Head,
    mut last: u64,
    entries: &[AuditEntry],
) -> Result<(Vec<AuditRecord>, Head), StoreError> {
    let mut records = Vec::with_capacity(entries.len());
    for entry in entries {
        last += 1;
        let record =
            audit::append(head, last, entry).map_err(|error| columns::corrupt("an entry of the audit log", error))?;
        if !entry.prunable {
            head = Head { sequence: record.sequence, hash: record.hash };
        }
        records.push(record);
    }
    Ok((records, head))
}

pub(crate) async fn head(database: &Database) -> Result<Head, StoreError> {
    head_of(&database.read).await
}

async fn head_of(connection: &impl ConnectionTrait) -> Result<Head, StoreError> {
    let query = Entity::find()
        .select_only()
        .columns(End::COLUMNS)
        .filter(Column::Owner.eq(0_i64))
        .order_by_desc(Column::Sequence)
        .limit(1);
    let row = query.into_model::<End>().one(connection).await.map_err(failed("read the head of the audit log"))?;
    row.map_or(Ok(Head::EMPTY), TryInto::try_into)
}

/// The last sequence. The newest record is never pruned.
async fn last_of(connection: &impl ConnectionTrait) -> Result<u64, StoreError> {
    let query = Entity::find().select_only().column(Column::Sequence).order_by_desc(Column::Sequence).limit(1);
    let last = query.into_tuple::<i64>().one(connection).await.map_err(failed("read the end of the audit log"))?;
    columns::to_count("the last audit record", last.unwrap_or_default())
}

/// Two queries, each of which reads an index in order and no more than requested: for matching records, and for groups
/// with a matching item.
pub(crate) async fn list(database: &Database, filter: &AuditFilter) -> Result<Vec<AuditRecord>, StoreError> {
    const ACTION: &str = "list audit records";
    let mut rows = records(filter).into_model::<Record>().all(&database.read).await.map_err(failed(ACTION))?;
    if let Some(groups) = groups(filter) {
        rows.extend(groups.into_model::<Record>().all(&database.read).await.map_err(failed(ACTION))?);
        rows.sort_by_key(|row| Reverse(row.sequence));
        rows.dedup_by_key(|row| row.sequence);
        rows.truncate(usize::try_from(limit_of(filter.limit)).unwrap_or(usize::MAX));
    }
    rows.into_iter().map(TryInto::try_into).collect()
}

fn records(filter: &AuditFilter) -> Select<Entity> {
    let AuditFilter { actor, key, action, resource, correlation, allowed, code, since, until, before, limit } = filter;
    Entity::find()
        .select_only()
        .columns(Record::COLUMNS)
        .apply_if(actor.as_ref(), |query, actor| query.filter(Column::Actor.eq(actor.as_str())))
        .apply_if(key.as_ref(), |query, key| query.filter(Column::Key.eq(key.as_str())))
        .apply_if(action.as_ref(), |query, action| query.filter(Column::Action.eq(action.as_str())))
        .apply_if(resource.as_ref(), |query, resource| query.filter(Column::Resource.eq(resource.as_str())))
        .apply_if(*correlation, |query, correlation| query.filter(Column::Correlation.eq(correlation.to_string())))
        .apply_if(*allowed, |query, allowed| query.filter(Column::Allowed.eq(i64::from(allowed))))
        .apply_if(*code, |query, code| query.filter(Column::Code.eq(code.as_str())))
        .apply_if(*since, |query, since| query.filter(Column::Until.gte(columns::from_time(since))))
        .apply_if(*until, |query, until| query.filter(Column::At.lt(columns::from_time(until))))
        .apply_if(*before, |query, before| query.filter(Column::Sequence.lt(columns::from_count(before))))
        .order_by_desc(Column::Sequence)
        .limit(u64::from(limit_of(*limit)))
}

/// Groups with a matching item; none if the filter has no field of items.
fn groups(filter: &AuditFilter) -> Option<Select<Entity>> {
    use audit_part::Column as Part;
    let AuditFilter { actor, key, action, resource, correlation, allowed, code, since, until, before, limit } = filter;
    if actor.is_none() && key.is_none() && resource.is_none() && correlation.is_none() && code.is_none() {
        return None;
    }
    let found = audit_part::Entity::find()
        .select_only()
        .column(Part::Sequence)
        .distinct()
        .apply_if(actor.as_ref(), |query, actor| query.filter(Part::Actor.eq(actor.as_str())))
        .apply_if(key.as_ref(), |query, key| query.filter(Part::Key.eq(key.as_str())))
        .apply_if(action.as_ref(), |query, action| query.filter(Part::Action.eq(action.as_str())))
        .apply_if(resource.as_ref(), |query, resource| query.filter(Part::Resource.eq(resource.as_str())))
        .apply_if(*correlation, |query, correlation| query.filter(Part::Correlation.eq(correlation.to_string())))
        .apply_if(*allowed, |query, allowed| query.filter(Part::Allowed.eq(i64::from(allowed))))
        .apply_if(*code, |query, code| query.filter(Part::Code.eq(code.as_str())))
        .apply_if(*since, |query, since| query.filter(Part::Until.gte(columns::from_time(since))))
        .apply_if(*until, |query, until| query.filter(Part::At.lt(columns::from_time(until))))
        .apply_if(*before, |query, before| query.filter(Part::Sequence.lt(columns::from_count(before))))
        .order_by_desc(Part::Sequence)
        .limit(u64::from(limit_of(*limit)));
    let query = Entity::find().select_only().columns(Record::COLUMNS);
    Some(query.filter(Column::Sequence.in_subquery(found.into_query())))
}

pub(crate) async fn read(database: &Database, after: Option<u64>, limit: u32) -> Result<Vec<KeptRecord>, StoreError> {
    const ACTION: &str = "read the audit log";
    use audit_part::Column as PartColumn;
    let query = Entity::find()
        .apply_if(after, |query, after| query.filter(Column::Sequence.gt(columns::from_count(after))))
        .order_by_asc(Column::Sequence)
        .limit(u64::from(limit));
    let rows = query.all(&database.read).await.map_err(failed(ACTION))?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
    let query = audit_part::Entity::find().filter(PartColumn::Sequence.between(first.sequence, last.sequence));
    let mut parts: BTreeMap<i64, Vec<Part>> = BTreeMap::new();
    for part in query.all(&database.read).await.map_err(failed(ACTION))? {
        parts.entry(part.sequence).or_default().push(part.try_into()?);
    }
    rows.into_iter()
        .map(|row| {
            let parts = parts.remove(&row.sequence).unwrap_or_default();
            row.held(parts)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use outrigger_engine::CorrelationId;
    use sea_orm::{DbBackend, Statement};
    use time::OffsetDateTime;

    use super::*;

    #[tokio::test]
    async fn lists_are_read_from_an_index_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let store = crate::SqliteStore::open(directory.path().join("outrigger.db")).await.unwrap();
        // No step sorts: the index gives the newest first, and reading ends with the last one wanted.
        let check = async |filter: AuditFilter, expected: &str| {
            let explain = async |query: Statement| {
                let query = Statement { sql: format!("EXPLAIN QUERY PLAN {}", query.sql), ..query };
                let rows = store.database().read.query_all_raw(query).await.unwrap();
                rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect::<Vec<String>>()
            };
            assert_eq!(explain(records(&filter).build(DbBackend::Sqlite)).await, [expected], "{filter:?}");
            if let Some(groups) = groups(&filter).filter(|_| filter.actor.is_none()) {
                let steps = explain(groups.build(DbBackend::Sqlite)).await;
                let index = expected.rsplit_once("audit_by").unwrap().1.replace("audit_", "audit_parts_");
                let wanted = format!("SEARCH audit_parts USING INDEX audit_parts_by{index}");
                // A covering index is enough; the row is not read.
                let found = steps.iter().any(|step| step.replace("COVERING ", "") == wanted);
                assert!(found, "{wanted} is not in {steps:?}");
            }
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
