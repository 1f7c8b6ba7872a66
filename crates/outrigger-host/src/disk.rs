//! Free disk space. Large writers stop before the disk is full, so that the database can still write.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use outrigger_api::{ApiError, ApiResult, Code};
use outrigger_store::free_bytes;

/// The space that is left for the database in addition to its reserved space, in bytes.
const LEFT: u64 = 4 << 20;
/// How much is written between two checks.
const STEP: u64 = 1 << 20;

/// Fails if writing this many bytes would leave too little space.
///
/// # Errors
/// `disk_full`
pub(crate) fn require(folder: &Path, bytes: u64) -> ApiResult<()> {
    let Some((free, needed)) = lacking(folder, bytes) else { return Ok(()) };
    let (free, needed) = (free >> 10, needed >> 10);
    let message = format!("not enough disk space in {}: {free} KiB free, {needed} KiB needed", folder.display());
    Err(ApiError::new(Code::DiskFull, message))
}

/// The free and the needed space, if the free space is not enough. None if the free space is unknown.
fn lacking(folder: &Path, bytes: u64) -> Option<(u64, u64)> {
    let (free, needed) = (free_bytes(folder).ok()?, bytes.saturating_add(LEFT));
    (free < needed).then_some((free, needed))
}

/// The error code of a failed write.
pub(crate) fn code_of(error: &io::Error, otherwise: Code) -> Code {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Code::DiskFull,
        _ => otherwise,
    }
}

/// A writer that stops before the disk is full.
#[derive(Debug)]
pub(crate) struct Careful<W> {
    inner: W,
    folder: PathBuf,
    /// Bytes until the next check.
    allowed: u64,
}

impl<W> Careful<W> {
    pub(crate) fn new(inner: W, folder: &Path) -> Self {
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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use outrigger_testkit::disk::SmallDisk;

    use super::*;

    #[test]
    fn s18_what_writes_a_lot_stops_before_the_disk_is_full() {
        let Some(disk) = SmallDisk::mount(16 << 20) else { return };
        require(disk.path(), 8 << 20).expect("there is room");
        assert_eq!(require(disk.path(), 14 << 20).expect_err("too little would be left").code, Code::DiskFull);
        let path = disk.path().join("large");
        let mut file = Careful::new(File::create(&path).expect("made"), disk.path());
        let refused = io::copy(&mut io::repeat(1), &mut file).expect_err("it stops");
        assert_eq!(code_of(&refused, Code::Io), Code::DiskFull, "{refused}");
        assert!(free_bytes(disk.path()).expect("known") >= LEFT - STEP);
        assert!(fs::metadata(path).expect("made").len() > 8 << 20, "not long before");
    }
}
