//! Runs. They outlive their plugin.

use outrigger_contract::code::TABLE;
use outrigger_contract::{Code, Digest, FunctionName, PluginName};
use outrigger_engine::store::{RunRecord, StoreError};
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

/// The row of a record, in the order of [`Column`]. Not an [`ActiveModel`]: every call leaves a row, and to ask each value
/// whether it is set costs as much as to insert it.
pub(crate) fn row(record: &RunRecord) -> impl IntoIterator<Item = Value> + use<> {
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
    let values: [Value; 13] = [
        id.as_str().into(),
        correlation.to_string().into(),
        plugin.as_str().into(),
        function.as_str().into(),
        digest.as_ref().map(Digest::to_string).into(),
        caller.as_str().into(),
        columns::from_time(*started_at).into(),
        columns::from_count(*duration_us).into(),
        code.map(Code::as_str).into(),
        columns::from_cache(*cache).into(),
        i64::from(*attempts).into(),
        message.as_deref().into(),
        message.as_deref().and_then(columns::folded).into(),
    ];
    values
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
