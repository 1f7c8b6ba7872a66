//! The items of a group in the audit log, for filters. They are deleted with their record.

use outrigger_contract::Code;
use outrigger_engine::audit::{AuditEntry, Part};
use outrigger_engine::store::StoreError;
use sea_orm::entity::prelude::*;
use sea_orm::{NotSet, Set};

use crate::columns;
use crate::entities::run::to_code;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_parts")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The sequence of the record.
    pub sequence: i64,
    pub at: i64,
    pub until: i64,
    pub actor: String,
    pub key: Option<String>,
    pub action: String,
    pub resource: String,
    /// 1 or 0.
    pub allowed: i64,
    pub code: Option<String>,
    pub correlation: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The rows for the items of an entry.
    pub(crate) fn of(entry: &AuditEntry, sequence: u64) -> impl Iterator<Item = Self> {
        let (at, until) = (columns::from_time(entry.at), columns::from_time(entry.until.unwrap_or(entry.at)));
        entry.parts().into_iter().map(move |part| {
            let Part { actor, key, action, resource, allowed, code, correlation } = part;
            Self {
                id: NotSet,
                sequence: Set(columns::from_count(sequence)),
                at: Set(at),
                until: Set(until),
                actor: Set(actor),
                key: Set(key),
                action: Set(action),
                resource: Set(resource),
                allowed: Set(allowed.into()),
                code: Set(code.map(str::to_owned)),
                correlation: Set(correlation.map(|correlation| correlation.to_string())),
            }
        })
    }
}

impl TryFrom<Model> for Part {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { id: _, sequence, at: _, until: _, actor, key, action, resource, allowed, code, correlation } = row;
        let what = format_args!("the audit record {sequence}");
        let code = code.map(|code| to_code(what, &code)).transpose()?;
        let correlation = correlation.map(|correlation| columns::parse(what, &correlation)).transpose()?;
        Ok(Self { actor, key, action, resource, allowed: allowed != 0, code: code.map(Code::as_str), correlation })
    }
}
