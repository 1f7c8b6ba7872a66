//! Templates: files with placeholders, from which new plugins are made. What stands here is their shape; rendering them is
//! the registry's.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::manifest::PackagePath;
use crate::name::{PluginName, shorten, text_serde};
use crate::object;

/// The name of a template: lowercase letters, digits and `-`, starting with a letter, at most 64 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateName(Arc<str>);

text_serde!(TemplateName, {
    "type": "string",
    "pattern": "^[a-z][a-z0-9-]{0,63}$",
    "description": "Lowercase letters, digits and `-`, starting with a letter, at most 64 characters.",
    "examples": ["rust"],
});

/// Why a text is not the name of a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a valid template name: write 1 to 64 lowercase letters, digits and `-`, starting with a letter"
)]
pub struct TemplateNameError {
    /// The beginning of it.
    pub text: String,
}

impl TemplateName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TemplateName {
    type Err = TemplateNameError;

    fn from_str(text: &str) -> Result<Self, TemplateNameError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let sound = text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(allowed);
        match sound {
            true => Ok(Self(text.into())),
            false => Err(TemplateNameError { text: shorten(text) }),
        }
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for TemplateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// A template, as somebody makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    pub name: TemplateName,
    /// A description of the resulting plugin, in one line.
    #[schemars(length(min = 1, max = 500))]
    pub description: String,
    /// The runtime of the plugin, such as `wasm`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9+-]{0,31}$"))]
    pub runtime: String,
    /// The programming language, such as `rust`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9+-]{0,31}$"))]
    pub language: String,
    /// The variables besides `name`, `title`, `description` and `author`.
    #[serde(default, deserialize_with = "object::list", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub variables: Vec<TemplateVariable>,
    /// Path in the new project → text with placeholders.
    pub files: BTreeMap<PackagePath, String>,
}

impl Template {
    /// How many files it may have.
    pub const MAX_FILES: usize = 200;
    /// How long one file may be, in bytes.
    pub const MAX_FILE: usize = 256 << 10;
    /// How long all files together may be, in bytes.
    pub const MAX_TOTAL: usize = 1 << 20;
    /// How many variables it may have.
    pub const MAX_VARIABLES: usize = 50;
    /// How long a value may be, in characters.
    pub const MAX_VALUE: usize = 2_000;

    /// The length of all files together, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.files.values().map(String::len).sum()
    }
}

/// Something that whoever makes a plugin may say, besides what every template asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateVariable {
    /// Letters, digits and `_`.
    #[schemars(regex(pattern = r"^[a-z_][a-z0-9_]{0,63}$"))]
    pub name: String,
    /// A description of its purpose.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub description: String,
    /// The default value.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    pub default: String,
}

/// The values of the placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateValues {
    /// The new plugin's name.
    pub name: PluginName,
    /// Its title; made from the name where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub title: Option<String>,
    /// A description in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub description: Option<String>,
    /// The author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub author: Option<String>,
    /// Values of the template's own variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

impl TemplateValues {
    /// Only a name; the rest is as the template has it.
    #[must_use]
    pub fn new(name: PluginName) -> Self {
        Self { name, title: None, description: None, author: None, variables: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::TemplateName;

    #[test]
    fn names_of_templates() {
        for name in ["rust", "a", "my-team-2"] {
            assert_eq!(name.parse::<TemplateName>().expect(name).to_string(), name);
        }
        for wrong in ["", "Rust", "2nd", "-a", "a_b", "a/b", "..", &"a".repeat(65)] {
            let error = wrong.parse::<TemplateName>().expect_err(wrong).to_string();
            assert!(error.contains("is not a valid template name"), "{error}");
        }
    }
}
