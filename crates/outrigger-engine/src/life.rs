//! What an administrator does with plugins: install, update, enable, disable, reload, configure, uninstall. Each either
//! completes or is undone, and the last good revision keeps running until its successor takes calls.

mod configure;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use outrigger_contract::{Code, Digest, Permissions, PluginName};
use serde_json::json;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

pub use configure::{Author, Configured};

use crate::configuration;
use crate::correlation::CorrelationId;
use crate::engine::{Engine, Inner};
use crate::error::Failure;
use crate::hooks::{Adoption, spec};
use crate::lifecycle::{Effect, Effects, Event, PluginState, drive};
use crate::plugins::{ActiveRevision, Configuration, Slot};
use crate::runtime::{CallContext, HealthReport, LifecycleStep, Observed, RevisionSpec, RuntimeFault};
use crate::services::CallServices;
use crate::store::{GrantRecord, PluginRecord, RevisionRecord};

/// A revision to be installed. Its files are in the folder for its digest already.
#[derive(Clone, Debug)]
pub struct Installation {
    pub revision: RevisionRecord,
    pub granted: Permissions,
    /// Who granted them.
    pub granted_by: String,
}

impl Engine {
    /// Installs a plugin that is not there yet: registers it and makes it take calls. When that fails, nothing of it is
    /// left in the store.
    ///
    /// # Errors
    /// It is installed already, the store failed, or a lifecycle step did.
    pub async fn install(&self, installation: Installation) -> Result<(), Failure> {
        let Installation { revision, granted, granted_by } = installation;
        let now = OffsetDateTime::now_utc();
        let name = revision.manifest.name.clone();
        let declared = self.declared(&revision.manifest, &revision.inspection.graph)?;
        let mut record = PluginRecord {
            name: name.clone(),
            active: revision.digest,
            state: PluginState::Registered,
            reason: None,
            installed_at: now,
            updated_at: now,
            generation: 0,
        };
        let grant = GrantRecord { digest: revision.digest, permissions: granted, granted_by, granted_at: now };
        record.generation = self.inner.store.plugin_put(&record, Some(&revision), Some(&grant), 0).await?;
        let slot = self.inner.plugins.insert(Slot::new(record, revision.summary()));
        let outcome = match self.bring_into_service(&name).await {
            Ok(_) => self.adopt(declared, Adoption::Anew).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = outcome {
            self.inner.plugins.remove(&name);
            self.inner.store.plugin_delete(&name).await?;
            self.inner.runtime.forget(&revision.digest).await;
            drop(slot);
            return Err(failure);
        }
        self.tell_of(spec::PLUGIN_INSTALLED, &slot);
        Ok(())
    }

    /// Puts another revision in the place of the active one. The new one is brought up first, and takes calls from the
    /// moment the store says so; calls that run finish on the old one.
    ///
    /// # Errors
    /// The new revision could not be brought up, or the store failed; then the old one is still active.
    pub async fn update(&self, installation: Installation) -> Result<(), Failure> {
        let Installation { revision, granted, granted_by } = installation;
        let slot = self.slot(&revision.manifest.name)?;
        let _changing = slot.changing.lock().await;
        let (present, _) = slot.record();
        let declared = self.declared(&revision.manifest, &revision.inspection.graph)?;
        let now = OffsetDateTime::now_utc();
        let grant = GrantRecord { digest: revision.digest, permissions: granted, granted_by, granted_at: now };
        let kept = self.inner.store.revision_fetch(&revision.digest).await?.is_some();
        // The revision is written first, without becoming active, so that it can be brought up from the store.
        let mut record = PluginRecord { updated_at: now, ..present.clone() };
        record.generation =
            self.inner.store.plugin_put(&record, Some(&revision), Some(&grant), present.generation).await?;
        slot.record.lock().0 = record.clone();
        // An administrator who switched the plugin off gets the new version, switched off.
        let outcome = match present.state {
            PluginState::Disabled => Ok(None),
            _ => self.bring_up(&slot, &revision.digest).await.map(Some),
        };
        let successor = match outcome {
            Ok(successor) => successor,
            Err(failure) => {
                if !kept {
                    if let Err(error) = self.inner.store.revision_delete(&revision.digest).await {
                        tracing::warn!(digest = %revision.digest, %error, "a revision that did not start is still stored");
                    }
                    self.inner.runtime.forget(&revision.digest).await;
                }
                return Err(failure);
            }
        };
        let expected = record.generation;
        record.active = revision.digest;
        record.state = if successor.is_some() { PluginState::Active } else { PluginState::Disabled };
        record.reason = None;
        record.generation = self.inner.store.plugin_put(&record, None, None, expected).await?;
        let name = record.name.clone();
        *slot.record.lock() = (record, revision.summary());
        self.replace(&slot, successor);
        if let Err(failure) = self.adopt(declared, Adoption::Anew).await {
            // The new version takes calls; this is done again when it is next loaded.
            tracing::error!(plugin = %slot.name, %failure, "what the new manifest says of hooks is not in force yet");
        }
        self.tell_of(spec::PLUGIN_UPDATED, &slot);
        // The update itself is done.
        if let Err(failure) = self.seal_what_became_secret(&name, &revision.manifest).await {
            tracing::error!(plugin = %name, %failure, "what became a secret is still stored in the open");
        }
        Ok(())
    }

    /// Makes a plugin take calls.
    ///
    /// # Errors
    /// A lifecycle step failed; it was undone, and the plugin is in the state `failed` with the reason.
    pub async fn enable(&self, name: &PluginName) -> Result<(), Failure> {
        let slot = self.slot(name)?;
        match self.bring_into_service(name).await {
            Ok(true) => self.tell_of(spec::PLUGIN_ENABLED, &slot),
            Ok(false) => {}
            Err(failure) => {
                self.tell_of(spec::PLUGIN_FAILED, &slot);
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Makes a plugin take calls. Answers whether it did not before.
    async fn bring_into_service(&self, name: &PluginName) -> Result<bool, Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        if slot.active.load().is_some() {
            return Ok(false);
        }
        let (record, _) = slot.record();
        match self.bring_up(&slot, &record.active).await {
            Ok(revision) => {
                self.settle(&slot, PluginState::Active, None).await?;
                slot.active.store(Some(revision));
                Ok(true)
            }
            Err(failure) => {
                self.settle(&slot, PluginState::Failed, Some(failure.message.clone())).await?;
                Err(failure)
            }
        }
    }

    /// Stops a plugin taking calls. Calls that run finish first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn disable(&self, name: &PluginName) -> Result<(), Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        let mut effects = SlotEffects::new(self, &slot, slot.active.load_full());
        let state = standing(&slot);
        // The decision is written down before the plugin is stopped: a process that dies in between starts without it.
        self.settle(&slot, PluginState::Disabled, None).await?;
        drive(state, Event::Disable, &mut effects).await.map_err(|(_, failure)| failure)?;
        self.tell_of(spec::PLUGIN_DISABLED, &slot);
        Ok(())
    }

    /// Loads the active revision anew: new instances, configuration read again. No call fails for it.
    ///
    /// # Errors
    /// A lifecycle step failed; the instances that were there still take calls.
    pub async fn reload(&self, name: &PluginName) -> Result<(), Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        let (record, _) = slot.record();
        if matches!(record.state, PluginState::Disabled) {
            return Err(Failure::not_active(name, record.state, None));
        }
        let successor = self.bring_up(&slot, &record.active).await?;
        self.settle(&slot, PluginState::Active, None).await?;
        self.replace(&slot, Some(successor));
        self.tell_of(spec::PLUGIN_RELOADED, &slot);
        Ok(())
    }

    /// Removes a plugin with all that is stored of it but its runs and logs. Calls that run finish first.
    ///
    /// # Errors
    /// The store or the file system failed.
    pub async fn uninstall(&self, name: &PluginName) -> Result<(), Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        let mut effects = SlotEffects::new(self, &slot, slot.active.load_full());
        drive(standing(&slot), Event::Uninstall, &mut effects).await.map_err(|(_, failure)| failure)?;
        self.inner.cache.clear();
        self.forget_hooks(name).await?;
        self.tell_of(spec::PLUGIN_REMOVED, &slot);
        Ok(())
    }

    /// Asks a plugin for its health. A plugin that does not report any is healthy when it can be brought up.
    ///
    /// # Errors
    /// The plugin could not be brought up, or failed while it looked.
    pub async fn health(&self, name: &PluginName) -> Result<Option<HealthReport>, Failure> {
        let revision = self.active_revision(name).await?;
        let _running = revision.calls.token();
        let context = self.step_context(name, &revision);
        Ok(revision.loaded.health(context).await?)
    }

    /// Brings a plugin up ahead of its first call, with as many instances as it keeps. Answers how many.
    ///
    /// # Errors
    /// The plugin could not be brought up.
    pub async fn warm(&self, name: &PluginName) -> Result<usize, Failure> {
        let revision = self.active_revision(name).await?;
        Ok(revision.loaded.warm().await?)
    }

    /// A revision with its manifest and types.
    ///
    /// # Errors
    /// It was removed since its plugin was looked up, or the store failed.
    pub async fn revision(&self, digest: &Digest) -> Result<RevisionRecord, Failure> {
        let found = self.inner.store.revision_fetch(digest).await?;
        found.ok_or_else(|| {
            let message = format!("the plugin was removed meanwhile: its revision {} is gone", digest.short());
            Failure::new(Code::PluginNotFound, message).with_hint("`outrigger plugin list` shows what is installed")
        })
    }

    /// Loads, initialises and activates a revision. What fails is undone. The caller holds the slot's lock.
    pub(crate) async fn bring_up(&self, slot: &Arc<Slot>, digest: &Digest) -> Result<Arc<ActiveRevision>, Failure> {
        let mut effects = SlotEffects { digest: *digest, ..SlotEffects::new(self, slot, None) };
        drive(PluginState::Registered, Event::Enable, &mut effects).await.map_err(|(_, failure)| failure)?;
        effects.revision.ok_or_else(|| Failure::internal("a plugin became active without being loaded"))
    }

    /// Lets a successor take calls and shuts the predecessor down once its last call has ended.
    fn replace(&self, slot: &Arc<Slot>, successor: Option<Arc<ActiveRevision>>) {
        let Some(predecessor) = slot.active.swap(successor) else { return };
        let (engine, slot) = (self.clone(), Arc::clone(slot));
        self.inner.background.spawn(async move {
            let mut effects = SlotEffects::new(&engine, &slot, Some(predecessor));
            for effect in [Effect::Drain, Effect::Deactivate, Effect::Cleanup] {
                if let Err(failure) = effects.perform(effect).await {
                    tracing::warn!(plugin = %slot.name, %failure, ?effect, "while a replaced revision was shut down");
                }
            }
        });
    }

    /// Tells who wants to know what became of a plugin.
    fn tell_of(&self, event: &str, slot: &Slot) {
        self.tell(event, || {
            let (record, summary) = slot.record();
            let (version, digest) = (summary.version.to_string(), record.active.to_string());
            json!({"plugin": record.name, "version": version, "digest": digest, "reason": record.reason})
        });
    }

    /// Writes down where a plugin stands.
    async fn settle(&self, slot: &Slot, state: PluginState, reason: Option<String>) -> Result<(), Failure> {
        let (mut record, _) = slot.record();
        if record.state == state && record.reason == reason {
            return Ok(());
        }
        let expected = record.generation;
        (record.state, record.reason, record.updated_at) = (state, reason, OffsetDateTime::now_utc());
        record.generation = self.inner.store.plugin_put(&record, None, None, expected).await?;
        slot.record.lock().0 = record;
        Ok(())
    }

    fn step_context(&self, plugin: &PluginName, revision: &Arc<ActiveRevision>) -> CallContext {
        let correlation = CorrelationId::new();
        let deadline = Instant::now() + revision.manifest.limits.timeout.as_duration();
        CallContext {
            correlation,
            deadline,
            cancel: CancellationToken::new(),
            services: Arc::new(CallServices::for_step(self, plugin, revision, correlation, deadline)),
            observed: Arc::new(Observed::default()),
        }
    }
}

/// Where a plugin stands in this process: what is stored, corrected by whether it is loaded.
fn standing(slot: &Slot) -> PluginState {
    match (slot.active.load().is_some(), slot.record().0.state) {
        (true, _) => PluginState::Active,
        (false, state) if state.is_enabled() => PluginState::Registered,
        (false, state) => state,
    }
}

/// Carries out effects on one slot.
struct SlotEffects<'a> {
    engine: &'a Engine,
    slot: &'a Arc<Slot>,
    /// The revision to load.
    digest: Digest,
    /// The configuration to load it with, where that is not the stored one.
    configuration: Option<Configuration>,
    /// The revision that is loaded: one on its way up, or the active one on its way down.
    revision: Option<Arc<ActiveRevision>>,
}

impl<'a> SlotEffects<'a> {
    fn new(engine: &'a Engine, slot: &'a Arc<Slot>, revision: Option<Arc<ActiveRevision>>) -> Self {
        let digest = slot.record.lock().0.active;
        Self { engine, slot, digest, configuration: None, revision }
    }

    async fn load(&mut self) -> Result<(), Failure> {
        let Inner { store, runtime, options, .. } = &*self.engine.inner;
        let record = self.engine.revision(&self.digest).await?;
        let grant = store.grant_fetch(&self.digest).await?;
        let granted = grant.map(|grant| grant.permissions).unwrap_or_default();
        if !record.manifest.permissions.widens(&granted).is_empty() {
            let missing = record.manifest.permissions.widens(&granted).join("; ");
            let message = format!("the plugin `{}` asks for permissions it was not granted: {missing}", self.slot.name);
            return Err(Failure::new(Code::GrantRequired, message));
        }
        let configuration = match self.configuration.take() {
            Some(configuration) => configuration,
            None => {
                let stored = store.configuration_fetch(&self.slot.name).await?;
                let values = stored.map(|stored| stored.values).unwrap_or_default();
                Configuration::new(configuration::resolve(&self.engine.inner, &record.manifest, &values)?)
            }
        };
        let loaded = runtime
            .load(RevisionSpec {
                plugin: self.slot.name.clone(),
                digest: self.digest,
                root: options.package(&self.digest),
                entry: record.manifest.runtime.entry.as_str().into(),
                graph: Arc::new(record.inspection.graph.clone()),
                exports: record.inspection.exports.clone(),
                granted: granted.clone(),
                limits: record.manifest.limits.clone(),
                instances: record.manifest.runtime.instances,
            })
            .await?;
        self.revision = Some(Arc::new(self.slot.assemble(&record, granted, configuration, loaded)));
        Ok(())
    }

    /// Calls a step of the plugin's own.
    async fn step(&self, step: LifecycleStep) -> Result<(), Failure> {
        let Some(revision) = &self.revision else { return Ok(()) };
        let context = self.engine.step_context(&self.slot.name, revision);
        revision.loaded.lifecycle(step, context).await.map_err(|fault: RuntimeFault| {
            let message = format!("`{}` of the plugin `{}` failed: {}", step.as_str(), self.slot.name, fault.message);
            let code = if fault.code == Code::FunctionFailed { Code::LifecycleFailed } else { fault.code };
            Failure::new(code, message)
        })
    }

    async fn drain(&self) -> Result<(), Failure> {
        // A successor may be in place already; only the revision this is about is taken away.
        let current = self.slot.active.load_full();
        let Some(revision) = &self.revision else { return Ok(()) };
        if current.is_some_and(|current| Arc::ptr_eq(&current, revision)) {
            self.slot.active.store(None);
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
            Effect::Load => self.load().await,
            Effect::Initialize => self.step(LifecycleStep::Initialize).await,
            Effect::Activate => self.step(LifecycleStep::Activate).await,
            Effect::Drain => self.drain().await,
            Effect::Deactivate => self.step(LifecycleStep::Deactivate).await,
            Effect::Cleanup => self.step(LifecycleStep::Cleanup).await,
            Effect::Unload => {
                self.revision = None;
                Ok(())
            }
            Effect::Unregister => {
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
