//! Failing disks: a full one, and one whose system calls fail on request.

#![allow(clippy::unwrap_used, reason = "this is all test code, only that other crates' tests run it")]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// An in-memory file system with a limited size. Unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
}

/// The message of a skipped test that mounts a file system.
const NOT_ROOT: &str = "SKIPPED: only root can mount a file system; run this test as root";

impl SmallDisk {
    /// Mounts a tmpfs of this size. Without the permission to mount, it prints a message and returns none; in CI it
    /// panics, because a silently skipped test is worse than none.
    #[expect(clippy::print_stderr, reason = "a skipped test must be loud")]
    #[must_use]
    pub fn mount(bytes: u64) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let options = format!("size={bytes},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            other => {
                assert!(std::env::var_os("CI").is_none(), "{NOT_ROOT}: {other:?}");
                eprintln!("{NOT_ROOT}: {other:?}");
                None
            }
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Fills the remaining space. Released when the returned value is dropped.
    #[must_use]
    pub fn fill(&self) -> Filler {
        self.fill_but(0)
    }

    /// Fills all space except this many bytes.
    #[must_use]
    pub fn fill_but(&self, left: usize) -> Filler {
        let path = self.path().join(format!("filler-{}", ulid::Ulid::new()));
        let mut file = File::create(&path).unwrap();
        // Ends with the error of a full disk.
        let block = vec![0; 64 << 10];
        while file.write_all(&block).is_ok() {}
        while file.write_all(&block[..512]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(left as u64)).unwrap();
        Filler { path }
    }

    /// Makes it read-only or writable, like the kernel does for a failed disk. Fails while a file is open for writing.
    pub fn remount(&self, how: &str) -> bool {
        let options = format!("remount,{how}");
        Command::new("mount").args(["-o", &options]).arg(self.path()).status().unwrap().success()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a terminating process may still have a file open.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

/// Used space.
#[derive(Debug)]
pub struct Filler {
    path: PathBuf,
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A disk whose system calls fail on request, for processes that are started with it; see `disk/faults.c`. Needs a C
/// compiler, like building Outrigger.
#[derive(Debug)]
pub struct FaultyDisk {
    folder: TempDir,
}

impl FaultyDisk {
    /// Builds the library that is preloaded into the processes.
    #[must_use]
    pub fn new() -> Self {
        let disk = Self { folder: TempDir::new().unwrap() };
        fs::create_dir(disk.path()).unwrap();
        fs::create_dir(disk.after_a_power_cut()).unwrap();
        let source = disk.folder.path().join("faults.c");
        fs::write(&source, include_str!("disk/faults.c")).unwrap();
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(disk.library())
            .arg(&source)
            .arg("-ldl")
            .status()
            .expect("there is a C compiler, which building SQLite takes as well");
        assert!(built.success(), "{built}");
        disk
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("faults.so")
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    /// The files on the disk.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// The databases as they would be after a power cut: only data that an `fsync` has confirmed.
    #[must_use]
    pub fn after_a_power_cut(&self) -> PathBuf {
        self.folder.path().join("shadow")
    }

    /// Lets a process use the disk.
    pub fn attach(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", self.library())
            .env("FAULTS_FOLDER", self.path())
            .env("FAULTS_CONTROL", self.control())
            .env("FAULTS_SHADOW", self.after_a_power_cut());
    }

    /// Makes system calls fail, such as `fsync=5` or `write=28`; an empty text stops this.
    pub fn fail(&self, what: &str) {
        // Atomically, because it can be read at any time.
        let next = self.folder.path().join("control.next");
        fs::write(&next, what).unwrap();
        fs::rename(&next, self.control()).unwrap();
    }

    /// Simulates a power cut: only durable data stays on the disk. No process may use it at that time.
    pub fn cut_power(&self) {
        for entry in fs::read_dir(self.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for entry in fs::read_dir(self.after_a_power_cut()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), self.path().join(entry.file_name())).unwrap();
        }
    }
}

impl Default for FaultyDisk {
    fn default() -> Self {
        Self::new()
    }
}
