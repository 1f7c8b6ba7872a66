//! The data directory: its layout, and the check of its owner and modes.
//!
//! ```text
//! outrigger.db          plugins, grants, configuration, state, records (SQLite)
//! packages/<digest>/    unpacked packages, immutable
//! cache/compiled/       machine code by digest and engine; can be deleted at any time
//! staging/              packages being inspected or installed; otherwise empty
//! uploads/              uploaded packages that are not installed; cleared when a server starts
//! config/               configuration files that override stored values; never written by Outrigger
//! trust.toml            the trusted keys of publishers; never written by Outrigger
//! secret.key            the encryption keys of secrets, unless they come from outside
//! secret.lock           held while these are rotated
//! install.lock          held while packages are added or removed
//! server.lock           held by the server, or shared by the commands that work without one
//! server.sock           the server's socket for commands on this machine
//! reserve               reserved disk space, released when the disk is full
//! ```

pub(crate) mod ownership;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use outrigger_api::{ApiError, ApiResult, Code};
use outrigger_compute::Turn;
use outrigger_contract::Digest;

use crate::disk;

/// A data directory that exists.
#[derive(Clone, Debug)]
pub(crate) struct DataDirectory {
    root: PathBuf,
}

impl DataDirectory {
    /// Opens a data directory, and makes it where it is not there.
    pub(crate) fn open(root: &Path) -> ApiResult<Self> {
        let directory = Self { root: root.to_owned() };
        if root.exists() && !root.is_dir() {
            return Err(ApiError::new(Code::DataDirectory, format!("{} is not a folder", root.display())));
        }
        if !root.exists() {
            // Creates nothing in a directory that would be refused.
            ownership::refuse(&ownership::places(root))?;
        }
        for folder in [root.to_owned(), directory.packages(), directory.compiled(), directory.staging()] {
            make_private_folder(&folder)
                .map_err(|error| failed(&format!("the folder {} could not be made", folder.display()), &error))?;
        }
        ownership::refuse(&ownership::places(root))?;
        Ok(directory)
    }

    /// Whether no data directory was made at this path yet. If that is unknown, opening it tells why.
    pub(crate) fn is_missing(root: &Path) -> bool {
        matches!(Self { root: root.to_owned() }.database().try_exists(), Ok(false))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("outrigger.db")
    }

    pub(crate) fn packages(&self) -> PathBuf {
        self.root.join("packages")
    }

    pub(crate) fn package(&self, digest: &Digest) -> PathBuf {
        self.packages().join(digest.hex())
    }

    pub(crate) fn compiled(&self) -> PathBuf {
        self.root.join("cache/compiled")
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("config")
    }

    pub(crate) fn trust(&self) -> PathBuf {
        self.root.join("trust.toml")
    }

    pub(crate) fn secret_key(&self) -> PathBuf {
        self.root.join("secret.key")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("server.sock")
    }

    /// Holds the directory alone, or together with others of whom none holds it alone. Given back when it is dropped, also
    /// by a process that dies. None where others are in the way.
    pub(crate) fn hold(&self, how: Hold) -> ApiResult<Option<DirectoryHold>> {
        let path = self.root.join("server.lock");
        let unusable = |error| failed(&format!("{} could not be locked", path.display()), &error);
        let file = lock_file().read(true).open(&path).map_err(unusable)?;
        let taken = match how {
            Hold::Alone => file.try_lock(),
            Hold::Shared => file.try_lock_shared(),
        };
        match taken {
            Ok(()) => Ok(Some(DirectoryHold { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Waits for the right to add and remove packages, in the turn of a caller. It is given back when the lock is
    /// dropped, also by a process that dies. Blocks; call it where that is allowed.
    pub(crate) fn lock_packages(&self, turn: Turn) -> ApiResult<PackagesLock> {
        let path = self.root.join("install.lock");
        let file = lock_file()
            .open(&path)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| failed(&format!("{} could not be locked", path.display()), &error))?;
        Ok(PackagesLock { _file: file, _turn: turn })
    }

    /// Removes what an interrupted installation left behind. Only for who holds the lock.
    pub(crate) fn clear_staging(&self, _lock: &PackagesLock) -> ApiResult<()> {
        let staging = self.staging();
        fs::remove_dir_all(&staging)
            .and_then(|()| make_private_folder(&staging))
            .map_err(|error| failed(&format!("{} could not be cleared", staging.display()), &error))
    }
}

/// How a process holds a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// As the server does, which keeps in memory what is in the directory.
    Alone,
    /// As a command does that works without a server.
    Shared,
}

/// A directory that is held.
#[derive(Debug)]
pub(crate) struct DirectoryHold {
    _file: File,
}

/// The right to add and remove packages.
#[derive(Debug)]
pub(crate) struct PackagesLock {
    _file: File,
    _turn: Turn,
}

pub(crate) fn failed(what: &str, error: &std::io::Error) -> ApiError {
    ApiError::new(disk::code_of(error, Code::DataDirectory), format!("{what}: {error}"))
}

/// Creates a file that only serves as a lock, for its owner only.
pub(crate) fn lock_file() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    options
}

/// Makes a folder, and those above it, that only its owner can use.
pub(crate) fn make_private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
