//! The open granted paths of a loaded revision. They are opened when it is loaded and stay open while it is loaded, so
//! later renames and replacements have no effect. A path that does not exist yet is opened at its first use.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use outrigger_contract::permission::{FileAccess, FileGrant, FileIdentity};
use outrigger_contract::{Code, Permissions, PluginName};
use outrigger_engine::runtime::{RevisionSpec, RuntimeFault};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, major, minor, openat};
use rustix::io::Errno;

use super::beneath::{OpenError, describe, open_plain};
use super::resolve::{self, Refused, Surroundings};
use crate::wasm::Protected;

/// Maximum number of parent folders that are searched for a grant. Below longer paths, links and renames fail.
const DEPTH_AT_MOST: usize = 1_000;

/// The file grants of a revision.
#[derive(Debug)]
pub(in super::super) struct Roots {
    pub(super) folders: Vec<Root>,
    pub(super) files: Vec<Root>,
    /// The paths as written, to find the grant of a path.
    pub(super) grants: Vec<FileGrant>,
}

/// A granted path.
#[derive(Debug)]
pub(super) struct Root {
    /// The path as the plugin sees it, without a trailing `/`.
    pub(super) path: String,
    pub(super) access: FileAccess,
    /// The resolved path.
    real: String,
    /// The expected identity; none if the folder may be replaced.
    expected: Option<FileIdentity>,
    /// A parent folder that plugins may write to.
    replaceable_in: Option<String>,
    /// The folder itself, or the parent folder of the file.
    opened: OnceLock<Arc<File>>,
}

impl Roots {
    /// Opens the granted paths of a revision.
    pub(in super::super) fn open(spec: &RevisionSpec, protected: &[Protected]) -> Result<Self, RuntimeFault> {
        let mut grants = spec.granted.files.clone();
        let surroundings = Surroundings { protected, plugin_writable: &spec.plugin_writable };
        resolve::pin_files(&mut grants, surroundings, |grant| grant.pin().is_none())
            .map_err(|refused| not_opened(&spec.plugin, &refused))?;
        let (mut folders, mut files): (Vec<Root>, Vec<Root>) = (Vec::new(), Vec::new());
        for grant in &grants {
            let root = Root::new(grant, resolve::replaceable_in(grant, &grants, &spec.plugin_writable));
            let known = if grant.is_folder() { &mut folders } else { &mut files };
            match known.iter_mut().find(|known| known.path == root.path) {
                Some(known) => known.access = root.access.max(known.access),
                None => known.push(root),
            }
        }
        for root in &folders {
            root.open_now(&spec.plugin, |root| root.folder().map(drop))?;
        }
        for root in &files {
            root.open_now(&spec.plugin, |root| root.parent().map(drop))?;
        }
        Ok(Self { folders, files, grants })
    }
}

/// The error for a grant that is refused when a revision is loaded. It is kept with the plugin and its runs, and shown
/// to everyone who may see those, so it names the path only as the manifest does.
fn not_opened(plugin: &PluginName, refused: &Refused) -> RuntimeFault {
    tracing::warn!(%plugin, "a granted path is refused: {refused}");
    let message = format!("`{}` can no longer be granted; the server's log shows why", refused.path());
    RuntimeFault::new(Code::FileGrantRefused, message)
}

impl Roots {
    /// Checks that two open folders are in the same grant, the innermost around each. Their roots are not enough:
    /// another grant can be inside a root, and a folder can have been moved since it was opened.
    pub(super) fn check_one_grant(&self, one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> io::Result<()> {
        match self.innermost(one)? == self.innermost(other)? {
            true => Ok(()),
            false => Err(Errno::XDEV.into()),
        }
    }

    /// The index of the granted folder that now contains an open folder.
    fn innermost(&self, folder: BorrowedFd<'_>) -> io::Result<Option<usize>> {
        let there = |root: &Root| root.opened().and_then(|opened| fstat(opened).ok()).as_ref().map(resolve::identity);
        let roots: Vec<_> = self.folders.iter().map(there).collect();
        let mut at = folder.try_clone_to_owned()?;
        let mut identity = resolve::identity(&fstat(&at)?);
        for _ in 0..DEPTH_AT_MOST {
            if let Some(root) = roots.iter().position(|root| *root == Some(identity)) {
                return Ok(Some(root));
            }
            at = openat(&at, "..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            let above = resolve::identity(&fstat(&at)?);
            if above == identity {
                return Ok(None);
            }
            identity = above;
        }
        Err(Errno::NAMETOOLONG.into())
    }
}

/// The grants, without those that were replaced or removed: see [`Root::check`].
pub(super) fn still_there(granted: &Permissions, plugin_writable: &[String]) -> Permissions {
    let is_there = |grant: &&FileGrant| {
        let root = Root::new(grant, resolve::replaceable_in(grant, &granted.files, plugin_writable));
        !grant.is_folder() || !matches!(root.folder(), Err(RootError::Replaced(_)))
    };
    Permissions { files: granted.files.iter().filter(is_there).cloned().collect(), ..granted.clone() }
}

/// Why a granted path was not opened.
#[derive(Debug)]
enum RootError {
    /// It was replaced.
    Replaced(String),
    Io(Errno),
}

impl From<Errno> for RootError {
    fn from(error: Errno) -> Self {
        Self::Io(error)
    }
}

impl From<RootError> for io::Error {
    fn from(error: RootError) -> Self {
        match error {
            RootError::Replaced(message) => Self::other(message),
            RootError::Io(error) => error.into(),
        }
    }
}

impl Root {
    fn new(grant: &FileGrant, replaceable_in: Option<&str>) -> Self {
        Self {
            path: grant.path().trim_end_matches('/').to_owned(),
            access: grant.access(),
            real: grant.real().to_owned(),
            expected: grant.pin().and_then(|pin| pin.identity),
            replaceable_in: replaceable_in.map(str::to_owned),
            opened: OnceLock::new(),
        }
    }

    /// Opens it if it exists. A replacement is an error, a missing path is not.
    fn open_now(
        &self,
        plugin: &PluginName,
        open: impl FnOnce(&Self) -> Result<(), RootError>,
    ) -> Result<(), RuntimeFault> {
        match open(self) {
            Err(RootError::Replaced(message)) => {
                // The resolved path and the folder of another plugin are for the operator, not for every caller.
                let (resolved, writable) = (self.real.as_str(), self.replaceable_in.as_deref());
                tracing::warn!(%plugin, path = self.path, resolved, writable, "a granted path was replaced");
                Err(RuntimeFault::new(Code::FileGrantChanged, message))
            }
            Err(RootError::Io(Errno::NOSYS)) => {
                let message = "granting files requires Linux 5.6 or later (`openat2`)";
                Err(RuntimeFault::new(Code::Unsupported, message))
            }
            Err(RootError::Io(error)) => {
                let why = resolve::explain(error);
                tracing::warn!(%plugin, path = self.path, "a granted path cannot be opened yet: {why}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The folder, if it is open.
    pub(super) fn opened(&self) -> Option<Arc<File>> {
        self.opened.get().map(Arc::clone)
    }

    /// The folder, for a granted one.
    pub(super) fn open_folder(&self) -> io::Result<Arc<File>> {
        Ok(self.folder()?)
    }

    fn folder(&self) -> Result<Arc<File>, RootError> {
        if let Some(opened) = self.opened.get() {
            return Ok(Arc::clone(opened));
        }
        let opened = self.plain(&self.real, OFlags::RDONLY | OFlags::DIRECTORY)?;
        self.check(&fstat(&opened)?)?;
        Ok(Arc::clone(self.opened.get_or_init(|| Arc::new(opened.into()))))
    }

    /// The parent folder, for a single file.
    fn parent(&self) -> Result<(Arc<File>, &str), RootError> {
        let (parent, name) = self.real.rsplit_once('/').unwrap_or_default();
        if let Some(opened) = self.opened.get() {
            return Ok((Arc::clone(opened), name));
        }
        let opened = self.plain(&format!("{parent}/"), OFlags::PATH | OFlags::DIRECTORY)?;
        Ok((Arc::clone(self.opened.get_or_init(|| Arc::new(opened.into()))), name))
    }

    /// Opens the single file for reading. It may have been replaced, as many programs do when they write a file, but
    /// not by a link.
    pub(super) fn open_file(&self) -> Result<(File, Stat), OpenError> {
        let (parent, name) = self.parent().map_err(|error| OpenError::Io(error.into()))?;
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(&parent, name, flags | OFlags::PATH, Mode::empty())?;
        check_readable(&fstat(&found)?)?;
        let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = openat(&parent, name, flags, Mode::empty())?;
        let stat = fstat(&opened)?;
        check_readable(&stat)?;
        Ok((opened.into(), stat))
    }

    fn plain(&self, path: &str, flags: OFlags) -> Result<OwnedFd, RootError> {
        open_plain(path, flags).map_err(|error| match error {
            Errno::LOOP => RootError::Replaced(self.changed("its path now contains a symbolic link")),
            other => RootError::Io(other),
        })
    }

    /// Checks the identity of the folder, if a plugin could have replaced it.
    fn check(&self, stat: &Stat) -> Result<(), RootError> {
        if self.replaceable_in.is_none() {
            return Ok(());
        }
        let how = match self.expected {
            Some(expected) if expected == resolve::identity(stat) => return Ok(()),
            Some(_) => "another folder is in its place, and plugins may write to one of its parents",
            None => "it did not exist at the time of the grant, and plugins may write to one of its parents",
        };
        Err(RootError::Replaced(self.changed(how)))
    }

    fn changed(&self, how: &str) -> String {
        let Self { path, .. } = self;
        format!(
            "`{path}` is not what was granted: {how}; to grant what is there now, install the same package again \
             and approve it"
        )
    }
}

/// A single file must be a regular file, or one of the few devices that only produce or consume bytes.
fn check_readable(stat: &Stat) -> Result<(), OpenError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Errno::ISDIR.into()),
        FileType::Symlink => Err(Errno::LOOP.into()),
        // null, zero, full, random, urandom
        FileType::CharacterDevice if major(stat.st_rdev) == 1 && matches!(minor(stat.st_rdev), 3 | 5 | 7..=9) => Ok(()),
        other => Err(OpenError::Special(describe(other))),
    }
}
