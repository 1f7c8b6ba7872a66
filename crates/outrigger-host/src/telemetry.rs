//! OpenTelemetry: traces and metrics, sent by OTLP to whoever collects them. Set up by the variables that OpenTelemetry
//! defines; without an endpoint there is none of it.
//!
//! Read in this order: [`options`] (the variables), [`sampler`] (which traces are kept), [`queue`] (what waits to be sent),
//! [`exporter`] (the task that sends it), [`spans`] and [`metrics`] (how it is written).
//!
//! What must not happen: that a call waits for the collector; that what waits grows without bound; that anything from
//! arguments, results or secrets is sent.

mod exporter;
mod metrics;
mod options;
mod queue;
mod sampler;
mod spans;

use std::num::NonZeroU128;
use std::sync::{Arc, Weak};
use std::time::Duration;

use outrigger_api::{ApiResult, RequestTracer, TraceContext, TracedRequest};
use outrigger_engine::trace::{TracedCall, span_id, trace_id};
use outrigger_engine::{CorrelationId, Tracer};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use ulid::Ulid;

use crate::host::Inner;
use exporter::Exporter;
pub(crate) use options::TelemetryOptions;
use queue::{Item, Queue};
use sampler::Sampler;

/// How long the end waits for what is still to be sent.
const FLUSH: Duration = Duration::from_secs(5);

/// Traces and metrics on their way out.
#[derive(Debug)]
pub(crate) struct Telemetry {
    /// None where traces are not sent.
    traces: Option<Traces>,
    /// Until it is started.
    exporter: Mutex<Option<Exporter>>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Traces {
    sampler: Sampler,
    queue: Arc<Queue>,
}

impl Telemetry {
    /// Nothing is sent before [`start`](Self::start) is called.
    pub(crate) fn new(options: TelemetryOptions) -> ApiResult<Arc<Self>> {
        let queue = Arc::new(Queue::new(options.queue, options.batch));
        let traces = options.traces.is_some().then(|| Traces { sampler: options.sampler, queue: Arc::clone(&queue) });
        let stop = watch::Sender::new(false);
        let exporter = Exporter::new(options, queue, stop.subscribe())?;
        Ok(Arc::new(Self { traces, exporter: Mutex::new(Some(exporter)), stop, task: Mutex::default() }))
    }

    /// Begins to send. The task ends with the host.
    pub(crate) fn start(&self, host: Weak<Inner>) {
        if let Some(exporter) = self.exporter.lock().take() {
            *self.task.lock() = Some(tokio::spawn(exporter.run(host)));
        }
    }

    /// Whether traces are sent.
    pub(crate) const fn has_traces(&self) -> bool {
        self.traces.is_some()
    }

    /// Sends what is still there, and ends.
    pub(crate) async fn close(&self) {
        let Some(mut task) = self.task.lock().take() else { return };
        self.stop.send_replace(true);
        if tokio::time::timeout(FLUSH, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("the last traces and metrics could not be sent in time");
        }
    }
}

impl Tracer for Telemetry {
    fn begin(&self, correlation: CorrelationId) -> Option<NonZeroU128> {
        let trace = trace_id(correlation);
        self.traces.as_ref().is_some_and(|traces| traces.sampler.keeps(trace, None)).then_some(trace)
    }

    fn ended(&self, call: TracedCall) {
        if let Some(traces) = &self.traces {
            traces.queue.push(Item::Call(Box::new(call)));
        }
    }
}

impl RequestTracer for Telemetry {
    fn begin(&self, client: Option<TraceContext>, correlation: Ulid) -> TraceContext {
        let trace = client.map_or_else(|| trace_id(CorrelationId::from(correlation)), |client| client.trace);
        let sampled =
            self.traces.as_ref().is_some_and(|traces| traces.sampler.keeps(trace, client.map(|client| client.sampled)));
        TraceContext { trace, span: span_id(), sampled }
    }

    fn ended(&self, request: TracedRequest) {
        if let Some(traces) = &self.traces {
            traces.queue.push(Item::Request(Box::new(request)));
        }
    }
}
