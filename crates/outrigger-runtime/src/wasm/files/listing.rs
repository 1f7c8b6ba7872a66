//! Directory listings, read a few entries at a time: a folder may hold any number of them.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, RawDir, statat};
use wasmtime_wasi::p2::bindings::filesystem::types::{DirectoryEntry, ErrorCode};
use wasmtime_wasi::p2::{FsError, FsResult};

use super::types::kind_of;
use super::work::{OpenFile, Work};

/// Listings that an instance may have open. Each holds at most one buffer of entries.
pub(super) const LISTINGS_AT_MOST: usize = 128;
/// For the entries as the kernel gives them. Room for at least 14 names of the greatest length, or about 120 short ones.
const BUFFER: usize = 4 << 10;
/// What a listing holds: the entries of one buffer, each with its name in an allocation of its own.
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
    /// `folder` is open for this listing alone: the kernel remembers how far it was read.
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

/// The entries that fit the buffer; none at the end. May be empty, as `.` and `..` are left out.
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
                // Some file systems do not tell.
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
