//! One connection: its requests are served until its client leaves or falls silent, or the server stops.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::endpoint::Peer;

/// The read and write buffers of a connection, in bytes; in HTTP/2, the write buffer of each response.
const BUFFER: usize = 64 << 10;
/// The maximum size of request headers over HTTP/2.
const HEAD: u32 = 64 << 10;
/// The HTTP/2 flow-control window: data that can arrive before it is read.
const WINDOW: u32 = 256 << 10;

/// How connections are served, and what all of them share.
#[derive(Clone)]
pub struct Connections {
    router: Router,
    http: Arc<auto::Builder<TokioExecutor>>,
    /// How long nothing may go on.
    patience: Duration,
    /// No new requests.
    pub stopping: CancellationToken,
    /// No more time.
    pub over: CancellationToken,
}

impl Connections {
    pub fn new(router: Router, patience: Duration, stopping: CancellationToken) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        // Answers are small: to copy head and body together costs less than to hand the system two pieces. How long a head
        // may take is for `Activity` to see: hyper would set a timer for each.
        // Limits request headers and queued data to the size of a buffer.
        http.http1().header_read_timeout(None).writev(false).max_buf_size(BUFFER);
        // Pings count as something that goes on, so these connections stay for as long as they are answered.
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(patience / 2)
            .max_concurrent_streams(100)
            .max_header_list_size(HEAD)
            .max_send_buf_size(BUFFER)
            .initial_stream_window_size(WINDOW / 2)
            .initial_connection_window_size(WINDOW);
        Self { router, http: Arc::new(http), patience, stopping, over: CancellationToken::new() }
    }

    /// Serves one to its end.
    pub async fn serve<I>(self, stream: I, peer: Peer)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { router, http, patience, stopping, over } = self;
        let activity = Arc::new(Activity::default());
        let watched = Arc::clone(&activity);
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let turn = Turn::begin(&watched);
            let answer = router.clone().call(request);
            async move {
                let answer = answer.await;
                drop(turn);
                answer
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

/// What becomes of a connection besides what its client does.
enum Alarm {
    /// No further requests.
    Stop,
    End,
}

/// What goes on at a connection: whether a request is being served, and whether answers go out.
#[derive(Debug, Default)]
struct Activity {
    /// Requests that are being served.
    under_way: AtomicUsize,
    /// Counts on with each request, and with each piece of an answer that the system took to send.
    steps: AtomicUsize,
}

impl Activity {
    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns when nothing has gone on for as long: no request is being served, none was made, and nothing of an answer went
    /// out. A client that sends the head of a request byte by byte is silent until it is whole.
    ///
    /// Looks now and then, so that a request costs no timer. May take a quarter longer.
    async fn silence(&self, patience: Duration) {
        const LOOKS: u32 = 4;
        let (mut seen, mut quiet) = (0, 0);
        while quiet < LOOKS {
            tokio::time::sleep(patience / LOOKS).await;
            let steps = self.steps.load(Ordering::Relaxed);
            let still = steps == seen && self.under_way.load(Ordering::Relaxed) == 0;
            (seen, quiet) = (steps, if still { quiet + 1 } else { 0 });
        }
    }
}

/// A request that is being served.
struct Turn(Arc<Activity>);

impl Turn {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        activity.step();
        Self(Arc::clone(activity))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that tells when something goes out.
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
            self.activity.step();
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
            self.activity.step();
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
