//! Names of plugins and functions. A value of these types is always a valid name, so nothing behind the parser has to
//! check again; a clone copies a pointer, because a name travels with every call.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Gives a type that is written as one string its serde and JSON Schema, by way of `Display` and `FromStr`.
macro_rules! text_serde {
    ($type:ident, $schema:tt) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = <$type as std::str::FromStr>::Err;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<String> for $type {
            type Error = <$type as std::str::FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    };
}
pub(crate) use text_serde;

/// Gives a name that is stored as one shared string its plain conversions.
macro_rules! shared_text {
    ($type:ident) => {
        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }
    };
}

/// The name of a plugin: lowercase letters, digits, `-` and `_`, starting with a letter, at most 64 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginName(Arc<str>);

/// The name of a function inside its plugin: letters, digits, `_`, `.` and `-`, at most 128 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionName(Arc<str>);

/// A function of a plugin, written `plugin.function`. A plugin's name has no dot, so the first one divides the two.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionRef {
    pub plugin: PluginName,
    pub function: FunctionName,
}

shared_text!(PluginName);
shared_text!(FunctionName);

text_serde!(PluginName, {
    "type": "string",
    "pattern": "^[a-z][a-z0-9_-]{0,63}$",
    "description": "Lowercase letters, digits, `-` and `_`, starting with a letter, at most 64 characters.",
    "examples": ["hetzner-cloud"],
});
text_serde!(FunctionName, {
    "type": "string",
    "pattern": "^[A-Za-z0-9_.-]{1,128}$",
    "description": "Letters, digits, `_`, `.` and `-`, at most 128 characters.",
    "examples": ["optimize-network"],
});
text_serde!(FunctionRef, {
    "type": "string",
    "pattern": r"^[a-z][a-z0-9_-]{0,63}\.[A-Za-z0-9_.-]{1,128}$",
    "description": "A function of a plugin, written `plugin.function`.",
    "examples": ["hetzner-cloud.optimize-network"],
});

impl PluginName {
    /// The longest name allowed, in characters.
    pub const MAX: usize = 64;
    /// Words that stand where a plugin's name would in the addresses of the REST API.
    pub const RESERVED: [&str; 8] = ["bulk", "inspect", "install", "list", "logs", "registry", "stats", "templates"];
}

impl FunctionName {
    /// The longest name allowed, in characters.
    pub const MAX: usize = 128;
}

impl FunctionRef {
    /// Joins the two parts of a reference.
    #[must_use]
    pub fn new(plugin: PluginName, function: FunctionName) -> Self {
        Self { plugin, function }
    }
}

impl FromStr for PluginName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check(text, NameKind::Plugin, Self::MAX, |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
        })?;
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(NameError::Start { value: text.to_owned() });
        }
        if Self::RESERVED.contains(&text) {
            return Err(NameError::Reserved { value: text.to_owned() });
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for FunctionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check(text, NameKind::Function, Self::MAX, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-')?;
        Ok(Self(text.into()))
    }
}

impl FromStr for FunctionRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (plugin, function) =
            text.split_once('.').ok_or_else(|| NameError::NotAReference { value: shorten(text) })?;
        Ok(Self { plugin: plugin.parse()?, function: function.parse()? })
    }
}

impl fmt::Display for FunctionRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.plugin, self.function)
    }
}

/// Which kind of name was being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    Plugin,
    Function,
}

impl NameKind {
    fn rule(self) -> &'static str {
        match self {
            Self::Plugin => "use lowercase letters, digits, `-` and `_`",
            Self::Function => "use letters, digits, `_`, `.` and `-`",
        }
    }
}

impl fmt::Display for NameKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Plugin => "plugin",
            Self::Function => "function",
        })
    }
}

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name of the {kind} is empty; {rule}", rule = kind.rule())]
    Empty { kind: NameKind },
    #[error("the {kind} name `{value}` has {length} characters; at most {max} are allowed")]
    TooLong { kind: NameKind, value: String, length: usize, max: usize },
    #[error("`{value}` is not a {kind} name because of the character `{shown}`; {rule}",
        shown = character.escape_debug(), rule = kind.rule())]
    Character { kind: NameKind, value: String, character: char },
    #[error("`{value}` cannot be a plugin name: the REST API reserves this word")]
    Reserved { value: String },
    #[error("`{value}` is not a plugin name: it must start with a lowercase letter")]
    Start { value: String },
    #[error("`{value}` does not name a function; write `plugin.function`, for example `pricing.quote`")]
    NotAReference { value: String },
}

fn check(text: &str, kind: NameKind, max: usize, allowed: impl Fn(char) -> bool) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if text.len() > max {
        return Err(NameError::TooLong { kind, value: shorten(text), length: text.chars().count(), max });
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(character) => Err(NameError::Character { kind, value: shorten(text), character }),
        None => Ok(()),
    }
}

/// Keeps a foreign text readable inside a message: one line, at most 40 characters.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_plugin(text: &str, expected: Result<&str, &str>) {
        let read = text.parse::<PluginName>();
        assert_eq!(read.as_ref().map(PluginName::as_str).map_err(ToString::to_string), expected.map_err(str::to_owned));
    }

    #[test]
    fn plugin_names() {
        check_plugin("pricing", Ok("pricing"));
        check_plugin("aws-s3_template2", Ok("aws-s3_template2"));
        check_plugin(&"a".repeat(64), Ok(&"a".repeat(64)));
        check_plugin("", Err("the name of the plugin is empty; use lowercase letters, digits, `-` and `_`"));
        check_plugin(
            "Pricing",
            Err(
                "`Pricing` is not a plugin name because of the character `P`; use lowercase letters, digits, `-` and `_`",
            ),
        );
        check_plugin(
            "a\nb",
            Err(
                r"`a\nb` is not a plugin name because of the character `\n`; use lowercase letters, digits, `-` and `_`",
            ),
        );
        check_plugin("9lives", Err("`9lives` is not a plugin name: it must start with a lowercase letter"));
        check_plugin("-x", Err("`-x` is not a plugin name: it must start with a lowercase letter"));
        check_plugin(
            &"a".repeat(65),
            Err(
                "the plugin name `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…` has 65 characters; at most 64 are allowed",
            ),
        );
    }

    #[test]
    fn words_of_the_rest_api_are_no_names_of_plugins() {
        for word in PluginName::RESERVED {
            let error = word.parse::<PluginName>().unwrap_err().to_string();
            assert!(error.contains("the REST API reserves this word"), "{error}");
        }
    }

    #[test]
    fn references_split_at_the_first_dot() {
        let read: FunctionRef = "iam.users.List_all-1".parse().unwrap();
        assert_eq!(read.plugin, "iam");
        assert_eq!(read.function, "users.List_all-1");
        assert_eq!(read.to_string(), "iam.users.List_all-1");
        let error = "pricing".parse::<FunctionRef>().unwrap_err().to_string();
        assert_eq!(error, "`pricing` does not name a function; write `plugin.function`, for example `pricing.quote`");
        assert_eq!("pricing.".parse::<FunctionRef>(), Err(NameError::Empty { kind: NameKind::Function }));
        assert_eq!(".quote".parse::<FunctionRef>(), Err(NameError::Empty { kind: NameKind::Plugin }));
    }

    #[test]
    fn names_are_strings_in_json() {
        let reference: FunctionRef = serde_json::from_str(r#""pricing.quote""#).unwrap();
        assert_eq!(serde_json::to_string(&reference).unwrap(), r#""pricing.quote""#);
        assert!(serde_json::from_str::<PluginName>(r#""NO""#).is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_keeps_the_text(text in ".{0,140}") {
            if let Ok(name) = text.parse::<PluginName>() {
                prop_assert_eq!(name.as_str(), text.as_str());
            }
            if let Ok(reference) = text.parse::<FunctionRef>() {
                prop_assert_eq!(reference.to_string(), text);
            }
        }

        #[test]
        fn every_well_formed_reference_is_read(text in "[a-z][a-z0-9_-]{0,63}\\.[A-Za-z0-9_.-]{1,128}") {
            prop_assume!(!PluginName::RESERVED.iter().any(|word| text.starts_with(&format!("{word}."))));
            prop_assert_eq!(text.parse::<FunctionRef>().unwrap().to_string(), text);
        }
    }
}
