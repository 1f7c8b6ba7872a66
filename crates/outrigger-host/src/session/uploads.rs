//! Uploaded packages. An upload requires the right to install, and has no effect until it is installed.

use async_trait::async_trait;
use outrigger_api::{ApiResult, PackageUpload, Packages, UploadedPackage};
use outrigger_engine::access::Right;
use serde_json::json;

use super::{Act, Session, Trace};

#[async_trait]
impl Packages for Session {
    async fn package_upload(&self, upload: PackageUpload) -> ApiResult<UploadedPackage> {
        self.require_some(Right::PLUGIN_CREATE)?;
        let uploads = &self.host.packages.uploads;
        // Only what was read says of which plugin it is.
        let arrived = uploads.receive(upload, self.caller().key()).await;
        let arrived = arrived.map_err(|error| self.shown_error(error))?;
        let name = arrived.package.name.clone();
        let work = async {
            let kept = uploads.keep(arrived)?;
            let after = Some(json!({"sent": kept.package, "version": kept.version, "size": kept.size}));
            Ok((kept, Trace { after, ..Trace::default() }))
        };
        self.act(Act::new(Right::PLUGIN_CREATE, name.as_str()), work).await
    }
}
