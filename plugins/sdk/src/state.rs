//! Durable key-value state, private to the plugin. It outlives the instance, and an update of the plugin.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::imports::outrigger::plugin::state;

/// Why an operation on the state was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StateError {
    /// The key is empty, or longer than 256 bytes.
    #[error("the key cannot be used: {0}")]
    InvalidKey(String),
    /// The value, or the state as a whole, is over the plugin's limit.
    #[error("the value is too large: {0}; raise `state` under [limits] in plugin.toml, or store less")]
    TooLarge(String),
    /// Another call changed the value since it was read.
    #[error("the value was changed by another call; read it again")]
    Changed,
    /// The host could not read or write the state.
    #[error("the state is unavailable: {0}")]
    Unavailable(String),
    /// The value cannot be written as JSON, or the stored bytes are not JSON of the type asked for.
    #[error("the value at `{key}` is not of the type asked for: {reason}")]
    Type {
        /// The key of the value.
        key: String,
        /// The problem.
        reason: String,
    },
}

impl From<state::Error> for StateError {
    fn from(error: state::Error) -> StateError {
        match error {
            state::Error::InvalidKey(reason) => StateError::InvalidKey(reason),
            state::Error::TooLarge(reason) => StateError::TooLarge(reason),
            state::Error::Changed => StateError::Changed,
            state::Error::Unavailable(reason) => StateError::Unavailable(reason),
        }
    }
}

/// The bytes at `key`, if there are any.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, StateError> {
    Ok(state::get(key)?)
}

/// Sets the bytes at `key`.
pub fn set(key: &str, value: &[u8]) -> Result<(), StateError> {
    Ok(state::set(key, value)?)
}

/// Sets the bytes at `key` only where they are still `expected` (`None`: where there are none yet). Otherwise the answer
/// is [`StateError::Changed`].
pub fn compare_and_set(key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<(), StateError> {
    Ok(state::compare_and_set(key, expected, value)?)
}

/// Removes the value at `key`. Removing a missing value succeeds.
pub fn delete(key: &str) -> Result<(), StateError> {
    Ok(state::delete(key)?)
}

/// The keys that begin with `prefix`, in order, at most `limit` of them.
pub fn keys(prefix: &str, limit: u32) -> Result<Vec<String>, StateError> {
    Ok(state::keys(prefix, limit)?)
}

/// The value at `key`, read as JSON.
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, StateError> {
    get(key)?.map(|bytes| serde_json::from_slice(&bytes).map_err(|error| mistyped(key, &error))).transpose()
}

/// Sets the value at `key`, written as JSON.
pub fn set_json<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), StateError> {
    set(key, &serde_json::to_vec(value).map_err(|error| mistyped(key, &error))?)
}

fn mistyped(key: &str, error: &serde_json::Error) -> StateError {
    StateError::Type { key: key.to_owned(), reason: error.to_string() }
}
