//! Watches over plugins: `HealthOptions → Engine::start_health → Engine::shutdown`. Only who has the data directory to itself
//! does.
//!
//! It looks on a period at what is loaded, and at what is in trouble, and has each looked after when its time has come. A
//! plugin that nobody called is neither: it is not loaded for a check, and costs a glance. Checks take no permit, no rate and
//! no lock that calls take.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use outrigger_contract::PluginName;
use outrigger_contract::manifest::HealthPolicy;
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::act::Visit;
use super::machine::{self, Moment};
use super::{HealthRecord, HealthView};
use crate::engine::{Engine, Inner};
use crate::error::Failure;
use crate::jobs::Clock;
use crate::plugins::Slot;

/// Options of a monitor.
#[derive(Clone, Debug)]
pub struct HealthOptions {
    /// Checks at once. Of slow checks, and of restarts, half as many run beside them.
    pub parallel: usize,
    /// How often it looks what is due.
    pub period: Duration,
    pub clock: Clock,
    pub jitter: Jitter,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self { parallel: 4, period: Duration::from_secs(1), clock: Clock::default(), jitter: Jitter::default() }
    }
}

/// Draws a number from 0 to 1.
#[derive(Clone)]
pub struct Jitter(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Jitter {
    /// A lot of one's own.
    pub fn new(draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    fn draw(&self) -> f64 {
        (self.0)()
    }
}

impl Default for Jitter {
    /// Nothing depends on it being hard to guess.
    fn default() -> Self {
        let (hasher, drawn) = (RandomState::new(), AtomicU64::new(0));
        Self::new(move || {
            let hash = hasher.hash_one(drawn.fetch_add(1, Ordering::Relaxed));
            f64::from(u32::try_from(hash >> 32).unwrap_or_default()) / f64::from(u32::MAX)
        })
    }
}

impl Debug for Jitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jitter")
    }
}

/// The engine's handle to its monitor.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Set once it runs.
    options: OnceLock<HealthOptions>,
    charts: Mutex<HashMap<PluginName, Chart>>,
    /// Plugins that could not be brought up for a call, and are to be looked at although they are not loaded.
    suspects: Mutex<HashSet<PluginName>>,
    /// Held from reading a record to writing it.
    pub(super) writing: tokio::sync::Mutex<()>,
    wake: Notify,
    tasks: TaskTracker,
    stop: CancellationToken,
    eras: AtomicU64,
}

/// One plugin.
#[derive(Debug)]
struct Chart {
    record: HealthRecord,
    next_check: Option<OffsetDateTime>,
    /// A check took longer than [`QUICK`]. Such a plugin waits only for others of its kind, until it is removed or the
    /// server restarts.
    is_slow: bool,
    /// It is being looked after just now.
    busy: bool,
    /// Another one once the plugin begins anew. What was found in an earlier one says nothing about this one.
    era: u64,
}

/// The time that a plugin's check may take before the plugin counts as slow. Many plugins with checks that hang must
/// not delay the checks of others.
pub(super) const QUICK: Duration = Duration::from_secs(1);

/// A due action for a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Check,
    /// A check of a slow plugin.
    SlowCheck,
    Restart,
}

impl Watch {
    /// Whether a monitor runs in this process.
    pub(super) fn runs(&self) -> bool {
        self.options.get().is_some()
    }

    /// Now, with a number drawn by lot.
    pub(super) fn moment(&self) -> Moment {
        match self.options.get() {
            Some(options) => Moment { now: options.clock.now(), jitter: options.jitter.draw() },
            None => Moment { now: OffsetDateTime::now_utc(), jitter: 0.0 },
        }
    }

    /// A plugin could not be brought up for a call.
    pub(crate) fn suspect(&self, name: &PluginName) {
        if self.runs() && self.suspects.lock().insert(name.clone()) {
            self.wake.notify_one();
        }
    }

    /// A plugin is gone.
    pub(crate) fn forget(&self, name: &PluginName) {
        self.charts.lock().remove(name);
        self.suspects.lock().remove(name);
    }

    /// Starts a new era: results of checks that are already running are ignored.
    pub(super) fn begin_era(&self, name: &PluginName) {
        if let Some(chart) = self.charts.lock().get_mut(name) {
            chart.era = self.eras.fetch_add(1, Ordering::Relaxed);
            chart.next_check = None;
        }
    }

    pub(crate) fn is_era(&self, name: &PluginName, era: u64) -> bool {
        self.charts.lock().get(name).is_some_and(|chart| chart.era == era)
    }

    pub(super) fn record(&self, name: &PluginName) -> Option<HealthRecord> {
        self.charts.lock().get(name).map(|chart| chart.record.clone())
    }

    /// The record, where the era is still the same.
    pub(super) fn record_of(&self, name: &PluginName, era: u64) -> Option<HealthRecord> {
        let charts = self.charts.lock();
        charts.get(name).filter(|chart| chart.era == era).map(|chart| chart.record.clone())
    }

    pub(super) fn put(&self, record: HealthRecord) {
        if let Some(chart) = self.charts.lock().get_mut(&record.plugin) {
            chart.record = record;
        }
    }

    /// Says when a plugin is next checked, unless it begins anew meanwhile.
    pub(super) fn plan(&self, name: &PluginName, era: u64, next_check: OffsetDateTime) {
        if let Some(chart) = self.charts.lock().get_mut(name).filter(|chart| chart.era == era) {
            chart.next_check = Some(next_check);
        }
    }

    /// A check of the plugin was not quick.
    pub(super) fn slow_down(&self, name: &PluginName) {
        if let Some(chart) = self.charts.lock().get_mut(name) {
            chart.is_slow = true;
        }
    }

    pub(super) fn is_slow(&self, name: &PluginName) -> bool {
        self.charts.lock().get(name).is_some_and(|chart| chart.is_slow)
    }

    /// All that is known, by name; none where no monitor runs.
    pub(super) fn views(&self) -> Option<HashMap<PluginName, HealthView>> {
        self.runs().then(|| {
            let charts = self.charts.lock();
            let view = |chart: &Chart| HealthView { record: chart.record.clone(), next_check: chart.next_check };
            charts.iter().map(|(name, chart)| (name.clone(), view(chart))).collect()
        })
    }

    /// Begins nothing more, lets go of checks, and waits for restarts.
    pub(crate) async fn shutdown(&self, drain: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(drain, self.tasks.wait()).await.is_err() {
            tracing::warn!("a plugin was still being restarted at shutdown");
        }
    }

    pub(super) fn stopped(&self) -> impl Future<Output = ()> + '_ {
        self.stop.cancelled()
    }

    fn chart(&self, record: HealthRecord) -> Chart {
        Chart { record, next_check: None, is_slow: false, busy: false, era: self.eras.fetch_add(1, Ordering::Relaxed) }
    }

    /// Whether a plugin that is not loaded is to be looked at all the same.
    fn in_trouble(&self, name: &PluginName) -> bool {
        self.suspects.lock().contains(name)
            || self.charts.lock().get(name).is_some_and(|chart| chart.record.standing.is_troubled())
    }

    /// Pauses the checks of a plugin.
    fn rest(&self, name: &PluginName) {
        self.suspects.lock().remove(name);
        if let Some(chart) = self.charts.lock().get_mut(name).filter(|chart| !chart.busy) {
            chart.next_check = None;
        }
    }

    /// The due action for a plugin, which is marked busy, with the era in which it became due.
    fn take_due(&self, name: &PluginName, policy: &HealthPolicy, at: Moment) -> Option<(Due, u64)> {
        let suspected = self.suspects.lock().remove(name);
        let mut charts = self.charts.lock();
        let fresh = || self.chart(HealthRecord::new(name.clone()));
        let chart = charts.entry(name.clone()).or_insert_with(fresh);
        let first = || if suspected { at.now } else { machine::first_check(policy, at) };
        let next_check = *chart.next_check.get_or_insert_with(first);
        let restart = chart.record.standing.restart_at.is_some_and(|restart_at| restart_at <= at.now);
        let due = match restart {
            _ if chart.busy => None,
            true => Some(Due::Restart),
            false if next_check > at.now => None,
            false => Some(if chart.is_slow { Due::SlowCheck } else { Due::Check }),
        };
        if due.is_some() {
            // Until it is known when the next one is, it is this one.
            (chart.busy, chart.next_check) = (true, Some(next_check.min(at.now)));
        }
        due.map(|due| (due, chart.era))
    }
}

/// A plugin that is being looked after; no longer when this is dropped.
struct Busy<'a> {
    watch: &'a Watch,
    name: &'a PluginName,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if let Some(chart) = self.watch.charts.lock().get_mut(self.name) {
            chart.busy = false;
        }
    }
}

impl Engine {
    /// Watches over plugins from now on, with what is known of them from earlier. Only for who has the store to itself, and
    /// once.
    ///
    /// # Errors
    /// The store failed.
    pub async fn start_health(&self, options: HealthOptions) -> Result<(), Failure> {
        let watch = &self.inner.health;
        for record in self.inner.store.health_list().await? {
            let chart = watch.chart(record);
            watch.charts.lock().insert(chart.record.plugin.clone(), chart);
        }
        let rooms = Rooms::new(options.parallel);
        let monitor = Monitor { engine: Arc::downgrade(&self.inner), period: options.period, rooms };
        if watch.options.set(options).is_ok() {
            watch.tasks.spawn(monitor.run(watch.stop.clone()));
        }
        Ok(())
    }
}

struct Monitor {
    /// Weak, so that an engine that is dropped is gone.
    engine: Weak<Inner>,
    period: Duration,
    rooms: Rooms,
}

/// How many actions of each kind run at once. No kind waits for another.
struct Rooms {
    checks: Arc<Semaphore>,
    slow_checks: Arc<Semaphore>,
    restarts: Arc<Semaphore>,
}

impl Rooms {
    fn new(parallel: usize) -> Self {
        let room = |places: usize| Arc::new(Semaphore::new(places.max(1)));
        Self { checks: room(parallel), slow_checks: room(parallel / 2), restarts: room(parallel / 2) }
    }

    fn of(&self, due: Due) -> Arc<Semaphore> {
        Arc::clone(match due {
            Due::Check => &self.checks,
            Due::SlowCheck => &self.slow_checks,
            Due::Restart => &self.restarts,
        })
    }
}

impl Monitor {
    async fn run(self, stop: CancellationToken) {
        loop {
            let Some(inner) = self.engine.upgrade() else { return };
            let engine = Engine { inner };
            self.turn(&engine).await;
            let watch = Arc::clone(&engine.inner.health);
            drop(engine);
            tokio::select! {
                () = stop.cancelled() => return,
                () = watch.wake.notified() => {}
                () = tokio::time::sleep(self.period) => {}
            }
        }
    }

    async fn turn(&self, engine: &Engine) {
        let watch = &engine.inner.health;
        for slot in engine.inner.plugins.each() {
            let enabled = slot.record.lock().0.state.is_enabled();
            if !enabled || (slot.active.load().is_none() && !watch.in_trouble(&slot.name)) {
                watch.rest(&slot.name);
                continue;
            }
            let policy = match engine.health_policy(&slot).await {
                Ok(policy) => policy,
                Err(failure) => {
                    tracing::error!(plugin = %slot.name, %failure, "the health settings of the plugin cannot be read");
                    continue;
                }
            };
            if let Some((due, era)) = watch.take_due(&slot.name, &policy, watch.moment()) {
                self.begin(engine, slot, policy, due, era);
            }
        }
    }

    /// Has a plugin looked after, where there is room.
    fn begin(&self, engine: &Engine, slot: Arc<Slot>, policy: HealthPolicy, due: Due, era: u64) {
        let (engine, room) = (engine.clone(), self.rooms.of(due));
        let watch = Arc::clone(&engine.inner.health);
        watch.tasks.clone().spawn(async move {
            let _busy = Busy { watch: &watch, name: &slot.name };
            let Ok(_permit) = room.acquire().await else { return };
            if watch.stop.is_cancelled() {
                return;
            }
            Visit { engine: &engine, slot: &slot, policy: &policy, era }.pay(due).await;
        });
    }
}
