//! Conversions between the types of `wasi:filesystem` and those of the kernel.

use rustix::fs::{FileType, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};

use super::beneath::{Follow, Opening};

pub(super) fn follow(flags: PathFlags) -> Follow {
    if flags.contains(PathFlags::SYMLINK_FOLLOW) { Follow::Yes } else { Follow::No }
}

pub(super) fn opening(path_flags: PathFlags, open_flags: OpenFlags, flags: DescriptorFlags) -> FsResult<Opening> {
    let synchronous = DescriptorFlags::FILE_INTEGRITY_SYNC
        | DescriptorFlags::DATA_INTEGRITY_SYNC
        | DescriptorFlags::REQUESTED_WRITE_SYNC;
    if flags.intersects(synchronous) {
        return Err(ErrorCode::Unsupported.into());
    }
    let (create, truncate) = (open_flags.contains(OpenFlags::CREATE), open_flags.contains(OpenFlags::TRUNCATE));
    let exclusive = open_flags.contains(OpenFlags::EXCLUSIVE);
    let directory = open_flags.contains(OpenFlags::DIRECTORY);
    if directory && (create || exclusive || truncate) {
        return Err(ErrorCode::Invalid.into());
    }
    let write = flags.contains(DescriptorFlags::WRITE) || create || truncate;
    let read = flags.contains(DescriptorFlags::READ) || !flags.contains(DescriptorFlags::WRITE);
    Ok(Opening { follow: follow(path_flags), read, write, create, exclusive: create && exclusive, truncate, directory })
}

pub(super) fn kind_of(kind: FileType) -> DescriptorType {
    match kind {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::Unknown => DescriptorType::Unknown,
    }
}

#[allow(clippy::unnecessary_cast, reason = "the kernel's types differ between architectures")]
pub(super) fn describe(stat: &Stat) -> DescriptorStat {
    let time = |seconds: i64, nanoseconds: i64| {
        Some(Datetime { seconds: u64::try_from(seconds).ok()?, nanoseconds: u32::try_from(nanoseconds).ok()? })
    };
    DescriptorStat {
        type_: kind_of(FileType::from_raw_mode(stat.st_mode)),
        link_count: stat.st_nlink as u64,
        size: u64::try_from(stat.st_size).unwrap_or_default(),
        data_access_timestamp: time(stat.st_atime as i64, stat.st_atime_nsec as i64),
        data_modification_timestamp: time(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        status_change_timestamp: time(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
    }
}

/// Identifies files like `wasmtime-wasi`: one 64-bit hash, in two forms.
pub(super) fn hash(stat: &Stat) -> MetadataHashValue {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    (stat.st_dev, stat.st_ino).hash(&mut hasher);
    let lower = hasher.finish();
    MetadataHashValue { lower, upper: lower ^ 0x4009_21fb_5444_2d18 }
}

pub(super) fn times(accessed: NewTimestamp, modified: NewTimestamp) -> FsResult<Timestamps> {
    let time = |new| {
        let (tv_sec, tv_nsec) = match new {
            NewTimestamp::NoChange => (0, UTIME_OMIT),
            NewTimestamp::Now => (0, UTIME_NOW),
            NewTimestamp::Timestamp(Datetime { seconds, nanoseconds }) if nanoseconds < 1_000_000_000 => {
                (i64::try_from(seconds).map_err(|_| ErrorCode::Overflow)?, nanoseconds.into())
            }
            NewTimestamp::Timestamp(_) => return Err(ErrorCode::Invalid),
        };
        Ok(Timespec { tv_sec, tv_nsec })
    };
    Ok(Timestamps { last_access: time(accessed)?, last_modification: time(modified)? })
}
