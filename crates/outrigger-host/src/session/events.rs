//! The log of events. A caller sees those that it has the right to, by their names.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use outrigger_api::{ApiError, ApiResult, Code, EventInfo, EventQuery, EventStream, Events, FollowQuery, JsonText};
use outrigger_engine::access::Right;
use outrigger_engine::events::{EventId, EventRecord, Follower};
use outrigger_engine::store::EventFilter;
use time::OffsetDateTime;

use super::{LONGEST_LIST, Session, Who, page_size, shorten};
use crate::convert;

/// Events that are read at once, which may be large,
const PAGE: u32 = 100;
/// and how often it is read on where too few of those may be seen.
const MOST_PAGES: usize = 200;
/// How often it is looked whether whoever follows still may.
const LOOK: Duration = Duration::from_secs(5);

#[async_trait]
impl Events for Session {
    async fn event_list(&self, query: &EventQuery) -> ApiResult<Vec<EventInfo>> {
        self.require_some(Right::EVENT_VIEW)?;
        let EventQuery { name, plugin, after, before, since, limit } = query;
        let most = page_size(*limit);
        let mut filter = EventFilter {
            name: name.clone(),
            plugin: plugin.clone(),
            after: after.as_deref().map(event_id).transpose()?,
            before: before.as_deref().map(event_id).transpose()?,
            since: *since,
            limit: most.min(PAGE),
        };
        let turn = self.list_turn().await;
        let (mut seen, mut left) = (Vec::new(), LONGEST_LIST);
        for _ in 0..MOST_PAGES {
            let (store, asked) = (Arc::clone(self.host.engine.store()), filter.clone());
            let read = async move { store.event_list(&asked).await.map_err(convert::store_error) };
            let mut page = turn.read(read).await?;
            let last = page.last().filter(|_| page.len() == filter.limit as usize).map(|event| event.id);
            page.retain(|event| self.may(Right::EVENT_VIEW, event.name.as_str()));
            let is_cut = shorten(&mut page, &mut left, |event| event.payload.len());
            seen.extend(self.infos(page).await?);
            if last.is_none() || is_cut || seen.len() >= most as usize {
                break;
            }
            filter.before = last;
        }
        seen.truncate(most as usize);
        Ok(seen)
    }

    async fn event_follow(&self, query: &FollowQuery) -> ApiResult<EventStream> {
        self.require_some(Right::EVENT_VIEW)?;
        let after = query.after.as_deref().map(event_id).transpose()?;
        let follower = self.host.engine.events_follow(after).await.map_err(convert::error)?;
        let course = Course { session: self.clone(), query: query.clone(), follower, ready: VecDeque::new() };
        let stream = futures::stream::try_unfold(course, |mut course| async move {
            let next = course.next().await?;
            Ok::<_, ApiError>(next.map(|event| (event, course)))
        });
        Ok(stream.boxed())
    }
}

/// A follower of events.
struct Course {
    session: Session,
    query: FollowQuery,
    follower: Follower,
    /// Read already. The next are only read when these are gone, so a slow reader holds no more than one page.
    ready: VecDeque<EventInfo>,
}

impl Course {
    async fn next(&mut self) -> ApiResult<Option<EventInfo>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            self.session = self.session.renewed()?;
            // No event for a while: time to look again.
            let Ok(page) = tokio::time::timeout(LOOK, self.follower.next()).await else { continue };
            let page = page.map_err(convert::error)?;
            if page.is_empty() {
                return Ok(None);
            }
            let FollowQuery { name, plugin, after: _ } = &self.query;
            let wanted = page.into_iter().filter(|event| {
                event.matches(name.as_ref(), plugin.as_ref())
                    && self.session.may(Right::EVENT_VIEW, event.name.as_str())
            });
            self.ready = self.session.infos(wanted.collect()).await?.into();
        }
    }
}

impl Session {
    async fn infos(&self, records: Vec<EventRecord>) -> ApiResult<Vec<EventInfo>> {
        let bytes = records.iter().map(|record| record.payload.len()).sum();
        self.converted(bytes, move || records.into_iter().map(info).collect()).await
    }

    /// The same caller, with the rights that it has by now.
    fn renewed(&self) -> ApiResult<Self> {
        let Who::Key(principal) = &self.who else { return Ok(self.clone()) };
        let ended = |why: &str| ApiError::new(Code::Unauthenticated, format!("the key `{}` {why}", principal.name));
        let principal = self.host.keys.by_id(&principal.id).ok_or_else(|| ended("was revoked"))?;
        if principal.has_expired(OffsetDateTime::now_utc()) {
            return Err(ended("has expired"));
        }
        let renewed = Self { who: Who::Key(principal), ..self.clone() };
        renewed.require_some(Right::EVENT_VIEW)?;
        Ok(renewed)
    }
}

fn event_id(text: &str) -> ApiResult<EventId> {
    text.parse().map_err(|_| {
        ApiError::new(
            Code::InvalidUsage,
            format!("`{}` is not the id of an event", text.chars().take(80).collect::<String>()),
        )
        .with_hint("the id of an event is a ULID: 26 letters and digits")
    })
}

fn info(record: EventRecord) -> EventInfo {
    let EventRecord { id, at, name, payload, correlation, plugin, caller } = record;
    EventInfo {
        id: id.to_string(),
        at,
        name,
        plugin,
        caller,
        correlation: correlation.to_string(),
        payload: JsonText::parse(payload).unwrap_or_default(),
    }
}
