//! Log lines. They outlive their plugin.

use outrigger_contract::FunctionName;
use outrigger_engine::store::{LogRecord, StoreError};
use sea_orm::entity::prelude::*;
use sea_orm::{NotSet, Set};

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "logs")]
pub struct Model {
    /// Counts lines as they are appended; orders those of the same moment.
    #[sea_orm(primary_key)]
    pub sequence: i64,
    pub at: i64,
    pub plugin: String,
    pub function: Option<String>,
    pub correlation: String,
    /// See [`columns::from_level`].
    pub level: i64,
    pub message: String,
    /// See [`columns::folded`].
    pub message_folded: Option<String>,
    /// JSON: a list of pairs.
    pub fields: String,
    /// Its owner, and its size in bytes.
    pub owner: i64,
    pub size: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a record.
    pub(crate) fn of(record: &LogRecord, owner: i64) -> Result<Self, StoreError> {
        let LogRecord { at, plugin, function, correlation, level, message, fields } = record;
        Ok(Self {
            sequence: NotSet,
            at: Set(columns::from_time(*at)),
            plugin: Set(plugin.to_string()),
            function: Set(function.as_ref().map(FunctionName::to_string)),
            correlation: Set(correlation.to_string()),
            level: Set(columns::from_level(*level)),
            message: Set(message.clone()),
            message_folded: Set(columns::folded(message)),
            fields: Set(columns::from_document("the fields of a log line", fields)?),
            owner: Set(owner),
            size: Set(columns::from_count(record.size())),
        })
    }
}

impl TryFrom<Model> for LogRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            sequence,
            at,
            plugin,
            function,
            correlation,
            level,
            message,
            message_folded: _,
            fields,
            owner: _,
            size: _,
        } = row;
        let what = format_args!("the log line {sequence}");
        Ok(Self {
            at: columns::to_time(at),
            plugin: columns::parse(what, &plugin)?,
            function: function.map(|function| columns::parse(what, &function)).transpose()?,
            correlation: columns::parse(what, &correlation)?,
            level: columns::to_level(what, level)?,
            message,
            fields: columns::to_document(what, &fields)?,
        })
    }
}
