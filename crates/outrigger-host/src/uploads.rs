//! Packages that were sent and wait to be installed. Each is an archive in a folder of its own kind, named by the digest of
//! the files in it; until it was read as a whole and found sound it has another name. They are dropped after an hour, and
//! when a server starts.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use outrigger_api::{ApiError, ApiResult, ArchiveKind, Code, PackageUpload, UploadedPackage};
use outrigger_compute::Turns;
use outrigger_contract::Digest;
use outrigger_registry::{Package, PackageLimits};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt as _;

use crate::data_directory::{failed, make_private_folder};
use crate::disk::{self, Leave};
use crate::packages::{in_background, package_error};

/// How long a package waits to be installed.
const KEPT: Duration = Duration::from_hours(1);
/// The limits for all uploads, in progress and stored: number and bytes.
const MOST: usize = 32;
const MOST_BYTES: u64 = 1 << 30;
/// The limits for the uploads of one key.
const MOST_OF_ONE: usize = 8;
const MOST_BYTES_OF_ONE: u64 = 256 << 20;
/// The number of uploads that are unpacked at the same time, of which each key has one.
const READ_AT_ONCE: usize = 2;

/// The folder of packages that wait.
#[derive(Debug)]
pub(crate) struct Uploads {
    folder: PathBuf,
    /// The uploads on the disk, by key.
    places: Arc<Mutex<Vec<Taken>>>,
    /// The reservations of stored uploads.
    waiting: Mutex<HashMap<Digest, Place>>,
    reading: Turns,
}

/// The usage of one upload.
#[derive(Debug)]
struct Taken {
    id: u64,
    /// The uploading key; none for the administrator of the data directory.
    sender: Option<String>,
    bytes: u64,
}

/// A reservation of disk space for an upload, released when it is dropped.
#[derive(Debug)]
struct Place {
    id: u64,
    places: Arc<Mutex<Vec<Taken>>>,
}

impl Place {
    /// Reserves more bytes, before they are written.
    fn grow(&self, bytes: u64) -> ApiResult<()> {
        let mut places = self.places.lock();
        let all: u64 = places.iter().map(|taken| taken.bytes).sum();
        let sender = places.iter().find(|taken| taken.id == self.id).and_then(|taken| taken.sender.clone());
        let own: u64 = places.iter().filter(|taken| taken.sender == sender).map(|taken| taken.bytes).sum();
        if sender.is_some() && own + bytes > MOST_BYTES_OF_ONE {
            return Err(full(&format!(
                "this key has more than {} MiB of uploads that are not installed",
                MOST_BYTES_OF_ONE >> 20
            )));
        }
        if all + bytes > MOST_BYTES {
            return Err(full(&format!(
                "there are more than {} MiB of uploads that are not installed",
                MOST_BYTES >> 20
            )));
        }
        if let Some(taken) = places.iter_mut().find(|taken| taken.id == self.id) {
            taken.bytes += bytes;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().retain(|taken| taken.id != self.id);
    }
}

fn full(message: &str) -> ApiError {
    ApiError::new(Code::Busy, message)
        .with_hint("install them; uploads that are not installed are deleted after an hour")
}

/// A package that arrived and is sound, and is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Arrived {
    archive: TempPath,
    place: Place,
    kind: ArchiveKind,
    pub(crate) package: UploadedPackage,
}

impl Uploads {
    pub(crate) fn new(folder: PathBuf) -> Self {
        let reading = Turns::new(READ_AT_ONCE);
        Self { folder, places: Arc::default(), waiting: Mutex::default(), reading }
    }

    /// The folder, created if it does not exist.
    pub(crate) fn folder(&self) -> ApiResult<PathBuf> {
        make_private_folder(&self.folder)
            .map_err(|error| failed(&format!("{} cannot be used", self.folder.display()), &error))?;
        Ok(self.folder.clone())
    }

    /// Writes a package to disk while it arrives, and reads it. Stops at the first error. `sender` is the uploading
    /// key.
    pub(crate) async fn receive(&self, upload: PackageUpload, sender: Option<&str>) -> ApiResult<Arrived> {
        let PackageUpload { kind, size, digest, content } = upload;
        let limit = PackageLimits::default().archive.as_u64();
        if size.is_some_and(|size| size > limit) {
            return Err(too_large(limit));
        }
        let leave = disk::left_by(sender);
        let (archive, place) = self.room(kind, sender)?;
        disk::require(&self.folder, size.unwrap_or(0), leave)?;
        let (found, bytes) = write(&archive, &self.folder, &place, content, limit, leave).await?;
        if size.is_some_and(|size| size != bytes) {
            let message = format!("{bytes} bytes of the package arrived, which differs from its announced length");
            return Err(ApiError::new(Code::InvalidUsage, message).with_hint("send it again"));
        }
        if let Some(expected) = digest
            && expected != found
        {
            let message = format!("the received data has the SHA-256 {}, not {}", found.hex(), expected.hex());
            return Err(ApiError::new(Code::DigestMismatch, message));
        }
        let _reading = self.reading.begin(sender.unwrap_or_default()).await;
        let (path, folder) = (archive.to_path_buf(), self.folder.clone());
        let staged = in_background(move || {
            let staged = Package::open(path).and_then(|package| package.leaving(leave).stage(&folder));
            staged.map_err(|error| nameless(&error))
        })
        .await?;
        let package = UploadedPackage {
            package: staged.digest(),
            name: staged.name().clone(),
            version: staged.version().to_string(),
            size: staged.size(),
            files: u32::try_from(staged.files().len()).unwrap_or(u32::MAX),
            kept_until: OffsetDateTime::now_utc() + KEPT,
        };
        Ok(Arrived { archive, place, kind, package })
    }

    /// Keeps what arrived, in the place of the same package if that was sent before.
    pub(crate) fn keep(&self, arrived: Arrived) -> ApiResult<UploadedPackage> {
        let Arrived { archive, place, kind, package } = arrived;
        self.forget(&package.package);
        let path = self.place(&package.package, kind);
        archive.persist(&path).map_err(|error| failed("failed to store the upload", &error.error))?;
        self.waiting.lock().insert(package.package, place);
        Ok(package)
    }

    /// Where the archive of a package lies that was sent.
    pub(crate) fn find(&self, digest: &Digest) -> ApiResult<PathBuf> {
        let found = KINDS.map(|kind| self.place(digest, kind)).into_iter().find(|place| place.is_file());
        found.ok_or_else(|| {
            ApiError::new(Code::NotFound, format!("no uploaded package {digest} is waiting to be installed"))
                .with_hint("uploads to `POST /api/v1/packages` are kept for an hour; upload it again")
        })
    }

    /// Drops a package. One that is not there, or cannot be dropped, goes with the others in time.
    pub(crate) fn forget(&self, digest: &Digest) {
        self.waiting.lock().remove(digest);
        for kind in KINDS {
            let _ = fs::remove_file(self.place(digest, kind));
        }
    }

    /// Drops what has waited for too long.
    pub(crate) fn tidy(&self) {
        let now = SystemTime::now();
        self.sweep(|changed| now.duration_since(changed).is_ok_and(|age| age > KEPT));
        let is_there = |digest: &Digest| KINDS.map(|kind| self.place(digest, kind)).iter().any(|place| place.is_file());
        self.waiting.lock().retain(|digest, _| is_there(digest));
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
                tracing::warn!(path = %path.display(), %error, "failed to remove an upload that was not installed");
            }
        }
    }

    /// A file for one more package.
    fn room(&self, kind: ArchiveKind, sender: Option<&str>) -> ApiResult<(TempPath, Place)> {
        let unusable = |error| failed(&format!("{} cannot be used", self.folder.display()), &error);
        make_private_folder(&self.folder).map_err(unusable)?;
        self.tidy();
        let place = self.take(sender)?;
        let suffix = format!(".{}", kind.extension());
        let file = tempfile::Builder::new().prefix("arriving-").suffix(&suffix).tempfile_in(&self.folder);
        Ok((file.map(tempfile::NamedTempFile::into_temp_path).map_err(unusable)?, place))
    }

    fn take(&self, sender: Option<&str>) -> ApiResult<Place> {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let mut places = self.places.lock();
        if places.len() >= MOST {
            return Err(full(&format!("there are {MOST} uploads that are not installed")));
        }
        if sender.is_some() && places.iter().filter(|taken| taken.sender.as_deref() == sender).count() >= MOST_OF_ONE {
            return Err(full(&format!("this key has {MOST_OF_ONE} uploads that are not installed")));
        }
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        places.push(Taken { id, sender: sender.map(str::to_owned), bytes: 0 });
        Ok(Place { id, places: Arc::clone(&self.places) })
    }

    fn place(&self, digest: &Digest, kind: ArchiveKind) -> PathBuf {
        self.folder.join(format!("{}.{}", digest.hex(), kind.extension()))
    }
}

const KINDS: [ArchiveKind; 2] = [ArchiveKind::Zip, ArchiveKind::TarGz];

/// Writes what arrives into a file. Answers its SHA-256 and its length.
async fn write(
    path: &Path,
    folder: &Path,
    place: &Place,
    mut content: outrigger_api::Content,
    limit: u64,
    leave: Leave,
) -> ApiResult<(Digest, u64)> {
    let unwritable = |error| failed("a package could not be written down", &error);
    let mut file = tokio::fs::OpenOptions::new().write(true).truncate(true).open(path).await.map_err(unwritable)?;
    let (mut hasher, mut length) = (Sha256::new(), 0);
    while let Some(piece) = content.next().await {
        let piece = piece?;
        length += piece.len() as u64;
        if length > limit {
            return Err(too_large(limit));
        }
        place.grow(piece.len() as u64)?;
        hasher.update(&piece);
        disk::require(folder, piece.len() as u64, leave)?;
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
        let (kept, _place) = uploads.room(ArchiveKind::Zip, None).expect("there is room");
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
        let room = |sender| uploads.room(ArchiveKind::Zip, sender);
        let arriving: Vec<_> = (0..MOST).map(|_| room(None).expect("there is room")).collect();
        assert_eq!(room(None).expect_err("it is full").code, Code::Busy);
        drop(arriving);
        room(None).expect("there is room again");
    }

    #[tokio::test]
    async fn s24_uploads_of_one_key_do_not_wait_in_front_of_those_of_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let uploads = Uploads::new(folder.path().join("uploads"));
        let receive = |sender: &'static str, within| {
            let content = futures::stream::empty().boxed();
            let upload = PackageUpload { kind: ArchiveKind::Zip, size: None, digest: None, content };
            tokio::time::timeout(within, uploads.receive(upload, Some(sender)))
        };
        let _turn = uploads.reading.begin("loud").await;
        assert!(receive("loud", Duration::from_millis(100)).await.is_err(), "it has one turn at a time");
        let refused = receive("quiet", Duration::from_secs(10)).await.expect("there is a place");
        assert_eq!(refused.expect_err("it is no archive").code, Code::InvalidPackage);
    }

    #[test]
    fn s13_one_key_fills_its_own_part_of_the_disk_and_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let uploads = Uploads::new(folder.path().join("uploads"));
        let room = |sender| uploads.room(ArchiveKind::Zip, Some(sender));
        let number: Vec<_> = (0..MOST_OF_ONE).map(|_| room("a").expect("there is room")).collect();
        assert_eq!(room("a").expect_err("it has too many").code, Code::Busy);
        let (_file, other) = room("b").expect("there is room for others");
        other.grow(MOST_BYTES_OF_ONE).expect("it may have that much");
        assert_eq!(other.grow(1).expect_err("and no more").code, Code::Busy);
        drop(number);
        let (_file, place) = room("a").expect("there is room again");
        place.grow(MOST_BYTES_OF_ONE).expect("it may have that much");
    }
}
