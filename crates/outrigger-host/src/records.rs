//! Runs, log lines and statistics, as they are asked for.

use std::collections::BTreeMap;

use outrigger_api::{ApiError, ApiResult, Code, FunctionStatistics, LogEntry, RecordQuery, RunEntry, StatisticsReport};
use outrigger_contract::PluginName;
use outrigger_engine::runtime::LogLevel;
use outrigger_engine::statistics::{Counters, Summary};
use outrigger_engine::store::{RecordFilter, StatisticsRow};
use outrigger_engine::{CorrelationId, Engine};

use crate::convert;

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
    engine.flush().await;
    let mut rows = engine.store().statistics_list(name).await.map_err(convert::store_error)?;
    rows.retain(|row| seen(&row.plugin));
    let mut plugins = BTreeMap::new();
    for (record, _) in engine.plugins() {
        if name.is_none_or(|name| *name == record.name) && seen(&record.name) {
            *plugins.entry(record.state.as_str().to_owned()).or_default() += 1;
        }
    }
    let one = |row: &StatisticsRow| {
        report(format!("{}.{}", row.plugin, row.function), Summary::of_rows(std::iter::once(row)))
    };
    Ok(StatisticsReport {
        plugins,
        total: report("total".to_owned(), Summary::of_rows(rows.iter())),
        functions: rows.iter().map(one).collect(),
    })
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

fn filter(query: &RecordQuery) -> ApiResult<RecordFilter> {
    let RecordQuery { plugin, function, correlation, level, contains, since, until, limit } = query;
    Ok(RecordFilter {
        plugin: plugin.clone(),
        function: function.clone(),
        correlation: correlation.as_deref().map(self::correlation).transpose()?,
        level: level.as_deref().map(self::level).transpose()?,
        contains: contains.clone(),
        since: *since,
        until: *until,
        limit: if *limit == 0 { 100 } else { *limit },
    })
}

pub(crate) fn correlation(text: &str) -> ApiResult<CorrelationId> {
    text.parse().map_err(|_| {
        ApiError::new(Code::InvalidUsage, format!("`{text}` is not a correlation id"))
            .with_hint("a correlation id is a ULID: 26 letters and digits, as `--details` and the logs show it")
    })
}

fn level(text: &str) -> ApiResult<LogLevel> {
    let levels = [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
    levels.into_iter().find(|level| convert::level_name(*level).eq_ignore_ascii_case(text)).ok_or_else(|| {
        ApiError::new(Code::InvalidUsage, format!("`{text}` is not a log level"))
            .with_hint("levels are trace, debug, info, warn and error")
    })
}
