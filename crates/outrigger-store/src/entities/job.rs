//! Jobs. They outlive their plugin.

use outrigger_engine::jobs::JobRecord;
use outrigger_engine::store::{ROW_BYTES, StoreError};
use sea_orm::entity::prelude::*;
use sea_orm::{NotSet, Set};

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub state: String,
    pub plugin: String,
    pub function: String,
    pub schedule: Option<String>,
    pub concurrency_key: Option<String>,
    /// The least number where it may begin at once.
    pub not_before: i64,
    pub generation: i64,
    /// JSON, with all of the above once more: a job is read and written as a whole. Its generation is the one above.
    pub job: String,
    /// None where it has not ended.
    pub ended_at: Option<i64>,
    /// Its owner, and its size in bytes.
    pub owner: i64,
    pub size: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a job, in this generation. Its owner is set when it is inserted.
    pub(crate) fn of(record: &JobRecord, generation: u64) -> Result<Self, StoreError> {
        let what = format_args!("the job {}", record.id);
        let job = columns::from_document(what, record)?;
        Ok(Self {
            owner: NotSet,
            size: Set(columns::from_count(ROW_BYTES + job.len() as u64)),
            id: Set(record.id.to_string()),
            state: Set(record.state.as_str().to_owned()),
            plugin: Set(record.task.function.plugin.to_string()),
            function: Set(record.task.function.function.to_string()),
            schedule: Set(record.schedule.clone()),
            concurrency_key: Set(record.task.concurrency_key.clone()),
            not_before: Set(record.not_before.map_or(i64::MIN, columns::from_time)),
            generation: Set(columns::from_count(generation)),
            job: Set(job),
            ended_at: Set(record.ended_at.filter(|_| record.state.has_ended()).map(columns::from_time)),
        })
    }
}

impl TryFrom<Model> for JobRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            id,
            state: _,
            plugin: _,
            function: _,
            schedule: _,
            concurrency_key: _,
            not_before: _,
            generation,
            job,
            ended_at: _,
            owner: _,
            size: _,
        } = row;
        let what = format_args!("the job {id}");
        let record: Self = columns::to_document(what, &job)?;
        Ok(Self { generation: columns::to_count(what, generation)?, ..record })
    }
}
