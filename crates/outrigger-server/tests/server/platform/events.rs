//! The events: one, and for those who follow them what comes after it.

use async_trait::async_trait;
use outrigger_api::*;
use serde_json::json;
use time::OffsetDateTime;

use super::Seen;

fn event(name: &str) -> EventInfo {
    EventInfo {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        at: OffsetDateTime::UNIX_EPOCH,
        name: name.parse().unwrap(),
        plugin: Some("pricing".parse().unwrap()),
        caller: Some("key ci".to_owned()),
        correlation: "01ARZ3NDEKTSV4RRFFQ69G5FAW".to_owned(),
        payload: json!({"plugin": "pricing"}).into(),
    }
}

#[async_trait]
impl Events for Seen {
    async fn event_list(&self, _: &EventQuery) -> ApiResult<Vec<EventInfo>> {
        self.allowed()?;
        Ok(vec![event("plugin.installed")])
    }

    /// One event, and then what comes after it: for ever nothing, or that the caller may no longer look.
    async fn event_follow(&self, query: &FollowQuery) -> ApiResult<EventStream> {
        self.allowed()?;
        let first = futures::stream::iter([Ok(EventInfo {
            payload: json!({"after": query.after}).into(),
            ..event("plugin.installed")
        })]);
        Ok(match query.name.as_ref().map(Pattern::as_str) {
            Some("forever") => Box::pin(futures::StreamExt::chain(first, futures::stream::pending())),
            Some("revoked") => {
                let ended = Err(ApiError::new(Code::Unauthenticated, "the key was revoked"));
                Box::pin(futures::StreamExt::chain(first, futures::stream::iter([ended])))
            }
            _ => Box::pin(first),
        })
    }
}
