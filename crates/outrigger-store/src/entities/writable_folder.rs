//! Folders that a grant ever let a plugin write to.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "writable_folders")]
pub struct Model {
    /// Resolved, ending in `/`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub folder: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
