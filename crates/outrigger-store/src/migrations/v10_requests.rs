//! Requests that are done once; and when jobs have ended, by which they are dropped in the end.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, Index, Table};

use super::Change;
use crate::entities::{job, request};

pub(super) fn changes() -> Vec<Change> {
    let mut requests = Table::create();
    requests
        .table(request::Entity.table_ref())
        .col(bytes("place").primary_key())
        .col(bytes("body"))
        .col(integer("at"))
        .col(integer("ended"))
        .col(ColumnDef::new("answer").blob());
    let ended =
        Table::alter().table(job::Entity.table_ref()).add_column(ColumnDef::new("ended_at").big_integer()).take();
    let index = |name: &str, table: &'static str, columns: &[&'static str]| {
        let mut statement = Index::create().name(name).table(table).take();
        for column in columns {
            statement.col(*column);
        }
        Change::Index(Box::new(statement))
    };
    vec![
        Change::Table(Box::new(requests)),
        Change::Column(Box::new(ended)),
        index("requests_by_time", "requests", &["at"]),
        index("jobs_by_end", "jobs", &["ended_at"]),
        index("jobs_by_plugin", "jobs", &["plugin", "id"]),
    ]
}

fn integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

fn bytes(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).blob().not_null().take()
}
