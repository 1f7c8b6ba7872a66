//! Runs. They outlive their plugin.

use outrigger_contract::code::TABLE;
use outrigger_contract::{Code, Digest, FunctionName, PluginName};
use outrigger_engine::store::{RunRecord, RunSum, StoreError};
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
    /// Its owner, and its size in bytes.
    pub owner: i64,
    pub size: i64,
    /// How many calls the run counts.
    pub calls: i64,
    /// The maximum duration of a merged run; none for a single call.
    pub max_us: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The columns in which many runs agree.
pub(crate) const SHARED: [&str; 11] = [
    "plugin",
    "function",
    "digest",
    "caller",
    "code",
    "message",
    "message_folded",
    "cache",
    "attempts",
    "owner",
    "size",
];

/// The columns of merged runs; single runs use the database defaults.
pub(crate) const OF_SEVERAL: [&str; 2] = ["calls", "max_us"];

/// The columns in which every run differs from every other.
pub(crate) const OWN: [&str; 4] = ["id", "correlation", "started_at", "duration_us"];

/// The columns that many runs share; under load, nearly all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shared<'a> {
    plugin: &'a PluginName,
    function: &'a FunctionName,
    digest: Option<&'a Digest>,
    caller: &'a str,
    code: Option<&'static str>,
    message: Option<&'a str>,
    cache: &'static str,
    attempts: u32,
}

impl<'a> Shared<'a> {
    pub(crate) fn of(record: &'a RunRecord) -> Self {
        let RunRecord {
            id: _,
            correlation: _,
            started_at: _,
            duration_us: _,
            plugin,
            function,
            digest,
            caller,
            code,
            message,
            cache,
            attempts,
            sum: _,
        } = record;
        Self {
            plugin,
            function,
            digest: digest.as_ref(),
            caller,
            code: code.map(Code::as_str),
            message: message.as_deref(),
            cache: columns::from_cache(*cache),
            attempts: *attempts,
        }
    }

    /// In the order of [`SHARED`].
    pub(crate) fn values(self, owner: i64, size: u64) -> [Value; SHARED.len()] {
        let Self { plugin, function, digest, caller, code, message, cache, attempts } = self;
        [
            plugin.as_str().into(),
            function.as_str().into(),
            digest.map(Digest::to_string).into(),
            caller.into(),
            code.into(),
            message.into(),
            message.and_then(columns::folded).into(),
            cache.into(),
            i64::from(attempts).into(),
            owner.into(),
            columns::from_count(size).into(),
        ]
    }
}

/// The values in the order of [`OF_SEVERAL`].
pub(crate) fn several_values(record: &RunRecord) -> [Value; OF_SEVERAL.len()] {
    let max_us = record.sum.map(|sum| columns::from_count(sum.max_us));
    [columns::from_count(record.calls()).into(), max_us.into()]
}

/// In the order of [`OWN`].
pub(crate) fn own_values(record: &RunRecord) -> [Value; OWN.len()] {
    [
        record.id.to_string().into(),
        record.correlation.to_string().into(),
        columns::from_time(record.started_at).into(),
        columns::from_count(record.duration_us).into(),
    ]
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
            owner: _,
            size: _,
            calls,
            max_us,
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
            sum: max_us
                .map(|max_us| {
                    Ok(RunSum { calls: columns::to_count(what, calls)?, max_us: columns::to_count(what, max_us)? })
                })
                .transpose()?,
            id: columns::parse(what, &id)?,
        })
    }
}

/// The code of this name.
pub(crate) fn to_code(what: std::fmt::Arguments<'_>, name: &str) -> Result<Code, StoreError> {
    let row = TABLE.iter().find(|row| row.name == name);
    row.map(|row| row.code).ok_or_else(|| columns::corrupt(what, format_args!("there is no error code `{name}`")))
}
