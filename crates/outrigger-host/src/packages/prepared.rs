//! Packages that are read, checked and compared with the installed version, before anything changes.

use std::path::PathBuf;

use outrigger_api::{ApiError, ApiResult, Code, PackageReport, PackageSource, PluginStanding};
use outrigger_contract::units::ByteSize;
use outrigger_contract::{Digest, Grant, Manifest, PluginName};
use outrigger_engine::runtime::Inspection;
use outrigger_engine::store::{PluginRecord, RevisionSummary};
use outrigger_engine::{Caller, MemoryBounds};
use outrigger_registry::{Package, StagedPackage};

use super::admission::check_functions;
use super::{Packages, in_background, package_error};
use crate::data_directory::PackagesLock;
use crate::disk::{self, Leave};
use crate::inheritance::{self, TakeOver};
use crate::signatures::Standing;
use crate::{convert, functions};

/// How long an inspection waits for others to end.
const EXAMINED_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// A package that was read, checked and understood, and lies in the staging folder.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) staged: StagedPackage,
    pub(super) inspection: Inspection,
    pub(super) source: String,
    /// The publisher, as the signature proves.
    pub(super) signature: Standing,
}

/// A package that is ready to be installed.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) candidate: Candidate,
    pub(super) installed: Option<(PluginRecord, RevisionSummary)>,
    /// The requests beyond the grant of the installed version.
    pub(crate) widened: Vec<String>,
    /// Its limits above the operator's ceiling.
    pub(super) above_ceiling: Vec<String>,
    /// The data that it takes over from another publisher's version.
    pub(super) take_over: Option<TakeOver>,
    /// The requested grant, with resolved paths.
    pub(super) asked: Grant,
    /// The requested grant, as the caller may see it.
    pub(super) shown: Vec<String>,
    /// None for an inspection.
    pub(super) lock: Option<PackagesLock>,
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
            let message = format!("the package contains the plugin `{package}`, not `{name}`");
            return Err(ApiError::new(Code::Conflict, message)
                .with_hint("install it under its own name, or name the other package"));
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

/// A warning if instances of a plugin can never use as much memory as its manifest asks for, because the server's limit
/// for one plugin is lower.
pub(crate) fn above_memory_share(bounds: MemoryBounds, asked: ByteSize) -> Option<String> {
    let MemoryBounds { all, plugin } = bounds;
    // One plugin gets at most half of the shared memory, besides its own allowance.
    let most = plugin.min(all).min(all / 2 + MemoryBounds::OWN);
    (asked.as_u64() > most).then(|| {
        format!(
            "`[limits] memory` is {asked}, but this server gives one plugin at most {}, for all of its instances: \
             OUTRIGGER_PLUGIN_MEMORY, or half of OUTRIGGER_MEMORY",
            ByteSize::bytes(most)
        )
    })
}

impl Packages {
    /// Reads and checks a package, and finds the version that it would replace. Nothing else is installed or removed
    /// until the result is dropped.
    pub(crate) async fn prepare(&self, source: &PackageSource, by: &Caller) -> ApiResult<Prepared> {
        let lock = self.lock(&by.to_string()).await?;
        let candidate = self.stage(self.directory.staging(), source, disk::left_by(by.key())).await?;
        self.prepared(candidate, by, Some(lock)).await
    }

    /// Reads and checks a package without installing it. This does not delay installations: the copy is made beside the
    /// uploads, and the number of concurrent inspections is limited.
    pub(crate) async fn inspect(&self, source: &PackageSource, by: &Caller) -> ApiResult<PackageReport> {
        let caller = by.to_string();
        let begun = tokio::time::timeout(EXAMINED_WITHIN, self.examinations.begin(&caller)).await;
        let _turn = begun.map_err(|_| {
            let error =
                ApiError::new(Code::Busy, "other packages are being inspected").with_hint("try again in a moment");
            ApiError { retry_after_ms: Some(1_000), ..error }
        })?;
        let folder = self.uploads.folder()?;
        let candidate = self.stage(folder, source, disk::left_by(by.key())).await?;
        Ok(self.prepared(candidate, by, None).await?.report())
    }

    async fn prepared(&self, mut candidate: Candidate, by: &Caller, lock: Option<PackagesLock>) -> ApiResult<Prepared> {
        let memory = candidate.staged.manifest().limits.memory;
        candidate.inspection.warnings.extend(above_memory_share(self.engine.options().memory, memory));
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

    /// Copies a package into a folder and inspects it. Only the holder of the lock may use the staging folder.
    async fn stage(&self, staging: PathBuf, source: &PackageSource, leave: Leave) -> ApiResult<Candidate> {
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
            disk::require(&staging, archive.map_or(0, |archive| archive.len() * 2), leave)?;
            let staged = Package::open(&path).and_then(|package| package.leaving(leave).stage(&staging));
            let staged = staged.map_err(|error| package_error(&error))?;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_a_plugin_can_never_have_is_named() {
        let check = |all, plugin, asked, expected: Option<&str>| {
            let [all, plugin] = [all, plugin].map(|size| ByteSize::mib(size).as_u64());
            let found = above_memory_share(MemoryBounds { all, plugin }, ByteSize::mib(asked));
            let most = found.as_ref().and_then(|text| Some(text.split_once("at most ")?.1.split_once(',')?.0));
            assert_eq!(most, expected, "{found:?}");
        };
        check(512, 256, 256, None);
        check(512, 256, 257, Some("256MiB"));
        check(512, 512, 400, Some("260MiB"));
        check(4096, 1024, 1024, None);
    }
}
