//! A revision is tried on copies of the configuration and the state, before it may take the place of the active one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use outrigger_contract::manifest::MigrationStep;
use outrigger_contract::{Code, Manifest, PluginName};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::effects::{Candidate, SlotEffects};
use super::plan::Plan;
use super::rollback::Former;
use super::staged::{Changes, StagedState};
use super::update::Migrated;
use crate::configuration;
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::lifecycle::{Effect, Effects, Event, PluginState, drive};
use crate::plugins::{ActiveRevision, Configuration, Slot};
use crate::runtime::{HealthReport, HealthStatus, run_step};
use crate::services::Ground;
use crate::store::{ConfigurationRecord, ConfigurationRevision, GrantRecord, Keeps, StateStamp};

/// A revision that is to take the place of the active one.
#[derive(Debug)]
pub(super) struct Successor {
    pub(super) candidate: Candidate,
    /// None where it has one already.
    pub(super) grant: Option<GrantRecord>,
    pub(super) course: Course,
    pub(super) correlation: CorrelationId,
}

/// Where it leads.
#[derive(Debug)]
pub(super) enum Course {
    /// To what a plan makes of what is there.
    Forward(Plan),
    /// To what was there before.
    Back(Former),
}

/// A revision that was brought up on copies, with what they have become.
#[derive(Debug)]
pub(super) struct Trial {
    /// None where the plugin is disabled.
    pub(super) revision: Option<Arc<ActiveRevision>>,
    ground: Ground,
    pub(super) stamp: StateStamp,
    /// The new configuration, if it changes.
    pub(super) configuration: Option<ConfigurationRevision>,
    /// None where it stays.
    pub(super) state: Option<Changes>,
    pub(super) migrated: Migrated,
}

/// How far a revision is tried.
#[derive(Debug)]
pub(super) enum Rehearsal {
    /// It takes over what is there, and that is all.
    OnlyMigrate,
    /// It is brought up, by this time where calls wait for it.
    BringUp { until: Option<Instant> },
}

impl Engine {
    /// Tries a revision on copies of what is stored.
    pub(super) async fn attempt(
        &self,
        slot: &Arc<Slot>,
        successor: &Successor,
        rehearsal: &Rehearsal,
    ) -> Result<Trial, Failure> {
        let Successor { candidate, course, correlation, grant: _ } = successor;
        let (name, manifest) = (&slot.name, &candidate.record.manifest);
        let state = Arc::new(StagedState::begin(&self.inner.store, name).await?);
        let until = match rehearsal {
            Rehearsal::BringUp { until } => *until,
            Rehearsal::OnlyMigrate => None,
        };
        let ground = Ground { correlation: Some(*correlation), until, ..Ground::staged(&state) };
        let present = self.present(name).await?;
        let values = match course {
            Course::Forward(plan) => self.migrate(slot, candidate, plan, &present.values, (&state, &ground)).await?,
            Course::Back(former) => {
                if let Some(values) = &former.state {
                    state.become_again(values.clone()).await?;
                }
                former.configuration.clone().unwrap_or_else(|| present.values.clone())
            }
        };
        // An administrator who disabled the plugin gets the new version, disabled.
        let disabled = slot.record().0.state == PluginState::Disabled;
        let resolved = match disabled {
            true => None,
            false => Some(self.resolved(course, manifest, &values)?),
        };
        let revision = match (rehearsal, resolved) {
            (Rehearsal::BringUp { .. }, Some(resolved)) => {
                let brought_up = self.bring_up_on(slot, successor, Configuration::new(resolved), &ground).await;
                Some(brought_up.map_err(|failure| course.failed(failure))?)
            }
            _ => None,
        };
        let (changes, difference) = state.difference().await?;
        let migrated = Migrated {
            from: slot.record().1.version,
            to: manifest.version.clone(),
            steps: course.steps(),
            configuration: configuration::differences(
                &*self.inner.vault,
                manifest,
                &present.values,
                &values,
                &course.secrets(manifest),
            ),
            state: difference,
        };
        Ok(Trial {
            revision,
            ground,
            stamp: state.stamp,
            configuration: (values != present.values).then(|| successor.revision(&migrated, &present, values)),
            state: (course.touches_state() || !changes.is_empty()).then_some(changes),
            migrated,
        })
    }

    /// The configuration as the revision is to get it.
    fn resolved(
        &self,
        course: &Course,
        manifest: &Manifest,
        values: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Failure> {
        if matches!(course, Course::Forward(_)) {
            configuration::require(&self.inner, manifest, values)?;
        }
        configuration::resolve(&self.inner, manifest, values).map_err(|failure| course.failed(failure))
    }

    /// Brings a revision up on copies, and asks it how it is. What fails is undone.
    async fn bring_up_on(
        &self,
        slot: &Arc<Slot>,
        Successor { candidate, course, .. }: &Successor,
        configuration: Configuration,
        ground: &Ground,
    ) -> Result<Arc<ActiveRevision>, Failure> {
        let mut effects = SlotEffects {
            candidate: Some(candidate),
            configuration: Some(configuration),
            ground: ground.clone(),
            ..SlotEffects::new(self, slot, None)
        };
        drive(PluginState::Registered, Event::Enable, &mut effects).await.map_err(|(_, failure)| failure)?;
        let revision =
            effects.revision.ok_or_else(|| Failure::internal("a plugin became active without being loaded"))?;
        if matches!(course, Course::Back(_)) {
            // It was good enough before, and who goes back has worse now.
            return Ok(revision);
        }
        let context = self.step_context(&slot.name, &revision, ground);
        let verdict = match run_step(&revision.loaded, |loaded| async move { loaded.health(context).await }).await {
            Ok(Some(report)) if report.status == HealthStatus::Unhealthy => Err(unhealthy(&slot.name, report)),
            Ok(_) => Ok(()),
            Err(fault) => Err(fault.into()),
        };
        match verdict {
            Ok(()) => Ok(revision),
            Err(failure) => {
                self.take_down(slot, revision, ground).await;
                Err(failure)
            }
        }
    }

    pub(super) async fn abandon(&self, slot: &Arc<Slot>, trial: Trial) {
        if let Some(revision) = trial.revision {
            self.take_down(slot, revision, &trial.ground).await;
        }
    }

    /// Shuts a revision down that has taken no call.
    async fn take_down(&self, slot: &Arc<Slot>, revision: Arc<ActiveRevision>, ground: &Ground) {
        let ground = ground.clone();
        let mut effects = SlotEffects { ground, ..SlotEffects::new(self, slot, Some(revision)) };
        for effect in [Effect::Deactivate, Effect::Cleanup] {
            if let Err(failure) = effects.perform(effect).await {
                tracing::warn!(plugin = %slot.name, %failure, ?effect, "failed while undoing an update");
            }
        }
    }
}

impl Course {
    fn failed(&self, failure: Failure) -> Failure {
        match self {
            Self::Forward(plan) => plan.failed(failure),
            Self::Back(_) => failure,
        }
    }

    fn steps(&self) -> Vec<String> {
        match self {
            Self::Forward(plan) => {
                let own = plan.own.then(|| "the plugin's own migration".to_owned());
                plan.steps.iter().map(MigrationStep::describe).chain(own).collect()
            }
            Self::Back(_) => Vec::new(),
        }
    }

    pub(super) fn touches_state(&self) -> bool {
        match self {
            Self::Forward(plan) => plan.touches_state(),
            Self::Back(former) => former.state.is_some(),
        }
    }

    pub(super) fn keeps(&self) -> Keeps {
        match self {
            Self::Forward(plan) if plan.touches_state() => Keeps::Predecessor,
            Self::Forward(_) => Keeps::PredecessorWithoutState,
            Self::Back(_) => Keeps::Nothing,
        }
    }

    /// The keys whose values have become secrets, by all the names that they had on the way.
    pub(super) fn secrets(&self, manifest: &Manifest) -> BTreeSet<String> {
        match self {
            Self::Forward(plan) => plan.secrets(manifest),
            Self::Back(_) => BTreeSet::new(),
        }
    }
}

impl Successor {
    /// The configuration as one more revision. Where somebody gave values, it is theirs.
    fn revision(
        &self,
        Migrated { from, to, .. }: &Migrated,
        present: &ConfigurationRecord,
        values: Map<String, Value>,
    ) -> ConfigurationRevision {
        let (author, restores) = match (&self.course, &self.grant) {
            (Course::Forward(plan), Some(grant)) if !plan.given.0.is_empty() => (grant.granted_by.clone(), None),
            (Course::Forward(_), _) => (format!("migration from {from} to {to}"), None),
            (Course::Back(former), _) => (format!("rollback from {from} to {to}"), Some(former.revision)),
        };
        ConfigurationRevision {
            revision: present.revision + 1,
            at: OffsetDateTime::now_utc(),
            author,
            correlation: self.correlation,
            restores,
            values,
        }
    }
}

fn unhealthy(plugin: &PluginName, report: HealthReport) -> Failure {
    let mut bad = report.checks.into_iter().filter(|check| check.status == HealthStatus::Unhealthy);
    let what = bad.next().map_or("it does not say why".to_owned(), |check| match check.message {
        Some(message) => format!("{}: {message}", check.name),
        None => check.name,
    });
    let message = format!("the new version of `{plugin}` reports that it is unhealthy: {what}");
    Failure::new(Code::LifecycleFailed, message)
}
