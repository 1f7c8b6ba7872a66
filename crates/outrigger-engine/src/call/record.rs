//! Last stage: what came of the call is counted, written down and logged. It runs for every call, also for one that was
//! refused at the first stage.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use outrigger_contract::excerpt::excerpt_of;
use outrigger_contract::{Code, FunctionRef};
use time::OffsetDateTime;

use super::watch::{Ended, Watched};
use super::{Answer, CallOptions, Caller, Found, Output, Target, Warning, audit};
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::profile::{CallProfile, Recording, Stage};
use crate::runtime::Observations;
use crate::statistics::Sample;
use crate::store::{CacheOutcome, RunRecord};

/// A running call.
#[derive(Debug)]
pub(super) struct Run<'a> {
    engine: &'a Engine,
    caller: &'a Caller,
    function: &'a FunctionRef,
    /// The id of its record.
    id: CorrelationId,
    correlation: CorrelationId,
    started_at: OffsetDateTime,
    started: Instant,
    target: Option<Arc<Target>>,
    /// Every check was passed.
    admitted: bool,
    /// It has not ended by itself. If its caller drops it now, as a face does that no longer wants the answer, that is
    /// recorded.
    open: bool,
    /// The try that it is at: 1 unless it was tried again, which alone writes it.
    tries: AtomicU32,
    /// Where its time goes, if anybody wants to know.
    watched: Option<Box<Watched>>,
    /// Whether the call has audit records of its own. Decided at first use.
    alone: OnceLock<bool>,
}

impl<'a> Run<'a> {
    pub(super) fn begin(
        engine: &'a Engine,
        caller: &'a Caller,
        function: &'a FunctionRef,
        options: &CallOptions,
    ) -> Self {
        let started_at = OffsetDateTime::now_utc();
        let id = CorrelationId::at(started_at);
        let (correlation, started) = (options.correlation.unwrap_or(id), Instant::now());
        Self {
            watched: Watched::begin(engine, caller, options, correlation, started),
            engine,
            caller,
            function,
            id,
            correlation,
            started_at,
            started,
            target: None,
            admitted: false,
            open: true,
            tries: AtomicU32::new(1),
            alone: OnceLock::new(),
        }
    }

    /// Whether the call has records of its own in the audit log, or is aggregated. The rate is that of the key at the
    /// start of the call chain, or of the plugin if there is no key, so none uses up the rate of another.
    pub(super) fn is_audited_alone(&self, target: &Target) -> bool {
        *self.alone.get_or_init(|| match self.caller.key() {
            Some(key) => self.engine.writes_of(key).is_audited_alone(Instant::now()),
            None => target.revision.writes.is_audited_alone(Instant::now()),
        })
    }

    pub(super) const fn caller(&self) -> &'a Caller {
        self.caller
    }

    pub(super) const fn function(&self) -> &'a FunctionRef {
        self.function
    }

    pub(super) fn found(&mut self, target: &Arc<Target>) {
        self.target = Some(Arc::clone(target));
        if target.slot().statistics.is_due() {
            Watched::sample(&mut self.watched, self.started);
        }
        self.enter(Stage::Validate);
    }

    /// From now on the call is about this.
    pub(super) fn enter(&self, stage: Stage) {
        if let Some(watched) = &self.watched {
            watched.recording.enter(stage);
        }
    }

    /// Where its time goes, if anybody wants to know.
    pub(super) fn recording(&self) -> Option<&Arc<Recording>> {
        self.watched.as_ref().map(|watched| &watched.recording)
    }

    /// The same for calls that are made on its behalf.
    pub(super) fn recording_of_calls(&self) -> Option<Arc<Recording>> {
        self.recording().filter(|recording| recording.is_detailed()).cloned()
    }

    pub(super) const fn admit(&mut self) {
        self.admitted = true;
    }

    /// The target of the call, once it has passed every check.
    pub(super) fn admitted(&self) -> Option<&Target> {
        self.target.as_deref().filter(|_| self.admitted)
    }

    /// Where it is written that it is tried again.
    pub(super) const fn tries(&self) -> &AtomicU32 {
        &self.tries
    }

    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    pub(super) const fn correlation(&self) -> CorrelationId {
        self.correlation
    }

    pub(super) async fn end(mut self, outcome: Result<Output, Failure>) -> Result<Answer, Failure> {
        let duration = self.started.elapsed();
        self.enter(Stage::Record);
        let (cache, attempts, observations) = match &outcome {
            Ok(Output { found: Found { cache, attempts, observed, .. }, .. }) => {
                (*cache, *attempts, observed.as_ref().map(|observed| observed.snapshot()).unwrap_or_default())
            }
            Err(_) => (CacheOutcome::Bypass, self.tries.load(Ordering::Relaxed), Observations::default()),
        };
        let failure = outcome.as_ref().err();
        let denied = failure.is_some_and(|failure| failure.code == Code::PermissionDenied);
        let sample = Sample {
            duration,
            code: failure.map(|failure| failure.code),
            cache,
            attempts,
            violations: observations.violations.len() as u64 + u64::from(denied),
            dropped_log_lines: observations.dropped_log_lines,
        };
        self.write(&sample, failure).await;
        let profile = self.watched.take().and_then(|watched| self.tell(*watched, &sample));
        outcome.map(|output| Answer {
            value: output.found.value,
            account: output.account,
            caller: self.caller.clone(),
            function: output.target.index,
            revision: Arc::clone(&output.target.revision),
            cache,
            duration,
            attempts,
            correlation: self.correlation,
            warnings: warnings(&observations),
            profile,
        })
    }

    /// Tells those who want to know where the time went.
    fn tell(&self, watched: Watched, sample: &Sample) -> Option<Box<CallProfile>> {
        watched.end(Ended {
            engine: self.engine,
            function: self.function.clone(),
            correlation: self.correlation,
            started_at: self.started_at,
            target: self.target.as_deref(),
            sample,
        })
    }

    /// Writes the call down. One that may have changed something is answered when that is durable.
    async fn write(&mut self, sample: &Sample, failure: Option<&Failure>) {
        let recorder = &self.engine.inner.recorder;
        // Before the record is put together, so that it need not be kept while this waits.
        recorder.wait_for_room().await;
        self.open = false;
        let entry = audit::outcome(self, failure);
        let run = self.record(sample, failure.map(|failure| excerpt_of(&failure.message)));
        let is_durable = entry.as_ref().is_some_and(|entry| entry.allowed);
        let alone = self.admitted().is_none_or(|target| !is_durable || self.is_audited_alone(target));
        match entry {
            Some(entry) if !alone => {
                recorder.run(run, None);
                recorder.change(entry).await;
                return;
            }
            None if self.admitted => recorder.run_in_group(run, self.caller.key().map(str::to_owned)),
            entry => recorder.run(run, entry),
        }
        if is_durable {
            recorder.written().await;
        }
    }

    /// Counts and logs the call, and puts its record together.
    fn record(&self, sample: &Sample, message: Option<String>) -> RunRecord {
        let Self { caller, function, started_at, .. } = *self;
        let duration_us = u64::try_from(sample.duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(target) = &self.target {
            target.slot().statistics.record(sample);
        }
        let code = sample.code.map(Code::as_str);
        tracing::debug!(%function, correlation = %self.correlation, %caller, duration_us, code, "call");
        RunRecord {
            id: self.id,
            correlation: self.correlation,
            plugin: function.plugin.clone(),
            function: function.function.clone(),
            digest: self.target.as_ref().map(|target| target.revision.digest),
            caller: caller.to_string(),
            started_at,
            duration_us,
            code: sample.code,
            message,
            cache: sample.cache,
            attempts: sample.attempts,
            sum: None,
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let sample = Sample {
            duration: self.started.elapsed(),
            code: Some(Code::Cancelled),
            cache: CacheOutcome::Bypass,
            attempts: self.tries.load(Ordering::Relaxed),
            violations: 0,
            dropped_log_lines: 0,
        };
        if let Some(watched) = self.watched.take() {
            self.tell(*watched, &sample);
        }
        let gone = Failure::new(Code::Cancelled, "the client disconnected");
        let entry = audit::outcome(self, Some(&gone));
        let recorder = &self.engine.inner.recorder;
        let run = self.record(&sample, Some(gone.message));
        match (entry, self.admitted()) {
            (Some(entry), Some(target)) if entry.allowed && !self.is_audited_alone(target) => {
                recorder.run(run, None);
                recorder.change_soon(entry);
            }
            (entry, _) => recorder.run(run, entry),
        }
    }
}

fn warnings(observations: &Observations) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if observations.dropped_log_lines > 0 {
        let message = format!("{} log lines above the limit were dropped", observations.dropped_log_lines);
        warnings.push(Warning { code: Code::LogLimit, message });
    }
    for what in &observations.violations {
        let message = format!("the plugin was not allowed to {what}, and continued without it");
        warnings.push(Warning { code: Code::PermissionDenied, message });
    }
    warnings
}
