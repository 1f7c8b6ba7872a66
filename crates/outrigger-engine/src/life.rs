//! Administration of plugins: install, update, enable, disable, reload, configure, uninstall. Each either completes or
//! is undone, and the last good revision keeps running until its successor takes calls.

mod configure;
mod consult;
mod dependencies;
mod effects;
mod hold;
mod migrate;
mod plan;
mod recover;
mod rollback;
mod staged;
mod trial;
mod update;

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_contract::{Code, Digest, Grant, PluginName};
use serde_json::{Map, json};
use time::OffsetDateTime;

pub use configure::{Author, Configured, Edits};
pub use consult::{Change, Intent};
pub use rollback::RolledBack;
pub(crate) use staged::StagedState;
pub use staged::StateDifference;
pub use update::Migrated;

use self::effects::SlotEffects;
use crate::configuration::{self, Given, Whole};
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::hooks::{Adoption, spec};
use crate::lifecycle::{Effect, Effects, Event, PluginState, drive};
use crate::plugins::{ActiveRevision, Slot};
use crate::runtime::{CallContext, Cancellation, Observed, run_step};
use crate::services::{CallServices, Ground};
use crate::store::{ConfigurationRevision, GrantRecord, PluginRecord, RevisionRecord};

/// How long, and at which interval, removing a plugin whose installation failed is retried.
const TAKEN_BACK_WITHIN: Duration = Duration::from_secs(10);
const TAKEN_BACK_AGAIN: Duration = Duration::from_millis(50);

/// A revision to be installed. Its files are in the folder for its digest already.
#[derive(Clone, Debug)]
pub struct Installation {
    pub revision: RevisionRecord,
    pub granted: Grant,
    /// The approver.
    pub granted_by: String,
    /// Under which all that comes of it is written down.
    pub correlation: CorrelationId,
    pub downgrade: Downgrade,
    /// The initial configuration; in an update, it overrides the migrated one.
    pub configuration: Given,
}

/// Whether an older version may take the place of a newer one without a word on how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Downgrade {
    Refused,
    Allowed,
}

impl Engine {
    /// Installs a new plugin: registers and enables it. If this fails, nothing of it stays in the store.
    ///
    /// # Errors
    /// It is already installed, a dependency is missing, its configuration is incomplete or invalid, the store failed,
    /// or a lifecycle step failed.
    pub async fn install(&self, installation: Installation) -> Result<(), Failure> {
        self.check_needs(&installation.revision.manifest)?;
        let configuration = self.first_configuration(&installation)?;
        let Installation { revision, granted, granted_by, .. } = installation;
        let now = OffsetDateTime::now_utc();
        let name = revision.manifest.name.clone();
        let declared = self.declared(&revision.manifest, &revision.inspection.graph).await?;
        let mut record = PluginRecord {
            name: name.clone(),
            active: revision.digest,
            state: PluginState::Registered,
            reason: None,
            installed_at: now,
            updated_at: now,
            generation: 0,
        };
        let grant = GrantRecord { digest: revision.digest, grant: granted, granted_by, granted_at: now };
        self.drop_stale_subscriptions(&name).await?;
        record.generation = self.inner.store.plugin_create(&record, &revision, &grant, configuration.as_ref()).await?;
        let slot = {
            let account = self.inner.accounts.of(&record.name);
            self.inner.plugins.insert(Slot::new(record, revision.summary(), account, &self.inner.options.quotas))
        };
        let outcome = match self.bring_into_service(&name).await {
            Ok(_) => self.adopt(declared, Adoption::Anew).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = outcome {
            return Err(self.take_back(&slot, &revision.digest, failure).await);
        }
        self.tell_of(spec::PLUGIN_INSTALLED, &slot).await;
        if let Some(configuration) = &configuration {
            self.tell_configured(&name, configuration.revision).await;
        }
        Ok(())
    }

    /// Removes a plugin whose installation failed. If the disk is full, this waits until the store can remove it: a
    /// plugin that is only in the store could neither be seen nor installed again.
    async fn take_back(&self, slot: &Arc<Slot>, digest: &Digest, failure: Failure) -> Failure {
        let name = &slot.name;
        self.inner.plugins.remove(name);
        let until = Instant::now() + TAKEN_BACK_WITHIN;
        while let Err(error) = self.inner.store.plugin_delete(name).await {
            if Instant::now() >= until {
                self.inner.plugins.extend([Arc::clone(slot)]);
                let message = format!("{}; the plugin could not be removed: {error}", failure.message);
                return Failure { message, ..failure }
                    .with_hint(format!("remove it with `outrigger plugin uninstall {name}`, then install it again"));
            }
            tokio::time::sleep(TAKEN_BACK_AGAIN).await;
        }
        self.inner.runtime.forget(digest).await;
        failure
    }

    /// Checks whether a new plugin could be installed, without starting it.
    ///
    /// # Errors
    /// A dependency is missing, its configuration is incomplete or invalid, or the hooks in its manifest are invalid.
    pub async fn install_rehearse(&self, installation: &Installation) -> Result<(), Failure> {
        self.check_needs(&installation.revision.manifest)?;
        self.first_configuration(installation)?;
        self.declared(&installation.revision.manifest, &installation.revision.inspection.graph).await.map(|_| ())
    }

    /// The configuration that a plugin begins with, where it is given one. It is all that the plugin needs, or is refused.
    fn first_configuration(&self, installation: &Installation) -> Result<Option<ConfigurationRevision>, Failure> {
        let Installation { revision, granted_by, correlation, configuration: given, .. } = installation;
        let manifest = &revision.manifest;
        if !given.0.is_empty() {
            // By itself first: what is overridden now will not be for ever.
            let hidden = |key: &str| configuration::is_secret(manifest, key);
            configuration::check(manifest, &given.0, &hidden, |_| None, Whole::No)
                .map_err(|failure| failure.with_hint("correct the values of `--set` or `--config`"))?;
        }
        let values = configuration::lay_over(&*self.inner.vault, manifest, given, &Map::new())?;
        configuration::check_size(&manifest.name, &values)?;
        configuration::require(&self.inner, manifest, &values)?;
        configuration::resolve(&self.inner, manifest, &values)?;
        Ok((!values.is_empty()).then(|| ConfigurationRevision {
            revision: 1,
            at: OffsetDateTime::now_utc(),
            author: granted_by.clone(),
            correlation: *correlation,
            restores: None,
            values,
        }))
    }

    /// Enables a plugin.
    ///
    /// # Errors
    /// A dependency is missing; or a lifecycle step failed, was undone, and the plugin is in the state `failed` with
    /// the reason.
    pub async fn enable(&self, name: &PluginName) -> Result<(), Failure> {
        let slot = self.slot(name)?;
        self.check_needs(&self.revision(&slot.record().0.active).await?.manifest)?;
        match self.bring_into_service(name).await {
            Ok(true) => self.tell_of(spec::PLUGIN_ENABLED, &slot).await,
            Ok(false) => {}
            Err(failure) => {
                self.tell_of(spec::PLUGIN_FAILED, &slot).await;
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Enables a plugin. Returns whether it was not enabled before.
    async fn bring_into_service(&self, name: &PluginName) -> Result<bool, Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        self.forgive(&slot).await;
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

    /// Disables a plugin. Running calls finish first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn disable(&self, name: &PluginName) -> Result<(), Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        self.switch_off(&slot, None).await
    }

    /// Whether calls still run on a revision that takes no more of them.
    #[must_use]
    pub fn still_runs(&self, name: &PluginName, digest: &Digest) -> bool {
        let former = self.inner.plugins.get(name).map(|slot| slot.retired()).unwrap_or_default();
        former.iter().any(|former| former.digest == *digest && !former.calls.is_empty())
    }

    /// Stops a plugin taking calls, for a reason that is shown wherever it is asked for. The caller holds the slot's lock.
    async fn switch_off(&self, slot: &Arc<Slot>, reason: Option<String>) -> Result<(), Failure> {
        let mut effects = SlotEffects::new(self, slot, slot.active.load_full());
        let state = standing(slot);
        // The decision is written down before the plugin is stopped: a process that dies in between starts without it.
        self.settle(slot, PluginState::Disabled, reason).await?;
        drive(state, Event::Disable, &mut effects).await.map_err(|(_, failure)| failure)?;
        // It is disabled all the same: no new call is taken, and those that run may take as long as they are let.
        let mut why = Vec::from_iter(slot.record().0.reason);
        if slot.retired().iter().any(|former| !former.calls.is_empty()) {
            tracing::warn!(plugin = %slot.name, "the plugin is disabled, but earlier calls are still running");
            why.push("calls that began before still run".to_owned());
        }
        self.tell_why(spec::PLUGIN_DISABLED, slot, (!why.is_empty()).then(|| why.join("; ")).as_deref()).await;
        Ok(())
    }

    /// Reloads the active revision: new instances, configuration read again. No call fails because of it.
    ///
    /// # Errors
    /// A lifecycle step failed; the previous instances still accept calls.
    pub async fn reload(&self, name: &PluginName) -> Result<(), Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        let (record, _) = slot.record();
        if matches!(record.state, PluginState::Disabled) {
            return Err(Failure::not_active(name, record.state, None));
        }
        self.load_anew(&slot).await?;
        self.forgive(&slot).await;
        self.tell_of(spec::PLUGIN_RELOADED, &slot).await;
        Ok(())
    }

    /// Approves the grant of the active revision again and reloads it, because its resolved paths have changed.
    ///
    /// # Errors
    /// The store failed, or the revision could not be loaded; the grant is stored in any case.
    pub async fn grant_again(&self, name: &PluginName, grant: Grant, author: &Author) -> Result<(), Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        let (mut record, _) = slot.record();
        let (expected, granted_at) = (record.generation, OffsetDateTime::now_utc());
        record.updated_at = granted_at;
        let grant = GrantRecord { digest: record.active, grant, granted_by: author.name.clone(), granted_at };
        record.generation = self.inner.store.plugin_put(&record, None, Some(&grant), expected).await?;
        let state = record.state;
        slot.record.lock().0 = record;
        if state != PluginState::Disabled {
            self.load_anew(&slot).await?;
            self.tell_of(spec::PLUGIN_RELOADED, &slot).await;
        }
        Ok(())
    }

    /// Removes a plugin and everything stored for it, except its runs and logs. Running calls finish first.
    ///
    /// # Errors
    /// Another plugin needs it; the store failed, and the plugin is unchanged; or its files could not be deleted, and
    /// the plugin is removed.
    pub async fn uninstall(&self, name: &PluginName) -> Result<(), Failure> {
        let slot = self.slot(name)?;
        self.check_needed(name, None).await?;
        let _changing = slot.changing.lock().await;
        let active = slot.active.load_full();
        let mut effects = SlotEffects::new(self, &slot, active.clone());
        let outcome = drive(standing(&slot), Event::Uninstall, &mut effects).await;
        if let Err((PluginState::Disabled, failure)) = outcome {
            if let Some(active) = active {
                // In the store it is still active, so it accepts calls again.
                match self.bring_up(&slot, &active.digest).await {
                    Ok(revision) => slot.active.store(Some(revision)),
                    Err(again) => {
                        tracing::error!(plugin = %name, failure = %again, "failed to restart the plugin after its removal failed");
                    }
                }
            }
            return Err(failure);
        }
        self.inner.cache.clear();
        self.inner.health.forget(name);
        self.inner.accounts.forget(name);
        self.forget_statistics(name).await;
        self.forget_hooks(name).await?;
        self.tell_of(spec::PLUGIN_REMOVED, &slot).await;
        outcome.map(drop).map_err(|(_, failure)| failure)
    }

    /// Loads a plugin before its first call, with as many idle instances as it keeps. Returns their number.
    ///
    /// # Errors
    /// The plugin could not be started.
    pub async fn warm(&self, name: &PluginName) -> Result<usize, Failure> {
        let revision = self.active_revision(name).await?;
        Ok(run_step(&revision.loaded, |loaded| async move { loaded.warm().await }).await?)
    }

    /// A revision with its manifest and types.
    ///
    /// # Errors
    /// It was removed since its plugin was looked up, or the store failed.
    pub async fn revision(&self, digest: &Digest) -> Result<RevisionRecord, Failure> {
        let found = self.inner.store.revision_fetch(digest).await?;
        found.ok_or_else(|| {
            let message =
                format!("the plugin was removed in the meantime: its revision {} no longer exists", digest.short());
            Failure::new(Code::PluginNotFound, message).with_hint("`outrigger plugin list` lists the installed plugins")
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
        slot.retire(&predecessor);
        let (engine, slot) = (self.clone(), Arc::clone(slot));
        self.inner.background.spawn(async move {
            let mut effects = SlotEffects::new(&engine, &slot, Some(predecessor));
            for effect in [Effect::Drain, Effect::Deactivate, Effect::Cleanup] {
                if let Err(failure) = effects.perform(effect).await {
                    tracing::warn!(plugin = %slot.name, %failure, ?effect, "failed while shutting down a replaced \
                    revision");
                }
            }
        });
    }

    /// Tells who wants to know what became of a plugin.
    async fn tell_of(&self, event: &str, slot: &Slot) {
        self.tell_why(event, slot, None).await;
    }

    /// The same, for a reason that is not where it stands.
    async fn tell_why(&self, event: &str, slot: &Slot, reason: Option<&str>) {
        self.tell(event, || {
            let (record, summary) = slot.record();
            let (version, digest) = (summary.version.to_string(), record.active.to_string());
            let reason = reason.or(record.reason.as_deref());
            json!({"plugin": record.name, "version": version, "digest": digest, "reason": reason})
        })
        .await;
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

    /// The subject of a step in the plugin's own code.
    pub(crate) fn step_context(
        &self,
        plugin: &PluginName,
        revision: &Arc<ActiveRevision>,
        ground: &Ground,
    ) -> CallContext {
        let correlation = ground.correlation.unwrap_or_default();
        let deadline = Instant::now() + revision.manifest.limits.timeout.as_duration();
        let deadline = ground.until.map_or(deadline, |until| until.min(deadline));
        CallContext {
            correlation,
            deadline,
            cancel: Cancellation::default(),
            services: Arc::new(CallServices::for_step(self, plugin, revision, correlation, deadline, ground)),
            observed: Arc::new(Observed::default()),
            account: revision.call_account(),
            is_nested: false,
            recording: None,
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
