//! Traces, as faces see them: who keeps them stands behind the [`Door`](crate::Door).

use std::fmt::Debug;
use std::num::NonZeroU64;
use std::time::Duration;

use outrigger_contract::TraceContext;
use time::OffsetDateTime;
use ulid::Ulid;

/// Keeps traces of requests.
pub trait RequestTracer: Debug + Send + Sync {
    /// The trace context of a request: the client's trace, or a new one, and the span of the request.
    fn begin(&self, client: Option<TraceContext>, correlation: Ulid) -> TraceContext;
    /// A request whose trace is kept has been answered. Must not block.
    fn ended(&self, request: TracedRequest);
}

/// A request of a trace, when it has been answered. Nothing in it comes from the address, the headers or a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedRequest {
    pub context: TraceContext,
    /// The span of its client.
    pub parent: Option<NonZeroU64>,
    pub correlation: Ulid,
    pub method: String,
    /// The route, parameters as they stand in the document: `/api/v1/plugins/{plugin_id}`.
    pub route: &'static str,
    pub status: u16,
    pub started_at: OffsetDateTime,
    pub duration: Duration,
}
