//! Making a backup, while others go on writing.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::write::GzEncoder;
use outrigger_api::{ApiError, ApiResult, AuditHead, BackupReport, BackupRequest, Code};
use outrigger_engine::store::AuditStore as _;
use outrigger_engine::{Caller, Engine};
use outrigger_registry::file::{self, Links};
use outrigger_store::SqliteStore;
use time::OffsetDateTime;

use super::{
    CONFIG, CONTENTS, Contents, DATABASE, FORMAT, Listed, PACKAGES, SECRET_KEY, Stop, TRUST, Watch, in_background,
    io_error,
};
use crate::convert;
use crate::data_directory::DataDirectory;
use crate::disk::{self, Careful, Leave};
use crate::host::Inner;
use crate::vault::{KeyRing, RotationLock};

/// The maximum number of files in the operator's backup folder when a key makes another backup.
pub(crate) const MOST_BACKUPS: usize = 100;

/// Whose backup it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    Administrator,
    /// A key, at a path that it chose: space is left on the disk for others.
    Key,
    /// A key, in the operator's backup folder: the number of files there is limited, too.
    KeyInFolder,
}

impl For {
    const fn leave(self) -> Leave {
        match self {
            Self::Administrator => Leave::Little,
            Self::Key | Self::KeyInFolder => Leave::Share,
        }
    }
}

/// Makes a backup. Packages are neither installed nor removed until it is done, so that those in it are the ones that the
/// database speaks of.
pub(crate) async fn create(host: &Inner, request: BackupRequest, by: For, caller: &Caller) -> ApiResult<BackupReport> {
    let Inner { engine, packages, key_ring: keys, .. } = host;
    let BackupRequest { path, include_secret_key } = request;
    let directory = packages.directory().clone();
    let target = Target::check(&path, &directory)?;
    let lock = packages.lock(&caller.to_string()).await?;
    // No other backup is made while the lock is held.
    if by == For::KeyInFolder {
        target.check_count()?;
    }
    // Nor are keys rotated, so that those in it are the ones that its secrets are encrypted with.
    let rotation = match include_secret_key {
        true => Some(keys_in_file(engine, keys).await?),
        false => None,
    };
    engine.flush().await;
    let staging = directory.staging();
    // In the staging folder, which whoever installs next clears, should this process die.
    let copies = tempfile::Builder::new().prefix("backup-").tempdir_in(&staging);
    let copies = copies.map_err(|error| io_error(format_args!("{} cannot be written", staging.display()), &error))?;
    let database = copies.path().join(DATABASE);
    let size = fs::metadata(directory.database()).map_or(0, |found| found.len());
    disk::require(&staging, size, by.leave())?;
    disk::require(&target.folder, 0, by.leave())?;
    engine.store().copy(&database).await.map_err(convert::store_error)?;
    let (schema, audit) = examine(&database).await?;
    let contents = Contents {
        format: FORMAT,
        outrigger: env!("CARGO_PKG_VERSION").to_owned(),
        schema,
        created_at: OffsetDateTime::now_utc(),
        audit,
        files: Vec::new(),
    };
    in_background(move |stop| {
        // All live until the last byte is packed, whether or not somebody still waits for it.
        let _held = (lock, rotation, &copies);
        let mut sources = vec![(DATABASE.to_owned(), database)];
        let key = directory.root().join(SECRET_KEY);
        if include_secret_key && key.is_file() {
            sources.push((SECRET_KEY.to_owned(), key));
        }
        gather(&directory.packages(), PACKAGES, &mut sources)?;
        gather_configuration(&directory.config(), CONFIG, &mut Vec::new(), &mut sources)?;
        // A restored directory must keep its trust settings; without them, packages would need no signature. So
        // whatever is there that cannot be read, such as a link that leads nowhere, is no reason to leave it out.
        match fs::symlink_metadata(directory.trust()) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            _ => sources.push((TRUST.to_owned(), directory.trust())),
        }
        target.write(contents, &sources, by.leave(), stop)
    })
    .await
}

/// Makes sure that the file in the directory holds all keys that something is encrypted with: that it does not would be found
/// out when the backup is needed.
async fn keys_in_file(engine: &Engine, keys: &Arc<KeyRing>) -> ApiResult<RotationLock> {
    let unusable =
        |error| ApiError::new(Code::SecretUnreadable, format!("the keys of secrets cannot be used: {error}"));
    let waiting = Arc::clone(keys);
    let lock = tokio::task::spawn_blocking(move || waiting.lock()).await;
    let lock = lock.map_err(|error| ApiError::new(Code::Internal, error.to_string()))?.map_err(unusable)?;
    let used = engine.sealing_keys().await.map_err(convert::error)?;
    if used.is_empty() || used.is_subset(&keys.ids_in_file().map_err(unusable)?) {
        return Ok(lock);
    }
    let whence = match used.is_disjoint(&keys.ids_given().map_err(unusable)?) {
        true => "that is not available, probably one from OUTRIGGER_SECRET_KEY",
        false => "from OUTRIGGER_SECRET_KEY, OUTRIGGER_SECRET_KEY_FILE or OUTRIGGER_SECRET_KEYRING",
    };
    let message = format!("the backup could not restore all secrets: {SECRET_KEY} does not contain all of their keys");
    let hint = format!(
        "secrets are encrypted with a key {whence}; store that key separately, and omit `--include-secret-key`"
    );
    Err(ApiError::new(Code::Conflict, message).with_hint(hint))
}

/// The copy is looked at before it is kept: a backup of a damaged database would be found out when it is needed.
async fn examine(database: &Path) -> ApiResult<(i64, outrigger_engine::audit::Head)> {
    let (store, schema) = SqliteStore::open_unchanged(database).await.map_err(convert::store_error)?;
    let examined = async {
        store.check_unchanged().await?;
        store.audit_head().await
    };
    let head = examined.await.map_err(convert::store_error);
    store.close().await;
    Ok((schema, head?))
}

/// Of the file, in bytes: while it is written, its name is somewhat longer.
const LONGEST_NAME: usize = 200;

/// Where the backup goes.
struct Target {
    path: PathBuf,
    folder: PathBuf,
    name: String,
}

impl Target {
    fn check(path: &Path, directory: &DataDirectory) -> ApiResult<Self> {
        let shown = path.display();
        let wrong = |why: &str| ApiError::new(Code::InvalidInput, format!("{shown} cannot be a backup: {why}"));
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Err(
                wrong("the path is not that of a file").with_hint("name a file, such as /var/backups/one.tar.gz")
            );
        };
        if name.len() > LONGEST_NAME {
            return Err(wrong("its name is too long").with_hint("write a name of at most 200 bytes"));
        }
        if !path.is_absolute() {
            return Err(
                wrong("the path does not start with `/`").with_hint("give the absolute path on the server's disk")
            );
        }
        if fs::symlink_metadata(path).is_ok() {
            return Err(exists(path));
        }
        let folder = fs::canonicalize(folder).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename | ErrorKind::InvalidInput => {
                wrong("the folder does not exist")
                    .with_hint(format!("create {} first, or choose another folder", folder.display()))
            }
            _ => io_error(format_args!("the folder {} cannot be used", folder.display()), &error),
        })?;
        let data = fs::canonicalize(directory.root()).unwrap_or_else(|_| directory.root().to_owned());
        if folder.starts_with(data) {
            return Err(wrong("it would be inside the data directory")
                .with_hint("choose a path outside the data directory, preferably on another disk"));
        }
        Ok(Self { path: path.to_owned(), name: name.to_owned(), folder })
    }

    /// Refuses one more backup in a folder that is full of them.
    fn check_count(&self) -> ApiResult<()> {
        let failed = |error: std::io::Error| io_error("the backup folder cannot be read", &error);
        let count = fs::read_dir(&self.folder).map_err(failed)?.take(MOST_BACKUPS).count();
        if count < MOST_BACKUPS {
            return Ok(());
        }
        Err(ApiError::new(Code::Conflict, format!("the backup folder has {MOST_BACKUPS} or more files"))
            .with_hint("delete backups that are no longer needed, or move them to another folder"))
    }

    /// Writes the backup beside its place, and moves it there once every byte is on the disk.
    fn write(
        self,
        mut contents: Contents,
        sources: &[(String, PathBuf)],
        leave: Leave,
        stop: &Stop,
    ) -> ApiResult<BackupReport> {
        let failed = |error: std::io::Error| io_error(format_args!("{} was not written", self.path.display()), &error);
        for (path, source) in sources {
            let (size, sha256) = open(source)?.finish(source, stop)?;
            contents.files.push(Listed { path: path.clone(), size, sha256 });
        }
        // Only its owner can read what `tempfile` makes.
        let mut file = tempfile::Builder::new()
            .prefix(&format!(".{}.", self.name))
            .suffix(".partial")
            .tempfile_in(&self.folder)
            .map_err(failed)?;
        let careful = Careful::new(file.as_file_mut(), &self.folder, leave);
        let compressed = GzEncoder::new(BufWriter::new(careful), super::read::COMPRESSION);
        let mut archive = tar::Builder::new(compressed);
        let list = serde_json::to_vec_pretty(&contents)
            .map_err(|error| ApiError::new(Code::Internal, format!("{CONTENTS} cannot be written: {error}")))?;
        append(&mut archive, CONTENTS, list.len() as u64, &*list).map_err(failed)?;
        for (listed, (_, source)) in contents.files.iter().zip(sources) {
            let mut reader = Watch::new(open(source)?.0, stop, &|_| {});
            append(&mut archive, &listed.path, listed.size, &mut reader).map_err(failed)?;
            let (size, sha256) = reader.finish().map_err(failed)?;
            if (size, sha256) != (listed.size, listed.sha256) {
                let message = format!("{} changed while it was being read", source.display());
                return Err(ApiError::new(Code::Conflict, message));
            }
        }
        let mut written = archive.into_inner().and_then(GzEncoder::finish).map_err(failed)?;
        written.flush().map_err(failed)?;
        drop(written);
        let size = file.as_file().metadata().map_err(failed)?.len();
        file.as_file().sync_all().map_err(failed)?;
        file.persist_noclobber(&self.path).map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(&self.path),
            _ => failed(error.error),
        })?;
        sync_folder(&self.folder).map_err(failed)?;
        Ok(report(self.path, size, &contents))
    }
}

pub(super) fn report(path: PathBuf, size: u64, contents: &Contents) -> BackupReport {
    BackupReport {
        path,
        size,
        created_at: contents.created_at,
        version: contents.outrigger.clone(),
        schema: contents.schema,
        files: contents.files.len() as u64,
        unpacked: contents.unpacked(),
        has_secret_key: contents.files.iter().any(|file| file.path == SECRET_KEY),
        configuration_files: contents.configuration_files(),
        audit: AuditHead { sequence: contents.audit.sequence, hash: contents.audit.hash.hex() },
    }
}

pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn exists(path: &Path) -> ApiError {
    ApiError::new(Code::AlreadyExists, format!("{} already exists", path.display()))
        .with_hint("choose a new file name; backups never overwrite files")
}

/// The files below a folder, in the order of their names, with the paths that they have in the backup.
fn gather(folder: &Path, path: &str, into: &mut Vec<(String, PathBuf)>) -> ApiResult<()> {
    let unreadable = |error: std::io::Error| io_error(format_args!("{} cannot be read", folder.display()), &error);
    let mut entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(unreadable)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (kind, source) = (entry.file_type().map_err(unreadable)?, entry.path());
        let inside = entry.file_name().to_str().map(|name| format!("{path}/{name}"));
        match inside {
            Some(inside) if kind.is_dir() => gather(&source, &inside, into)?,
            Some(inside) if kind.is_file() && super::is_expected(&inside) => into.push((inside, source)),
            _ => {
                let message = format!("{} does not belong to the installed package", source.display());
                return Err(ApiError::new(Code::DataDirectory, message).with_hint("move the file away and try again"));
            }
        }
    }
    Ok(())
}

/// The configuration files. As when they are read, links are followed; what else lies beside them is not Outrigger's.
fn gather_configuration(
    folder: &Path,
    path: &str,
    above: &mut Vec<PathBuf>,
    into: &mut Vec<(String, PathBuf)>,
) -> ApiResult<()> {
    let unreadable = |error: std::io::Error| io_error(format_args!("{} cannot be read", folder.display()), &error);
    let itself = match fs::canonicalize(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(unreadable)?,
    };
    // A link may lead back to where it is.
    if above.contains(&itself) {
        return Ok(());
    }
    above.push(itself);
    let mut entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(unreadable)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, source) = (entry.file_name(), entry.path());
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let inside = format!("{path}/{name}");
        match fs::metadata(&source) {
            Ok(found) if found.is_dir() => gather_configuration(&source, &inside, above, into)?,
            Ok(found) if found.is_file() && super::is_expected(&inside) => into.push((inside, source)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    above.pop();
    Ok(())
}

struct Source(File);

fn open(path: &Path) -> ApiResult<Source> {
    let opened = file::open(path, Links::Follow).map_err(std::io::Error::from);
    opened.map(Source).map_err(|error| io_error(format_args!("{} cannot be read", path.display()), &error))
}

impl Source {
    fn finish(self, path: &Path, stop: &Stop) -> ApiResult<(u64, outrigger_contract::Digest)> {
        let read = Watch::new(self.0, stop, &|_| {}).finish();
        read.map_err(|error| io_error(format_args!("{} cannot be read", path.display()), &error))
    }
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    path: &str,
    size: u64,
    content: impl std::io::Read,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o600);
    // No more than was announced: a file that grew is found out by its digest.
    archive.append_data(&mut header, path, content.take(size))
}

#[cfg(test)]
mod tests {
    use outrigger_testkit::traps;

    use super::*;

    #[test]
    fn s22_only_regular_files_are_put_into_a_backup() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(TRUST);
        let told = traps::refusals(&path, |path| open(path).map(drop).expect_err("it is refused").message);
        let expected = ["a pipe", "a device"]
            .map(|kind| format!("{} cannot be read: it is {kind}, not a regular file", path.display()));
        assert_eq!(told, expected);
    }
}
