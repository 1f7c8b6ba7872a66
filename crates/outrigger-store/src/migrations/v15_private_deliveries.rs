//! Whether a delivery could reach private networks at its last attempt.

use sea_orm::EntityName;
use sea_orm::sea_query::{ColumnDef, Table};

use super::Change;
use crate::entities::delivery;

/// It is not known of older deliveries, so all of them count as such.
pub(super) fn changes() -> Vec<Change> {
    let column = ColumnDef::new("private").big_integer().not_null().default(1).take();
    vec![Change::Column(Box::new(Table::alter().table(delivery::Entity.table_ref()).add_column(column).take()))]
}
