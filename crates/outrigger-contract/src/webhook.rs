//! Webhooks: what they are called. An address outside that is told of events.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::name::{shorten, text_serde};

/// The name of a webhook: 1 to 64 lower-case letters, digits, `-` and `_`, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookName(Arc<str>);

text_serde!(WebhookName, {
    "type": "string",
    "pattern": r"^[a-z][a-z0-9_-]{0,63}$",
    "description": "1 to 64 lower-case letters, digits, `-` and `_`, beginning with a letter.",
    "examples": ["ops-chat"],
});

/// A text that is not the name of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid webhook name: write 1 to 64 lower-case letters, digits, `-` and `_`, starting with a letter", shorten(.text))]
pub struct WebhookNameError {
    pub text: String,
}

impl WebhookName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebhookName {
    type Err = WebhookNameError;

    fn from_str(text: &str) -> Result<Self, WebhookNameError> {
        let sound = text.len() <= 64
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
        match sound {
            true => Ok(Self(text.into())),
            false => Err(WebhookNameError { text: text.chars().take(80).collect() }),
        }
    }
}

impl fmt::Display for WebhookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
