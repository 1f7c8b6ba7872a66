//! Packages that are sent to where the platform is.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use outrigger_contract::{Digest, PluginName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::ApiResult;

/// How an archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveKind {
    Zip,
    TarGz,
}

impl ArchiveKind {
    /// Its media type.
    #[must_use]
    pub const fn media(self) -> &'static str {
        match self {
            Self::Zip => "application/zip",
            Self::TarGz => "application/gzip",
        }
    }

    /// The end of the name of such a file.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::TarGz => "tar.gz",
        }
    }
}

/// The bytes of an archive, as they arrive.
pub type Content = Pin<Box<dyn Stream<Item = ApiResult<Bytes>> + Send>>;

/// A package on its way.
pub struct PackageUpload {
    pub kind: ArchiveKind,
    /// The announced number of bytes, if known.
    pub size: Option<u64>,
    /// The expected SHA-256 of the bytes, if known.
    pub digest: Option<Digest>,
    pub content: Content,
}

impl fmt::Debug for PackageUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, size, digest, content: _ } = self;
        f.debug_struct("PackageUpload").field("kind", kind).field("size", size).field("digest", digest).finish()
    }
}

/// An uploaded package, which is kept for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UploadedPackage {
    /// The digest of its files, by which it can be installed; independent of the archive format.
    pub package: Digest,
    pub name: PluginName,
    pub version: String,
    /// Bytes in all files.
    pub size: u64,
    pub files: u32,
    /// It is deleted then, or when the server restarts, unless it was installed.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub kept_until: OffsetDateTime,
}
