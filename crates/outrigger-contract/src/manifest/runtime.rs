//! How a plugin runs: the kind of runtime, the entry, and how long an instance lives.

use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{shorten, text_serde};

/// The part `[runtime]` of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RuntimeSection {
    pub kind: RuntimeKind,
    /// The file that is run, inside the package.
    pub entry: PackagePath,
    pub instances: InstancePolicy,
}

/// The runtime of the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RuntimeKind {
    /// A WebAssembly component.
    Wasm,
}

impl RuntimeKind {
    /// Kinds that are designed but that this version cannot run.
    pub(super) const NOT_YET: [&str; 4] = ["process", "container", "remote", "native"];
}

impl fmt::Display for RuntimeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Wasm => "wasm",
        })
    }
}

/// How long an instance of a plugin lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum InstancePolicy {
    /// A new one for each call: nothing is left over from the call before.
    #[default]
    Fresh,
    /// Some are kept and used again, which is quicker; what a call leaves in memory, the next one finds.
    Warm {
        /// Instances kept at most.
        #[serde(default = "InstancePolicy::default_instances")]
        max_instances: NonZeroU32,
        /// Calls after which an instance is replaced.
        #[serde(default = "InstancePolicy::default_calls")]
        max_calls: NonZeroU32,
    },
}

impl InstancePolicy {
    pub const MAX_INSTANCES: u32 = 1_000;
    pub const MAX_CALLS: u32 = 1_000_000_000;

    pub(crate) fn default_instances() -> NonZeroU32 {
        NonZeroU32::new(4).expect("4 is not zero")
    }

    pub(super) fn default_calls() -> NonZeroU32 {
        NonZeroU32::new(1_000).expect("1000 is not zero")
    }
}

/// The path of a file inside a package: relative, with `/` between its parts, and never leading out of the package,
/// whatever the operating system makes of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackagePath(String);

text_serde!(PackagePath, {
    "type": "string",
    "pattern": r"^(?!/)(?![A-Za-z]:)(?!.*(^|/)\.{0,2}(/|$))[^\\\u0000-\u001f\u007f-\u009f]+$",
    "maxLength": 512,
    "description": "A relative path inside the package, with `/` between its parts.",
    "examples": ["hetzner_cloud.wasm"],
});

/// Why a text is not the path of a file inside a package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackagePathError {
    #[error("the path is empty")]
    Empty,
    #[error("the path `{path}` is absolute")]
    Absolute { path: String },
    #[error("the path `{path}` has a `{part}` in it")]
    Part { path: String, part: &'static str },
    #[error("the path `{path}` is too long: at most {max} bytes, and 255 for each part")]
    TooLong { path: String, max: usize },
}

impl PackagePath {
    /// The longest path, in bytes.
    pub const MAX: usize = 512;

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The parts between the slashes; at least one.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

impl FromStr for PackagePath {
    type Err = PackagePathError;

    fn from_str(text: &str) -> Result<Self, PackagePathError> {
        let path = || shorten(text);
        if text.is_empty() {
            return Err(PackagePathError::Empty);
        }
        let drive = text.as_bytes().get(1) == Some(&b':') && text.as_bytes()[0].is_ascii_alphabetic();
        if text.starts_with(['/', '\\']) || drive {
            return Err(PackagePathError::Absolute { path: path() });
        }
        if text.contains('\\') {
            return Err(PackagePathError::Part { path: path(), part: "\\" });
        }
        if text.chars().any(char::is_control) {
            return Err(PackagePathError::Part { path: path(), part: "control character" });
        }
        if text.len() > Self::MAX || text.split('/').any(|part| part.len() > 255) {
            return Err(PackagePathError::TooLong { path: path(), max: Self::MAX });
        }
        let wrong = text.split('/').find_map(|part| match part {
            "" => Some("//"),
            "." => Some("."),
            ".." => Some(".."),
            _ => None,
        });
        match wrong {
            Some(_) if text.ends_with('/') => Err(PackagePathError::Part { path: path(), part: "/ at its end" }),
            Some(part) => Err(PackagePathError::Part { path: path(), part }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl AsRef<Path> for PackagePath {
    fn as_ref(&self) -> &Path {
        self.as_path()
    }
}

impl fmt::Display for PackagePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for PackagePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}
