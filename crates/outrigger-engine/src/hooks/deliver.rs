//! Firing in the background, for events that must not be delayed by their subscribers. Each plugin has a queue of its
//! own, so a plugin that hangs delays no other.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use outrigger_contract::types::json::tree_size;
use outrigger_contract::{HookName, PluginName};
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::fire::Firing;
use crate::account::Account;
use crate::engine::Engine;
use crate::events::NewEvent;

/// Maximum number of queued firings for one plugin. Firings above this or the following limits are dropped and counted.
const ROOM: usize = 10_000;
/// Maximum size of queued firings for one plugin, in bytes.
const ROOM_BYTES: usize = 16 << 20;
/// Maximum size of queued firings for all plugins, in bytes. No plugin uses more of it than it leaves free for the
/// others.
const ROOM_BYTES_OF_ALL: usize = 64 << 20;
/// Minimum time between two log lines about a plugin. The second line has the count of firings dropped in between.
const LINE_PERIOD: Duration = Duration::from_mins(1);

/// A queue for each plugin, worked off a few firings at once, in order. It has no task while it is empty.
#[derive(Debug)]
pub(crate) struct Lanes {
    at_once: usize,
    queues: Mutex<Queues>,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queues {
    lanes: HashMap<PluginName, Lane>,
    /// The size of all queued firings.
    bytes: usize,
    drops: Drops,
}

#[derive(Debug, Default)]
struct Lane {
    /// The queued firings, each with its size.
    waiting: VecDeque<(Firing, usize)>,
    bytes: usize,
    /// Tasks that work it off.
    running: usize,
}

impl Lanes {
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once, queues: Mutex::default(), dropped: AtomicU64::new(0) }
    }

    /// How many firings were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Queues a firing, and charges it to the plugin if nobody else pays for it. Returns whether another task is
    /// needed, which then counts as running.
    fn push(&self, plugin: &PluginName, account: &Account, mut firing: Firing) -> bool {
        let bytes = size_of::<Firing>() + tree_size(&firing.payload);
        let mut queues = self.queues.lock();
        let charged = queues.has_room(plugin, bytes) && (firing.held.is_some() || charge(account, &mut firing, bytes));
        if !charged {
            let line = queues.drops.note(plugin, Instant::now());
            drop(queues);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            if let Some(dropped) = line {
                tracing::warn!(hook = %firing.hook, %plugin, dropped, "events for subscribers dropped: the queue is full");
            }
            return false;
        }
        queues.bytes += bytes;
        let lane = queues.lanes.entry(plugin.clone()).or_default();
        lane.bytes += bytes;
        lane.waiting.push_back((firing, bytes));
        let more = lane.running < self.at_once;
        lane.running += usize::from(more);
        more
    }

    /// The next firing; if there is none, the asking task has left.
    fn next(&self, plugin: &PluginName) -> Option<Firing> {
        let mut guard = self.queues.lock();
        let queues = &mut *guard;
        let lane = queues.lanes.get_mut(plugin);
        let next = lane.and_then(|lane| {
            let (firing, bytes) = lane.waiting.pop_front()?;
            lane.bytes -= bytes;
            queues.bytes -= bytes;
            Some(firing)
        });
        if next.is_none() {
            queues.leave(plugin);
        }
        next
    }
}

impl Queues {
    fn has_room(&self, plugin: &PluginName, bytes: usize) -> bool {
        let (count, present) = self.lanes.get(plugin).map_or((0, 0), |lane| (lane.waiting.len(), lane.bytes));
        let left = ROOM_BYTES_OF_ALL.saturating_sub(self.bytes + bytes);
        count < ROOM && present + bytes <= ROOM_BYTES.min(left)
    }

    fn leave(&mut self, plugin: &PluginName) {
        let Some(lane) = self.lanes.get_mut(plugin) else { return };
        lane.running = lane.running.saturating_sub(1);
        if lane.running == 0 && lane.waiting.is_empty() {
            self.lanes.remove(plugin);
        }
    }
}

/// Charges the payload of a firing while it is queued or delivered.
fn charge(account: &Account, firing: &mut Firing, bytes: usize) -> bool {
    firing.held = account.charge(bytes).ok().map(Arc::new);
    firing.held.is_some()
}

/// The firings dropped for each plugin, and when the log last reported them.
#[derive(Debug, Default)]
struct Drops(HashMap<PluginName, (Instant, u64)>);

impl Drops {
    /// Counts a dropped firing. Returns the number to log: the first at once, further ones once a minute.
    fn note(&mut self, plugin: &PluginName, now: Instant) -> Option<u64> {
        let is_over = |line: Instant| now.saturating_duration_since(line) >= LINE_PERIOD;
        let Some((line, count)) = self.0.get_mut(plugin) else {
            // Plugins without drops for a minute are forgotten. The metrics keep the totals.
            self.0.retain(|_, (line, _)| !is_over(*line));
            self.0.insert(plugin.clone(), (now, 0));
            return Some(1);
        };
        *count += 1;
        if !is_over(*line) {
            return None;
        }
        *line = now;
        Some(std::mem::take(count))
    }
}

/// A task that works off the lane of a plugin.
struct Worker {
    engine: Engine,
    lanes: fn(&Engine) -> &Lanes,
    plugin: PluginName,
    /// It counts as running.
    counts: bool,
}

impl Worker {
    fn next(&mut self) -> Option<Firing> {
        let next = (self.lanes)(&self.engine).next(&self.plugin);
        self.counts = next.is_some();
        next
    }

    async fn run(mut self) {
        while let Some(firing) = self.next() {
            let hook = firing.hook.clone();
            // A panic in one firing must not stop the next one.
            match AssertUnwindSafe(self.engine.run_hook(firing)).catch_unwind().await.map(|fired| fired.failure) {
                Ok(None) => {}
                Ok(Some(failure)) => tracing::warn!(%hook, %failure, "failed to notify subscribers"),
                Err(_) => tracing::error!(%hook, plugin = %self.plugin, "delivering a hook to subscribers panicked"),
            }
        }
    }
}

impl Drop for Worker {
    /// However it ends, there is room for another one.
    fn drop(&mut self) {
        if self.counts {
            (self.lanes)(&self.engine).queues.lock().leave(&self.plugin);
        }
    }
}

impl Engine {
    /// Writes one of Outrigger's own events into the log, and notifies its subscribers. When it returns, the event is
    /// durable, so a caller that reports success can rely on it.
    pub(crate) async fn tell(&self, event: &str, payload: impl FnOnce() -> Json) {
        let hook: HookName = event.parse().expect("the built-in names are names");
        let event = NewEvent::now(hook, payload());
        if let Err(failure) = self.log_event(&event).await {
            // It has happened all the same, and is not undone for this.
            tracing::error!(event = %event.name, %failure, "failed to write an event to the event log");
        }
        self.tell_subscribers(event);
    }

    /// Tells the subscribers of an event that is in the log.
    pub(crate) fn tell_subscribers(&self, event: NewEvent) {
        if !self.inner.hooks.subscribers(&event.name).is_empty() {
            let firing = Firing { correlation: event.correlation, ..Firing::new(event.name, event.payload) };
            self.fire_soon(|engine| &engine.inner.hooks.events, firing);
        }
    }

    /// Fires a hook in the background, for each plugin by itself. The engine's shutdown waits for it.
    pub(crate) fn fire_soon(&self, lanes: fn(&Engine) -> &Lanes, firing: Firing) {
        let mut plugins: Vec<PluginName> = Vec::new();
        for subscriber in &*self.inner.hooks.subscribers(&firing.hook) {
            let plugin = &subscriber.subscription.function.plugin;
            if !plugins.contains(plugin) {
                plugins.push(plugin.clone());
            }
        }
        let Some(last) = plugins.pop() else { return };
        for plugin in plugins {
            self.fire_soon_at(lanes, plugin, firing.clone());
        }
        self.fire_soon_at(lanes, last, firing);
    }

    fn fire_soon_at(&self, lanes: fn(&Engine) -> &Lanes, plugin: PluginName, firing: Firing) {
        let firing = Firing { only: Some(plugin.clone()), ..firing };
        if lanes(self).push(&plugin, &self.inner.accounts.of(&plugin), firing) {
            let worker = Worker { engine: self.clone(), lanes, plugin, counts: true };
            self.inner.background.spawn(worker.run());
        }
    }

    /// How many firings of hooks in the background were dropped since the start, because too many waited.
    #[must_use]
    pub fn dropped_firings(&self) -> u64 {
        let hooks = &self.inner.hooks;
        hooks.events.dropped() + hooks.calls.dropped()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::account::MemoryBounds;

    fn firing(bytes: usize) -> Firing {
        Firing::new("demo.happened".parse().unwrap(), json!({"text": "x".repeat(bytes)}))
    }

    fn plugin(number: usize) -> PluginName {
        format!("plugin_{number}").parse().unwrap()
    }

    /// The number of firings of this size that fit into a plugin's queue.
    fn filled(lanes: &Lanes, plugin: &PluginName, bytes: usize) -> usize {
        let (before, account) = (lanes.dropped(), Account::default());
        let pushed = (0..).take_while(|_| {
            lanes.push(plugin, &account, firing(bytes));
            lanes.dropped() == before
        });
        pushed.count()
    }

    #[test]
    fn s06_what_waits_for_a_plugin_is_bounded_in_bytes() {
        let (lanes, slow) = (Lanes::new(1), plugin(0));
        let waiting = filled(&lanes, &slow, 60_000);
        assert!((270..280).contains(&waiting), "{waiting} firings of 60 kB wait in 16 MiB");
        assert_eq!(filled(&lanes, &slow, 60_000), 0, "and no more");
        assert!(filled(&lanes, &plugin(1), 60_000) > 200, "others have room");
        for _ in 0..waiting {
            assert!(lanes.next(&slow).is_some());
        }
        assert!(lanes.next(&slow).is_none(), "and its task has left");
        assert_eq!(filled(&lanes, &slow, 60_000), waiting, "what was told gives its room back");
    }

    #[test]
    fn s06_what_waits_for_all_plugins_is_bounded_and_some_is_left() {
        let lanes = Lanes::new(1);
        let waiting: Vec<_> = (0..50).map(|number| filled(&lanes, &plugin(number), 60_000)).collect();
        assert!(lanes.queues.lock().bytes <= ROOM_BYTES_OF_ALL);
        assert_eq!(waiting[..2], [waiting[0]; 2], "{waiting:?}");
        assert!(waiting[5] > 0, "{waiting:?}");
        assert!(filled(&lanes, &plugin(50), 100) > 0, "there is always room for a small one");
        assert!(!lanes.queues.lock().lanes.contains_key(&plugin(49)), "what found no room leaves nothing");
    }

    #[test]
    fn s06_what_waits_is_charged_to_the_plugin() {
        let (lanes, all) = (Lanes::new(1), Account::all(32 << 20));
        let account = all.plugin(MemoryBounds::OWN);
        for _ in 0..1_000 {
            lanes.push(&plugin(0), &account, firing(60_000));
        }
        let waiting = 1_000 - lanes.dropped();
        assert!((60..70).contains(&waiting), "{waiting} of 60 kB wait in 4 MiB");
        assert!(account.held() > waiting * 60_000);
        while lanes.next(&plugin(0)).is_some() {}
        assert_eq!((account.held(), lanes.queues.lock().bytes), (0, 0));
    }

    #[test]
    fn s06_drops_have_one_line_a_plugin_and_minute() {
        let (mut drops, start) = (Drops::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let lines: Vec<_> = (0..600).filter_map(|tenths| drops.note(&plugin(0), at(tenths / 10))).collect();
        assert_eq!(lines, [1]);
        assert_eq!(drops.note(&plugin(1), at(30)), Some(1), "others have their own");
        assert_eq!(drops.note(&plugin(0), at(60)), Some(600));
        assert_eq!(drops.note(&plugin(0), at(61)), None);
        assert_eq!(drops.note(&plugin(2), at(500)), Some(1));
        assert_eq!(drops.0.len(), 1, "who was quiet for a minute is forgotten");
    }
}
