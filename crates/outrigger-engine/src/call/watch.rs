//! The observers of a call's profile: its caller, the trace that it belongs to, the call on whose behalf it is made,
//! the profile of its function. Nearly all calls have no observer, and no [`Watched`].

use std::sync::Arc;
use std::time::Instant;

use outrigger_contract::FunctionRef;
use time::OffsetDateTime;

use super::{CallOptions, Caller, Target};
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::profile::{CallProfile, Recording};
use crate::statistics::Sample;
use crate::trace::{CallTrace, TracedCall};

/// A call that somebody wants to know about.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) recording: Arc<Recording>,
    /// The caller wants to know.
    asked: bool,
    /// It counts for the profile of its function.
    sampled: bool,
    /// The call on whose behalf it is made.
    within: Option<Arc<Recording>>,
}

/// A call that has ended, as far as those who are told of it want to know.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) engine: &'a Engine,
    pub(super) function: FunctionRef,
    pub(super) correlation: CorrelationId,
    pub(super) started_at: OffsetDateTime,
    pub(super) target: Option<&'a Target>,
    pub(super) sample: &'a Sample,
}

impl Watched {
    /// The observers of a call before it is resolved.
    pub(super) fn begin(
        engine: &Engine,
        caller: &Caller,
        options: &CallOptions,
        correlation: CorrelationId,
        started: Instant,
    ) -> Option<Box<Self>> {
        let CallOptions { profile, within, .. } = options;
        if !profile && within.is_none() && engine.inner.tracer.is_none() {
            return None;
        }
        let trace = trace(engine, caller, options, correlation);
        let detailed = *profile || within.is_some();
        (detailed || trace.is_some()).then(|| {
            let recording = Arc::new(Recording::new(started, detailed, trace));
            Box::new(Self { recording, asked: *profile, sampled: false, within: within.clone() })
        })
    }

    /// The call is one of those that the profile of its function is made of.
    #[cold]
    pub(super) fn sample(watched: &mut Option<Box<Self>>, started: Instant) {
        let new = || {
            let recording = Arc::new(Recording::new(started, false, None));
            Box::new(Self { recording, asked: false, sampled: false, within: None })
        };
        watched.get_or_insert_with(new).sampled = true;
    }

    /// Tells all of them. Answers with what the caller is to be told.
    #[cold]
    pub(super) fn end(self, ended: Ended<'_>) -> Option<Box<CallProfile>> {
        let Self { recording, asked, sampled, within } = self;
        let Ended { engine, function, correlation, started_at, target, sample } = ended;
        let (profile, spans) = recording.finish(function, sample.code);
        if let Some(target) = target.filter(|_| sampled) {
            target.slot().profile.add(&profile);
        }
        if let Some(within) = within {
            within.called(profile.clone());
        }
        let answer = asked.then(|| Box::new(profile.clone()));
        if let (Some(tracer), Some(trace)) = (&engine.inner.tracer, recording.trace()) {
            tracer.ended(TracedCall {
                trace: *trace,
                correlation,
                started_at,
                profile,
                spans,
                revision: target.map(|target| target.revision.digest),
                version: target.map(|target| target.revision.manifest.version.clone()),
                cache: sample.cache,
                attempts: sample.attempts,
            });
        }
        answer
    }
}

/// Where the call stands in a trace, if it belongs to one that is kept.
fn trace(engine: &Engine, caller: &Caller, options: &CallOptions, correlation: CorrelationId) -> Option<CallTrace> {
    let tracer = engine.inner.tracer.as_ref()?;
    let CallOptions { trace, within, .. } = options;
    if let Some(within) = within {
        return within.context().map(|context| CallTrace::new(context.trace, Some(context.span)));
    }
    match (trace, caller) {
        (Some(context), _) => context.sampled.then(|| CallTrace::new(context.trace, Some(context.span))),
        (None, Caller::Local | Caller::Key(_)) => tracer.begin(correlation).map(|trace| CallTrace::new(trace, None)),
        // Work on behalf of a call belongs to the trace of that call, or to none.
        (None, Caller::Plugin(_)) => None,
        (None, Caller::Hook(by)) => match by.cause {
            Some(_) => None,
            None => tracer.begin(correlation).map(|trace| CallTrace::new(trace, None)),
        },
    }
}
