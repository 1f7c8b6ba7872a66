//! The log of events: listed, and followed as server-sent events.

use outrigger_api::{ApiError, ApiResult, Code, EventInfo, EventQuery, FollowQuery};

use super::records::checked;
use crate::endpoint::NoPath;
use crate::endpoint::answer::Large;
use crate::endpoint::api::Api;
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::live::EventLines;
use crate::endpoint::who::Caller;
use crate::page::List;

const TAG: &str = "Events";

pub fn routes(api: &mut Api) {
    api.get("/api/v1/events", "event_follow", follow)
        .tag(TAG)
        .summary("Follow events as they happen")
        .describe(
            "Server-sent events. With `Last-Event-ID`, which browsers send when they reconnect, the stream continues \
             after that event. A slow reader misses nothing that is still in the log.",
        )
        .right("event_view")
        .resumes();
    api.get("/api/v1/events/log", "event_list", list).tag(TAG).summary("List events, newest first").right("event_view");
}

async fn follow(caller: Caller, input: Input<NoPath, FollowQuery, NoBody>) -> ApiResult<EventLines> {
    let mut query = input.query;
    if let Some(last) = &input.last_event_id {
        let text = last.to_str().map_err(|_| {
            ApiError::new(Code::InvalidUsage, "`Last-Event-ID` is not the id of an event")
                .with_hint("send the `id` of the last event just as it was received")
        })?;
        query.after = Some(text.to_owned());
    }
    let events = caller.platform.event_follow(&query).await?;
    Ok(EventLines {
        events,
        until: caller.app.stopping.clone(),
        alive: caller.app.alive,
        correlation: caller.correlation,
    })
}

async fn list(caller: Caller, input: Input<NoPath, EventQuery, NoBody>) -> ApiResult<Large<List<EventInfo>>> {
    checked(input.query.limit, None, None)?;
    let items = caller.platform.event_list(&input.query).await?;
    Ok(Large(List { items }))
}
