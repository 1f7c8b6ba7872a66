//! The activity of a connection: requests in progress and responses being sent.
//!
//! A client decides how fast it reads a response, and an HTTP/2 client can keep the connection alive with pings
//! meanwhile. So each response is watched on its own: a response that is not read is aborted, and a connection without
//! other activity is closed.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;

use crate::endpoint::budget::Share;
use crate::endpoint::outflow::SHORT;

/// The number of checks per idle timeout. Checking at intervals means that requests and responses need no timers of
/// their own.
const LOOKS: u32 = 4;

/// The length in bytes up to which an HTTP/2 response is sent at once, and is not counted as soon as a part of it is
/// sent: the connection takes a part as a whole when the client's window takes its first byte.
pub const AT_ONCE: usize = 1 << 10;

/// Requests in progress and responses being sent on a connection.
#[derive(Debug, Default)]
pub struct Activity {
    /// Requests in progress.
    under_way: AtomicUsize,
    /// Increases with each request and each part of a response.
    steps: AtomicUsize,
    /// HTTP/2 streams: requests from their headers to the end of their response.
    streams: AtomicUsize,
    /// Those whose response is being sent.
    unsent: AtomicUsize,
    answers: Mutex<Answers>,
}

/// Responses being sent.
#[derive(Debug, Default)]
struct Answers {
    count: u64,
    on_their_way: HashMap<u64, Arc<OnItsWay>>,
}

#[derive(Debug)]
struct OnItsWay {
    /// None once the response was aborted.
    body: Mutex<Option<Body>>,
    /// The number of checks since the client last read a part of it.
    looks: AtomicU32,
}

impl Activity {
    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that bytes were sent. While HTTP/2 responses are being sent, the bytes can be just a ping; responses
    /// record themselves when they are read.
    pub fn wrote(&self) {
        if self.unsent.load(Ordering::Relaxed) == 0 {
            self.step();
        }
    }

    /// Returns after an idle timeout: no request is in progress or was made, and no part of a response was sent. A
    /// client that sends the headers of a request byte by byte is idle until they are complete. Responses that the
    /// client does not read within the timeout are aborted meanwhile.
    ///
    /// Both can take a quarter longer.
    pub async fn silence(&self, patience: Duration) {
        let (mut seen, mut quiet) = (0, 0);
        while quiet < LOOKS {
            tokio::time::sleep(patience / LOOKS).await;
            self.let_go();
            let steps = self.steps.load(Ordering::Relaxed);
            let still = steps == seen && self.under_way.load(Ordering::Relaxed) == 0;
            (seen, quiet) = (steps, if still { quiet + 1 } else { 0 });
        }
    }

    fn let_go(&self) {
        let late = |answer: &&Arc<OnItsWay>| answer.looks.fetch_add(1, Ordering::Relaxed) >= LOOKS;
        let late: Vec<_> = self.answers.lock().on_their_way.values().filter(late).cloned().collect();
        for answer in late {
            let body = answer.body.lock().take();
            drop(body);
        }
    }

    /// Watches a response until it is sent. Short HTTP/1 responses are not watched, because the connection takes them
    /// at once.
    pub fn sending(self: &Arc<Self>, answer: Response, stream: Option<Stream>) -> Response {
        let length = answer.body().size_hint().exact();
        if length == Some(0) || (stream.is_none() && length.is_some_and(|length| length <= SHORT as u64)) {
            return answer;
        }
        answer.map(|body| {
            let on_its_way = Arc::new(OnItsWay { body: Mutex::new(Some(body)), looks: AtomicU32::new(0) });
            self.unsent.fetch_add(usize::from(stream.is_some()), Ordering::Relaxed);
            let mut answers = self.answers.lock();
            answers.count += 1;
            let number = answers.count;
            answers.on_their_way.insert(number, Arc::clone(&on_its_way));
            Body::new(Sending { on_its_way, number, activity: Arc::clone(self), stream, last: None })
        })
    }
}

/// A request in progress.
pub struct Turn(Arc<Activity>);

impl Turn {
    pub fn begin(activity: &Arc<Activity>) -> Self {
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

/// An HTTP/2 stream. The first of a connection uses the connection's place, each further one a place of its own.
pub struct Stream {
    activity: Arc<Activity>,
    place: Option<Share>,
}

impl Stream {
    /// None if there are too many.
    pub fn open(activity: &Arc<Activity>, enter: impl FnOnce() -> Option<Share>) -> Option<Self> {
        let others = activity.streams.fetch_add(1, Ordering::Relaxed);
        let mut stream = Self { activity: Arc::clone(activity), place: None };
        if others > 0 {
            stream.place = Some(enter()?);
        }
        Some(stream)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.activity.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a watched response.
struct Sending {
    on_its_way: Arc<OnItsWay>,
    number: u64,
    activity: Arc<Activity>,
    stream: Option<Stream>,
    /// The last byte of a long HTTP/2 response. The connection takes it when the client's window takes it and the bytes
    /// before it are sent, so the response keeps its place until then.
    last: Option<Bytes>,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { on_its_way, number: _, activity, stream, last } = self.get_mut();
        activity.step();
        on_its_way.looks.store(0, Ordering::Relaxed);
        let mut body = on_its_way.body.lock();
        let Some(body) = body.as_mut() else {
            let late = io::Error::new(io::ErrorKind::TimedOut, "the client did not read the response in time");
            return Poll::Ready(Some(Err(axum::Error::new(late))));
        };
        if let Some(last) = last.take() {
            return Poll::Ready(Some(Ok(Frame::data(last))));
        }
        let frame = Pin::new(&mut *body).poll_frame(cx);
        let is_last = stream.is_some() && body.is_end_stream();
        frame.map_ok(|frame| match frame.into_data() {
            Ok(mut data) if is_last && data.len() > AT_ONCE => {
                *last = Some(data.split_off(data.len() - 1));
                Frame::data(data)
            }
            Ok(data) => Frame::data(data),
            Err(frame) => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none() && self.on_its_way.body.lock().as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.last {
            Some(last) => SizeHint::with_exact(last.len() as u64),
            None => self.on_its_way.body.lock().as_ref().map_or_else(SizeHint::default, HttpBody::size_hint),
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.activity.answers.lock().on_their_way.remove(&self.number);
        self.activity.unsent.fetch_sub(usize::from(self.stream.is_some()), Ordering::Relaxed);
        self.activity.step();
    }
}
