//! Server-sent events: an answer that goes on as long as its reader reads and the server runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::StatusCode;
use outrigger_api::{ApiError, Code, EventInfo, EventStream, text};
use parking_lot::Mutex;
use schemars::{Schema, SchemaGenerator};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::answer::{Answer, Answered, Rendered};
use super::problem::Problem;

/// A body that is sent as it comes. There is only one of it, however often the answer is copied.
#[derive(Clone, Debug)]
pub struct Live(Arc<Mutex<Option<Body>>>);

impl Live {
    fn new(stream: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Body::from_stream(stream)))))
    }

    /// The body, the first time.
    pub fn take(&self) -> Body {
        self.0.lock().take().unwrap_or_default()
    }
}

/// 200 with events, each with its id and as JSON.
pub struct EventLines {
    pub events: EventStream,
    /// The server stops.
    pub until: CancellationToken,
    /// How often something is sent where nothing happens, so that nobody takes the connection for dead.
    pub alive: Duration,
    pub correlation: Ulid,
}

impl Answer for EventLines {
    const STATUS: StatusCode = StatusCode::OK;
    const MEDIA: Option<&'static str> = Some("text/event-stream");

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        let event = generator.subschema_for::<EventInfo>();
        let description = "Server-sent events. `data` is JSON of the schema in `contentSchema`, `id` the event's id. An \
                           event of the type `problem` says why there will be no more.";
        Some(schemars::json_schema!({"type": "string", "description": description, "contentSchema": event}))
    }

    fn render(self, _: usize) -> Rendered<Self> {
        let live = Live::new(futures::stream::unfold(Some(Course { lines: self, begun: false }), Course::next));
        Ok(Ok(Answered { live: Some(live), ..Answered::new(Self::STATUS, "text/event-stream", Bytes::new()) }))
    }
}

struct Course {
    lines: EventLines,
    begun: bool,
}

impl Course {
    /// The next piece. It is asked for when the one before has gone out, so nothing piles up for a slow reader.
    async fn next(course: Option<Self>) -> Option<(Result<Bytes, Infallible>, Option<Self>)> {
        let mut course = course?;
        if !course.begun {
            // So that the head goes out, and the reader knows that it is heard.
            course.begun = true;
            return Some((Ok(Bytes::from_static(b": hello\n\n")), Some(course)));
        }
        let EventLines { events, until, alive, correlation } = &mut course.lines;
        let next = tokio::select! {
            biased;
            () = until.cancelled() => return None,
            next = events.next() => next,
            () = tokio::time::sleep(*alive) => return Some((Ok(Bytes::from_static(b": alive\n\n")), Some(course))),
        };
        match next {
            None => None,
            Some(Ok(event)) => match serde_json::to_string(&event) {
                Ok(data) => {
                    let line = format!("id: {}\ndata: {}\n\n", event.id, text::json(&data));
                    Some((Ok(line.into()), Some(course)))
                }
                Err(_) => None,
            },
            Some(Err(error)) => Some((Ok(problem(error, *correlation)), None)),
        }
    }
}

fn problem(error: ApiError, correlation: Ulid) -> Bytes {
    if error.code == Code::Internal || error.code == Code::StoreFailed {
        tracing::warn!(code = %error.code, %correlation, message = error.message, "events can no longer be followed");
    }
    let data = serde_json::to_string(&Problem::new(error, correlation)).unwrap_or_default();
    format!("event: problem\ndata: {}\n\n", text::json(&data)).into()
}
