//! The first schema.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, ForeignKey, ForeignKeyAction, Index, Table, TableCreateStatement};

use super::Change;
use crate::entities::{configuration, grant, log, plugin, revision, run, schema_version, state, statistic};

pub(super) fn changes() -> Vec<Change> {
    let tables = [plugins(), revisions(), grants(), configurations(), state(), runs(), logs(), statistics()];
    let index = |name: &str, table: &'static str, columns: &[&'static str]| {
        let mut statement = Index::create().name(name).table(table).take();
        for column in columns {
            statement.col(*column);
        }
        Change::Index(Box::new(statement))
    };
    let indexes = [
        index("revisions_by_plugin", "revisions", &["plugin", "installed_at"]),
        index("runs_by_plugin", "runs", &["plugin", "started_at"]),
        index("runs_by_time", "runs", &["started_at"]),
        index("runs_by_correlation", "runs", &["correlation"]),
        index("logs_by_plugin", "logs", &["plugin", "at"]),
        index("logs_by_time", "logs", &["at"]),
        index("logs_by_correlation", "logs", &["correlation"]),
    ];
    tables.into_iter().map(|table| Change::Table(Box::new(table))).chain(indexes).collect()
}

/// The table that all migrations are noted in; made before the first of them.
pub(super) fn schema_version() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(schema_version::Entity.table_ref())
        .col(integer("version").primary_key())
        .col(integer("applied_at"))
        .col(ColumnDef::new("checked_at").big_integer());
    table
}

fn plugins() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(plugin::Entity.table_ref())
        .col(text("name").primary_key())
        .col(text("active"))
        .col(text("state"))
        .col(ColumnDef::new("reason").text())
        .col(integer("installed_at"))
        .col(integer("updated_at"))
        .col(integer("generation"))
        .col(integer("state_bytes").default(0));
    table
}

fn revisions() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(revision::Entity.table_ref())
        .col(text("digest").primary_key())
        .col(text("plugin"))
        .col(text("version"))
        .col(text("title"))
        .col(text("description"))
        .col(text("categories"))
        .col(integer("functions"))
        .col(integer("installed_at"))
        .col(text("source"))
        .col(text("manifest"))
        .col(text("inspection"))
        .foreign_key(&mut of_plugin("revisions"));
    table
}

fn grants() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(grant::Entity.table_ref())
        .col(text("digest").primary_key())
        .col(text("granted_by"))
        .col(integer("granted_at"))
        .col(text("permissions"))
        .foreign_key(
            ForeignKey::create()
                .from("grants", "digest")
                .to("revisions", "digest")
                .on_delete(ForeignKeyAction::Cascade),
        );
    table
}

fn configurations() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(configuration::Entity.table_ref())
        .col(text("plugin").primary_key())
        .col(integer("revision"))
        .col(text("values"))
        .foreign_key(&mut of_plugin("configurations"));
    table
}

fn state() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(state::Entity.table_ref())
        .col(text("plugin"))
        .col(bytes("key"))
        .col(integer("size"))
        .col(bytes("value"))
        .primary_key(Index::create().col("plugin").col("key"))
        .foreign_key(&mut of_plugin("state"));
    table
}

fn runs() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(run::Entity.table_ref())
        .col(text("id").primary_key())
        .col(text("correlation"))
        .col(text("plugin"))
        .col(text("function"))
        .col(ColumnDef::new("digest").text())
        .col(text("caller"))
        .col(integer("started_at"))
        .col(integer("duration_us"))
        .col(ColumnDef::new("code").text())
        .col(text("cache"))
        .col(integer("attempts"))
        .col(ColumnDef::new("message").text())
        .col(ColumnDef::new("message_folded").text());
    table
}

fn logs() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(log::Entity.table_ref())
        .col(integer("sequence").auto_increment().primary_key())
        .col(integer("at"))
        .col(text("plugin"))
        .col(ColumnDef::new("function").text())
        .col(text("correlation"))
        .col(integer("level"))
        .col(text("message"))
        .col(ColumnDef::new("message_folded").text())
        .col(text("fields"));
    table
}

fn statistics() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(statistic::Entity.table_ref())
        .col(text("plugin"))
        .col(text("function"))
        .col(integer("kind"))
        .col(text("name"))
        .col(integer("value"))
        .primary_key(Index::create().col("plugin").col("function").col("kind").col("name"))
        .foreign_key(&mut of_plugin("statistics"));
    table
}

fn of_plugin(table: &'static str) -> sea_orm::sea_query::ForeignKeyCreateStatement {
    ForeignKey::create().from(table, "plugin").to("plugins", "name").on_delete(ForeignKeyAction::Cascade).take()
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
