//! Free disk space. Large writes stop before the disk is full, so that the database of the data directory still has
//! room.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use outrigger_contract::limit::disk_share;

/// Free space left for the database in addition to its reserve, in bytes.
pub const LEFT: u64 = 4 << 20;
/// The number of bytes written between two checks.
const STEP: u64 = 1 << 20;

/// The space that a large write leaves free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// [`LEFT`], for the database.
    Little,
    /// As much as plugins leave: [`disk_share`].
    Share,
}

impl Leave {
    /// In bytes, of a disk of this size.
    fn of(self, total: u64) -> u64 {
        match self {
            Self::Little => LEFT,
            Self::Share => disk_share(total).max(LEFT),
        }
    }
}

/// Free and needed space if there is not enough for this many more bytes. If the free space is unknown, the write is
/// attempted.
#[must_use]
pub fn lacking(folder: &Path, bytes: u64, leave: Leave) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let [total, free] = [disk.f_blocks, disk.f_bavail].map(|blocks| blocks.saturating_mul(disk.f_frsize));
    let needed = bytes.saturating_add(leave.of(total));
    (free < needed).then_some((free, needed))
}

/// A writer that stops before the disk is full.
#[derive(Debug)]
pub struct Careful<W> {
    inner: W,
    folder: PathBuf,
    leave: Leave,
    /// The bytes that can be written until the next check.
    allowed: u64,
}

impl<W> Careful<W> {
    /// A writer for a file on the disk of this folder.
    pub fn new(inner: W, folder: &Path, leave: Leave) -> Self {
        Self { inner, folder: folder.to_owned(), leave, allowed: 0 }
    }
}

impl<W: Write> Write for Careful<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.allowed < bytes.len() as u64 {
            let next = STEP.max(bytes.len() as u64);
            if lacking(&self.folder, next, self.leave).is_some() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s06_a_share_of_each_disk_is_left() {
        const MIB: u64 = 1 << 20;
        for (total, left) in [(2, 4), (40, 20), (100, 32), (1_000, 50), (5_120, 256), (1 << 20, 256)] {
            assert_eq!(Leave::Share.of(total * MIB), left * MIB, "{total}");
            assert_eq!(Leave::Little.of(total * MIB), LEFT);
        }
    }
}
