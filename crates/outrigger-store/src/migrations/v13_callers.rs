//! The caller that fired an event hook.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, Table};

use super::Change;
use crate::entities::event;

pub(super) fn changes() -> Vec<Change> {
    let column = ColumnDef::new("caller").text().take();
    vec![Change::Column(Box::new(Table::alter().table(event::Entity.table_ref()).add_column(column).take()))]
}
