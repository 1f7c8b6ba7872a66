//! Checking a backup, and making a data directory of it. Both need no platform: there is none yet.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use outrigger_api::{ApiError, ApiResult, BackupReport, Code};
use outrigger_store::SqliteStore;
use tempfile::TempDir;

use super::create::{report, sync_folder};
use super::read::{read, refused};
use super::{Contents, DATABASE, Progress, in_background, io_error};
use crate::convert;
use crate::session::{AuditReading, read_audit_log};

/// Reads a backup from end to end: its form, the digest of every file, the database's every page, the whole audit log.
///
/// # Errors
/// It is not as it was when it was made, or was made by a newer version.
pub async fn verify(path: &Path, progress: Progress) -> ApiResult<BackupReport> {
    let path = absolute(path)?;
    let backup = path.clone();
    let (contents, size, copy) = in_background(move |stop| {
        let copy = folder_for_copy(&path)?;
        let place = copy.path().join(DATABASE);
        let (contents, size) = read(&path, &progress, stop, &mut |listed, content| match listed.path.as_str() {
            DATABASE => write(&place, content).map_err(|error| not_written(&place, &error)),
            _ => Ok(()),
        })?;
        Ok((contents, size, copy))
    })
    .await?;
    check_database(&backup, &copy.path().join(DATABASE), &contents).await?;
    Ok(report(backup, size, &contents))
}

/// Makes a data directory of a backup. It is put together beside its place, checked as by [`verify`], and moved there in one
/// step: whatever happens, there is a whole data directory afterwards or none.
///
/// # Errors
/// There is something at `data` already; or the backup is refused.
pub async fn restore(path: &Path, data: &Path, progress: Progress) -> ApiResult<BackupReport> {
    let (path, data) = (absolute(path)?, absolute(data)?);
    let (backup, target) = (path.clone(), data.clone());
    let (contents, size, made) = in_background(move |stop| {
        let made = folder_beside(&data)?;
        let root = made.path().to_owned();
        let (contents, size) = read(&path, &progress, stop, &mut |listed, content| {
            let place = root.join(&listed.path);
            let folder = place.parent().unwrap_or(&root);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .and_then(|()| write(&place, content))
                .map_err(|error| not_written(&place, &error))
        })?;
        sync_all(&root).map_err(|error| not_written(&root, &error))?;
        Ok((contents, size, made))
    })
    .await?;
    check_database(&backup, &made.path().join(DATABASE), &contents).await?;
    put(made, &target)?;
    Ok(report(backup, size, &contents))
}

fn absolute(path: &Path) -> ApiResult<PathBuf> {
    std::path::absolute(path).map_err(|error| io_error(format_args!("{} cannot be found", path.display()), &error))
}

fn not_written(path: &Path, error: &io::Error) -> ApiError {
    io_error(format_args!("{} was not written", path.display()), error)
}

/// Beside the backup, where there is room for one; elsewhere if nothing can be written there.
fn folder_for_copy(backup: &Path) -> ApiResult<TempDir> {
    let make = tempfile::Builder::new().prefix(".outrigger-verify-").to_owned();
    let beside = backup.parent().map(|folder| make.tempdir_in(folder));
    let made = match beside {
        Some(Ok(folder)) => Ok(folder),
        _ => make.tempdir(),
    };
    made.map_err(|error| io_error("no temporary folder can be made", &error))
}

/// A folder on the same disk, after a look at what is at its place now.
fn folder_beside(data: &Path) -> ApiResult<TempDir> {
    let shown = data.display();
    let unusable = |error: io::Error| io_error(format_args!("{shown} cannot be used"), &error);
    let in_use = || {
        ApiError::new(Code::AlreadyExists, format!("{shown} is not an empty folder"))
            .with_hint("choose an empty or new folder with `--data DIR`; a restore never overwrites data")
    };
    let (Some(parent), Some(name)) = (data.parent(), data.file_name()) else { return Err(in_use()) };
    match fs::symlink_metadata(data) {
        Ok(found) if !found.is_dir() => return Err(in_use()),
        Ok(_) if fs::read_dir(data).map_err(unusable)?.next().is_some() => return Err(in_use()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(parent).map_err(unusable)?,
        Err(error) => return Err(unusable(error)),
    }
    let prefix = format!(".{}.restore-", name.to_string_lossy());
    let owner_only = fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix(&prefix).permissions(owner_only).tempdir_in(parent).map_err(unusable)
}

/// Moves it to its place, which must still be empty: the system sees to that.
fn put(made: TempDir, data: &Path) -> ApiResult<()> {
    if let Err(error) = fs::rename(made.path(), data) {
        // It is still there under its first name, and goes with `made`.
        let message = format!("failed to move the restored data to {}: {error}", data.display());
        return Err(ApiError::new(Code::DataDirectory, message)
            .with_hint("the folder must be empty, not in use, and not a mount point"));
    }
    // Nothing is left at the place that it would clear.
    let _ = made.keep();
    let parent = data.parent().unwrap_or(data);
    sync_folder(parent).map_err(|error| not_written(parent, &error))
}

/// Writes a file that is not there yet, for its owner alone.
fn write(place: &Path, content: &mut dyn Read) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(place)?;
    io::copy(content, &mut file)?;
    file.sync_all()
}

/// Folders too have to be on the disk, or the files in them are not found after a power cut.
fn sync_all(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        }
    }
    sync_folder(folder)
}

async fn check_database(backup: &Path, database: &Path, contents: &Contents) -> ApiResult<()> {
    let wrong = |why: &str| refused(backup, &format!("its database {why}"));
    let (store, schema) =
        SqliteStore::open_unchanged(database).await.map_err(|error| wrong(&convert::store_error(error).message))?;
    let checked = async {
        store.check_unchanged().await.map_err(|error| wrong(&convert::store_error(error).message))?;
        let AuditReading { head, fault, .. } = read_audit_log(&store).await.map_err(|error| wrong(&error.message))?;
        match fault {
            Some(fault) => Err(wrong(&format!("holds an audit log that is not whole: {fault}"))),
            None if schema != contents.schema => Err(wrong("is of another version than its list says")),
            None if head != contents.audit => Err(wrong("holds an audit log that ends elsewhere than its list says")),
            None => Ok(()),
        }
    };
    let checked = checked.await;
    store.close().await;
    checked
}
