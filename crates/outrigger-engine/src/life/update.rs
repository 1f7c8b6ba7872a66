//! Another revision in the place of the active one. It is brought up on copies of the configuration and the state; only
//! when it is well is all of it made visible, in one transaction.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_contract::{Code, FunctionName, PluginName, TypeGraph};
use semver::Version;
use time::OffsetDateTime;

use super::Installation;
use super::hold::Hold;
use super::plan::Plan;
use super::staged::StateDifference;
use super::trial::{Course, Rehearsal, Successor, Trial};
use crate::configuration::Difference;
use crate::engine::Engine;
use crate::error::Failure;
use crate::hooks::{Adoption, spec};
use crate::lifecycle::PluginState;
use crate::plugins::Slot;
use crate::store::{GrantRecord, PluginRecord, StateChange, StateStamp, StoreError, Switch};

/// How often it is tried to take over a state that is written to meanwhile. From the second time on, calls wait.
const TRIES: u32 = 3;

/// The report of a migration from one version to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Migrated {
    pub from: Version,
    pub to: Version,
    /// The steps of the manifest that were taken, and whether the plugin's own functions were called, for a person to read.
    pub steps: Vec<String>,
    /// Secrets are hidden.
    pub configuration: Vec<Difference>,
    pub state: StateDifference,
}

impl Engine {
    /// Replaces the active revision. The new one is loaded first, with the migrated configuration and state, and
    /// accepts calls as soon as the store has it; running calls finish on the old one.
    ///
    /// # Errors
    /// A dependency is missing, a dependent plugin does not accept this version, it could not be started, it is
    /// unhealthy, or the store failed. Then nothing has changed, and the old one is still active.
    pub async fn update(&self, installation: Installation) -> Result<Migrated, Failure> {
        let slot = self.slot(&installation.revision.manifest.name)?;
        let _changing = slot.changing.lock().await;
        let digest = installation.revision.digest;
        let known = self.inner.store.revision_fetch(&digest).await?.is_some();
        let outcome = match self.successor(&slot, installation, None).await {
            Ok(successor) => self.take_over(&slot, &successor).await,
            Err(failure) => Err(failure),
        };
        if outcome.is_err() && !known {
            self.inner.runtime.forget(&digest).await;
        }
        outcome
    }

    /// The effect of an update on configuration and state. Nothing is stored, and nothing but the plugin's functions
    /// for it is called. The package is in `root`.
    ///
    /// # Errors
    /// It could not be migrated.
    pub async fn update_rehearse(
        &self,
        installation: Installation,
        root: std::path::PathBuf,
    ) -> Result<Migrated, Failure> {
        let slot = self.slot(&installation.revision.manifest.name)?;
        let digest = installation.revision.digest;
        let known = self.inner.store.revision_fetch(&digest).await?.is_some();
        let outcome = match self.successor(&slot, installation, Some(root)).await {
            Ok(successor) => self.attempt(&slot, &successor, &Rehearsal::OnlyMigrate).await,
            Err(failure) => Err(failure),
        };
        if !known {
            self.inner.runtime.forget(&digest).await;
        }
        outcome.map(|trial| trial.migrated)
    }

    async fn successor(
        &self,
        slot: &Slot,
        installation: Installation,
        root: Option<std::path::PathBuf>,
    ) -> Result<Successor, Failure> {
        let Installation { revision, granted, granted_by, correlation, downgrade, configuration } = installation;
        self.check_dependencies(&revision.manifest).await?;
        let (_, present) = slot.record();
        let plan = Plan::new(&present.version, &revision, downgrade, configuration)?;
        let grant = GrantRecord {
            digest: revision.digest,
            grant: granted.clone(),
            granted_by,
            granted_at: OffsetDateTime::now_utc(),
        };
        let loaded = self.load(revision, granted, root).await;
        let candidate = loaded.inspect_err(|_| slot.counts.load_failed())?;
        Ok(Successor { candidate, grant: Some(grant), course: Course::Forward(plan), correlation })
    }

    /// Tries a revision on copies, and switches to it when it is well. The caller holds the slot's lock.
    pub(super) async fn take_over(&self, slot: &Arc<Slot>, successor: &Successor) -> Result<Migrated, Failure> {
        let (manifest, graph) = (&successor.candidate.record.manifest, &successor.candidate.record.inspection.graph);
        let declared = self.declared(manifest, graph).await?;
        let former = self.revision(&slot.record().0.active).await.ok();
        let functions = former.map(|former| functions_of([&former.inspection.graph, graph]));
        let trial = self.settle_on(slot, successor).await?;
        let name = &slot.name;
        self.forgive(slot).await;
        if let Err(failure) = self.adopt(declared, Adoption::Anew).await {
            // The new version takes calls; this is done again when it is next loaded.
            tracing::error!(plugin = %name, %failure, "the hooks and subscriptions of the new manifest are not \
                active yet");
        }
        self.tell_of(spec::PLUGIN_UPDATED, slot).await;
        if let Some(configuration) = &trial.configuration {
            self.tell_configured(name, configuration.revision).await;
        }
        // The update itself is done. Statistics are kept of its functions and of those that a rollback brings back,
        // because updates could add any number of others.
        if let Some(functions) = functions
            && let Err(failure) = self.retain_statistics(name, &functions).await
        {
            tracing::warn!(plugin = %name, %failure, "failed to drop the statistics of former functions");
        }
        let secrets = successor.course.secrets(manifest);
        let until = trial.configuration.as_ref().map(|configuration| configuration.revision);
        if let Err(failure) = self.seal_what_became_secret(name, manifest, &secrets, until).await {
            tracing::error!(plugin = %name, %failure, "a value that became a secret is still stored unencrypted");
        }
        Ok(trial.migrated)
    }

    /// Tries until what was tried is what the store has, or it is clear that it will not be.
    async fn settle_on(&self, slot: &Arc<Slot>, successor: &Successor) -> Result<Trial, Failure> {
        let limit = self.inner.options.hold;
        let mut hold: Option<(Hold<'_>, Instant)> = None;
        let mut tries = 1;
        loop {
            let stamp = self.inner.store.state_stamp(&slot.name).await?;
            let until = hold.as_ref().map(|(_, until)| *until);
            let mut trial = match self.attempt(slot, successor, &Rehearsal::BringUp { until }).await {
                Ok(trial) => trial,
                // Its input changed in the meantime, which may be the reason.
                Err(_) if tries < TRIES && self.moved(slot, stamp).await? => {
                    tries += 1;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            if successor.course.touches_state() && hold.is_none() {
                let until = Instant::now() + limit;
                let begun = Hold::begin(slot);
                if !begun.drained(until).await {
                    self.abandon(slot, trial).await;
                    return Err(still_running(&slot.name, limit));
                }
                hold = Some((begun, until));
            }
            match self.switch(slot, successor, &mut trial).await {
                Ok(()) => return Ok(trial),
                Err(StoreError::Conflict { .. }) if tries < TRIES && self.moved(slot, trial.stamp).await? => {
                    tries += 1;
                    self.abandon(slot, trial).await;
                }
                Err(error) => {
                    self.abandon(slot, trial).await;
                    return Err(error.into());
                }
            }
        }
    }

    /// Whether the state was written to since.
    async fn moved(&self, slot: &Slot, since: StateStamp) -> Result<bool, Failure> {
        Ok(self.inner.store.state_stamp(&slot.name).await?.writes != since.writes)
    }

    /// Makes all of it visible at once.
    async fn switch(&self, slot: &Arc<Slot>, successor: &Successor, trial: &mut Trial) -> Result<(), StoreError> {
        let (record, digest) = (&successor.candidate.record, successor.candidate.record.digest);
        let (present, _) = slot.record();
        let mut plugin = PluginRecord {
            active: digest,
            state: if trial.revision.is_some() { PluginState::Active } else { PluginState::Disabled },
            reason: None,
            updated_at: OffsetDateTime::now_utc(),
            ..present.clone()
        };
        let migrates = successor.course.touches_state();
        let expected = migrates.then_some(trial.stamp.writes);
        let state = trial.state.take().map(|changes| StateChange { expected, changes });
        let mut superseded = slot.revisions();
        superseded.retain(|former| migrates && !former.is_superseded());
        for former in &superseded {
            // Late writes, for example during shutdown, must not reach the state of its successor.
            former.supersede(true);
        }
        let switch = Switch {
            plugin: plugin.clone(),
            expected: present.generation,
            revision: record.clone(),
            grant: successor.grant.clone(),
            configuration: trial.configuration.clone(),
            state,
            keeps: successor.course.keeps(),
        };
        match self.inner.store.plugin_switch(&switch).await {
            Ok(generation) => plugin.generation = generation,
            Err(error) => {
                for former in &superseded {
                    former.supersede(false);
                }
                return Err(error);
            }
        }
        *slot.record.lock() = (plugin, record.summary());
        self.replace(slot, trial.revision.take());
        Ok(())
    }
}

/// The functions of either version.
fn functions_of(graphs: [&TypeGraph; 2]) -> BTreeSet<FunctionName> {
    graphs.into_iter().flat_map(|graph| &graph.functions).filter_map(|function| function.name.parse().ok()).collect()
}

fn still_running(plugin: &PluginName, limit: Duration) -> Failure {
    let message =
        format!("calls of `{plugin}` still ran after {limit:?}, so its state was not migrated; nothing has changed");
    Failure::new(Code::MigrationFailed, message).with_hint(format!(
        "try again after they end, or stop new calls first with `outrigger plugin disable {plugin}`"
    ))
}
