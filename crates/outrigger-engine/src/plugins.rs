//! The plugins the engine knows: a slot for each, and in it the revision that takes calls.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use foldhash::quality::RandomState;
use outrigger_contract::manifest::{FunctionOptions, Manifest, Retry};
use outrigger_contract::permission::FileAccess;
use outrigger_contract::types::Function;
use outrigger_contract::units::{Rate, Span};
use outrigger_contract::{Digest, FunctionName, Grant, Permissions, PluginName, TypeGraph};
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::account::{Account, MemoryBounds};
use crate::call::FunctionRate;
use crate::profile::{Gathered, PluginProfile};
use crate::quota::{Quotas, Writes};
use crate::runtime::LoadedRevision;
use crate::statistics::{FunctionStatistics, MEASURED, PluginCounts};
use crate::store::{PluginRecord, RevisionRecord, RevisionSummary};

/// All plugins by name. Read on every call, written when one is installed or removed.
#[derive(Debug, Default)]
pub(crate) struct PluginTable {
    slots: ArcSwap<HashMap<PluginName, Arc<Slot>, RandomState>>,
}

impl PluginTable {
    pub(crate) fn get(&self, name: &PluginName) -> Option<Arc<Slot>> {
        self.slots.load().get(name).cloned()
    }

    /// The revision of a plugin that takes calls, if there is one by now.
    pub(crate) fn active(&self, name: &PluginName) -> Option<Arc<ActiveRevision>> {
        self.slots.load().get(name)?.active.load_full()
    }

    pub(crate) fn names(&self) -> Vec<PluginName> {
        let mut names: Vec<_> = self.slots.load().keys().cloned().collect();
        names.sort();
        names
    }

    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        let mut slots: Vec<_> = self.slots.load().values().cloned().collect();
        slots.sort_by(|a, b| a.name.cmp(&b.name));
        slots
    }

    /// The same in no order: for who looks at them often.
    pub(crate) fn each(&self) -> Vec<Arc<Slot>> {
        self.slots.load().values().cloned().collect()
    }

    pub(crate) fn insert(&self, slot: Slot) -> Arc<Slot> {
        let slot = Arc::new(slot);
        self.extend([Arc::clone(&slot)]);
        slot
    }

    pub(crate) fn extend(&self, new: impl IntoIterator<Item = Arc<Slot>> + Clone) {
        self.slots.rcu(|slots| {
            let mut slots = HashMap::clone(slots);
            slots.extend(new.clone().into_iter().map(|slot| (slot.name.clone(), slot)));
            slots
        });
    }

    pub(crate) fn remove(&self, name: &PluginName) {
        self.slots.rcu(|slots| {
            let mut slots = HashMap::clone(slots);
            slots.remove(name);
            slots
        });
    }
}

/// The place of one plugin. It outlives revisions: what is counted and limited per function stays.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: PluginName,
    /// Takes calls. None while the plugin is disabled, failed, or not loaded yet.
    pub(crate) active: ArcSwapOption<ActiveRevision>,
    /// Its record in the store.
    pub(crate) record: Mutex<(PluginRecord, RevisionSummary)>,
    /// Held while the plugin changes its state; calls do not take it.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// Whether new calls wait, for another version to take over the state.
    pub(crate) held: tokio::sync::watch::Sender<bool>,
    /// Replaced revisions that still run calls.
    retired: Mutex<Vec<Weak<ActiveRevision>>>,
    functions: Mutex<HashMap<FunctionName, Lasting>>,
    pub(crate) counts: Arc<PluginCounts>,
    /// The memory account of the plugin.
    pub(crate) account: Account,
    /// The remaining write quotas of the plugin. A reload does not refill them.
    pub(crate) writes: Arc<Writes>,
    /// The account for the latencies and profiles of its functions.
    measured: Account,
}

/// The data of a function that survives a reload of its plugin.
#[derive(Clone, Debug)]
struct Lasting {
    statistics: Arc<FunctionStatistics>,
    rate: Option<Arc<FunctionRate>>,
}

impl Slot {
    pub(crate) fn new(record: PluginRecord, summary: RevisionSummary, account: Account, quotas: &Quotas) -> Self {
        Self {
            name: record.name.clone(),
            active: ArcSwapOption::empty(),
            record: Mutex::new((record, summary)),
            changing: tokio::sync::Mutex::new(()),
            held: tokio::sync::watch::Sender::new(false),
            retired: Mutex::default(),
            functions: Mutex::default(),
            counts: Arc::default(),
            account,
            writes: Arc::new(Writes::new(quotas, Instant::now())),
            measured: MEASURED.measurements(),
        }
    }

    pub(crate) fn record(&self) -> (PluginRecord, RevisionSummary) {
        self.record.lock().clone()
    }

    /// A revision takes no more calls. It is remembered for as long as somebody works with it.
    pub(crate) fn retire(&self, revision: &Arc<ActiveRevision>) {
        revision.calls.close();
        let mut retired = self.retired.lock();
        retired.retain(|former| former.strong_count() > 0);
        if !retired.iter().any(|former| std::ptr::eq(former.as_ptr(), Arc::as_ptr(revision))) {
            retired.push(Arc::downgrade(revision));
        }
    }

    /// Those that took calls before and are still there.
    pub(crate) fn retired(&self) -> Vec<Arc<ActiveRevision>> {
        self.retired.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// All revisions that may still write to the state: the one that takes calls, and those that did.
    pub(crate) fn revisions(&self) -> Vec<Arc<ActiveRevision>> {
        let mut revisions = self.retired();
        revisions.extend(self.active.load_full());
        revisions
    }

    /// The statistics of every function. Functions that only former versions had are then forgotten.
    pub(crate) fn statistics(&self) -> Vec<(FunctionName, Arc<FunctionStatistics>)> {
        let active = self.active.load();
        let mut functions = self.functions.lock();
        let all = functions.iter().map(|(name, lasting)| (name.clone(), Arc::clone(&lasting.statistics))).collect();
        // While the plugin is disabled they are kept, so that enabling it does not refill their rate limits.
        if let Some(active) = &*active {
            forget_former(&mut functions, |name| active.function(name.as_str()).is_some());
        }
        all
    }

    /// Forgets callers whose rate limits are full again.
    pub(crate) fn forget_idle_callers(&self) {
        let rates: Vec<_> = self.functions.lock().values().filter_map(|lasting| lasting.rate.clone()).collect();
        rates.iter().for_each(|rate| rate.forget_idle());
    }

    fn lasting(&self, name: &FunctionName, rate: Option<&Rate>) -> Lasting {
        let mut functions = self.functions.lock();
        let known = functions.get(name).cloned();
        let statistics = known.as_ref().map(|known| Arc::clone(&known.statistics));
        let statistics = statistics.unwrap_or_else(|| Arc::new(FunctionStatistics::new(self.measured.clone())));
        let rate = rate.map(|rate| {
            let kept = known.and_then(|known| known.rate).filter(|kept| kept.rate() == rate);
            kept.unwrap_or_else(|| Arc::new(FunctionRate::new(*rate)))
        });
        let lasting = Lasting { statistics, rate };
        functions.insert(name.clone(), lasting.clone());
        lasting
    }

    /// Combines a loaded revision with everything that a call needs. `manifest` is its own manifest with the effective
    /// limits.
    pub(crate) fn assemble(
        &self,
        record: &RevisionRecord,
        manifest: Manifest,
        granted: Grant,
        configuration: Configuration,
        loaded: Arc<dyn LoadedRevision>,
    ) -> ActiveRevision {
        self.counts.loads.fetch_add(1, Ordering::Relaxed);
        let graph = Arc::new(record.inspection.graph.clone());
        let harmless = is_harmless(&record.inspection.imports, &granted.permissions);
        let functions: Vec<_> =
            graph.functions.iter().map(|function| self.function_slot(&manifest, function, harmless)).collect();
        let by_name =
            graph.functions.iter().enumerate().map(|(index, function)| (function.name.clone(), index)).collect();
        ActiveRevision {
            digest: record.digest,
            concurrency: Semaphore::new(manifest.limits.concurrency.get() as usize),
            manifest,
            graph,
            granted,
            functions,
            by_name,
            configuration: ArcSwap::from_pointee(configuration),
            loaded,
            calls: TaskTracker::new(),
            superseded: AtomicBool::new(false),
            since: OffsetDateTime::now_utc(),
            counts: Arc::clone(&self.counts),
            account: self.account.clone(),
            writes: Arc::clone(&self.writes),
        }
    }

    fn function_slot(&self, manifest: &Manifest, function: &Function, harmless: bool) -> FunctionSlot {
        let name: FunctionName = function.name.parse().expect("names in a graph are names of functions");
        let silent = FunctionOptions::default();
        let options = manifest.functions.get(&name).unwrap_or(&silent);
        let Lasting { statistics, rate } = self.lasting(&name, options.rate_limit.as_ref());
        FunctionSlot {
            timeout: options.timeout.unwrap_or(manifest.limits.timeout).as_duration(),
            cache: options.cache.map(Span::as_duration),
            retry: options.retry,
            concurrency: options.concurrency.map(|limit| Semaphore::new(limit.get() as usize)),
            requires_auth: options.requires_auth,
            requires_admin: options.requires_admin,
            influence: Influence::of(options, harmless),
            repeatable: options.idempotent || Influence::of(options, harmless) == Influence::Reads,
            rate,
            statistics,
            profile: Gathered::new(self.measured.clone()),
        }
    }
}

/// Forgets functions that are not present and that no running revision has. The statistics of all functions are cloned
/// once elsewhere.
fn forget_former(functions: &mut HashMap<FunctionName, Lasting>, is_present: impl Fn(&FunctionName) -> bool) {
    functions.retain(|name, lasting| is_present(name) || Arc::strong_count(&lasting.statistics) > 2);
}

/// A revision that takes calls.
#[derive(Debug)]
pub struct ActiveRevision {
    pub digest: Digest,
    pub manifest: Manifest,
    pub graph: Arc<TypeGraph>,
    /// The grant of this digest.
    pub granted: Grant,
    pub(crate) functions: Vec<FunctionSlot>,
    by_name: HashMap<String, usize, RandomState>,
    pub(crate) configuration: ArcSwap<Configuration>,
    pub(crate) loaded: Arc<dyn LoadedRevision>,
    pub(crate) concurrency: Semaphore,
    /// Counts calls that run; a revision is shut down when there are none.
    pub(crate) calls: TaskTracker,
    /// The state is that of a later version: this one writes to it no more.
    superseded: AtomicBool,
    /// When it was loaded.
    since: OffsetDateTime,
    /// Those of its plugin.
    pub(crate) counts: Arc<PluginCounts>,
    /// The account of its plugin.
    account: Account,
    pub(crate) writes: Arc<Writes>,
}

/// Only now it is unloaded: a call may outlive the time in which its revision takes calls.
impl Drop for ActiveRevision {
    fn drop(&mut self) {
        self.counts.unloads.fetch_add(1, Ordering::Relaxed);
    }
}

impl ActiveRevision {
    /// Where the time of its functions' calls goes, by name; those of which nothing is known left out.
    pub(crate) fn profile(&self) -> PluginProfile {
        let mut functions: Vec<_> = self
            .graph
            .functions
            .iter()
            .zip(&self.functions)
            .filter_map(|(function, slot)| {
                slot.profile.summary(function.name.parse().expect("names in a graph are names of functions"))
            })
            .collect();
        functions.sort_by(|a, b| a.function.cmp(&b.function));
        PluginProfile { since: self.since, functions }
    }

    /// Creates the account of a call.
    pub(crate) fn call_account(&self) -> Account {
        self.account.call(MemoryBounds::call(self.manifest.limits.output.as_u64()))
    }

    pub(crate) fn function(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Says whether the state is that of a later version.
    pub(crate) fn supersede(&self, superseded: bool) {
        self.superseded.store(superseded, Ordering::SeqCst);
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::SeqCst)
    }
}

/// A plugin's configuration as the plugin gets it, secrets in the open.
#[derive(Clone, Default)]
pub(crate) struct Configuration {
    pub(crate) values: Arc<serde_json::Map<String, serde_json::Value>>,
    /// Tells it from every other one of this process. Part of the cache key of every call.
    pub(crate) number: u64,
}

impl Configuration {
    pub(crate) fn new(values: serde_json::Map<String, serde_json::Value>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        Self { values: Arc::new(values), number: NUMBER.fetch_add(1, Ordering::Relaxed) }
    }
}

impl std::fmt::Debug for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { values, number } = self;
        f.debug_struct("Configuration").field("keys", &values.keys()).field("number", number).finish()
    }
}

/// One function of an active revision: what the stages look at.
#[derive(Debug)]
pub(crate) struct FunctionSlot {
    pub(crate) timeout: Duration,
    pub(crate) cache: Option<Duration>,
    pub(crate) retry: Option<Retry>,
    pub(crate) concurrency: Option<Semaphore>,
    /// It is only called for somebody: not where Outrigger itself fires a hook.
    pub(crate) requires_auth: bool,
    pub(crate) requires_admin: bool,
    pub(crate) influence: Influence,
    /// It does no harm to call it once more.
    pub(crate) repeatable: bool,
    pub(crate) rate: Option<Arc<FunctionRate>>,
    pub(crate) statistics: Arc<FunctionStatistics>,
    /// Where the time of its calls goes.
    pub(crate) profile: Gathered,
}

/// The possible effects of a call; they decide how it is audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Influence {
    Reads,
    Changes,
    MayDestroy,
}

impl Influence {
    fn of(options: &FunctionOptions, harmless: bool) -> Self {
        match () {
            () if harmless || options.read_only => Self::Reads,
            () if options.may_destroy() => Self::MayDestroy,
            () => Self::Changes,
        }
    }
}

/// Whether a plugin can change nothing outside itself, whatever its manifest says: nothing was granted to it through which
/// it could, and it imports neither state nor other plugins, nor hooks to which others may be subscribed.
fn is_harmless(imports: &[String], granted: &Permissions) -> bool {
    let Permissions { files, environment: _, http, tcp, plugins } = granted;
    let reaches = ["outrigger:plugin/state", "outrigger:plugin/calls", "outrigger:plugin/hooks"];
    http.is_empty()
        && tcp.is_empty()
        && plugins.is_empty()
        && files.iter().all(|file| file.access() == FileAccess::Read)
        && !imports.iter().any(|import| reaches.iter().any(|interface| import.starts_with(interface)))
}

#[cfg(test)]
mod tests;
