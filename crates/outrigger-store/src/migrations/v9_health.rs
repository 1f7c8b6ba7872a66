//! The health of plugins.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, ForeignKey, ForeignKeyAction, Table};

use super::Change;
use crate::entities::health;

pub(super) fn changes() -> Vec<Change> {
    let text = |name: &'static str| ColumnDef::new(name).text().not_null().take();
    let table = Table::create()
        .table(health::Entity.table_ref())
        .col(text("plugin").primary_key())
        .col(text("health"))
        .foreign_key(
            ForeignKey::create().from("health", "plugin").to("plugins", "name").on_delete(ForeignKeyAction::Cascade),
        )
        .take();
    vec![Change::Table(Box::new(table))]
}
