//! Backups.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path};

use async_trait::async_trait;
use outrigger_api::{ApiError, ApiResult, BackupReport, BackupRequest, Backups, Code};
use outrigger_engine::access::Right;
use serde_json::json;

use super::{Act, Session, Trace, Who};
use crate::backup::{self, For};

const HINT: &str =
    "give a file name without a folder: the backup goes to the folder set by `outrigger serve --backups DIR`";

/// Whether it is a plain file name without a folder.
fn is_name(path: &Path) -> bool {
    matches!(path.components().collect::<Vec<_>>()[..], [Component::Normal(_)])
}

/// Checks the backup folder of a server, and creates it if it does not exist. The data directory is not the place for
/// backups: they would be lost with it.
///
/// # Errors
/// It is a file, it is in the data directory, or it cannot be created.
pub(crate) fn prepare_folder(folder: &Path, data: &Path) -> ApiResult<()> {
    let refused = |code, why: String| {
        let error = ApiError::new(code, format!("the backup folder {} {why}", folder.display()));
        Err(error.with_hint("name a folder outside of the data directory with `--backups DIR`"))
    };
    let existing = folder.ancestors().find_map(|path| path.canonicalize().ok());
    if existing.zip(data.canonicalize().ok()).is_some_and(|(existing, data)| existing.starts_with(data)) {
        return refused(Code::InvalidUsage, "is in the data directory".to_owned());
    }
    if folder.exists() && !folder.is_dir() {
        return refused(Code::InvalidUsage, "is not a folder".to_owned());
    }
    match DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        Ok(()) => Ok(()),
        Err(error) => refused(Code::Io, format!("cannot be created: {error}")),
    }
}

#[async_trait]
impl Backups for Session {
    async fn backup_create(&self, request: BackupRequest) -> ApiResult<BackupReport> {
        // A plain file name goes to the backup folder; any other path requires the right `path_use`.
        let (request, by) = match (&self.host.backups, is_name(&request.path)) {
            (Some(folder), true) => (BackupRequest { path: folder.join(&request.path), ..request }, For::KeyInFolder),
            _ => {
                self.require(Right::PATH_USE, "*").map_err(|error| error.with_hint(HINT))?;
                (request, For::Key)
            }
        };
        let by = if matches!(self.who, Who::Local) { For::Administrator } else { by };
        let work = async {
            let host = &self.host;
            let report = backup::create(host, request, by, &self.caller()).await?;
            let after = json!({"path": report.path, "size": report.size, "secret_key": report.has_secret_key});
            Ok((report, Trace { after: Some(after), ..Trace::default() }))
        };
        // A copy cannot be taken back, so it is audited before it is made.
        self.act(Act::destroys(Right::BACKUP_CREATE, "*"), work).await
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_backup_folder_is_outside_of_the_data_directory_and_created() {
        let root = tempfile::tempdir().expect("a folder");
        let path = |name: &str| root.path().join(name);
        std::fs::create_dir(path("data")).expect("a folder");
        std::fs::write(path("file"), "").expect("a file");
        symlink(path("data"), path("link")).expect("a link");
        let refused = |name: &str, part: &str| {
            let error = prepare_folder(&path(name), &path("data")).expect_err("it is refused");
            assert_eq!(error.code, Code::InvalidUsage, "{error:?}");
            assert!(error.message.contains(part) && error.hint.contains("--backups"), "{error:?}");
        };
        refused("file", "is not a folder");
        for name in ["data", "data/backups", "link/a/b"] {
            refused(name, "is in the data directory");
        }
        assert!(!path("data/backups").exists() && !path("data/a").exists());
        for name in ["backups/of/outrigger", "backups"] {
            prepare_folder(&path(name), &path("data")).expect("it is there");
            assert!(path(name).is_dir());
        }
    }
}
