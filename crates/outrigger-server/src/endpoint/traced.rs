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

/// A request whose trace is kept. Its span ends when this is dropped. A request without a valid key has none: anyone
/// can send many of them, and their spans would leave no room for those of others.
pub struct Traced {
    /// The request has a valid key, or comes from the administrator.
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
    /// Its caller is known.
    pub const fn admitted(&mut self) {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl RequestTracer for Counting {
        fn begin(&self, _: Option<TraceContext>, _: Ulid) -> TraceContext {
            TraceContext { trace: std::num::NonZeroU128::MIN, span: NonZeroU64::MIN, sampled: true }
        }

        fn ended(&self, _: TracedRequest) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn s06_a_request_without_a_valid_key_has_no_span() {
        let counting = Arc::new(Counting::default());
        let request = || Traced {
            is_admitted: false,
            tracer: Arc::clone(&counting) as Arc<dyn RequestTracer>,
            context: counting.begin(None, Ulid::nil()),
            parent: None,
            correlation: Ulid::nil(),
            method: "GET".to_owned(),
            route: "/",
            status: GONE,
            started: Instant::now(),
            started_at: OffsetDateTime::UNIX_EPOCH,
        };
        request().answered(StatusCode::UNAUTHORIZED);
        assert_eq!(counting.0.load(Ordering::Relaxed), 0);
        let mut admitted = request();
        admitted.admitted();
        admitted.answered(StatusCode::OK);
        assert_eq!(counting.0.load(Ordering::Relaxed), 1);
    }
}
