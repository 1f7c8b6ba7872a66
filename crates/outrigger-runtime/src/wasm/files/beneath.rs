//! System calls on paths beneath an open folder. The kernel resolves every path (`openat2`), and follows symbolic links
//! only within that folder, regardless of concurrent renames.
//!
//! Only regular files and folders are opened. Opening a pipe, device or socket can have side effects, and a pipe
//! without a writer blocks the thread forever.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, Stat, Timestamps, fstat, fstatfs, linkat,
    mkdirat, openat2, readlinkat, renameat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::roots::Roots;
use super::space;

/// Maximum number of attempts for a lookup. The kernel asks for another attempt after a rename during `..`.
const TRIES: usize = 64;

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Yes,
    No,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) follow: Follow,
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) create: bool,
    pub(super) exclusive: bool,
    pub(super) truncate: bool,
    pub(super) directory: bool,
}

impl Opening {
    fn flags(self) -> OFlags {
        let mut flags = match (self.read, self.write) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        };
        flags.set(OFlags::CREATE, self.create);
        flags.set(OFlags::EXCL, self.exclusive);
        flags.set(OFlags::TRUNC, self.truncate);
        flags.set(OFlags::DIRECTORY, self.directory);
        flags.set(OFlags::NOFOLLOW, self.follow == Follow::No);
        // No effect on files and folders. Prevents blocking if a pipe replaces them at the last moment.
        flags | OFlags::NONBLOCK | OFlags::NOCTTY
    }
}

/// Why opening failed.
#[derive(Debug)]
pub(super) enum OpenError {
    /// It is of this type, neither a file nor a folder.
    Special(&'static str),
    Io(io::Error),
}

impl<E: Into<io::Error>> From<E> for OpenError {
    fn from(error: E) -> Self {
        Self::Io(error.into())
    }
}

/// Opens a file or folder beneath `folder`. Also returns its type.
pub(super) fn open(folder: impl AsFd, path: &str, opening: Opening) -> Result<(File, Stat), OpenError> {
    let folder = folder.as_fd();
    match look(folder, path, opening.follow) {
        Ok(found) => {
            let stat = fstat(&found)?;
            if opening.follow == Follow::No && FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                return Err(Errno::LOOP.into());
            }
            check_kind(&stat)?;
        }
        Err(Errno::NOENT) if opening.create => space::check(folder, 0)?,
        Err(error) => return Err(error.into()),
    }
    let opened = resolve(folder, path, opening.flags(), Mode::from_raw_mode(0o666))?;
    let stat = fstat(&opened)?;
    check_kind(&stat)?;
    if is_of_processes(&opened)? {
        return Err(OpenError::Special("process file"));
    }
    Ok((opened.into(), stat))
}

/// Whether an open file or folder shows processes. `/proc` can be mounted anywhere, also in a granted folder, such as
/// the root of a container.
pub(super) fn is_of_processes(file: impl AsFd) -> rustix::io::Result<bool> {
    Ok(fstatfs(file)?.f_type == PROC_SUPER_MAGIC)
}

fn check_kind(stat: &Stat) -> Result<(), OpenError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::Directory => Ok(()),
        other => Err(OpenError::Special(describe(other))),
    }
}

pub(super) fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        FileType::Symlink => "symbolic link",
        FileType::Directory => "folder",
        _ => "special file",
    }
}

/// The metadata of a path, without opening it.
pub(super) fn stat(folder: impl AsFd, path: &str, follow: Follow) -> io::Result<Stat> {
    Ok(fstat(look(folder.as_fd(), path, follow)?)?)
}

pub(super) fn read_link(folder: impl AsFd, path: &str) -> io::Result<Vec<u8>> {
    // Reading by name would follow a link if the path ends in `/`.
    let link = look(folder.as_fd(), path, Follow::No)?;
    let target = readlinkat(&link, "", Vec::new());
    Ok(target.map_err(|error| if error == Errno::NOENT { Errno::INVAL } else { error })?.into_bytes())
}

pub(super) fn set_times(folder: impl AsFd, path: &str, follow: Follow, times: &Timestamps) -> io::Result<()> {
    let found = look(folder.as_fd(), path, follow)?;
    Ok(utimensat(&found, "", times, AtFlags::EMPTY_PATH)?)
}

pub(super) fn create_folder(folder: impl AsFd, path: &str) -> io::Result<()> {
    if path == "." {
        return Err(Errno::EXIST.into());
    }
    let (parent, name) = parent(folder.as_fd(), path)?;
    space::check(parent.as_fd(), 0)?;
    Ok(mkdirat(parent.as_fd(), name, Mode::from_raw_mode(0o777))?)
}

pub(super) fn remove_folder(folder: impl AsFd, path: &str) -> io::Result<()> {
    let (parent, name) = parent(folder.as_fd(), path)?;
    Ok(unlinkat(parent.as_fd(), name, AtFlags::REMOVEDIR)?)
}

pub(super) fn remove_file(folder: impl AsFd, path: &str) -> io::Result<()> {
    let (parent, name) = parent(folder.as_fd(), path)?;
    Ok(unlinkat(parent.as_fd(), name, AtFlags::empty())?)
}

/// Creates a symbolic link. Absolute targets are refused: they would not resolve here, and would mislead other programs
/// of the host.
pub(super) fn create_link(folder: impl AsFd, target: &str, path: &str) -> io::Result<()> {
    if target.starts_with('/') {
        return Err(Errno::PERM.into());
    }
    let (parent, name) = parent(folder.as_fd(), path)?;
    space::check(parent.as_fd(), 0)?;
    Ok(symlinkat(target, parent.as_fd(), name)?)
}

/// Creates a hard link. A symbolic link at the end of the old path is linked itself.
pub(super) fn link(roots: &Roots, (old, old_path): (&File, &str), (new, new_path): (&File, &str)) -> io::Result<()> {
    let (old_parent, old_name) = parent(old.as_fd(), old_path)?;
    if old_name.ends_with('/') {
        // The kernel would follow a link in a path that ends in `/`.
        return Err(Errno::NOTDIR.into());
    }
    let (new_parent, new_name) = parent(new.as_fd(), new_path)?;
    roots.check_one_grant(old_parent.as_fd(), new_parent.as_fd())?;
    space::check(new_parent.as_fd(), 0)?;
    Ok(linkat(old_parent.as_fd(), old_name, new_parent.as_fd(), new_name, AtFlags::empty())?)
}

pub(super) fn rename(roots: &Roots, (old, old_path): (&File, &str), (new, new_path): (&File, &str)) -> io::Result<()> {
    let (old_parent, old_name) = parent(old.as_fd(), old_path)?;
    let (new_parent, new_name) = parent(new.as_fd(), new_path)?;
    roots.check_one_grant(old_parent.as_fd(), new_parent.as_fd())?;
    Ok(renameat(old_parent.as_fd(), old_name, new_parent.as_fd(), new_name)?)
}

/// Opens the folder again, to list it.
pub(super) fn reopen(folder: impl AsFd) -> io::Result<File> {
    Ok(resolve(folder.as_fd(), ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?.into())
}

/// Opens an absolute path without symbolic links.
pub(super) fn open_plain(path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    retry(|| {
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(CWD, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    })
}

/// An `O_PATH` handle for a path.
fn look(folder: BorrowedFd<'_>, path: &str, follow: Follow) -> rustix::io::Result<OwnedFd> {
    let mut flags = OFlags::PATH;
    flags.set(OFlags::NOFOLLOW, follow == Follow::No);
    resolve(folder, path, flags, Mode::empty())
}

fn resolve(folder: BorrowedFd<'_>, path: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let mode = if flags.contains(OFlags::CREATE) { mode } else { Mode::empty() };
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    retry(|| openat2(folder, path, flags | OFlags::CLOEXEC, mode, beneath)).map_err(|error| match error {
        // It leads outside the folder.
        Errno::XDEV => Errno::PERM,
        other => other,
    })
}

fn retry(mut open: impl FnMut() -> rustix::io::Result<OwnedFd>) -> rustix::io::Result<OwnedFd> {
    for _ in 0..TRIES {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::BUSY)
}

/// The parent folder of a path.
enum Parent<'a> {
    Given(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Given(folder) => *folder,
            Self::Opened(folder) => folder.as_fd(),
        }
    }
}

/// Opens the parent folder of a path, and returns the last component, with a trailing `/` if the path has one. System
/// calls with this component do not follow a link of that name.
fn parent<'a, 'b>(folder: BorrowedFd<'a>, path: &'b str) -> rustix::io::Result<(Parent<'a>, &'b str)> {
    let plain = path.trim_end_matches('/');
    let split = plain.rfind('/').map_or(0, |slash| slash + 1);
    match &plain[split..] {
        "" if path.is_empty() => return Err(Errno::NOENT),
        "" => return Err(Errno::PERM),
        "." | ".." => return Err(Errno::INVAL),
        _ => {}
    }
    let name = &path[split..];
    if split == 0 {
        return Ok((Parent::Given(folder), name));
    }
    let opened = resolve(folder, &path[..split], OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    Ok((Parent::Opened(opened), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s01_processes_are_not_opened_wherever_they_are_mounted() {
        let proc = File::open("/proc").expect("it is there");
        let opening = Opening {
            follow: Follow::Yes,
            read: true,
            write: false,
            create: false,
            exclusive: false,
            truncate: false,
            directory: false,
        };
        for path in ["self/environ", "self/", "loadavg", "."] {
            assert!(matches!(open(&proc, path, opening), Err(OpenError::Special("process file"))), "{path}");
        }
    }
}
