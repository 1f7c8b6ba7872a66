//! Environment variables, granted one name at a time.

use std::fmt;
use std::str::FromStr;

use super::PermissionError;
use crate::name::{shorten, text_serde};

/// The name of an environment variable: letters, digits and `_`, starting with no digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VariableName(String);

text_serde!(VariableName, {
    "type": "string",
    "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,254}$",
    "description": "The name of an environment variable.",
    "examples": ["LANG"],
});

impl VariableName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this entry is for the variable of that name. Case counts.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0 == name
    }

    pub(super) fn describe(&self) -> String {
        format!("read the environment variable {self}")
    }
}

impl FromStr for VariableName {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        let good = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good || text.is_empty() || text.len() > 255 || text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(PermissionError::Variable { value: shorten(text) });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
