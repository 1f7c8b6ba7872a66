//! The log of events, and webhooks with what is on its way to them.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, ForeignKey, ForeignKeyAction, Index, Table, TableCreateStatement};

use super::Change;
use crate::entities::{delivery, event, outbox, webhook};

pub(super) fn changes() -> Vec<Change> {
    let index = |name: &str, columns: [&'static str; 2]| {
        let [first, second] = columns;
        Change::Index(Box::new(Index::create().name(name).table("deliveries").col(first).col(second).take()))
    };
    let indexes = [
        // Of those that wait, those that wait longest come first.
        index("deliveries_by_state", ["state", "next_at"]),
        index("deliveries_by_webhook", ["webhook", "id"]),
    ];
    let tables = [events(), webhooks(), deliveries(), outbox()];
    tables.into_iter().map(|table| Change::Table(Box::new(table))).chain(indexes).collect()
}

fn events() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(event::Entity.table_ref())
        .col(text("id").primary_key())
        .col(integer("at"))
        .col(text("name"))
        .col(ColumnDef::new("plugin").text())
        .col(text("correlation"))
        .col(text("payload"));
    table
}

fn webhooks() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(webhook::Entity.table_ref())
        .col(text("name").primary_key())
        .col(integer("generation"))
        .col(text("webhook"));
    table
}

fn deliveries() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(delivery::Entity.table_ref())
        .col(text("id").primary_key())
        .col(text("webhook"))
        .col(ColumnDef::new("event").text())
        .col(text("name"))
        .col(text("state"))
        .col(integer("attempts"))
        .col(integer("next_at"))
        .col(ColumnDef::new("status").big_integer())
        .col(ColumnDef::new("error").text())
        .col(integer("created_at"))
        .col(ColumnDef::new("ended_at").big_integer())
        .col(text("body"))
        .foreign_key(
            ForeignKey::create()
                .from("deliveries", "webhook")
                .to("webhooks", "name")
                .on_delete(ForeignKeyAction::Cascade),
        );
    table
}

fn outbox() -> TableCreateStatement {
    let mut table = Table::create();
    table.table(outbox::Entity.table_ref()).col(integer("number").primary_key()).col(text("cursor"));
    table
}

fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

fn integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}
