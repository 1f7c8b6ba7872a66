//! Sends deliveries: `WebhookOptions → Engine::start_webhooks → Engine::shutdown`. Only a process with exclusive access
//! to the data directory does.
//!
//! As with jobs, it compares the present with the desired state, when it is signalled and periodically: the log of
//! events is read from the last position, events become deliveries, and due deliveries are sent if there is room. A
//! delivery that is being sent is `pending` in the store until its end is written, so a process that dies leaves it to
//! the next one.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use outrigger_contract::address::Network;
use outrigger_contract::{HookName, PluginName, WebhookName};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{DeliveryId, DeliveryRecord, DeliveryState, Keep, Sender, WebhookOptions, WebhookRecord, next_id, send};
use crate::engine::{Engine, Inner};
use crate::error::Failure;
use crate::events::{EventId, EventRecord};
use crate::jobs::Callers;
use crate::store::{Amount, Bound, ROW_BYTES};

/// Events that are gone through at once.
const PAGE: u32 = 200;
/// The number of deliveries that are abandoned in one transaction.
const AT_ONCE: u32 = 1_000;
/// When this many bytes of events or deliveries were written, pruning runs early.
const WRITTEN_AT_MOST: u64 = 4 << 20;
/// Maximum size of the deliveries that are created at once, in bytes. All deliveries of one event are always created
/// together.
const MADE_AT_ONCE: u64 = 1 << 20;

/// The engine's state of deliveries being sent.
#[derive(Debug, Default)]
pub(crate) struct PostOffice {
    wake: Notify,
    running: Mutex<HashMap<DeliveryId, Sending>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Aborts the deliveries being sent.
    interrupt: CancellationToken,
    drain: Mutex<Duration>,
    networks: Mutex<Arc<[Network]>>,
}

/// A delivery that is being sent.
#[derive(Clone, Debug)]
struct Sending {
    webhook: WebhookName,
    /// See [`WebhookRecord::account`].
    account: String,
}

impl PostOffice {
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// See [`WebhookOptions::networks`].
    pub(super) fn networks(&self) -> Arc<[Network]> {
        Arc::clone(&self.networks.lock())
    }

    /// Sends nothing more, and waits for deliveries being sent. Those that take too long are sent again by the next
    /// process.
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        let drain = *self.drain.lock();
        if tokio::time::timeout(drain, self.tasks.wait()).await.is_err() {
            self.interrupt.cancel();
            self.tasks.wait().await;
        }
    }
}

/// A delivery of an event to a webhook, that is due.
pub(super) fn delivery(webhook: &WebhookName, event: &EventRecord, now: OffsetDateTime) -> DeliveryRecord {
    DeliveryRecord {
        id: next_id(now),
        webhook: webhook.clone(),
        event: Some(event.id),
        name: event.name.clone(),
        state: DeliveryState::Pending,
        attempts: 0,
        next_at: now,
        status: None,
        error: None,
        private: false,
        created_at: now,
        ended_at: None,
        body: body(event),
    }
}

/// The members that Standard Webhooks defines, and Outrigger's own.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a HookName,
    timestamp: String,
    data: &'a RawValue,
    event: String,
    plugin: Option<&'a PluginName>,
    caller: Option<&'a str>,
    correlation: String,
}

fn body(event: &EventRecord) -> String {
    let EventRecord { id, at, name, payload, correlation, plugin, caller } = event;
    let body = Body {
        r#type: name,
        timestamp: at.format(&Rfc3339).unwrap_or_default(),
        // Checked, but not taken apart: it can be large.
        data: serde_json::from_str(payload).unwrap_or(RawValue::NULL),
        event: id.to_string(),
        plugin: plugin.as_ref(),
        caller: caller.as_deref(),
        correlation: correlation.to_string(),
    };
    serde_json::to_string(&body).unwrap_or_default()
}

/// Whether a webhook receives an event.
fn wants(webhook: &WebhookRecord, event: &EventRecord) -> bool {
    webhook.enabled
        && event.at >= webhook.since
        && webhook.events.iter().any(|pattern| event.matches(Some(pattern), webhook.plugin.as_ref()))
}

impl Engine {
    /// Tells webhooks of events from now on, those included that happened since the last process did. Only for who has the
    /// store to itself, and once.
    ///
    /// # Errors
    /// The store failed.
    pub async fn start_webhooks(
        &self,
        options: WebhookOptions,
        sender: Arc<dyn Sender>,
        callers: Arc<dyn Callers>,
    ) -> Result<(), Failure> {
        let post = &self.inner.post;
        *post.drain.lock() = options.drain;
        *post.networks.lock() = Arc::clone(&options.networks);
        let cursor = self.inner.store.outbox_cursor().await?;
        let worker =
            Worker { engine: Arc::downgrade(&self.inner), options, sender, callers, cursor, tidied: None, made: 0 };
        post.tasks.spawn(worker.run(post.stop.clone()));
        Ok(())
    }
}

struct Worker {
    /// Weak, so that an engine that is dropped is gone.
    engine: Weak<Inner>,
    options: WebhookOptions,
    sender: Arc<dyn Sender>,
    /// Whether the key that opened private networks still has the right.
    callers: Arc<dyn Callers>,
    /// How far the log was gone through. The store knows of it where deliveries came of it.
    cursor: Option<EventId>,
    /// When too much was last dropped.
    tidied: Option<OffsetDateTime>,
    /// Bytes of deliveries created since the last pruning.
    made: u64,
}

impl Worker {
    async fn run(mut self, stop: CancellationToken) {
        let Some(mut appended) = self.engine.upgrade().map(|inner| inner.events.subscribe()) else { return };
        loop {
            let Some(inner) = self.engine.upgrade() else { return };
            let engine = Engine { inner };
            appended.mark_unchanged();
            if let Err(failure) = self.turn(&engine).await {
                tracing::error!(%failure, "failed to look up due webhooks");
            }
            let post = Arc::clone(&engine.inner.post);
            drop(engine);
            tokio::select! {
                () = stop.cancelled() => return,
                () = post.wake.notified() => {}
                _ = appended.changed() => {}
                () = tokio::time::sleep(self.options.period) => {}
            }
        }
    }

    async fn turn(&mut self, engine: &Engine) -> Result<(), Failure> {
        let webhooks = self.take_up(engine).await?;
        if !webhooks.is_empty() {
            self.give_up(engine, &webhooks).await?;
            self.send_due(engine, &webhooks).await?;
        }
        let now = self.options.clock.now();
        let is_time = self.tidied.is_none_or(|last| now - last >= self.options.keep.period);
        if is_time || engine.inner.events.has_written(WRITTEN_AT_MOST) {
            self.tidied = Some(now);
            self.tidy(engine, now).await?;
        }
        Ok(())
    }

    /// Creates deliveries for the new events. Returns the existing webhooks.
    async fn take_up(&mut self, engine: &Engine) -> Result<Vec<WebhookRecord>, Failure> {
        let store = &engine.inner.store;
        if store.webhook_list().await?.is_empty() {
            // A webhook that is added later is told of what happens later. One that is added before the head is read is seen by
            // the second look.
            let head = store.event_head().await?;
            let webhooks = store.webhook_list().await?;
            if webhooks.is_empty() {
                self.cursor = head.or(self.cursor);
                return Ok(webhooks);
            }
        }
        loop {
            let page = store.event_read(self.cursor, PAGE).await?;
            // Behind the events, so that whatever webhook was there before one of them is among these.
            let webhooks = store.webhook_list().await?;
            let Some(last) = page.last().map(|event| event.id) else { return Ok(webhooks) };
            let (now, mut made, mut bytes) = (self.options.clock.now(), Vec::new(), 0_u64);
            for event in &page {
                let told = webhooks.iter().filter(|webhook| wants(webhook, event));
                for delivery in told.map(|webhook| delivery(&webhook.name, event, now)) {
                    bytes += ROW_BYTES + delivery.body.len() as u64;
                    made.push(delivery);
                }
                if bytes >= MADE_AT_ONCE || (event.id == last && !made.is_empty()) {
                    store.outbox_put(event.id, &made).await?;
                    self.cursor = Some(event.id);
                    self.made += std::mem::take(&mut bytes);
                    made.clear();
                    if self.made >= WRITTEN_AT_MOST {
                        self.tidy_deliveries(engine, now).await?;
                    }
                }
            }
            self.cursor = Some(last);
        }
    }

    /// Makes dead letters of the pending deliveries of disabled webhooks, which would wait forever.
    async fn give_up(&self, engine: &Engine, webhooks: &[WebhookRecord]) -> Result<(), Failure> {
        let off: Vec<_> =
            webhooks.iter().filter(|webhook| !webhook.enabled).map(|webhook| webhook.name.clone()).collect();
        if off.is_empty() {
            return Ok(());
        }
        // Deliveries being sent may still arrive.
        let running: Vec<_> = engine.inner.post.running.lock().keys().copied().collect();
        let (store, now) = (&engine.inner.store, self.options.clock.now());
        while store.delivery_give_up(&off, &running, now, AT_ONCE).await? >= u64::from(AT_ONCE) {}
        Ok(())
    }

    async fn send_due(&self, engine: &Engine, webhooks: &[WebhookRecord]) -> Result<(), Failure> {
        let post = &engine.inner.post;
        let WebhookOptions { parallel, per_webhook, per_owner, clock, .. } = &self.options;
        loop {
            // As it was before the store is asked: what ends in between is pending in the answer, and would be sent again.
            let running = post.running.lock().clone();
            let at = |name: &WebhookName| running.values().filter(|busy| busy.webhook == *name).count();
            let of = |account: &str| running.values().filter(|busy| busy.account == account).count();
            let is_busy =
                |webhook: &WebhookRecord| at(&webhook.name) >= *per_webhook || of(webhook.account()) >= *per_owner;
            let except: Vec<_> = webhooks
                .iter()
                .filter(|webhook| !webhook.enabled || is_busy(webhook))
                .map(|webhook| webhook.name.clone())
                .collect();
            // As many as could be under way already, and one that is not.
            let most = u32::try_from(running.len() + 1).unwrap_or(u32::MAX);
            if running.len() >= *parallel || post.stop.is_cancelled() {
                return Ok(());
            }
            let due = engine.inner.store.delivery_due(clock.now(), &except, most).await?;
            let next = due.into_iter().find(|delivery| !running.contains_key(&delivery.id));
            let Some(delivery) = next else { return Ok(()) };
            let Some(webhook) = webhooks.iter().find(|webhook| webhook.name == delivery.webhook) else {
                // It was added just now; the next turn knows it.
                post.wake();
                return Ok(());
            };
            self.begin(engine, webhook.clone(), delivery);
        }
    }

    fn begin(&self, engine: &Engine, webhook: WebhookRecord, delivery: DeliveryRecord) {
        let post = Arc::clone(&engine.inner.post);
        let sending = Sending { webhook: delivery.webhook.clone(), account: webhook.account().to_owned() };
        post.running.lock().insert(delivery.id, sending);
        let (engine, options, sender) = (engine.clone(), self.options.clone(), Arc::clone(&self.sender));
        let callers = Arc::clone(&self.callers);
        post.tasks.clone().spawn(async move {
            let id = delivery.id;
            let interrupt = post.interrupt.clone();
            tokio::select! {
                () = async {
                    let access = send::access(&*callers, &webhook, &delivery).await;
                    send::carry(&engine, &options, &*sender, &webhook, access, delivery).await;
                } => {}
                () = interrupt.cancelled() => {}
            }
            post.running.lock().remove(&id);
            post.wake();
        });
    }

    /// Prunes old and excess records, a little at a time so that the database stays responsive. Here and not with other
    /// old records: an event is pruned only after its deliveries were created.
    async fn tidy(&mut self, engine: &Engine, now: OffsetDateTime) -> Result<(), Failure> {
        let Keep { events, events_bytes, events_for, .. } = self.options.keep;
        let events = Bound { since: now - events_for, most: events, bytes: events_bytes };
        engine.inner.store.event_prune(&events).await?;
        self.tidy_deliveries(engine, now).await
    }

    async fn tidy_deliveries(&mut self, engine: &Engine, now: OffsetDateTime) -> Result<(), Failure> {
        let Keep { deliveries, deliveries_bytes, deliveries_for, pending, pending_bytes, .. } = self.options.keep;
        let store = &engine.inner.store;
        self.made = 0;
        let ended = Bound { since: now - deliveries_for, most: deliveries, bytes: deliveries_bytes };
        store.delivery_prune(&ended).await?;
        let dropped = store.delivery_prune_pending(Amount { records: pending, bytes: pending_bytes }).await?;
        if dropped > 0 {
            tracing::warn!(dropped, "webhook deliveries dropped: too many are pending");
        }
        Ok(())
    }
}
