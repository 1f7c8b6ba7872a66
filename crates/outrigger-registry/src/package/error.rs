//! Why a package is refused.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use outrigger_contract::Code;
use outrigger_contract::manifest::{FILE_NAME, ManifestError, PackagePath};
use outrigger_contract::units::ByteSize;

use crate::file::FileError;

/// Why a package cannot be read or is refused. `path` is the package as it was given, or, where the file system failed,
/// the file or folder that it failed at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    #[error("{} does not exist", path.display())]
    NotFound { path: PathBuf },

    #[error("cannot {action} {}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },

    #[error("{} is neither a folder nor a supported archive", path.display())]
    UnknownShape { path: PathBuf },

    #[error("the archive {} cannot be read", path.display())]
    Archive { path: PathBuf, source: Box<dyn Error + Send + Sync> },

    #[error("the archive {} has {size}; the limit is {max}", path.display())]
    ArchiveTooLarge { path: PathBuf, size: ByteSize, max: ByteSize },

    #[error("{} has more than {max} files and folders", path.display())]
    TooManyEntries { path: PathBuf, max: usize },

    #[error("`{entry}` in {} has {size}; the limit is {max}", path.display())]
    FileTooLarge { path: PathBuf, entry: String, size: ByteSize, max: ByteSize },

    #[error("the files in {} have more than {max} in total", path.display())]
    TotalTooLarge { path: PathBuf, max: ByteSize },

    #[error("the archive {} unpacks to more than {max} times its size, like a zip bomb", path.display())]
    Bomb { path: PathBuf, max: u64 },

    #[error("`{entry}` in {}: {fault}", path.display())]
    Entry { path: PathBuf, entry: String, fault: EntryFault },

    #[error("there is no {FILE_NAME} in {}", path.display())]
    NoManifest { path: PathBuf, elsewhere: Option<String> },

    #[error("the {FILE_NAME} in {} has errors", path.display())]
    Manifest { path: PathBuf, source: ManifestError },

    #[error("the manifest in {} names the entry `{entry}`, which is not in the package", path.display())]
    NoEntry { path: PathBuf, entry: PackagePath, instead: Option<PackagePath> },

    #[error("the entry `{entry}` in {} is not WebAssembly", path.display())]
    NotWasm { path: PathBuf, entry: PackagePath },

    #[error("the entry `{entry}` in {} is a core module, not a component", path.display())]
    CoreModule { path: PathBuf, entry: PackagePath },

    #[error(
        "the entry `{entry}` in {} has an unknown WebAssembly format (version {version}, layer {layer})", path.display()
    )]
    UnknownWasm { path: PathBuf, entry: PackagePath, version: u16, layer: u16 },
}

/// A problem with one entry of a package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    #[error("its path is absolute")]
    Absolute,
    #[error("its path leads out of the package with `..`")]
    Parent,
    #[error("its path contains a backslash")]
    Backslash,
    #[error("its path contains a control character")]
    ControlCharacter,
    #[error("its path contains an empty part or a `.`")]
    NotPlain,
    #[error("its path is too long")]
    TooLong,
    #[error("its path is not valid Unicode")]
    NotUnicode,
    #[error("its path is not in composed Unicode (NFC)")]
    NotComposed,
    #[error("there is another entry with this path")]
    Duplicate,
    #[error("it is a link")]
    Link,
    #[error("it is neither a file nor a folder")]
    Special,
    #[error("it is encrypted")]
    Encrypted,
    #[error("its size differs from the size in the archive's index")]
    WrongSize,
}

impl PackageError {
    pub(crate) fn from_io(path: &Path, action: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            _ => Self::Io { path, action, source },
        }
    }

    pub(crate) fn archive(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Archive { path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn entry(path: &Path, entry: &str, fault: EntryFault) -> Self {
        // An entry's name is a stranger's text; on a terminal it must not do anything.
        let shown: String = entry.chars().take(200).flat_map(char::escape_debug).collect();
        Self::Entry { path: path.to_owned(), entry: shown, fault }
    }

    /// The error of one file of a package that is a folder.
    pub(crate) fn of_file(package: &Path, entry: &str, error: FileError) -> Self {
        match error {
            FileError::Link => Self::entry(package, entry, EntryFault::Link),
            FileError::Special { .. } => Self::entry(package, entry, EntryFault::Special),
            error => Self::from_io(&package.join(entry), "read", error.into()),
        }
    }

    /// The package, or the file or folder that the file system failed at.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::NotFound { path }
            | Self::Io { path, .. }
            | Self::UnknownShape { path }
            | Self::Archive { path, .. }
            | Self::ArchiveTooLarge { path, .. }
            | Self::TooManyEntries { path, .. }
            | Self::FileTooLarge { path, .. }
            | Self::TotalTooLarge { path, .. }
            | Self::Bomb { path, .. }
            | Self::Entry { path, .. }
            | Self::NoManifest { path, .. }
            | Self::Manifest { path, .. }
            | Self::NoEntry { path, .. }
            | Self::NotWasm { path, .. }
            | Self::CoreModule { path, .. }
            | Self::UnknownWasm { path, .. } => path,
        }
    }

    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::NotFound,
            Self::Io { .. } => Code::Io,
            Self::UnknownShape { .. } => Code::Unsupported,
            Self::ArchiveTooLarge { .. }
            | Self::TooManyEntries { .. }
            | Self::FileTooLarge { .. }
            | Self::TotalTooLarge { .. }
            | Self::Bomb { .. } => Code::PackageTooLarge,
            Self::Archive { .. } | Self::Entry { .. } | Self::NoEntry { .. } => Code::InvalidPackage,
            Self::NoManifest { .. } | Self::Manifest { .. } => Code::InvalidManifest,
            Self::NotWasm { .. } | Self::CoreModule { .. } | Self::UnknownWasm { .. } => Code::InvalidComponent,
        }
    }

    /// A hint for the next step.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { .. } => "check the path".to_owned(),
            Self::Io { .. } => return None,
            Self::UnknownShape { path } if path.extension().is_some_and(|extension| extension == "wasm") => format!(
                "a component alone is not a package: put it into a folder with a {FILE_NAME} and give the folder"
            ),
            Self::UnknownShape { .. } => "give a folder, a `.zip`, a `.tar.gz` or a `.tgz`".to_owned(),
            Self::Archive { .. } => {
                "download or pack it again; it may be cut off, damaged or of another format".to_owned()
            }
            Self::ArchiveTooLarge { .. } | Self::FileTooLarge { .. } | Self::TotalTooLarge { .. } => {
                "build the plugin in release mode, and leave out files that it does not need at run time".to_owned()
            }
            Self::TooManyEntries { .. } => {
                "leave out files that the plugin does not need at run time, such as `target` and `.git`".to_owned()
            }
            Self::Bomb { .. } => "do not trust its source; real plugins stay far below this limit".to_owned(),
            Self::Entry { fault, .. } => fault.hint().to_owned(),
            Self::NoManifest { elsewhere: Some(elsewhere), .. } => {
                format!("there is one at `{elsewhere}`; give or pack that folder itself")
            }
            Self::NoManifest { elsewhere: None, .. } => {
                format!("every package has a {FILE_NAME} at its root; `outrigger dev new` makes one")
            }
            Self::Manifest { .. } => format!("fix {FILE_NAME} as described, then try again"),
            Self::NoEntry { instead: Some(instead), .. } => format!("did you mean `entry = \"{instead}\"`?"),
            Self::NoEntry { instead: None, .. } => "build the plugin first, with `outrigger dev build`".to_owned(),
            Self::NotWasm { .. } => "name the compiled component as the entry, not its source".to_owned(),
            Self::CoreModule { .. } => "build it as a component, with `outrigger dev build`".to_owned(),
            Self::UnknownWasm { .. } => "build it again with a current toolchain".to_owned(),
        })
    }
}

impl EntryFault {
    fn hint(&self) -> &'static str {
        match self {
            Self::Absolute | Self::Parent | Self::NotPlain => {
                "do not trust where it came from, or pack it again with plain relative paths"
            }
            Self::Backslash => "pack it again with a tool that writes `/` between the parts of a path",
            Self::ControlCharacter | Self::NotUnicode | Self::TooLong => "give the file another name and pack it again",
            Self::NotComposed => "give the file a name in composed Unicode (NFC), or plain ASCII, and pack it again",
            Self::Duplicate => "pack it again, with each file once",
            Self::Link => "replace the link with the file",
            Self::Special => "remove it; packages contain only files and folders",
            Self::Encrypted => "pack it again without a password",
            Self::WrongSize => "download or pack it again; the archive is damaged or manipulated",
        }
    }
}
