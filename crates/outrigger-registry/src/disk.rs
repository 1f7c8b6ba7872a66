//! Free disk space. Large writes stop before the disk is full, so that the database of the data directory still has
//! room.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Free space left for the database in addition to its reserve, in bytes.
pub const LEFT: u64 = 4 << 20;
/// The number of bytes written between two checks.
const STEP: u64 = 1 << 20;

/// Free and needed space if there is not enough for this many more bytes. If the free space is unknown, the write is
/// attempted.
#[must_use]
pub fn lacking(folder: &Path, bytes: u64) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let (free, needed) = (disk.f_bavail.saturating_mul(disk.f_frsize), bytes.saturating_add(LEFT));
    (free < needed).then_some((free, needed))
}

/// A writer that stops before the disk is full.
#[derive(Debug)]
pub struct Careful<W> {
    inner: W,
    folder: PathBuf,
    /// The bytes that can be written until the next check.
    allowed: u64,
}

impl<W> Careful<W> {
    /// A writer for a file on the disk of this folder.
    pub fn new(inner: W, folder: &Path) -> Self {
        Self { inner, folder: folder.to_owned(), allowed: 0 }
    }
}

impl<W: Write> Write for Careful<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.allowed < bytes.len() as u64 {
            let next = STEP.max(bytes.len() as u64);
            if lacking(&self.folder, next).is_some() {
                return Err(ErrorKind::StorageFull.into());
            }
            self.allowed = next;
        }
        let written = self.inner.write(bytes)?;
        self.allowed -= (written as u64).min(self.allowed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
