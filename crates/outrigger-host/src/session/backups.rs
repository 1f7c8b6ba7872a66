//! Backups.

use async_trait::async_trait;
use outrigger_api::{ApiResult, BackupReport, BackupRequest, Backups};
use outrigger_engine::access::Right;
use serde_json::json;

use super::{Act, Session, Trace};
use crate::backup;

#[async_trait]
impl Backups for Session {
    async fn backup_create(&self, request: BackupRequest) -> ApiResult<BackupReport> {
        let work = async {
            let host = &self.host;
            let report = backup::create(&host.engine, &host.packages, &host.key_ring, request).await?;
            let after = json!({"path": report.path, "size": report.size, "secret_key": report.has_secret_key});
            Ok((report, Trace { after: Some(after), ..Trace::default() }))
        };
        // What has left in a copy cannot be taken back, so it is written down before it is made.
        self.act(Act::destroys(Right::BACKUP_CREATE, "*"), work).await
    }
}
