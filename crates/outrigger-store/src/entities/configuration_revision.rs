//! Earlier configurations, by plugin and revision.

use outrigger_contract::PluginName;
use outrigger_engine::store::{ConfigurationRevision, StoreError};
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "configuration_revisions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub plugin: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    pub at: i64,
    pub author: String,
    pub correlation: String,
    pub restores: Option<i64>,
    /// JSON.
    pub values: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a revision.
    pub(crate) fn of(plugin: &PluginName, record: &ConfigurationRevision) -> Result<Self, StoreError> {
        let ConfigurationRevision { revision, at, author, correlation, restores, values } = record;
        let what = format_args!("the configuration of the plugin {plugin}");
        Ok(Self {
            plugin: Set(plugin.to_string()),
            revision: Set(columns::from_count(*revision)),
            at: Set(columns::from_time(*at)),
            author: Set(author.clone()),
            correlation: Set(correlation.to_string()),
            restores: Set(restores.map(columns::from_count)),
            values: Set(columns::from_document(what, values)?),
        })
    }
}

impl TryFrom<Model> for ConfigurationRevision {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { plugin, revision, at, author, correlation, restores, values } = row;
        let what = format!("revision {revision} of the configuration of the plugin {plugin}");
        Ok(Self {
            revision: columns::to_count(&what, revision)?,
            at: columns::to_time(at),
            author,
            correlation: columns::parse(&what, &correlation)?,
            restores: restores.map(|restores| columns::to_count(&what, restores)).transpose()?,
            values: columns::to_document(&what, &values)?,
        })
    }
}
