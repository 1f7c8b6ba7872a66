//! Disk space reserved for operations that must work on a full disk: the audit log, pruning, deletions, and a clean
//! shutdown.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// The name of the file beside the database.
const NAME: &str = "reserve";

/// Minimum size of a useful reserve, in bytes. The log grows to 4 MiB before it is written back into the database, and
/// that takes as much space again: it would use up a smaller reserve before essential records are written.
pub const LEAST_RESERVE: u64 = 8 << 20;

/// A file that occupies space until it is needed.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    pub(crate) fn new(folder: &Path, bytes: u64) -> Self {
        Self { path: folder.join(NAME), bytes }
    }

    /// Creates the reserve if it does not exist: completely, and only if enough space stays free.
    pub(crate) fn take(&self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|found| found.len() >= self.bytes) {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        if free_bytes(folder)? < self.wanted() {
            return Err(ErrorKind::StorageFull.into());
        }
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&self.path)?;
        let taken = fallocate(&file, FallocateFlags::empty(), 0, self.bytes).map_err(io::Error::from);
        if taken.is_err() {
            self.release();
        }
        taken
    }

    /// Its size.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The free space needed to create the reserve again. Without a margin, the next write would release it again.
    pub(crate) const fn wanted(&self) -> u64 {
        self.bytes + self.bytes / 8
    }

    /// Releases the space.
    pub(crate) fn release(&self) {
        match fs::remove_file(&self.path) {
            Ok(()) => tracing::warn!(bytes = self.bytes, "the disk is full: the reserved space was released"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::error!(%error, path = %self.path.display(), "the reserved space cannot be released"),
        }
    }
}

/// Space that this process may still use on the disk of a folder, in bytes.
///
/// # Errors
/// The operating system cannot tell.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let found = statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
