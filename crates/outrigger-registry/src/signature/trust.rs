//! Which keys are trusted, for which plugins, and whether a package needs one of them: `trust.toml`.
//!
//! ```toml
//! require = true           # refuse packages without a valid signature of a key below,
//! unsigned = ["local-*"]   # except of these plugins
//!
//! [[key]]
//! name = "platform-team"
//! public-key = """
//! -----BEGIN PUBLIC KEY-----
//! …
//! -----END PUBLIC KEY-----
//! """
//! plugins = ["acme-*"]     # all of them without it
//! revoked = false
//! ```
//!
//! Anything in it that is not understood refuses the whole of it. A word that is misspelt must not leave a door open.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, Pattern, PluginName};
use serde::Deserialize;

use super::key::{KeyError, PublicKey};
use crate::file::{self, FileError, Links};

/// The most that is read of the file.
const LONGEST: ByteSize = ByteSize::mib(1);

/// The trust settings. By default, no key is trusted, and no package needs a signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    require: bool,
    unsigned: Vec<Pattern>,
    keys: Vec<TrustedKey>,
}

/// A key that is trusted, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    pub name: String,
    pub public: PublicKey,
    pub plugins: Vec<Pattern>,
    /// It is trusted no more, whatever it has signed and whenever.
    pub revoked: bool,
}

impl TrustedKey {
    /// Whether it speaks for this plugin.
    #[must_use]
    pub fn is_for(&self, plugin: &PluginName) -> bool {
        self.plugins.iter().any(|pattern| pattern.covers(plugin.as_str()))
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    require: bool,
    #[serde(default)]
    unsigned: Vec<Pattern>,
    #[serde(default)]
    key: Vec<WrittenKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenKey {
    name: String,
    public_key: String,
    #[serde(default)]
    plugins: Option<Vec<Pattern>>,
    #[serde(default)]
    revoked: bool,
}

impl Trust {
    /// Reads the file; where there is none, nothing is trusted and nothing required.
    ///
    /// # Errors
    /// It cannot be read, also as a link that leads nowhere; or something in it is wrong.
    pub fn read(path: &Path) -> Result<Self, TrustError> {
        // Not `file::read` alone: it reports a link that leads nowhere as a missing file.
        if let Err(error) = fs::symlink_metadata(path)
            && error.kind() == io::ErrorKind::NotFound
        {
            return Ok(Self::default());
        }
        let bytes = file::read(path, Links::Follow, LONGEST).map_err(|error| match error {
            FileError::TooLarge { .. } => TrustError::TooLong { path: path.to_owned() },
            error => TrustError::Io { path: path.to_owned(), source: error.into() },
        })?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse(path, text),
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(TrustError::Syntax { path: path.to_owned(), line, message: "it is not UTF-8".to_owned() })
            }
        }
    }

    /// Parses the contents of the file. The path is only for errors.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn parse(path: &Path, text: &str) -> Result<Self, TrustError> {
        let Written { require, unsigned, key } = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            TrustError::Syntax { path: path.to_owned(), line, message: error.message().to_owned() }
        })?;
        let keys = key.into_iter().map(|key| trusted(path, key)).collect::<Result<Vec<_>, _>>()?;
        check_distinct(path, &keys)?;
        Ok(Self { require, unsigned, keys })
    }

    /// The key that is called so in signatures, letter by letter.
    #[must_use]
    pub fn key(&self, id: &str) -> Option<&TrustedKey> {
        self.keys.iter().find(|key| key.public.id().to_string() == id)
    }

    #[must_use]
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// Whether packages need a signature at all.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.require
    }

    /// Whether packages of this plugin need a signature.
    #[must_use]
    pub fn is_required_of(&self, plugin: &PluginName) -> bool {
        self.require && !self.unsigned.iter().any(|pattern| pattern.covers(plugin.as_str()))
    }
}

fn trusted(path: &Path, key: WrittenKey) -> Result<TrustedKey, TrustError> {
    let WrittenKey { name, public_key, plugins, revoked } = key;
    if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
        return Err(TrustError::Name { path: path.to_owned() });
    }
    let public = match PublicKey::from_pem(&public_key) {
        Ok(public) => public,
        Err(source) => return Err(TrustError::Key { path: path.to_owned(), name, source }),
    };
    let all = || vec!["*".parse::<Pattern>().expect("it is a pattern")];
    Ok(TrustedKey { name, public, plugins: plugins.unwrap_or_else(all), revoked })
}

fn check_distinct(path: &Path, keys: &[TrustedKey]) -> Result<(), TrustError> {
    let (mut names, mut ids) = (BTreeSet::new(), BTreeMap::new());
    for TrustedKey { name, public, .. } in keys {
        let (path, name) = (path.to_owned(), name.clone());
        // One that is revoked under one name and trusted under another would be both.
        if let Some(other) = ids.insert(public.id(), name.clone()) {
            return Err(TrustError::SameKey { path, name, other });
        }
        if !names.insert(name.clone()) {
            return Err(TrustError::SameName { path, name });
        }
    }
    Ok(())
}

/// Why nobody can tell which keys are trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    #[error("{} cannot be read", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is longer than 1 MiB", path.display())]
    TooLong { path: PathBuf },
    #[error("{}, line {line}: {message}", path.display())]
    Syntax { path: PathBuf, line: usize, message: String },
    #[error("a key in {} has no name of 1 to 100 letters", path.display())]
    Name { path: PathBuf },
    #[error("the `public-key` of `{name}` in {} cannot be used", path.display())]
    Key { path: PathBuf, name: String, source: KeyError },
    #[error("two keys in {} are named `{name}`", path.display())]
    SameName { path: PathBuf, name: String },
    #[error("`{other}` and `{name}` in {} are the same key", path.display())]
    SameKey { path: PathBuf, name: String, other: String },
}

impl TrustError {
    /// The stable code of this error. It is never the package's fault, nor that of whoever sends one.
    #[must_use]
    pub fn code(&self) -> Code {
        Code::DataDirectory
    }

    /// A hint for the next step.
    #[must_use]
    pub fn hint(&self) -> String {
        let fix = match self {
            Self::Io { .. } => "make it a regular file that the user who runs Outrigger can read",
            Self::TooLong { .. } | Self::Syntax { .. } => "fix it; its keys are `require`, `unsigned` and `[[key]]`",
            Self::Name { .. } => "give each key a name that identifies its owner",
            Self::Key { source, .. } => source.hint(),
            Self::SameName { .. } => "give each key a different name",
            Self::SameKey { .. } => "remove one of them",
        };
        format!("{fix}; until then, installations and rollbacks are refused; installed plugins keep running")
    }
}
