//! The bytes of one file on their way out of a package, held to the size that was announced.

use std::io::{self, Read, Write};
use std::path::Path;

use outrigger_contract::Digest;
use sha2::{Digest as _, Sha256};

use super::error::{EntryFault, PackageError};
use crate::disk::{Careful, Leave};

/// The content of one file. It can be read once.
pub(super) struct Content<'a> {
    pub(super) reader: &'a mut dyn Read,
    /// As the package says; already checked against the limits.
    pub(super) size: u64,
    /// The package, for errors.
    pub(super) source: &'a Path,
    /// The file's name, for errors.
    pub(super) name: &'a str,
    /// Whether a fault of the reader is one of the archive, not of the disk.
    pub(super) archived: bool,
}

impl Content<'_> {
    /// Copies everything, and gives the digest of it.
    pub(super) fn copy_to(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Result<(), PackageError>,
    ) -> Result<Digest, PackageError> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut left = self.size;
        loop {
            let read = match self.reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(error)),
            };
            left = left.checked_sub(read as u64).ok_or_else(|| self.wrong_size())?;
            hasher.update(&buffer[..read]);
            write(&buffer[..read])?;
        }
        if left > 0 {
            return Err(self.wrong_size());
        }
        Ok(Digest::from_bytes(hasher.finalize().into()))
    }

    /// Copies everything into a writer that cannot fail.
    pub(super) fn read_all(&mut self) -> Result<Vec<u8>, PackageError> {
        let mut bytes = Vec::new();
        self.copy_to(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Copies everything into a file, while there is enough disk space.
    pub(super) fn write_to(&mut self, file: std::fs::File, path: &Path, leave: Leave) -> Result<Digest, PackageError> {
        let mut file = Careful::new(file, path.parent().unwrap_or(Path::new(".")), leave);
        self.copy_to(|piece| file.write_all(piece).map_err(|source| PackageError::from_io(path, "write", source)))
    }

    fn broken(&self, error: io::Error) -> PackageError {
        if self.archived {
            PackageError::archive(self.source, error)
        } else {
            PackageError::from_io(&self.source.join(self.name), "read", error)
        }
    }

    pub(super) fn wrong_size(&self) -> PackageError {
        PackageError::entry(self.source, self.name, EntryFault::WrongSize)
    }
}
