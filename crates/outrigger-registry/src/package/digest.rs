//! The digest of a package: of its files, not of the archive they came in. How a packer compresses, in which order it
//! writes and what times it notes must not matter, or a folder and its archive would be two different plugins.

use outrigger_contract::Digest;
use outrigger_contract::manifest::PackagePath;
use serde::Serialize;

/// One file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageFile {
    /// As seen from the folder that holds the manifest.
    pub path: PackagePath,
    /// In bytes.
    pub size: u64,
    pub sha256: Digest,
}

impl PackageFile {
    /// The same file as seen from this folder; `None` when it is not in it.
    pub(super) fn without_folder(&self, folder: &str) -> Option<Self> {
        let inner = self.path.as_str().strip_prefix(folder)?.strip_prefix('/')?;
        Some(Self { path: inner.parse().ok()?, size: self.size, sha256: self.sha256 })
    }
}

/// The digest of a package: SHA-256 over one line for each file, sorted by the bytes of its path, with the file's own
/// SHA-256 in hexadecimal, its size and its path, after a first line that names this format.
#[must_use]
pub fn package_digest(files: &[PackageFile]) -> Digest {
    let mut sorted: Vec<_> = files.iter().collect();
    sorted.sort_by(|left, right| left.path.cmp(&right.path));
    let mut listing = String::from("outrigger package 1\n");
    for PackageFile { path, size, sha256 } in sorted {
        // A path has no control characters, so a line cannot be forged with a newline.
        listing.push_str(&format!("{} {size} {path}\n", sha256.hex()));
    }
    Digest::of(listing.as_bytes())
}
