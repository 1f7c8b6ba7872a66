//! Sums of the runs in memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use outrigger_contract::{Code, FunctionName, PluginName};
use outrigger_engine::store::{
    CacheOutcome, RunRecord, StoreError, Usage, UsageFilter, UsageKey, UsageRecord, UsageStore,
};

use super::MemoryStore;
use crate::{columns, records};

/// The fields of a group, in the order in which groups are sorted.
type Key<'a> = (Option<i64>, Option<&'a PluginName>, Option<&'a FunctionName>, Option<&'a str>, Option<&'static str>);

#[async_trait]
impl UsageStore for MemoryStore {
    async fn run_usage(&self, filter: &UsageFilter) -> Result<Usage, StoreError> {
        let tables = self.tables.lock();
        let mut groups: BTreeMap<Key<'_>, UsageRecord> = BTreeMap::new();
        for run in tables.runs.iter().filter(|run| matches(filter, run)) {
            let group = groups.entry(key(filter, run)).or_insert_with(|| empty(filter, run));
            add(group, run);
        }
        let mut groups: Vec<UsageRecord> = groups.into_values().collect();
        // Stable: where two have as many calls, their names decide.
        groups.sort_by_key(|group| (group.from, Reverse(group.calls)));
        let most = usize::try_from(records::limit_of(filter.limit)).unwrap_or(usize::MAX);
        let truncated = groups.len() > most;
        groups.truncate(most);
        Ok(Usage { groups, truncated, oldest: tables.runs.iter().map(|run| run.started_at).min() })
    }

    async fn run_plugins(&self) -> Result<Vec<PluginName>, StoreError> {
        let tables = self.tables.lock();
        let plugins: BTreeSet<&PluginName> = tables.runs.iter().map(|run| &run.plugin).collect();
        Ok(plugins.into_iter().cloned().collect())
    }
}

fn matches(filter: &UsageFilter, run: &RunRecord) -> bool {
    let UsageFilter { since, until, plugins, function, caller, by: _, limit: _ } = filter;
    run.started_at >= *since
        && run.started_at < *until
        && plugins.as_ref().is_none_or(|plugins| plugins.contains(&run.plugin))
        && function.as_ref().is_none_or(|function| *function == run.function)
        && caller.as_ref().is_none_or(|caller| *caller == run.caller)
}

/// When the hour or the day of a run begins, as it stands in a column.
fn start(filter: &UsageFilter, run: &RunRecord) -> Option<i64> {
    let step = i64::try_from(filter.step()?.as_nanos()).ok()?;
    let at = columns::from_time(run.started_at);
    Some(at.saturating_sub(at.rem_euclid(step)))
}

fn key<'a>(filter: &UsageFilter, run: &'a RunRecord) -> Key<'a> {
    let by = |key: UsageKey| filter.by.contains(&key);
    (
        start(filter, run),
        by(UsageKey::Plugin).then_some(&run.plugin),
        by(UsageKey::Function).then_some(&run.function),
        by(UsageKey::Caller).then_some(run.caller.as_str()),
        run.code.filter(|_| by(UsageKey::Outcome)).map(Code::as_str),
    )
}

/// The group of a run, before anything is added to it.
fn empty(filter: &UsageFilter, run: &RunRecord) -> UsageRecord {
    let by = |key: UsageKey| filter.by.contains(&key);
    UsageRecord {
        from: start(filter, run).map(columns::to_time),
        plugin: by(UsageKey::Plugin).then(|| run.plugin.clone()),
        function: by(UsageKey::Function).then(|| run.function.clone()),
        caller: by(UsageKey::Caller).then(|| run.caller.clone()),
        code: run.code.filter(|_| by(UsageKey::Outcome)),
        calls: 0,
        failures: 0,
        cache_hits: 0,
        retries: 0,
        total_us: 0,
        max_us: 0,
    }
}

fn add(group: &mut UsageRecord, run: &RunRecord) {
    let calls = run.calls();
    group.calls += calls;
    group.failures += if run.code.is_some() { calls } else { 0 };
    group.cache_hits += if matches!(run.cache, CacheOutcome::Hit | CacheOutcome::Shared) { calls } else { 0 };
    group.retries += u64::from(run.attempts).saturating_sub(calls);
    group.total_us = group.total_us.saturating_add(run.duration_us);
    group.max_us = group.max_us.max(run.max_us());
}
