//! The stopwatch of one call. The engine and the runtime tell it what the call is about from now on; it adds up.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use outrigger_contract::{Code, FunctionRef, TraceContext};
use parking_lot::Mutex;

use super::{CallProfile, HostCalls, Stage};
use crate::trace::{CallTrace, span_id};

/// Calls of one call, and of its spans those of host calls, that are kept one by one. What comes beyond is only added up.
const KEPT: usize = 64;

/// Where the time of a call goes, while it runs.
#[derive(Debug)]
pub struct Recording {
    started: Instant,
    /// The trace, where it is traced.
    trace: Option<CallTrace>,
    /// Not only sums are kept: also the calls that it makes, and where it is traced when each part began and ended.
    detailed: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// When the present stage began.
    since: Instant,
    stages: [Duration; Stage::COUNT],
    host: Vec<HostCalls>,
    /// Host calls under way. One can call into the plugin, for room to put its result, which may call the host again.
    inside: Vec<HostCall>,
    spans: Vec<TimeSpan>,
    /// When what will be the next span began.
    opened: Instant,
    calls: Vec<CallProfile>,
    calls_left_out: u32,
}

#[derive(Debug)]
struct HostCall {
    import: &'static str,
    began: Instant,
    /// The time of [`Stage::Host`] before it.
    before: Duration,
    span: Option<NonZeroU64>,
}

/// Part of a call, with when it began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan {
    pub what: What,
    pub id: NonZeroU64,
    /// After the beginning of the call.
    pub from: Duration,
    pub to: Duration,
}

/// The kind of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// [`Stage::Run`] stands for all that happens inside the plugin.
    Stage(Stage),
    /// A call of an interface that the plugin imports.
    HostCall(&'static str),
}

/// The name of a host call in a runtime without interfaces.
const RUNTIME: &str = "runtime";

impl Recording {
    /// Begins with a call that arrived then, and is being resolved. A detailed one keeps the calls that it makes.
    #[must_use]
    pub fn new(started: Instant, detailed: bool, trace: Option<CallTrace>) -> Self {
        let state = State {
            stage: Stage::Resolve,
            since: started,
            stages: [Duration::ZERO; Stage::COUNT],
            host: Vec::new(),
            inside: Vec::new(),
            spans: Vec::new(),
            opened: started,
            calls: Vec::new(),
            calls_left_out: 0,
        };
        Self { started, detailed: detailed || trace.is_some(), trace, state: Mutex::new(state) }
    }

    /// From now on the call is about this.
    pub fn enter(&self, stage: Stage) {
        self.enter_at(stage, Instant::now());
    }

    fn enter_at(&self, stage: Stage, now: Instant) {
        let state = &mut *self.state.lock();
        self.switch(state, stage, now);
    }

    fn switch(&self, state: &mut State, stage: Stage, now: Instant) {
        let before = state.stage;
        state.stages[before as usize] += now.saturating_duration_since(state.since);
        (state.stage, state.since) = (stage, now);
        if self.trace.is_none() || before == stage || (before.is_inside() && stage.is_inside()) {
            return;
        }
        if before != Stage::Other && state.spans.len() < 2 * KEPT {
            let what = What::Stage(if before.is_inside() { Stage::Run } else { before });
            let span = self.span(what, span_id(), state.opened, now);
            state.spans.push(span);
        }
        state.opened = now;
    }

    fn span(&self, what: What, id: NonZeroU64, from: Instant, to: Instant) -> TimeSpan {
        let after = |moment: Instant| moment.saturating_duration_since(self.started);
        TimeSpan { what, id, from: after(from), to: after(to) }
    }

    /// The runtime enters code of the plugin.
    pub fn code_entered(&self) {
        self.enter(Stage::Run);
    }

    /// The code of the plugin has returned: to who called it, or to the host call that needed it.
    pub fn code_left(&self) {
        let now = Instant::now();
        let state = &mut *self.state.lock();
        let stage = if state.inside.is_empty() { Stage::Transfer } else { Stage::Host };
        self.switch(state, stage, now);
    }

    /// The plugin calls the host.
    pub fn host_entered(&self) {
        let now = Instant::now();
        let state = &mut *self.state.lock();
        self.switch(state, Stage::Host, now);
        let before = state.stages[Stage::Host as usize];
        let span = (self.trace.is_some() && state.spans.len() < KEPT).then(span_id);
        state.inside.push(HostCall { import: RUNTIME, began: now, before, span });
    }

    /// The host call under way is one of this interface.
    pub fn host_import(&self, import: &'static str) {
        if let Some(call) = self.state.lock().inside.last_mut() {
            call.import = import;
        }
    }

    /// The host has answered.
    pub fn host_left(&self) {
        let now = Instant::now();
        let state = &mut *self.state.lock();
        let Some(call) = state.inside.pop() else { return };
        self.switch(state, Stage::Run, now);
        let HostCall { import, began, before, span } = call;
        let time = state.stages[Stage::Host as usize].saturating_sub(before);
        if let Some(outer) = state.inside.last_mut() {
            // Its own time is without that of a call within it.
            outer.before += time;
        }
        match state.host.iter_mut().find(|calls| calls.import == import) {
            Some(calls) => (calls.calls, calls.time) = (calls.calls + 1, calls.time + time),
            None => state.host.push(HostCalls { import, calls: 1, time }),
        }
        if let Some(id) = span.filter(|_| import != RUNTIME) {
            let span = self.span(What::HostCall(import), id, began, now);
            state.spans.push(span);
        }
    }

    /// Whether calls that are made on behalf of this one are recorded too.
    #[must_use]
    pub const fn is_detailed(&self) -> bool {
        self.detailed
    }

    /// Its trace, where it is traced.
    #[must_use]
    pub const fn trace(&self) -> Option<&CallTrace> {
        self.trace.as_ref()
    }

    /// Where a call that is made now stands in the trace: below the host call that makes it.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        let context = self.trace.as_ref()?.context;
        let span = self.state.lock().inside.iter().rev().find_map(|call| call.span);
        Some(TraceContext { span: span.unwrap_or(context.span), ..context })
    }

    /// A call that was made on behalf of this one has ended.
    pub(crate) fn called(&self, profile: CallProfile) {
        let state = &mut *self.state.lock();
        match state.calls.len() < KEPT {
            true => state.calls.push(profile),
            false => state.calls_left_out += 1,
        }
    }

    /// The call has ended. Answers with where its time went and, where it is traced, with when each part began and ended.
    pub fn finish(&self, function: FunctionRef, code: Option<Code>) -> (CallProfile, Vec<TimeSpan>) {
        let now = Instant::now();
        let state = &mut *self.state.lock();
        self.switch(state, Stage::Other, now);
        let mut host = std::mem::take(&mut state.host);
        host.sort_by_key(|calls| std::cmp::Reverse(calls.time));
        let profile = CallProfile {
            function,
            code,
            total: now.saturating_duration_since(self.started),
            stages: state.stages,
            host,
            calls: std::mem::take(&mut state.calls),
            calls_left_out: state.calls_left_out,
        };
        (profile, std::mem::take(&mut state.spans))
    }
}
