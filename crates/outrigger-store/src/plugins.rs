//! Plugins, their revisions and grants.

use outrigger_compute::run;
use outrigger_contract::{Digest, PluginName};
use outrigger_engine::store::{
    ConfigurationRevision, GrantRecord, PluginRecord, RevisionRecord, RevisionSummary, StoreError,
};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, JoinType, QueryFilter, QueryOrder, QuerySelect,
    RelationTrait, Set, SqlErr,
};

use crate::database::{Database, Transaction, failed};
use crate::entities::{grant, plugin, predecessor, revision, writable_folder};
use crate::{columns, configuration as configurations};

/// A revision up to this size, in bytes of JSON, is read at once. That takes about a millisecond.
const READ_AT_ONCE: usize = 256 << 10;

/// A plugin beside the summary of its active revision. The moment of the revision's installation has another name here.
#[derive(FromQueryResult)]
struct Listed {
    name: String,
    active: String,
    state: String,
    reason: Option<String>,
    installed_at: i64,
    updated_at: i64,
    generation: i64,
    version: String,
    title: String,
    description: String,
    categories: String,
    functions: i64,
    revision_installed_at: i64,
}

impl TryFrom<Listed> for (PluginRecord, RevisionSummary) {
    type Error = StoreError;

    fn try_from(row: Listed) -> Result<Self, StoreError> {
        let Listed {
            name,
            active,
            state,
            reason,
            installed_at,
            updated_at,
            generation,
            version,
            title,
            description,
            categories,
            functions,
            revision_installed_at,
        } = row;
        let summary = revision::Summary {
            digest: active.clone(),
            plugin: name.clone(),
            version,
            title,
            description,
            categories,
            functions,
            installed_at: revision_installed_at,
        };
        let plugin = plugin::Model {
            name,
            active,
            state,
            reason,
            installed_at,
            updated_at,
            generation,
            state_bytes: 0,
            state_writes: 0,
        };
        Ok((plugin.try_into()?, summary.try_into()?))
    }
}

pub(crate) async fn list(database: &Database) -> Result<Vec<(PluginRecord, RevisionSummary)>, StoreError> {
    let query = plugin::Entity::find()
        .select_only()
        .columns([
            plugin::Column::Name,
            plugin::Column::Active,
            plugin::Column::State,
            plugin::Column::Reason,
            plugin::Column::InstalledAt,
            plugin::Column::UpdatedAt,
            plugin::Column::Generation,
        ])
        .columns([
            revision::Column::Version,
            revision::Column::Title,
            revision::Column::Description,
            revision::Column::Categories,
            revision::Column::Functions,
        ])
        .column_as(revision::Column::InstalledAt, "revision_installed_at")
        .join(JoinType::InnerJoin, plugin::Relation::Active.def())
        .order_by_asc(plugin::Column::Name);
    let rows = query.into_model::<Listed>().all(&database.read).await.map_err(failed("list the plugins"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn fetch(database: &Database, name: &PluginName) -> Result<Option<PluginRecord>, StoreError> {
    let row = plugin::Entity::find_by_id(name.as_str()).one(&database.read).await.map_err(failed("read a plugin"))?;
    row.map(TryInto::try_into).transpose()
}

const WRITE: &str = "write a plugin";

pub(crate) async fn put(
    database: &Database,
    plugin: &PluginRecord,
    revision: Option<&RevisionRecord>,
    grant: Option<&GrantRecord>,
    expected: u64,
) -> Result<u64, StoreError> {
    // Disabling and removing a plugin are written on a full disk too.
    let transaction = match (revision, grant) {
        (None, None) => database.begin_essential(WRITE).await?,
        _ => database.begin(WRITE).await?,
    };
    write(&transaction, plugin, revision, grant, expected).await?;
    transaction.commit().await.map_err(failed(WRITE))?;
    Ok(expected.saturating_add(1))
}

pub(crate) async fn create(
    database: &Database,
    plugin: &PluginRecord,
    revision: &RevisionRecord,
    grant: &GrantRecord,
    configuration: Option<&ConfigurationRevision>,
) -> Result<u64, StoreError> {
    let transaction = database.begin(WRITE).await?;
    write(&transaction, plugin, Some(revision), Some(grant), 0).await?;
    if let Some(configuration) = configuration {
        configurations::put(&transaction, &plugin.name, configuration).await?;
    }
    transaction.commit().await.map_err(failed(WRITE))?;
    Ok(1)
}

async fn write(
    transaction: &Transaction,
    plugin: &PluginRecord,
    revision: Option<&RevisionRecord>,
    grant: Option<&GrantRecord>,
    expected: u64,
) -> Result<(), StoreError> {
    write_plugin(transaction, plugin, expected).await?;
    if let Some(revision) = revision {
        write_revision(transaction, revision).await?;
        require_revision(transaction, &plugin.name, &revision.digest).await?;
    }
    require_revision(transaction, &plugin.name, &plugin.active).await?;
    if let Some(grant) = grant {
        require_revision(transaction, &plugin.name, &grant.digest).await?;
        write_grant(transaction, grant).await?;
    }
    Ok(())
}

pub(crate) async fn write_plugin(
    transaction: &Transaction,
    record: &PluginRecord,
    expected: u64,
) -> Result<(), StoreError> {
    let row = plugin::ActiveModel::of(record, columns::from_count(expected.saturating_add(1)));
    let conflict = || StoreError::Conflict { what: format!("the plugin {}", record.name) };
    if expected == 0 {
        let outcome = plugin::Entity::insert(row).exec_without_returning(transaction).await;
        return outcome.map(|_| ()).map_err(|error| match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => conflict(),
            _ => failed(WRITE)(error),
        });
    }
    let outcome = plugin::Entity::update_many()
        .set(row)
        .filter(plugin::Column::Name.eq(record.name.as_str()))
        .filter(plugin::Column::Generation.eq(columns::from_count(expected)))
        .exec(transaction)
        .await
        .map_err(failed(WRITE))?;
    if outcome.rows_affected == 0 { Err(conflict()) } else { Ok(()) }
}

/// A revision is immutable: one that is there stays as it is.
pub(crate) async fn write_revision(transaction: &Transaction, record: &RevisionRecord) -> Result<(), StoreError> {
    revision::Entity::insert(revision::ActiveModel::of(record)?)
        .on_conflict_do_nothing_on([revision::Column::Digest])
        .exec_without_returning(transaction)
        .await
        .map(|_| ())
        .map_err(|error| match error.sql_err() {
            // It belongs to a plugin that is not there.
            Some(SqlErr::ForeignKeyConstraintViolation(_)) => {
                StoreError::Conflict { what: format!("the revision {}", record.digest) }
            }
            _ => failed("write a revision")(error),
        })
}

pub(crate) async fn write_grant(transaction: &Transaction, record: &GrantRecord) -> Result<(), StoreError> {
    let replace = OnConflict::column(grant::Column::Digest)
        .update_columns([grant::Column::GrantedBy, grant::Column::GrantedAt, grant::Column::Permissions])
        .to_owned();
    grant::Entity::insert(grant::ActiveModel::of(record)?)
        .on_conflict(replace)
        .exec_without_returning(transaction)
        .await
        .map(|_| ())
        .map_err(failed("write a grant"))?;
    keep_writable_folders(transaction, record).await
}

/// Keeps the folders that a plugin may write to from now on. A grant inside a known folder adds none, so their number
/// is bounded by what was approved.
async fn keep_writable_folders(transaction: &Transaction, record: &GrantRecord) -> Result<(), StoreError> {
    let folders: Vec<&str> = record.grant.permissions.writable_folders().collect();
    if folders.is_empty() {
        return Ok(());
    }
    let known = writable_folder_list(transaction).await?;
    for folder in folders.into_iter().filter(|folder| !known.iter().any(|known| folder.starts_with(known.as_str()))) {
        writable_folder::Entity::insert(writable_folder::ActiveModel { folder: Set(folder.to_owned()) })
            .on_conflict_do_nothing_on([writable_folder::Column::Folder])
            .exec_without_returning(transaction)
            .await
            .map_err(failed("write a writable folder"))?;
    }
    Ok(())
}

/// That the plugin has the revision, which another writer may have removed since it was looked up.
pub(crate) async fn require_revision(
    transaction: &Transaction,
    name: &PluginName,
    digest: &Digest,
) -> Result<(), StoreError> {
    let found: Option<String> = revision::Entity::find_by_id(digest.to_string())
        .select_only()
        .column(revision::Column::Plugin)
        .into_tuple()
        .one(transaction)
        .await
        .map_err(failed("look for a revision"))?;
    match found {
        Some(plugin) if name == plugin.as_str() => Ok(()),
        _ => Err(StoreError::Conflict { what: format!("the revision {digest} of the plugin {name}") }),
    }
}

pub(crate) async fn delete(database: &Database, name: &PluginName) -> Result<bool, StoreError> {
    const ACTION: &str = "remove a plugin";
    let transaction = database.begin_essential(ACTION).await?;
    // Its dependent rows are deleted by foreign keys.
    let outcome = plugin::Entity::delete_by_id(name.as_str()).exec(&transaction).await.map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(outcome.rows_affected > 0)
}

pub(crate) async fn revision_fetch(database: &Database, digest: &Digest) -> Result<Option<RevisionRecord>, StoreError> {
    let query = revision::Entity::find_by_id(digest.to_string());
    let row = query.one(&database.read).await.map_err(failed("read a revision"))?;
    match row {
        // A manifest and the types of 2,000 functions take up to a tenth of a second.
        Some(row) if row.manifest.len() + row.inspection.len() > READ_AT_ONCE => {
            run(true, Box::pin(async move { RevisionRecord::try_from(row).map(Some) })).await
        }
        row => row.map(TryInto::try_into).transpose(),
    }
}

pub(crate) async fn revision_exists(database: &Database, digest: &Digest) -> Result<bool, StoreError> {
    let query = revision::Entity::find_by_id(digest.to_string()).select_only().column(revision::Column::Digest);
    let found: Option<String> = query.into_tuple().one(&database.read).await.map_err(failed("look for a revision"))?;
    Ok(found.is_some())
}

pub(crate) async fn revision_list(database: &Database, name: &PluginName) -> Result<Vec<RevisionSummary>, StoreError> {
    let query = revision::Entity::find()
        .select_only()
        .columns(revision::Summary::COLUMNS)
        .filter(revision::Column::Plugin.eq(name.as_str()))
        .order_by_desc(revision::Column::InstalledAt)
        .order_by_desc(revision::Column::Digest);
    let rows = query.into_model::<revision::Summary>().all(&database.read).await.map_err(failed("list revisions"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn revision_delete(database: &Database, digest: &Digest) -> Result<bool, StoreError> {
    const ACTION: &str = "remove a revision";
    let transaction = database.begin_essential(ACTION).await?;
    let active = plugin::Entity::find()
        .select_only()
        .column(plugin::Column::Name)
        .join(JoinType::InnerJoin, plugin::Relation::Active.def())
        .filter(revision::Column::Digest.eq(digest.to_string()))
        .into_tuple::<String>()
        .one(&transaction)
        .await
        .map_err(failed(ACTION))?;
    if let Some(name) = active {
        return Err(StoreError::Conflict {
            what: format!("the revision {digest}, which is the active one of {name},"),
        });
    }
    let gone_back_to = predecessor::Entity::find()
        .select_only()
        .column(predecessor::Column::Plugin)
        .filter(predecessor::Column::Digest.eq(digest.to_string()))
        .into_tuple::<String>()
        .one(&transaction)
        .await
        .map_err(failed(ACTION))?;
    if let Some(name) = gone_back_to {
        return Err(StoreError::Conflict { what: format!("the revision {digest}, which {name} can go back to,") });
    }
    let outcome =
        revision::Entity::delete_by_id(digest.to_string()).exec(&transaction).await.map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(outcome.rows_affected > 0)
}

pub(crate) async fn grant_fetch(database: &Database, digest: &Digest) -> Result<Option<GrantRecord>, StoreError> {
    let query = grant::Entity::find_by_id(digest.to_string());
    let row = query.one(&database.read).await.map_err(failed("read a grant"))?;
    row.map(TryInto::try_into).transpose()
}

pub(crate) async fn writable_folder_list(connection: &impl ConnectionTrait) -> Result<Vec<String>, StoreError> {
    let query = writable_folder::Entity::find().order_by_asc(writable_folder::Column::Folder);
    let rows = query.all(connection).await.map_err(failed("list the writable folders"))?;
    Ok(rows.into_iter().map(|row| row.folder).collect())
}

pub(crate) async fn grant_list(database: &Database) -> Result<Vec<GrantRecord>, StoreError> {
    let rows = grant::Entity::find().all(&database.read).await.map_err(failed("list the grants"))?;
    rows.into_iter().map(TryInto::try_into).collect()
}
