//! A package that is a `.tar.gz`. It can only be read from front to back, so each entry is checked when it comes up,
//! and what lies between the files is bound too: a long name of 100 MiB is a bomb like any other.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

use super::content::Content;
use super::error::{EntryFault, PackageError};
use super::gate::Gate;
use super::limits::PackageLimits;
use super::meter::{Allowance, Metered};
use super::visit::Visit;
use crate::file::{self, Links};

/// The maximum size between two files: a header, a long name, extended attributes.
const BETWEEN: u64 = 128 * 1024;
/// The maximum size after the last file: a tar is padded to a whole record, often of 10 KiB.
const AFTER: u64 = 1024 * 1024;

type Reader = Metered<MultiGzDecoder<BufReader<File>>>;

pub(super) fn walk(source: &Path, limits: &PackageLimits, visitor: &mut dyn Visit) -> Result<(), PackageError> {
    let opened = file::open(source, Links::Follow);
    let file = opened.map_err(|error| PackageError::from_io(source, "read", error.into()))?;
    let length = file.metadata().map_err(|error| PackageError::from_io(source, "read", error))?.len();
    let mut gate = Gate::new(source, limits, Some(length));
    let allowance = Allowance::of(BETWEEN);
    let broken = |error: io::Error| PackageError::archive(source, error);
    let mut archive = Archive::new(Metered::new(MultiGzDecoder::new(BufReader::new(file)), &allowance));
    for entry in archive.entries().map_err(broken)? {
        visit(source, entry.map_err(broken)?, &allowance, &mut gate, visitor)?;
        allowance.renew(BETWEEN);
    }
    // The checksum stands at the very end; an archive that was cut off shows only there.
    allowance.renew(AFTER);
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    Ok(())
}

fn visit(
    source: &Path,
    mut entry: Entry<'_, Reader>,
    allowance: &Allowance,
    gate: &mut Gate<'_>,
    visitor: &mut dyn Visit,
) -> Result<(), PackageError> {
    let lossy = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let Ok(name) = String::from_utf8(entry.path_bytes().into_owned()) else {
        return Err(gate.fault(&lossy, EntryFault::NotUnicode));
    };
    match entry.header().entry_type() {
        // Notes of the packer about the archive as a whole, as `git archive` writes them.
        EntryType::XGlobalHeader => gate.count()?,
        EntryType::Directory => gate.folder(&name)?,
        // Before there were types, a slash at the end told a folder.
        EntryType::Regular if name.ends_with('/') => gate.folder(&name)?,
        EntryType::Regular => {
            let size = entry.size();
            let path = gate.file(&name, size)?;
            allowance.lift();
            let mut content = Content { reader: &mut entry, size, source, name: &name, archived: true };
            visitor.file(path, &mut content)?;
        }
        EntryType::Symlink | EntryType::Link => return Err(gate.fault(&name, EntryFault::Link)),
        _ => return Err(gate.fault(&name, EntryFault::Special)),
    }
    // Data that the visitor did not read is skipped here, within the allowance.
    io::copy(&mut entry.by_ref(), &mut io::sink()).map_err(|error| PackageError::archive(source, error))?;
    Ok(())
}
