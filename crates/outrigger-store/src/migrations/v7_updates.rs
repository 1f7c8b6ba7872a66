//! Predecessors of updates, and the number of writes to each state.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, ForeignKey, ForeignKeyAction, Index, Table, TableCreateStatement};

use super::Change;
use crate::entities::{plugin, predecessor, predecessor_state};

pub(super) fn changes() -> Vec<Change> {
    let writes = Table::alter().table(plugin::Entity.table_ref()).add_column(integer("state_writes").default(0)).take();
    let tables = [predecessors(), predecessor_states()].into_iter().map(|table| Change::Table(Box::new(table)));
    std::iter::once(Change::Column(Box::new(writes))).chain(tables).collect()
}

fn predecessors() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(predecessor::Entity.table_ref())
        .col(text("plugin").primary_key())
        .col(text("digest"))
        .col(integer("configuration"))
        .col(integer("state_kept"))
        .col(integer("writes"))
        .col(integer("replaced_at"))
        .foreign_key(
            ForeignKey::create()
                .from("predecessors", "plugin")
                .to("plugins", "name")
                .on_delete(ForeignKeyAction::Cascade),
        );
    table
}

fn predecessor_states() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(predecessor_state::Entity.table_ref())
        .col(text("plugin"))
        .col(ColumnDef::new("key").blob().not_null())
        .col(integer("size"))
        .col(ColumnDef::new("value").blob().not_null())
        .primary_key(Index::create().col("plugin").col("key"))
        .foreign_key(
            ForeignKey::create()
                .from("predecessor_state", "plugin")
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
