//! A package that is a `.zip`. Its table of contents is checked as a whole before the first byte is unpacked; the
//! sizes it announces are then held to while unpacking.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use outrigger_contract::manifest::PackagePath;
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config, ZipFile};
use zip::result::ZipError;

use super::content::Content;
use super::error::{EntryFault, PackageError};
use super::gate::Gate;
use super::limits::PackageLimits;
use super::meter::{Allowance, Metered};
use super::visit::Visit;
use crate::file::{self, Links};

/// The longest table of contents that is read: room for every entry that is allowed, with a name of 200 bytes and some
/// extra fields. The library keeps up to 15 bytes in memory for each byte of it: an extra field of four bytes takes 40.
const TABLE: u64 = 3 * 1024 * 1024;

type Archive = ZipArchive<Metered<BufReader<File>>>;

pub(super) fn walk(source: &Path, limits: &PackageLimits, visitor: &mut dyn Visit) -> Result<(), PackageError> {
    let opened = file::open(source, Links::Follow);
    let file = opened.map_err(|error| PackageError::from_io(source, "read", error.into()))?;
    let length = file.metadata().map_err(|error| PackageError::from_io(source, "read", error))?.len();
    let mut gate = Gate::new(source, limits, Some(length));
    let mut archive = open(source, file, &gate, limits)?;
    let files = list(source, &mut archive, &mut gate)?;
    for (index, path, size) in files {
        let mut file = archive.by_index(index).map_err(|error| PackageError::archive(source, error))?;
        let name = path.to_string();
        let mut content = Content { reader: &mut file, size, source, name: &name, archived: true };
        visitor.file(path, &mut content)?;
    }
    Ok(())
}

fn open(source: &Path, file: File, gate: &Gate<'_>, limits: &PackageLimits) -> Result<Archive, PackageError> {
    let allowance = Allowance::of(TABLE);
    let reader = Metered::new(BufReader::new(file), &allowance);
    // A program in front of the archive, which only a search would find, is nothing a package needs.
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(config, reader)
        .map_err(|error| if allowance.is_spent() { gate.too_many() } else { PackageError::archive(source, error) })?;
    allowance.lift();
    if archive.len() > limits.entries {
        return Err(gate.too_many());
    }
    if archive.has_duplicate_names() {
        return Err(PackageError::archive(source, "two entries have the same name"));
    }
    let overlapping = archive.has_overlapping_entries().map_err(|error| PackageError::archive(source, error))?;
    if overlapping {
        return Err(PackageError::archive(source, "two entries share the same bytes"));
    }
    Ok(archive)
}

/// All files: index in the archive, path, size.
fn list(
    source: &Path,
    archive: &mut Archive,
    gate: &mut Gate<'_>,
) -> Result<Vec<(usize, PackagePath, u64)>, PackageError> {
    let mut files = Vec::new();
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(|error| PackageError::archive(source, error))?;
        let name = name_of(&file).map_err(|lossy| gate.fault(&lossy, EntryFault::NotUnicode))?;
        refuse_special(&file).map_err(|fault| gate.fault(&name, fault))?;
        if file.is_dir() {
            gate.folder(&name)?;
        } else {
            files.push((index, gate.file(&name, file.size())?, file.size()));
        }
    }
    Ok(files)
}

fn name_of<R: std::io::Read>(file: &ZipFile<'_, R>) -> Result<String, String> {
    file.name()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_: ZipError| String::from_utf8_lossy(file.name_raw()).into_owned())
}

fn refuse_special<R: std::io::Read>(file: &ZipFile<'_, R>) -> Result<(), EntryFault> {
    const TYPE: u32 = 0o170_000;
    const REGULAR: u32 = 0o100_000;
    const FOLDER: u32 = 0o040_000;
    if file.encrypted() {
        return Err(EntryFault::Encrypted);
    }
    if file.is_symlink() {
        return Err(EntryFault::Link);
    }
    match file.unix_mode().map_or(0, |mode| mode & TYPE) {
        0 | REGULAR | FOLDER => Ok(()),
        _ => Err(EntryFault::Special),
    }
}
