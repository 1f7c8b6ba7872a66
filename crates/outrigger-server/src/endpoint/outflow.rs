//! Sends a response in pieces, so that unread bytes count for the client's key, and a slow client cannot keep a long
//! response forever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::body::SLOWEST;
use super::budget::Share;

/// Shorter responses are sent without a limit: connections and streams limit their number.
pub const SHORT: usize = 64 << 10;
/// The size of a part that is passed to the connection. Passed parts are no longer counted.
const PIECE: usize = 32 << 10;

/// A long response.
#[derive(Debug)]
pub struct Outflow {
    rest: Bytes,
    sent: u64,
    /// When the client read the first piece.
    started: Option<Instant>,
    patience: Duration,
    _share: Share,
}

impl Outflow {
    /// `patience` is the minimum time for any response; a longer one has more time if the client reads at least at
    /// [`SLOWEST`].
    pub fn body(bytes: Bytes, share: Share, patience: Duration) -> Body {
        Body::new(Self { rest: bytes, sent: 0, started: None, patience, _share: share })
    }
}

impl HttpBody for Outflow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let elapsed = self.started.get_or_insert_with(Instant::now).elapsed();
        if elapsed > self.patience + Duration::from_secs(self.sent / SLOWEST) {
            return Poll::Ready(Some(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client reads the response too slowly",
            ))));
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.sent += length as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// A body that holds a share until it ends or its client disconnects.
#[derive(Debug)]
pub struct Holding {
    body: Body,
    _share: Share,
}

impl Holding {
    pub fn body(body: Body, share: Share) -> Body {
        Body::new(Self { body, _share: share })
    }
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::{Bounds, Budget, Holder};
    use super::*;

    fn next(body: &mut Body) -> Option<Result<usize, String>> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match Pin::new(body).poll_frame(&mut cx) {
            Poll::Ready(piece) => piece.map(|piece| {
                let piece = piece.map_err(|error| error.to_string())?;
                Ok(piece.into_data().expect("data").len())
            }),
            Poll::Pending => panic!("it never waits"),
        }
    }

    #[test]
    fn s13_a_long_answer_goes_out_in_pieces_and_is_counted_until_it_has() {
        let budget = Budget::new("answers", Bounds { each: 200_000, all: 200_000 });
        let share = |bytes: u64| {
            let mut share = budget.share(Some(Holder::of_key("a")));
            share.grow(bytes).map(|()| share)
        };
        let bytes = Bytes::from(vec![b' '; 150_000]);
        let mut body = Outflow::body(bytes, share(150_000).expect("it fits"), Duration::from_secs(30));
        let mut pieces = Vec::new();
        while let Some(piece) = next(&mut body) {
            pieces.push(piece.expect("in time"));
            assert!(share(150_000).is_err(), "it is held");
        }
        assert_eq!(pieces, [32_768, 32_768, 32_768, 32_768, 18_928]);
        drop(body);
        share(150_000).expect("it was given back");
    }

    #[test]
    fn s13_who_takes_an_answer_too_slowly_is_cut_off() {
        let budget = Budget::new("answers", Bounds { each: 0, all: 0 });
        let mut started = Outflow {
            rest: Bytes::from_static(b"rest"),
            sent: SLOWEST,
            started: Instant::now().checked_sub(Duration::from_secs(3)),
            patience: Duration::from_secs(1),
            _share: budget.share(None),
        };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let late = Pin::new(&mut started).poll_frame(&mut cx);
        assert!(matches!(late, Poll::Ready(Some(Err(_)))), "three seconds are more than two");
    }
}
