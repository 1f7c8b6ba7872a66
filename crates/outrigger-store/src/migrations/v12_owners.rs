//! Owners of records for fair retention, merged runs, and items of audit log groups for filters. Refusals can be
//! pruned.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, ForeignKey, ForeignKeyAction, Index, Table, TableCreateStatement};

use super::Change;
use crate::entities::audit_part;

/// Tables with owners, each with the column for the age of its records.
const OWNED: [(&str, &str); 7] = [
    ("runs", "started_at"),
    ("logs", "at"),
    ("events", "at"),
    ("jobs", "ended_at"),
    ("requests", "at"),
    ("deliveries", "ended_at"),
    ("audit", "sequence"),
];

/// Assigns owners to existing records.
const FILLED: [&str; 12] = [
    "UPDATE runs SET size = 400",
    "INSERT INTO owners (kind, account, source, records, bytes) SELECT 'runs', 'plugin ' || plugin, caller, count(*), \
     sum(size) FROM runs GROUP BY plugin, caller",
    "UPDATE runs SET owner = (SELECT id FROM owners WHERE kind = 'runs' AND account = 'plugin ' || plugin \
     AND source = caller)",
    "UPDATE logs SET size = 300 + length(message) + length(fields)",
    "INSERT INTO owners (kind, account, source, records, bytes) SELECT 'logs', 'plugin ' || plugin, \
     coalesce(\"function\", ''), count(*), sum(size) FROM logs GROUP BY plugin, \"function\"",
    "UPDATE logs SET owner = (SELECT id FROM owners WHERE kind = 'logs' AND account = 'plugin ' || plugin \
     AND source = coalesce(\"function\", ''))",
    "UPDATE events SET size = 300 + length(payload)",
    "INSERT INTO owners (kind, account, source, records, bytes) SELECT 'events', coalesce('plugin ' || plugin, 'system'), \
     name, count(*), sum(size) FROM events GROUP BY plugin, name",
    "UPDATE events SET owner = (SELECT id FROM owners WHERE kind = 'events' \
     AND account = coalesce('plugin ' || plugin, 'system') AND source = name)",
    "INSERT INTO owners (kind, account, source) VALUES ('jobs', 'before', ''), ('requests', 'before', ''), \
     ('deliveries', 'before', '')",
    "UPDATE jobs SET size = 300 + length(job), owner = (SELECT id FROM owners WHERE kind = 'jobs')",
    "UPDATE deliveries SET size = 300 + length(body), owner = (SELECT id FROM owners WHERE kind = 'deliveries')",
];

pub(super) fn changes() -> Vec<Change> {
    let mut changes = vec![Change::Table(Box::new(owners())), Change::Table(Box::new(audit_parts()))];
    changes.push(index("owners_by_name", "owners", &["kind", "account", "source"], true));
    let add = |table: &'static str, column: ColumnDef| {
        Change::Column(Box::new(Table::alter().table(table).add_column(column).take()))
    };
    for (table, _) in OWNED {
        changes.push(add(table, number("owner", 0)));
        changes.push(add(table, number("size", 0)));
    }
    changes.push(add("runs", number("calls", 1)));
    changes.push(add("runs", ColumnDef::new("max_us").big_integer().take()));
    changes.push(add("audit", number("until", 0)));
    changes.push(add("audit", ColumnDef::new("code").text().take()));
    changes.extend(FILLED.map(Change::Sql));
    changes
        .push(Change::Sql("UPDATE requests SET size = 300, owner = (SELECT id FROM owners WHERE kind = 'requests')"));
    changes.push(Change::Sql("UPDATE audit SET \"until\" = \"at\""));
    for (name, (table, at)) in NAMES.into_iter().zip(OWNED) {
        changes.push(index(name, table, &["owner", at, "size"], false));
    }
    changes.push(index("events_by_time", "events", &["at"], false));
    changes.push(index("audit_parts_by_record", "audit_parts", &["sequence"], false));
    changes.push(index("audit_parts_by_resource", "audit_parts", &["resource", "sequence"], false));
    changes.push(index("audit_parts_by_correlation", "audit_parts", &["correlation", "sequence"], false));
    changes
}

const NAMES: [&str; 7] = [
    "runs_by_owner",
    "logs_by_owner",
    "events_by_owner",
    "jobs_by_owner",
    "requests_by_owner",
    "deliveries_by_owner",
    "audit_by_owner",
];

fn index(name: &str, table: &'static str, columns: &[&'static str], unique: bool) -> Change {
    let mut statement = Index::create().name(name).table(table).take();
    for column in columns {
        statement.col(*column);
    }
    if unique {
        statement.unique();
    }
    Change::Index(Box::new(statement))
}

fn owners() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table("owners")
        .col(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
        .col(text("kind"))
        .col(text("account"))
        .col(text("source"))
        .col(number("records", 0))
        .col(number("bytes", 0))
        .col(number("dropped", 0));
    table
}

fn audit_parts() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(audit_part::Entity.table_ref())
        .col(ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key())
        .col(ColumnDef::new("sequence").big_integer().not_null())
        .col(ColumnDef::new("at").big_integer().not_null())
        .col(ColumnDef::new("until").big_integer().not_null())
        .col(text("actor"))
        .col(ColumnDef::new("key").text())
        .col(text("action"))
        .col(text("resource"))
        .col(ColumnDef::new("allowed").big_integer().not_null())
        .col(ColumnDef::new("code").text())
        .col(ColumnDef::new("correlation").text())
        .foreign_key(
            ForeignKey::create()
                .from("audit_parts", "sequence")
                .to("audit", "sequence")
                .on_delete(ForeignKeyAction::Cascade),
        );
    table
}

fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

fn number(name: &'static str, default: i64) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().default(default).take()
}
