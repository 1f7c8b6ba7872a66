//! Looks after one plugin: asks it, writes down what follows, and then does it.

use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::Code;
use outrigger_contract::manifest::HealthPolicy;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::examine::{Examination, is_its_own};
use super::machine::{self, Effect, Event, Grade, Moment, Run, Status};
use super::monitor::{Due, QUICK};
use super::{HealthChange, HealthRecord, LastCheck, MONITOR};
use crate::access::Right;
use crate::audit::{AuditEntry, Stage};
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::hooks::spec;
use crate::plugins::Slot;
use crate::runtime::LogLevel;
use crate::store::{LogRecord, StoreError};

/// One plugin, looked after once.
pub(super) struct Visit<'a> {
    pub(super) engine: &'a Engine,
    pub(super) slot: &'a Arc<Slot>,
    pub(super) policy: &'a HealthPolicy,
    /// Results count only for this era of the plugin.
    pub(super) era: u64,
}

/// Something that happened, with the check where it was one.
type Found = (Event, Option<LastCheck>);

impl Visit<'_> {
    /// Performs a due check, and schedules the next one.
    pub(super) async fn pay(&self, due: Due) {
        if let Err(failure) = self.work(due).await {
            tracing::error!(plugin = %self.slot.name, %failure, "failed to check the health of a plugin");
        }
        let watch = &self.engine.inner.health;
        let at = watch.moment();
        let next_check = match due {
            // It was not quick, so it is made again as a slow one.
            Due::Check if watch.is_slow(&self.slot.name) => at.now,
            Due::Check | Due::SlowCheck | Due::Restart => machine::next_check(self.policy, at),
        };
        watch.plan(&self.slot.name, self.era, next_check);
    }

    async fn work(&self, due: Due) -> Result<(), Failure> {
        let mut found = match due {
            Due::Check => self.check(QUICK).await?,
            Due::SlowCheck => self.check(Duration::MAX).await?,
            Due::Restart => Some((Event::Tick, None)),
        };
        while let Some((event, check)) = found.take() {
            let Some((effects, record)) = self.decide(event, check).await? else { return Ok(()) };
            for effect in effects {
                match effect {
                    Effect::Tell { from, to } => self.engine.tell_health(self.slot, &record, from, to).await,
                    Effect::Restart => found = self.restart(&record).await?,
                    Effect::Disable => self.disable(&record).await?,
                }
            }
        }
        Ok(())
    }

    /// Checks the plugin. None if it is no longer there, or if the check took longer than `longest`; then the plugin
    /// counts as slow.
    async fn check(&self, longest: Duration) -> Result<Option<Found>, Failure> {
        let (engine, name) = (self.engine.clone(), self.slot.name.clone());
        // On a task of its own, so that what panics there ends there.
        let mut examined = tokio::spawn(async move { engine.examine(&name).await });
        let examination = tokio::select! {
            examination = &mut examined => examination.map_err(|_| Failure::internal("the health check panicked"))?,
            () = self.engine.inner.health.stopped() => {
                examined.abort();
                return Ok(None);
            }
            () = tokio::time::sleep(longest) => {
                examined.abort();
                self.engine.inner.health.slow_down(&self.slot.name);
                return Ok(None);
            }
        };
        match examination {
            Ok(Examination { grade, reason, report: _, duration }) => {
                let at = self.engine.inner.health.moment().now;
                Ok(Some((Event::Checked(grade), Some(LastCheck { at, grade, reason, duration }))))
            }
            Err(failure) if matches!(failure.code, Code::PluginNotActive | Code::PluginNotFound) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Applies an event to the plugin's health. The result is in the store when this returns. None if the plugin was
    /// reset or is gone.
    async fn decide(
        &self,
        event: Event,
        check: Option<LastCheck>,
    ) -> Result<Option<(Vec<Effect>, HealthRecord)>, Failure> {
        let Self { engine, slot, policy, era } = self;
        let watch = &engine.inner.health;
        let _writing = watch.writing.lock().await;
        let Some(present) = watch.record_of(&slot.name, *era) else { return Ok(None) };
        let at = watch.moment();
        let (standing, effects) = machine::advance(&present.standing, policy, event, at);
        let decides = !effects.is_empty() || standing.decisive(policy) != present.standing.decisive(policy);
        let last_check = check.or_else(|| present.last_check.clone());
        let mut next = HealthRecord { standing, last_check, ..present };
        if effects.contains(&Effect::Restart) {
            next.restarts_total = next.restarts_total.saturating_add(1);
        }
        next.note(&effects, at);
        if decides {
            match engine.inner.store.health_put(&next).await {
                Ok(()) => {}
                // It was removed just now.
                Err(StoreError::Conflict { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        watch.put(next.clone());
        Ok(Some((effects, next)))
    }

    /// Reloads the plugin. A failure counts as a failed check.
    async fn restart(&self, record: &HealthRecord) -> Result<Option<Found>, Failure> {
        let Self { engine, slot, policy, era } = self;
        let (count, most) = (record.standing.restarts.len(), policy.max_restarts);
        let reason = format!("restart {count} of {most}; the plugin is unhealthy: {}", record.complaint());
        let (started, before) = (std::time::Instant::now(), slot.shown());
        match engine.restart(&slot.name, *era, &reason).await {
            Ok(false) => Ok(None),
            Ok(true) => {
                engine.remark(slot, LogLevel::Warn, format!("the plugin was restarted: {reason}"));
                engine.audit_monitor(slot, before, reason, None).await;
                Ok(None)
            }
            Err(failure) => {
                engine.audit_monitor(slot, before, reason, Some(failure.code)).await;
                if !is_its_own(failure.code) {
                    return Err(failure);
                }
                let reason = format!("it could not be restarted: {}", failure.message);
                engine.remark(slot, LogLevel::Warn, format!("the plugin is as it was: {reason}"));
                let (at, duration) = (engine.inner.health.moment().now, started.elapsed());
                let check = LastCheck { at, grade: Grade::Failed, reason: Some(reason), duration };
                Ok(Some((Event::Checked(Grade::Failed), Some(check))))
            }
        }
    }

    /// Has the plugin take no more calls.
    async fn disable(&self, record: &HealthRecord) -> Result<(), Failure> {
        let Self { engine, slot, policy: _, era } = self;
        let helped = match record.standing.restarts.len() {
            1 => "one restart did not help".to_owned(),
            restarts => format!("{restarts} restarts did not help"),
        };
        let reason = format!("{helped}; the plugin is still unhealthy: {}", record.complaint());
        let before = slot.shown();
        match engine.give_up_on(&slot.name, *era, &reason).await {
            Ok(false) => Ok(()),
            Ok(true) => {
                engine.remark(slot, LogLevel::Error, format!("the plugin was disabled: {reason}"));
                engine.audit_monitor(slot, before, reason, None).await;
                Ok(())
            }
            Err(failure) => {
                engine.audit_monitor(slot, before, reason, Some(failure.code)).await;
                Err(failure)
            }
        }
    }
}

impl Engine {
    /// An administrator has done something about a plugin: it begins anew. The caller holds the slot's lock.
    pub(crate) async fn health_begins_anew(&self, slot: &Slot) -> Result<(), Failure> {
        let (watch, name) = (&self.inner.health, &slot.name);
        let _writing = watch.writing.lock().await;
        watch.begin_era(name);
        let present = match watch.record(name) {
            Some(record) => Some(record),
            None => self.inner.store.health_fetch(name).await?,
        };
        let Some(present) = present else { return Ok(()) };
        let at = watch.moment();
        let (standing, effects) = machine::advance(&present.standing, &HealthPolicy::default(), Event::Reset, at);
        if standing == present.standing {
            return Ok(());
        }
        let mut next = HealthRecord { standing, last_check: None, ..present };
        next.note(&effects, at);
        self.inner.store.health_put(&next).await?;
        watch.put(next.clone());
        for effect in effects {
            if let Effect::Tell { from, to } = effect {
                self.tell_health(slot, &next, from, to).await;
            }
        }
        Ok(())
    }

    /// Tells who wants to know, and writes a line into the plugin's log.
    async fn tell_health(&self, slot: &Slot, record: &HealthRecord, from: Status, to: Status) {
        let reason = record.why(to);
        self.tell(spec::PLUGIN_HEALTH_CHANGED, || {
            let (plugin, summary) = slot.record();
            let (version, digest) = (summary.version.to_string(), plugin.active.to_string());
            let (from, to) = (from.as_str(), to.as_str());
            json!({
                "plugin": plugin.name, "version": version, "digest": digest, "from": from, "to": to, "reason": reason,
            })
        })
        .await;
        let level = if to == Status::Unhealthy { LogLevel::Warn } else { LogLevel::Info };
        self.remark(slot, level, format!("the plugin is {to}, and was {from}: {reason}"));
    }

    /// Writes a line into a plugin's log.
    fn remark(&self, slot: &Slot, level: LogLevel, message: String) {
        tracing::info!(plugin = %slot.name, message, "health");
        self.inner.recorder.log(LogRecord {
            at: OffsetDateTime::now_utc(),
            plugin: slot.name.clone(),
            function: None,
            correlation: CorrelationId::new(),
            level,
            message,
            fields: vec![("by".to_owned(), MONITOR.to_owned())],
        });
    }

    /// Writes down what the monitor did by itself.
    async fn audit_monitor(&self, slot: &Slot, before: Value, reason: String, code: Option<Code>) {
        let entry = AuditEntry {
            at: OffsetDateTime::now_utc(),
            actor: MONITOR.to_owned(),
            key: None,
            action: Right::PLUGIN_MODIFY.to_string(),
            resource: slot.name.to_string(),
            allowed: true,
            decision: Some(reason),
            stage: Stage::Done,
            code,
            revision: None,
            before: Some(before),
            after: Some(slot.shown()),
            correlation: CorrelationId::new(),
            calls: Vec::new(),
            until: None,
            prunable: false,
        };
        if let Err(failure) = self.audit(entry).await {
            tracing::error!(%failure, plugin = %slot.name, "failed to write an audit record of the health monitor");
        }
    }
}

impl HealthRecord {
    /// Writes changes of the status down.
    fn note(&mut self, effects: &[Effect], at: Moment) {
        for effect in effects {
            if let Effect::Tell { from, to } = *effect {
                let reason = self.why(to);
                self.change(HealthChange { at: at.now, from, to, reason });
            }
        }
    }

    /// The reason for the current status.
    fn why(&self, to: Status) -> String {
        let Run { failed, passed, impaired: _, healthy } = self.standing.run;
        let complaint = self.complaint();
        match to {
            Status::Unknown => "an administrator enabled, reloaded or updated the plugin".to_owned(),
            Status::Healthy => format!("{healthy} consecutive checks were healthy"),
            Status::Degraded => format!("{passed} consecutive checks did not fail; the last one reported: {complaint}"),
            Status::Unhealthy => format!("{failed} consecutive checks failed; the last one: {complaint}"),
        }
    }

    /// The problem that the last check found.
    fn complaint(&self) -> &str {
        let reason = self.last_check.as_ref().and_then(|check| check.reason.as_deref());
        reason.unwrap_or("nothing is known of why")
    }
}

impl Slot {
    /// Where the plugin stands, as the audit log shows it.
    fn shown(&self) -> Value {
        let (record, summary) = self.record();
        let (version, state) = (summary.version.to_string(), record.state.as_str());
        json!({"version": version, "digest": record.active.to_string(), "state": state})
    }
}
