//! The plugin's configuration. The host has validated it against the schema in the manifest and filled in the defaults.

use serde::de::DeserializeOwned;

use crate::bindings::imports::outrigger::plugin::configuration;

/// A value of the configuration is not of the type that the plugin asked for: the schema in `plugin.toml` allows more
/// than the code takes.
#[derive(Debug, thiserror::Error)]
#[error("configuration `{key}`: {reason}; correct the value, or narrow its schema in plugin.toml")]
pub struct ConfigurationError {
    /// The key that was asked for; `*` for the whole configuration.
    pub key: String,
    /// The problem, with its place in the value.
    pub reason: String,
}

/// The value at `key`, or none where it is not set and has no default.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, ConfigurationError> {
    configuration::get(key).map(|text| parse(key, &text)).transpose()
}

/// The whole configuration, as one struct with a field for each key.
pub fn all<T: DeserializeOwned>() -> Result<T, ConfigurationError> {
    parse("*", &configuration::all())
}

fn parse<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, ConfigurationError> {
    serde_json::from_str(text).map_err(|error| ConfigurationError { key: key.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn values_are_typed_and_errors_name_the_key() {
        assert_eq!(parse::<Vec<u8>>("ports", "[1,2]").expect("a list"), [1, 2]);
        let error = parse::<u8>("port", "\"x\"").expect_err("a string is no number").to_string();
        assert!(error.starts_with("configuration `port`: invalid type"), "{error}");
    }
}
