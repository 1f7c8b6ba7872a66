//! The secrets of a webhook: its signing secret and the values of its headers, sealed together by the vault.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::WebhookRecord;
use crate::error::Failure;
use crate::vault::{self, Place, Vault};

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Hides a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.reveal())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// The secrets of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Secrets {
    pub(super) secret: SecretText,
    /// The one before it, with which is signed too until then, so that a receiver has time to learn the new one.
    pub(super) previous: Option<(SecretText, OffsetDateTime)>,
    pub(super) headers: BTreeMap<String, SecretText>,
}

impl Secrets {
    /// Seals them for a webhook.
    pub(super) fn seal(
        &self,
        vault: &dyn Vault,
        name: &outrigger_contract::WebhookName,
    ) -> Result<serde_json::Value, Failure> {
        let value = serde_json::to_value(self).map_err(|error| Failure::internal(error.to_string()))?;
        vault::seal(vault, Place::Webhook(name), &value)
    }

    /// Opens those of a webhook.
    pub(super) fn open(vault: &dyn Vault, webhook: &WebhookRecord) -> Result<Self, Failure> {
        let value = vault::open(vault, Place::Webhook(&webhook.name), &webhook.sealed)?;
        serde_json::from_value(value).map_err(|_| {
            let message = format!("the stored secret of the webhook `{}` is not valid", webhook.name);
            Failure::new(outrigger_contract::Code::SecretUnreadable, message)
        })
    }

    /// The current signing secret.
    pub(super) fn signing(&self, now: OffsetDateTime) -> impl Iterator<Item = &SecretText> {
        let previous = self.previous.as_ref().filter(move |(_, until)| now < *until).map(|(secret, _)| secret);
        std::iter::once(&self.secret).chain(previous)
    }
}
