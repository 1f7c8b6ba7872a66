//! The in-memory twin: for tests, and for `--ephemeral`, which leaves nothing behind. It behaves like the database,
//! including refusals; its records are dropped when they are pruned, and everything is gone with the process.

mod access;
mod audit;
mod configuration;
mod events;
mod health;
mod hooks;
mod jobs;
mod plugins;
mod prune;
mod records;
mod requests;
mod templates;
mod updates;
mod usage;
mod webhooks;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops;
use std::path::Path;

use async_trait::async_trait;
use outrigger_contract::{Digest, FunctionName, HookName, PluginName, TemplateName};
use outrigger_engine::CorrelationId;
use outrigger_engine::access::{Role, RoleName};
use outrigger_engine::health::HealthRecord;
use outrigger_engine::hooks::{HookRecord, Subscription};
use outrigger_engine::store::{
    ConfigurationRevision, Expected, GrantRecord, Keep, KeyRecord, LogRecord, PluginRecord, RecordBatch, RecordFilter,
    RevisionRecord, RevisionSummary, RunRecord, Share, StateOutcome, StateWrite, StatisticsRow, Store, StoreError,
    TemplateRecord,
};
use parking_lot::Mutex;

use prune::{Droppable, prune_list};

/// A store that keeps everything in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[derive(Debug, Default)]
struct Tables {
    plugins: BTreeMap<PluginName, Plugin>,
    /// Which plugin has a revision.
    owners: BTreeMap<Digest, PluginName>,
    runs: Vec<RunRecord>,
    run_ids: BTreeSet<CorrelationId>,
    logs: Vec<LogRecord>,
    /// By name.
    keys: Vec<KeyRecord>,
    roles: BTreeMap<RoleName, Role>,
    hooks: BTreeMap<HookName, HookRecord>,
    subscriptions: BTreeMap<String, Subscription>,
    audit: audit::Log,
    jobs: jobs::Jobs,
    events: events::Events,
    webhooks: webhooks::Webhooks,
    templates: BTreeMap<TemplateName, TemplateRecord>,
    requests: requests::Requests,
    /// Never removed.
    writable_folders: BTreeSet<String>,
}

/// A plugin with all that goes when it goes.
#[derive(Debug)]
struct Plugin {
    record: PluginRecord,
    revisions: BTreeMap<Digest, Revision>,
    /// The oldest first.
    configurations: Vec<ConfigurationRevision>,
    state: BTreeMap<String, Vec<u8>>,
    /// How many keys of the state were ever set or removed.
    writes: u64,
    predecessor: Option<updates::Kept>,
    statistics: BTreeMap<FunctionName, StatisticsRow>,
    health: Option<HealthRecord>,
}

#[derive(Debug)]
struct Revision {
    record: RevisionRecord,
    summary: RevisionSummary,
    grant: Option<GrantRecord>,
}

impl Tables {
    fn revision(&self, digest: &Digest) -> Option<&Revision> {
        self.plugins.get(self.owners.get(digest)?)?.revisions.get(digest)
    }
}

fn conflict(what: String) -> StoreError {
    StoreError::Conflict { what }
}

#[async_trait]
impl Store for MemoryStore {
    async fn plugin_list(&self) -> Result<Vec<(PluginRecord, RevisionSummary)>, StoreError> {
        let tables = self.tables.lock();
        let row = |plugin: &Plugin| {
            let revision = plugin.revisions.get(&plugin.record.active)?;
            Some((plugin.record.clone(), revision.summary.clone()))
        };
        Ok(tables.plugins.values().filter_map(row).collect())
    }

    async fn plugin_fetch(&self, name: &PluginName) -> Result<Option<PluginRecord>, StoreError> {
        Ok(self.tables.lock().plugins.get(name).map(|plugin| plugin.record.clone()))
    }

    async fn plugin_put(
        &self,
        plugin: &PluginRecord,
        revision: Option<&RevisionRecord>,
        grant: Option<&GrantRecord>,
        expected: u64,
    ) -> Result<u64, StoreError> {
        self.tables.lock().put(plugin, revision, grant, expected)
    }

    async fn plugin_create(
        &self,
        plugin: &PluginRecord,
        revision: &RevisionRecord,
        grant: &GrantRecord,
        configuration: Option<&ConfigurationRevision>,
    ) -> Result<u64, StoreError> {
        let what = || conflict(format!("the configuration of the plugin {}", plugin.name));
        if configuration.is_some_and(|first| first.revision != 1) {
            return Err(what());
        }
        let mut tables = self.tables.lock();
        let generation = tables.put(plugin, Some(revision), Some(grant), 0)?;
        if let Some(configuration) = configuration {
            tables.plugins.get_mut(&plugin.name).ok_or_else(what)?.configure(configuration);
        }
        Ok(generation)
    }

    async fn plugin_delete(&self, name: &PluginName) -> Result<bool, StoreError> {
        let mut tables = self.tables.lock();
        tables.owners.retain(|_, owner| owner != name);
        Ok(tables.plugins.remove(name).is_some())
    }

    async fn revision_fetch(&self, digest: &Digest) -> Result<Option<RevisionRecord>, StoreError> {
        Ok(self.tables.lock().revision(digest).map(|revision| revision.record.clone()))
    }

    async fn revision_exists(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.tables.lock().revision(digest).is_some())
    }

    async fn revision_list(&self, name: &PluginName) -> Result<Vec<RevisionSummary>, StoreError> {
        let tables = self.tables.lock();
        let Some(plugin) = tables.plugins.get(name) else { return Ok(Vec::new()) };
        let mut revisions: Vec<_> = plugin.revisions.values().map(|revision| revision.summary.clone()).collect();
        revisions.sort_by_key(|revision| Reverse((revision.installed_at, revision.digest)));
        Ok(revisions)
    }

    async fn revision_delete(&self, digest: &Digest) -> Result<bool, StoreError> {
        let mut tables = self.tables.lock();
        let tables = &mut *tables;
        let Some(owner) = tables.owners.get(digest) else { return Ok(false) };
        let Some(plugin) = tables.plugins.get_mut(owner) else { return Ok(false) };
        if plugin.record.active == *digest {
            return Err(conflict(format!("the revision {digest}, which is the active one of {owner},")));
        }
        if plugin.predecessor.as_ref().is_some_and(|kept| kept.is_of(digest)) {
            return Err(conflict(format!("the revision {digest}, which {owner} can go back to,")));
        }
        plugin.revisions.remove(digest);
        tables.owners.remove(digest);
        Ok(true)
    }

    async fn grant_fetch(&self, digest: &Digest) -> Result<Option<GrantRecord>, StoreError> {
        Ok(self.tables.lock().revision(digest).and_then(|revision| revision.grant.clone()))
    }

    async fn grant_list(&self) -> Result<Vec<GrantRecord>, StoreError> {
        let tables = self.tables.lock();
        let revisions = tables.plugins.values().flat_map(|plugin| plugin.revisions.values());
        Ok(revisions.filter_map(|revision| revision.grant.clone()).collect())
    }

    async fn writable_folder_list(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.tables.lock().writable_folders.iter().cloned().collect())
    }

    async fn state_get(&self, name: &PluginName, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables.lock().plugins.get(name).and_then(|plugin| plugin.state.get(key).cloned()))
    }

    async fn state_set(
        &self,
        name: &PluginName,
        write: StateWrite<'_>,
        capacity: u64,
    ) -> Result<StateOutcome, StoreError> {
        let StateWrite { key, value, expected } = write;
        let mut tables = self.tables.lock();
        let plugin = tables.plugins.get_mut(name).ok_or_else(|| conflict(format!("the plugin {name}")))?;
        let present = plugin.state.get(key).map(Vec::as_slice);
        let as_expected = match expected {
            Expected::Anything => true,
            Expected::Nothing => present.is_none(),
            Expected::Value(value) => present == Some(value),
        };
        if !as_expected {
            return Ok(StateOutcome::Changed);
        }
        let others = plugin.state.iter().filter(|(other, _)| *other != key);
        let total: usize = others.map(|(key, value)| key.len() + value.len()).sum::<usize>() + key.len() + value.len();
        let total = u64::try_from(total).expect("what is in memory is smaller than 2^64 bytes");
        if total > capacity {
            return Ok(StateOutcome::OverCapacity(total));
        }
        plugin.state.insert(key.to_owned(), value.to_vec());
        plugin.writes += 1;
        Ok(StateOutcome::Written)
    }

    async fn state_delete(&self, name: &PluginName, key: &str) -> Result<(), StoreError> {
        if let Some(plugin) = self.tables.lock().plugins.get_mut(name) {
            plugin.writes += u64::from(plugin.state.remove(key).is_some());
        }
        Ok(())
    }

    async fn state_keys(&self, name: &PluginName, prefix: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        let tables = self.tables.lock();
        let Some(plugin) = tables.plugins.get(name) else { return Ok(Vec::new()) };
        let keys =
            plugin.state.range::<str, _>((ops::Bound::Included(prefix), ops::Bound::Unbounded)).map(|(key, _)| key);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(keys.take_while(|key| key.starts_with(prefix)).take(limit).cloned().collect())
    }

    async fn record_append(&self, batch: &RecordBatch) -> Result<(), StoreError> {
        self.tables.lock().append(batch)
    }

    async fn run_list(&self, filter: &RecordFilter) -> Result<Vec<RunRecord>, StoreError> {
        Ok(self.tables.lock().run_list(filter))
    }

    async fn log_list(&self, filter: &RecordFilter) -> Result<Vec<LogRecord>, StoreError> {
        Ok(self.tables.lock().log_list(filter))
    }

    async fn statistics_list(&self, name: Option<&PluginName>) -> Result<Vec<StatisticsRow>, StoreError> {
        let tables = self.tables.lock();
        let wanted = tables.plugins.iter().filter(|(plugin, _)| name.is_none_or(|name| name == *plugin));
        Ok(wanted.flat_map(|(_, plugin)| plugin.statistics.values().cloned()).collect())
    }

    async fn statistics_retain(&self, name: &PluginName, functions: &BTreeSet<FunctionName>) -> Result<(), StoreError> {
        if let Some(plugin) = self.tables.lock().plugins.get_mut(name) {
            plugin.statistics.retain(|function, _| functions.contains(function));
        }
        Ok(())
    }

    async fn prune(&self, keep: &Keep) -> Result<u64, StoreError> {
        let Keep { runs, logs, jobs, requests, refusals } = keep;
        let mut tables = self.tables.lock();
        let tables = &mut *tables;
        let run =
            |run: &RunRecord| Droppable { owner: run.owner(), at: run.started_at, size: run.size(), stays: false };
        let line = |line: &LogRecord| Droppable { owner: line.owner(), at: line.at, size: line.size(), stays: false };
        let mut dropped = prune_list(&mut tables.runs, runs, run) + prune_list(&mut tables.logs, logs, line);
        tables.run_ids = tables.runs.iter().map(|run| run.id).collect();
        dropped += tables.jobs.prune(jobs) + tables.requests.prune(requests) + tables.audit.prune(refusals);
        Ok(u64::try_from(dropped).expect("a count of what was in memory"))
    }

    async fn share_list(&self) -> Result<Vec<Share>, StoreError> {
        let tables = self.tables.lock();
        let mut shares: BTreeMap<(&str, String), (u64, u64)> = BTreeMap::new();
        let runs = tables.runs.iter().map(|run| ("runs", run.owner(), run.size()));
        let logs = tables.logs.iter().map(|line| ("logs", line.owner(), line.size()));
        for (kind, owner, size) in runs.chain(logs) {
            let share = shares.entry((kind, owner.account)).or_default();
            *share = (share.0 + 1, share.1 + size);
        }
        let share = |((kind, account), (records, bytes)): ((&str, String), _)| Share {
            kind: kind.to_owned(),
            account,
            records,
            bytes,
            dropped: 0,
        };
        Ok(shares.into_iter().map(share).collect())
    }

    async fn touch(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn copy(&self, _: &Path) -> Result<(), StoreError> {
        Err(StoreError::Unsupported { action: "be copied: it is in memory" })
    }

    async fn check(&self) -> Result<String, StoreError> {
        let tables = self.tables.lock();
        let Tables {
            plugins,
            owners: _,
            writable_folders: _,
            runs,
            run_ids: _,
            logs,
            keys: _,
            roles: _,
            hooks: _,
            subscriptions: _,
            audit: _,
            jobs: _,
            events: _,
            webhooks: _,
            templates: _,
            requests: _,
        } = &*tables;
        let (plugins, runs, logs) = (plugins.len(), runs.len(), logs.len());
        Ok(format!("in memory, lost when this process ends; plugins: {plugins}, runs: {runs}, log lines: {logs}"))
    }
}
