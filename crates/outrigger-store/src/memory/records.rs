//! Runs, log lines and statistics in memory: appended in batches, listed from the newest on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use outrigger_contract::{FunctionName, PluginName};
use outrigger_engine::CorrelationId;
use outrigger_engine::store::{LogRecord, RecordBatch, RecordFilter, RunRecord, RunSum, StatisticsRow, StoreError};
use time::OffsetDateTime;

use super::Tables;
use crate::columns::fold;
use crate::{records, statistics};

impl Tables {
    /// Implements [`Store::record_append`](outrigger_engine::store::Store::record_append).
    pub(super) fn append(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let RecordBatch { runs, sums, logs, statistics, audit } = batch;
        let ids: BTreeSet<CorrelationId> = runs.iter().map(|run| run.id).collect();
        if ids.len() < runs.len() || !ids.is_disjoint(&self.run_ids) {
            return Err(records::duplicate());
        }
        // Before the rest, because it may fail.
        self.audit.append(audit)?;
        self.run_ids.extend(ids);
        self.runs.extend_from_slice(runs);
        for sum in sums {
            self.add_to_sum(sum);
        }
        self.logs.extend_from_slice(logs);
        for row in statistics {
            self.add_statistics(row);
        }
        Ok(())
    }

    /// Adds a merged run to the one with its id.
    fn add_to_sum(&mut self, added: &RunRecord) {
        let RunSum { calls, max_us } = RunSum { calls: added.calls(), max_us: added.max_us() };
        let sum = Some(RunSum { calls, max_us });
        if self.run_ids.insert(added.id) {
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

    /// Implements [`Store::run_list`](outrigger_engine::store::Store::run_list).
    pub(super) fn run_list(&self, filter: &RecordFilter) -> Vec<RunRecord> {
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
        let mut runs: Vec<&RunRecord> = self.runs.iter().filter(wanted).collect();
        runs.sort_by_key(|run| Reverse((run.started_at, run.id)));
        runs.into_iter().take(limit(filter)).cloned().collect()
    }

    /// Implements [`Store::log_list`](outrigger_engine::store::Store::log_list).
    pub(super) fn log_list(&self, filter: &RecordFilter) -> Vec<LogRecord> {
        let wanted = |line: &&LogRecord| {
            filter.level.is_none_or(|level| line.level >= level)
                && matches(filter, &line.plugin, line.function.as_ref(), line.correlation, line.at, Some(&line.message))
        };
        let mut logs: Vec<&LogRecord> = self.logs.iter().rev().filter(wanted).collect();
        // Stable: of one moment, the line that was appended last comes first.
        logs.sort_by_key(|line| Reverse(line.at));
        logs.into_iter().take(limit(filter)).cloned().collect()
    }
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

fn limit(filter: &RecordFilter) -> usize {
    usize::try_from(records::limit_of(filter.limit)).unwrap_or(usize::MAX)
}
