//! The log of events, in one order, durable, and limited in size. It contains everything that subscribers of event
//! hooks receive, and every change of a job's state. It does not contain calls: they are records.
//!
//! An event gets its id in the transaction that writes it, under the database's lock, and ids only grow: a reader of
//! one event has missed nothing before it. A follower of the log continues after the last event that it has seen, when
//! it is woken and periodically. A slow follower reads later; nothing is kept for it in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, HookName, Pattern, PluginName};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::hooks::Payload;
use crate::jobs::JobState;
use crate::store::{Owner, ROW_BYTES, Store};

/// The most that an event may carry, in bytes of JSON.
pub const LONGEST_PAYLOAD: usize = 64 << 10;
/// Events that a follower reads at once,
const PAGE: u32 = 50;
/// and the most that it takes of them, in bytes of payloads: a slow reader holds them for long.
const PAGE_BYTES: usize = 128 << 10;
/// How often the log is looked at without being woken: another process may have written to it.
const LOOK: Duration = Duration::from_secs(2);

/// Of an event: a ULID, greater than that of any event before it.
pub type EventId = CorrelationId;

/// Something that happened, before it has its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    pub at: OffsetDateTime,
    pub name: HookName,
    pub payload: Payload,
    /// Of whatever caused it.
    pub correlation: CorrelationId,
    /// The plugin that it concerns, or that declares the hook.
    pub plugin: Option<PluginName>,
    /// The id of the key that fired it, if a key did.
    pub key: Option<String>,
    /// The caller that fired it, if it is an event hook. None for events of Outrigger itself.
    pub caller: Option<String>,
}

/// Something that happened, in its place in the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    pub id: EventId,
    pub at: OffsetDateTime,
    pub name: HookName,
    /// The payload, as JSON text. It can be large, and few look into it.
    pub payload: String,
    pub correlation: CorrelationId,
    pub plugin: Option<PluginName>,
    /// See [`NewEvent::caller`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
}

impl NewEvent {
    /// Creates an event, caused by the current task.
    #[must_use]
    pub fn now(name: HookName, payload: impl Into<Payload>) -> Self {
        let payload = payload.into();
        let plugin = payload.get("plugin").and_then(Json::as_str).and_then(|name| name.parse().ok());
        let (at, correlation) = (OffsetDateTime::now_utc(), CorrelationId::current());
        Self { at, name, payload, correlation, plugin, key: None, caller: None }
    }
}

impl NewEvent {
    /// The owner of the event: the key that fired it, otherwise the plugin that it concerns. The source is the event's
    /// name, and for jobs also the owner of the job.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let account = match (&self.key, &self.plugin) {
            (Some(key), _) => key.clone(),
            (None, Some(plugin)) => format!("plugin {plugin}"),
            (None, None) => "system".to_owned(),
        };
        let state = self.name.as_str().strip_prefix("job.");
        let of_job = state.is_some_and(|state| JobState::ALL.iter().any(|one| one.as_str() == state));
        let caller = self.payload.get("caller").and_then(Json::as_str).filter(|_| of_job);
        let source = caller.map_or_else(|| self.name.to_string(), |caller| format!("{} of {caller}", self.name));
        Owner { account, source }
    }

    /// Its size in the store, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        let caller = self.caller.as_ref().map_or(0, String::len);
        ROW_BYTES + (self.payload.length() + caller) as u64
    }
}

impl EventRecord {
    /// An event with its id.
    #[must_use]
    pub fn of(id: EventId, event: &NewEvent) -> Self {
        let NewEvent { at, name, payload, correlation, plugin, key: _, caller } = event;
        Self {
            id,
            at: *at,
            name: name.clone(),
            payload: payload.to_string(),
            correlation: *correlation,
            plugin: plugin.clone(),
            caller: caller.clone(),
        }
    }

    /// Whether it is of this name and about such a plugin; a pattern that is not given covers everything.
    #[must_use]
    pub fn matches(&self, name: Option<&Pattern>, plugin: Option<&Pattern>) -> bool {
        let of_plugin = |pattern: &Pattern| self.plugin.as_ref().is_some_and(|plugin| pattern.covers(plugin.as_str()));
        name.is_none_or(|pattern| pattern.covers(self.name.as_str())) && plugin.is_none_or(of_plugin)
    }
}

/// Checks the size of an event's payload, and returns it.
pub(crate) fn check_payload(name: &HookName, payload: &Payload) -> Result<u64, Failure> {
    let length = payload.length();
    if length <= LONGEST_PAYLOAD {
        return Ok(length as u64);
    }
    let size = ByteSize::bytes(length as u64).rounded();
    let limit = ByteSize::bytes(LONGEST_PAYLOAD as u64);
    let message = format!("the payload of `{name}` is {size}; the limit is {limit}");
    Err(Failure::new(Code::InvalidInput, message)
        .with_hint("put only an ID into the payload, and let subscribers fetch the rest"))
}

/// The in-memory state of the event log.
#[derive(Debug, Default)]
pub(crate) struct Events {
    appended: watch::Sender<()>,
    /// Bytes written since the last pruning was due.
    written: AtomicU64,
}

impl Events {
    /// Wakes the followers of the log after an event was written.
    pub(crate) fn appended(&self, event: &NewEvent) {
        self.written.fetch_add(event.size(), Ordering::Relaxed);
        self.appended.send_replace(());
    }

    /// Whether this many bytes were written since the last time that this returned true.
    pub(crate) fn has_written(&self, bytes: u64) -> bool {
        let much = self.written.load(Ordering::Relaxed) >= bytes;
        if much {
            self.written.store(0, Ordering::Relaxed);
        }
        much
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.appended.subscribe()
    }
}

/// Reads the log on and on.
#[derive(Debug)]
pub struct Follower {
    store: Arc<dyn Store>,
    appended: watch::Receiver<()>,
    after: Option<EventId>,
}

impl Follower {
    /// The next events, the oldest first, as soon as there are any; none when the engine is gone. Dropped before it has
    /// answered, it has passed nothing over.
    ///
    /// # Errors
    /// The store failed.
    pub async fn next(&mut self) -> Result<Vec<EventRecord>, Failure> {
        loop {
            // Before the log is read: what is appended while it is read wakes.
            self.appended.mark_unchanged();
            let mut page = self.store.event_read(self.after, PAGE).await?;
            shorten(&mut page);
            if let Some(last) = page.last() {
                self.after = Some(last.id);
                return Ok(page);
            }
            tokio::select! {
                changed = self.appended.changed() => if changed.is_err() { return Ok(Vec::new()) },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// Leaves the events that a follower takes at once, at least one. It reads the others again.
fn shorten(page: &mut Vec<EventRecord>) {
    let mut bytes = 0;
    let fits = page.iter().take_while(|event| {
        bytes += event.payload.len();
        bytes <= PAGE_BYTES
    });
    let fits = fits.count();
    page.truncate(fits.max(1));
}

impl Engine {
    /// Follows the log: from behind this event, or from now on.
    ///
    /// # Errors
    /// The store failed.
    pub async fn events_follow(&self, after: Option<EventId>) -> Result<Follower, Failure> {
        let appended = self.inner.events.subscribe();
        let after = match after {
            Some(after) => Some(after),
            None => self.inner.store.event_head().await?,
        };
        Ok(Follower { store: Arc::clone(&self.inner.store), appended, after })
    }

    /// Writes an event into the log. When it returns, the event is there for good.
    pub(crate) async fn log_event(&self, event: &NewEvent) -> Result<(), Failure> {
        let (store, appended) = (Arc::clone(&self.inner.store), event.clone());
        outrigger_compute::with_store(async move { store.event_append(&[appended]).await }).await?;
        self.inner.events.appended(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_choose_events() {
        let event = NewEvent::now("plugin.installed".parse().expect("a name"), json!({"plugin": "pricing"}));
        let event = EventRecord::of(EventId::new(), &event);
        let check = |name: Option<&str>, plugin: Option<&str>, expected: bool| {
            let pattern = |text: Option<&str>| text.map(|text| text.parse::<Pattern>().expect("a pattern"));
            assert_eq!(
                event.matches(pattern(name).as_ref(), pattern(plugin).as_ref()),
                expected,
                "{name:?} {plugin:?}"
            );
        };
        check(None, None, true);
        check(Some("plugin.*"), Some("pricing"), true);
        check(Some("job.*"), None, false);
        check(None, Some("team*"), false);
    }

    #[test]
    fn s19_a_follower_takes_few_large_events_at_once() {
        let left = |bytes: usize| {
            let event = NewEvent::now("shop.sold".parse().expect("a name"), json!({"text": "x".repeat(bytes)}));
            let mut page = vec![EventRecord::of(EventId::new(), &event); 50];
            shorten(&mut page);
            page.len()
        };
        assert_eq!([left(100), left(60_000), left(PAGE_BYTES)], [50, 2, 1]);
    }

    #[test]
    fn ids_grow_even_when_the_clock_does_not() {
        let now = OffsetDateTime::now_utc();
        let first = EventId::following(None, now);
        let second = EventId::following(Some(first), now);
        let third = EventId::following(Some(second), now - time::Duration::hours(1));
        assert!(first < second && second < third, "{first} {second} {third}");
        assert!(EventId::following(Some(third), now + time::Duration::hours(1)) > third);
    }
}
