//! Packages: looked at, installed, replaced, removed. Reading and unpacking is the registry's; what runs is the
//! engine's; here they meet, and whatever fails in between leaves nothing behind.

mod admission;
mod effects;

use std::path::PathBuf;
use std::sync::Arc;

use outrigger_api::{
    ApiError, ApiResult, AvailablePlugin, AvailableReport, Code, InstallOutcome, PackageReport, PackageSource,
    PluginDetails, PluginStanding, RevisionInfo,
};
use outrigger_contract::manifest::LONGEST_REQUIREMENT;
use outrigger_contract::{Digest, Grant, Manifest, PluginName};
use outrigger_engine::configuration::Given;
use outrigger_engine::life::{Author, Change, Downgrade, Installation, Intent};
use outrigger_engine::lifecycle::{Effect, Event, PluginState, drive};
use outrigger_engine::runtime::Inspection;
use outrigger_engine::store::{PluginRecord, RevisionRecord, RevisionSummary};
use outrigger_engine::{Caller, CorrelationId, Engine};
use outrigger_registry::discovery::Duplicate;
use outrigger_registry::{Discovered, PackageError, SearchPath, StagedPackage};
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use crate::data_directory::{DataDirectory, PackagesLock, failed};
use crate::inheritance::{self, TakeOver};
use crate::overrides::HostOverrides;
use crate::signatures::Standing;
use crate::uploads::Uploads;
use crate::{convert, disk, functions};

use admission::{check_ceiling, check_functions, check_modest, check_unchanged};
use effects::{InstallEffects, is_in_place, remove_folder};

/// How long an inspection waits for others to end.
const EXAMINED_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Installs and removes packages of one data directory.
#[derive(Debug)]
pub(crate) struct Packages {
    engine: Engine,
    directory: DataDirectory,
    search_paths: Arc<[SearchPath]>,
    overrides: Arc<HostOverrides>,
    pub(crate) uploads: Uploads,
    /// Limits concurrent examinations of versions: each is read and hashed as a whole, and any caller that can see
    /// plugins can request it.
    pub(crate) examining: Arc<Semaphore>,
}

/// A package that was read, checked and understood, and lies in the staging folder.
#[derive(Debug)]
struct Candidate {
    staged: StagedPackage,
    inspection: Inspection,
    source: String,
    /// Who made it.
    signature: Standing,
}

/// A package that is ready to be installed.
#[derive(Debug)]
pub(crate) struct Prepared {
    candidate: Candidate,
    installed: Option<(PluginRecord, RevisionSummary)>,
    /// What it asks for beyond what the installed version was granted.
    pub(crate) widened: Vec<String>,
    /// Its limits above the operator's ceiling.
    above_ceiling: Vec<String>,
    /// What it takes over from another publisher's version.
    take_over: Option<TakeOver>,
    /// What it asks for, with resolved paths.
    asked: Grant,
    /// What it asks for, as the caller may see it.
    shown: Vec<String>,
    /// None for an inspection.
    lock: Option<PackagesLock>,
}

/// With what consent a package is installed.
#[derive(Debug)]
pub(crate) struct Consent {
    /// The digest whose permissions an administrator has seen and grants.
    pub(crate) approved: Option<String>,
    /// Whether the caller may approve grants.
    pub(crate) may_approve: bool,
    /// Who wants it, and grants them.
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

impl Prepared {
    pub(crate) fn name(&self) -> &PluginName {
        self.candidate.staged.name()
    }

    /// Whether it would replace a plugin in the state that the caller saw.
    pub(crate) fn replaces(&self, seen: &PluginStanding) -> ApiResult<()> {
        let PluginStanding { name, updated_at } = seen;
        let package = self.name();
        if package != name {
            let message = format!("the package is of the plugin `{package}`, not of `{name}`");
            return Err(
                ApiError::new(Code::Conflict, message).with_hint("install it as what it is, or name the other plugin")
            );
        }
        let Some((present, _)) = &self.installed else {
            return Err(ApiError::new(Code::PluginNotFound, format!("no plugin `{name}` is installed")));
        };
        match updated_at {
            Some(seen) if present.updated_at != *seen => Err(ApiError::new(
                Code::Conflict,
                format!("the plugin {name} was changed by someone else in the meantime"),
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        self.candidate.staged.manifest()
    }

    pub(crate) fn digest(&self) -> Digest {
        self.candidate.staged.digest()
    }

    /// The permissions that it asks for, one sentence each.
    pub(crate) fn permissions(&self) -> Vec<String> {
        self.asked.describe()
    }

    pub(crate) fn report(&self) -> PackageReport {
        let Candidate { staged, inspection, source, signature } = &self.candidate;
        let (manifest, graph) = (staged.manifest(), &inspection.graph);
        PackageReport {
            manifest: manifest.clone(),
            digest: staged.digest().to_string(),
            size: staged.size(),
            files: u32::try_from(staged.files().len()).unwrap_or(u32::MAX),
            permissions: self.shown.clone(),
            widened: self.widened.clone(),
            above_ceiling: self.above_ceiling.clone(),
            take_over: self.take_over.as_ref().map(TakeOver::sentence),
            offered: graph.functions.iter().map(|function| convert::function(manifest, graph, function)).collect(),
            refused: functions::refused(graph),
            imports: inspection.imports.clone(),
            warnings: inspection.warnings.clone(),
            installed_version: self.installed.as_ref().map(|(_, summary)| summary.version.to_string()),
            source: source.clone(),
            signature: signature.info(),
        }
    }
}

impl Packages {
    pub(crate) fn new(
        engine: Engine,
        directory: DataDirectory,
        search_paths: Vec<SearchPath>,
        overrides: Arc<HostOverrides>,
    ) -> Self {
        let uploads = Uploads::new(directory.uploads());
        let examining = Arc::new(Semaphore::new(2));
        Self { engine, directory, search_paths: search_paths.into(), overrides, uploads, examining }
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

    pub(crate) async fn available(&self) -> ApiResult<AvailableReport> {
        let Discovered { found, duplicates, problems } = self.discover().await?;
        let installed_version =
            |name: &PluginName| self.engine.plugin(name).ok().map(|(_, summary)| summary.version.to_string());
        let plugins = found
            .into_iter()
            .map(|candidate| AvailablePlugin {
                installed_version: installed_version(&candidate.name),
                name: candidate.name,
                version: candidate.version.to_string(),
                title: candidate.title,
                description: candidate.description,
                path: candidate.path.display().to_string(),
                origin: candidate.origin.to_string(),
            })
            .collect();
        Ok(AvailableReport {
            plugins,
            duplicates: duplicates.iter().map(describe_duplicate).collect(),
            problems: problems
                .iter()
                .map(|problem| format!("{}: {}", problem.path.display(), chain(&problem.error)))
                .collect(),
        })
    }

    /// Reads and checks a package, and finds the version that it would replace. Nothing else is installed or removed
    /// until the result is dropped.
    pub(crate) async fn prepare(&self, source: &PackageSource, by: &Caller) -> ApiResult<Prepared> {
        let lock = self.lock().await?;
        let candidate = self.stage(self.directory.staging(), source).await?;
        self.prepared(candidate, by, Some(lock)).await
    }

    /// Reads and checks a package without installing it. This does not delay installations: the copy is made beside the
    /// uploads, and the number of concurrent inspections is limited.
    pub(crate) async fn inspect(&self, source: &PackageSource, by: &Caller) -> ApiResult<PackageReport> {
        let _place = tokio::time::timeout(EXAMINED_WITHIN, self.examining.acquire()).await.map_err(|_| {
            let error =
                ApiError::new(Code::Busy, "other packages are being inspected").with_hint("try again in a moment");
            ApiError { retry_after_ms: Some(1_000), ..error }
        })?;
        let folder = self.uploads.folder()?;
        let candidate = self.stage(folder, source).await?;
        Ok(self.prepared(candidate, by, None).await?.report())
    }

    async fn prepared(&self, candidate: Candidate, by: &Caller, lock: Option<PackagesLock>) -> ApiResult<Prepared> {
        let installed = self.engine.plugin(candidate.staged.name()).ok();
        let manifest = candidate.staged.manifest();
        let asked = self.engine.asked(manifest);
        let writable = self.engine.plugin_writable().await.map_err(convert::error)?;
        let runtime = self.engine.runtime();
        let permissions = runtime.pin(&asked.permissions, &writable).await;
        let asked = Grant { permissions: permissions.map_err(|fault| convert::error(fault.into()))?, ..asked };
        let granted = self.granted(installed.as_ref()).await?;
        // Grants count as they were resolved when approved, unless a granted folder was replaced since.
        let granted = Grant { permissions: runtime.still_there(&granted.permissions, &writable).await, ..granted };
        let active = installed.as_ref().map(|(record, _)| record.active);
        let described = |grant: Grant| inheritance::described_for(grant, &manifest.name, by);
        if active == Some(candidate.staged.digest()) {
            // The same package is installed and fully granted, unless a path resolves differently now.
            let permissions = asked.permissions.beyond(&granted.permissions);
            let widened = described(Grant { permissions, ..Grant::default() });
            let asked = Grant { permissions: asked.permissions, ..granted };
            let shown = described(asked.clone());
            let (above_ceiling, take_over) = (Vec::new(), None);
            return Ok(Prepared { candidate, installed, widened, above_ceiling, take_over, asked, shown, lock });
        }
        let widened = inheritance::needs_approval(&self.engine, manifest, &asked, &granted, by);
        let shown = described(asked.clone());
        let above_ceiling = self.engine.options().ceiling.exceeded_by(manifest);
        let present = match active {
            Some(digest) => Some(self.engine.revision(&digest).await.map_err(convert::error)?),
            None => None,
        };
        let signature = candidate.signature.info();
        let take_over = inheritance::take_over(self, present.as_ref(), manifest, &signature, by).await?;
        Ok(Prepared { candidate, installed, widened, above_ceiling, take_over, asked, shown, lock })
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

    pub(crate) async fn uninstall(&self, name: &PluginName) -> ApiResult<()> {
        let _lock = self.lock().await?;
        let revisions = self.engine.store().revision_list(name).await.map_err(convert::store_error)?;
        self.engine.uninstall(name).await.map_err(convert::error)?;
        for revision in revisions {
            self.remove_files(&revision.digest).await?;
        }
        Ok(())
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

    /// What the installed version was granted.
    async fn granted(&self, installed: Option<&(PluginRecord, RevisionSummary)>) -> ApiResult<Grant> {
        let Some((record, _)) = installed else { return Ok(Grant::default()) };
        let grant = self.engine.store().grant_fetch(&record.active).await.map_err(convert::store_error)?;
        Ok(grant.map(|record| record.grant).unwrap_or_default())
    }

    async fn discover(&self) -> ApiResult<Discovered> {
        let paths = Arc::clone(&self.search_paths);
        in_background(move || Ok(outrigger_registry::discover(&paths))).await
    }

    pub(crate) async fn lock(&self) -> ApiResult<PackagesLock> {
        let directory = self.directory.clone();
        in_background(move || {
            let lock = directory.lock_packages()?;
            directory.clear_staging(&lock)?;
            Ok(lock)
        })
        .await
    }

    /// Copies a package into a folder and inspects it. The staging folder belongs to the holder of the lock.
    async fn stage(&self, staging: PathBuf, source: &PackageSource) -> ApiResult<Candidate> {
        let path = match source {
            PackageSource::Path(path) => path.clone(),
            PackageSource::Named { name, version } => self.find(name, version.as_deref()).await?,
            PackageSource::Package(digest) => self.uploads.find(digest)?,
        };
        let shown = match source {
            // Where it lay for a while says nothing to anybody.
            PackageSource::Package(_) => "sent to the server".to_owned(),
            _ => path.display().to_string(),
        };
        let trust_file = self.directory.trust();
        let (staged, signature) = in_background(move || {
            // An archive unpacks to more than its own size; the size of a folder is not known yet.
            let archive = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file);
            disk::require(&staging, archive.map_or(0, |archive| archive.len() * 2))?;
            let staged = outrigger_registry::stage(&path, &staging).map_err(|error| package_error(&error))?;
            let signature = Standing::of(&staged, &trust_file)?;
            Ok((staged, signature))
        })
        .await?;
        if let PackageSource::Package(digest) = source
            && staged.digest() != *digest
        {
            let message = format!(
                "the stored package {digest} now has the digest {}: it was changed on the server's disk",
                staged.digest()
            );
            return Err(ApiError::new(Code::DigestMismatch, message));
        }
        let inspected = self.engine.runtime().inspect(staged.root(), staged.manifest()).await;
        let inspection = inspected.map_err(|fault| convert::error(fault.into()))?;
        check_functions(staged.manifest(), &inspection)?;
        Ok(Candidate { staged, inspection, source: shown, signature })
    }

    /// The highest version of a package in the search paths.
    async fn find(&self, name: &PluginName, version: Option<&str>) -> ApiResult<PathBuf> {
        if let Some(length) = version.map(str::len).filter(|length| *length > LONGEST_REQUIREMENT) {
            let message = format!("the version requirement is {length} bytes long; the limit is {LONGEST_REQUIREMENT}");
            return Err(ApiError::new(Code::InvalidInput, message));
        }
        let requirement = version.map(str::parse::<semver::VersionReq>).transpose().map_err(|error| {
            let shown = version.unwrap_or_default();
            ApiError::new(Code::InvalidInput, format!("`{shown}` is not a version requirement: {error}"))
                .with_hint("write one like `^1.2`, `=1.2.3` or `>=1, <3`")
        })?;
        let discovered = self.discover().await?;
        if let Some(candidate) = discovered.best(name, requirement.as_ref()) {
            return Ok(candidate.path.clone());
        }
        let known: Vec<_> = discovered
            .found
            .iter()
            .filter(|candidate| candidate.name == *name)
            .map(|candidate| candidate.version.to_string())
            .collect();
        Err(match known.is_empty() {
            true => ApiError::new(
                Code::NotFound,
                format!("no package `{name}` is in the search paths, and no file of this name"),
            )
            .with_hint("`outrigger plugin list --available` shows what can be installed by name; a path works too"),
            false => {
                ApiError::new(Code::NotFound, format!("no version of `{name}` fits; there is {}", known.join(", ")))
            }
        })
    }

    async fn remove_files(&self, digest: &Digest) -> ApiResult<()> {
        self.engine.runtime().forget(digest).await;
        remove_folder(&self.directory.package(digest)).await
    }

    /// Removes revisions that stayed because of running calls, and packages unknown to the store, which a process left
    /// behind that died while it installed or removed one. Returns their number.
    pub(crate) async fn sweep(&self) -> ApiResult<usize> {
        let lock = self.lock().await?;
        let mut removed = 0;
        for (record, _) in self.engine.plugins() {
            removed += self.drop_former(&lock, &record.name).await?;
        }
        let folder = self.directory.packages();
        let unreadable = |error| failed(&format!("{} could not be read", folder.display()), &error);
        let mut entries = tokio::fs::read_dir(&folder).await.map_err(unreadable)?;
        while let Some(entry) = entries.next_entry().await.map_err(unreadable)? {
            let name = entry.file_name();
            // What is named otherwise is not ours.
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
}

fn describe_duplicate(duplicate: &Duplicate) -> String {
    let Duplicate { name, version, kept, ignored, origin } = duplicate;
    format!("{name} {version} at {} ({origin}) is passed over for {}", ignored.display(), kept.display())
}

pub(crate) fn package_error(error: &PackageError) -> ApiError {
    let code = match error {
        PackageError::Io { source, .. } => disk::code_of(source, error.code()),
        _ => error.code(),
    };
    let shown = ApiError::new(code, chain(error));
    match error.hint() {
        Some(hint) => shown.with_hint(hint),
        None => shown,
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
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
