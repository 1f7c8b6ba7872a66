//! The task that sends what waits: spans when there are enough or a few seconds have passed, metrics every minute. Whoever
//! collects may be away; then it tries again a few times, gives up what it holds, and says so once a minute.

use std::io::Write as _;
use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use outrigger_api::{ApiError, ApiResult, Code};
use outrigger_contract::causes::chain;
use outrigger_engine::CorrelationId;
use prost::Message;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{StatusCode, Url};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::options::{SERVICE, TelemetryOptions};
use super::queue::Queue;
use super::spans::text;
use super::{metrics, spans};
use crate::host::Inner;
use crate::records;

/// How long it waits before it tries for the second time, and for the third, which is the last.
const BACKOFF: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// Complaints are so far apart.
const SILENCE: Duration = Duration::from_secs(60);

/// Sends traces and metrics.
#[derive(Debug)]
pub(super) struct Exporter {
    options: TelemetryOptions,
    queue: Arc<Queue>,
    http: reqwest::Client,
    resource: Resource,
    /// Becomes true when it is to stop.
    stop: watch::Receiver<bool>,
    lost: Lost,
}

/// The failures to send since the last warning.
#[derive(Debug, Default)]
struct Lost {
    spans: u64,
    reports: u64,
    told: Option<Instant>,
}

/// Why something was not sent.
#[derive(Debug)]
struct Unsent {
    reason: String,
    /// It may be taken another time.
    passing: bool,
}

/// The OpenTelemetry resource and scope of the sender.
pub(super) fn scope() -> InstrumentationScope {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    InstrumentationScope { name: "outrigger".to_owned(), version, ..InstrumentationScope::default() }
}

impl Exporter {
    pub(super) fn new(options: TelemetryOptions, queue: Arc<Queue>, stop: watch::Receiver<bool>) -> ApiResult<Self> {
        let http = reqwest::Client::builder()
            .timeout(options.timeout)
            .default_headers(options.headers.clone())
            .build()
            .map_err(|error| ApiError::new(Code::Internal, format!("failed to create an HTTP client: {error}")))?;
        let own = [
            (SERVICE, options.service.clone()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", CorrelationId::new().to_string().to_lowercase()),
        ];
        // The operator's attributes override the defaults.
        let said = |name: &str| options.attributes.iter().any(|(said, _)| said == name);
        let own = own.iter().filter(|(name, _)| !said(name)).map(|(name, value)| text(name, value));
        let more = options.attributes.iter().map(|(name, value)| text(name, value));
        let resource = Resource { attributes: own.chain(more).collect(), ..Resource::default() };
        Ok(Self { options, queue, http, resource, stop, lost: Lost::default() })
    }

    /// Sends, until it is told to stop; then what is left.
    pub(super) async fn run(mut self, host: Weak<Inner>) {
        let mut stop = self.stop.clone();
        let mut next_metrics = Instant::now() + self.options.metrics_interval;
        while host.strong_count() > 0 {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                () = tokio::time::sleep_until(next_metrics) => {
                    self.send_metrics(&host).await;
                    next_metrics = Instant::now() + self.options.metrics_interval;
                }
                () = self.queue.full.notified() => self.send_full_batches().await,
                () = tokio::time::sleep(self.options.traces_delay) => self.send_full_batches().await,
            }
        }
        while self.send_spans().await > 0 {}
        self.send_metrics(&host).await;
    }

    /// Sends batches up to the first that is not full.
    async fn send_full_batches(&mut self) {
        while self.send_spans().await >= self.options.batch && !*self.stop.borrow() {}
    }

    /// Sends one batch. Answers with how many spans it had.
    async fn send_spans(&mut self) -> usize {
        let Some(url) = self.options.traces.clone() else { return 0 };
        let batch = self.queue.take();
        self.lost.spans += batch.dropped;
        if batch.spans > 0 {
            let body = spans::request(&self.resource, batch.items).encode_to_vec();
            let outcome = self.send(&url, body).await;
            self.lost.spans += if outcome.is_err() { batch.spans as u64 } else { 0 };
            self.complain(outcome.err());
        } else {
            self.complain(None);
        }
        batch.spans
    }

    async fn send_metrics(&mut self, host: &Weak<Inner>) {
        let (Some(url), Some(host)) = (self.options.metrics.clone(), host.upgrade()) else { return };
        let report = match records::metrics(&host.engine).await {
            Ok(report) => report,
            Err(error) => return tracing::warn!(error = error.message, "metrics could not be read"),
        };
        drop(host);
        let body = metrics::request(&self.resource, &report, OffsetDateTime::now_utc()).encode_to_vec();
        let outcome = self.send(&url, body).await;
        self.lost.reports += u64::from(outcome.is_err());
        self.complain(outcome.err());
    }

    /// Sends it, and tries again where that may help; not any more once it is told to stop.
    async fn send(&self, url: &Url, body: Vec<u8>) -> Result<(), Unsent> {
        let body = if self.options.gzip { packed(&body) } else { body };
        let mut stop = self.stop.clone();
        for wait in BACKOFF {
            match self.send_once(url, body.clone()).await {
                Err(unsent) if unsent.passing && !*stop.borrow() => {}
                outcome => return outcome,
            }
            // Either has its end; which of them it was does not matter.
            let _ = tokio::time::timeout(wait, stopped(&mut stop)).await;
        }
        self.send_once(url, body).await
    }

    async fn send_once(&self, url: &Url, body: Vec<u8>) -> Result<(), Unsent> {
        let mut request = self.http.post(url.clone()).header(CONTENT_TYPE, "application/x-protobuf").body(body);
        if self.options.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        // Without the address, which may have a secret in it.
        let unreachable = |error: reqwest::Error| Unsent { reason: chain(&error.without_url()), passing: true };
        let status = request.send().await.map_err(unreachable)?.status();
        if status.is_success() {
            return Ok(());
        }
        let passing = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        Err(Unsent { reason: format!("it answered {status}"), passing })
    }

    /// Says what was lost, if that was not said a moment ago.
    fn complain(&mut self, unsent: Option<Unsent>) {
        let Lost { spans, reports, told } = &mut self.lost;
        if (*spans == 0 && *reports == 0) || told.is_some_and(|told| told.elapsed() < SILENCE) {
            return;
        }
        let reason = unsent.map_or_else(|| "too many were queued".to_owned(), |unsent| unsent.reason);
        tracing::warn!(
            reason,
            spans = *spans,
            reports_of_metrics = *reports,
            "traces or metrics were lost: they could not be sent"
        );
        (*spans, *reports, *told) = (0, 0, Some(Instant::now()));
    }
}

/// Waits until it is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender may be gone, which means the same.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing to memory does not fail.
    let _ = packer.write_all(body);
    packer.finish().unwrap_or_default()
}
