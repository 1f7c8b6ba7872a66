//! Where a granted path leads: the path without symbolic links, and what is there. Found out when a grant is made, part by
//! part, and written down with it ([`FilePin`]). Later, the path that was found is opened, and no link is followed any more.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use outrigger_contract::permission::{FileAccess, FileGrant, FileIdentity, FilePin};
use outrigger_contract::{Code, Permissions};
use outrigger_engine::runtime::RuntimeFault;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;

/// As many links as the kernel follows.
const LINKS_AT_MOST: usize = 40;

/// Folders with special rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    /// Outrigger's own, which no plugin may reach.
    pub(super) protected: Option<&'a Path>,
    /// Those that plugins may write, or could once: without links, with `/` at their end.
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
    #[error(
        "`{path}` {relation} Outrigger's data directory {protected}, which contains its keys and its database; ask for \
         another folder"
    )]
    Protected { path: String, relation: &'static str, protected: String },
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

impl From<Refused> for RuntimeFault {
    fn from(refused: Refused) -> Self {
        Self::new(Code::FileGrantRefused, refused.to_string())
    }
}

/// Finds out where each granted path leads, and pins the grant to it.
pub(super) fn pin(permissions: &Permissions, surroundings: Surroundings<'_>) -> Result<Permissions, Refused> {
    let mut pinned = permissions.clone();
    pin_files(&mut pinned.files, surroundings, |_| true)?;
    Ok(pinned)
}

/// The same for those grants that are chosen; the others stay as they are.
pub(super) fn pin_files(
    grants: &mut [FileGrant],
    surroundings: Surroundings<'_>,
    choose: impl Fn(&FileGrant) -> bool,
) -> Result<(), Refused> {
    let mut writable = surroundings.plugin_writable.to_vec();
    // Outer folders first, and those that may be written: what lies in them is looked at with that in mind.
    let mut order: Vec<usize> = (0..grants.len()).collect();
    order.sort_by_key(|index| (grants[*index].access() == FileAccess::Read, grants[*index].path().len()));
    for index in order {
        let grant = &grants[index];
        if choose(grant) {
            let pin = resolve(grant, &writable)?;
            grants[index] = grant.clone().pinned(pin);
        }
        let grant = &grants[index];
        check_protected(grant, surroundings.protected)?;
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
    if real == "/proc/" || real.starts_with("/proc/") && (grant.is_folder() || is_of_a_process(&real)) {
        return Err(Refused::Processes { path: grant.path().to_owned() });
    }
    Ok(FilePin { real, identity: found.map(|stat| identity(&stat)) })
}

/// Whether a path below `/proc/` is of one process.
fn is_of_a_process(real: &str) -> bool {
    let first = real.split('/').nth(2).unwrap_or_default();
    matches!(first, "self" | "thread-self") || first.starts_with(|letter: char| letter.is_ascii_digit())
}

pub(super) fn identity(stat: &Stat) -> FileIdentity {
    FileIdentity { device: stat.st_dev, inode: stat.st_ino }
}

/// A walk from the root, one name at a time.
struct Walk {
    at: Option<OwnedFd>,
    real: String,
    rest: VecDeque<String>,
}

impl Walk {
    fn new(path: &str) -> Self {
        Self { at: None, real: String::new(), rest: names(path).collect() }
    }

    /// Goes on to the end. Gives what is there; none where a part of the path is not there, or cannot be looked at.
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

    /// What is left of the path is not there: it is taken as it is written.
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

/// A handle on a name in a folder, or in the root, which opens nothing and follows nothing.
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

fn check_protected(grant: &FileGrant, protected: Option<&Path>) -> Result<(), Refused> {
    let Some(protected) = protected else { return Ok(()) };
    let protected = protected.canonicalize().unwrap_or_else(|_| PathBuf::from(protected));
    let real = Path::new(grant.real());
    let relation = if grant.is_folder() && (protected.starts_with(real) || holds(real, &protected)) {
        "contains"
    } else if real.starts_with(&protected) {
        "lies in"
    } else {
        return Ok(());
    };
    let protected = protected.display().to_string();
    Err(Refused::Protected { path: grant.path().to_owned(), relation, protected })
}

/// Whether a folder is one of those on the way to `inner`, by whatever name: it may be mounted in two places.
fn holds(folder: &Path, inner: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |path: &Path| std::fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let Some(folder) = identity(folder) else { return false };
    inner.ancestors().any(|ancestor| identity(ancestor) == Some(folder))
}

/// A permission to write to a folder holds for all below it; another one cannot take a part of that back.
fn check_narrower(grants: &[FileGrant]) -> Result<(), Refused> {
    for inner in grants {
        if let Some(outer) = grants.iter().find(|outer| inner.is_narrower_within(outer)) {
            return Err(Refused::Narrower { path: inner.path().to_owned(), folder: outer.path().to_owned() });
        }
    }
    Ok(())
}

/// A folder that plugins may write, in which a granted folder lies: there they can put another in its place. None where
/// the plugin itself was granted to write to all that is around it.
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

/// A text for why an open failed.
pub(super) fn explain(error: Errno) -> String {
    match error {
        Errno::LOOP => "its path contains a symbolic link that was added after the grant".to_owned(),
        other => std::io::Error::from(other).to_string(),
    }
}
