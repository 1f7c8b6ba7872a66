//! The engine: its parts, and how it starts and stops.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::{Ceiling, Code, Digest, PluginName};
use tokio_util::task::TaskTracker;

use crate::account::{Account, Accounts, MemoryBounds};
use crate::audit::AuditEntry;
use crate::call::AnswerCache;
use crate::configuration::{NoOverrides, Overrides};
use crate::error::Failure;
use crate::events::Events;
use crate::health::Watch;
use crate::hooks::Hooks;
use crate::jobs::Desk;
use crate::ledger::Ledger;
use crate::plugins::{ActiveRevision, PluginTable, Slot};
use crate::profile::PluginProfile;
use crate::quota::{CallerWrites, Quotas, Writes};
use crate::recorder::{Counted, Recorder, RunSampling};
use crate::retention::Written;
use crate::runtime::Runtime;
use crate::statistics::PluginCounters;
use crate::store::{PluginRecord, RevisionSummary, Store};
use crate::trace::Tracer;
use crate::vault::{NoVault, Vault};
use crate::webhooks::PostOffice;

/// Options of an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The folder that holds the unpacked packages, each in a folder named by its digest in hexadecimal.
    pub packages: PathBuf,
    /// The operator's ceiling, which also lowers existing grants.
    pub ceiling: Ceiling,
    /// Bytes of answers kept.
    pub cache_capacity: u64,
    /// The memory limits for plugins.
    pub memory: MemoryBounds,
    /// How long calls that run may take to finish when their plugin is disabled, replaced or removed.
    pub drain: Duration,
    /// How long calls of a plugin may be kept waiting while another version takes over its state.
    pub hold: Duration,
    /// How often statistics are written to the store.
    pub statistics_interval: Duration,
    /// The write quotas of each plugin and each key, per minute.
    pub quotas: Quotas,
    /// Rates up to which runs are stored individually.
    pub runs: RunSampling,
}

impl EngineOptions {
    /// The defaults, for packages in this folder.
    #[must_use]
    pub fn new(packages: PathBuf) -> Self {
        Self {
            packages,
            ceiling: Ceiling::default(),
            cache_capacity: 64 << 20,
            memory: MemoryBounds::default(),
            drain: Duration::from_secs(60),
            hold: Duration::from_secs(10),
            statistics_interval: Duration::from_secs(5),
            quotas: Quotas::DEFAULT,
            runs: RunSampling::DEFAULT,
        }
    }

    /// The folder of one package.
    #[must_use]
    pub fn package(&self, digest: &Digest) -> PathBuf {
        self.packages.join(digest.hex())
    }
}

/// The engine. A cheap handle; all of them are the same engine.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) options: EngineOptions,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) overrides: Arc<dyn Overrides>,
    pub(crate) tracer: Option<Arc<dyn Tracer>>,
    pub(crate) plugins: PluginTable,
    pub(crate) accounts: Accounts,
    pub(crate) cache: AnswerCache,
    pub(crate) recorder: Recorder,
    pub(crate) ledger: Arc<tokio::sync::Mutex<Ledger>>,
    pub(crate) hooks: Hooks,
    pub(crate) jobs: Arc<Desk>,
    pub(crate) events: Events,
    pub(crate) post: Arc<PostOffice>,
    pub(crate) health: Arc<Watch>,
    /// The remaining write quotas of keys.
    pub(crate) caller_writes: CallerWrites,
    /// Bytes written to the store since it was last pruned.
    pub(crate) written: Arc<Written>,
    /// Revisions that were replaced and are being shut down.
    pub(crate) background: TaskTracker,
}

/// The implementations that the engine depends on.
#[derive(Clone, Debug)]
pub struct Backends {
    pub store: Arc<dyn Store>,
    pub runtime: Arc<dyn Runtime>,
    /// Holds the keys of secrets.
    pub vault: Arc<dyn Vault>,
    /// Knows what overrides the stored configuration.
    pub overrides: Arc<dyn Overrides>,
    /// Keeps traces of calls; none where nobody does.
    pub tracer: Option<Arc<dyn Tracer>>,
}

impl Engine {
    /// Starts without secrets, overrides and traces.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn start(
        options: EngineOptions,
        store: Arc<dyn Store>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, Failure> {
        let (vault, overrides) = (Arc::new(NoVault), Arc::new(NoOverrides));
        let backends = Backends { store, runtime, vault, overrides, tracer: None };
        Self::start_with(options, backends).await
    }

    /// Starts with what the store holds. Nothing is loaded yet: a plugin is when it is first needed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn start_with(options: EngineOptions, backends: Backends) -> Result<Self, Failure> {
        let Backends { store, runtime, vault, overrides, tracer } = backends;
        let plugins = PluginTable::default();
        let known = store.plugin_list().await?;
        let accounts = Accounts::new(options.memory);
        let slot = |(record, summary): (PluginRecord, RevisionSummary)| {
            let account = accounts.of(&record.name);
            Arc::new(Slot::new(record, summary, account, &options.quotas))
        };
        let slots: Vec<_> = known.into_iter().map(slot).collect();
        plugins.extend(slots);
        let hooks = Hooks::open(&*store, &plugins.names()).await?;
        let inner = Arc::new(Inner {
            hooks,
            accounts,
            ledger: Arc::default(),
            cache: AnswerCache::new(options.cache_capacity),
            recorder: Recorder::start(Arc::clone(&store), options.runs),
            jobs: Arc::default(),
            events: Events::default(),
            post: Arc::default(),
            health: Arc::default(),
            caller_writes: CallerWrites::default(),
            written: Arc::default(),
            background: TaskTracker::new(),
            options,
            store,
            runtime,
            vault,
            overrides,
            tracer,
            plugins,
        });
        let weak = Arc::downgrade(&inner);
        let interval = inner.options.statistics_interval;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(inner) = weak.upgrade() else { return };
                Self { inner }.write_statistics().await;
            }
        });
        Ok(Self { inner })
    }

    /// Finishes what runs in the background and writes all that is still to be written.
    pub async fn shutdown(&self) {
        // First, so that nothing is restarted that is about to end.
        self.inner.health.shutdown(self.inner.options.drain).await;
        self.inner.jobs.shutdown().await;
        self.inner.post.shutdown().await;
        self.inner.background.close();
        if tokio::time::timeout(self.inner.options.drain, self.inner.background.wait()).await.is_err() {
            tracing::warn!("calls on replaced revisions were still running at shutdown");
        }
        self.write_statistics().await;
        self.inner.recorder.close().await;
    }

    /// Waits until every run, log line and count so far is in the store; where it cannot be written to, for some seconds.
    pub async fn flush(&self) {
        self.write_statistics().await;
        self.inner.recorder.flush().await;
    }

    /// The same, and writes the counts for the audit log, before it is read.
    pub async fn flush_audit(&self) {
        self.inner.recorder.flush_audit().await;
    }

    /// How many records were aggregated since this process started.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.inner.recorder.counted()
    }

    /// Adds an audit record without waiting until it is written: for refusals.
    pub fn audit_soon(&self, entry: AuditEntry) {
        self.inner.recorder.entry(entry);
    }

    /// Adds an entry to the audit log, and waits until it is written.
    ///
    /// # Errors
    /// The store failed; the entry is not there.
    pub async fn audit(&self, entry: AuditEntry) -> Result<(), Failure> {
        let store = Arc::clone(&self.inner.store);
        outrigger_compute::with_store(async move { store.audit_append(&[entry]).await }).await?;
        Ok(())
    }

    /// The store, for reading records.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The runtime, for reading packages.
    #[must_use]
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.inner.runtime
    }

    /// The options it was started with.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.inner.options
    }

    /// The installed plugins, by name, as they stand.
    #[must_use]
    pub fn plugins(&self) -> Vec<(PluginRecord, RevisionSummary)> {
        self.inner.plugins.all().iter().map(|slot| slot.record()).collect()
    }

    /// One installed plugin.
    ///
    /// # Errors
    /// It is not installed.
    pub fn plugin(&self, name: &PluginName) -> Result<(PluginRecord, RevisionSummary), Failure> {
        Ok(self.slot(name)?.record())
    }

    /// Where the time of a plugin's calls goes, since it was loaded; none while it is not.
    ///
    /// # Errors
    /// It is not installed.
    pub fn profile(&self, name: &PluginName) -> Result<Option<PluginProfile>, Failure> {
        Ok(self.slot(name)?.active.load().as_ref().map(|revision| revision.profile()))
    }

    /// The counts of each installed plugin, by name, since this process started.
    #[must_use]
    pub fn plugin_counters(&self) -> Vec<PluginCounters> {
        let slots = self.inner.plugins.all();
        slots.iter().map(|slot| slot.counts.read(&slot.name, &slot.account, slot.writes.refused())).collect()
    }

    /// The memory account of all plugins together.
    #[must_use]
    pub fn memory(&self) -> &Account {
        self.inner.accounts.all()
    }

    /// The write quotas of a key.
    pub(crate) fn writes_of(&self, key: &str) -> Arc<Writes> {
        self.inner.caller_writes.of(key, &self.inner.options.quotas)
    }

    pub(crate) fn slot(&self, name: &PluginName) -> Result<Arc<Slot>, Failure> {
        let plugins = &self.inner.plugins;
        plugins.get(name).ok_or_else(|| Failure::plugin_not_found(name, &plugins.names()))
    }

    /// The revision that takes calls; loads it where that has not happened yet.
    pub(crate) async fn active_revision(&self, name: &PluginName) -> Result<Arc<ActiveRevision>, Failure> {
        match self.inner.plugins.active(name) {
            Some(revision) => Ok(revision),
            // Boxed: it would make the future of every call larger.
            None => Box::pin(self.bring_up_active(name)).await,
        }
    }

    async fn bring_up_active(&self, name: &PluginName) -> Result<Arc<ActiveRevision>, Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        if let Some(revision) = slot.active.load_full() {
            return Ok(revision);
        }
        let (record, _) = slot.record();
        if !record.state.is_enabled() {
            return Err(Failure::not_active(name, record.state, record.reason.as_deref()));
        }
        let brought_up = self.bring_up(&slot, &record.active).await;
        let revision = brought_up.inspect_err(|_| self.inner.health.suspect(name))?;
        slot.active.store(Some(Arc::clone(&revision)));
        self.adopt_loaded(&revision).await;
        Ok(revision)
    }
}

impl Failure {
    /// For names that are not those of anything installed.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }
}
