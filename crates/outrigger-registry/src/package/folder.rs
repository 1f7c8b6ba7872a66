//! A package that is a folder. All of it is looked at before any of it is read, so a file that is too large is refused
//! at once. Links are refused, because what they lead to is not part of the package.

use std::fs;
use std::path::{Path, PathBuf};

use outrigger_contract::manifest::PackagePath;

use super::content::Content;
use super::error::{EntryFault, PackageError};
use super::gate::Gate;
use super::limits::PackageLimits;
use super::visit::Visit;
use crate::file::{self, Links};

pub(super) fn walk(source: &Path, limits: &PackageLimits, visitor: &mut dyn Visit) -> Result<(), PackageError> {
    let mut gate = Gate::new(source, limits, None);
    for (path, size) in list(source, &mut gate)? {
        let full = source.join(&path);
        let name = path.to_string();
        // A listed file may have been replaced since.
        let opened = file::open(&full, Links::Refuse);
        let mut file = opened.map_err(|error| PackageError::of_file(source, &name, error))?;
        let mut content = Content { reader: &mut file, size, source, name: &name, archived: false };
        visitor.file(path, &mut content)?;
    }
    Ok(())
}

/// All files of a folder with their sizes, in the order of their names.
pub(crate) fn list_folder(source: &Path, limits: &PackageLimits) -> Result<Vec<(PackagePath, u64)>, PackageError> {
    list(source, &mut Gate::new(source, limits, None))
}

fn list(source: &Path, gate: &mut Gate<'_>) -> Result<Vec<(PackagePath, u64)>, PackageError> {
    let mut files = Vec::new();
    // Names relative to the source, the next one last.
    let mut waiting = vec![String::new()];
    while let Some(folder) = waiting.pop() {
        let mut names = Vec::new();
        let full: PathBuf = source.join(&folder);
        let io = |error| PackageError::from_io(&full, "read the folder", error);
        for entry in fs::read_dir(&full).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| gate.fault(&format!("{folder}{}", name.to_string_lossy()), EntryFault::NotUnicode))?;
            let name = format!("{folder}{name}");
            let metadata = fs::symlink_metadata(entry.path()).map_err(io)?;
            let kind = metadata.file_type();
            if kind.is_symlink() {
                return Err(gate.fault(&name, EntryFault::Link));
            }
            if kind.is_dir() {
                gate.folder(&name)?;
                names.push(format!("{name}/"));
            } else if kind.is_file() {
                files.push((gate.file(&name, metadata.len())?, metadata.len()));
            } else {
                return Err(gate.fault(&name, EntryFault::Special));
            }
        }
        waiting.extend(names);
    }
    files.sort();
    Ok(files)
}
