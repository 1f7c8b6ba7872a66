//! Refusals for lack of disk space.

use std::io::{self, ErrorKind};
use std::path::Path;

use outrigger_api::{ApiError, ApiResult, Code};
use outrigger_registry::disk::lacking;
pub(crate) use outrigger_registry::disk::{Careful, Leave};

/// The space that the packages of a caller leave free: those of a key as much as plugins do.
pub(crate) const fn left_by(key: Option<&str>) -> Leave {
    if key.is_some() { Leave::Share } else { Leave::Little }
}

/// Fails if writing this many bytes would leave too little space.
///
/// # Errors
/// `disk_full`
pub(crate) fn require(folder: &Path, bytes: u64, leave: Leave) -> ApiResult<()> {
    let Some((free, needed)) = lacking(folder, bytes, leave) else { return Ok(()) };
    let (free, needed) = (free >> 10, needed >> 10);
    let message = format!("not enough disk space in {}: {free} KiB free, {needed} KiB needed", folder.display());
    Err(ApiError::new(Code::DiskFull, message))
}

/// The error code of a failed write.
pub(crate) fn code_of(error: &io::Error, otherwise: Code) -> Code {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Code::DiskFull,
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use outrigger_registry::disk::LEFT;
    use outrigger_store::free_bytes;
    use outrigger_testkit::disk::SmallDisk;

    use super::*;
    use crate::packages::package_error;

    const STEP: u64 = 1 << 20;

    /// The size of a folder is unknown, and an archive can unpack to far more than its own size.
    #[test]
    fn s18_what_is_unpacked_stops_before_the_disk_is_full() {
        let Some(disk) = SmallDisk::mount(16 << 20) else { return };
        let package = tempfile::tempdir().expect("made");
        let manifest = "name = \"large\"\nversion = \"1.0.0\"\ntitle = \"L\"\ndescription = \"L.\"\n\
                        [runtime]\nkind = \"wasm\"\nentry = \"large.wasm\"\n";
        fs::write(package.path().join("plugin.toml"), manifest).expect("written");
        for number in 0..8 {
            fs::write(package.path().join(format!("{number}.bin")), vec![number; 4 << 20]).expect("written");
        }
        let before = free_bytes(disk.path()).expect("known");
        let staging = disk.path().join("staging");
        let (least, end) = (AtomicU64::new(u64::MAX), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    least.fetch_min(free_bytes(disk.path()).expect("known"), Ordering::Relaxed);
                }
            });
            let refused = outrigger_registry::stage(package.path(), &staging).map(|staged| staged.size());
            end.store(true, Ordering::Relaxed);
            let refused = refused.expect_err("there is no room");
            assert_eq!(package_error(&refused).code, Code::DiskFull, "{refused:?}");
        });
        let left = least.into_inner();
        assert!(left >= LEFT - STEP, "{left} bytes were left");
        assert_eq!(fs::read_dir(&staging).expect("made").count(), 0, "nothing half done stays");
        assert!(free_bytes(disk.path()).expect("known") + STEP > before);
    }

    #[test]
    fn s18_what_writes_a_lot_stops_before_the_disk_is_full() {
        let Some(disk) = SmallDisk::mount(16 << 20) else { return };
        require(disk.path(), 8 << 20, Leave::Little).expect("there is room");
        let refused = require(disk.path(), 14 << 20, Leave::Little).expect_err("too little would be left");
        assert_eq!(refused.code, Code::DiskFull);
        let path = disk.path().join("large");
        let mut file = Careful::new(File::create(&path).expect("made"), disk.path(), Leave::Little);
        let refused = io::copy(&mut io::repeat(1), &mut file).expect_err("it stops");
        assert_eq!(code_of(&refused, Code::Io), Code::DiskFull, "{refused}");
        assert!(free_bytes(disk.path()).expect("known") >= LEFT - STEP);
        assert!(fs::metadata(path).expect("made").len() > 8 << 20, "not long before");
    }

    #[test]
    fn s06_packages_of_a_key_leave_as_much_as_plugins_do() {
        assert_eq!((left_by(None), left_by(Some("id"))), (Leave::Little, Leave::Share));
        let Some(disk) = SmallDisk::mount(64 << 20) else { return };
        let package = tempfile::tempdir().expect("made");
        let manifest = "name = \"large\"\nversion = \"1.0.0\"\ntitle = \"L\"\ndescription = \"L.\"\n\
                        [runtime]\nkind = \"wasm\"\nentry = \"large.wasm\"\n";
        fs::write(package.path().join("plugin.toml"), manifest).expect("written");
        for number in 0..10 {
            fs::write(package.path().join(format!("{number}.bin")), vec![number; 4 << 20]).expect("written");
        }
        let package = outrigger_registry::Package::open(package.path()).expect("it is there").leaving(Leave::Share);
        let refused = package.stage(disk.path()).map(|staged| staged.size()).expect_err("half of the disk stays free");
        assert_eq!(package_error(&refused).code, Code::DiskFull, "{refused:?}");
    }

    #[test]
    fn s06_a_backup_of_a_key_leaves_as_much_as_plugins_do() {
        let Some(disk) = SmallDisk::mount(64 << 20) else { return };
        require(disk.path(), 24 << 20, Leave::Share).expect("half of the disk stays free");
        let refused = require(disk.path(), 40 << 20, Leave::Share).expect_err("less than half would");
        assert_eq!(refused.code, Code::DiskFull);
        let mut file = Careful::new(File::create(disk.path().join("large")).expect("made"), disk.path(), Leave::Share);
        io::copy(&mut io::repeat(1), &mut file).expect_err("it stops");
        assert!(free_bytes(disk.path()).expect("known") >= (32 << 20) - STEP);
    }
}
