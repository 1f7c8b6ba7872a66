//! `Idempotency-Key`: a POST that is sent twice is done once. The second request gets the response of the first, even
//! while the first is still running and after a restart of the server. Responses are stored under a hash of caller,
//! address and key.
//!
//! The begin of a request is stored before anything is done, and its response before it is sent. A request that a dead
//! process had begun may have been done or not: a repeated request gets an error that says so, and is not executed
//! again.

mod answers;
mod kept;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, StatusCode};
use moka::future::Cache;
use outrigger_api::{ApiError, ApiResult, Begun, Code, Door};
use outrigger_compute::blocking;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio_util::task::TaskTracker;

use crate::endpoint::answer::Answered;
use crate::endpoint::budget::Share;
use crate::endpoint::input::SMALL_BODY;
use crate::endpoint::{fault, who};
use answers::Answers;

pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// As the OpenAPI document says it.
pub const PATTERN: &str = "^[!-~]{1,255}$";

/// The answers to requests that had a key.
#[derive(Debug)]
pub struct Idempotency {
    /// Requests that are running. It only makes repeated requests wait for the first: nothing is ever stored in it.
    running: Cache<[u8; 32], Infallible>,
    answers: Arc<Mutex<Answers>>,
}

/// A request with a key: its identity and content.
#[derive(Debug)]
pub struct Request {
    place: [u8; 32],
    body: [u8; 32],
    /// The id of the caller's key, or `local`.
    owner: String,
    /// The key that encrypts its stored response.
    seal: Option<kept::Seal>,
}

#[derive(Debug)]
struct Kept {
    body: [u8; 32],
    answered: Answered,
}

/// A repeated request must be identical.
impl Request {
    /// # Errors
    /// `invalid_usage` where the key is not one.
    pub async fn of(parts: &Parts, body: Bytes, held: &Share) -> ApiResult<Self> {
        let request = Self::named(parts)?;
        Ok(Self { body: digest(body, held).await?, ..request })
    }

    /// Its identity, without its content.
    fn named(parts: &Parts) -> ApiResult<Self> {
        let key = parts.headers.get(&HEADER).map_or(&b""[..], http::HeaderValue::as_bytes);
        if key.is_empty() || key.len() > 255 || !key.iter().all(u8::is_ascii_graphic) {
            return Err(ApiError::new(
                Code::InvalidUsage,
                "`Idempotency-Key` must be 1 to 255 visible ASCII characters",
            )
            .with_hint("use a new random text for each request, such as a UUID"));
        }
        let caller = who::key(&parts.headers)?;
        let address = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let hash = |purpose: &[u8]| -> [u8; 32] {
            let mut hasher = Sha256::new();
            let caller = caller.unwrap_or_default().as_bytes();
            for part in [purpose, caller, parts.method.as_str().as_bytes(), address.as_bytes(), key] {
                // The length goes first, so that no two lists of parts look the same.
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part);
            }
            hasher.finalize().into()
        };
        // Only a caller's key is secret enough to seal with; over the socket there is none.
        let seal = caller.map(|_| kept::Seal::new(hash(b"seal")));
        // The key was already authenticated; its id is the second part.
        let owner = caller.and_then(|key| key.split('_').nth(1)).unwrap_or("local").to_owned();
        Ok(Self { place: hash(b"place"), body: [0; 32], owner, seal })
    }
}

/// The hash of a body. That of a large one is computed in the pool for long computations, in the turn of its sender.
async fn digest(body: Bytes, held: &Share) -> ApiResult<[u8; 32]> {
    if body.len() <= SMALL_BODY {
        return Ok(Sha256::digest(&body).into());
    }
    blocking(&held.turn_owner(), move || -> [u8; 32] { Sha256::digest(&body).into() }).await.map_err(|_| fault())
}

impl Default for Idempotency {
    fn default() -> Self {
        Self { running: Cache::new(0), answers: Arc::default() }
    }
}

impl Idempotency {
    /// Does the work, unless it was done already or is running; then returns the response of the first request.
    ///
    /// # Errors
    /// `conflict` if the first request had another body, `request_interrupted` if its outcome is unknown or its response
    /// was not kept.
    pub async fn once(
        &self,
        request: Request,
        door: &Arc<dyn Door>,
        tasks: &TaskTracker,
        work: Pin<Box<dyn Future<Output = Answered> + Send>>,
    ) -> ApiResult<Answered> {
        let body = request.body;
        let (running, answers, door) = (self.running.clone(), Arc::clone(&self.answers), Arc::clone(door));
        // A task of its own: were the work dropped with its client, one who asks again would start it a second time.
        let first = Arc::new(AtomicBool::new(false));
        let ours = Arc::clone(&first);
        let task = tasks.spawn(async move {
            let place = request.place;
            // As an error, the result goes to all who wait and is not stored.
            let outcome = async { Err::<Infallible, _>(begin(request, door, &answers, &ours, work).await) };
            running.try_get_with(place, outcome).await
        });
        let Err(outcome) = task.await.map_err(|_| fault())?;
        let kept = match &*outcome {
            Ok(kept) => Arc::clone(kept),
            Err(error) => return Err(error.clone()),
        };
        if kept.body != body {
            return Err(ApiError::new(Code::Conflict, "this idempotency key was used for a request with another body")
                .with_hint("use a new key for each request; reuse a key only to repeat its request"));
        }
        let replayed = !first.load(Ordering::Relaxed);
        Ok(Answered { replayed, ..kept.answered.clone() })
    }
}

/// Does the work, unless it was done already or was begun before this process was.
async fn begin(
    request: Request,
    door: Arc<dyn Door>,
    answers: &Mutex<Answers>,
    ours: &AtomicBool,
    work: Pin<Box<dyn Future<Output = Answered> + Send>>,
) -> ApiResult<Arc<Kept>> {
    let Request { place, body, owner, seal } = request;
    let present = answers.lock().get(&owner, &place, Instant::now());
    if let Some(kept) = present {
        return Ok(kept);
    }
    match door.request_begin(place, body, &owner).await? {
        Begun::New => {}
        Begun::Ended { body, answer } => {
            let answered = answer.zip(seal.as_ref()).and_then(|(answer, seal)| seal.open(&answer));
            let lost = || {
                unknown(
                    "was completed, but its response was not kept: the server restarted, or had no room for the \
                     response",
                )
            };
            let kept = Arc::new(Kept { body, answered: answered.ok_or_else(lost)? });
            answers.lock().keep(&owner, place, Arc::clone(&kept), Instant::now());
            return Ok(kept);
        }
        Begun::Unfinished => {
            return Err(unknown("was started, but the server stopped before it was completed"));
        }
    }
    ours.store(true, Ordering::Relaxed);
    let kept = Arc::new(Kept { body, answered: work.await });
    let lasts = lasting(kept.answered.status);
    if lasts {
        answers.lock().keep(&owner, place, Arc::clone(&kept), Instant::now());
    }
    let outcome = match lasts {
        true => Outcome::Answered { owner, answer: seal.and_then(|seal| seal.close(&kept.answered)) },
        false => Outcome::Forgotten,
    };
    if let Err(error) = outcome.note(&*door, place).await {
        // It is done, and its client is told so.
        tracing::error!(%error, "failed to record the outcome of a request with an idempotency key; retrying");
        tokio::spawn(async move { outcome.note_later(&*door, place).await });
    }
    Ok(kept)
}

/// The record of a started request.
#[derive(Debug)]
enum Outcome {
    Answered {
        owner: String,
        answer: Option<Vec<u8>>,
    },
    /// The client can send it again.
    Forgotten,
}

impl Outcome {
    async fn note(&self, door: &dyn Door, place: [u8; 32]) -> ApiResult<()> {
        match self {
            Self::Answered { owner, answer } => door.request_end(place, owner, answer.clone()).await,
            Self::Forgotten => door.request_forget(place).await,
        }
    }

    /// Retries for a while; otherwise a repeated request would be told that its outcome is unknown.
    async fn note_later(&self, door: &dyn Door, place: [u8; 32]) {
        const TRIES: u32 = 600;
        for _ in 0..TRIES {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.note(door, place).await.is_ok() {
                return;
            }
        }
    }
}

fn unknown(what: &str) -> ApiError {
    ApiError::new(Code::RequestInterrupted, format!("the request with this idempotency key {what}"))
}

/// Whether a response is stored for repeated requests. Responses that ask for a retry are not stored, and neither are
/// refusals: nothing was done, and a key without rights could fill the store.
fn lasting(status: StatusCode) -> bool {
    !matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn s19_a_large_body_has_the_same_hash_from_the_pool() {
        for length in [0, SMALL_BODY, SMALL_BODY + 1] {
            let body = vec![b' '; length];
            let expected: [u8; 32] = Sha256::digest(&body).into();
            assert_eq!(digest(body.into(), &Share::default()).await.expect("it is hashed"), expected, "{length}");
        }
    }
}
