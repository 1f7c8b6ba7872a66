//! Limits on installed plugins and on the disk space of their packages. Both count for the key that installed them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use outrigger_api::ApiResult;
use outrigger_contract::Digest;
use outrigger_engine::{Caller, cap};
use outrigger_registry::StagedPackage;

use super::{Packages, in_background};
use crate::convert;

/// The smallest unit of disk space. Without it, empty files would take no space.
const BLOCK: u64 = 4 << 10;

/// The disk space of packages in bytes. The files of an installed package do not change.
pub(super) type Sizes = HashMap<Digest, u64>;

impl Packages {
    /// Checks that this caller can install one more package. `active` is the version that it replaces.
    pub(super) async fn require_room(
        &self,
        staged: &StagedPackage,
        active: Option<Digest>,
        by: &Caller,
    ) -> ApiResult<()> {
        let (store, name, by) = (self.engine.store(), staged.name(), by.to_string());
        let key = cap::key_of(&by);
        let grants = store.grant_list().await.map_err(convert::store_error)?;
        let installers: HashMap<_, _> =
            grants.iter().map(|grant| (grant.digest, cap::key_of(&grant.granted_by))).collect();
        let plugins = self.engine.plugins();
        let others = plugins.iter().filter(|(record, _)| record.name != *name);
        let others = others.map(|(record, _)| (installers.get(&record.active).copied().flatten(), 0));
        cap::PLUGINS.check(key, others, 0).map_err(convert::error)?;

        // An update keeps the version that it replaces, and removes earlier ones.
        let mut leaving = store.revision_list(name).await.map_err(convert::store_error)?;
        leaving.retain(|former| Some(former.digest) != active && !self.engine.still_runs(name, &former.digest));
        let leaves = |digest: Digest| leaving.iter().any(|former| former.digest == digest);
        let present: Vec<_> =
            installers.into_iter().filter(|(digest, _)| *digest != staged.digest() && !leaves(*digest)).collect();
        let sizes = self.sizes(present.iter().map(|(digest, _)| *digest).collect()).await?;
        let others = present.iter().map(|(_, installer)| *installer).zip(sizes);
        let bytes = staged.files().iter().map(|file| on_disk(file.size)).sum();
        cap::PACKAGES.check(key, others, bytes).map_err(convert::error)
    }

    async fn sizes(&self, digests: Vec<Digest>) -> ApiResult<Vec<u64>> {
        let (known, directory) = (Arc::clone(&self.sizes), self.directory.clone());
        in_background(move || {
            let mut known = known.lock();
            let sizes: Sizes = digests
                .iter()
                .map(|digest| {
                    let size = known.get(digest).copied().unwrap_or_else(|| size_of(&directory.package(digest)));
                    (*digest, size)
                })
                .collect();
            // Packages that were removed are forgotten.
            *known = sizes;
            Ok(digests.iter().map(|digest| known[digest]).collect())
        })
        .await
    }
}

/// The disk space of the files in a folder. Links are not followed.
fn size_of(folder: &Path) -> u64 {
    let (mut size, mut waiting) = (0, vec![folder.to_owned()]);
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => waiting.push(entry.path()),
                Ok(metadata) => size += on_disk(metadata.len()),
                Err(_) => {}
            }
        }
    }
    size
}

/// The disk space of a file of this length. An empty file takes an inode.
fn on_disk(length: u64) -> u64 {
    length.div_ceil(BLOCK).max(1) * BLOCK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s06_a_file_takes_at_least_a_block() {
        let folder = tempfile::tempdir().expect("made");
        fs::create_dir(folder.path().join("a")).expect("made");
        for (name, length) in [("0", 0), ("a/1", 1), ("a/4096", 4_096), ("4097", 4_097)] {
            fs::write(folder.path().join(name), vec![0_u8; length]).expect("written");
        }
        assert_eq!(size_of(folder.path()), (1 + 1 + 1 + 2) * BLOCK);
        assert_eq!(size_of(&folder.path().join("absent")), 0);
    }
}
