//! Secrets at rest: what the engine asks of whoever holds the keys. The engine seals a secret before it reaches the store,
//! and opens it for the plugin it belongs to, and for nobody else.

use std::fmt::Debug;

use outrigger_contract::{Code, PluginName, WebhookName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::error::Failure;

/// Seals secrets and opens them again.
pub trait Vault: Debug + Send + Sync {
    /// The id of the key that secrets are sealed with now.
    ///
    /// # Errors
    /// There is no key.
    fn key(&self) -> Result<String, VaultError>;

    /// Seals a secret for one place.
    ///
    /// # Errors
    /// There is no key.
    fn seal(&self, place: Place<'_>, secret: &[u8]) -> Result<Sealed, VaultError>;

    /// Opens what was sealed for that place.
    ///
    /// # Errors
    /// The key is not at hand; it was changed, or sealed for another place.
    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, VaultError>;
}

/// Where a secret belongs. It is bound to it: elsewhere it does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The configuration of a plugin.
    Configuration {
        plugin: &'a PluginName,
        /// The key in the configuration.
        key: &'a str,
    },
    /// The signing secret of a webhook, and its headers.
    Webhook(&'a WebhookName),
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Configuration { plugin, key } => write!(f, "the secret `{key}` of the plugin `{plugin}`"),
            Self::Webhook(name) => write!(f, "the secret of the webhook `{name}`"),
        }
    }
}

/// A secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The id of the key that opens it.
    pub key: String,
    /// In base64.
    pub nonce: String,
    /// In base64, with the tag at its end.
    pub text: String,
}

/// Why a secret could not be sealed or opened. Never holds any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("it was encrypted with the key {key}, which is not available")]
    KeyMissing {
        /// The key's id.
        key: String,
    },
    #[error("it was changed, or moved from another place")]
    Refused,
    #[error("{0}")]
    Unusable(String),
}

impl VaultError {
    /// The hint for keys that are there and cannot be used.
    pub const HINT_UNUSABLE: &'static str = "correct the key that the message names, or restore it from a copy";

    /// The failure of an operation for this reason.
    pub(crate) fn failure(&self, what: &str) -> Failure {
        let failure = Failure::new(Code::SecretUnreadable, format!("{what}: {self}"));
        match self {
            Self::Unusable(_) => failure.with_hint(Self::HINT_UNUSABLE),
            // The general hint is to restore the key.
            Self::KeyMissing { .. } | Self::Refused => failure,
        }
    }
}

/// No keys at all: for an engine that has no secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoVault;

impl Vault for NoVault {
    fn key(&self) -> Result<String, VaultError> {
        Err(VaultError::Unusable("there is no key to encrypt it with".to_owned()))
    }

    fn seal(&self, _: Place<'_>, _: &[u8]) -> Result<Sealed, VaultError> {
        Err(VaultError::Unusable("there is no key to encrypt it with".to_owned()))
    }

    fn open(&self, _: Place<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        Err(VaultError::KeyMissing { key: sealed.key.clone() })
    }
}

/// The only member of a sealed value.
const SEALED: &str = "$sealed";
/// The only member of what is shown instead of a secret.
const SECRET: &str = "$secret";

/// The placeholder of a secret. Sending it back keeps the current secret.
#[must_use]
pub fn marker() -> Value {
    json!({ SECRET: "set" })
}

/// Whether this is what is shown instead of a secret.
pub(crate) fn is_marker(value: &Value) -> bool {
    only_member(value, SECRET).is_some_and(|value| value == "set")
}

/// Whether this is a secret as it is stored.
#[must_use]
pub fn is_sealed(value: &Value) -> bool {
    only_member(value, SEALED).is_some()
}

fn only_member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object().filter(|members| members.len() == 1)?.get(name)
}

/// Seals a value.
pub(crate) fn seal(vault: &dyn Vault, place: Place<'_>, value: &Value) -> Result<Value, Failure> {
    let text = Zeroizing::new(value.to_string());
    let sealed = vault.seal(place, text.as_bytes()).map_err(|error| unreadable(place, "encrypted", &error))?;
    Ok(json!({ SEALED: sealed }))
}

/// Opens a sealed value. Another one is as it is: it was set before its key became a secret.
pub(crate) fn open(vault: &dyn Vault, place: Place<'_>, value: &Value) -> Result<Value, Failure> {
    let Some(sealed) = only_member(value, SEALED) else { return Ok(value.clone()) };
    let opened = Sealed::deserialize(sealed).map_err(|_| VaultError::Refused);
    let opened = opened.and_then(|sealed| vault.open(place, &sealed));
    let opened = opened.and_then(|text| serde_json::from_slice(&text).map_err(|_| VaultError::Refused));
    opened.map_err(|error| unreadable(place, "decrypted", &error))
}

/// The id of the key that a value is sealed with.
pub(crate) fn key_of(value: &Value) -> Option<&str> {
    only_member(value, SEALED)?.get("key")?.as_str()
}

fn unreadable(place: Place<'_>, what: &str, error: &VaultError) -> Failure {
    error.failure(&format!("{place} cannot be {what}"))
}

/// The values with what is secret hidden: what the schema calls so, and whatever is sealed.
pub(crate) fn hide(values: &Map<String, Value>, is_secret: impl Fn(&str) -> bool) -> Map<String, Value> {
    let hidden = |(key, value): (&String, &Value)| {
        let value = if is_secret(key) || is_sealed(value) { marker() } else { value.clone() };
        (key.clone(), value)
    };
    values.iter().map(hidden).collect()
}
