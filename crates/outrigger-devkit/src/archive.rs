//! A package as one file, to be sent somewhere.

use std::path::{Path, PathBuf};

use outrigger_registry::{Package, PackageError, Shape, pack};
use tempfile::TempPath;

/// A package as one file.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    shape: Shape,
    /// Removed with this value, where it was made for it.
    _made: Option<TempPath>,
}

impl Archive {
    /// The archive at a path, or one that is made of the folder there: always the same bytes for the same files.
    ///
    /// # Errors
    /// The folder is not a package, or cannot be packed.
    pub fn of(package: &Path) -> Result<Self, PackageError> {
        let opened = Package::open(package)?;
        // A folder without a valid manifest is not uploaded.
        opened.manifest()?;
        if opened.shape() != Shape::Folder {
            return Ok(Self { path: package.to_owned(), shape: opened.shape(), _made: None });
        }
        let file = tempfile::Builder::new().prefix("outrigger-").suffix(".tar.gz").tempfile();
        let made =
            file.map_err(|source| PackageError::Io { path: std::env::temp_dir(), action: "create a file in", source })?;
        let made = made.into_temp_path();
        pack(package, &made)?;
        Ok(Self { path: made.to_path_buf(), shape: Shape::TarGz, _made: Some(made) })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a `.zip`; otherwise it is a `.tar.gz`.
    #[must_use]
    pub fn is_zip(&self) -> bool {
        self.shape == Shape::Zip
    }
}
