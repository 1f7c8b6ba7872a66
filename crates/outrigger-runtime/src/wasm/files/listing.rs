//! Directory listings, read a few entries at a time, because a folder can have any number of entries.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, RawDir, statat};
use wasmtime_wasi::p2::bindings::filesystem::types::{DirectoryEntry, ErrorCode};
use wasmtime_wasi::p2::{FsError, FsResult};

use super::convert::kind_of;
use super::work::{OpenFile, Work};

/// The maximum number of open listings of an instance. Each holds at most one buffer of entries.
pub(super) const LISTINGS_AT_MOST: usize = 128;
/// The size of the kernel's entry buffer: at least 14 names of the maximum length, or about 120 short ones.
const BUFFER: usize = 4 << 10;
/// The memory of a listing: the entries of one buffer, each with its name in an allocation of its own.
pub(in super::super) const LISTING_BYTES: usize = 8 << 10;

/// An open listing.
pub(super) struct Listing {
    folder: Arc<File>,
    entries: VecDeque<Entry>,
    ended: bool,
    _open: OpenFile,
}

type Entry = Result<DirectoryEntry, ErrorCode>;

impl Listing {
    /// `folder` must be open for this listing only, because the kernel stores the position in it.
    pub(super) fn new(folder: File, open: OpenFile) -> Self {
        Self { folder: Arc::new(folder), entries: VecDeque::new(), ended: false, _open: open }
    }

    /// The next entry; none at the end.
    pub(super) async fn next(&mut self, work: &Work) -> FsResult<Option<DirectoryEntry>> {
        while self.entries.is_empty() && !self.ended {
            let folder = Arc::clone(&self.folder);
            let entries = work.run(move || read(&folder)).await.map_err(FsError::trap)?;
            match entries? {
                Some(entries) => self.entries = entries,
                None => self.ended = true,
            }
        }
        self.entries.pop_front().transpose().map_err(FsError::from)
    }
}

/// The next buffer of entries; none at the end. It can be empty, because `.` and `..` are left out.
fn read(folder: &File) -> io::Result<Option<VecDeque<Entry>>> {
    let mut buffer = [const { MaybeUninit::<u8>::uninit() }; BUFFER];
    let mut raw = RawDir::new(folder, &mut buffer);
    let mut entries = VecDeque::new();
    loop {
        let Some(entry) = raw.next() else { return Ok(None) };
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            let kind = match entry.file_type() {
                // Some file systems do not report the type.
                FileType::Unknown => statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
                known => known,
            };
            let name = name.to_str().map(str::to_owned).map_err(|_| ErrorCode::IllegalByteSequence);
            entries.push_back(name.map(|name| DirectoryEntry { type_: kind_of(kind), name }));
        }
        if raw.is_buffer_empty() {
            return Ok(Some(entries));
        }
    }
}
