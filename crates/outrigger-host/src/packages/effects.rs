//! What is done with the files of a package once it is to be installed.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use outrigger_api::{ApiError, ApiResult};
use outrigger_engine::Failure;
use outrigger_engine::configuration::Given;
use outrigger_engine::life::{Author, Edits, Installation, Migrated};
use outrigger_engine::lifecycle::{Effect, Effects};
use outrigger_engine::store::PluginRecord;
use outrigger_registry::{Package, StagedPackage};

use super::{Packages, in_background, package_error};
use crate::convert;
use crate::data_directory::failed;

/// Carries out what the lifecycle decides about a new package.
pub(super) struct InstallEffects<'a> {
    pub(super) packages: &'a Packages,
    /// Gone once it is unpacked.
    pub(super) staged: Option<StagedPackage>,
    pub(super) installation: Installation,
    /// Another version is installed.
    pub(super) replaces: bool,
    /// This very digest was installed before and is still kept, with its files.
    pub(super) kept: bool,
    /// What became of what the other version left.
    pub(super) migrated: Option<Migrated>,
}

#[async_trait]
impl Effects for InstallEffects<'_> {
    async fn perform(&mut self, effect: Effect) -> Result<(), Failure> {
        let folder = self.packages.directory.package(&self.installation.revision.digest);
        match effect {
            Effect::Unpack => {
                let Some(staged) = self.staged.take() else { return Ok(()) };
                if !self.kept {
                    // The store knows nothing of it: what is there was left by a process that died, and need not be whole.
                    remove_folder(&folder).await.map_err(refused)?;
                }
                let changed = put_in_place(staged, folder).await.map_err(refused)?;
                if changed && self.kept {
                    // What was compiled may be of files that were changed.
                    self.packages.engine.runtime().forget(&self.installation.revision.digest).await;
                }
                Ok(())
            }
            Effect::Register => {
                let installation = self.installation.clone();
                match self.replaces {
                    true => self.migrated = Some(self.packages.engine.update(installation).await?),
                    false => self.packages.engine.install(installation).await?,
                }
                Ok(())
            }
            Effect::RemoveFiles if !self.kept => remove_folder(&folder).await.map_err(refused),
            _ => Ok(()),
        }
    }
}

impl Packages {
    /// Does what is left to do where this very package is installed, and answers what that was.
    pub(super) async fn install_again(
        &self,
        staged: StagedPackage,
        record: &PluginRecord,
        configuration: Given,
        author: &Author,
    ) -> ApiResult<&'static str> {
        let mut action = "unchanged";
        if put_in_place(staged, self.directory.package(&record.active)).await? {
            // What runs, or was compiled, may be of files that were not those that were installed.
            self.engine.runtime().forget(&record.active).await;
            if record.state.is_enabled() {
                self.engine.reload(&record.name).await.map_err(convert::error)?;
            }
            action = "restored";
        }
        if !configuration.0.is_empty() {
            let edits = Edits { set: configuration.0, ..Edits::default() };
            let changed = self.engine.configuration_change(&record.name, edits, None, author).await;
            changed.map_err(convert::error)?;
            action = "configured";
        }
        Ok(action)
    }
}

fn refused(error: ApiError) -> Failure {
    Failure::new(error.code, error.message)
}

/// Moves a package to its place, unless it is there already. What is there under its digest and is something else gives
/// way: that a package was looked at says nothing of files that lay there before. Answers whether it was moved.
async fn put_in_place(staged: StagedPackage, folder: PathBuf) -> ApiResult<bool> {
    let (expected, place) = (staged.digest(), folder.clone());
    let is_there = in_background(move || {
        Ok(Package::open(place).and_then(|package| package.digest()).is_ok_and(|found| found == expected))
    });
    if is_there.await? {
        return Ok(false);
    }
    remove_folder(&folder).await?;
    in_background(move || staged.persist(&folder).map_err(|error| package_error(&error))).await?;
    Ok(true)
}

/// Removes a folder that may be gone already.
pub(super) async fn remove_folder(folder: &Path) -> ApiResult<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed(&format!("{} could not be removed", folder.display()), &error))
        }
        _ => Ok(()),
    }
}
