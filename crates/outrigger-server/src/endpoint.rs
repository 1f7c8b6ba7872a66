//! The steps of every request, from top to bottom in [`serve`] and [`answer`]: a correlation id, the caller, path and
//! query, the caller's right, the body, the handler, and the answer or a problem document. The body is read last, after
//! the right was checked.

pub mod answer;
pub mod api;
pub mod body;
pub mod budget;
pub mod input;
pub mod live;
pub mod numbers;
pub mod outflow;
pub mod problem;
pub mod traced;
pub mod upload;
pub mod who;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use futures::{FutureExt as _, TryFutureExt as _};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use outrigger_api::{ApiError, ApiResult, ByteSize, Code, Door, RequestTracer, Visit};
use outrigger_compute::{Turn, Turns, blocking, discard};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ulid::{Generator, Ulid};

use crate::idempotency::{self, Idempotency};
use answer::{Answer, Answered};
use api::{Manner, Parting};
use body::BodyLimits;
use budget::{Budget, Full, Holder, Share};
use input::{Input, Payload};
use traced::Traced;
use who::Who;

pub const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");

/// The minimum memory of a change, in bytes. It continues after its client has left, so connections do not limit the
/// number of changes.
pub const CHANGE: u64 = 16 << 10;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// State shared by all requests.
#[derive(Debug)]
pub struct App {
    pub door: Arc<dyn Door>,
    /// Keeps traces, where anybody does.
    pub tracer: Option<Arc<dyn RequestTracer>>,
    pub body: BodyLimits,
    /// Bytes of request bodies in flight.
    pub bodies: Arc<Budget>,
    /// Bytes of responses that the clients have not read.
    pub answers: Arc<Budget>,
    /// Event streams.
    pub streams: Arc<Budget>,
    /// Requests that read. A response is not counted before it is complete, and can wait until it is rendered.
    pub reads: Turns,
    /// How long sending a response may take, if the client reads it more slowly than [`body::SLOWEST`].
    pub patience: Duration,
    pub idempotency: Idempotency,
    /// The OpenAPI document, written down once.
    pub document: bytes::Bytes,
    /// How often an answer that goes on without end sends something.
    pub alive: Duration,
    /// The server stops: what would go on without end is to end.
    pub stopping: CancellationToken,
    /// Work that goes on although its client has left; a server that stops waits for it.
    pub work: TaskTracker,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over the network.
    Address(std::net::IpAddr),
    /// Over the unix socket, which only the administrator can open.
    Socket,
}

/// Serves one request of a route.
pub async fn serve<W, P, Q, B, R, F, Fut>(app: Arc<App>, handler: F, manner: Manner, request: Request) -> Response
where
    W: Who,
    P: DeserializeOwned + Send + 'static,
    Q: DeserializeOwned + Send + 'static,
    B: Payload,
    R: Answer,
    F: Fn(W, Input<P, Q, B>) -> Fut + Send + 'static,
    Fut: Future<Output = ApiResult<R>> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    let (correlation, is_chosen) = chosen_correlation(&parts.headers);
    let method = parts.method.clone();
    let path = tracing::enabled!(tracing::Level::DEBUG).then(|| parts.uri.path().to_owned());
    // Probes and documents, which anybody may read, would only be in the way of who reads traces.
    let (trace, mut traced) =
        if W::SECURED { traced::begin(&app, &parts, correlation, manner.route) } else { (None, None) };
    let visit = Visit { from: None, correlation, is_chosen, trace };
    let work = answer(&app, handler, manner, parts, body, visit, traced.as_mut());
    let (answered, held) = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(answered)) => answered,
        Ok(Err(error)) => (problem::answered(error, correlation), None),
        Err(_) => (problem::answered(fault(), correlation), None),
    };
    if let Some(path) = path {
        let status = answered.status.as_u16();
        tracing::debug!(%method, path, status, %correlation, "request");
    }
    if let Some(traced) = traced {
        traced.answered(answered.status);
    }
    answered.into_response(correlation, held.map(|share| (share, app.patience)))
}

async fn answer<W, P, Q, B, R, F, Fut>(
    app: &Arc<App>,
    handler: F,
    manner: Manner,
    mut parts: Parts,
    body: axum::body::Body,
    visit: Visit,
    traced: Option<&mut Traced>,
) -> ApiResult<(Answered, Option<Share>)>
where
    W: Who,
    P: DeserializeOwned + Send + 'static,
    Q: DeserializeOwned + Send + 'static,
    B: Payload,
    R: Answer,
    F: Fn(W, Input<P, Q, B>) -> Fut + Send + 'static,
    Fut: Future<Output = ApiResult<R>> + Send + 'static,
{
    let admitted = match admit::<W, P, Q, B>(app, manner, &mut parts, visit, traced).await {
        Ok(admitted) => admitted,
        Err(error) => {
            body::dismiss(&parts.headers, body, error.code);
            return Err(error);
        }
    };
    let Admitted { who, path, query } = admitted;
    let holder = who.holder();
    let mut held = app.bodies.share(holder).owned_by(who.platform());
    let (payload, mut body) = B::receive(&parts.headers, body, app.body, &mut held).await?;
    let input = Input {
        path,
        query,
        body: payload,
        if_match: parts.headers.get(header::IF_MATCH).cloned(),
        last_event_id: parts.headers.get(&LAST_EVENT_ID).cloned(),
    };
    let once = parts.method == Method::POST && !B::STREAMED && parts.headers.contains_key(&idempotency::HEADER);
    if !once {
        // It is counted once, so it is not kept beside what was read from it.
        body = bytes::Bytes::new();
    }
    if once || manner.parting == Parting::Finished {
        held.grow(CHANGE)?;
    }
    if !once && manner.parting == Parting::Dropped {
        let _turn = if manner.reads { Box::pin(read_turn(app, holder, &held)).await } else { None };
        let mut answer = handler(who, input).await?;
        if let Some(share) = answer.share() {
            let (answered, share) = rendered(answer, &held, share).await?;
            return Ok(counted_anyway(answered, share));
        }
        let (answer, share) = count(app, answer, holder).map_err(refused)?;
        let (answered, share) = rendered(answer, &held, share).await?;
        return counted(app, answered, share, holder, manner.parting);
    }
    if !once {
        let state = Arc::clone(app);
        let work = async move {
            let _turn = if manner.reads { Box::pin(read_turn(&state, holder, &held)).await } else { None };
            rendered(handler(who, input).await?, &held, None::<Share>).await
        };
        let (answered, share) = app.work.spawn(work).await.unwrap_or_else(|_| Err(fault()))?;
        return counted(app, answered, share, holder, manner.parting);
    }
    let request = idempotency::Request::of(&parts, body, &held).await?;
    let (state, handled) = (Arc::clone(app), handler(who, input));
    let outcome = async move {
        let _turn = if manner.reads { Box::pin(read_turn(&state, holder, &held)).await } else { None };
        let (answer, share) = count(&state, handled.await?, holder).map_err(done_in_vain)?;
        let (answered, _) = rendered(answer, &held, share).await?;
        Ok::<_, ApiError>(answered)
    };
    let work = outcome.unwrap_or_else(move |error| problem::answered(error, visit.correlation));
    let answered = app.idempotency.once(request, &app.door, &app.work, Box::pin(work)).await?;
    counted(app, answered, None, holder, manner.parting)
}

/// Waits until a key may read, and has its turn until its response is rendered. None for a caller without a limit. Boxed
/// where it is used, so that the futures of calls, which have no turn, stay small.
async fn read_turn(app: &App, holder: Option<Holder>, held: &Share) -> Option<Turn> {
    holder?;
    Some(app.reads.begin(&held.turn_owner()).await)
}

/// Counts a large response before it is rendered. Its text and its body exist at the same time only in the pool, one at
/// a time for each holder.
fn count<R: Answer>(app: &App, answer: R, holder: Option<Holder>) -> Result<(R, Option<Share>), Full> {
    let size = answer.size();
    if size <= outflow::SHORT {
        return Ok((answer, None));
    }
    let mut share = app.answers.share(holder);
    match share.grow(size as u64) {
        Ok(()) => Ok((answer, Some(share))),
        Err(full) => {
            discard(answer);
            Err(full)
        }
    }
}

/// Refuses a response. One that can never fit does not ask for another try.
fn refused(full: Full) -> ApiError {
    if !full.is_final() {
        return full.into();
    }
    let limit = ByteSize::bytes(full.limit());
    let message = format!("the response is too large; the limit for all unread responses of a key is {limit}");
    ApiError::new(Code::OutputLimit, message).with_hint("request less at once, or have the function return parts")
}

/// The response is kept for repeated requests, so it does not ask for another try.
fn done_in_vain(full: Full) -> ApiError {
    let ApiError { message, hint, .. } = refused(full);
    let message = format!("the request was executed, but its response does not fit: {message}");
    let hint = if full.is_final() { hint.as_str() } else { "read earlier responses before you send further requests" };
    ApiError::new(Code::OutputLimit, message).with_hint(hint)
}

/// Renders a response. A long one is rendered in the pool for long computations, in the turn of its holder. The pool has
/// the share of the response meanwhile, because it goes on when the client leaves.
async fn rendered<R: Answer, S: Send + 'static>(answer: R, held: &Share, share: S) -> ApiResult<(Answered, S)> {
    let long = match answer.render(outflow::SHORT) {
        Ok(answered) => return Ok((answered?, share)),
        Err(long) => Box::new(long),
    };
    let work = move || (long.render(usize::MAX).unwrap_or_else(|_| Err(fault())), share);
    let (answered, share) = blocking(&held.turn_owner(), work).await.map_err(|_| fault())?;
    Ok((answered?, share))
}

/// An admitted request, whose body may be read.
struct Admitted<W, P, Q> {
    who: W,
    path: P,
    query: Q,
}

/// Checks everything that needs no body: the caller, the route, and the caller's right.
async fn admit<W, P, Q, B>(
    app: &Arc<App>,
    manner: Manner,
    parts: &mut Parts,
    visit: Visit,
    traced: Option<&mut Traced>,
) -> ApiResult<Admitted<W, P, Q>>
where
    W: Who,
    P: DeserializeOwned + Send + 'static,
    Q: DeserializeOwned + Send + 'static,
    B: Payload,
{
    let who = W::enter(app, parts, visit).await?;
    if let Some(traced) = traced {
        traced.admitted();
    }
    let path = input::path::<P>(parts).await?;
    let query = input::query::<Q>(&parts.uri)?;
    // Without a body, the handler checks the right itself. A request with an idempotency key is stored before that.
    let is_early = !B::MEDIA.is_empty() || parts.headers.contains_key(&idempotency::HEADER);
    if let (Some(right), true) = (manner.right, is_early) {
        let name = match manner.over {
            Some(parameter) => input::raw_path(parts, parameter).await,
            None => None,
        };
        who.admit(right, name.as_deref())?;
    }
    // Checked before the work, because its response could not be sent.
    if manner.parting == Parting::Dropped {
        app.answers.check(who.holder())?;
    }
    Ok(Admitted { who, path, query })
}

/// Counts a long response or an event stream until the client has read it.
fn counted(
    app: &App,
    answered: Answered,
    share: Option<Share>,
    holder: Option<Holder>,
    parting: Parting,
) -> ApiResult<(Answered, Option<Share>)> {
    let (budget, amount) = match answered.live {
        Some(_) => (&app.streams, 1),
        None if answered.body.len() > outflow::SHORT => (&app.answers, answered.body.len() as u64),
        None => return Ok((answered, None)),
    };
    let mut share = share.unwrap_or_else(|| budget.share(holder));
    match share.reach(amount) {
        // The result of a change is always reported; such responses are short.
        Err(full) if parting == Parting::Dropped => Err(refused(full)),
        _ => Ok((answered, Some(share))),
    }
}

/// Counts a response that is sent in any case.
fn counted_anyway(answered: Answered, mut share: Share) -> (Answered, Option<Share>) {
    if answered.body.len() <= outflow::SHORT {
        return (answered, None);
    }
    share.reach_anyway(answered.body.len() as u64);
    (answered, Some(share))
}

/// The response for a request that panicked.
pub fn fault() -> ApiError {
    ApiError::new(Code::Internal, "an internal error occurred")
}

/// The client's own correlation id where it sent one that is a ULID, else a new one, greater than those before; and
/// whether the client chose it.
fn chosen_correlation(headers: &HeaderMap) -> (Ulid, bool) {
    static IDS: Mutex<Generator> = Mutex::new(Generator::new());
    let sent = headers.get(&CORRELATION).and_then(|value| value.to_str().ok());
    match sent.and_then(|text| Ulid::from_string(text).ok()) {
        Some(sent) => (sent, true),
        None => (IDS.lock().generate().unwrap_or_else(|_| Ulid::new()), false),
    }
}

/// For addresses at which there is nothing.
pub async fn not_found(request: Request) -> Response {
    let message = format!("{} does not exist", shortened(request.uri().path()));
    let error = ApiError::new(Code::NotFound, message).with_hint("`/api/v1/docs` lists all endpoints");
    refuse(&request, error)
}

/// For addresses at which there is something, but not for this method. The router adds `Allow`.
pub async fn method_not_allowed(request: Request) -> Response {
    let message = format!(
        "the method {} is not supported for {}",
        shortened(request.method().as_str()),
        shortened(request.uri().path())
    );
    refuse(&request, ApiError::new(Code::MethodNotAllowed, message))
}

fn refuse(request: &Request, error: ApiError) -> Response {
    let (correlation, _) = chosen_correlation(request.headers());
    problem::answered(error, correlation).into_response(correlation, None)
}

fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}

/// No parameters, in the path or in the query.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

pub type NoPath = Nothing;
pub type NoQuery = Nothing;

/// A text as the value of a header, where it can be one.
pub fn header_value(text: &str) -> ApiResult<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| ApiError::new(Code::Internal, "failed to write a header"))
}

#[cfg(test)]
mod tests {
    use outrigger_compute::is_in_pool;
    use serde::{Serialize, Serializer};

    use super::answer::Reply;
    use super::*;

    #[derive(Serialize, JsonSchema)]
    struct Body {
        text: String,
        #[serde(serialize_with = "place")]
        in_pool: (),
    }

    fn place<S: Serializer>(_: &(), serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(is_in_pool())
    }

    #[tokio::test]
    async fn s19_long_responses_are_rendered_in_the_pool() {
        for (length, in_pool) in [(10, false), (outflow::SHORT + 1, true)] {
            let reply = Reply(Body { text: "x".repeat(length), in_pool: () });
            let (answered, ()) = rendered(reply, &Share::default(), ()).await.expect("it is rendered");
            assert!(answered.body.ends_with(format!("\"in_pool\":{in_pool}}}").as_bytes()), "{length}");
        }
    }
}
