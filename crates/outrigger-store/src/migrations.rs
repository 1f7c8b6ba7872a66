//! Brings a database to the schema of this version.
//!
//! A runner of our own instead of `sea-orm-migration`: all that is missing is applied in *one* transaction that holds the
//! database's lock, so that of several processes that open a new directory one does it and the others wait, and one
//! that dies leaves nothing half done. It also spares a build of sea-orm with all its default features. The
//! statements themselves are sea-query's, the same for every database.

mod v10_requests;
mod v11_indexes;
mod v12_owners;
mod v13_callers;
mod v14_writable_folders;
mod v15_private_deliveries;
mod v1_initial;
mod v2_access_and_audit;
mod v3_hooks;
mod v4_configuration;
mod v5_jobs;
mod v6_events_and_webhooks;
mod v7_updates;
mod v8_templates;
mod v9_health;

use outrigger_engine::store::StoreError;
use sea_orm::sea_query::{Expr, IndexCreateStatement, IndexDropStatement, TableAlterStatement, TableCreateStatement};
use sea_orm::sqlx::{self, SqliteConnection};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, Set};
use time::OffsetDateTime;

use crate::columns;
use crate::database::{Database, failed};
use crate::entities::schema_version;

/// A step of a migration.
enum Change {
    Table(Box<TableCreateStatement>),
    Index(Box<IndexCreateStatement>),
    Column(Box<TableAlterStatement>),
    NoIndex(Box<IndexDropStatement>),
    /// Plain SQL, the same for every database.
    Sql(&'static str),
}

/// Each takes the schema one version further. What stands here was released and is never edited; a change is a new entry.
const MIGRATIONS: [fn() -> Vec<Change>; 15] = [
    v1_initial::changes,
    v2_access_and_audit::changes,
    v3_hooks::changes,
    v4_configuration::changes,
    v5_jobs::changes,
    v6_events_and_webhooks::changes,
    v7_updates::changes,
    v8_templates::changes,
    v9_health::changes,
    v10_requests::changes,
    v11_indexes::changes,
    v12_owners::changes,
    v13_callers::changes,
    v14_writable_folders::changes,
    v15_private_deliveries::changes,
];

/// The version of the schema that this program reads and writes.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

const ACTION: &str = "prepare the database's schema";

/// Applies what is missing. `database` is named in the error when it was written by a newer version.
pub(crate) async fn migrate(database: &Database, name: &str) -> Result<(), StoreError> {
    // The usual case takes this one query. Where it fails there is no schema yet, or a fault that shows again below.
    if let Ok(Some(version)) = version(&database.write).await {
        if version == VERSION {
            return Ok(());
        }
        refuse_newer(version, name)?;
    }

    let transaction = database.begin(ACTION).await?;
    transaction.execute(v1_initial::schema_version().if_not_exists()).await.map_err(failed(ACTION))?;
    // Under the lock, because another process may have been quicker.
    let present = version(&transaction).await.map_err(failed(ACTION))?.unwrap_or(0);
    refuse_newer(present, name)?;
    for (version, changes) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > present) {
        apply(&transaction, version, changes()).await.map_err(failed(ACTION))?;
        tracing::debug!(database = name, version, "schema migrated");
    }
    transaction.commit().await.map_err(failed(ACTION))
}

/// The version of the schema that is there, which this program can read.
pub(crate) async fn present(database: &Database, name: &str) -> Result<i64, StoreError> {
    const ACTION: &str = "tell the version of its schema";
    let found = version(&database.read).await.map_err(failed(ACTION))?;
    let found = found.ok_or_else(|| columns::corrupt(name, "it has no schema of Outrigger's"))?;
    refuse_newer(found, name)?;
    Ok(found)
}

/// Writes to the database and changes nothing that matters: proof that it can be written to.
pub(crate) async fn touch(database: &Database) -> Result<(), StoreError> {
    const ACTION: &str = "write to itself";
    let transaction = database.begin(ACTION).await?;
    let now = columns::from_time(OffsetDateTime::now_utc());
    schema_version::Entity::update_many()
        .col_expr(schema_version::Column::CheckedAt, Expr::val(now))
        .filter(schema_version::Column::Version.eq(VERSION))
        .exec(&transaction)
        .await
        .map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))
}

/// The same on the connection of the test write.
pub(crate) async fn probe(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let now = columns::from_time(OffsetDateTime::now_utc());
    let update = "UPDATE schema_version SET checked_at = ? WHERE version = ?";
    sqlx::query(update).bind(now).bind(VERSION).execute(connection).await.map(drop)
}

async fn version(connection: &impl ConnectionTrait) -> Result<Option<i64>, DbErr> {
    let query =
        schema_version::Entity::find().select_only().column_as(schema_version::Column::Version.max(), "version");
    query.into_tuple::<Option<i64>>().one(connection).await.map(Option::flatten)
}

async fn apply(connection: &impl ConnectionTrait, version: i64, changes: Vec<Change>) -> Result<(), DbErr> {
    for change in changes {
        match change {
            Change::Table(statement) => connection.execute(&*statement).await?,
            Change::Index(statement) => connection.execute(&*statement).await?,
            Change::Column(statement) => connection.execute(&*statement).await?,
            Change::NoIndex(statement) => connection.execute(&*statement).await?,
            Change::Sql(statement) => connection.execute_unprepared(statement).await?,
        };
    }
    let row = schema_version::ActiveModel {
        version: Set(version),
        applied_at: Set(columns::from_time(OffsetDateTime::now_utc())),
        checked_at: Set(None),
    };
    schema_version::Entity::insert(row).exec_without_returning(connection).await?;
    Ok(())
}

fn refuse_newer(version: i64, name: &str) -> Result<(), StoreError> {
    if version <= VERSION {
        return Ok(());
    }
    Err(columns::corrupt(
        name,
        format_args!(
            "it has schema version {version}, and this version of Outrigger knows schemas up to {VERSION}; \
             use the newer Outrigger that wrote it, or another data directory"
        ),
    ))
}

#[cfg(test)]
mod tests;
