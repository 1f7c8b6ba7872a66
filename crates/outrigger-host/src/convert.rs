//! From the engine's types to those of the wire. Structs are destructured, so that a new field cannot be forgotten.

use outrigger_api::{
    ApiError, ClosedHook, Code, ConfigurationDifference, DifferenceKind, FunctionSummary, LogEntry, MigrationReport,
    ParameterInfo, PluginSummary, RunEntry, StateChanges,
};
use outrigger_contract::manifest::{FunctionOptions, Manifest};
use outrigger_contract::types::{Function, TypeGraph};
use outrigger_contract::{FunctionName, FunctionRef, text};
use outrigger_engine::Failure;
use outrigger_engine::configuration::Difference;
use outrigger_engine::life::{Migrated, StateDifference};
use outrigger_engine::runtime::{HealthStatus, LogLevel};
use outrigger_engine::store::{CacheOutcome, LogRecord, PluginRecord, RevisionSummary, RunRecord, StoreError};

pub(crate) fn error(failure: Failure) -> ApiError {
    let hint = failure.advice().to_owned();
    let Failure { code, message, hint: _, detail, retry_after } = failure;
    let retry_after_ms = retry_after.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    ApiError { code, message, hint, detail, retry_after_ms }
}

pub(crate) fn closed_hook(closed: outrigger_engine::hooks::ClosedHook) -> ClosedHook {
    let outrigger_engine::hooks::ClosedHook { hook, subscription, function, reason } = closed;
    ClosedHook { hook, subscription, function, reason }
}

pub(crate) fn store_error(store_error: StoreError) -> ApiError {
    error(Failure::from(store_error))
}

pub(crate) fn plugin(record: PluginRecord, summary: RevisionSummary) -> PluginSummary {
    let PluginRecord { name, active, state, reason, installed_at, updated_at, generation: _ } = record;
    let RevisionSummary { digest: _, plugin: _, version, title, description, categories, functions, installed_at: _ } =
        summary;
    PluginSummary {
        name,
        version: version.to_string(),
        title,
        description,
        categories,
        state: state.as_str().to_owned(),
        reason,
        functions,
        digest: active.to_string(),
        installed_at,
        updated_at,
    }
}

/// The maximum length of the summary and of the signature of a function in lists, in bytes.
const LONGEST_SUMMARY: usize = 2_000;

/// A function as lists show it. The manifest's words go before the documentation in the types.
pub(crate) fn function(manifest: &Manifest, graph: &TypeGraph, function: &Function) -> FunctionSummary {
    let options = options(manifest, function);
    let documentation = documentation(&options, function);
    FunctionSummary {
        function: FunctionRef::new(manifest.name.clone(), function_name(function)),
        title: options.title.clone().unwrap_or_else(|| sentence_of(&function.name)),
        summary: text::cut(&first_paragraph(&documentation), LONGEST_SUMMARY).into_owned(),
        signature: text::cut(&graph.signature(function), LONGEST_SUMMARY).into_owned(),
        tags: options.tags.clone(),
        read_only: options.read_only,
        destructive: options.may_destroy(),
        idempotent: options.idempotent,
    }
}

pub(crate) fn function_name(function: &Function) -> FunctionName {
    function.name.parse().expect("names in a graph are names of functions")
}

pub(crate) fn options(manifest: &Manifest, function: &Function) -> FunctionOptions {
    manifest.functions.get(&function_name(function)).cloned().unwrap_or_default()
}

pub(crate) fn documentation(options: &FunctionOptions, function: &Function) -> String {
    options.description.clone().unwrap_or_else(|| function.docs.clone())
}

pub(crate) fn parameters(graph: &TypeGraph, function: &Function) -> Vec<ParameterInfo> {
    let info = |param: &outrigger_contract::types::Field| ParameterInfo {
        name: param.name.clone(),
        ty: graph.display(&param.ty),
        required: !graph.is_optional(&param.ty),
        description: param.docs.clone(),
    };
    function.params.iter().map(info).collect()
}

fn first_paragraph(text: &str) -> String {
    text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect::<Vec<_>>().join(" ")
}

/// `optimize-network` → `Optimize network`.
fn sentence_of(name: &str) -> String {
    let words = name.replace(['-', '_', '.'], " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

pub(crate) fn run(record: RunRecord) -> RunEntry {
    let calls = record.calls();
    let RunRecord {
        id,
        correlation,
        plugin,
        function,
        digest,
        caller,
        started_at,
        duration_us,
        code,
        message,
        cache,
        attempts,
        sum: _,
    } = record;
    RunEntry {
        id: id.to_string(),
        started_at,
        function: FunctionRef::new(plugin, function),
        caller,
        duration_us,
        calls,
        outcome: code.map_or("ok", Code::as_str).to_owned(),
        code,
        message,
        cache: cache_outcome(cache).to_owned(),
        attempts,
        correlation: correlation.to_string(),
        revision: digest.map(|digest| digest.to_string()),
    }
}

pub(crate) fn log(record: LogRecord) -> LogEntry {
    let LogRecord { at, plugin, function, correlation, level, message, fields } = record;
    LogEntry {
        at,
        level: level_name(level).to_owned(),
        plugin,
        function,
        correlation: correlation.to_string(),
        message,
        fields,
    }
}

pub(crate) const fn cache_outcome(outcome: CacheOutcome) -> &'static str {
    match outcome {
        CacheOutcome::Bypass => "bypass",
        CacheOutcome::Miss => "miss",
        CacheOutcome::Hit => "hit",
        CacheOutcome::Shared => "shared",
    }
}

pub(crate) const fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

pub(crate) const fn health_status(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Healthy => "healthy",
        HealthStatus::Degraded => "degraded",
        HealthStatus::Unhealthy => "unhealthy",
    }
}

pub(crate) fn difference(Difference { key, before, after }: Difference) -> ConfigurationDifference {
    let kind = match (&before, &after) {
        (None, _) => DifferenceKind::Added,
        (_, None) => DifferenceKind::Removed,
        _ => DifferenceKind::Changed,
    };
    ConfigurationDifference { key, kind, before, after }
}

/// Converts the migration report.
pub(crate) fn migrated(migrated: Migrated) -> MigrationReport {
    let Migrated { from, to, steps, configuration, state } = migrated;
    let StateDifference { mut added, mut changed, mut removed } = state;
    let mut unnamed = 0;
    for keys in [&mut added, &mut changed, &mut removed] {
        unnamed += keys.len().saturating_sub(StateChanges::NAMED) as u64;
        keys.truncate(StateChanges::NAMED);
    }
    MigrationReport {
        from: from.to_string(),
        to: to.to_string(),
        steps,
        configuration: Some(configuration.into_iter().map(difference).collect()),
        state: StateChanges { added, changed, removed, unnamed },
    }
}
