//! Templates for new plugins.

use std::collections::BTreeMap;

use outrigger_contract::manifest::PackagePath;
use outrigger_contract::{TemplateName, TemplateVariable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A template, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateSummary {
    pub name: TemplateName,
    pub description: String,
    /// The runtime of the plugin, such as `wasm`.
    pub runtime: String,
    /// The programming language, such as `rust`.
    pub language: String,
    pub variables: Vec<TemplateVariable>,
    /// The paths of its files.
    pub files: Vec<PackagePath>,
    /// Of all files together, in bytes.
    pub size: u64,
    /// It is built in and cannot be changed.
    pub built_in: bool,
    /// When and by whom it was created and changed; none for a built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<TemplateMade>,
}

/// A template with its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateInfo {
    pub name: TemplateName,
    pub description: String,
    /// The runtime of the plugin, such as `wasm`.
    pub runtime: String,
    /// The programming language, such as `rust`.
    pub language: String,
    pub variables: Vec<TemplateVariable>,
    /// Path in the new project → text with placeholders.
    pub files: BTreeMap<PackagePath, String>,
    /// It is built in and cannot be changed.
    pub built_in: bool,
    /// When and by whom it was created and changed; none for a built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<TemplateMade>,
}

impl TemplateInfo {
    /// Counts changes, from 1; 0 for a built-in one.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.made.as_ref().map_or(0, |made| made.revision)
    }
}

/// When and by whom a template was created and changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateMade {
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: OffsetDateTime,
    pub created_by: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub updated_at: OffsetDateTime,
    pub updated_by: String,
    /// Counts changes, from 1.
    pub revision: u64,
}

/// The files of a new plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenderedTemplate {
    /// The template that was rendered.
    pub template: TemplateName,
    /// Path → text.
    pub files: BTreeMap<PackagePath, String>,
}
