//! Revisions: packages by digest.

use outrigger_engine::store::{RevisionRecord, RevisionSummary, StoreError};
use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, Set};

use crate::columns;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revisions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub digest: String,
    pub plugin: String,
    pub version: String,
    pub title: String,
    pub description: String,
    /// One a line.
    pub categories: String,
    pub functions: i64,
    pub installed_at: i64,
    pub source: String,
    /// JSON.
    pub manifest: String,
    /// JSON.
    pub inspection: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The columns of a summary.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Summary {
    pub digest: String,
    pub plugin: String,
    pub version: String,
    pub title: String,
    pub description: String,
    pub categories: String,
    pub functions: i64,
    pub installed_at: i64,
}

impl Summary {
    pub(crate) const COLUMNS: [Column; 8] = [
        Column::Digest,
        Column::Plugin,
        Column::Version,
        Column::Title,
        Column::Description,
        Column::Categories,
        Column::Functions,
        Column::InstalledAt,
    ];
}

impl TryFrom<Summary> for RevisionSummary {
    type Error = StoreError;

    fn try_from(row: Summary) -> Result<Self, StoreError> {
        let Summary { digest, plugin, version, title, description, categories, functions, installed_at } = row;
        let what = format_args!("the revision {digest} of the plugin {plugin}");
        Ok(Self {
            version: columns::parse(what, &version)?,
            title,
            description,
            categories: columns::to_lines(&categories),
            functions: columns::to_small_count(what, functions)?,
            installed_at: columns::to_time(installed_at),
            digest: columns::parse(what, &digest)?,
            plugin: columns::parse(what, &plugin)?,
        })
    }
}

impl ActiveModel {
    /// The row of a record.
    pub(crate) fn of(record: &RevisionRecord) -> Result<Self, StoreError> {
        let summary = record.summary();
        let RevisionSummary { digest, plugin, version, title, description, categories, functions, installed_at } =
            summary;
        let RevisionRecord { digest: _, manifest, inspection, source, installed_at: _ } = record;
        let what = format_args!("the revision {digest} of the plugin {plugin}");
        Ok(Self {
            version: Set(version.to_string()),
            title: Set(title),
            description: Set(description),
            categories: Set(categories.join("\n")),
            functions: Set(functions.into()),
            installed_at: Set(columns::from_time(installed_at)),
            source: Set(source.clone()),
            manifest: Set(columns::from_document(what, manifest)?),
            inspection: Set(columns::from_document(what, inspection)?),
            digest: Set(digest.to_string()),
            plugin: Set(plugin.to_string()),
        })
    }
}

impl TryFrom<Model> for RevisionRecord {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        // The fields of the summary are in the manifest and the inspection as well.
        let Model {
            digest,
            plugin,
            version: _,
            title: _,
            description: _,
            categories: _,
            functions: _,
            installed_at,
            source,
            manifest,
            inspection,
        } = row;
        let what = format_args!("the revision {digest} of the plugin {plugin}");
        Ok(Self {
            manifest: columns::to_document(what, &manifest)?,
            inspection: columns::to_document(what, &inspection)?,
            source,
            installed_at: columns::to_time(installed_at),
            digest: columns::parse(what, &digest)?,
        })
    }
}
