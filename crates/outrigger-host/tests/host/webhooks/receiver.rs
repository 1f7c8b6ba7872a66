//! A receiver of webhooks: a real server with scripted responses, which keeps the received requests.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

/// One request.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16),
    Redirect(String),
    /// Not at all.
    Never,
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    /// The next responses; 200 if none is left.
    replies: Mutex<VecDeque<Reply>>,
}

#[derive(Debug)]
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    shared.received.lock().push(Received { path: uri.path().to_owned(), headers, body });
    let reply = shared.replies.lock().pop_front();
    match reply.unwrap_or(Reply::Status(200)) {
        Reply::Status(status) => StatusCode::from_u16(status).expect("a status").into_response(),
        Reply::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response(),
        Reply::Never => std::future::pending().await,
    }
}

impl Receiver {
    pub async fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let router = axum::Router::new().fallback(receive).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, shared, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.replies.lock().extend(replies);
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().clone()
    }

    /// The requests, once there are so many.
    pub async fn wait(&self, count: usize) -> Vec<Received> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            assert!(Instant::now() < deadline, "{} of {count} requests have come", received.len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Whether one of its signatures was made with this secret: as a receiver checks it.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let key =
            base64_simd::STANDARD.decode_to_vec(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
        assert_eq!(key.len(), 32);
        let head = [self.header("webhook-id"), self.header("webhook-timestamp"), ""].join(".");
        let signed = [head.as_bytes(), &self.body].concat();
        let signatures = self.header("webhook-signature").split(' ').map(|part| part.strip_prefix("v1,").expect("v1"));
        let mut found = signatures
            .map(|signature| base64_simd::STANDARD.decode_to_vec(signature).expect("base64") == hmac(&key, &signed));
        found.any(|verified| verified)
    }
}

/// HMAC-SHA256 as RFC 2104 has it, by other code than that which signs.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let pad = |with: u8| (0..64).map(|place| key.get(place).copied().unwrap_or(0) ^ with).collect::<Vec<_>>();
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}
