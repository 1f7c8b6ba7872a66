//! Configuration, as it is set, and as it was.

use async_trait::async_trait;
use outrigger_contract::PluginName;
use outrigger_engine::store::{
    CONFIGURATION_BYTES_KEPT, CONFIGURATION_REVISIONS_KEPT, ConfigurationRecord, ConfigurationRevision,
    ConfigurationRewrite, ConfigurationStore, StoreError,
};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityName, EntityTrait, QueryFilter, QueryOrder, Set, Statement, Value};

use crate::SqliteStore;
use crate::columns;
use crate::database::{Transaction, failed};
use crate::entities::{configuration, configuration_revision, predecessor};

#[async_trait]
impl ConfigurationStore for SqliteStore {
    async fn configuration_fetch(&self, name: &PluginName) -> Result<Option<ConfigurationRecord>, StoreError> {
        let query = configuration::Entity::find_by_id(name.as_str());
        let row = query.one(&self.database().read).await.map_err(failed("read a configuration"))?;
        row.map(TryInto::try_into).transpose()
    }

    async fn configuration_put(&self, name: &PluginName, revision: &ConfigurationRevision) -> Result<(), StoreError> {
        const ACTION: &str = "write a configuration";
        let transaction = self.database().begin(ACTION).await?;
        put(&transaction, name, revision).await?;
        transaction.commit().await.map_err(failed(ACTION))
    }

    async fn configuration_revisions(&self, name: &PluginName) -> Result<Vec<ConfigurationRevision>, StoreError> {
        let query = configuration_revision::Entity::find()
            .filter(configuration_revision::Column::Plugin.eq(name.as_str()))
            .order_by_desc(configuration_revision::Column::Revision);
        let rows = query.all(&self.database().read).await.map_err(failed("list the revisions of a configuration"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    async fn configuration_revision(
        &self,
        name: &PluginName,
        revision: u64,
    ) -> Result<Option<ConfigurationRevision>, StoreError> {
        let id = (name.to_string(), columns::from_count(revision));
        let query = configuration_revision::Entity::find_by_id(id);
        let row = query.one(&self.database().read).await.map_err(failed("read a revision of a configuration"))?;
        row.map(TryInto::try_into).transpose()
    }

    async fn configuration_rewrite(&self, rewrites: &[ConfigurationRewrite]) -> Result<u64, StoreError> {
        const ACTION: &str = "rewrite configurations";
        let transaction = self.database().begin(ACTION).await?;
        let mut rewritten = 0;
        for rewrite in rewrites {
            let rows = rewrite_one(&transaction, rewrite, ACTION).await?;
            rewritten += u64::from(rows > 0);
        }
        transaction.commit().await.map_err(failed(ACTION))?;
        Ok(rewritten)
    }
}

/// Sets the configuration and keeps it as a revision, within a transaction.
pub(crate) async fn put(
    transaction: &Transaction,
    name: &PluginName,
    revision: &ConfigurationRevision,
) -> Result<(), StoreError> {
    const ACTION: &str = "write a configuration";
    let row = configuration_revision::ActiveModel::of(name, revision)?;
    put_present(transaction, name, revision).await?;
    configuration_revision::Entity::insert(row).exec_without_returning(transaction).await.map_err(failed(ACTION))?;
    let oldest = columns::from_count(revision.revision.saturating_sub(CONFIGURATION_REVISIONS_KEPT));
    let gone_back_to = Query::select()
        .column(predecessor::Column::Configuration)
        .from(predecessor::Entity.table_ref())
        .and_where(predecessor::Column::Plugin.eq(name.as_str()))
        .take();
    configuration_revision::Entity::delete_many()
        .filter(configuration_revision::Column::Plugin.eq(name.as_str()))
        .filter(configuration_revision::Column::Revision.lte(oldest))
        .filter(configuration_revision::Column::Revision.not_in_subquery(gone_back_to))
        .exec(transaction)
        .await
        .map_err(failed(ACTION))?;
    prune_bytes(transaction, name, revision.revision).await
}

/// Drops the oldest revisions above [`CONFIGURATION_BYTES_KEPT`], but not the present one.
async fn prune_bytes(transaction: &Transaction, name: &PluginName, present: u64) -> Result<(), StoreError> {
    let sql = "DELETE FROM configuration_revisions WHERE plugin = ? AND revision < ? \
               AND revision NOT IN (SELECT configuration FROM predecessors WHERE plugin = ?) \
               AND revision IN (SELECT revision FROM (SELECT revision, sum(length(CAST(\"values\" AS BLOB))) \
               OVER (ORDER BY revision DESC) AS bytes FROM configuration_revisions WHERE plugin = ?) WHERE bytes > ?)";
    let (name, present) = (|| Value::from(name.as_str()), Value::from(columns::from_count(present)));
    let values = [name(), present, name(), name(), columns::from_count(CONFIGURATION_BYTES_KEPT).into()];
    let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    transaction.execute_raw(statement).await.map_err(failed("write a configuration"))?;
    Ok(())
}

async fn put_present(
    transaction: &Transaction,
    name: &PluginName,
    revision: &ConfigurationRevision,
) -> Result<(), StoreError> {
    const ACTION: &str = "write a configuration";
    let conflict = || StoreError::Conflict { what: format!("the configuration of the plugin {name}") };
    let row = configuration::ActiveModel {
        plugin: Set(name.to_string()),
        revision: Set(columns::from_count(revision.revision)),
        values: Set(columns::from_document(format_args!("the configuration of the plugin {name}"), &revision.values)?),
    };
    let Some(expected) = revision.revision.checked_sub(1) else { return Err(conflict()) };
    if expected == 0 {
        let outcome = configuration::Entity::insert(row).exec_without_returning(transaction).await;
        outcome.map_err(|error| match error.sql_err() {
            // It is there already, or the plugin is gone.
            Some(_) => conflict(),
            None => failed(ACTION)(error),
        })?;
        return Ok(());
    }
    let outcome = configuration::Entity::update_many()
        .set(row)
        .filter(configuration::Column::Plugin.eq(name.as_str()))
        .filter(configuration::Column::Revision.eq(columns::from_count(expected)))
        .exec(transaction)
        .await
        .map_err(failed(ACTION))?;
    if outcome.rows_affected == 0 { Err(conflict()) } else { Ok(()) }
}

/// Answers how many rows were changed: none where the values are no longer there.
async fn rewrite_one(
    transaction: &Transaction,
    rewrite: &ConfigurationRewrite,
    action: &'static str,
) -> Result<u64, StoreError> {
    let ConfigurationRewrite { plugin, revision, before, after } = rewrite;
    let what = format!("the configuration of the plugin {plugin}");
    let (before, after) = (columns::from_document(&what, before)?, columns::from_document(&what, after)?);
    let revision = columns::from_count(*revision);
    let present = configuration::Entity::update_many()
        .col_expr(configuration::Column::Values, Expr::val(after.clone()))
        .filter(configuration::Column::Plugin.eq(plugin.as_str()))
        .filter(configuration::Column::Revision.eq(revision))
        .filter(configuration::Column::Values.eq(before.clone()))
        .exec(transaction)
        .await
        .map_err(failed(action))?;
    let kept = configuration_revision::Entity::update_many()
        .col_expr(configuration_revision::Column::Values, Expr::val(after))
        .filter(configuration_revision::Column::Plugin.eq(plugin.as_str()))
        .filter(configuration_revision::Column::Revision.eq(revision))
        .filter(configuration_revision::Column::Values.eq(before))
        .exec(transaction)
        .await
        .map_err(failed(action))?;
    Ok(present.rows_affected + kept.rows_affected)
}
