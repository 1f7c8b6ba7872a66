//! Sums of the runs of a time span.

use std::collections::BTreeSet;

use outrigger_api::{ApiResult, UsageGroup, UsageKey, UsageQuery, UsageReport};
use outrigger_contract::{Code, FunctionRef, PluginName};
use outrigger_engine::Engine;
use outrigger_engine::store::{Usage, UsageFilter, UsageKey as Key, UsageRecord};
use time::OffsetDateTime;

use crate::convert;

/// Of the plugin that the query names, or of those that the caller may see; of all where `seen` is none.
pub(crate) async fn usage(
    engine: &Engine,
    query: &UsageQuery,
    seen: Option<impl Fn(&PluginName) -> bool>,
) -> ApiResult<UsageReport> {
    let (since, until) = query.span(OffsetDateTime::now_utc())?;
    engine.flush().await;
    let plugins = match (&query.plugin, seen) {
        (Some(plugin), _) => Some(BTreeSet::from([plugin.clone()])),
        (None, None) => None,
        // A sum cannot be taken apart afterwards, so what may not be seen must not get into it.
        (None, Some(seen)) => {
            let named = engine.store().run_plugins().await.map_err(convert::store_error)?;
            Some(named.into_iter().filter(seen).collect())
        }
    };
    let by = query.keys();
    let UsageQuery { plugin: _, function, caller, by: _, since: _, until: _, limit } = query;
    let filter = UsageFilter {
        since,
        until,
        plugins,
        function: function.clone(),
        caller: caller.clone(),
        by: by.iter().flat_map(keys).collect(),
        limit: (*limit).min(UsageQuery::MOST),
    };
    let Usage { groups, truncated, oldest } = engine.store().run_usage(&filter).await.map_err(convert::store_error)?;
    let outcome = by.contains(UsageKey::Outcome);
    Ok(UsageReport {
        since,
        until,
        by: by.iter().collect(),
        groups: groups.into_iter().map(|record| group(record, outcome)).collect(),
        truncated,
        recorded_since: oldest,
    })
}

/// The fields that the store groups by. Functions of two plugins can have the same name.
fn keys(key: UsageKey) -> Vec<Key> {
    match key {
        UsageKey::Hour => vec![Key::Hour],
        UsageKey::Day => vec![Key::Day],
        UsageKey::Plugin => vec![Key::Plugin],
        UsageKey::Function => vec![Key::Plugin, Key::Function],
        UsageKey::Caller => vec![Key::Caller],
        UsageKey::Outcome => vec![Key::Outcome],
    }
}

/// `outcome`: whether groups are told apart by it. Without a code it is success, or was not asked for.
fn group(record: UsageRecord, outcome: bool) -> UsageGroup {
    let UsageRecord { from, plugin, function, caller, code, calls, failures, cache_hits, retries, total_us, max_us } =
        record;
    UsageGroup {
        from,
        function: plugin.clone().zip(function).map(|(plugin, function)| FunctionRef::new(plugin, function)),
        plugin,
        caller,
        outcome: outcome.then(|| code.map_or("ok", Code::as_str).to_owned()),
        calls,
        failures,
        cache_hits,
        retries,
        total_us,
        mean_us: total_us.checked_div(calls).unwrap_or_default(),
        max_us,
    }
}
