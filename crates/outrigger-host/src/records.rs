//! Runs, log lines and statistics, as they are asked for.

use std::collections::BTreeMap;

use outrigger_api::metrics::StoreMetrics;
use outrigger_api::{
    ApiError, ApiResult, Code, FunctionMetrics, FunctionStatistics, KeptRecords, LatencyBucket, LogEntry,
    MemoryMetrics, MetricsReport, PluginMetrics, RecordQuery, RunEntry, StatisticsReport,
};
use outrigger_contract::PluginName;
use outrigger_engine::ledger::FunctionCounts;
use outrigger_engine::quota::RefusedWrites;
use outrigger_engine::recorder::Counted;
use outrigger_engine::runtime::LogLevel;
use outrigger_engine::statistics::{Counters, PluginCounters, Summary};
use outrigger_engine::store::{RecordFilter, Share};
use outrigger_engine::{CorrelationId, Engine};

use crate::{convert, process};

pub(crate) async fn logs(engine: &Engine, query: &RecordQuery) -> ApiResult<Vec<LogEntry>> {
    engine.flush().await;
    let mut found = engine.store().log_list(&filter(query)?).await.map_err(convert::store_error)?;
    found.reverse();
    Ok(found.into_iter().map(convert::log).collect())
}

pub(crate) async fn runs(engine: &Engine, query: &RecordQuery) -> ApiResult<Vec<RunEntry>> {
    engine.flush().await;
    let mut found = engine.store().run_list(&filter(query)?).await.map_err(convert::store_error)?;
    found.reverse();
    Ok(found.into_iter().map(convert::run).collect())
}

/// Statistics of one plugin, or of those that the caller may see.
pub(crate) async fn statistics(
    engine: &Engine,
    name: Option<&PluginName>,
    seen: impl Fn(&PluginName) -> bool,
) -> ApiResult<StatisticsReport> {
    if let Some(name) = name {
        engine.plugin(name).map_err(convert::error)?;
    }
    let mut counted = engine.statistics(name).await.map_err(convert::error)?;
    let seen = |plugin: &PluginName| name.is_none_or(|name| name == plugin) && seen(plugin);
    let mut plugins = BTreeMap::new();
    for (record, _) in engine.plugins() {
        if seen(&record.name) {
            *plugins.entry(record.state.as_str().to_owned()).or_default() += 1;
        }
    }
    let total = report("total".to_owned(), counted.total(seen));
    let one = |counts: FunctionCounts<'_>| report(format!("{}.{}", counts.plugin, counts.function), counts.summary);
    Ok(StatisticsReport { plugins, total, functions: counted.functions(seen).map(one).collect() })
}

/// Bounds of the latencies that monitoring is told, in microseconds.
const BOUNDS_US: [u64; 16] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
    30_000_000,
    300_000_000,
];

/// The numbers of all plugins and functions, whoever calls them.
pub(crate) async fn metrics(engine: &Engine) -> ApiResult<MetricsReport> {
    let mut plugins = BTreeMap::new();
    for (record, _) in engine.plugins() {
        *plugins.entry(record.state.as_str().to_owned()).or_default() += 1;
    }
    let mut counted = engine.statistics(None).await.map_err(convert::error)?;
    let one = |counts: FunctionCounts<'_>| {
        let (latency, sum_us) = latency(counts.latency_us);
        let statistics = report(format!("{}.{}", counts.plugin, counts.function), counts.summary);
        FunctionMetrics { statistics, latency, sum_us }
    };
    let health = crate::session::health::metrics(engine).await?;
    let functions = counted.functions(|_| true).map(one).collect();
    let each_plugin = engine.plugin_counters().into_iter().map(plugin_metrics).collect();
    let (process, dropped_firings) = (process::metrics(), engine.dropped_firings());
    let memory = engine.memory();
    let memory = MemoryMetrics {
        held_bytes: memory.held(),
        peak_bytes: memory.peak(),
        limit_bytes: memory.limit(),
        refusals: memory.refused(),
    };
    let store = engine.store();
    let store = StoreMetrics { writable: store.write_fault().is_none(), free_bytes: store.free_bytes() };
    let Counted { runs: counted_runs, refusals: counted_refusals } = engine.counted();
    let kept = engine.store().share_list().await.map_err(convert::store_error)?;
    let kept = kept.into_iter().map(kept_records).collect();
    Ok(MetricsReport {
        plugins,
        functions,
        health,
        each_plugin,
        memory,
        process,
        store,
        dropped_firings,
        counted_runs,
        counted_refusals,
        kept,
    })
}

fn kept_records(share: Share) -> KeptRecords {
    let Share { kind, account: owner, records, bytes, dropped } = share;
    KeptRecords { kind, owner, records, bytes, dropped }
}

fn plugin_metrics(counters: PluginCounters) -> PluginMetrics {
    let PluginCounters { plugin, loads, load_failures, unloads, memory_peak, held, held_peak, memory_refused, refused } =
        counters;
    let memory_peak_bytes = (memory_peak > 0).then_some(memory_peak);
    let RefusedWrites { events: refused_events, log_lines: dropped_log_lines, state_writes } = refused;
    PluginMetrics {
        plugin,
        loads,
        load_failures,
        unloads,
        memory_peak_bytes,
        memory_held_bytes: held,
        memory_held_peak_bytes: held_peak,
        memory_refusals: memory_refused,
        refused_events,
        dropped_log_lines,
        refused_state_writes: state_writes,
    }
}

/// How many calls took at most so long, for each bound, and how long all of them took.
fn latency(recorded: &BTreeMap<u64, u64>) -> (Vec<LatencyBucket>, u64) {
    let up_to = |bound: u64| recorded.range(..=bound).map(|(_, calls)| calls).sum();
    let buckets = BOUNDS_US.map(|bound| LatencyBucket { at_most_us: bound, calls: up_to(bound) });
    let sum = recorded.iter().fold(0, |sum: u64, (took, calls)| sum.saturating_add(took.saturating_mul(*calls)));
    (buckets.to_vec(), sum)
}

fn report(function: String, summary: Summary) -> FunctionStatistics {
    let Summary { counters, error_rate, cache_hit_rate, mean_us, p50_us, p95_us, p99_us, max_us } = summary;
    let Counters {
        calls,
        failures,
        rate_limited,
        refused,
        limited,
        cancelled,
        cache_hits,
        cache_misses,
        retries,
        violations,
        dropped_log_lines,
    } = counters;
    FunctionStatistics {
        function,
        calls,
        failures,
        rate_limited,
        refused,
        limited,
        cancelled,
        cache_hits,
        cache_misses,
        retries,
        violations,
        dropped_log_lines,
        error_rate,
        cache_hit_rate,
        mean_us,
        p50_us,
        p95_us,
        p99_us,
        max_us,
    }
}

/// Maximum length of a text that is searched for in messages, in bytes. The database compares it at each position.
const LONGEST_SEARCH: usize = 256;

fn filter(query: &RecordQuery) -> ApiResult<RecordFilter> {
    let RecordQuery { plugin, function, correlation, level, contains, failed, since, until, limit } = query;
    if let Some(length) = contains.as_ref().map(String::len).filter(|length| *length > LONGEST_SEARCH) {
        let message = format!("the text to search for is {length} bytes long; the limit is {LONGEST_SEARCH}");
        return Err(ApiError::new(Code::InvalidUsage, message).with_hint("search for a part of it"));
    }
    Ok(RecordFilter {
        plugin: plugin.clone(),
        function: function.clone(),
        correlation: correlation.as_deref().map(self::correlation).transpose()?,
        level: level.as_deref().map(self::level).transpose()?,
        contains: contains.clone(),
        failed: *failed,
        since: *since,
        until: *until,
        limit: if *limit == 0 { 100 } else { *limit },
    })
}

pub(crate) fn correlation(text: &str) -> ApiResult<CorrelationId> {
    text.parse().map_err(|_| {
        ApiError::new(Code::InvalidUsage, format!("`{text}` is not a correlation id"))
            .with_hint("a correlation id is a ULID of 26 letters and digits, as `--details` and the logs show it")
    })
}

/// Refuses a correlation id that a key chose if it is the id of a job: log lines of the key's calls would appear in the
/// log of that job.
pub(crate) async fn check_chosen(engine: &Engine, correlation: CorrelationId) -> ApiResult<()> {
    if !engine.store().job_exists(correlation).await.map_err(convert::store_error)? {
        return Ok(());
    }
    let message = format!("the correlation id {correlation} is the id of a job");
    Err(ApiError::new(Code::InvalidUsage, message).with_hint("send a new ULID as the correlation id, or none"))
}

fn level(text: &str) -> ApiResult<LogLevel> {
    let levels = [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
    levels.into_iter().find(|level| convert::level_name(*level).eq_ignore_ascii_case(text)).ok_or_else(|| {
        ApiError::new(Code::InvalidUsage, format!("`{text}` is not a log level"))
            .with_hint("levels are trace, debug, info, warn and error")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_counts_those_below_it_too() {
        let (buckets, sum) = latency(&BTreeMap::from([(90, 2), (100, 1), (101, 4), (400_000_000, 1)]));
        let calls: Vec<_> = buckets.iter().map(|bucket| bucket.calls).collect();
        assert_eq!((calls[0], calls[1], calls[15], sum), (3, 7, 7, 180 + 100 + 404 + 400_000_000));
        assert!(BOUNDS_US.is_sorted());
    }
}
