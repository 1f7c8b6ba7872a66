//! Packages: looked at, installed, replaced, removed. Reading and unpacking is the registry's; what runs is the
//! engine's; here they meet, and whatever fails in between leaves nothing behind.

mod admission;
mod discovery;
mod effects;
mod prepared;
mod removal;
mod room;

use std::sync::Arc;

use outrigger_api::{ApiError, ApiResult, Code, InstallOutcome, PluginDetails, RevisionInfo};
use outrigger_compute::Turns;
use outrigger_contract::{Grant, PluginName};
use outrigger_engine::configuration::Given;
use outrigger_engine::life::{Author, Change, Downgrade, Installation, Intent};
use outrigger_engine::lifecycle::{Effect, Event, PluginState, drive};
use outrigger_engine::store::{PluginRecord, RevisionRecord, RevisionSummary};
use outrigger_engine::{Caller, CorrelationId, Engine};
use outrigger_registry::{Discovered, PackageError, SearchPath};
use parking_lot::Mutex;
use time::OffsetDateTime;

use crate::data_directory::{DataDirectory, PackagesLock};
use crate::latest::Latest;
use crate::overrides::HostOverrides;
use crate::uploads::Uploads;
use crate::{convert, disk, functions, inheritance};

use admission::{check_ceiling, check_modest, check_unchanged};
use effects::{InstallEffects, is_in_place};
use prepared::{Candidate, Prepared};
use room::Sizes;

pub(crate) use prepared::above_memory_share;

/// Installs and removes packages of one data directory.
#[derive(Debug)]
pub(crate) struct Packages {
    engine: Engine,
    directory: DataDirectory,
    search_paths: Arc<[SearchPath]>,
    overrides: Arc<HostOverrides>,
    pub(crate) uploads: Uploads,
    /// Examinations of versions: each is read and hashed as a whole, and any caller that can see plugins can request
    /// it.
    pub(crate) examinations: Turns,
    /// Installations and removals.
    changes: Turns,
    /// The packages in the search paths.
    discovered: Latest<Arc<Discovered>>,
    /// The disk space of installed packages.
    sizes: Arc<Mutex<Sizes>>,
}

/// With what consent a package is installed.
#[derive(Debug)]
pub(crate) struct Consent {
    /// The digest whose permissions an administrator has seen and grants.
    pub(crate) approved: Option<String>,
    /// Whether the caller may approve grants.
    pub(crate) may_approve: bool,
    /// The caller that installs it and approves the grant.
    pub(crate) by: Caller,
    pub(crate) correlation: CorrelationId,
    pub(crate) downgrade: Downgrade,
    /// Configuration values that override or replace the present ones.
    pub(crate) configuration: Given,
    pub(crate) mode: Mode,
}

/// Whether it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Install,
    DryRun,
}

impl Packages {
    pub(crate) fn new(
        engine: Engine,
        directory: DataDirectory,
        search_paths: Vec<SearchPath>,
        overrides: Arc<HostOverrides>,
    ) -> Self {
        let uploads = Uploads::new(directory.uploads());
        let (examinations, changes, discovered) = (Turns::new(2), Turns::new(1), Latest::default());
        let (search_paths, sizes) = (search_paths.into(), Arc::default());
        Self { engine, directory, search_paths, overrides, uploads, examinations, changes, discovered, sizes }
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn overrides(&self) -> &HostOverrides {
        &self.overrides
    }

    pub(crate) const fn directory(&self) -> &DataDirectory {
        &self.directory
    }

    /// A text in which paths in the search paths and in the data directory are relative.
    pub(crate) fn without_places(&self, text: String) -> String {
        let search_paths = self.search_paths.iter().map(|search| (&*search.path, "a search path"));
        let places = search_paths.chain([(self.directory.root(), "the data directory")]);
        // A relative path says nothing about the server, and an empty one is in every text.
        let mut places: Vec<_> = places.filter(|(path, _)| path.is_absolute() && path.parent().is_some()).collect();
        // One can lie in the other.
        places.sort_by_key(|(path, _)| std::cmp::Reverse(path.as_os_str().len()));
        places.into_iter().fold(text, |text, (path, name)| {
            let path = path.components().as_path().display().to_string();
            text.replace(&format!("{path}/"), "").replace(&path, name)
        })
    }

    /// Installs a prepared package, or shows what that would do.
    pub(crate) async fn install(&self, prepared: Prepared, consent: Consent) -> ApiResult<InstallOutcome> {
        let Prepared { candidate, installed, widened, above_ceiling, take_over, asked, shown: _, lock } = prepared;
        let lock =
            lock.ok_or_else(|| ApiError::new(Code::Internal, "a package that was only inspected cannot be installed"))?;
        let Consent { by, approved, may_approve, correlation, downgrade, configuration, mode } = consent;
        let granted_by = by.to_string();
        // Before all else, and also where this very package is installed: its key may have been revoked since.
        candidate.signature.admit()?;
        let (manifest, digest) = (candidate.staged.manifest(), candidate.staged.digest());
        check_unchanged(&digest, approved.as_deref())?;
        let mut outcome = InstallOutcome {
            name: manifest.name.clone(),
            version: manifest.version.to_string(),
            digest: digest.to_string(),
            action: if installed.is_some() { "updated" } else { "installed" }.to_owned(),
            previous_version: installed.as_ref().map(|(_, summary)| summary.version.to_string()),
            signature: candidate.signature.info(),
            dry_run: mode == Mode::DryRun,
            migration: None,
        };
        if let Some((record, _)) = installed.as_ref().filter(|(record, _)| record.active == digest) {
            if approved.is_none() {
                check_modest(&manifest.name, &widened)?;
            }
            let action = match mode {
                Mode::DryRun if !widened.is_empty() => "granted",
                Mode::DryRun if is_in_place(self.directory.package(&digest), digest).await? => "unchanged",
                Mode::DryRun => "restored",
                Mode::Install => {
                    if !widened.is_empty() || !is_in_place(self.directory.package(&digest), digest).await? {
                        let (plugin, version, change) = (&outcome.name, outcome.version.clone(), Change::Reload);
                        let intent = Intent { plugin, change, version, digest, by, correlation };
                        self.engine.consult(intent).await.map_err(convert::error)?;
                    }
                    let author = Author { name: granted_by, correlation };
                    // Granted folders were replaced, and an administrator approved the new ones.
                    let granted = (!widened.is_empty()).then_some(asked);
                    self.install_again(candidate.staged, record, granted, configuration, &author).await?
                }
            };
            action.clone_into(&mut outcome.action);
            return Ok(outcome);
        }
        check_ceiling(&manifest.name, &above_ceiling)?;
        // Also for a dry run: its migrations read what the package would take over.
        if let Some(take_over) = take_over.filter(|_| !may_approve) {
            return Err(take_over.refusal());
        }
        if approved.is_none() {
            check_modest(&manifest.name, &widened)?;
        }
        self.require_room(&candidate.staged, installed.as_ref().map(|(record, _)| record.active), &by).await?;
        let kept = self.engine.store().revision_fetch(&digest).await.map_err(convert::store_error)?.is_some();
        let Candidate { staged, inspection, source, signature: _ } = candidate;
        let manifest = staged.manifest().clone();
        let installed_at = OffsetDateTime::now_utc();
        let revision = RevisionRecord { digest, manifest, inspection, source, installed_at };
        let installation = Installation { revision, granted: asked, granted_by, correlation, downgrade, configuration };
        if mode == Mode::DryRun {
            if installed.is_some() {
                let migrated = self.engine.update_rehearse(installation, staged.root().to_owned()).await;
                outcome.migration = Some(convert::migrated(migrated.map_err(convert::error)?));
            } else {
                self.engine.install_rehearse(&installation).await.map_err(convert::error)?;
            }
            return Ok(outcome);
        }
        let replaces = installed.is_some();
        let intent = Intent {
            plugin: &outcome.name,
            change: if replaces { Change::Update } else { Change::Install },
            version: outcome.version.clone(),
            digest,
            by,
            correlation,
        };
        self.engine.consult(intent).await.map_err(convert::error)?;
        let staged = Some(staged);
        let mut effects = InstallEffects { packages: self, staged, installation, replaces, kept, migrated: None };
        // Validation is done: the package is staged and inspected. What is left is to unpack and to register it.
        drive(PluginState::Discovered, Event::Done(Effect::Validate), &mut effects)
            .await
            .map_err(|(_, failure)| convert::error(failure))?;
        outcome.migration = effects.migrated.map(convert::migrated);
        self.let_go(&lock, &outcome.name).await;
        Ok(outcome)
    }
    pub(crate) async fn details(&self, name: &PluginName, by: &Caller) -> ApiResult<PluginDetails> {
        let (record, summary) = self.engine.plugin(name).map_err(convert::error)?;
        let revision = self.engine.revision(&record.active).await.map_err(convert::error)?;
        let revisions = self.engine.store().revision_list(name).await.map_err(convert::store_error)?;
        let granted = self.granted(Some(&(record.clone(), summary.clone()))).await?;
        let active = record.active;
        Ok(PluginDetails {
            summary: convert::plugin(record, summary),
            source: revision.source.clone(),
            granted: inheritance::described_for(granted, name, by),
            capped: self.engine.options().ceiling.cap(&mut revision.manifest.clone()),
            offered: functions::offered(&revision),
            refused: functions::refused(&revision.inspection.graph),
            imports: revision.inspection.imports.clone(),
            exports: revision.inspection.exports.iter().map(|export| format!("{export:?}").to_lowercase()).collect(),
            revisions: revisions
                .into_iter()
                .map(|revision| RevisionInfo {
                    active: revision.digest == active,
                    digest: revision.digest.to_string(),
                    version: revision.version.to_string(),
                    installed_at: revision.installed_at,
                })
                .collect(),
            manifest: revision.manifest,
        })
    }

    /// The grant of the installed version.
    async fn granted(&self, installed: Option<&(PluginRecord, RevisionSummary)>) -> ApiResult<Grant> {
        let Some((record, _)) = installed else { return Ok(Grant::default()) };
        let grant = self.engine.store().grant_fetch(&record.active).await.map_err(convert::store_error)?;
        Ok(grant.map(|record| record.grant).unwrap_or_default())
    }

    /// Locks the packages against changes by others. The requests of this process take turns, because waiting for another
    /// process blocks a thread.
    pub(crate) async fn lock(&self, caller: &str) -> ApiResult<PackagesLock> {
        let turn = self.changes.begin(caller).await;
        let directory = self.directory.clone();
        in_background(move || {
            let lock = directory.lock_packages(turn)?;
            directory.clear_staging(&lock)?;
            Ok(lock)
        })
        .await
    }
}

pub(crate) fn package_error(error: &PackageError) -> ApiError {
    let code = match error {
        PackageError::Io { source, .. } => disk::code_of(source, error.code()),
        _ => error.code(),
    };
    ApiError::caused(code, error, error.hint())
}

/// Runs what blocks where blocking is allowed.
pub(crate) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> ApiResult<T> + Send + 'static,
) -> ApiResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(ApiError::new(Code::Internal, format!("a background task failed: {error}"))),
    }
}
