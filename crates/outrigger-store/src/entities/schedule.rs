//! Schedules.

use outrigger_engine::jobs::ScheduleRecord;
use outrigger_engine::store::StoreError;
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "schedules")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub generation: i64,
    /// JSON, with the name once more: a schedule is read and written as a whole. Its generation is the one above.
    pub schedule: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a schedule, in this generation.
    pub(crate) fn of(record: &ScheduleRecord, generation: u64) -> Result<Self, StoreError> {
        Ok(Self {
            name: Set(record.name.clone()),
            generation: Set(columns::from_count(generation)),
            schedule: Set(columns::from_document(format_args!("the schedule {}", record.name), record)?),
        })
    }
}

impl TryFrom<Model> for ScheduleRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { name, generation, schedule } = row;
        let what = format_args!("the schedule {name}");
        let record: Self = columns::to_document(what, &schedule)?;
        Ok(Self { generation: columns::to_count(what, generation)?, ..record })
    }
}
