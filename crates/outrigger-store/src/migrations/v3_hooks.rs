//! Hooks and subscriptions.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, Table};

use super::Change;
use crate::entities::{hook, subscription};

pub(super) fn changes() -> Vec<Change> {
    let text = |name: &'static str| ColumnDef::new(name).text().not_null().take();
    let hooks = Table::create()
        .table(hook::Entity.table_ref())
        .col(text("name").primary_key())
        .col(ColumnDef::new("plugin").text())
        .col(text("hook"))
        .take();
    let subscriptions = Table::create()
        .table(subscription::Entity.table_ref())
        .col(text("id").primary_key())
        .col(text("plugin"))
        .col(text("source"))
        .col(text("subscription"))
        .take();
    [hooks, subscriptions].into_iter().map(|table| Change::Table(Box::new(table))).collect()
}
