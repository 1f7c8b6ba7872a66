//! Sends deliveries: `WebhookOptions → Engine::start_webhooks → Engine::shutdown`. Only a process with exclusive access
//! to the data directory does.
//!
//! As with jobs, it compares the present with the desired state, when it is signalled and periodically: the log of
//! events is read from the last position, events become deliveries, and due deliveries are sent if there is room. A
//! delivery that is being sent is `pending` in the store until its end is written, so a process that dies leaves it to
//! the next one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use outrigger_contract::address::Network;
use outrigger_contract::permission::HostAccess;
use outrigger_contract::{Code, WebhookName};
use parking_lot::Mutex;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::machine::{self, Outcome, Patience, Standing, Transition};
use super::secret::Secrets;
use super::{
    DeliveryId, DeliveryRecord, DeliveryState, Posting, Reply, SecretText, Sender, WebhookRecord, next_id, signature,
};
use crate::access::Right;
use crate::call::Caller;
use crate::engine::{Engine, Inner};
use crate::error::Failure;
use crate::events::{EventId, EventRecord};
use crate::hooks::spec;
use crate::jobs::{Callers, Clock, Owner};
use crate::store::{Amount, Bound, ROW_BYTES};

/// Events that are gone through at once.
const PAGE: u32 = 200;
/// How long to wait before a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// The number of deliveries that are abandoned in one transaction.
const AT_ONCE: u32 = 1_000;
/// When this many bytes of events or deliveries were written, pruning runs early.
const WRITTEN_AT_MOST: u64 = 4 << 20;
/// Maximum size of the deliveries that are created at once, in bytes. All deliveries of one event are always created
/// together.
const MADE_AT_ONCE: u64 = 1 << 20;

/// What sending takes.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// Deliveries at once.
    pub parallel: usize,
    /// Of them, at one webhook.
    pub per_webhook: usize,
    /// Of them, at all webhooks of one key.
    pub per_owner: usize,
    /// How often it looks by itself.
    pub period: Duration,
    /// How long one attempt may take, from the name to the answer.
    pub timeout: Duration,
    /// How long deliveries being sent can take at shutdown.
    pub drain: Duration,
    pub patience: Patience,
    pub keep: Keep,
    /// Private networks that all webhooks may reach.
    pub networks: Arc<[Network]>,
    pub clock: Clock,
    pub chance: Chance,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Events in the log, at most,
    pub events: u64,
    /// and bytes of them,
    pub events_bytes: u64,
    /// and for how long. Above these limits, the plugins with the most events are pruned first.
    pub events_for: Duration,
    /// Deliveries that have ended, dead letters too, at most,
    pub deliveries: u64,
    /// and bytes of them,
    pub deliveries_bytes: u64,
    /// and for how long.
    pub deliveries_for: Duration,
    /// Maximum number of pending deliveries.
    pub pending: u64,
    /// Maximum size of pending deliveries, in bytes. Above a limit, the oldest deliveries of the owners with the most
    /// are dropped.
    pub pending_bytes: u64,
    /// How often old or excess records are pruned.
    pub period: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        const DAY: u64 = 24;
        Self {
            events: 50_000,
            events_bytes: 24 << 20,
            events_for: Duration::from_hours(14 * DAY),
            deliveries: 100_000,
            deliveries_bytes: 32 << 20,
            deliveries_for: Duration::from_hours(14 * DAY),
            pending: 100_000,
            pending_bytes: 64 << 20,
            period: Duration::from_mins(1),
        }
    }
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            parallel: 32,
            per_webhook: 4,
            per_owner: 8,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            patience: Patience::default(),
            keep: Keep::default(),
            networks: Arc::default(),
            clock: Clock::default(),
            chance: Chance::default(),
        }
    }
}

/// Numbers between 0 and 1.
#[derive(Clone)]
pub struct Chance(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Chance {
    /// Numbers of one's own.
    pub fn new(draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    fn draw(&self) -> f64 {
        (self.0)()
    }
}

impl Default for Chance {
    /// Drawn by the system; a half each time where it gives no random numbers.
    fn default() -> Self {
        Self::new(|| getrandom::u32().map_or(0.5, |drawn| f64::from(drawn) / f64::from(u32::MAX)))
    }
}

impl std::fmt::Debug for Chance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chance")
    }
}

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
        created_at: now,
        ended_at: None,
        body: body(event),
    }
}

/// The body: the members that Standard Webhooks defines, and Outrigger's own.
fn body(event: &EventRecord) -> String {
    let EventRecord { id, at, name, payload, correlation, plugin, caller } = event;
    let body = json!({
        "type": name,
        "timestamp": at.format(&Rfc3339).unwrap_or_default(),
        "data": payload,
        "event": id.to_string(),
        "plugin": plugin,
        "caller": caller,
        "correlation": correlation.to_string(),
    });
    body.to_string()
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
                    let access = access(&*callers, &webhook, &delivery).await;
                    carry(&engine, &options, &*sender, &webhook, access, delivery).await;
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

/// The addresses that a delivery of this webhook may reach now, including private ones while the key that opened them
/// keeps the right. An error with the reason if the key that last changed the webhook is not allowed to see the event.
async fn access(
    callers: &dyn Callers,
    webhook: &WebhookRecord,
    delivery: &DeliveryRecord,
) -> Result<HostAccess, String> {
    if let Some(owner) = webhook.set_by.as_ref().filter(|_| delivery.event.is_some()) {
        let event = delivery.name.as_str();
        if !may(callers, owner, Right::EVENT_VIEW, event).await {
            return Err(format!(
                "the {} that last changed the webhook is no longer allowed to see `{event}`; update the webhook",
                owner.name
            ));
        }
    }
    let Some(owner) = webhook.opened_by.as_ref().filter(|_| webhook.allow_private_network) else {
        return Ok(HostAccess::PublicOnly);
    };
    if may(callers, owner, Right::NETWORK_OPEN, webhook.name.as_str()).await {
        return Ok(HostAccess::AlsoPrivate);
    }
    tracing::debug!(webhook = %webhook.name, "the key that opened private networks no longer has the right");
    Ok(HostAccess::PublicOnly)
}

/// Whether an owner has a right now: its key may be revoked, or have other roles.
async fn may(callers: &dyn Callers, owner: &Owner, right: Right, name: &str) -> bool {
    match callers.caller(owner).await {
        Ok(Caller::Local) => true,
        Ok(Caller::Key(principal)) => principal.may(right, name),
        Ok(_) | Err(_) => false,
    }
}

/// Makes one attempt, and writes down what came of it.
async fn carry(
    engine: &Engine,
    options: &WebhookOptions,
    sender: &dyn Sender,
    webhook: &WebhookRecord,
    access: Result<HostAccess, String>,
    mut delivery: DeliveryRecord,
) {
    let (answer, outcome) = attempt(engine, options, sender, webhook, access, &delivery).await;
    let now = options.clock.now();
    let before = delivery.attempts;
    delivery.attempts += 1;
    let standing = Standing { attempts: delivery.attempts, failing_since: webhook.failing_since };
    let transition = machine::advance(standing, &outcome, &options.patience, now, options.chance.draw());
    delivery.state = transition.state;
    delivery.next_at = transition.next_at.unwrap_or(now);
    delivery.ended_at = (transition.state != DeliveryState::Pending).then_some(now);
    (delivery.status, delivery.error) = match answer {
        Ok(status) if outcome == Outcome::Accepted => (Some(status), None),
        Ok(status) => (Some(status), Some(format!("the receiver answered {status}"))),
        Err(error) => (None, Some(error)),
    };
    let (id, name, state) = (delivery.id, &webhook.name, delivery.state);
    let told = delivery.error.as_deref().unwrap_or("it has it");
    tracing::debug!(delivery = %id, webhook = %name, %state, attempts = delivery.attempts, told, "a delivery was sent");
    // Until it is written nothing else sends it; a process that ends before leaves it to be sent again. One that was removed or
    // abandoned meanwhile stays so.
    while let Err(error) = engine.inner.store.delivery_put(&delivery, before).await {
        tracing::error!(%error, delivery = %id, "failed to record the end of a delivery");
        tokio::time::sleep(AGAIN).await;
    }
    if let Err(failure) = note(engine, webhook, transition).await {
        tracing::error!(%failure, webhook = %name, "failed to record the state of a webhook");
    }
}

/// Signs and sends a delivery. Returns the status, or the reason why there is none, and what that means.
async fn attempt(
    engine: &Engine,
    options: &WebhookOptions,
    sender: &dyn Sender,
    webhook: &WebhookRecord,
    access: Result<HostAccess, String>,
    delivery: &DeliveryRecord,
) -> (Result<u16, String>, Outcome) {
    let failed = |why: String| (Err(why), Outcome::Failed { retry_after: None });
    let posting = |access| posting(engine, options, webhook, access, delivery).map_err(|failure| failure.message);
    let request = match access.and_then(posting) {
        Ok(request) => request,
        Err(why) => return failed(why),
    };
    match tokio::time::timeout(options.timeout, sender.send(request)).await {
        Ok(Ok(Reply { status, .. })) if (200..300).contains(&status) => (Ok(status), Outcome::Accepted),
        Ok(Ok(Reply { status: 410, .. })) => (Ok(410), Outcome::Gone),
        Ok(Ok(Reply { status, retry_after })) => (Ok(status), Outcome::Failed { retry_after }),
        Ok(Err(why)) => failed(why),
        Err(_) => failed(format!("there was no answer within {:?}", options.timeout)),
    }
}

fn posting(
    engine: &Engine,
    options: &WebhookOptions,
    webhook: &WebhookRecord,
    access: HostAccess,
    delivery: &DeliveryRecord,
) -> Result<Posting, Failure> {
    let now = options.clock.now();
    let secrets = Secrets::open(&*engine.inner.vault, webhook)?;
    let (id, timestamp) = (delivery.id.to_string(), now.unix_timestamp());
    let signatures: Vec<_> =
        secrets.signing(now).filter_map(|secret| signature::sign(secret, &id, timestamp, &delivery.body)).collect();
    let mut headers: Vec<(String, SecretText)> = secrets.headers.into_iter().collect();
    let own = [
        ("content-type", "application/json".to_owned()),
        ("user-agent", concat!("outrigger/", env!("CARGO_PKG_VERSION")).to_owned()),
        ("webhook-id", id),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ];
    // One that was set may be there already, as `User-Agent`.
    let set: Vec<_> = headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let own = own.into_iter().filter(|(name, _)| !set.iter().any(|set| set == name));
    headers.extend(own.map(|(name, value)| (name.to_owned(), SecretText::new(value))));
    let networks = if webhook.allow_private_network { Arc::clone(&options.networks) } else { Arc::default() };
    let (url, account, body) = (webhook.url.clone(), webhook.account().to_owned(), delivery.body.clone());
    Ok(Posting { url, access, networks, account, headers, body })
}

/// Writes down how a webhook does, where that has changed; switches it off where it is to be.
async fn note(engine: &Engine, webhook: &WebhookRecord, transition: Transition) -> Result<(), Failure> {
    let Transition { failing_since, switch_off, .. } = transition;
    if failing_since.is_some() == webhook.failing_since.is_some() && switch_off.is_none() {
        return Ok(());
    }
    // Of several attempts that fail at once, one switches it off.
    let switched = AtomicBool::new(false);
    let changed = engine.webhook_change(&webhook.name, |present| {
        switched.store(false, Ordering::Relaxed);
        // It may be another address by now.
        if present.url == webhook.url {
            present.failing_since = failing_since.and(present.failing_since.or(failing_since));
            if let (Some(reason), true) = (&switch_off, present.enabled) {
                (present.enabled, present.reason) = (false, Some(reason.clone()));
                switched.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    });
    match changed.await {
        Ok(_) => {}
        // It was removed.
        Err(failure) if failure.code == Code::NotFound => return Ok(()),
        Err(failure) => return Err(failure),
    }
    if let (Some(reason), true) = (switch_off, switched.into_inner()) {
        tracing::warn!(webhook = %webhook.name, reason, "a webhook was switched off");
        engine.tell(spec::WEBHOOK_DISABLED, || json!({"webhook": webhook.name, "reason": reason})).await;
    }
    Ok(())
}
