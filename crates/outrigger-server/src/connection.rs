//! One connection: its requests are served until its client leaves or falls silent, or the server stops.

mod activity;

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use http::{HeaderValue, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::crowd::Crowd;
use crate::endpoint::Peer;
use activity::{AT_ONCE, Activity, Stream, Turn};

/// The read and write buffers of a connection, in bytes.
const BUFFER: usize = 64 << 10;
/// Maximum size of a request's headers over HTTP/2, where many short headers take ten times as much memory. HTTP/1
/// allows at most 100 headers.
const HEAD: u32 = 16 << 10;
/// The HTTP/2 receive window: bytes that can arrive before they are read.
const WINDOW: u32 = 256 << 10;

/// How connections are served, and what all of them share.
#[derive(Clone)]
pub struct Connections {
    router: Router,
    http: Arc<auto::Builder<TokioExecutor>>,
    /// How long nothing may go on.
    pub patience: Duration,
    /// The limits on connections and streams.
    pub crowd: Arc<Crowd>,
    /// No new requests.
    pub stopping: CancellationToken,
    /// No more time.
    pub over: CancellationToken,
}

impl Connections {
    pub fn new(router: Router, patience: Duration, crowd: Arc<Crowd>, stopping: CancellationToken) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        // Responses are small, so copying head and body together costs less than two writes. `Activity` limits the time
        // for request headers, because hyper would set a timer for each request. Request headers and queued data are
        // limited to the size of a buffer.
        http.http1().header_read_timeout(None).writev(false).max_buf_size(BUFFER);
        // Pings count as activity, so these connections stay open while the client answers pings and reads its
        // responses.
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(patience / 2)
            .max_concurrent_streams(100)
            .max_header_list_size(HEAD)
            // A further part of a response is taken when the parts before it are sent.
            .max_send_buf_size(AT_ONCE)
            .initial_stream_window_size(WINDOW / 2)
            .initial_connection_window_size(WINDOW);
        Self { router, http: Arc::new(http), patience, crowd, stopping, over: CancellationToken::new() }
    }

    /// Serves one to its end.
    pub async fn serve<I>(self, stream: I, peer: Peer)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { router, http, patience, crowd, stopping, over } = self;
        let activity = Arc::new(Activity::default());
        let watched = Arc::clone(&activity);
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let activity = Arc::clone(&watched);
            let admitted = match (request.version(), peer) {
                (Version::HTTP_2, Peer::Address(from)) => Stream::open(&activity, || crowd.enter(from)).map(Some),
                _ => Some(None),
            };
            let begun = admitted.map(|stream| (stream, Turn::begin(&activity), router.clone().call(request)));
            async move {
                let Some((stream, turn, answer)) = begun else { return Ok::<_, Infallible>(too_many()) };
                let answer = answer.await?;
                drop(turn);
                Ok(activity.sending(answer, stream))
            }
        });
        let stream = Watched { stream, activity: Arc::clone(&activity) };
        let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
        // A set polls only what was woken. Each of these takes a lock to be polled, and this comes by with each request.
        let mut alarms: FuturesUnordered<BoxFuture<'_, Alarm>> = FuturesUnordered::new();
        alarms.push(activity.silence(patience).map(|()| Alarm::End).boxed());
        alarms.push(stopping.cancelled().map(|()| Alarm::Stop).boxed());
        loop {
            tokio::select! {
                biased;
                // How a connection ends is its client's affair.
                _ = serving.as_mut() => return,
                alarm = alarms.next() => match alarm {
                    Some(Alarm::Stop) => {
                        serving.as_mut().graceful_shutdown();
                        alarms.push(over.cancelled().map(|()| Alarm::End).boxed());
                    }
                    Some(Alarm::End) | None => return,
                },
            }
        }
    }
}

/// The response to a request above the limit. It has no body, so the client's flow control cannot hold it up.
fn too_many() -> Response {
    let mut answer = Response::default();
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// Signals to a connection, from the server or its timers.
enum Alarm {
    /// No further requests.
    Stop,
    End,
}

/// A stream that records when bytes are sent.
struct Watched<I> {
    stream: I,
    activity: Arc<Activity>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_ready() {
            self.activity.wrote();
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        if written.is_ready() {
            self.activity.wrote();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
