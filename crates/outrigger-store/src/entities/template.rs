//! Templates for plugins.

use outrigger_engine::store::{StoreError, TemplateMade, TemplateRecord, TemplateSummary};
use sea_orm::Set;
use sea_orm::entity::prelude::*;

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "templates")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Its revision.
    pub revision: i64,
    /// JSON: what lists show of it.
    pub summary: String,
    /// JSON, with the name and the summary once more: a template is read and written as a whole.
    pub template: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl ActiveModel {
    /// The row of a template, in this revision.
    pub(crate) fn of(record: &TemplateRecord, revision: u64) -> Result<Self, StoreError> {
        let record = TemplateRecord {
            made: TemplateMade { revision, ..record.made.clone() },
            template: record.template.clone(),
        };
        let name = &record.template.name;
        let what = format_args!("the template {name}");
        Ok(Self {
            name: Set(name.to_string()),
            revision: Set(columns::from_count(revision)),
            summary: Set(columns::from_document(what, &record.summary())?),
            template: Set(columns::from_document(what, &record)?),
        })
    }
}

impl TryFrom<Model> for TemplateRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model { name, revision: _, summary: _, template } = row;
        columns::to_document(format_args!("the template {name}"), &template)
    }
}

/// The summary for lists, from its columns.
pub(crate) fn summary((name, summary): (String, String)) -> Result<TemplateSummary, StoreError> {
    columns::to_document(format_args!("the template {name}"), &summary)
}
