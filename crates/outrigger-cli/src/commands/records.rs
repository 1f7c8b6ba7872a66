//! `outrigger plugin logs` and `outrigger runs`: what was written and what was done.

use std::collections::HashSet;
use std::time::Duration;

use outrigger_api::{LogEntry, RecordQuery, RunEntry};
use time::OffsetDateTime;

use super::filters;
use crate::cli::{LogsArguments, RunsArguments};
use crate::context::Context;
use crate::error::CliResult;
use crate::output::table::{cell, status, table_or};
use crate::output::{clean, dim, duration, moment, one_line, red, yellow};

/// How often new lines are looked for.
const POLL: Duration = Duration::from_millis(500);
/// As many as there are.
pub(super) const ALL: u32 = u32::MAX;

/// Shows log lines, and with `--follow` those that come.
///
/// # Errors
/// The platform's.
pub async fn logs(context: &Context, arguments: LogsArguments) -> CliResult {
    let LogsArguments { name, function, level, since, contains, correlation, limit, follow } = arguments;
    let mut query = RecordQuery {
        plugin: name,
        function,
        correlation,
        level: level.map(|level| level.as_str().to_owned()),
        contains,
        failed: false,
        since: since.map(|since| since.0),
        until: None,
        limit,
    };
    let started = OffsetDateTime::now_utc();
    let platform = context.platform().await?;
    let mut entries = platform.log_list(&query).await?;
    if !follow {
        let RecordQuery { plugin, function, correlation, level, contains, since, .. } = &query;
        let filters = [plugin.is_some(), correlation.is_some(), level.is_some(), contains.is_some(), since.is_some()];
        context.output.print(&entries, || match entries.is_empty() {
            true => filters::empty("log lines", &filters),
            false => entries.iter().map(log_line).collect(),
        })?;
        if entries.is_empty() {
            filters::check_plugin(context, plugin.as_ref(), function.as_ref()).await;
        }
        return Ok(());
    }
    if entries.is_empty() {
        filters::check_plugin(context, query.plugin.as_ref(), query.function.as_ref()).await;
    }
    query.since = query.since.max(earliest(&entries, limit));
    query.limit = ALL;
    let mut seen: HashSet<(OffsetDateTime, String, String)> = HashSet::new();
    let mut ticks = tokio::time::interval(POLL);
    loop {
        for entry in &entries {
            if seen.insert((entry.at, entry.correlation.clone(), entry.message.clone())) {
                context.output.print_line(entry, || log_line(entry))?;
            }
        }
        // Lines are written in batches, so one may come after a later one; the last seconds are looked through again.
        let again = entries.last().map_or(started, |entry| entry.at) - Duration::from_secs(5);
        query.since = query.since.max(Some(again));
        seen.retain(|(at, ..)| *at >= again);
        ticks.tick().await;
        entries = platform.log_list(&query).await?;
    }
}

/// Where lines are gone on with of which only the newest were asked for: those before them are not to come after them.
pub(super) fn earliest(newest: &[LogEntry], limit: u32) -> Option<OffsetDateTime> {
    newest.first().filter(|_| newest.len() >= limit as usize).map(|first| first.at)
}

pub(super) fn log_line(entry: &LogEntry) -> String {
    let LogEntry { at, level, plugin, function, correlation: _, message, fields } = entry;
    let level = match level.as_str() {
        "error" => red("ERROR"),
        "warn" => yellow("WARN "),
        other => format!("{:<5}", clean(&other.to_uppercase())),
    };
    let place = match function {
        Some(function) => format!("{plugin}.{function}"),
        None => plugin.to_string(),
    };
    let fields: String =
        fields.iter().map(|(name, value)| format!(" {}={}", one_line(name), one_line(value))).collect();
    let message = clean(message).replace('\n', "\n    ");
    format!("{} {level} {place}: {message}{}\n", dim(&moment(*at)), dim(&fields))
}

/// Shows what was run.
///
/// # Errors
/// The platform's.
pub async fn runs(context: &Context, arguments: RunsArguments) -> CliResult {
    let RunsArguments { filter, since, correlation, failed, limit } = arguments;
    let (plugin, function) = filter.map_or((None, None), |filter| (Some(filter.plugin), filter.function));
    let query = RecordQuery {
        plugin,
        function,
        correlation,
        failed,
        since: since.map(|since| since.0),
        limit,
        ..RecordQuery::default()
    };
    let runs = context.platform().await?.run_list(&query).await?;
    context.output.print(&runs, || {
        let head = ["STARTED", "FUNCTION", "OUTCOME", "TOOK>", "CACHE", "CORRELATION", "MESSAGE"];
        let filters = [query.plugin.is_some(), query.correlation.is_some(), query.failed, query.since.is_some()];
        table_or(&filters::empty("runs", &filters), &head, runs.iter().map(run_row).collect())
    })?;
    if runs.is_empty() {
        filters::check_plugin(context, query.plugin.as_ref(), query.function.as_ref()).await;
    }
    Ok(())
}

fn run_row(run: &RunEntry) -> Vec<comfy_table::Cell> {
    let several = if run.calls > 1 { format!("{} {}×", run.outcome, run.calls) } else { run.outcome.clone() };
    let outcome = match run.code {
        None => status(&several),
        Some(_) => cell(several).fg(comfy_table::Color::Red),
    };
    vec![
        cell(moment(run.started_at)),
        cell(run.function.to_string()),
        outcome,
        cell(duration(run.duration_us)),
        cell(&run.cache),
        cell(&run.correlation),
        cell(one_line(run.message.as_deref().unwrap_or_default())),
    ]
}
