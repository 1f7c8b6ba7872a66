//! Statistics: numbers that are added to.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_contract::{FunctionName, PluginName};
use outrigger_engine::store::{StatisticsRow, StoreError};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set};

use crate::columns;
use crate::database::{Database, Transaction, failed};
use crate::entities::{plugin, statistic};
use crate::records::parts;

/// The highest a number gets; it stays there.
pub(crate) const MAX: u64 = i64::MAX as u64;

/// `value + excluded.value`, but never beyond what the column holds: SQLite would go on in floating point.
const ADD: &str = r#"CASE WHEN "statistics"."value" > 9223372036854775807 - excluded."value"
    THEN 9223372036854775807 ELSE "statistics"."value" + excluded."value" END"#;

const ACTION: &str = "add to the statistics";

/// Adds to what is there. Numbers of a plugin that is gone are dropped: calls may end after their plugin.
pub(crate) async fn add(transaction: &Transaction, statistics: &[StatisticsRow]) -> Result<(), StoreError> {
    let mut installed = BTreeSet::new();
    for name in statistics.iter().map(|row| &row.plugin).collect::<BTreeSet<_>>() {
        let query = plugin::Entity::find_by_id(name.as_str()).select_only().column(plugin::Column::Name);
        let found: Option<String> = query.into_tuple().one(transaction).await.map_err(failed(ACTION))?;
        installed.extend(found);
    }
    let add = OnConflict::columns([
        statistic::Column::Plugin,
        statistic::Column::Function,
        statistic::Column::Kind,
        statistic::Column::Name,
    ])
    .value(statistic::Column::Value, Expr::cust(ADD))
    .to_owned();
    for part in parts(numbers(statistics, &installed)) {
        let insert = statistic::Entity::insert_many(part).on_conflict(add.clone());
        insert.exec_without_returning(transaction).await.map_err(failed(ACTION))?;
    }
    Ok(())
}

/// One row for each number. Added up, because no database but SQLite lets one statement meet the same row twice.
fn numbers(statistics: &[StatisticsRow], installed: &BTreeSet<String>) -> Vec<statistic::ActiveModel> {
    let mut sums: BTreeMap<(&str, &str, i64, String), u64> = BTreeMap::new();
    for StatisticsRow { plugin, function, counters, latency_us } in statistics {
        if !installed.contains(plugin.as_str()) {
            continue;
        }
        let counters = counters.iter().map(|(name, value)| (statistic::COUNTER, name.clone(), *value));
        let latencies = latency_us.iter().map(|(bound, calls)| (statistic::LATENCY, bound.to_string(), *calls));
        for (kind, name, value) in counters.chain(latencies) {
            let sum = sums.entry((plugin.as_str(), function.as_str(), kind, name)).or_default();
            *sum = sum.saturating_add(value);
        }
    }
    let row = |((plugin, function, kind, name), value): ((&str, &str, i64, String), u64)| statistic::ActiveModel {
        plugin: Set(plugin.to_owned()),
        function: Set(function.to_owned()),
        kind: Set(kind),
        name: Set(name),
        value: Set(columns::from_count(value)),
    };
    sums.into_iter().map(row).collect()
}

pub(crate) async fn list(database: &Database, name: Option<&PluginName>) -> Result<Vec<StatisticsRow>, StoreError> {
    let mut query = statistic::Entity::find();
    if let Some(name) = name {
        query = query.filter(statistic::Column::Plugin.eq(name.as_str()));
    }
    let rows = query.all(&database.read).await.map_err(failed("list the statistics"))?;
    let mut functions: BTreeMap<(PluginName, FunctionName), StatisticsRow> = BTreeMap::new();
    for statistic::Model { plugin, function, kind, name, value } in rows {
        let what = format_args!("the statistics of {plugin}.{function}");
        let plugin: PluginName = columns::parse(what, &plugin)?;
        let function: FunctionName = columns::parse(what, &function)?;
        let value = columns::to_count(what, value)?;
        let row = functions.entry((plugin, function)).or_insert_with_key(|(plugin, function)| StatisticsRow {
            plugin: plugin.clone(),
            function: function.clone(),
            counters: BTreeMap::new(),
            latency_us: BTreeMap::new(),
        });
        if kind == statistic::LATENCY {
            row.latency_us.insert(columns::parse(what, &name)?, value);
        } else {
            row.counters.insert(name, value);
        }
    }
    Ok(functions.into_values().collect())
}

/// Drops the statistics of all functions of a plugin but these.
pub(crate) async fn retain(
    database: &Database,
    name: &PluginName,
    functions: &BTreeSet<FunctionName>,
) -> Result<(), StoreError> {
    const ACTION: &str = "drop statistics";
    let of_plugin = statistic::Column::Plugin.eq(name.as_str());
    let present = statistic::Entity::find()
        .select_only()
        .column(statistic::Column::Function)
        .distinct()
        .filter(of_plugin.clone());
    let present: Vec<String> = present.into_tuple().all(&database.read).await.map_err(failed(ACTION))?;
    let kept: BTreeSet<&str> = functions.iter().map(FunctionName::as_str).collect();
    let gone: Vec<_> = present.into_iter().filter(|function| !kept.contains(function.as_str())).collect();
    if gone.is_empty() {
        return Ok(());
    }
    let transaction = database.begin_essential(ACTION).await?;
    for part in parts(gone) {
        let delete = statistic::Entity::delete_many().filter(of_plugin.clone());
        let delete = delete.filter(statistic::Column::Function.is_in(part));
        delete.exec(&transaction).await.map_err(failed(ACTION))?;
    }
    transaction.commit().await.map_err(failed(ACTION))
}
