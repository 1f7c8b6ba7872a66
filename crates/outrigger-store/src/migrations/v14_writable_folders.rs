//! Folders that plugins could write to, kept after their grants.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, Table};

use super::Change;
use crate::entities::writable_folder;

/// Adds the folders of existing grants, with the JSON functions of SQLite.
const FILLED: &str = "INSERT OR IGNORE INTO writable_folders (folder) \
    SELECT coalesce(json_extract(file.value, '$.pin.real'), json_extract(file.value, '$.path')) \
    FROM grants, json_each(grants.permissions, '$.files') AS file \
    WHERE json_extract(file.value, '$.access') = 'write'";

pub(super) fn changes() -> Vec<Change> {
    let mut table = Table::create();
    table
        .table(writable_folder::Entity.table_ref())
        .col(ColumnDef::new("folder").text().not_null().primary_key().take());
    vec![Change::Table(Box::new(table)), Change::Sql(FILLED)]
}
