//! Executes the effects of the lifecycle on one plugin.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use outrigger_contract::{Code, Digest, Grant, Manifest};

use crate::configuration;
use crate::engine::{Engine, Inner};
use crate::error::Failure;
use crate::lifecycle::{Effect, Effects};
use crate::plugins::{ActiveRevision, Configuration, Slot};
use crate::runtime::{LifecycleStep, LoadedRevision, RevisionSpec, RuntimeFault, run_step};
use crate::services::Ground;
use crate::store::RevisionRecord;

/// Carries out effects on one slot.
pub(super) struct SlotEffects<'a> {
    pub(super) engine: &'a Engine,
    pub(super) slot: &'a Arc<Slot>,
    /// The revision to load.
    pub(super) digest: Digest,
    /// The loaded revision, if it is not to be read from the store.
    pub(super) candidate: Option<&'a Candidate>,
    /// The configuration to load it with, where that is not the stored one.
    pub(super) configuration: Option<Configuration>,
    /// The revision that is loaded: one on its way up, or the active one on its way down.
    pub(super) revision: Option<Arc<ActiveRevision>>,
    /// The subject of its steps.
    pub(super) ground: Ground,
}

/// A revision whose code is ready, and which is not active.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) record: RevisionRecord,
    /// The effective manifest, with limits lowered to the ceiling.
    pub(super) manifest: Manifest,
    pub(super) granted: Grant,
    pub(super) loaded: Arc<dyn LoadedRevision>,
}

impl<'a> SlotEffects<'a> {
    pub(super) fn new(engine: &'a Engine, slot: &'a Arc<Slot>, revision: Option<Arc<ActiveRevision>>) -> Self {
        let digest = slot.record.lock().0.active;
        Self { engine, slot, digest, candidate: None, configuration: None, revision, ground: Ground::default() }
    }

    async fn load(&mut self) -> Result<(), Failure> {
        let (engine, slot) = (self.engine, self.slot);
        let read;
        let Candidate { record, manifest, granted, loaded } = match self.candidate {
            Some(candidate) => candidate,
            None => {
                let record = engine.revision(&self.digest).await?;
                let grant = engine.inner.store.grant_fetch(&self.digest).await?;
                let granted = grant.map(|record| record.grant).unwrap_or_default();
                read = engine.load(record, granted, None).await?;
                &read
            }
        };
        let configuration = match self.configuration.take() {
            Some(configuration) => configuration,
            None => {
                let stored = engine.inner.store.configuration_fetch(&slot.name).await?;
                let values = stored.map(|stored| stored.values).unwrap_or_default();
                Configuration::new(configuration::resolve(&engine.inner, manifest, &values)?)
            }
        };
        let (manifest, granted) = (manifest.clone(), granted.clone());
        self.revision = Some(Arc::new(slot.assemble(record, manifest, granted, configuration, Arc::clone(loaded))));
        Ok(())
    }

    /// Calls a step of the plugin's own.
    async fn step(&self, step: LifecycleStep) -> Result<(), Failure> {
        let Some(revision) = &self.revision else { return Ok(()) };
        let context = self.engine.step_context(&self.slot.name, revision, &self.ground);
        let done = run_step(&revision.loaded, |loaded| async move { loaded.lifecycle(step, context).await }).await;
        done.map_err(|fault: RuntimeFault| {
            let message = format!("`{}` of the plugin `{}` failed: {}", step.as_str(), self.slot.name, fault.message);
            let code = if fault.code == Code::FunctionFailed { Code::LifecycleFailed } else { fault.code };
            Failure::new(code, message)
        })
    }

    /// The same, on the way up.
    async fn step_up(&self, step: LifecycleStep) -> Result<(), Failure> {
        self.step(step).await.inspect_err(|_| self.slot.counts.load_failed())
    }

    async fn drain(&self) -> Result<(), Failure> {
        // A successor may be in place already; only the revision this is about is taken away.
        let current = self.slot.active.load_full();
        let Some(revision) = &self.revision else { return Ok(()) };
        if current.is_some_and(|current| Arc::ptr_eq(&current, revision)) {
            self.slot.active.store(None);
            self.slot.retire(revision);
        }
        revision.calls.close();
        let limit = self.engine.inner.options.drain;
        let drained = tokio::time::timeout(limit, revision.calls.wait()).await;
        drained.map_err(|_| Failure::deadline(&format!("calls running on `{}`", self.slot.name), limit))
    }

    async fn remove_files(&self) -> Result<(), Failure> {
        let Inner { runtime, options, .. } = &*self.engine.inner;
        runtime.forget(&self.digest).await;
        let folder = options.package(&self.digest);
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::new(Code::Io, format!("{} could not be removed: {error}", folder.display())))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Effects for SlotEffects<'_> {
    async fn perform(&mut self, effect: Effect) -> Result<(), Failure> {
        match effect {
            Effect::Load => self.load().await.inspect_err(|_| self.slot.counts.load_failed()),
            Effect::Initialize => self.step_up(LifecycleStep::Initialize).await,
            Effect::Activate => self.step_up(LifecycleStep::Activate).await,
            Effect::Drain => self.drain().await,
            Effect::Deactivate => self.step(LifecycleStep::Deactivate).await,
            Effect::Cleanup => self.step(LifecycleStep::Cleanup).await,
            Effect::Unload => {
                self.revision = None;
                Ok(())
            }
            Effect::Unregister => {
                for former in self.slot.revisions() {
                    // A call that outlives its plugin writes nothing to one that is installed by its name later.
                    former.supersede(true);
                }
                self.engine.inner.store.plugin_delete(&self.slot.name).await?;
                self.engine.inner.plugins.remove(&self.slot.name);
                Ok(())
            }
            Effect::RemoveFiles => self.remove_files().await,
            Effect::Validate | Effect::Unpack | Effect::Register => {
                Err(Failure::internal(format!("{effect:?} belongs to the installation of a package")))
            }
        }
    }
}

impl Engine {
    /// The grant that a manifest requests, given the current hooks.
    #[must_use]
    pub fn asked(&self, manifest: &Manifest) -> Grant {
        Grant::asked_by(manifest, |hook| self.hook(hook).ok().map(|(spec, _)| spec.kind))
    }

    /// The folders that plugins may write to, or could: a folder or link that a plugin left there stays when the plugin
    /// is removed.
    ///
    /// # Errors
    /// The store failed.
    pub async fn plugin_writable(&self) -> Result<Arc<[String]>, Failure> {
        Ok(self.inner.store.writable_folder_list().await?.into())
    }

    /// Makes a revision's code ready to run. Its package is in `root`, or in the folder for its digest.
    pub(super) async fn load(
        &self,
        record: RevisionRecord,
        granted: Grant,
        root: Option<PathBuf>,
    ) -> Result<Candidate, Failure> {
        let Inner { runtime, options, .. } = &*self.inner;
        let plugin = &record.manifest.name;
        // Subscriptions without a grant are inactive: see `adopt_loaded`.
        let missing = Grant { hooks: Vec::new(), ..self.asked(&record.manifest).beyond(&granted) };
        if !missing.is_empty() {
            let missing = missing.describe().join("; ");
            let message = format!("the plugin `{plugin}` needs approval to {missing}");
            return Err(Failure::new(Code::GrantRequired, message));
        }
        let mut manifest = record.manifest.clone();
        let capped = options.ceiling.cap(&mut manifest);
        if !capped.is_empty() {
            tracing::warn!(%plugin, "limits lowered to the operator's ceiling: {}", capped.join("; "));
        }
        if manifest.limits.memory.as_u64() > self.inner.accounts.largest() {
            let (memory, largest) = (manifest.limits.memory, self.inner.accounts.largest());
            tracing::warn!(
                %plugin, %memory, largest,
                "the plugin's `memory` limit is above what the server allows one plugin; raise \
                 OUTRIGGER_PLUGIN_MEMORY and OUTRIGGER_MEMORY"
            );
        }
        let plugin_writable = self.plugin_writable().await?;
        let loaded = runtime
            .load(RevisionSpec {
                plugin: plugin.clone(),
                digest: record.digest,
                root: root.unwrap_or_else(|| options.package(&record.digest)),
                entry: record.manifest.runtime.entry.as_str().into(),
                graph: Arc::new(record.inspection.graph.clone()),
                exports: record.inspection.exports.clone(),
                granted: granted.permissions.clone(),
                plugin_writable,
                limits: manifest.limits.clone(),
                instances: manifest.runtime.instances,
                instance_bytes: record.inspection.instance_bytes,
                account: self.inner.accounts.of(plugin),
            })
            .await?;
        Ok(Candidate { record, manifest, granted, loaded })
    }
}
