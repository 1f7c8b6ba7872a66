//! The audit log. A record is its place, its text and its hash; the other columns repeat what lists are narrowed by. They are
//! only read back to be held against the text.

use outrigger_contract::Code;
use outrigger_engine::audit::{AuditEntry, AuditRecord, Hash, Head, KeptRecord, Part};
use outrigger_engine::store::{ROW_BYTES, StoreError};
use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, Set};

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub struct Model {
    /// Given by the chain, not by the database: there are no gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i64,
    pub at: i64,
    pub actor: String,
    pub key: Option<String>,
    pub action: String,
    pub resource: String,
    /// 1 or 0.
    pub allowed: i64,
    pub correlation: String,
    pub hash: Vec<u8>,
    pub text: String,
    /// Like [`Model::at`]; for a group, the time of its last item.
    pub until: i64,
    pub code: Option<String>,
    /// The owner of a refusal; 0 for a chained record, which is never pruned.
    pub owner: i64,
    /// Its size, in bytes.
    pub size: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of an entry in its place.
    pub(crate) fn of(entry: &AuditEntry, record: AuditRecord, owner: i64) -> Self {
        let AuditRecord { sequence, text, hash } = record;
        Self {
            sequence: Set(columns::from_count(sequence)),
            at: Set(columns::from_time(entry.at)),
            actor: Set(entry.actor.clone()),
            key: Set(entry.key.clone()),
            action: Set(entry.action.clone()),
            resource: Set(entry.resource.clone()),
            allowed: Set(entry.allowed.into()),
            correlation: Set(entry.correlation.to_string()),
            hash: Set(hash.as_bytes().to_vec()),
            until: Set(columns::from_time(entry.until.unwrap_or(entry.at))),
            code: Set(entry.code.map(|code| code.as_str().to_owned())),
            owner: Set(owner),
            size: Set(columns::from_count(size(&text))),
            text: Set(text),
        }
    }
}

/// The size of a record with its additional columns and parts, in bytes.
pub(crate) fn size(text: &str) -> u64 {
    ROW_BYTES + 2 * text.len() as u64
}

impl Model {
    /// The record, after comparing it with its additional columns and parts.
    pub(crate) fn held(self, mut parts: Vec<Part>) -> Result<KeptRecord, StoreError> {
        let Self {
            sequence,
            at,
            actor,
            key,
            action,
            resource,
            allowed,
            correlation,
            hash,
            text,
            until,
            code,
            owner,
            size: _,
        } = self;
        let record = AuditRecord::try_from(Record { sequence, hash, text })?;
        parts.sort();
        let differs = match record.entry() {
            // With a hash that is right it was never that of an entry.
            Err(_) => Some("text"),
            Ok(entry) => [
                ("at", at == columns::from_time(entry.at)),
                ("actor", actor == entry.actor),
                ("key", key == entry.key),
                ("action", action == entry.action),
                ("resource", resource == entry.resource),
                ("allowed", allowed == i64::from(entry.allowed)),
                ("correlation", correlation == entry.correlation.to_string()),
                ("until", until == columns::from_time(entry.until.unwrap_or(entry.at))),
                ("code", code.as_deref() == entry.code.map(Code::as_str)),
                ("owner", (owner > 0) == entry.prunable),
                (
                    "parts",
                    parts == {
                        let mut expected = entry.parts();
                        expected.sort();
                        expected
                    },
                ),
            ]
            .into_iter()
            .find_map(|(column, same)| (!same).then_some(column)),
        };
        Ok(KeptRecord { record, differs })
    }
}

/// The columns of a record.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Record {
    pub sequence: i64,
    pub hash: Vec<u8>,
    pub text: String,
}

impl Record {
    pub(crate) const COLUMNS: [Column; 3] = [Column::Sequence, Column::Hash, Column::Text];
}

impl TryFrom<Record> for AuditRecord {
    type Error = StoreError;

    fn try_from(row: Record) -> Result<Self, StoreError> {
        let Record { sequence, hash, text } = row;
        let Head { sequence, hash } = (End { sequence, hash }).try_into()?;
        Ok(Self { sequence, text, hash })
    }
}

/// The columns of a head.
#[derive(Clone, Debug, FromQueryResult)]
pub struct End {
    pub sequence: i64,
    pub hash: Vec<u8>,
}

impl End {
    pub(crate) const COLUMNS: [Column; 2] = [Column::Sequence, Column::Hash];
}

impl TryFrom<End> for Head {
    type Error = StoreError;

    fn try_from(row: End) -> Result<Self, StoreError> {
        let End { sequence, hash } = row;
        let what = format_args!("the audit record {sequence}");
        Ok(Self {
            sequence: columns::to_count(what, sequence)?,
            hash: Hash::from_bytes(columns::to_hash(what, &hash)?),
        })
    }
}
