//! Templates for plugins, as they are kept. Built-in ones are not.

use async_trait::async_trait;
use outrigger_contract::manifest::PackagePath;
use outrigger_contract::{Template, TemplateName, TemplateVariable};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::StoreError;

/// Keeps templates.
#[async_trait]
pub trait TemplateStore: Send + Sync {
    /// All templates without what is in their files, by name.
    async fn template_list(&self) -> Result<Vec<TemplateSummary>, StoreError>;
    /// One template, whole.
    async fn template_fetch(&self, name: &TemplateName) -> Result<Option<TemplateRecord>, StoreError>;
    /// Writes a template over the revision that it carries, 0 for one that must not be there. Answers the new revision, or
    /// [`StoreError::Conflict`] where another is there.
    async fn template_put(&self, record: &TemplateRecord) -> Result<u64, StoreError>;
    /// Removes a template. Answers whether it was there.
    async fn template_delete(&self, name: &TemplateName) -> Result<bool, StoreError>;
}

/// A template, with who made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRecord {
    pub template: Template,
    pub made: TemplateMade,
}

/// A template without what is in its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSummary {
    pub name: TemplateName,
    pub description: String,
    pub runtime: String,
    pub language: String,
    pub variables: Vec<TemplateVariable>,
    /// In order.
    pub paths: Vec<PackagePath>,
    /// Of all files together, in bytes.
    pub size: u64,
    pub made: TemplateMade,
}

/// When and by whom a template was made and changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateMade {
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// For a person to read: `local`, `key ci`.
    pub created_by: String,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    pub updated_by: String,
    /// Counts changes, from 1.
    pub revision: u64,
}

impl TemplateRecord {
    /// The part that lists show.
    #[must_use]
    pub fn summary(&self) -> TemplateSummary {
        let Template { name, description, runtime, language, variables, files } = &self.template;
        TemplateSummary {
            name: name.clone(),
            description: description.clone(),
            runtime: runtime.clone(),
            language: language.clone(),
            variables: variables.clone(),
            paths: files.keys().cloned().collect(),
            size: self.template.size() as u64,
            made: self.made.clone(),
        }
    }
}
