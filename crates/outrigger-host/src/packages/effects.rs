//! Handling of a package's files during an installation.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use outrigger_api::{ApiError, ApiResult};
use outrigger_contract::{Digest, Grant, PluginName};
use outrigger_engine::Failure;
use outrigger_engine::configuration::Given;
use outrigger_engine::life::{Author, Edits, Installation, Migrated};
use outrigger_engine::lifecycle::{Effect, Effects};
use outrigger_engine::store::PluginRecord;
use outrigger_registry::{Package, PackageError, StagedPackage};

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
    /// The report of the migration.
    pub(super) migrated: Option<Migrated>,
}

#[async_trait]
impl Effects for InstallEffects<'_> {
    async fn perform(&mut self, effect: Effect) -> Result<(), Failure> {
        let folder = self.packages.directory.package(&self.installation.revision.digest);
        match effect {
            Effect::Unpack => {
                let Some(staged) = self.staged.take() else { return Ok(()) };
                if self.kept {
                    return self.packages.restore(staged).await.map(drop).map_err(refused);
                }
                // The store knows nothing of it: what is there was left by a process that died, and need not be whole.
                remove_folder(&folder).await.map_err(refused)?;
                put_in_place(staged, folder, self.packages.directory.staging()).await.map_err(refused)
            }
            Effect::Register => {
                let installation = self.installation.clone();
                match self.replaces {
                    true => self.migrated = Some(self.packages.engine.update(installation).await?),
                    false => self.packages.engine.install(installation).await?,
                }
                Ok(())
            }
            Effect::RemoveFiles if !self.kept && !self.may_be_registered().await => {
                remove_folder(&folder).await.map_err(refused)
            }
            _ => Ok(()),
        }
    }
}

impl InstallEffects<'_> {
    /// Whether the store knows the revision, or may know it: a write that failed can come back when the database is
    /// opened again. Files that turn out to be unused are swept up when the server starts.
    async fn may_be_registered(&self) -> bool {
        let store = self.packages.engine.store();
        let is_known = store.revision_exists(&self.installation.revision.digest).await;
        store.write_fault().is_some() || !matches!(is_known, Ok(false))
    }
}

impl Packages {
    /// Does what is left to do where this very package is installed, and answers what that was.
    pub(super) async fn install_again(
        &self,
        staged: StagedPackage,
        record: &PluginRecord,
        granted: Option<Grant>,
        configuration: Given,
        author: &Author,
    ) -> ApiResult<&'static str> {
        let restored = self.restore(staged).await?;
        let granted_again = granted.is_some();
        if let Some(grant) = granted {
            let granted = self.engine.grant_again(&record.name, grant, author).await;
            granted.map_err(convert::error)?;
        } else if restored && record.state.is_enabled() {
            // The running version may still use the changed files.
            let reloaded = self.engine.reload(&record.name).await;
            reloaded.map_err(|failure| not_reloaded(&record.name, failure))?;
        }
        let configures = !configuration.0.is_empty();
        if configures {
            let edits = Edits { set: configuration.0, ..Edits::default() };
            let changed = self.engine.configuration_change(&record.name, edits, None, author).await;
            changed.map_err(convert::error)?;
        }
        Ok(match (restored, granted_again, configures) {
            // That somebody changed files is what has to be known.
            (true, ..) => "restored",
            (false, true, _) => "granted",
            (false, false, true) => "configured",
            (false, false, false) => "unchanged",
        })
    }

    /// Puts the files of a package that was installed back in place where they are no longer what they were: that it was
    /// looked at says nothing of files that lay there before. Answers whether they were.
    async fn restore(&self, staged: StagedPackage) -> ApiResult<bool> {
        let (digest, name) = (staged.digest(), staged.name().clone());
        let folder = self.directory.package(&digest);
        if is_in_place(folder.clone(), digest).await? {
            return Ok(false);
        }
        // The compiled code may belong to the changed files. It is removed first, because it would be taken for what
        // belongs to the right files if nothing came after that; and again, because it may have been compiled
        // meanwhile.
        self.engine.runtime().forget(&digest).await;
        put_in_place(staged, folder, self.directory.staging()).await?;
        self.engine.runtime().forget(&digest).await;
        tracing::warn!(plugin = %name, %digest, "its files differed from the installed package and were replaced");
        Ok(true)
    }
}

fn refused(error: ApiError) -> Failure {
    Failure::new(error.code, error.message)
}

/// That the files are as they should be, and what runs may not be.
fn not_reloaded(plugin: &PluginName, failure: Failure) -> ApiError {
    let error = convert::error(failure);
    let message = format!(
        "the files of `{plugin}` were restored, but it could not be reloaded, and the running version may still use \
         the changed files: {}",
        error.message
    );
    ApiError { message, ..error }.with_hint(format!("fix that, then run `outrigger plugin reload {plugin}`"))
}

/// Whether the files of a package lie in its folder, and no others. Where that cannot be told they are left alone.
pub(super) async fn is_in_place(folder: PathBuf, expected: Digest) -> ApiResult<bool> {
    in_background(move || match Package::open(folder).and_then(|package| package.digest()) {
        Ok(found) => Ok(found == expected),
        Err(error @ PackageError::Io { .. }) => Err(package_error(&error)),
        Err(_) => Ok(false),
    })
    .await
}

/// Moves a package to its place. What is there gives way, and comes back where the package does not get there. Only for who
/// holds the lock: what gives way lies in the staging folder until it is removed.
async fn put_in_place(staged: StagedPackage, folder: PathBuf, staging: PathBuf) -> ApiResult<()> {
    in_background(move || {
        let aside = staging.join(format!("old-{}", staged.digest().hex()));
        let gave_way = match fs::rename(&folder, &aside) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(failed(&format!("{} could not be moved away", folder.display()), &error)),
        };
        if let Err(error) = staged.persist(&folder) {
            if gave_way && let Err(error) = fs::rename(&aside, &folder) {
                tracing::error!(path = %folder.display(), %error, "the previous files could not be restored");
            }
            return Err(package_error(&error));
        }
        if gave_way && let Err(error) = fs::remove_dir_all(&aside) {
            // The next installation clears the folder.
            tracing::warn!(path = %aside.display(), %error, "replaced files could not be removed");
        }
        Ok(())
    })
    .await
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
