//! The body of a request on its way in: read whole or handed on as it arrives, never longer than it may be, and never
//! waited for without end.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, Stream, StreamExt as _};
use http::{HeaderMap, header};
use outrigger_api::{ApiError, ApiResult, Code};
use tokio::time::{Instant, timeout, timeout_at};

/// How much is read of a body, and how long it is waited for.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// The longest that is read whole, in bytes.
    pub length: usize,
    /// How long nothing may arrive. As a whole a body may take as long, and longer if it arrives at [`SLOWEST`].
    pub timeout: Duration,
}

/// What must arrive on average, in bytes a second, once the time is over that every body has. Below that, a client that
/// sends a byte now and then would hold a connection for days.
const SLOWEST: u64 = 16 << 10;

/// A body that is refused early goes on being read for this long and this far, and is thrown away: a client that is still
/// sending when the connection closes would not see why.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 16 << 20;

/// The pieces of a body.
struct Pieces {
    body: Option<BodyDataStream>,
    timeout: Duration,
    /// When it was first waited for.
    started: Option<Instant>,
    arrived: u64,
}

impl Pieces {
    fn new(body: Body, limits: BodyLimits) -> Self {
        Self { body: Some(body.into_data_stream()), timeout: limits.timeout, started: None, arrived: 0 }
    }

    /// The next piece. Nothing comes after the end or an error.
    async fn next(&mut self) -> Option<ApiResult<Bytes>> {
        let body = self.body.as_mut()?;
        // Most have arrived with the head of the request: no clock is read for those.
        let next = match body.next().now_or_never() {
            Some(next) => Ok(next),
            None => {
                let now = Instant::now();
                let whole =
                    *self.started.get_or_insert(now) + self.timeout + Duration::from_secs(self.arrived / SLOWEST);
                timeout_at(whole.min(now + self.timeout), body.next()).await
            }
        };
        let outcome = match next {
            Ok(Some(Ok(piece))) => {
                self.arrived += piece.len() as u64;
                return Some(Ok(piece));
            }
            Ok(Some(Err(_))) => Some(Err(ApiError::new(Code::InvalidUsage, "the body did not arrive whole"))),
            Ok(None) => None,
            Err(_) => {
                let message =
                    format!("the body did not arrive in time: {} bytes came, then nothing or too little", self.arrived);
                Some(Err(ApiError::new(Code::RequestTimeout, message)))
            }
        };
        self.body = None;
        outcome
    }
}

/// The whole body, of the right media type and not too long.
pub async fn read(headers: &HeaderMap, body: Body, limits: BodyLimits) -> ApiResult<Bytes> {
    if announced(headers).is_some_and(|length| length > limits.length as u64) {
        return Err(too_large(limits.length));
    }
    let mut pieces = Pieces::new(body, limits);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if first.len() + more.len() + piece.len() > limits.length {
            return Err(too_large(limits.length));
        }
        // Most bodies come in one piece, which is taken as it is.
        if first.is_empty() {
            first = piece;
        } else {
            more.extend_from_slice(&piece);
        }
    }
    if more.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + more.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&more);
    Ok(whole.freeze())
}

/// How long the body is, where the request says so.
pub fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body as it arrives. Its length is for whoever takes it to bound.
pub fn stream(body: Body, limits: BodyLimits) -> impl Stream<Item = ApiResult<Bytes>> + Send + 'static {
    let pieces = Lingering(Pieces::new(body, limits));
    futures::stream::unfold(pieces, |mut pieces| async move { Some((pieces.0.next().await?, pieces)) })
}

/// Pieces of which the rest is read and thrown away for a while, if they are let go before their end.
struct Lingering(Pieces);

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(mut body) = self.0.body.take() else { return };
        let rest = async move {
            let mut thrown = 0;
            while let Some(Ok(piece)) = body.next().await {
                thrown += piece.len() as u64;
                if thrown > LINGER_BYTES {
                    return;
                }
            }
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(LINGER, rest));
        }
    }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(Code::TooLarge, format!("the body is longer than {limit} bytes"))
        .with_hint("send less at once; `outrigger serve --body-limit SIZE` allows more")
}
