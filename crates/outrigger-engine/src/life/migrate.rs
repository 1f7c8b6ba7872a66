//! Carries out a plan on copies: of the configuration, and of the state.

use std::sync::Arc;

use outrigger_contract::manifest::MigrationStep;
use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, Manifest};
use serde_json::{Map, Value};

use super::effects::Candidate;
use super::plan::Plan;
use super::staged::StagedState;
use crate::configuration::{self, Whole};
use crate::engine::Engine;
use crate::error::Failure;
use crate::plugins::{Configuration, Slot};
use crate::runtime::{LoadedRevision, run_step};
use crate::services::{Calls, Ground};
use crate::vault::{self, Place};

impl Engine {
    /// Answers with the configuration as it is to be stored, secrets sealed. The state is changed in `ground`.
    pub(super) async fn migrate(
        &self,
        slot: &Slot,
        candidate: &Candidate,
        plan: &Plan,
        stored: &Map<String, Value>,
        (state, ground): (&StagedState, &Ground),
    ) -> Result<Map<String, Value>, Failure> {
        let manifest = &candidate.record.manifest;
        let mut values = stored.clone();
        for step in &plan.steps {
            let refused = |problem: String| {
                Failure::new(Code::MigrationFailed, format!("the step {}: {problem}", step.describe()))
            };
            let after = step.configuration(&values).map_err(|conflict| plan.failed(refused(conflict.to_string())))?;
            values = self.sealed_anew(manifest, step, &values, after)?;
            if step.touches_state() {
                state.take(step).await?.map_err(|problem| plan.failed(refused(problem)))?;
            }
        }
        if plan.own {
            values = self.migrate_itself(slot, candidate, plan, values, ground).await?;
        }
        if !plan.given.0.is_empty() {
            values = configuration::lay_over(&*self.inner.vault, manifest, &plan.given, &values)?;
        }
        if values != *stored {
            configuration::check_size(&manifest.name, &values).map_err(|failure| plan.failed(failure))?;
            // By itself first: what is overridden now will not be for ever.
            let opened = configuration::open(&*self.inner.vault, &manifest.name, &values)?;
            let hidden = |key: &str| configuration::is_hidden(manifest, key, &values);
            configuration::check(manifest, &opened, &hidden, |_| None, Whole::No)
                .map_err(|failure| plan.failed(failure))?;
        }
        let capacity = candidate.manifest.limits.state;
        if plan.touches_state() && state.bytes() > capacity.as_u64() {
            let size = ByteSize::bytes(state.bytes()).rounded();
            let message = format!("the state would take {size}; `[limits] state` is {capacity}");
            return Err(plan.failed(Failure::new(Code::MigrationFailed, message)));
        }
        Ok(values)
    }

    /// Has the plugin's own functions do the rest.
    async fn migrate_itself(
        &self,
        slot: &Slot,
        candidate: &Candidate,
        plan: &Plan,
        values: Map<String, Value>,
        ground: &Ground,
    ) -> Result<Map<String, Value>, Failure> {
        let (vault, name) = (&*self.inner.vault, &slot.name);
        let Candidate { record, manifest, granted, loaded } = candidate;
        let from = plan.from.to_string();
        let ground = Ground { calls: Calls::Refused, ..ground.clone() };
        let context = |configuration| {
            let configuration = Configuration::new(configuration);
            let (manifest, granted) = (manifest.clone(), granted.clone());
            let revision = slot.assemble(record, manifest, granted, configuration, Arc::clone(loaded));
            self.step_context(name, &Arc::new(revision), &ground)
        };
        let opened = configuration::open(vault, name, &values)?;
        let text = Value::Object(opened.clone()).to_string();
        let (before, opened) = (from.clone(), context(opened));
        let migrate =
            |loaded: Arc<dyn LoadedRevision>| async move { loaded.migrate_configuration(&before, &text, opened).await };
        let answer = run_step(loaded, migrate).await;
        let values = match answer.map_err(|fault| plan.failed_in("migrate-configuration", fault))? {
            Some(text) if text.len() > configuration::LONGEST_TEXT => {
                let [size, limit] = [text.len(), configuration::LONGEST_TEXT].map(|size| ByteSize::bytes(size as u64));
                let message = format!("`migrate-configuration` returned {}; the limit is {limit}", size.rounded());
                return Err(plan.failed(Failure::new(Code::TooLarge, message)));
            }
            Some(text) => {
                let migrated = serde_json::from_str(&text).map_err(|error| {
                    let message = format!("`migrate-configuration` did not return a JSON object: {error}");
                    plan.failed(Failure::new(Code::InvalidOutput, message))
                })?;
                configuration::seal_migrated(vault, &record.manifest, migrated, &values)
                    .map_err(|failure| plan.failed(failure))?
            }
            None => values,
        };
        let opened = configuration::open(vault, name, &values)?;
        let opened = context(opened);
        let answer = run_step(loaded, |loaded| async move { loaded.migrate_state(&from, opened).await }).await;
        answer.map_err(|fault| plan.failed_in("migrate-state", fault))?;
        Ok(values)
    }

    /// A secret is sealed for the key it stands at: one that has another key now is opened at the old one.
    fn sealed_anew(
        &self,
        manifest: &Manifest,
        step: &MigrationStep,
        before: &Map<String, Value>,
        mut after: Map<String, Value>,
    ) -> Result<Map<String, Value>, Failure> {
        let (vault, plugin) = (&*self.inner.vault, &manifest.name);
        for (old, new) in &step.rename {
            let Some(value) = before.get(old).filter(|value| vault::is_sealed(value)) else { continue };
            // It may have been removed, or set to something else.
            let Some(place) = after.get_mut(new).filter(|place| *place == value) else { continue };
            let opened = vault::open(vault, Place::Configuration { plugin, key: old }, value)?;
            *place = vault::seal(vault, Place::Configuration { plugin, key: new }, &opened)?;
        }
        // Of what a step sets, and of what was not secret under another name.
        for (key, value) in &mut after {
            if configuration::is_secret(manifest, key) && !vault::is_sealed(value) && before.get(key) != Some(value) {
                *value = vault::seal(vault, Place::Configuration { plugin, key }, value)?;
            }
        }
        Ok(after)
    }
}
