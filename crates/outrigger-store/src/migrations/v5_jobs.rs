//! Jobs and schedules.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, Index, Table, TableCreateStatement};

use super::Change;
use crate::entities::{job, schedule};

pub(super) fn changes() -> Vec<Change> {
    // Each ends in the id, so that what is oldest or newest is read from one end of it, and no more than asked for.
    let index = |name: &str, column: &'static str| {
        Change::Index(Box::new(Index::create().name(name).table("jobs").col(column).col("id").take()))
    };
    let indexes = [index("jobs_by_state", "state"), index("jobs_by_schedule", "schedule")];
    [jobs(), schedules()].into_iter().map(|table| Change::Table(Box::new(table))).chain(indexes).collect()
}

fn jobs() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(job::Entity.table_ref())
        .col(text("id").primary_key())
        .col(text("state"))
        .col(text("plugin"))
        .col(text("function"))
        .col(ColumnDef::new("schedule").text())
        .col(ColumnDef::new("concurrency_key").text())
        .col(integer("not_before"))
        .col(integer("generation"))
        .col(text("job"));
    table
}

fn schedules() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(schedule::Entity.table_ref())
        .col(text("name").primary_key())
        .col(integer("generation"))
        .col(text("schedule"));
    table
}

fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

fn integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}
