//! Keys, roles, and the audit log.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, Index, Table, TableCreateStatement};

use super::Change;
use crate::entities::{audit, key, role};

pub(super) fn changes() -> Vec<Change> {
    let tables = [keys(), roles(), audit()];
    // Each ends in the sequence number, so that the newest records are read from the end of it, and no more than asked for.
    let index = |name: &str, column: &'static str| {
        Change::Index(Box::new(Index::create().name(name).table("audit").col(column).col("sequence").take()))
    };
    let indexes = [index("audit_by_correlation", "correlation"), index("audit_by_resource", "resource")];
    tables.into_iter().map(|table| Change::Table(Box::new(table))).chain(indexes).collect()
}

fn keys() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(key::Entity.table_ref())
        .col(text("id").primary_key())
        .col(text("name").unique_key())
        .col(bytes("hash"))
        .col(text("roles"))
        .col(ColumnDef::new("scope").text())
        .col(integer("created_at"))
        .col(text("created_by"))
        .col(ColumnDef::new("expires_at").big_integer())
        .col(ColumnDef::new("last_used_at").big_integer());
    table
}

fn roles() -> TableCreateStatement {
    let mut table = Table::create();
    table.table(role::Entity.table_ref()).col(text("name").primary_key()).col(text("role"));
    table
}

fn audit() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(audit::Entity.table_ref())
        .col(integer("sequence").primary_key())
        .col(integer("at"))
        .col(text("actor"))
        .col(ColumnDef::new("key").text())
        .col(text("action"))
        .col(text("resource"))
        .col(integer("allowed"))
        .col(text("correlation"))
        .col(bytes("hash"))
        .col(text("text"));
    table
}

fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

fn integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

fn bytes(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).blob().not_null().take()
}
