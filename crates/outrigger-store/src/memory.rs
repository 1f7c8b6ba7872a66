//! The in-memory twin: for tests, and for `--ephemeral`, which leaves nothing behind. It behaves like the database,
//! including refusals; its records are dropped when they are pruned, and everything is gone with the process.

mod access;
mod audit;
mod configuration;
mod events;
mod health;
mod hooks;
mod jobs;
mod prune;
mod requests;
mod templates;
mod updates;
mod usage;
mod webhooks;

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops;
use std::path::Path;

use async_trait::async_trait;
use outrigger_contract::{Digest, FunctionName, HookName, PluginName, TemplateName};
use outrigger_engine::access::{Role, RoleName};
use outrigger_engine::health::HealthRecord;
use outrigger_engine::hooks::{HookRecord, Subscription};
use outrigger_engine::store::{
    ConfigurationRevision, Expected, GrantRecord, Keep, KeyRecord, LogRecord, PluginRecord, RecordBatch, RecordFilter,
    RevisionRecord, RevisionSummary, RunRecord, RunSum, Share, StateOutcome, StateWrite, StatisticsRow, Store,
    StoreError, TemplateRecord,
};
use parking_lot::Mutex;
use time::OffsetDateTime;

use crate::columns::fold;
use crate::{records, statistics};

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
    run_ids: BTreeSet<String>,
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

    /// Whether the revision will be the plugin's once `added` is written.
    fn has(&self, name: &PluginName, digest: &Digest, added: Option<&RevisionRecord>) -> bool {
        match self.owners.get(digest) {
            Some(owner) => owner == name,
            None => added.is_some_and(|added| added.digest == *digest && added.manifest.name == *name),
        }
    }

    /// Implements [`Store::plugin_put`].
    fn put(
        &mut self,
        plugin: &PluginRecord,
        revision: Option<&RevisionRecord>,
        grant: Option<&GrantRecord>,
        expected: u64,
    ) -> Result<u64, StoreError> {
        let tables = self;
        let name = &plugin.name;
        let present = tables.plugins.get(name).map_or(0, |plugin| plugin.record.generation);
        if present != expected {
            return Err(conflict(format!("the plugin {name}")));
        }
        let mentioned =
            [Some(&plugin.active), revision.map(|revision| &revision.digest), grant.map(|grant| &grant.digest)];
        for digest in mentioned.into_iter().flatten() {
            if !tables.has(name, digest, revision) {
                return Err(conflict(format!("the revision {digest} of the plugin {name}")));
            }
        }

        let generation = expected.saturating_add(1);
        let record = PluginRecord { generation, ..plugin.clone() };
        let entry = match tables.plugins.entry(name.clone()) {
            Entry::Occupied(entry) => {
                let entry = entry.into_mut();
                entry.record = record;
                entry
            }
            Entry::Vacant(entry) => entry.insert(Plugin {
                record,
                revisions: BTreeMap::new(),
                configurations: Vec::new(),
                state: BTreeMap::new(),
                writes: 0,
                predecessor: None,
                statistics: BTreeMap::new(),
                health: None,
            }),
        };
        if let Some(revision) = revision
            && !tables.owners.contains_key(&revision.digest)
        {
            tables.owners.insert(revision.digest, name.clone());
            let (record, summary) = (revision.clone(), revision.summary());
            entry.revisions.insert(revision.digest, Revision { record, summary, grant: None });
        }
        if let Some(grant) = grant
            && let Some(revision) = entry.revisions.get_mut(&grant.digest)
        {
            revision.grant = Some(grant.clone());
            tables.writable_folders.extend(grant.grant.permissions.writable_folders().map(str::to_owned));
        }
        Ok(generation)
    }

    /// Adds a merged run to the one with its id.
    fn add_to_sum(&mut self, added: &RunRecord) {
        let RunSum { calls, max_us } = RunSum { calls: added.calls(), max_us: added.max_us() };
        let sum = Some(RunSum { calls, max_us });
        if self.run_ids.insert(added.id.clone()) {
            self.runs.push(RunRecord { sum, ..added.clone() });
            return;
        }
        for run in self.runs.iter_mut().filter(|run| run.id == added.id) {
            run.duration_us = run.duration_us.saturating_add(added.duration_us);
            run.attempts = run.attempts.saturating_add(added.attempts);
            run.sum = Some(RunSum { calls: run.calls() + calls, max_us: run.max_us().max(max_us) });
        }
    }

    fn add_statistics(&mut self, added: &StatisticsRow) {
        let StatisticsRow { plugin, function, counters, latency_us } = added;
        let Some(plugin) = self.plugins.get_mut(plugin) else { return };
        if counters.is_empty() && latency_us.is_empty() {
            return;
        }
        let row = plugin.statistics.entry(function.clone()).or_insert_with(|| StatisticsRow {
            counters: BTreeMap::new(),
            latency_us: BTreeMap::new(),
            ..added.clone()
        });
        let add = |sum: &mut u64, value: u64| *sum = sum.saturating_add(value).min(statistics::MAX);
        for (name, value) in counters {
            add(row.counters.entry(name.clone()).or_default(), *value);
        }
        for (bound, calls) in latency_us {
            add(row.latency_us.entry(*bound).or_default(), *calls);
        }
    }
}

fn conflict(what: String) -> StoreError {
    StoreError::Conflict { what }
}

/// The part of a filter that runs and log lines share.
fn matches(
    filter: &RecordFilter,
    plugin: &PluginName,
    function: Option<&FunctionName>,
    correlation: outrigger_engine::CorrelationId,
    at: OffsetDateTime,
    message: Option<&str>,
) -> bool {
    let RecordFilter {
        plugin: wanted,
        function: of,
        correlation: with,
        level: _,
        contains,
        failed: _,
        since,
        until,
        limit: _,
    } = filter;
    wanted.as_ref().is_none_or(|wanted| wanted == plugin)
        && of.as_ref().is_none_or(|of| Some(of) == function)
        && with.is_none_or(|with| with == correlation)
        && since.is_none_or(|since| at >= since)
        && until.is_none_or(|until| at < until)
        && contains.as_ref().is_none_or(|text| message.is_some_and(|message| fold(message).contains(&fold(text))))
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
        let RecordBatch { runs, sums, logs, statistics, audit } = batch;
        let mut tables = self.tables.lock();
        let ids: BTreeSet<String> = runs.iter().map(|run| run.id.clone()).collect();
        if ids.len() < runs.len() || !ids.is_disjoint(&tables.run_ids) {
            return Err(records::duplicate());
        }
        // Before the rest, because it may fail.
        tables.audit.append(audit)?;
        tables.run_ids.extend(ids);
        tables.runs.extend_from_slice(runs);
        for sum in sums {
            tables.add_to_sum(sum);
        }
        tables.logs.extend_from_slice(logs);
        for row in statistics {
            tables.add_statistics(row);
        }
        Ok(())
    }

    async fn run_list(&self, filter: &RecordFilter) -> Result<Vec<RunRecord>, StoreError> {
        let tables = self.tables.lock();
        let wanted = |run: &&RunRecord| {
            (run.code.is_some() || !filter.failed)
                && matches(
                    filter,
                    &run.plugin,
                    Some(&run.function),
                    run.correlation,
                    run.started_at,
                    run.message.as_deref(),
                )
        };
        let mut runs: Vec<&RunRecord> = tables.runs.iter().filter(wanted).collect();
        runs.sort_by(|left, right| (right.started_at, &right.id).cmp(&(left.started_at, &left.id)));
        Ok(runs.into_iter().take(limit(filter)).cloned().collect())
    }

    async fn log_list(&self, filter: &RecordFilter) -> Result<Vec<LogRecord>, StoreError> {
        let tables = self.tables.lock();
        let wanted = |line: &&LogRecord| {
            filter.level.is_none_or(|level| line.level >= level)
                && matches(filter, &line.plugin, line.function.as_ref(), line.correlation, line.at, Some(&line.message))
        };
        let mut logs: Vec<&LogRecord> = tables.logs.iter().rev().filter(wanted).collect();
        // Stable: of one moment, the line that was appended last comes first.
        logs.sort_by_key(|line| Reverse(line.at));
        Ok(logs.into_iter().take(limit(filter)).cloned().collect())
    }

    async fn statistics_list(&self, name: Option<&PluginName>) -> Result<Vec<StatisticsRow>, StoreError> {
        let tables = self.tables.lock();
        let wanted = tables.plugins.iter().filter(|(plugin, _)| name.is_none_or(|name| name == *plugin));
        Ok(wanted.flat_map(|(_, plugin)| plugin.statistics.values().cloned()).collect())
    }

    async fn prune(&self, keep: &Keep) -> Result<u64, StoreError> {
        let Keep { runs, logs, jobs, requests, refusals } = keep;
        let mut tables = self.tables.lock();
        let tables = &mut *tables;
        let run =
            |run: &RunRecord| Droppable { owner: run.owner(), at: run.started_at, size: run.size(), stays: false };
        let line = |line: &LogRecord| Droppable { owner: line.owner(), at: line.at, size: line.size(), stays: false };
        let mut dropped = prune_list(&mut tables.runs, runs, run) + prune_list(&mut tables.logs, logs, line);
        tables.run_ids = tables.runs.iter().map(|run| run.id.clone()).collect();
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

fn limit(filter: &RecordFilter) -> usize {
    usize::try_from(records::limit_of(filter.limit)).unwrap_or(usize::MAX)
}
