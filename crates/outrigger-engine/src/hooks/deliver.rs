//! Firing in the background: for what has happened, and is not to be delayed by those who are told of it. Each plugin is told on
//! a lane of its own, so that one that hangs holds up nobody else.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt as _;
use outrigger_contract::{HookName, PluginName};
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::fire::Firing;
use crate::engine::Engine;
use crate::events::NewEvent;

/// Firings that may wait for one plugin. What comes beyond is dropped, with a line in the log, and counted.
const ROOM: usize = 10_000;

/// A queue for each plugin, worked off a few firings at once, in order. It has no task while it is empty.
#[derive(Debug)]
pub(crate) struct Lanes {
    at_once: usize,
    lanes: Mutex<HashMap<PluginName, Lane>>,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Firing>,
    /// Tasks that work it off.
    running: usize,
}

impl Lanes {
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once, lanes: Mutex::default(), dropped: AtomicU64::new(0) }
    }

    /// How many firings were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Has a firing wait. Answers whether it takes one more task to work it off, which then counts as running.
    fn push(&self, plugin: &PluginName, firing: Firing) -> bool {
        let mut lanes = self.lanes.lock();
        let lane = lanes.entry(plugin.clone()).or_default();
        if lane.waiting.len() >= ROOM {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(hook = %firing.hook, %plugin, "subscribers were not told: too much is waiting to be told");
            return false;
        }
        lane.waiting.push_back(firing);
        let more = lane.running < self.at_once;
        lane.running += usize::from(more);
        more
    }

    /// The next firing; where there is none, the task that asks has left.
    fn next(&self, plugin: &PluginName) -> Option<Firing> {
        let mut lanes = self.lanes.lock();
        let next = lanes.get_mut(plugin).and_then(|lane| lane.waiting.pop_front());
        if next.is_none() {
            leave(&mut lanes, plugin);
        }
        next
    }
}

fn leave(lanes: &mut HashMap<PluginName, Lane>, plugin: &PluginName) {
    let Some(lane) = lanes.get_mut(plugin) else { return };
    lane.running = lane.running.saturating_sub(1);
    if lane.running == 0 && lane.waiting.is_empty() {
        lanes.remove(plugin);
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
            // What panics in one firing is no reason not to tell of the next.
            match AssertUnwindSafe(self.engine.run_hook(firing)).catch_unwind().await.map(|fired| fired.failure) {
                Ok(None) => {}
                Ok(Some(failure)) => tracing::warn!(%hook, %failure, "while subscribers were told"),
                Err(_) => tracing::error!(%hook, plugin = %self.plugin, "telling subscribers broke off in a panic"),
            }
        }
    }
}

impl Drop for Worker {
    /// However it ends, there is room for another one.
    fn drop(&mut self) {
        if self.counts {
            leave(&mut (self.lanes)(&self.engine).lanes.lock(), &self.plugin);
        }
    }
}

impl Engine {
    /// Writes one of Outrigger's own events into the log, and tells its subscribers. When it returns the event is there for
    /// good, so whoever is then told of what happened can count on it.
    pub(crate) async fn tell(&self, event: &str, payload: impl FnOnce() -> Json) {
        let hook: HookName = event.parse().expect("the built-in names are names");
        let event = NewEvent::now(hook, payload());
        if let Err(failure) = self.log_event(&event).await {
            // It has happened all the same, and is not undone for this.
            tracing::error!(event = %event.name, %failure, "not in the log of events");
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
        if lanes(self).push(&plugin, firing) {
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
