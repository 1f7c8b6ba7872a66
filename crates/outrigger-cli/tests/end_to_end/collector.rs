//! A stand-in for an OpenTelemetry collector: takes what is sent by OTLP, and reads it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::net::TcpListener;

/// The received data.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) spans: Vec<Span>,
    /// The latest.
    pub(crate) metrics: Vec<Metric>,
    pub(crate) resource: Resource,
    pub(crate) headers: HeaderMap,
    /// All of it, as it came.
    pub(crate) bytes: Vec<u8>,
}

/// The collector. It ends with the test.
pub(crate) struct Collector {
    address: SocketAddr,
    arrived: Arc<Mutex<Arrived>>,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let arrived = Arc::new(Mutex::new(Arrived::default()));
        let routes = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(Arc::clone(&arrived));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { address, arrived, _runtime: runtime }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until something has arrived, and gives what is made of it.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, look: impl Fn(&Arrived) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = look(&self.arrived.lock()) {
                return found;
            }
            assert!(Instant::now() < deadline, "{what} did not arrive: {:#?}", self.arrived.lock().spans);
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

async fn traces(State(arrived): State<Arc<Mutex<Arrived>>>, headers: HeaderMap, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    let arrived = &mut *arrived.lock();
    for resource in request.resource_spans {
        arrived.resource = resource.resource.unwrap();
        arrived.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    arrived.headers = headers;
    arrived.bytes.extend_from_slice(&body);
}

async fn metrics(State(arrived): State<Arc<Mutex<Arrived>>>, body: Bytes) {
    let request = ExportMetricsServiceRequest::decode(body.clone()).unwrap();
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    let arrived = &mut *arrived.lock();
    arrived.metrics = scopes.flat_map(|scope| scope.metrics).collect();
    arrived.bytes.extend_from_slice(&body);
}

/// The value of an attribute, as text.
pub(crate) fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == name)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    })
}
