//! Packages that were sent and wait to be installed. Each is an archive in a folder of its own kind, named by the digest of
//! the files in it; until it was read as a whole and found sound it has another name. They are dropped after an hour, and
//! when a server starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use outrigger_api::{ApiError, ApiResult, ArchiveKind, Code, PackageUpload, UploadedPackage};
use outrigger_contract::Digest;
use outrigger_registry::PackageLimits;
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt as _;

use crate::data_directory::{failed, make_private_folder};
use crate::packages::{in_background, package_error};

/// How long a package waits to be installed.
const KEPT: Duration = Duration::from_hours(1);
/// How many may wait or be on their way at once.
const MOST: usize = 32;

/// The folder of packages that wait.
#[derive(Clone, Debug)]
pub(crate) struct Uploads {
    folder: PathBuf,
}

/// A package that arrived and is sound, and is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Arrived {
    archive: TempPath,
    kind: ArchiveKind,
    pub(crate) package: UploadedPackage,
}

impl Uploads {
    pub(crate) const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes a package down while it arrives, and reads it. Stops at the first thing that is wrong.
    pub(crate) async fn receive(&self, upload: PackageUpload) -> ApiResult<Arrived> {
        let PackageUpload { kind, size, digest, content } = upload;
        let limit = PackageLimits::default().archive.as_u64();
        if size.is_some_and(|size| size > limit) {
            return Err(too_large(limit));
        }
        let archive = self.room(kind)?;
        let (found, bytes) = write(&archive, content, limit).await?;
        if size.is_some_and(|size| size != bytes) {
            let message = format!("{bytes} bytes of the package arrived, not the number that was announced");
            return Err(ApiError::new(Code::InvalidUsage, message).with_hint("send it again"));
        }
        if let Some(expected) = digest
            && expected != found
        {
            let message = format!("the SHA-256 of what arrived is {}, not {}", found.hex(), expected.hex());
            return Err(ApiError::new(Code::DigestMismatch, message));
        }
        let (path, folder) = (archive.to_path_buf(), self.folder.clone());
        let staged = in_background(move || outrigger_registry::stage(&path, &folder).map_err(|error| nameless(&error)));
        let staged = staged.await?;
        let package = UploadedPackage {
            package: staged.digest(),
            name: staged.name().clone(),
            version: staged.version().to_string(),
            size: staged.size(),
            files: u32::try_from(staged.files().len()).unwrap_or(u32::MAX),
            kept_until: OffsetDateTime::now_utc() + KEPT,
        };
        Ok(Arrived { archive, kind, package })
    }

    /// Keeps what arrived, in the place of the same package if that was sent before.
    pub(crate) fn keep(&self, arrived: Arrived) -> ApiResult<UploadedPackage> {
        let Arrived { archive, kind, package } = arrived;
        self.forget(&package.package);
        let place = self.place(&package.package, kind);
        archive.persist(&place).map_err(|error| failed("a package could not be kept", &error.error))?;
        Ok(package)
    }

    /// Where the archive of a package lies that was sent.
    pub(crate) fn find(&self, digest: &Digest) -> ApiResult<PathBuf> {
        let found = KINDS.map(|kind| self.place(digest, kind)).into_iter().find(|place| place.is_file());
        found.ok_or_else(|| {
            ApiError::new(Code::NotFound, format!("no package {digest} waits to be installed")).with_hint(
                "packages are kept for an hour after they were sent to `POST /api/v1/packages`; send it again",
            )
        })
    }

    /// Drops a package. One that is not there, or cannot be dropped, goes with the others in time.
    pub(crate) fn forget(&self, digest: &Digest) {
        for kind in KINDS {
            let _ = fs::remove_file(self.place(digest, kind));
        }
    }

    /// Drops what has waited for too long.
    pub(crate) fn tidy(&self) {
        let now = SystemTime::now();
        self.sweep(|changed| now.duration_since(changed).is_ok_and(|age| age > KEPT));
    }

    /// Drops everything. Only for who holds the data directory alone.
    pub(crate) fn clear(&self) {
        self.sweep(|_| true);
    }

    fn sweep(&self, is_due: impl Fn(SystemTime) -> bool) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.modified().is_ok_and(&is_due) {
                continue;
            }
            let path = entry.path();
            let removed = if metadata.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "a package that nobody installed could not be removed");
            }
        }
    }

    /// A file for one more package.
    fn room(&self, kind: ArchiveKind) -> ApiResult<TempPath> {
        let unusable = |error| failed(&format!("{} cannot be used", self.folder.display()), &error);
        make_private_folder(&self.folder).map_err(unusable)?;
        self.tidy();
        if fs::read_dir(&self.folder).map_err(unusable)?.count() >= MOST {
            return Err(ApiError::new(Code::Busy, format!("{MOST} packages wait to be installed"))
                .with_hint("install them; those that nobody installs are dropped after an hour"));
        }
        let suffix = format!(".{}", kind.extension());
        let file = tempfile::Builder::new().prefix("arriving-").suffix(&suffix).tempfile_in(&self.folder);
        file.map(tempfile::NamedTempFile::into_temp_path).map_err(unusable)
    }

    fn place(&self, digest: &Digest, kind: ArchiveKind) -> PathBuf {
        self.folder.join(format!("{}.{}", digest.hex(), kind.extension()))
    }
}

const KINDS: [ArchiveKind; 2] = [ArchiveKind::Zip, ArchiveKind::TarGz];

/// Writes what arrives into a file. Answers its SHA-256 and its length.
async fn write(path: &Path, mut content: outrigger_api::Content, limit: u64) -> ApiResult<(Digest, u64)> {
    let unwritable = |error| failed("a package could not be written down", &error);
    let mut file = tokio::fs::OpenOptions::new().write(true).truncate(true).open(path).await.map_err(unwritable)?;
    let (mut hasher, mut length) = (Sha256::new(), 0);
    while let Some(piece) = content.next().await {
        let piece = piece?;
        length += piece.len() as u64;
        if length > limit {
            return Err(too_large(limit));
        }
        hasher.update(&piece);
        file.write_all(&piece).await.map_err(unwritable)?;
    }
    file.flush().await.map_err(unwritable)?;
    Ok((Digest::from_bytes(hasher.finalize().into()), length))
}

fn too_large(limit: u64) -> ApiError {
    let message = format!("the package is larger than {} MiB", limit >> 20);
    ApiError::new(Code::PackageTooLarge, message)
}

/// An error of a package that says nothing of where it lay on this machine's disk.
fn nameless(error: &outrigger_registry::PackageError) -> ApiError {
    let mut shown = package_error(error);
    shown.message = shown.message.replace(&error.path().display().to_string(), "the package");
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_too_long_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let uploads = Uploads::new(folder.path().join("uploads"));
        uploads.tidy();
        let kept = uploads.room(ArchiveKind::Zip).expect("there is room");
        let old = uploads.place(&Digest::of(b"old"), ArchiveKind::TarGz);
        fs::write(&old, "x").expect("written");
        fs::create_dir(folder.path().join("uploads/stage-1")).expect("made");
        let aged = fs::File::options().write(true).open(&old).expect("opened");
        aged.set_modified(SystemTime::now() - KEPT - Duration::from_secs(1)).expect("it is older now");
        assert!(uploads.find(&Digest::of(b"old")).is_ok());
        uploads.tidy();
        assert_eq!(uploads.find(&Digest::of(b"old")).expect_err("it is gone").code, Code::NotFound);
        assert!(kept.is_file(), "what is on its way stays");
        uploads.clear();
        assert_eq!(fs::read_dir(&uploads.folder).expect("a folder").count(), 0);
    }

    #[test]
    fn only_so_many_wait_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let uploads = Uploads::new(folder.path().join("uploads"));
        let arriving: Vec<_> = (0..MOST).map(|_| uploads.room(ArchiveKind::Zip).expect("there is room")).collect();
        assert_eq!(uploads.room(ArchiveKind::Zip).expect_err("it is full").code, Code::Busy);
        drop(arriving);
        uploads.room(ArchiveKind::Zip).expect("there is room again");
    }
}
