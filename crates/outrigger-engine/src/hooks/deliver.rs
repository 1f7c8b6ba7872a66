//! Firing in the background: for what has happened, and is not to be delayed by those who are told of it.

use std::collections::VecDeque;

use outrigger_contract::HookName;
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::fire::Firing;
use crate::engine::Engine;

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
    /// Tells the subscribers of one of Outrigger's own events. What it carries is only made where there are any.
    pub(crate) fn tell(&self, event: &str, payload: impl FnOnce() -> Json) {
        let hook: HookName = event.parse().expect("the built-in names are names");
        if !self.inner.hooks.subscribers(&hook).is_empty() {
            self.fire_soon(|engine| &engine.inner.hooks.events, Firing::new(hook, payload()));
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
