//! Requests that are done once, by a hash of who sent them, where to, and under which key.

use outrigger_engine::store::{ROW_BYTES, RequestProgress, RequestRecord, StoreError};
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "requests")]
pub struct Model {
    /// A SHA-256.
    #[sea_orm(primary_key, auto_increment = false)]
    pub place: Vec<u8>,
    /// A SHA-256.
    pub body: Vec<u8>,
    pub at: i64,
    /// 0 or 1.
    pub ended: i64,
    pub answer: Option<Vec<u8>>,
    /// Its owner, and its size in bytes.
    pub owner: i64,
    pub size: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a record.
    pub(crate) fn of(record: &RequestRecord, owner: i64) -> Self {
        let RequestRecord { place, body, at, owner: _, progress } = record;
        let (ended, answer) = match progress {
            RequestProgress::Begun => (0, None),
            RequestProgress::Ended(answer) => (1, answer.clone()),
        };
        Self {
            place: Set(place.to_vec()),
            body: Set(body.to_vec()),
            at: Set(columns::from_time(*at)),
            ended: Set(ended),
            owner: Set(owner),
            size: Set(columns::from_count(size(answer.as_deref()))),
            answer: Set(answer),
        }
    }
}

/// The size of a request with its answer, in bytes.
pub(crate) fn size(answer: Option<&[u8]>) -> u64 {
    ROW_BYTES + answer.map_or(0, <[u8]>::len) as u64
}

impl Model {
    /// The record; the sender is passed separately.
    pub(crate) fn record(self, owner: String) -> Result<RequestRecord, StoreError> {
        let Self { place, body, at, ended, answer, owner: _, size: _ } = self;
        let what = "a request";
        Ok(RequestRecord {
            owner,
            place: columns::to_hash(what, &place)?,
            body: columns::to_hash(what, &body)?,
            at: columns::to_time(at),
            progress: if ended == 0 { RequestProgress::Begun } else { RequestProgress::Ended(answer) },
        })
    }
}
