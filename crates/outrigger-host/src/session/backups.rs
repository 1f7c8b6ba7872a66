//! Backups.

use std::path::{Component, Path};

use async_trait::async_trait;
use outrigger_api::{ApiResult, BackupReport, BackupRequest, Backups};
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
            let report = backup::create(&host.engine, &host.packages, &host.key_ring, request, by).await?;
            let after = json!({"path": report.path, "size": report.size, "secret_key": report.has_secret_key});
            Ok((report, Trace { after: Some(after), ..Trace::default() }))
        };
        // A copy cannot be taken back, so it is audited before it is made.
        self.act(Act::destroys(Right::BACKUP_CREATE, "*"), work).await
    }
}
