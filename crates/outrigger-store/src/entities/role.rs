//! Roles that a team made.

use outrigger_engine::access::Role;
use outrigger_engine::store::StoreError;
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "roles")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// JSON, with the name once more: a role is read and written as a whole.
    pub role: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a role.
    pub(crate) fn of(role: &Role) -> Result<Self, StoreError> {
        Ok(Self {
            name: Set(role.name.to_string()),
            role: Set(columns::from_document(format_args!("the role {}", role.name), role)?),
        })
    }
}

impl TryFrom<Model> for Role {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { name, role } = row;
        columns::to_document(format_args!("the role {name}"), &role)
    }
}
