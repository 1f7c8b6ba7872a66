//! What was done when a hook was fired: kept in memory, the latest of them. No values are kept, which may be secret.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::{Code, FunctionRef, HookKind, HookName};
use parking_lot::Mutex;
use time::OffsetDateTime;

use super::plan::Skipped;
use crate::correlation::CorrelationId;

/// Traces kept.
const KEPT: usize = 1_000;

/// What was done when a hook was fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookTrace {
    /// A ULID.
    pub id: String,
    pub hook: HookName,
    pub kind: HookKind,
    pub correlation: CorrelationId,
    /// Who caused it, for a person to read.
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

/// What one subscriber did.
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
    /// It failed, and its subscription was switched off for it.
    FailedAndDisabled,
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
    kept: Mutex<VecDeque<Arc<HookTrace>>>,
}

impl Traces {
    pub(super) fn keep(&self, trace: Arc<HookTrace>) {
        let mut kept = self.kept.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(trace);
    }

    /// Those that match, the newest first.
    pub(super) fn list(&self, filter: &TraceFilter) -> Vec<Arc<HookTrace>> {
        let TraceFilter { hook, correlation, limit } = filter;
        let most = if *limit == 0 { KEPT } else { *limit };
        let kept = self.kept.lock();
        let matching = kept.iter().rev().filter(|trace| {
            hook.as_ref().is_none_or(|hook| *hook == trace.hook)
                && correlation.is_none_or(|correlation| correlation == trace.correlation)
        });
        matching.take(most).cloned().collect()
    }
}
