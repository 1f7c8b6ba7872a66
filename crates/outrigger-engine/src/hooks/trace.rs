//! Traces of hook firings: the latest of each hook, in memory. Payloads are not stored, because they may be secret.
//! Traces of dry runs are only returned to their caller.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::{Code, FunctionRef, HookKind, HookName};
use parking_lot::Mutex;
use time::OffsetDateTime;

use super::plan::Skipped;
use crate::correlation::CorrelationId;

/// Traces kept of each hook, so that one that is fired for every call leaves those of the others.
const KEPT: usize = 200;
/// The maximum size of the traces kept of each hook, in bytes. The latest one is always kept. A hook can have many
/// subscribers, and each can fail with a long message.
const KEPT_BYTES: usize = 256 << 10;
/// Hooks whose traces are kept.
const MOST_HOOKS: usize = 500;

/// The trace of one firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookTrace {
    /// A ULID.
    pub id: String,
    pub hook: HookName,
    pub kind: HookKind,
    pub correlation: CorrelationId,
    /// The caller that caused it, as text for people.
    pub caller: String,
    pub started_at: OffsetDateTime,
    pub duration: Duration,
    /// It was only seen what would be done.
    pub dry_run: bool,
    /// In the order in which they were called.
    pub callbacks: Vec<CallbackTrace>,
    pub result: HookResult,
}

/// How the firing of a hook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookResult {
    /// It reached its end, whoever failed on the way.
    Passed,
    /// A subscriber refused.
    Refused,
    /// A subscriber failed, and its subscription says that the hook fails with it.
    Failed,
}

/// The result of one subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackTrace {
    pub subscription: String,
    pub function: FunctionRef,
    pub priority: i32,
    pub outcome: CallbackOutcome,
    /// The code of the failure.
    pub code: Option<Code>,
    pub message: Option<String>,
    pub duration: Duration,
    /// A filter's answer was another value than it was given.
    pub value_changed: bool,
}

/// How one subscriber ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackOutcome {
    Done,
    Skipped(Skipped),
    /// It answered with its error value, which for a filter means no.
    Refused,
    Failed,
    /// It failed, and its subscription was disabled for it.
    FailedAndDisabled,
}

impl HookTrace {
    /// Its size in memory, in bytes.
    fn size(&self) -> usize {
        let Self { id, caller, callbacks, .. } = self;
        let texts =
            |callback: &CallbackTrace| callback.subscription.len() + callback.message.as_ref().map_or(0, String::len);
        let callbacks = callbacks.iter().map(|callback| size_of::<CallbackTrace>() + texts(callback));
        size_of::<Self>() + id.len() + caller.len() + callbacks.sum::<usize>()
    }
}

impl HookResult {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl CallbackOutcome {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped(_) => "skipped",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::FailedAndDisabled => "failed_and_disabled",
        }
    }
}

/// Which traces to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceFilter {
    pub hook: Option<HookName>,
    pub correlation: Option<CorrelationId>,
    /// At most this many; 0 for all that are kept.
    pub limit: usize,
}

/// The latest traces.
#[derive(Debug, Default)]
pub(super) struct Traces {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// How many there were.
    count: u64,
    of: HashMap<HookName, OfHook>,
}

/// The traces of one hook.
#[derive(Debug)]
struct OfHook {
    /// The plugin that declares the hook, or the caller that added it; empty for Outrigger's own hooks.
    owner: String,
    /// The oldest first, by the number that each was.
    traces: VecDeque<(u64, Arc<HookTrace>)>,
    bytes: usize,
}

impl OfHook {
    fn keep(&mut self, number: u64, trace: Arc<HookTrace>) {
        self.bytes += trace.size();
        self.traces.push_back((number, trace));
        while self.traces.len() > KEPT || (self.bytes > KEPT_BYTES && self.traces.len() > 1) {
            self.bytes -= self.traces.pop_front().map_or(0, |(_, oldest)| oldest.size());
        }
    }
}

/// The hook that makes room for another one: of the hooks of the owner with the most, the one that was not fired for
/// longest.
fn excess(of: &HashMap<HookName, OfHook>) -> Option<HookName> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for hook in of.values() {
        *counts.entry(&hook.owner).or_default() += 1;
    }
    let newest = |hook: &OfHook| hook.traces.back().map(|(number, _)| *number);
    let first = of.iter().min_by_key(|(_, hook)| (Reverse(counts[hook.owner.as_str()]), newest(hook)));
    first.map(|(name, _)| name.clone())
}

impl Traces {
    /// Keeps a trace of a hook with this owner.
    pub(super) fn keep(&self, trace: Arc<HookTrace>, owner: impl FnOnce() -> String) {
        let mut kept = self.kept.lock();
        let Kept { count, of } = &mut *kept;
        if of.len() >= MOST_HOOKS
            && !of.contains_key(&trace.hook)
            && let Some(hook) = excess(of)
        {
            of.remove(&hook);
        }
        let new = || OfHook { owner: owner(), traces: VecDeque::new(), bytes: 0 };
        *count += 1;
        of.entry(trace.hook.clone()).or_insert_with(new).keep(*count, trace);
    }

    /// Those that match, the newest first.
    pub(super) fn list(&self, filter: &TraceFilter) -> Vec<Arc<HookTrace>> {
        let TraceFilter { hook, correlation, limit } = filter;
        let kept = self.kept.lock();
        let hooks = kept.of.iter().filter(|(of, _)| hook.as_ref().is_none_or(|hook| hook == *of));
        let matching = hooks
            .flat_map(|(_, hook)| &hook.traces)
            .filter(|(_, trace)| correlation.is_none_or(|correlation| correlation == trace.correlation));
        let mut matching: Vec<_> = matching.cloned().collect();
        drop(kept);
        matching.sort_unstable_by_key(|(number, _)| Reverse(*number));
        if *limit > 0 {
            matching.truncate(*limit);
        }
        matching.into_iter().map(|(_, trace)| trace).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(hook: &str) -> Arc<HookTrace> {
        Arc::new(HookTrace {
            id: String::new(),
            hook: hook.parse().expect("a name"),
            kind: HookKind::Event,
            correlation: CorrelationId::new(),
            caller: "local".to_owned(),
            started_at: OffsetDateTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            dry_run: false,
            callbacks: Vec::new(),
            result: HookResult::Passed,
        })
    }

    #[test]
    fn a_busy_hook_leaves_the_traces_of_the_others() {
        let traces = Traces::default();
        let rare = trace("plugin.enabled");
        traces.keep(Arc::clone(&rare), String::new);
        for _ in 0..KEPT + 5 {
            traces.keep(trace("call.after"), String::new);
        }
        let last = trace("plugin.disabled");
        traces.keep(Arc::clone(&last), String::new);
        let all = traces.list(&TraceFilter::default());
        assert_eq!((all.len(), &all[0], &all[KEPT + 1]), (KEPT + 2, &last, &rare), "the newest first");
        let filter = TraceFilter { hook: Some(rare.hook.clone()), ..TraceFilter::default() };
        assert_eq!(traces.list(&filter), [Arc::clone(&rare)]);
        let filter = TraceFilter { correlation: Some(last.correlation), limit: 5, ..TraceFilter::default() };
        assert_eq!(traces.list(&filter), [last]);
        assert_eq!(traces.list(&TraceFilter { limit: 3, ..TraceFilter::default() }).len(), 3);
    }

    #[test]
    fn s02_the_traces_of_a_hook_are_bounded_in_bytes() {
        let callback = CallbackTrace {
            subscription: "one".to_owned(),
            function: "demo.echo".parse().expect("a name"),
            priority: 0,
            outcome: CallbackOutcome::Failed,
            code: Some(Code::Trapped),
            message: Some("x".repeat(1_000)),
            duration: Duration::ZERO,
            value_changed: false,
        };
        let large = |callbacks: usize| {
            let empty = HookTrace::clone(&trace("shop.sold"));
            Arc::new(HookTrace { callbacks: vec![callback.clone(); callbacks], ..empty })
        };
        let traces = Traces::default();
        let small = trace("plugin.enabled");
        traces.keep(Arc::clone(&small), String::new);
        for _ in 0..KEPT {
            traces.keep(large(30), String::new);
        }
        let all = traces.list(&TraceFilter::default());
        assert!(all.iter().map(|trace| trace.size()).sum::<usize>() <= KEPT_BYTES + small.size());
        assert!(all.len() > 5 && all.last() == Some(&small), "traces of other hooks stay");
        traces.keep(large(1_000), String::new);
        let filter = TraceFilter { hook: "shop.sold".parse().ok(), ..TraceFilter::default() };
        assert_eq!(traces.list(&filter).len(), 1, "the latest is kept, whatever its size");
        traces.keep(large(1), String::new);
        assert_eq!(traces.list(&filter).len(), 1);
    }

    #[test]
    fn hooks_that_are_not_fired_any_more_make_room() {
        let traces = Traces::default();
        for number in 0..=MOST_HOOKS {
            traces.keep(trace(&format!("shop.sold-{number}")), String::new);
        }
        let all = traces.list(&TraceFilter::default());
        assert_eq!(all.len(), MOST_HOOKS);
        assert!(all.iter().all(|trace| trace.hook.as_str() != "shop.sold-0"));
    }

    #[test]
    fn s06_an_owner_with_many_hooks_does_not_displace_the_traces_of_others() {
        let traces = Traces::default();
        traces.keep(trace("plugin.installed"), String::new);
        traces.keep(trace("shop.sold"), || "plugin shop".to_owned());
        for number in 0..2 * MOST_HOOKS {
            traces.keep(trace(&format!("loud.x-{number}")), || "key loud".to_owned());
        }
        let all = traces.list(&TraceFilter::default());
        assert_eq!(all.len(), MOST_HOOKS);
        let others: Vec<_> =
            all.iter().map(|trace| trace.hook.as_str()).filter(|hook| !hook.starts_with("loud")).collect();
        assert_eq!(others, ["shop.sold", "plugin.installed"]);
    }
}
