//! Opens and reads files that others can put in place: packages, templates, and what an operator keeps in a data
//! directory. Opening a named pipe blocks until a writer comes, and a device such as `/dev/zero` has no end. So only
//! regular files are opened, and none is read beyond its limit.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use outrigger_contract::units::ByteSize;
use rustix::fs::OFlags;
use rustix::io::Errno;

/// Whether a symbolic link may stand in for a file. Links in the path of its folder are always followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// For the operator's own files: Kubernetes mounts configuration and secrets as links.
    Follow,
    /// For files from others, where a link could lead to any file of the reader.
    Refuse,
}

/// Why a file cannot be opened or read. The path is not part of it: the caller's error names the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    #[error("it is a link")]
    Link,
    #[error("it is a folder, not a file")]
    Folder,
    /// `kind` is the kind of file with its article.
    #[error("it is {kind}, not a regular file")]
    Special { kind: &'static str },
    #[error("it is larger than {max}")]
    TooLarge { max: ByteSize },
    #[error("it is not text in UTF-8")]
    NotText,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl FileError {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == ErrorKind::NotFound)
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io(error) => error,
            other => Self::other(other),
        }
    }
}

/// Opens a regular file for reading. Never blocks on a named pipe or a terminal.
///
/// # Errors
/// It cannot be opened, or is not a regular file.
pub fn open(path: &Path, links: Links) -> Result<File, FileError> {
    let follow = match links {
        Links::Follow => OFlags::empty(),
        Links::Refuse => OFlags::NOFOLLOW,
    };
    // The standard library adds `O_CLOEXEC`. On a regular file, `O_NONBLOCK` has no effect.
    let flags = (follow | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(code) if links == Links::Refuse && code == Errno::LOOP.raw_os_error() => FileError::Link,
        Some(code) if code == Errno::NXIO.raw_os_error() => FileError::Special { kind: "a socket or a device" },
        _ => FileError::Io(error),
    })?;
    // The kind of the opened file, not of the path: the file may have been replaced since.
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        Ok(file)
    } else if kind.is_dir() {
        Err(FileError::Folder)
    } else if kind.is_fifo() {
        Err(FileError::Special { kind: "a pipe" })
    } else {
        Err(FileError::Special { kind: "a device" })
    }
}

/// Reads a regular file of at most `max`.
///
/// # Errors
/// It cannot be read, is not a regular file, or is larger.
pub fn read(path: &Path, links: Links, max: ByteSize) -> Result<Vec<u8>, FileError> {
    let file = open(path, links)?;
    let size = file.metadata()?.len();
    if size > max.as_u64() {
        return Err(FileError::TooLarge { max });
    }
    // Large enough from the start: a buffer that grows would leave copies of keys behind.
    let mut bytes = Vec::with_capacity(size as usize + 1);
    file.take(max.as_u64().saturating_add(1)).read_to_end(&mut bytes)?;
    // It may have grown, and the size of a file in `/proc` is unknown.
    match bytes.len() as u64 > max.as_u64() {
        true => Err(FileError::TooLarge { max }),
        false => Ok(bytes),
    }
}

/// Like [`read`], for text in UTF-8.
///
/// # Errors
/// As [`read`]; or it is not UTF-8.
pub fn read_text(path: &Path, links: Links, max: ByteSize) -> Result<String, FileError> {
    String::from_utf8(read(path, links, max)?).map_err(|_| FileError::NotText)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use outrigger_testkit::traps;

    use super::*;

    const MAX: ByteSize = ByteSize::bytes(10);

    fn refusal(path: &Path, links: Links) -> String {
        read(path, links, MAX).expect_err("it is refused").to_string()
    }

    #[test]
    fn s22_only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let pipe = "it is a pipe, not a regular file";
        let followed = traps::refusals(&path, |path| refusal(path, Links::Follow));
        assert_eq!(followed, [pipe, "it is a device, not a regular file"]);
        let refused = traps::refusals(&path, |path| refusal(path, Links::Refuse));
        assert_eq!(refused, [pipe, "it is a link"]);
        let _socket = UnixListener::bind(&path).unwrap();
        assert_eq!(refusal(&path, Links::Follow), "it is a socket or a device, not a regular file");
        assert_eq!(refusal(folder.path(), Links::Refuse), "it is a folder, not a file");
        assert!(read(&folder.path().join("nothing"), Links::Refuse, MAX).is_err_and(|error| error.is_not_found()));
    }

    #[test]
    fn s22_links_to_regular_files_are_followed_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "text").unwrap();
        symlink("file", &link).unwrap();
        assert_eq!(read_text(&link, Links::Follow, MAX).unwrap(), "text");
        assert_eq!(refusal(&link, Links::Refuse), "it is a link");
        assert_eq!(read_text(&file, Links::Refuse, MAX).unwrap(), "text");
    }

    #[test]
    fn s22_a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (length, fits) in [(0, true), (10, true), (11, false)] {
            fs::write(&path, vec![b'x'; length]).unwrap();
            assert_eq!(read(&path, Links::Refuse, MAX).is_ok_and(|bytes| bytes.len() == length), fits, "{length}");
        }
        assert_eq!(refusal(&path, Links::Refuse), "it is larger than 10B");
        // The kernel reports a size of 0.
        assert_eq!(refusal(Path::new("/proc/self/status"), Links::Follow), "it is larger than 10B");
        fs::write(&path, [0xff]).unwrap();
        let refused = read_text(&path, Links::Refuse, MAX).expect_err("it is not text");
        assert_eq!(refused.to_string(), "it is not text in UTF-8");
    }
}
