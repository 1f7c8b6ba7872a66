//! Removes plugins with their packages, and revisions and packages that are no longer needed.

use outrigger_api::ApiResult;
use outrigger_contract::{Digest, PluginName};
use outrigger_engine::Caller;

use super::Packages;
use super::effects::remove_folder;
use crate::convert;
use crate::data_directory::{PackagesLock, failed};

impl Packages {
    pub(crate) async fn uninstall(&self, name: &PluginName, by: &Caller) -> ApiResult<()> {
        let _lock = self.lock(&by.to_string()).await?;
        let revisions = self.engine.store().revision_list(name).await.map_err(convert::store_error)?;
        self.engine.uninstall(name).await.map_err(convert::error)?;
        for revision in revisions {
            self.remove_files(&revision.digest).await?;
        }
        Ok(())
    }

    /// Removes unused revisions and packages after an update. The update is done, whatever the outcome.
    pub(crate) async fn let_go(&self, lock: &PackagesLock, name: &PluginName) {
        if let Err(error) = self.drop_former(lock, name).await {
            tracing::warn!(plugin = %name, %error, "failed to remove unused revisions");
        }
    }

    /// Removes the revisions of a plugin except the active one and the one to roll back to. A revision with running
    /// calls stays for now: the next update, or the next server, removes it. Returns their number.
    async fn drop_former(&self, _lock: &PackagesLock, name: &PluginName) -> ApiResult<usize> {
        let store = self.engine.store();
        let Some(record) = store.plugin_fetch(name).await.map_err(convert::store_error)? else { return Ok(0) };
        let predecessor = store.predecessor_fetch(name).await.map_err(convert::store_error)?;
        let mut removed = 0;
        for revision in store.revision_list(name).await.map_err(convert::store_error)? {
            let digest = &revision.digest;
            let is_needed = *digest == record.active
                || predecessor.as_ref().is_some_and(|predecessor| predecessor.digest == *digest)
                || self.engine.still_runs(name, digest);
            // The record goes first: files that the store knows nothing of are swept up.
            if !is_needed && store.revision_delete(digest).await.map_err(convert::store_error)? {
                self.remove_files(digest).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes revisions that stayed because of running calls, and packages unknown to the store, which a process left
    /// behind that died while it installed or removed one. Returns their number.
    pub(crate) async fn sweep(&self) -> ApiResult<usize> {
        let lock = self.lock("system").await?;
        let mut removed = 0;
        for (record, _) in self.engine.plugins() {
            removed += self.drop_former(&lock, &record.name).await?;
        }
        let folder = self.directory.packages();
        let unreadable = |error| failed(&format!("{} could not be read", folder.display()), &error);
        let mut entries = tokio::fs::read_dir(&folder).await.map_err(unreadable)?;
        while let Some(entry) = entries.next_entry().await.map_err(unreadable)? {
            let name = entry.file_name();
            // Files with other names do not belong to Outrigger.
            let Some(Ok(digest)) = name.to_str().map(|hex| format!("sha256:{hex}").parse::<Digest>()) else { continue };
            if name.to_str() != Some(digest.hex().as_str()) {
                continue;
            }
            if !self.engine.store().revision_exists(&digest).await.map_err(convert::store_error)? {
                self.remove_files(&digest).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn remove_files(&self, digest: &Digest) -> ApiResult<()> {
        self.engine.runtime().forget(digest).await;
        remove_folder(&self.directory.package(digest)).await
    }
}
