//! Functions of other plugins.

use std::fmt;
use std::str::FromStr;

use super::PermissionError;
use crate::name::{FunctionName, PluginName, shorten, text_serde};

/// One function of a plugin (`pricing.quote`) or all of them (`team-directory.*`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionPattern {
    plugin: PluginName,
    function: Option<FunctionName>,
}

text_serde!(FunctionPattern, {
    "type": "string",
    "pattern": r"^[a-z][a-z0-9_-]{0,63}\.([A-Za-z0-9_.-]{1,128}|\*)$",
    "description": "One function of a plugin (`plugin.function`), or all of them (`plugin.*`).",
    "examples": ["pricing.quote", "team-directory.*"],
});

impl FunctionPattern {
    /// The plugin whose functions are meant.
    #[must_use]
    pub fn plugin(&self) -> &PluginName {
        &self.plugin
    }

    /// The one function that is meant, or `None` for all.
    #[must_use]
    pub fn function(&self) -> Option<&FunctionName> {
        self.function.as_ref()
    }

    #[must_use]
    pub fn matches(&self, plugin: &PluginName, function: &FunctionName) -> bool {
        self.plugin == *plugin && self.function.as_ref().is_none_or(|name| name == function)
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        self.plugin == other.plugin && (self.function.is_none() || self.function == other.function)
    }

    pub(super) fn describe(&self) -> String {
        match &self.function {
            Some(function) => format!("call the function {}.{function}", self.plugin),
            None => format!("call every function of the plugin {}", self.plugin),
        }
    }
}

impl FromStr for FunctionPattern {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        let unclear = || PermissionError::Function { value: shorten(text) };
        let (plugin, function) = text.split_once('.').ok_or_else(unclear)?;
        if plugin.contains('*') || (function.contains('*') && function != "*") {
            return Err(unclear());
        }
        let function = if function == "*" { None } else { Some(function.parse()?) };
        Ok(Self { plugin: plugin.parse()?, function })
    }
}

impl fmt::Display for FunctionPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => write!(formatter, "{}.{function}", self.plugin),
            None => write!(formatter, "{}.*", self.plugin),
        }
    }
}
