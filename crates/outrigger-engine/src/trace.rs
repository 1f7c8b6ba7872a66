//! Traces: who keeps them stands outside the engine, and is told of each call of a trace when it has ended.

use std::fmt::Debug;
use std::num::{NonZeroU64, NonZeroU128};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use outrigger_contract::{Code, Digest, FunctionRef, TraceContext};
use time::OffsetDateTime;

use crate::correlation::CorrelationId;
use crate::profile::{CallProfile, TimeSpan};
use crate::store::CacheOutcome;

/// Keeps traces.
pub trait Tracer: Debug + Send + Sync {
    /// The trace that a call begins which belongs to none; none where it is not to be kept.
    fn begin(&self, correlation: CorrelationId) -> Option<NonZeroU128>;
    /// A call of a trace has ended. Must not block.
    fn ended(&self, call: TracedCall);
}

/// Where a call stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallTrace {
    /// The trace, and the span of the call itself.
    pub context: TraceContext,
    /// The span above it.
    pub parent: Option<NonZeroU64>,
}

impl CallTrace {
    /// A new span in a trace, below another.
    pub(crate) fn new(trace: NonZeroU128, parent: Option<NonZeroU64>) -> Self {
        Self { context: TraceContext { trace, span: span_id(), sampled: true }, parent }
    }
}

/// A call of a trace, when it has ended. Nothing in it comes from arguments or results.
#[derive(Clone, Debug)]
pub struct TracedCall {
    pub trace: CallTrace,
    pub correlation: CorrelationId,
    pub started_at: OffsetDateTime,
    pub profile: CallProfile,
    /// Parts of it, in the order in which they ended.
    pub spans: Vec<TimeSpan>,
    /// The revision that answered, where one was found.
    pub revision: Option<Digest>,
    pub version: Option<semver::Version>,
    pub cache: CacheOutcome,
    pub attempts: u32,
}

impl TracedCall {
    /// The function that was called.
    #[must_use]
    pub const fn function(&self) -> &FunctionRef {
        &self.profile.function
    }

    /// How it failed, where it did.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        self.profile.code
    }
}

/// A new id for a span. Unlike any other of this process, and by chance unlike any other of its trace.
#[must_use]
pub fn span_id() -> NonZeroU64 {
    /// Odd, so that every number comes once before any comes again.
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(low_half(ulid::Ulid::new().random())));
    let id = NEXT.fetch_add(STEP, Ordering::Relaxed);
    NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN)
}

/// The id of a trace that begins with this call: its correlation id, so that either is found by the other.
#[must_use]
pub fn trace_id(correlation: CorrelationId) -> NonZeroU128 {
    NonZeroU128::new(correlation.into()).unwrap_or(NonZeroU128::MIN)
}

#[expect(clippy::cast_possible_truncation, reason = "only these bits are wanted")]
const fn low_half(number: u128) -> u64 {
    number as u64
}
