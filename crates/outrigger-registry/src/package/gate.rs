//! The checks of every entry before any of it is read, for all kinds of packages.

use std::collections::{HashMap, hash_map};
use std::path::Path;

use outrigger_contract::manifest::{PackagePath, PackagePathError};
use outrigger_contract::units::ByteSize;
use unicode_normalization::is_nfc;

use super::error::{EntryFault, PackageError};
use super::limits::PackageLimits;

/// Counts and compares the entries of one package.
#[derive(Debug)]
pub(crate) struct Gate<'a> {
    source: &'a Path,
    limits: &'a PackageLimits,
    /// The size of the archive; `None` for a folder.
    archive: Option<u64>,
    entries: usize,
    total: u64,
    seen: HashMap<String, Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    File,
    Folder,
}

impl<'a> Gate<'a> {
    pub(crate) fn new(source: &'a Path, limits: &'a PackageLimits, archive: Option<u64>) -> Self {
        Self { source, limits, archive, entries: 0, total: 0, seen: HashMap::new() }
    }

    /// Counts one more entry of any kind.
    pub(super) fn count(&mut self) -> Result<(), PackageError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(self.too_many());
        }
        Ok(())
    }

    pub(super) fn too_many(&self) -> PackageError {
        PackageError::TooManyEntries { path: self.source.to_owned(), max: self.limits.entries }
    }

    /// Admits a folder, by the name that the package gives it.
    pub(super) fn folder(&mut self, name: &str) -> Result<(), PackageError> {
        self.count()?;
        let plain = without_dots(name);
        let plain = plain.strip_suffix('/').unwrap_or(plain);
        if plain.is_empty() || plain == "." {
            return if name.starts_with('/') { Err(self.fault(name, EntryFault::Absolute)) } else { Ok(()) };
        }
        let path = self.plain(name, plain)?;
        self.remember(name, path.as_str(), Seen::Folder)
    }

    /// Admits a file, by the name and size that the package gives it.
    pub(crate) fn file(&mut self, name: &str, size: u64) -> Result<PackagePath, PackageError> {
        self.count()?;
        let path = self.plain(name, without_dots(name))?;
        self.remember(name, path.as_str(), Seen::File)?;
        if size > self.limits.file.as_u64() {
            let (entry, size) = (path.to_string(), ByteSize::bytes(size));
            return Err(PackageError::FileTooLarge {
                path: self.source.to_owned(),
                entry,
                size,
                max: self.limits.file,
            });
        }
        self.total = self.total.saturating_add(size);
        let bomb = |archive: u64| self.total > archive.saturating_mul(self.limits.ratio);
        if self.total > PackageLimits::RATIO_FROM.as_u64() && self.archive.is_some_and(bomb) {
            return Err(PackageError::Bomb { path: self.source.to_owned(), max: self.limits.ratio });
        }
        if self.total > self.limits.total.as_u64() {
            return Err(PackageError::TotalTooLarge { path: self.source.to_owned(), max: self.limits.total });
        }
        Ok(path)
    }

    pub(super) fn fault(&self, name: &str, fault: EntryFault) -> PackageError {
        PackageError::entry(self.source, name, fault)
    }

    fn plain(&self, name: &str, plain: &str) -> Result<PackagePath, PackageError> {
        let path = plain.parse::<PackagePath>().map_err(|error| {
            let fault = match error {
                PackagePathError::Absolute { .. } => EntryFault::Absolute,
                PackagePathError::TooLong { .. } => EntryFault::TooLong,
                PackagePathError::Part { part: "..", .. } => EntryFault::Parent,
                PackagePathError::Part { part: "\\", .. } => EntryFault::Backslash,
                PackagePathError::Part { part: "control character", .. } => EntryFault::ControlCharacter,
                PackagePathError::Empty | PackagePathError::Part { .. } => EntryFault::NotPlain,
            };
            self.fault(name, fault)
        })?;
        if !is_nfc(path.as_str()) {
            return Err(self.fault(name, EntryFault::NotComposed));
        }
        Ok(path)
    }

    /// Notes an entry and the folders above it. A folder may be named again; a file may not, nor may one path be both. Folders
    /// count although nothing but a file in them names them: once the package is unpacked, they are there.
    fn remember(&mut self, name: &str, path: &str, kind: Seen) -> Result<(), PackageError> {
        for (index, _) in path.match_indices('/') {
            if self.remember_one(name, &path[..index], Seen::Folder)? {
                self.count()?;
            }
        }
        // It was counted itself as it came.
        self.remember_one(name, path, kind).map(drop)
    }

    /// Answers whether it was not known yet.
    fn remember_one(&mut self, name: &str, path: &str, kind: Seen) -> Result<bool, PackageError> {
        match self.seen.entry(path.to_owned()) {
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(kind);
                Ok(true)
            }
            hash_map::Entry::Occupied(seen) if *seen.get() == Seen::Folder && kind == Seen::Folder => Ok(false),
            hash_map::Entry::Occupied(_) => Err(self.fault(name, EntryFault::Duplicate)),
        }
    }
}

/// `tar` writes `./` in front of every name when it is told to pack `.`.
fn without_dots(name: &str) -> &str {
    name.strip_prefix("./").unwrap_or(name)
}
