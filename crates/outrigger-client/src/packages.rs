//! Packages on their way to a server.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use outrigger_api::{ApiError, ApiResult, PackageUpload, Packages, UploadedPackage};
use parking_lot::Mutex;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};

use crate::Client;

#[async_trait]
impl Packages for Client {
    async fn package_upload(&self, upload: PackageUpload) -> ApiResult<UploadedPackage> {
        let PackageUpload { kind, size, digest, content } = upload;
        // A local error is reported as such, not as a broken connection.
        let failed: Arc<Mutex<Option<ApiError>>> = Arc::default();
        let seen = Arc::clone(&failed);
        let content = content.map(move |piece| piece.inspect_err(|error| *seen.lock() = Some(error.clone())));
        let mut request = self.request(Method::POST, "api/v1/packages")?.header(CONTENT_TYPE, kind.media());
        if let Some(size) = size {
            request = request.header(CONTENT_LENGTH, size);
        }
        if let Some(digest) = digest {
            let said = base64_simd::STANDARD.encode_to_string(digest.as_bytes());
            request = request.header("Content-Digest", format!("sha-256=:{said}:"));
        }
        let outcome = self.read(request.body(Body::wrap_stream(content))).await;
        let failed = failed.lock().take();
        outcome.map_err(|error| failed.unwrap_or(error))
    }
}
