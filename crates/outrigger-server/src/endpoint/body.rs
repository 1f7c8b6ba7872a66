//! The body of a request on its way in: read whole or handed on as it arrives, never longer than it may be, and never
//! waited for without end.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, Stream, StreamExt as _};
use http::{HeaderMap, header};
use outrigger_api::{ApiError, ApiResult, ByteSize, Code};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::budget::Share;

/// How much is read of a body, and how long it is waited for.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// The longest that is read whole, in bytes.
    pub length: usize,
    /// How long nothing may arrive. As a whole a body may take as long, and longer if it arrives at [`SLOWEST`].
    pub timeout: Duration,
}

/// The minimum average rate in bytes per second, after an initial time that every body has. Below that, a client that
/// sends a byte now and then would hold a connection for days.
pub const SLOWEST: u64 = 16 << 10;

/// A body that is refused early goes on being read for this long and this far, and is thrown away: a client that is still
/// sending when the connection closes would not see why.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 16 << 20;
/// The maximum for a client without a valid key.
const LINGER_BYTES_OF_STRANGERS: u64 = 64 << 10;
/// Maximum number of bodies discarded at the same time. Beyond it, connections are closed at once.
static LINGERING: Semaphore = Semaphore::const_new(64);

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
            Ok(Some(Err(_))) => Some(Err(ApiError::new(Code::InvalidUsage, "the body is incomplete"))),
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

/// The whole body, if its media type is supported and it is not too long. The announced length is counted in advance,
/// further bytes as they arrive.
pub async fn read(headers: &HeaderMap, body: Body, limits: BodyLimits, held: &mut Share) -> ApiResult<Bytes> {
    if let Err(error) = room(headers, limits, held) {
        dismiss(headers, body, error.code);
        return Err(error);
    }
    let mut pieces = Lingering(Pieces::new(body, limits));
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(piece) = pieces.0.next().await {
        let piece = piece?;
        let arrived = first.len().max(more.len()) + piece.len();
        if arrived > limits.length {
            return Err(too_large(limits.length));
        }
        held.reach(arrived as u64)?;
        // Most bodies come in one piece, which is taken as it is.
        if first.is_empty() {
            first = piece;
            continue;
        }
        if more.is_empty() {
            // A body of announced length is read into one buffer; one of unknown length into a growing buffer.
            more.reserve(announced(headers).map_or(arrived, |length| length as usize));
            more.extend_from_slice(&first);
        }
        more.extend_from_slice(&piece);
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}

/// Ensures that the announced length is counted.
fn room(headers: &HeaderMap, limits: BodyLimits, held: &mut Share) -> ApiResult<()> {
    let Some(length) = announced(headers) else { return Ok(()) };
    if length > limits.length as u64 {
        return Err(too_large(limits.length));
    }
    Ok(held.reach(length)?)
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
        if let Some(body) = self.0.body.take() {
            linger(body, LINGER_BYTES);
        }
    }
}

/// Discards the body of a refused request for a while, so that its sender sees the error.
pub fn dismiss(headers: &HeaderMap, body: Body, code: Code) {
    // A client that sent `Expect: 100-continue` has not sent the body yet; reading it would ask for it.
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    let most = if code == Code::Unauthenticated { LINGER_BYTES_OF_STRANGERS } else { LINGER_BYTES };
    linger(body.into_data_stream(), most);
}

fn linger(mut body: BodyDataStream, most: u64) {
    let (Ok(permit), Ok(runtime)) = (LINGERING.try_acquire(), tokio::runtime::Handle::try_current()) else { return };
    let rest = async move {
        let mut thrown = 0;
        while let Some(Ok(piece)) = body.next().await {
            thrown += piece.len() as u64;
            if thrown > most {
                break;
            }
        }
    };
    runtime.spawn(async move {
        let _ = timeout(LINGER, rest).await;
        drop(permit);
    });
}

fn too_large(limit: usize) -> ApiError {
    let limit = ByteSize::bytes(limit as u64);
    ApiError::new(Code::TooLarge, format!("the body is longer than {limit}"))
        .with_hint("send less data at once, or raise the limit with `outrigger serve --body-limit SIZE`")
}
