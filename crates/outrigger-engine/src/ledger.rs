//! Statistics of all functions since their plugins were installed, as they are now. A process with exclusive access to
//! the store reads them once, and from then on adds its own increments: with thousands of functions, each with hundreds
//! of latencies, reading them for every question would take longer than the question may.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_contract::{FunctionName, PluginName};
use tokio::sync::OwnedMutexGuard;

use crate::engine::Engine;
use crate::error::Failure;
use crate::statistics::Summary;
use crate::store::StatisticsRow;

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// No other process writes to the store.
    alone: bool,
    /// All that is in the store is here.
    read: bool,
    functions: BTreeMap<(PluginName, FunctionName), Counted>,
    /// All functions together, once somebody asked for it.
    total: Option<Counted>,
}

#[derive(Clone, Debug, Default)]
struct Counted {
    counters: BTreeMap<String, u64>,
    latency_us: BTreeMap<u64, u64>,
    /// Of the above, until that changes.
    summary: Option<Summary>,
}

impl Counted {
    fn add(&mut self, counters: &BTreeMap<String, u64>, latency_us: &BTreeMap<u64, u64>) {
        for (name, value) in counters {
            let sum = self.counters.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*value);
        }
        for (bound, calls) in latency_us {
            let sum = self.latency_us.entry(*bound).or_default();
            *sum = sum.saturating_add(*calls);
        }
        self.summary = None;
    }

    fn summary(&mut self) -> Summary {
        *self.summary.get_or_insert_with(|| Summary::of(&self.counters, &self.latency_us))
    }
}

impl Ledger {
    fn add(&mut self, row: &StatisticsRow) {
        let StatisticsRow { plugin, function, counters, latency_us } = row;
        self.functions.entry((plugin.clone(), function.clone())).or_default().add(counters, latency_us);
        if let Some(total) = &mut self.total {
            total.add(counters, latency_us);
        }
    }

    fn clear(&mut self) {
        self.functions.clear();
        self.total = None;
    }
}

/// The counts of one function.
#[derive(Debug)]
pub struct FunctionCounts<'a> {
    pub plugin: &'a PluginName,
    pub function: &'a FunctionName,
    pub summary: Summary,
    /// Upper bound of a bucket in microseconds → number of calls.
    pub latency_us: &'a BTreeMap<u64, u64>,
}

/// Statistics as they are now. Nothing is added while it is held.
#[derive(Debug)]
pub struct StatisticsView(OwnedMutexGuard<Ledger>);

impl StatisticsView {
    /// The functions of plugins that may be seen, by name.
    pub fn functions(&mut self, seen: impl Fn(&PluginName) -> bool) -> impl Iterator<Item = FunctionCounts<'_>> {
        let wanted = self.0.functions.iter_mut().filter(move |((plugin, _), _)| seen(plugin));
        wanted.map(|((plugin, function), counted)| {
            let summary = counted.summary();
            FunctionCounts { plugin, function, summary, latency_us: &counted.latency_us }
        })
    }

    /// They all together.
    pub fn total(&mut self, seen: impl Fn(&PluginName) -> bool) -> Summary {
        let ledger = &mut *self.0;
        let sum = |functions: &BTreeMap<(PluginName, FunctionName), Counted>| {
            let mut total = Counted::default();
            for ((plugin, _), counted) in functions {
                if seen(plugin) {
                    total.add(&counted.counters, &counted.latency_us);
                }
            }
            total
        };
        match ledger.functions.keys().all(|(plugin, _)| seen(plugin)) {
            true => ledger.total.get_or_insert_with(|| sum(&ledger.functions)).summary(),
            false => sum(&ledger.functions).summary(),
        }
    }
}

impl Engine {
    /// From now on nobody else writes statistics to the store: for who has it to itself.
    pub async fn keep_statistics(&self) {
        self.inner.ledger.lock().await.alone = true;
    }

    /// Statistics of one plugin, or of all. A plugin that is not installed has none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn statistics(&self, name: Option<&PluginName>) -> Result<StatisticsView, Failure> {
        let mut ledger = self.inner.ledger.clone().lock_owned().await;
        self.hand_over(&mut ledger);
        if !ledger.read {
            // The read must include the increments that were just written.
            let among_it = self.inner.recorder.flush().await;
            let wanted = name.filter(|_| !ledger.alone);
            let rows = self.inner.store.statistics_list(wanted).await?;
            ledger.clear();
            rows.iter().for_each(|row| ledger.add(row));
            ledger.read = ledger.alone && among_it;
        }
        Ok(StatisticsView(ledger))
    }

    /// Hands the recorder what was counted since the last time.
    pub(crate) async fn write_statistics(&self) {
        let mut ledger = self.inner.ledger.lock().await;
        self.hand_over(&mut ledger);
    }

    /// Forgets what was counted of a plugin that is gone.
    pub(crate) async fn forget_statistics(&self, name: &PluginName) {
        let mut ledger = self.inner.ledger.lock().await;
        ledger.functions.retain(|(plugin, _), _| plugin != name);
        ledger.total = None;
    }

    /// Drops what was counted of all functions of a plugin but these.
    pub(crate) async fn retain_statistics(
        &self,
        name: &PluginName,
        functions: &BTreeSet<FunctionName>,
    ) -> Result<(), Failure> {
        let mut ledger = self.inner.ledger.lock().await;
        self.hand_over(&mut ledger);
        // What was just handed over is written first.
        self.inner.recorder.flush().await;
        self.inner.store.statistics_retain(name, functions).await?;
        ledger.functions.retain(|(plugin, function), _| plugin != name || functions.contains(function));
        ledger.total = None;
        Ok(())
    }

    /// Under the lock: what is handed over is either in the ledger or not yet read, and never both.
    fn hand_over(&self, ledger: &mut Ledger) {
        let mut rows = Vec::new();
        for slot in self.inner.plugins.all() {
            let functions = slot.statistics().into_iter();
            rows.extend(functions.filter_map(|(name, statistics)| statistics.take(&slot.name, &name)));
        }
        if rows.is_empty() {
            return;
        }
        if ledger.read {
            rows.iter().for_each(|row| ledger.add(row));
        }
        self.inner.recorder.statistics(rows);
    }
}
