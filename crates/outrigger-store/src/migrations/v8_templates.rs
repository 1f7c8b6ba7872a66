//! Templates for plugins.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, Table};

use super::Change;
use crate::entities::template;

pub(super) fn changes() -> Vec<Change> {
    let text = |name: &'static str| ColumnDef::new(name).text().not_null().take();
    let templates = Table::create()
        .table(template::Entity.table_ref())
        .col(text("name").primary_key())
        .col(ColumnDef::new("revision").big_integer().not_null())
        .col(text("summary"))
        .col(text("template"))
        .take();
    vec![Change::Table(Box::new(templates))]
}
