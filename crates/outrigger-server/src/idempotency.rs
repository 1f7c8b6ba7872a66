//! `Idempotency-Key`: a POST that is sent twice is done once. Who sends it again gets the first answer, while the first
//! is still at work too. Answers are kept for a day, in memory, under a hash of caller, address and key.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, StatusCode};
use moka::future::Cache;
use outrigger_api::{ApiError, ApiResult, Code};
use sha2::{Digest as _, Sha256};
use tokio_util::task::TaskTracker;

use crate::endpoint::answer::Answered;
use crate::endpoint::who;

pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// As the OpenAPI document says it.
pub const PATTERN: &str = "^[!-~]{1,255}$";

const KEPT_FOR: Duration = Duration::from_hours(24);
/// For all answers together, in bytes.
const KEPT: u64 = 32 << 20;

/// The answers to requests that had a key.
#[derive(Debug)]
pub struct Idempotency {
    answers: Cache<[u8; 32], Arc<Kept>>,
}

/// A request with a key: which one it is, and what it says.
#[derive(Debug)]
pub struct Request {
    place: [u8; 32],
    body: [u8; 32],
}

#[derive(Debug)]
struct Kept {
    body: [u8; 32],
    answered: Answered,
}

/// What is sent again is the same request.
impl Request {
    /// # Errors
    /// `invalid_usage` where the key is not one.
    pub fn of(parts: &Parts, body: &[u8]) -> ApiResult<Self> {
        let key = parts.headers.get(&HEADER).map_or(&b""[..], http::HeaderValue::as_bytes);
        if key.is_empty() || key.len() > 255 || !key.iter().all(u8::is_ascii_graphic) {
            return Err(ApiError::new(
                Code::InvalidUsage,
                "`Idempotency-Key` is not 1 to 255 visible ASCII characters",
            )
            .with_hint("send a random text that is made anew for each request, such as a UUID"));
        }
        let caller = who::key(&parts.headers)?.unwrap_or_default();
        let address = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let mut place = Sha256::new();
        for part in [caller.as_bytes(), parts.method.as_str().as_bytes(), address.as_bytes(), key] {
            // The length goes first, so that no two lists of parts look the same.
            place.update((part.len() as u64).to_be_bytes());
            place.update(part);
        }
        Ok(Self { place: place.finalize().into(), body: Sha256::digest(body).into() })
    }
}

impl Default for Idempotency {
    fn default() -> Self {
        let weight = |_: &[u8; 32], kept: &Arc<Kept>| u32::try_from(kept.answered.body.len() + 512).unwrap_or(u32::MAX);
        Self { answers: Cache::builder().max_capacity(KEPT).weigher(weight).time_to_live(KEPT_FOR).build() }
    }
}

impl Idempotency {
    /// Does the work unless it was done already or is being done; then its answer is that of the first.
    ///
    /// # Errors
    /// `conflict` where the first request had another body.
    pub async fn once(
        &self,
        request: Request,
        tasks: &TaskTracker,
        work: Pin<Box<dyn Future<Output = Answered> + Send>>,
    ) -> ApiResult<Answered> {
        let Request { place, body } = request;
        let answers = self.answers.clone();
        // A task of its own: were the work dropped with its client, one who asks again would start it a second time.
        let first = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let ours = Arc::clone(&first);
        let task = tasks.spawn(async move {
            let work = async {
                ours.store(true, std::sync::atomic::Ordering::Relaxed);
                let kept = Arc::new(Kept { body, answered: work.await });
                if lasting(kept.answered.status) { Ok(kept) } else { Err(kept) }
            };
            answers.try_get_with(place, work).await
        });
        let kept = match task.await {
            Ok(Ok(kept)) => kept,
            Ok(Err(passing)) => Arc::clone(&*passing),
            Err(_) => return Err(ApiError::new(Code::Internal, "the request met a fault")),
        };
        if kept.body != body {
            return Err(ApiError::new(Code::Conflict, "this idempotency key was used for a request with another body")
                .with_hint("make a new key for each request, and send the same one only to repeat it"));
        }
        let replayed = !first.load(std::sync::atomic::Ordering::Relaxed);
        Ok(Answered { replayed, ..kept.answered.clone() })
    }
}

/// Whether an answer holds for those who ask again. Those that ask to try again do not.
fn lasting(status: StatusCode) -> bool {
    !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}
