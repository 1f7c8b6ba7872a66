//! The signed statement: plugin and version of a package, and the digest of every file in it.

use std::collections::BTreeMap;

use outrigger_contract::excerpt::excerpt;
use outrigger_contract::manifest::{Manifest, PackagePath};
use outrigger_contract::{Digest, PluginName};
use semver::Version;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::SIGNATURE_FILE;
use crate::package::PackageFile;

/// The type of the payload. A payload of this type has exactly this form: unknown members are refused, because they may
/// be significant.
pub const PAYLOAD_TYPE: &str = "application/vnd.outrigger.package.v1+json";

/// The signed statement about a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement {
    pub(super) plugin: PluginName,
    pub(super) version: Version,
    /// By the clock of whoever signed it.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) signed_at: OffsetDateTime,
    /// Every file of the package but the signature itself.
    pub(super) files: BTreeMap<PackagePath, Digest>,
}

impl Statement {
    /// Creates the statement about a package.
    pub(super) fn of(manifest: &Manifest, files: &[PackageFile], signed_at: OffsetDateTime) -> Self {
        Self {
            plugin: manifest.name.clone(),
            version: manifest.version.clone(),
            signed_at: signed_at.replace_nanosecond(0).unwrap_or(signed_at),
            files: covered(files).map(|file| (file.path.clone(), file.sha256)).collect(),
        }
    }

    pub(super) fn read(payload: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(payload).map_err(|error| {
            format!(
                "the signed content is not a valid package statement (line {}, column {})",
                error.line(),
                error.column()
            )
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names, digests and a time can be written as JSON")
    }

    /// Whether the package is the one that this is said of; if it is not, the first difference.
    pub(super) fn check(&self, manifest: &Manifest, files: &[PackageFile]) -> Result<(), String> {
        let Self { plugin, version, signed_at: _, files: listed } = self;
        if (plugin, version) != (&manifest.name, &manifest.version) {
            return Err(format!(
                "the signature is for {plugin} {}, not for {} {}",
                excerpt(version.to_string()),
                manifest.name,
                manifest.version
            ));
        }
        let mut left: BTreeMap<&PackagePath, &Digest> = listed.iter().collect();
        for PackageFile { path, size: _, sha256 } in covered(files) {
            let found = left.remove(path);
            // File names are untrusted; they are escaped for terminals.
            let path = path.as_str().escape_debug();
            match found {
                None => return Err(format!("`{path}` was added after it was signed")),
                Some(signed) if signed != sha256 => return Err(format!("`{path}` was changed after it was signed")),
                Some(_) => {}
            }
        }
        match left.keys().next() {
            Some(path) => Err(format!("`{}` was signed, and is missing", path.as_str().escape_debug())),
            None => Ok(()),
        }
    }
}

/// The files that a signature covers.
fn covered(files: &[PackageFile]) -> impl Iterator<Item = &PackageFile> {
    files.iter().filter(|file| file.path.as_str() != SIGNATURE_FILE)
}
