//! Runs. They outlive their plugin.

use outrigger_contract::code::TABLE;
use outrigger_contract::{Code, Digest, FunctionName, PluginName};
use outrigger_engine::store::{RunRecord, StoreError};
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "runs")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub correlation: String,
    pub plugin: String,
    pub function: String,
    pub digest: Option<String>,
    pub caller: String,
    pub started_at: i64,
    pub duration_us: i64,
    pub code: Option<String>,
    pub cache: String,
    pub attempts: i64,
    pub message: Option<String>,
    /// See [`columns::folded`].
    pub message_folded: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a record.
    pub(crate) fn of(record: &RunRecord) -> Self {
        let RunRecord {
            id,
            correlation,
            plugin,
            function,
            digest,
            caller,
            started_at,
            duration_us,
            code,
            message,
            cache,
            attempts,
        } = record;
        Self {
            id: Set(id.clone()),
            correlation: Set(correlation.to_string()),
            plugin: Set(plugin.to_string()),
            function: Set(function.to_string()),
            digest: Set(digest.as_ref().map(Digest::to_string)),
            caller: Set(caller.clone()),
            started_at: Set(columns::from_time(*started_at)),
            duration_us: Set(columns::from_count(*duration_us)),
            code: Set(code.map(|code| code.as_str().to_owned())),
            cache: Set(columns::from_cache(*cache).to_owned()),
            attempts: Set((*attempts).into()),
            message: Set(message.clone()),
            message_folded: Set(message.as_deref().and_then(columns::folded)),
        }
    }
}

impl TryFrom<Model> for RunRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            id,
            correlation,
            plugin,
            function,
            digest,
            caller,
            started_at,
            duration_us,
            code,
            cache,
            attempts,
            message,
            message_folded: _,
        } = row;
        let what = format_args!("the run {id}");
        Ok(Self {
            correlation: columns::parse(what, &correlation)?,
            plugin: columns::parse::<PluginName>(what, &plugin)?,
            function: columns::parse::<FunctionName>(what, &function)?,
            digest: digest.map(|digest| columns::parse(what, &digest)).transpose()?,
            caller,
            started_at: columns::to_time(started_at),
            duration_us: columns::to_count(what, duration_us)?,
            code: code.map(|name| to_code(what, &name)).transpose()?,
            message,
            cache: columns::to_word(what, &cache)?,
            attempts: columns::to_small_count(what, attempts)?,
            id,
        })
    }
}

fn to_code(what: std::fmt::Arguments<'_>, name: &str) -> Result<Code, StoreError> {
    let row = TABLE.iter().find(|row| row.name == name);
    row.map(|row| row.code).ok_or_else(|| columns::corrupt(what, format_args!("there is no error code `{name}`")))
}
