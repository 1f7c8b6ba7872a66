//! The span of a request: what its route is, how long it took, and how it was answered. Costs nothing where nobody keeps
//! traces.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderName, StatusCode};
use outrigger_api::{RequestTracer, TraceContext, TracedRequest};
use time::OffsetDateTime;
use ulid::Ulid;

use super::App;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// A client that left before it was answered.
const GONE: u16 = 499;

/// A request whose trace is kept. Its span ends when this is dropped.
pub struct Traced {
    /// Whether it has a valid key. The spans of other requests are not kept: they would displace those of the keys.
    is_admitted: bool,
    tracer: Arc<dyn RequestTracer>,
    context: TraceContext,
    parent: Option<NonZeroU64>,
    correlation: Ulid,
    method: String,
    route: &'static str,
    status: u16,
    started: Instant,
    started_at: OffsetDateTime,
}

/// Where a request stands in a trace, and its span where that is kept.
pub fn begin(
    app: &App,
    parts: &Parts,
    correlation: Ulid,
    route: &'static str,
) -> (Option<TraceContext>, Option<Traced>) {
    let Some(tracer) = &app.tracer else { return (None, None) };
    // An invalid `traceparent` is ignored.
    let client: Option<TraceContext> =
        parts.headers.get(&TRACEPARENT).and_then(|value| value.to_str().ok()?.parse().ok());
    let context = tracer.begin(client, correlation);
    let traced = context.sampled.then(|| Traced {
        is_admitted: false,
        tracer: Arc::clone(tracer),
        context,
        parent: client.map(|client| client.span),
        correlation,
        method: parts.method.as_str().to_owned(),
        route,
        status: GONE,
        started: Instant::now(),
        started_at: OffsetDateTime::now_utc(),
    });
    (Some(context), traced)
}

impl Traced {
    /// It has a valid key.
    pub fn admit(&mut self) {
        self.is_admitted = true;
    }

    /// It has been answered.
    pub fn answered(mut self, status: StatusCode) {
        self.status = status.as_u16();
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if !self.is_admitted {
            return;
        }
        self.tracer.ended(TracedRequest {
            context: self.context,
            parent: self.parent,
            correlation: self.correlation,
            method: std::mem::take(&mut self.method),
            route: self.route,
            status: self.status,
            started_at: self.started_at,
            duration: self.started.elapsed(),
        });
    }
}
