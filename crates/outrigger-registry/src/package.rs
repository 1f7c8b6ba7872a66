//! One package: a folder, a `.zip` or a `.tar.gz` with `plugin.toml` and the entry that it names.
//!
//! A package is untrusted, so every name, size and count is checked before the bytes behind it are read. Reading stops
//! at the first fault, and unpacked files are removed. The same files have the same digest in any kind of package.

mod component;
mod content;
mod digest;
mod error;
mod folder;
mod gate;
mod limits;
mod meter;
mod pack;
mod tarball;
mod visit;
mod zipped;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use outrigger_contract::manifest::{self, Manifest};
use outrigger_contract::units::ByteSize;
use outrigger_contract::{Digest, PluginName};
use semver::Version;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

pub use component::check_component;
pub use digest::{PackageFile, package_digest};
pub use error::{EntryFault, PackageError};
pub use limits::PackageLimits;
pub use pack::pack;

pub(crate) use folder::list_folder;
pub(crate) use gate::Gate;

use visit::{Indexer, ManifestFinder, Visit};

use crate::disk::Leave;
use crate::file::{self, Links};

/// How a package is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    Folder,
    Zip,
    TarGz,
}

impl Shape {
    /// The shape that the name of an archive tells. `None` when it is not the name of an archive that can be read.
    #[must_use]
    pub fn of_archive(path: &Path) -> Option<Self> {
        let name = path.file_name().and_then(OsStr::to_str)?.to_ascii_lowercase();
        if name.ends_with(".zip") {
            Some(Self::Zip)
        } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            Some(Self::TarGz)
        } else {
            None
        }
    }
}

/// A package that is there and is of a shape that can be read. Nothing of it has been read yet.
#[derive(Clone, Debug)]
pub struct Package {
    path: PathBuf,
    shape: Shape,
    limits: PackageLimits,
    leave: Leave,
}

impl Package {
    /// Finds out what is at a path: a folder, a `.zip`, a `.tar.gz` or a `.tgz`.
    ///
    /// # Errors
    /// When nothing is there, when it is something else, or when the archive as such is too large.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, PackageError> {
        Self::open_within(path, PackageLimits::default())
    }

    /// Like [`Package::open`], with limits other than the usual ones.
    ///
    /// # Errors
    /// As [`Package::open`].
    pub fn open_within(path: impl Into<PathBuf>, limits: PackageLimits) -> Result<Self, PackageError> {
        let path = path.into();
        let metadata = fs::metadata(&path).map_err(|source| PackageError::from_io(&path, "read", source))?;
        if metadata.is_dir() {
            return Ok(Self { path, shape: Shape::Folder, limits, leave: Leave::Little });
        }
        let shape = Shape::of_archive(&path).filter(|_| metadata.is_file());
        let Some(shape) = shape else { return Err(PackageError::UnknownShape { path }) };
        if metadata.len() > limits.archive.as_u64() {
            let size = ByteSize::bytes(metadata.len());
            return Err(PackageError::ArchiveTooLarge { path, size, max: limits.archive });
        }
        Ok(Self { path, shape, limits, leave: Leave::Little })
    }

    /// The same package; unpacking it leaves this much disk space free, instead of [`Leave::Little`].
    #[must_use]
    pub fn leaving(self, leave: Leave) -> Self {
        Self { leave, ..self }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Reads the manifest alone; of an archive, nothing is unpacked.
    ///
    /// # Errors
    /// When there is none, when it is wrong, or when the archive is met with something that is refused on the way.
    pub fn manifest(&self) -> Result<Manifest, PackageError> {
        let text = match self.shape {
            Shape::Folder => self.manifest_in_folder()?,
            Shape::Zip | Shape::TarGz => {
                let mut finder = ManifestFinder::default();
                self.walk(&mut finder)?;
                finder.finish(&self.path)?
            }
        };
        self.parse(&text)
    }

    /// The digest of the files in it, the same whatever the shape.
    ///
    /// # Errors
    /// The package is refused.
    pub fn digest(&self) -> Result<Digest, PackageError> {
        let mut indexer = Indexer::reading();
        self.walk(&mut indexer)?;
        let (_, files) = self.rooted(indexer.into_files())?;
        Ok(package_digest(&files))
    }

    /// Its contents, read and hashed in place. Nothing is unpacked.
    ///
    /// # Errors
    /// The package is refused.
    pub fn contents(&self) -> Result<PackageContents, PackageError> {
        let mut indexer = Indexer::reading();
        self.walk(&mut indexer)?;
        let (_, files) = self.rooted(indexer.into_files())?;
        Ok(PackageContents { manifest: self.manifest()?, digest: package_digest(&files), files })
    }

    /// Unpacks the package into a new folder below `staging_root` and checks all that can be checked without running
    /// it. When anything is wrong, or when the result is dropped, the folder is removed.
    ///
    /// # Errors
    /// The first thing that is wrong with the package, or a fault of the file system.
    pub fn stage(&self, staging_root: &Path) -> Result<StagedPackage, PackageError> {
        let io = |source| PackageError::from_io(staging_root, "create a folder in", source);
        fs::create_dir_all(staging_root).map_err(io)?;
        let directory = tempfile::Builder::new()
            .prefix("stage-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(staging_root)
            .map_err(io)?;
        let mut indexer = Indexer::writing(directory.path(), self.leave);
        self.walk(&mut indexer)?;
        let (prefix, files) = self.rooted(indexer.into_files())?;
        let root = directory.path().join(prefix);
        let manifest_text = read_manifest(&root)?;
        let manifest = self.parse(&manifest_text)?;
        self.check_entry(&root, &manifest, &files)?;
        let size = files.iter().map(|file| file.size).sum();
        let digest = package_digest(&files);
        tracing::debug!(path = %self.path.display(), %digest, files = files.len(), size, "package staged");
        Ok(StagedPackage { directory, root, manifest, manifest_text, digest, files, size })
    }

    fn walk(&self, visitor: &mut dyn Visit) -> Result<(), PackageError> {
        match self.shape {
            Shape::Folder => folder::walk(&self.path, &self.limits, visitor),
            Shape::Zip => zipped::walk(&self.path, &self.limits, visitor),
            Shape::TarGz => tarball::walk(&self.path, &self.limits, visitor),
        }
    }

    fn parse(&self, text: &str) -> Result<Manifest, PackageError> {
        Manifest::parse(text).map_err(|source| PackageError::Manifest { path: self.path.clone(), source })
    }

    fn manifest_in_folder(&self) -> Result<String, PackageError> {
        match read_manifest(&self.path) {
            Err(PackageError::NotFound { .. }) => {
                Err(PackageError::NoManifest { path: self.path.clone(), elsewhere: None })
            }
            other => other,
        }
    }

    /// The files as seen from the folder that holds the manifest, and that folder. In an archive it may be the one
    /// folder at the top, as archives of a folder are commonly made.
    fn rooted(&self, files: Vec<PackageFile>) -> Result<(String, Vec<PackageFile>), PackageError> {
        let at_root = |file: &PackageFile| file.path.as_str() == manifest::FILE_NAME;
        if files.iter().any(at_root) {
            return Ok((String::new(), files));
        }
        let top = match self.shape {
            Shape::Folder => None,
            Shape::Zip | Shape::TarGz => visit::only_folder(files.iter().map(|file| &file.path)),
        };
        let stripped: Option<Vec<_>> = top.as_deref().and_then(|top| {
            let inner = files.iter().map(|file| file.without_folder(top));
            inner.collect()
        });
        match (top, stripped) {
            (Some(top), Some(files)) if files.iter().any(at_root) => Ok((top, files)),
            _ => {
                let elsewhere = visit::manifest_elsewhere(files.iter().map(|file| &file.path));
                Err(PackageError::NoManifest { path: self.path.clone(), elsewhere })
            }
        }
    }

    fn check_entry(&self, root: &Path, manifest: &Manifest, files: &[PackageFile]) -> Result<(), PackageError> {
        let entry = &manifest.runtime.entry;
        if !files.iter().any(|file| file.path == *entry) {
            let wasm = files.iter().find(|file| file.path.as_str().ends_with(".wasm"));
            return Err(PackageError::NoEntry {
                path: self.path.clone(),
                entry: entry.clone(),
                instead: wasm.map(|file| file.path.clone()),
            });
        }
        check_component(&root.join(entry), &self.path, entry)
    }
}

/// The contents of a package.
#[derive(Clone, Debug)]
pub struct PackageContents {
    pub manifest: Manifest,
    /// The digest of all files. See [`package_digest`].
    pub digest: Digest,
    /// All files, sorted by path.
    pub files: Vec<PackageFile>,
}

/// Opens and stages in one go. See [`Package::open`] and [`Package::stage`].
///
/// # Errors
/// As these two.
pub fn stage(source: &Path, staging_root: &Path) -> Result<StagedPackage, PackageError> {
    Package::open(source)?.stage(staging_root)
}

/// A package that is unpacked and checked, in a folder that is removed with it unless it is persisted.
#[derive(Debug)]
pub struct StagedPackage {
    directory: TempDir,
    root: PathBuf,
    manifest: Manifest,
    manifest_text: String,
    digest: Digest,
    files: Vec<PackageFile>,
    size: u64,
}

impl StagedPackage {
    /// The folder that holds the manifest.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest as it stands in the package.
    #[must_use]
    pub fn manifest_text(&self) -> &str {
        &self.manifest_text
    }

    #[must_use]
    pub fn name(&self) -> &PluginName {
        &self.manifest.name
    }

    #[must_use]
    pub fn version(&self) -> &Version {
        &self.manifest.version
    }

    /// The digest of all files. See [`package_digest`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// All files, sorted by path.
    #[must_use]
    pub fn files(&self) -> &[PackageFile] {
        &self.files
    }

    /// The size of all files, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Moves the package to its final place, on the same file system, in one step: after a crash it is either there
    /// completely or not at all. What is already at the destination is left as it is, because a destination is
    /// named by the digest.
    ///
    /// # Errors
    /// A fault of the file system.
    pub fn persist(self, destination: &Path) -> Result<(), PackageError> {
        let Self { directory, root, files, .. } = self;
        for file in &files {
            sync(&root.join(&file.path))?;
        }
        let folders: BTreeSet<_> = files.iter().flat_map(|file| file.path.as_path().ancestors().skip(1)).collect();
        for folder in folders {
            sync(&root.join(folder))?;
        }
        let parent = destination.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(|source| PackageError::from_io(parent, "create", source))?;
        let moved = match fs::rename(&root, destination) {
            Ok(()) => sync(parent),
            // The process that created it may have failed before making it durable.
            Err(_) if destination.join(manifest::FILE_NAME).is_file() => sync(parent),
            Err(source) => Err(PackageError::from_io(destination, "move a package to", source)),
        };
        // Removes what is left of the staging folder: all of it when nothing was moved.
        drop(directory);
        moved
    }
}

fn sync(path: &Path) -> Result<(), PackageError> {
    let synced = fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|source| PackageError::from_io(path, "write", source))
}

/// Reads the manifest in a folder, but never more than one can have.
fn read_manifest(folder: &Path) -> Result<String, PackageError> {
    let path = folder.join(manifest::FILE_NAME);
    let opened = file::open(&path, Links::Refuse);
    let file = opened.map_err(|error| PackageError::of_file(folder, manifest::FILE_NAME, error))?;
    let mut bytes = Vec::new();
    let read = file.take(Manifest::MAX_LENGTH as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|source| PackageError::from_io(&path, "read", source))?;
    // The manifest reader reports invalid UTF-8 with its place.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
