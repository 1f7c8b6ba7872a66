//! Firing in the background: for what has happened, and is not to be delayed by those who are told of it.

use std::collections::VecDeque;

use outrigger_contract::HookName;
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::fire::Firing;
use crate::engine::Engine;
use crate::events::NewEvent;

/// Firings that may wait. What comes beyond is dropped, with a line in the log.
const ROOM: usize = 10_000;

/// A queue whose firings are worked off a few at once, in order. It has no task while it is empty.
#[derive(Debug)]
pub(crate) struct Lane {
    at_once: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Firing>,
    /// Tasks that work it off.
    running: usize,
}

impl Lane {
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once, state: Mutex::default() }
    }

    /// The next firing; where there is none, the task that asks ends.
    fn next(&self) -> Option<Firing> {
        let mut state = self.state.lock();
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.running -= 1;
        }
        next
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

    /// Fires a hook in the background. The engine's shutdown waits for it.
    pub(crate) fn fire_soon(&self, lane: fn(&Engine) -> &Lane, firing: Firing) {
        let mut state = lane(self).state.lock();
        if state.waiting.len() >= ROOM {
            tracing::warn!(hook = %firing.hook, "subscribers were not told: too much is waiting to be told");
            return;
        }
        state.waiting.push_back(firing);
        if state.running == lane(self).at_once {
            return;
        }
        state.running += 1;
        let engine = self.clone();
        self.inner.background.spawn(async move {
            while let Some(firing) = lane(&engine).next() {
                let hook = firing.hook.clone();
                if let Some(failure) = engine.run_hook(firing).await.failure {
                    tracing::warn!(%hook, %failure, "while subscribers were told");
                }
            }
        });
    }
}
