//! Statistics, a number a row, so that adding to one is a single upsert.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "statistics")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub plugin: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub function: String,
    /// [`COUNTER`] or [`LATENCY`].
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: i64,
    /// The counter's name, or the bucket's upper bound in microseconds. Text, because a bound may need all 64 bits.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub value: i64,
}

/// The row is a counter.
pub(crate) const COUNTER: i64 = 0;
/// The row is a bucket of latencies.
pub(crate) const LATENCY: i64 = 1;

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
