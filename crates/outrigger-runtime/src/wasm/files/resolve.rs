//! Resolves granted paths: the path without symbolic links, and the identity of the file. This happens when a grant is
//! made, component by component, and is stored with it ([`FilePin`]). Later, only the resolved path is opened, without
//! following links.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::Path;

use outrigger_contract::permission::{FileAccess, FileGrant, FileIdentity, FilePin};
use outrigger_contract::{Code, Permissions};
use outrigger_engine::runtime::RuntimeFault;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;

use super::beneath::is_of_processes;
use crate::wasm::Protected;

/// As many links as the kernel follows.
const LINKS_AT_MOST: usize = 40;

/// Folders with special rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    /// Outrigger's own files and folders, which plugins must not reach.
    pub(super) protected: &'a [Protected],
    /// Folders that plugins may write to, now or earlier: resolved, ending in `/`.
    pub(super) plugin_writable: &'a [String],
}

/// Why a path cannot be granted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "`{path}` contains the symbolic link {link}, which plugins could redirect because they may write to \
         {folder}; ask for \
         the link's target instead"
    )]
    PlantedLink { path: String, link: String, folder: String },
    #[error("`{path}` contains too many symbolic links; ask for their target instead")]
    Loop { path: String },
    #[error("`{path}` {relation} {what}, {protected}, which is never granted; ask for another path")]
    Protected { path: String, relation: &'static str, what: &'static str, protected: String },
    #[error(
        "`{path}` exposes the processes of this machine, including Outrigger; ask for a single file, for \
         example /proc/loadavg"
    )]
    Processes { path: String },
    #[error(
        "`{path}` is granted for reading, but lies in `{folder}`, which is granted for writing; remove one of \
         the two permissions"
    )]
    Narrower { path: String, folder: String },
}

impl Refused {
    /// The path as the manifest names it.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::PlantedLink { path, .. }
            | Self::Loop { path }
            | Self::Protected { path, .. }
            | Self::Processes { path }
            | Self::Narrower { path, .. } => path,
        }
    }
}

impl From<Refused> for RuntimeFault {
    fn from(refused: Refused) -> Self {
        Self::new(Code::FileGrantRefused, refused.to_string())
    }
}

/// Resolves each granted path, and pins the grant to it.
pub(super) fn pin(permissions: &Permissions, surroundings: Surroundings<'_>) -> Result<Permissions, Refused> {
    let mut pinned = permissions.clone();
    pin_files(&mut pinned.files, surroundings, |_| true)?;
    Ok(pinned)
}

/// The same for selected grants; the others are unchanged.
pub(super) fn pin_files(
    grants: &mut [FileGrant],
    surroundings: Surroundings<'_>,
    choose: impl Fn(&FileGrant) -> bool,
) -> Result<(), Refused> {
    let mut writable = surroundings.plugin_writable.to_vec();
    // Outer and writable folders first, because they affect the folders inside them.
    let mut order: Vec<usize> = (0..grants.len()).collect();
    order.sort_by_key(|index| (grants[*index].access() == FileAccess::Read, grants[*index].path().len()));
    for index in order {
        let grant = &grants[index];
        if choose(grant) {
            let pin = resolve(grant, &writable)?;
            grants[index] = grant.clone().pinned(pin);
        }
        let grant = &grants[index];
        surroundings.protected.iter().try_for_each(|protected| check_protected(grant, protected))?;
        if grant.is_folder() && grant.access() == FileAccess::Write {
            writable.push(grant.real().to_owned());
        }
    }
    check_narrower(grants)
}

fn resolve(grant: &FileGrant, writable: &[String]) -> Result<FilePin, Refused> {
    let mut walk = Walk::new(grant.path());
    let found = walk.follow(grant.path(), writable)?;
    let mut real = walk.real;
    if grant.is_folder() {
        real.push('/');
    }
    let elsewhere = || walk.at.as_ref().is_some_and(|found| is_of_processes(found).unwrap_or_default());
    let refused = match real.starts_with("/proc/") {
        true => grant.is_folder() || is_of_a_process(&real),
        false => elsewhere(),
    };
    if refused {
        return Err(Refused::Processes { path: grant.path().to_owned() });
    }
    Ok(FilePin { real, identity: found.map(|stat| identity(&stat)) })
}

/// Whether a path in `/proc/` belongs to one process.
fn is_of_a_process(real: &str) -> bool {
    let first = real.split('/').nth(2).unwrap_or_default();
    matches!(first, "self" | "thread-self") || first.starts_with(|letter: char| letter.is_ascii_digit())
}

pub(super) fn identity(stat: &Stat) -> FileIdentity {
    FileIdentity { device: stat.st_dev, inode: stat.st_ino }
}

/// Resolves a path from the root, one component at a time.
struct Walk {
    at: Option<OwnedFd>,
    real: String,
    rest: VecDeque<String>,
}

impl Walk {
    fn new(path: &str) -> Self {
        Self { at: None, real: String::new(), rest: names(path).collect() }
    }

    /// Resolves the rest. Returns the file's metadata; none if a component does not exist or is not accessible.
    fn follow(&mut self, path: &str, writable: &[String]) -> Result<Option<Stat>, Refused> {
        let (mut found, mut links) = (open("/", None).and_then(|root| fstat(&root)).ok(), 0);
        while let Some(name) = self.rest.pop_front() {
            if name == ".." {
                let parent = self.real.rfind('/').unwrap_or_default();
                self.real.truncate(parent);
                self.at = open("..", self.at.take()).ok();
                continue;
            }
            let next = open(&name, self.at.as_ref().map(OwnedFd::try_clone).transpose().ok().flatten());
            let looked = next.and_then(|next| Ok((fstat(&next)?, next)));
            let (stat, next) = match looked {
                Ok(looked) => looked,
                Err(_) => {
                    self.skip(&name);
                    return Ok(None);
                }
            };
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                self.real = format!("{}/{name}", self.real);
                (self.at, found) = (Some(next), Some(stat));
                continue;
            }
            links += 1;
            if links > LINKS_AT_MOST {
                return Err(Refused::Loop { path: path.to_owned() });
            }
            let here = format!("{}/", self.real);
            if let Some(folder) = writable.iter().find(|folder| here.starts_with(folder.as_str())) {
                let link = format!("{here}{name}");
                return Err(Refused::PlantedLink { path: path.to_owned(), link, folder: folder.clone() });
            }
            let Some(target) = link_target(&next) else {
                self.skip(&name);
                return Ok(None);
            };
            if target.starts_with('/') {
                (self.at, self.real) = (None, String::new());
            }
            for part in names(&target).collect::<Vec<_>>().into_iter().rev() {
                self.rest.push_front(part);
            }
        }
        Ok(found)
    }

    /// The rest of the path does not exist: it is used as written.
    fn skip(&mut self, name: &str) {
        for name in std::iter::once(name.to_owned()).chain(self.rest.drain(..)) {
            match name.as_str() {
                ".." => self.real.truncate(self.real.rfind('/').unwrap_or_default()),
                _ => self.real = format!("{}/{name}", self.real),
            }
        }
    }
}

fn names(path: &str) -> impl Iterator<Item = String> + '_ {
    path.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned)
}

/// An `O_PATH` handle for a name in a folder or in the root, without following links.
fn open(name: &str, folder: Option<OwnedFd>) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match folder {
        Some(folder) => openat(folder, name, flags, Mode::empty()),
        None => openat(CWD, format!("/{}", name.trim_start_matches('/')), flags, Mode::empty()),
    }
}

fn link_target(link: &OwnedFd) -> Option<String> {
    readlinkat(link, "", Vec::new()).ok()?.into_string().ok()
}

fn check_protected(grant: &FileGrant, protected: &Protected) -> Result<(), Refused> {
    let Protected { path, what } = protected;
    let protected = path.canonicalize().unwrap_or_else(|_| path.clone());
    let real = Path::new(grant.real());
    let relation = if grant.is_folder() && (protected.starts_with(real) || holds(real, &protected)) {
        "contains"
    } else if real.starts_with(&protected) || holds(&protected, real) {
        "lies in"
    } else {
        return Ok(());
    };
    let protected = protected.display().to_string();
    Err(Refused::Protected { path: grant.path().to_owned(), relation, what, protected })
}

/// Whether a folder is a parent of `inner`, compared by identity, because it can be mounted in two places.
fn holds(folder: &Path, inner: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |path: &Path| std::fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let Some(folder) = identity(folder) else { return false };
    inner.ancestors().any(|ancestor| identity(ancestor) == Some(folder))
}

/// Write access to a folder includes everything in it; another grant cannot restrict it.
fn check_narrower(grants: &[FileGrant]) -> Result<(), Refused> {
    for inner in grants {
        if let Some(outer) = grants.iter().find(|outer| inner.is_narrower_within(outer)) {
            return Err(Refused::Narrower { path: inner.path().to_owned(), folder: outer.path().to_owned() });
        }
    }
    Ok(())
}

/// A parent that plugins may write to, and in which they could replace a granted folder. None if the plugin itself has
/// write access to that parent.
pub(super) fn replaceable_in<'a>(
    grant: &FileGrant,
    granted: &[FileGrant],
    plugin_writable: &'a [String],
) -> Option<&'a str> {
    let real = grant.real();
    let lies_in = |folder: &str| folder != real && real.starts_with(folder);
    if granted.iter().any(|other| other.access() == FileAccess::Write && lies_in(other.real())) {
        return None;
    }
    plugin_writable.iter().map(String::as_str).find(|folder| lies_in(folder))
}

/// Explains why opening failed.
pub(super) fn explain(error: Errno) -> String {
    match error {
        Errno::LOOP => "its path contains a symbolic link that was added after the grant".to_owned(),
        other => std::io::Error::from(other).to_string(),
    }
}
