//! Last stage: what came of the call is counted, written down and logged. It runs for every call, also for one that was
//! refused at the first stage.

use std::time::Instant;

use outrigger_contract::{Code, FunctionRef};
use time::OffsetDateTime;

use super::{Answer, Call, Output, Target, Warning};
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::runtime::Observations;
use crate::statistics::Sample;
use crate::store::{CacheOutcome, RunRecord};

/// A call under way.
#[derive(Debug)]
pub(super) struct Run {
    id: CorrelationId,
    correlation: CorrelationId,
    function: FunctionRef,
    caller: String,
    started: Instant,
    started_at: OffsetDateTime,
    target: Option<Target>,
}

impl Run {
    pub(super) fn begin(call: &Call) -> Self {
        let id = CorrelationId::new();
        Self {
            id,
            correlation: call.options.correlation.unwrap_or(id),
            function: call.function.clone(),
            caller: call.caller.to_string(),
            started: Instant::now(),
            started_at: OffsetDateTime::now_utc(),
            target: None,
        }
    }

    pub(super) fn found(&mut self, target: &Target) {
        self.target = Some(target.clone());
    }

    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    pub(super) const fn correlation(&self) -> CorrelationId {
        self.correlation
    }

    pub(super) async fn end(self, engine: &Engine, outcome: Result<Output, Failure>) -> Result<Answer, Failure> {
        let duration = self.started.elapsed();
        let (cache, attempts, observations) = match &outcome {
            Ok(output) => (output.cache, output.attempts, output.observed.snapshot()),
            Err(_) => (CacheOutcome::Bypass, 1, Observations::default()),
        };
        let failure = outcome.as_ref().err();
        let sample = Sample {
            duration,
            code: failure.map(|failure| failure.code),
            cache,
            attempts,
            violations: observations.violations.len() as u64
                + u64::from(failure.is_some_and(|failure| failure.code == Code::PermissionDenied)),
            dropped_log_lines: observations.dropped_log_lines,
        };
        if let Some(target) = &self.target {
            target.slot().statistics.record(&sample);
        }
        tracing::debug!(
            function = %self.function,
            correlation = %self.correlation,
            caller = self.caller,
            duration_us = duration.as_micros(),
            code = failure.map(|failure| failure.code.as_str()),
            "call"
        );
        let record = RunRecord {
            id: self.id.to_string(),
            correlation: self.correlation,
            plugin: self.function.plugin,
            function: self.function.function,
            digest: self.target.as_ref().map(|target| target.revision.digest),
            caller: self.caller,
            started_at: self.started_at,
            duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            code: sample.code,
            message: failure.map(|failure| failure.message.clone()),
            cache,
            attempts,
        };
        engine.inner.recorder.run(record).await;
        outcome.map(|output| Answer {
            value: output.value,
            function: output.target.index,
            revision: output.target.revision,
            cache,
            duration,
            attempts,
            correlation: self.correlation,
            warnings: warnings(&observations),
        })
    }
}

fn warnings(observations: &Observations) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if observations.dropped_log_lines > 0 {
        let message = format!("{} log lines were over the limit and dropped", observations.dropped_log_lines);
        warnings.push(Warning { code: Code::LogLimit, message });
    }
    for what in &observations.violations {
        let message = format!("the plugin was refused to {what}, and went on without");
        warnings.push(Warning { code: Code::PermissionDenied, message });
    }
    warnings
}
