//! What goes on at a connection: requests that are served, and answers that go out.
//!
//! A client decides how fast it takes what it asked for, and over HTTP/2 it can keep a connection alive with pings meanwhile. So
//! answers are watched one by one: one that is not taken is let go of, and a connection on which nothing else happens ends.

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

/// How often it is looked, in the time in which something must have gone on: so that neither a request nor an answer costs a timer.
const LOOKS: u32 = 4;

/// Whether requests are being served at a connection, and whether answers go out.
#[derive(Debug, Default)]
pub struct Activity {
    /// Requests that are being served.
    under_way: AtomicUsize,
    /// Counts on with each request, and with each piece of an answer that goes out.
    steps: AtomicUsize,
    /// Of HTTP/2: requests from their head to the end of their answer.
    streams: AtomicUsize,
    /// Of them, those whose answer is on its way.
    unsent: AtomicUsize,
    answers: Mutex<Answers>,
}

/// Answers on their way.
#[derive(Debug, Default)]
struct Answers {
    count: u64,
    on_their_way: HashMap<u64, Arc<OnItsWay>>,
}

#[derive(Debug)]
struct OnItsWay {
    /// None once it was not taken for too long.
    body: Mutex<Option<Body>>,
    /// How often it was looked since something of it was taken.
    looks: AtomicU32,
}

impl Activity {
    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Something was sent. While answers of HTTP/2 are on their way it may be no more than a ping; those tell by themselves when
    /// they are taken.
    pub fn wrote(&self) {
        if self.unsent.load(Ordering::Relaxed) == 0 {
            self.step();
        }
    }

    /// Returns when nothing has gone on for as long: no request is being served, none was made, and nothing of an answer went
    /// out. A client that sends the head of a request byte by byte is silent until it is whole. Answers of which nothing was
    /// taken for as long are let go of meanwhile.
    ///
    /// Both may take a quarter longer.
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

    /// Watches an answer until it has gone out. Short ones of HTTP/1 are not: the connection has them at once.
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
            Body::new(Sending { on_its_way, number, activity: Arc::clone(self), stream })
        })
    }
}

/// A request that is being served.
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

/// A stream of HTTP/2. The first of a connection has the connection's place, and each further one a place of its own.
pub struct Stream {
    activity: Arc<Activity>,
    place: Option<Share>,
}

impl Stream {
    /// None where there are too many.
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

/// The body of an answer that is watched.
struct Sending {
    on_its_way: Arc<OnItsWay>,
    number: u64,
    activity: Arc<Activity>,
    stream: Option<Stream>,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.activity.step();
        self.on_its_way.looks.store(0, Ordering::Relaxed);
        match self.on_its_way.body.lock().as_mut() {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => {
                let late = io::Error::new(io::ErrorKind::TimedOut, "the client did not read the response in time");
                Poll::Ready(Some(Err(axum::Error::new(late))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.on_its_way.body.lock().as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.on_its_way.body.lock().as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.activity.answers.lock().on_their_way.remove(&self.number);
        self.activity.unsent.fetch_sub(usize::from(self.stream.is_some()), Ordering::Relaxed);
        self.activity.step();
    }
}
