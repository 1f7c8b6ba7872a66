//! Files and folders. Paths are compared as text, part by part, so only the plain form of a path is accepted on
//! either side. A grant is pinned to the resolved path ([`FilePin`]), which is compared from then on.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::PermissionError;
use crate::name::shorten;

/// The access to a file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileAccess {
    /// Read and list.
    Read,
    /// Read, list, create, change and delete.
    Write,
}

impl fmt::Display for FileAccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// A file that may be read, or a folder that may be read or written with all below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct FileGrant {
    path: String,
    access: FileAccess,
    pin: Option<FilePin>,
}

/// The resolved path of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FilePin {
    /// The path with all symbolic links resolved; a folder's ends in `/`.
    pub real: String,
    /// The object at the path when the grant was approved; none if nothing existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<FileIdentity>,
}

/// Identifies a file or folder on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileIdentity {
    pub device: u64,
    pub inode: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    path: String,
    #[serde(default = "read")]
    access: FileAccess,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<FilePin>,
}

fn read() -> FileAccess {
    FileAccess::Read
}

impl FileGrant {
    /// Reads an entry. A path that ends in `/` is a folder; any other is a single file, which can only be read.
    ///
    /// # Errors
    /// When the path is not absolute and plain, or when a single file is to be written.
    pub fn new(path: &str, access: FileAccess) -> Result<Self, PermissionError> {
        if !path.starts_with('/') {
            return Err(PermissionError::RelativePath { path: shorten(path) });
        }
        if let Some(part) = unsafe_part(path) {
            return Err(PermissionError::UnsafePath { path: shorten(path), part });
        }
        if access == FileAccess::Write && !path.ends_with('/') {
            return Err(PermissionError::WriteToFile { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), access, pin: None })
    }

    /// The absolute path; a folder's ends in `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The resolved path; none in a manifest.
    #[must_use]
    pub fn pin(&self) -> Option<&FilePin> {
        self.pin.as_ref()
    }

    /// The same grant, pinned to a resolved path.
    #[must_use]
    pub fn pinned(self, pin: FilePin) -> Self {
        Self { pin: Some(pin), ..self }
    }

    /// The same grant as the manifest has it.
    #[must_use]
    pub fn unpinned(self) -> Self {
        Self { pin: None, ..self }
    }

    /// The resolved path if it is known, otherwise the path as written.
    #[must_use]
    pub fn real(&self) -> &str {
        self.pin.as_ref().map_or(&self.path, |pin| &pin.real)
    }

    #[must_use]
    pub fn access(&self) -> FileAccess {
        self.access
    }

    /// A folder with all below it, not a single file.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.path.ends_with('/')
    }

    /// Whether this absolute, plain path may be used in this way. A path with `.` or `..` in it never matches.
    #[must_use]
    pub fn matches(&self, path: &str, access: FileAccess) -> bool {
        access <= self.access && path.starts_with('/') && unsafe_part(path).is_none() && holds(&self.path, path)
    }

    /// Whether this grant includes everything that `other` allows. If `other` is pinned, its resolved path counts.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.access <= self.access
            && match &other.pin {
                Some(pin) => holds(self.real(), &pin.real),
                None => holds(&self.path, &other.path),
            }
    }

    /// Whether it lies in `outer` and allows less than it. Such a grant would have no effect.
    #[must_use]
    pub fn is_narrower_within(&self, outer: &Self) -> bool {
        self.access < outer.access && holds(outer.real(), self.real())
    }

    pub(super) fn describe(&self) -> String {
        let verb = match self.access {
            FileAccess::Read => "read",
            FileAccess::Write => "read and change",
        };
        let leads = match &self.pin {
            Some(pin) if pin.real != self.path => format!(" (resolves to {})", pin.real),
            _ => String::new(),
        };
        match (self.path.as_str(), self.is_folder()) {
            ("/", _) => format!("{verb} every file of this machine"),
            (path, true) => format!("{verb} the folder {path}{leads} and everything in it"),
            (path, false) => format!("{verb} the file {path}{leads}"),
        }
    }
}

/// Whether a path is `outer`, or lies in the folder `outer`.
fn holds(outer: &str, path: &str) -> bool {
    path == outer || outer.ends_with('/') && (path.starts_with(outer) || path == outer.trim_end_matches('/'))
}

/// The first thing in a path that would make its comparison as text unsafe.
fn unsafe_part(path: &str) -> Option<&'static str> {
    if path.chars().any(char::is_control) {
        return Some("control character");
    }
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() {
        // Only `/` itself is a folder without a name; `//` is not plain.
        return (path.len() > 1).then_some("//");
    }
    inner.split('/').find_map(|part| match part {
        "" => Some("//"),
        "." => Some("."),
        ".." => Some(".."),
        _ => None,
    })
}

impl TryFrom<Wire> for FileGrant {
    type Error = PermissionError;

    fn try_from(Wire { path, access, pin }: Wire) -> Result<Self, PermissionError> {
        Ok(Self { pin, ..Self::new(&path, access)? })
    }
}

impl From<FileGrant> for Wire {
    fn from(FileGrant { path, access, pin }: FileGrant) -> Self {
        Self { path, access, pin }
    }
}

impl JsonSchema for FileGrant {
    fn schema_name() -> Cow<'static, str> {
        "FileGrant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A file that may be read, or a folder that may be read or written.",
            "examples": [{ "path": "/etc/os-release", "access": "read" }, { "path": "/srv/data/", "access": "write" }],
            "type": "object",
            "properties": {
                "path": {
                    "type": "string",
                    "pattern": "^/",
                    "description": "Absolute path. With `/` at its end a folder with all below it, otherwise a single file.",
                },
                "access": {
                    "enum": ["read", "write"],
                    "default": "read",
                    "description": "`read`, or `write` for reading and changing (folders only).",
                },
            },
            "required": ["path"],
            "additionalProperties": false,
        })
    }
}
