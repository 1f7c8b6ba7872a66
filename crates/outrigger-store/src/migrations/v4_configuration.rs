//! The revisions of configurations.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, ForeignKey, ForeignKeyAction, Index, Table, TableCreateStatement};

use super::Change;
use crate::entities::configuration_revision;

pub(super) fn changes() -> Vec<Change> {
    vec![Change::Table(Box::new(configuration_revisions()))]
}

fn configuration_revisions() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(configuration_revision::Entity.table_ref())
        .col(text("plugin"))
        .col(integer("revision"))
        .col(integer("at"))
        .col(text("author"))
        .col(text("correlation"))
        .col(ColumnDef::new("restores").big_integer())
        .col(text("values"))
        .primary_key(Index::create().col("plugin").col("revision"))
        .foreign_key(
            ForeignKey::create()
                .from("configuration_revisions", "plugin")
                .to("plugins", "name")
                .on_delete(ForeignKeyAction::Cascade),
        );
    table
}

fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

fn integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}
