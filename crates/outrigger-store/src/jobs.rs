//! Jobs and schedules.

use outrigger_compute::run;
use outrigger_contract::PluginName;
use outrigger_engine::events::NewEvent;
use outrigger_engine::jobs::{JobId, JobRecord, JobState, ScheduleRecord};
use outrigger_engine::store::{Amount, JobFilter, StoreError};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, EntityTrait, Iterable as _, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait as _, Select, Set, SqlErr, Statement, Value,
};
use time::OffsetDateTime;

use crate::database::{Database, Transaction, failed};
use crate::entities::{job, schedule};
use crate::{columns, events, owners, records};

/// Jobs that are read or written at once, in bytes of JSON. That takes about a millisecond.
const READ_AT_ONCE: usize = 256 << 10;
/// Ended jobs up to this size, in bytes of JSON, are written on a full disk. Longer ones wait until there is space: a
/// few of them would use up the reserve.
const LONGEST_ESSENTIAL: usize = 512 << 10;

pub(crate) async fn create(
    database: &Database,
    record: &JobRecord,
    event: Option<&NewEvent>,
) -> Result<(), StoreError> {
    const ACTION: &str = "add a job";
    let transaction = database.begin(ACTION).await?;
    insert(&transaction, record, ACTION).await?;
    tell(&transaction, event).await?;
    transaction.commit().await.map_err(failed(ACTION))
}

/// The event goes into the log with what it is about.
async fn tell(transaction: &Transaction, event: Option<&NewEvent>) -> Result<(), StoreError> {
    match event {
        Some(event) => events::add(transaction, std::slice::from_ref(event)).await.map(drop),
        None => Ok(()),
    }
}

async fn insert(transaction: &Transaction, record: &JobRecord, action: &'static str) -> Result<(), StoreError> {
    let owner =
        owners::charge_one(transaction, owners::JOBS, record.owner_of_row(), 0).await.map_err(failed(action))?;
    let row = job::ActiveModel { owner: Set(owner), ..job::ActiveModel::of(record, 1)? };
    let outcome = job::Entity::insert(row).exec_without_returning(transaction).await;
    outcome.map(|_| ()).map_err(|error| match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => job_conflict(record.id),
        _ => failed(action)(error),
    })
}

/// The error for a job that already exists, or was changed in the meantime.
pub(crate) fn job_conflict(id: JobId) -> StoreError {
    StoreError::Conflict { what: format!("the job {id}") }
}

pub(crate) async fn fetch(database: &Database, id: JobId) -> Result<Option<JobRecord>, StoreError> {
    let row = job::Entity::find_by_id(id.to_string()).one(&database.read).await.map_err(failed("read a job"))?;
    match row {
        // A large result takes milliseconds.
        Some(row) if row.job.len() > READ_AT_ONCE => {
            run(true, Box::pin(async move { JobRecord::try_from(row).map(Some) })).await
        }
        row => row.map(TryInto::try_into).transpose(),
    }
}

pub(crate) async fn exists(database: &Database, id: JobId) -> Result<bool, StoreError> {
    let query = job::Entity::find_by_id(id.to_string()).select_only().column(job::Column::Id);
    let found: Option<String> = query.into_tuple().one(&database.read).await.map_err(failed("look for a job"))?;
    Ok(found.is_some())
}

pub(crate) async fn list(database: &Database, filter: &JobFilter) -> Result<Vec<JobRecord>, StoreError> {
    use job::Column;
    let JobFilter { state, plugin, function, schedule, before, limit } = filter;
    let condition = Condition::all()
        .add_option(state.map(|state| Column::State.eq(state.as_str())))
        .add_option(plugin.as_ref().map(|plugin| Column::Plugin.eq(plugin.as_str())))
        .add_option(function.as_ref().map(|function| Column::Function.eq(function.as_str())))
        .add_option(schedule.as_ref().map(|schedule| Column::Schedule.eq(schedule)))
        .add_option(before.map(|before| Column::Id.lt(before.to_string())));
    let query = job::Entity::find()
        .select_only()
        .columns(Column::iter().filter(|column| !matches!(column, Column::Job)))
        .column_as(Expr::cust("json_remove(job, '$.result')"), "job")
        .filter(condition)
        .order_by_desc(Column::Id)
        .limit(u64::from(records::limit_of(*limit)));
    let rows = query.into_model::<job::Model>().all(&database.read).await.map_err(failed("list jobs"))?;
    let (mut jobs, mut bytes) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        bytes += row.job.len();
        jobs.push(JobRecord::try_from(row)?);
        if bytes > READ_AT_ONCE {
            // Lets the other tasks of this thread run.
            tokio::task::yield_now().await;
            bytes = 0;
        }
    }
    Ok(jobs)
}

pub(crate) async fn next(
    database: &Database,
    now: OffsetDateTime,
    busy: &[String],
    except: &[String],
) -> Result<Option<JobRecord>, StoreError> {
    let row = queue(now, busy, except).one(&database.read).await.map_err(failed("find the next job"))?;
    row.map(TryInto::try_into).transpose()
}

/// Jobs that may begin by now, have none of these keys and are of none of these accounts, the oldest first.
pub(crate) fn queue(now: OffsetDateTime, busy: &[String], except: &[String]) -> Select<job::Entity> {
    use job::Column;
    let query = job::Entity::find()
        .filter(Column::State.eq(JobState::Queued.as_str()))
        .filter(Column::NotBefore.lte(columns::from_time(now)))
        .order_by_asc(Column::Id);
    let query = except.iter().fold(query, |query, account| query.filter(of_account(account).not()));
    if busy.is_empty() {
        return query;
    }
    let free = Condition::any()
        .add(Column::ConcurrencyKey.is_null())
        .add(Column::ConcurrencyKey.is_not_in(busy.iter().map(String::as_str)));
    query.filter(free)
}

pub(crate) async fn backlog(database: &Database, account: Option<&str>) -> Result<Amount, StoreError> {
    const ACTION: &str = "count the jobs that have not ended";
    let statement = unended(database.read.get_database_backend(), account);
    let Some(row) = database.read.query_one_raw(statement).await.map_err(failed(ACTION))? else {
        return Ok(Amount::default());
    };
    let number = |at| row.try_get_by_index::<i64>(at).map_err(failed(ACTION));
    Ok(Amount {
        records: columns::to_count("the number of jobs", number(0)?)?,
        bytes: columns::to_count("the size of jobs", number(1)?)?,
    })
}

/// The row of a job. That of a large one is made in the pool, because other writers wait for this thread.
async fn row(record: &JobRecord, generation: u64) -> Result<job::ActiveModel, StoreError> {
    if record.result.as_ref().map_or(0, String::len) <= READ_AT_ONCE {
        return job::ActiveModel::of(record, generation);
    }
    let record = record.clone();
    run(true, Box::pin(async move { job::ActiveModel::of(&record, generation) })).await
}

/// The number of unfinished jobs and their bytes, read from an index.
pub(crate) fn unended(backend: DbBackend, account: Option<&str>) -> Statement {
    let of_account = if account.is_some() { " AND account = ?" } else { "" };
    let sql = format!(
        "SELECT count(*), coalesce(sum(size), 0) FROM jobs WHERE ended_at IS NULL \
         AND owner IN (SELECT id FROM owners WHERE kind = 'jobs'{of_account})"
    );
    Statement::from_sql_and_values(backend, sql, account.map(Value::from))
}

pub(crate) async fn unfinished(
    database: &Database,
    plugin: &PluginName,
    except: Option<&str>,
) -> Result<u64, StoreError> {
    use job::Column;
    let query = job::Entity::find()
        .select_only()
        .column_as(Column::Id.count(), "number")
        .filter(Column::Plugin.eq(plugin.as_str()))
        .filter(Column::State.ne(JobState::Succeeded.as_str()))
        .apply_if(except, |query, account| query.filter(of_account(account).not()));
    let number = query.into_tuple::<i64>().one(&database.read).await.map_err(failed("count the jobs of a plugin"))?;
    columns::to_count("the number of jobs of a plugin", number.unwrap_or_default())
}

fn of_account(account: &str) -> Expr {
    let owners = "owner IN (SELECT id FROM owners WHERE kind = 'jobs' AND account = ?)";
    Expr::cust_with_values(owners, [account])
}

pub(crate) async fn put(database: &Database, record: &JobRecord, event: Option<&NewEvent>) -> Result<u64, StoreError> {
    const ACTION: &str = "write a job";
    let generation = record.generation + 1;
    // Before the transaction: writing a large result as JSON takes long.
    let row = row(record, generation).await?;
    // The end of a job is written on a full disk too; the start is not.
    let is_essential = record.state.has_ended() && row.job.as_ref().len() <= LONGEST_ESSENTIAL;
    let transaction = match is_essential {
        true => database.begin_essential(ACTION).await?,
        false => database.begin(ACTION).await?,
    };
    let outcome = job::Entity::update_many()
        .set(row)
        .filter(job::Column::Id.eq(record.id.to_string()))
        .filter(job::Column::Generation.eq(columns::from_count(record.generation)))
        .exec(&transaction)
        .await
        .map_err(failed(ACTION))?;
    if outcome.rows_affected == 0 {
        return Err(job_conflict(record.id));
    }
    tell(&transaction, event).await?;
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(generation)
}

pub(crate) async fn schedule_list(database: &Database) -> Result<Vec<ScheduleRecord>, StoreError> {
    let query = schedule::Entity::find().order_by_asc(schedule::Column::Name);
    let rows = query.all(&database.read).await.map_err(failed("list the schedules"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn schedule_put(
    database: &Database,
    record: &ScheduleRecord,
    job: Option<(&JobRecord, &NewEvent)>,
) -> Result<u64, StoreError> {
    const ACTION: &str = "write a schedule";
    let generation = record.generation + 1;
    let row = schedule::ActiveModel::of(record, generation)?;
    let transaction = database.begin(ACTION).await?;
    if record.generation == 0 {
        let outcome = schedule::Entity::insert(row).exec_without_returning(&transaction).await;
        outcome.map_err(|error| match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => schedule_conflict(&record.name),
            _ => failed(ACTION)(error),
        })?;
    } else {
        let outcome = schedule::Entity::update_many()
            .set(row)
            .filter(schedule::Column::Name.eq(&record.name))
            .filter(schedule::Column::Generation.eq(columns::from_count(record.generation)))
            .exec(&transaction)
            .await
            .map_err(failed(ACTION))?;
        if outcome.rows_affected == 0 {
            return Err(schedule_conflict(&record.name));
        }
    }
    if let Some((job, event)) = job {
        insert(&transaction, job, ACTION).await?;
        tell(&transaction, Some(event)).await?;
    }
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(generation)
}

/// The error for a schedule that already exists, or was changed in the meantime.
pub(crate) fn schedule_conflict(name: &str) -> StoreError {
    StoreError::Conflict { what: format!("the schedule {name}") }
}

pub(crate) async fn schedule_delete(database: &Database, name: &str) -> Result<bool, StoreError> {
    const ACTION: &str = "remove a schedule";
    let transaction = database.begin_essential(ACTION).await?;
    let outcome = schedule::Entity::delete_by_id(name).exec(&transaction).await.map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(outcome.rows_affected > 0)
}
