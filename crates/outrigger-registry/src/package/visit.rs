//! Visitors for the files of a package: one unpacks and indexes them, one looks for the manifest.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use outrigger_contract::manifest::{FILE_NAME, Manifest, PackagePath};

use super::content::Content;
use super::digest::PackageFile;
use super::error::PackageError;
use crate::disk::Leave;

/// Is given each file of a package, in the order of the package. It need not read the content.
pub(super) trait Visit {
    fn file(&mut self, path: PackagePath, content: &mut Content<'_>) -> Result<(), PackageError>;
}

/// Lists the files with their digests and, when there is a folder for it, writes them.
#[derive(Debug)]
pub(super) struct Indexer {
    target: Option<PathBuf>,
    /// The disk space that stays free.
    leave: Leave,
    files: Vec<PackageFile>,
    folders: HashSet<PathBuf>,
}

impl Indexer {
    pub(super) fn reading() -> Self {
        Self { target: None, leave: Leave::Little, files: Vec::new(), folders: HashSet::new() }
    }

    pub(super) fn writing(target: &Path, leave: Leave) -> Self {
        Self { target: Some(target.to_owned()), leave, ..Self::reading() }
    }

    /// All files, sorted by path.
    pub(super) fn into_files(self) -> Vec<PackageFile> {
        let mut files = self.files;
        files.sort_by(|left, right| left.path.cmp(&right.path));
        files
    }

    fn create(&mut self, target: &Path) -> Result<File, PackageError> {
        if let Some(folder) = target.parent().filter(|folder| !self.folders.contains(*folder)) {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|source| PackageError::from_io(folder, "create", source))?;
            self.folders.insert(folder.to_owned());
        }
        // Never over something that is there: the gate has let every path through only once.
        let file = File::options().write(true).create_new(true).mode(0o600).open(target);
        file.map_err(|source| PackageError::from_io(target, "create", source))
    }
}

impl Visit for Indexer {
    fn file(&mut self, path: PackagePath, content: &mut Content<'_>) -> Result<(), PackageError> {
        let sha256 = match self.target.as_ref().map(|target| target.join(&path)) {
            Some(target) => content.write_to(self.create(&target)?, &target, self.leave)?,
            None => content.copy_to(|_| Ok(()))?,
        };
        self.files.push(PackageFile { path, size: content.size, sha256 });
        Ok(())
    }
}

/// Looks for the manifest, at the root or in the one folder at the top.
#[derive(Debug, Default)]
pub(super) struct ManifestFinder {
    at_root: Option<String>,
    below: Option<String>,
    paths: Vec<PackagePath>,
}

impl Visit for ManifestFinder {
    fn file(&mut self, path: PackagePath, content: &mut Content<'_>) -> Result<(), PackageError> {
        let folders = path.parts().count() - 1;
        if path.parts().next_back() == Some(FILE_NAME) && folders <= 1 {
            let text = if content.size > Manifest::MAX_LENGTH as u64 {
                // Enough of a text to be refused for its length.
                " ".repeat(Manifest::MAX_LENGTH + 1)
            } else {
                String::from_utf8_lossy(&content.read_all()?).into_owned()
            };
            let place = if folders == 0 { &mut self.at_root } else { &mut self.below };
            *place = Some(text);
        }
        self.paths.push(path);
        Ok(())
    }
}

impl ManifestFinder {
    /// The text of the manifest.
    pub(super) fn finish(self, source: &Path) -> Result<String, PackageError> {
        let Self { at_root, below, paths } = self;
        let only = || only_folder(paths.iter()).is_some();
        at_root.or_else(|| below.filter(|_| only())).ok_or_else(|| PackageError::NoManifest {
            path: source.to_owned(),
            elsewhere: manifest_elsewhere(paths.iter()),
        })
    }
}

/// The folder that all files are in, when there is one.
pub(super) fn only_folder<'a>(mut paths: impl Iterator<Item = &'a PackagePath>) -> Option<String> {
    let top = |path: &PackagePath| path.as_str().split_once('/').map(|(top, _)| top.to_owned());
    let first = top(paths.next()?)?;
    paths.all(|path| top(path).as_ref() == Some(&first)).then_some(first)
}

/// A manifest somewhere below, for a hint.
pub(super) fn manifest_elsewhere<'a>(paths: impl Iterator<Item = &'a PackagePath>) -> Option<String> {
    let found = paths.filter(|path| path.parts().next_back() == Some(FILE_NAME));
    found.min_by_key(|path| path.parts().count()).map(ToString::to_string)
}
