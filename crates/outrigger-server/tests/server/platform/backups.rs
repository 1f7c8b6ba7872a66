//! A backup, which is not written.

use async_trait::async_trait;
use outrigger_api::*;
use time::OffsetDateTime;

use super::Seen;

#[async_trait]
impl Backups for Seen {
    async fn backup_create(&self, request: BackupRequest) -> ApiResult<BackupReport> {
        self.allowed()?;
        let BackupRequest { path, include_secret_key } = request;
        Ok(BackupReport {
            path,
            size: 1,
            created_at: OffsetDateTime::UNIX_EPOCH,
            version: "0.1.0".to_owned(),
            schema: 2,
            files: 1,
            unpacked: 1,
            has_secret_key: include_secret_key,
            configuration_files: 0,
            audit: AuditHead { sequence: 0, hash: String::new() },
        })
    }
}
