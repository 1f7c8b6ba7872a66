//! The packages that are sent.

use async_trait::async_trait;
use futures::StreamExt as _;
use outrigger_api::*;
use time::OffsetDateTime;

use super::{DIGEST, Seen};

#[async_trait]
impl Packages for Seen {
    async fn package_upload(&self, upload: PackageUpload) -> ApiResult<UploadedPackage> {
        self.allowed()?;
        let PackageUpload { kind, size: _, digest, mut content } = upload;
        let mut bytes = Vec::new();
        while let Some(piece) = content.next().await {
            bytes.extend_from_slice(&piece?);
        }
        *self.state.sent.lock() = Some((kind, digest, bytes));
        Ok(UploadedPackage {
            package: DIGEST.parse().unwrap(),
            name: "pricing".parse().unwrap(),
            version: "1.2.0".to_owned(),
            size: 1,
            files: 1,
            kept_until: OffsetDateTime::UNIX_EPOCH,
        })
    }
}
