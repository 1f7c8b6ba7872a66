//! A client that sends what it is told to, and a server for it.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use outrigger_server::{Running, ServerOptions, serve};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::platform::{ADMINISTRATOR, StandIn};

/// A server on a free port, stopped when it is dropped.
pub struct Server {
    pub running: Option<Running>,
    pub door: Arc<StandIn>,
    pub shutdown: CancellationToken,
    address: std::net::SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// One that was started anew over what another had.
    pub async fn after(other: &Self) -> Self {
        Self::over(Arc::clone(&other.door), |_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        Self::over(Arc::new(StandIn::default()), change).await
    }

    async fn over(door: Arc<StandIn>, change: impl FnOnce(&mut ServerOptions)) -> Self {
        let mut options = ServerOptions::new("127.0.0.1:0".parse().unwrap());
        change(&mut options);
        let shutdown = CancellationToken::new();
        let running = serve(options, Arc::clone(&door) as _, shutdown.clone()).await.unwrap();
        Self { address: running.address(), running: Some(running), door, shutdown }
    }

    pub const fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    pub async fn send(&self, call: Call) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        exchange(stream, call).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Call::new(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Call::new(Method::POST, path).json(&body)).await
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Call {
    /// With the administrator's key.
    pub fn new(method: Method, path: &str) -> Self {
        Self::bare(method, path).header("authorization", &format!("Bearer {ADMINISTRATOR}"))
    }

    /// With no key.
    pub fn bare(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// The response.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// That it is a problem in due form, with this status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{:?}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["type"], format!("/errors/{code}"));
        assert_eq!(problem["status"], status);
        assert_eq!(problem["correlation"], self.header("x-correlation-id"));
        for member in ["title", "detail", "hint"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
        }
        problem
    }
}

/// Sends one request over a connection of any kind.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, call: Call) -> Answer {
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let Call { method, path, headers, body } = call;
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}
