//! Configuration, as it was set.

use outrigger_contract::PluginName;
use outrigger_engine::store::{ConfigurationRecord, StoreError};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Set};
use serde_json::{Map, Value};

use crate::columns;
use crate::database::{Database, failed};
use crate::entities::configuration;

pub(crate) async fn fetch(database: &Database, name: &PluginName) -> Result<Option<ConfigurationRecord>, StoreError> {
    let query = configuration::Entity::find_by_id(name.as_str());
    let row = query.one(&database.read).await.map_err(failed("read a configuration"))?;
    row.map(TryInto::try_into).transpose()
}

pub(crate) async fn put(
    database: &Database,
    name: &PluginName,
    values: &Map<String, Value>,
    expected: u64,
) -> Result<u64, StoreError> {
    const ACTION: &str = "write a configuration";
    let row = configuration::ActiveModel {
        plugin: Set(name.to_string()),
        revision: Set(columns::from_count(expected.saturating_add(1))),
        values: Set(columns::from_document(format_args!("the configuration of the plugin {name}"), values)?),
    };
    let conflict = || StoreError::Conflict { what: format!("the configuration of the plugin {name}") };
    let transaction = database.begin(ACTION).await?;
    if expected == 0 {
        let outcome = configuration::Entity::insert(row).exec_without_returning(&transaction).await;
        outcome.map_err(|error| match error.sql_err() {
            // It is there already, or the plugin is gone.
            Some(_) => conflict(),
            None => failed(ACTION)(error),
        })?;
    } else {
        let outcome = configuration::Entity::update_many()
            .set(row)
            .filter(configuration::Column::Plugin.eq(name.as_str()))
            .filter(configuration::Column::Revision.eq(columns::from_count(expected)))
            .exec(&transaction)
            .await
            .map_err(failed(ACTION))?;
        if outcome.rows_affected == 0 {
            return Err(conflict());
        }
    }
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(expected.saturating_add(1))
}
