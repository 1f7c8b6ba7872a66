//! The health of plugins.

use async_trait::async_trait;
use outrigger_contract::PluginName;
use outrigger_engine::health::HealthRecord;
use outrigger_engine::store::{HealthStore, StoreError};
use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait, QueryOrder, SqlErr};

use crate::SqliteStore;
use crate::database::failed;
use crate::entities::health;

#[async_trait]
impl HealthStore for SqliteStore {
    async fn health_list(&self) -> Result<Vec<HealthRecord>, StoreError> {
        let query = health::Entity::find().order_by_asc(health::Column::Plugin);
        let rows = query.all(&self.database().read).await.map_err(failed("list the health of plugins"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    async fn health_fetch(&self, name: &PluginName) -> Result<Option<HealthRecord>, StoreError> {
        let query = health::Entity::find_by_id(name.as_str());
        let row = query.one(&self.database().read).await.map_err(failed("read the health of a plugin"))?;
        row.map(TryInto::try_into).transpose()
    }

    async fn health_put(&self, record: &HealthRecord) -> Result<(), StoreError> {
        const ACTION: &str = "write the health of a plugin";
        let replace = OnConflict::column(health::Column::Plugin).update_column(health::Column::Health).to_owned();
        let insert = health::Entity::insert(health::ActiveModel::of(record)?).on_conflict(replace);
        let transaction = self.database().begin(ACTION).await?;
        insert.exec_without_returning(&transaction).await.map_err(|error| match error.sql_err() {
            Some(SqlErr::ForeignKeyConstraintViolation(_)) => missing(&record.plugin),
            _ => failed(ACTION)(error),
        })?;
        transaction.commit().await.map_err(failed(ACTION))
    }
}

/// The error for a plugin that does not exist.
pub(crate) fn missing(name: &PluginName) -> StoreError {
    StoreError::Conflict { what: format!("the plugin {name}") }
}
