//! Disk space that plugins leave to the server and to others, in any granted folder ([`disk_share`]). Writes beyond that
//! fail as on a full disk. Some inodes stay free, too, because empty files take no space.

use std::io;
use std::os::fd::AsFd;

use outrigger_contract::limit::disk_share;
use rustix::fs::fstatvfs;
use rustix::io::Errno;

const FILES_LEFT_AT_MOST: u64 = 10_000;

/// Checks that a file or folder can be created, or this many bytes be written, on the file system of an open file or
/// folder. Overwriting counts like appending, because files can have holes.
pub(super) fn check(file: impl AsFd, bytes: u64) -> io::Result<()> {
    let stat = fstatvfs(file)?;
    let [total, free] = [stat.f_blocks, stat.f_bavail].map(|blocks| blocks.saturating_mul(stat.f_frsize));
    match is_left(total, free, bytes) && are_left(stat.f_files, stat.f_favail) {
        true => Ok(()),
        false => Err(Errno::NOSPC.into()),
    }
}

/// Whether enough bytes stay free after this many more are written. Some file systems do not count them.
fn is_left(total: u64, free: u64, bytes: u64) -> bool {
    total == 0 || free >= disk_share(total).saturating_add(bytes)
}

/// Whether enough inodes stay free. Some file systems do not count them.
fn are_left(total: u64, free: u64) -> bool {
    total == 0 || free > (total / 20).min(FILES_LEFT_AT_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s18_a_part_of_each_disk_is_left() {
        const MIB: u64 = 1 << 20;
        for (total, left) in [(2, 1), (40, 20), (100, 32), (1_000, 50), (5_120, 256), (1 << 20, 256)] {
            let (total, left) = (total * MIB, left * MIB);
            assert!(is_left(total, left, 0) && is_left(total, left + 7, 7), "{total}");
            assert!(!is_left(total, left - 1, 0) && !is_left(total, left + 7, 8), "{total}");
            assert!(!is_left(total, total, u64::MAX), "{total}");
        }
        assert!(are_left(1_000, 51) && !are_left(1_000, 50));
        assert!(are_left(1 << 40, 10_001) && !are_left(1 << 40, 10_000));
        assert!(are_left(0, 0) && is_left(0, 0, 1 << 20), "a file system that does not count");
    }
}
