//! How well plugins are, as it is shown.

use std::time::Duration;

use outrigger_api::{
    ApiResult, HealthChangeInfo, HealthCheckInfo, HealthInfo, LastCheckInfo, PluginHealth, PluginHealthMetrics,
};
use outrigger_contract::PluginName;
use outrigger_engine::Engine;
use outrigger_engine::health::machine::{Grade, Run, Standing};
use outrigger_engine::health::{Examination, HealthChange, HealthRecord, HealthView, LastCheck, Status};
use outrigger_engine::runtime::HealthCheck;

use crate::convert;

/// Asks one plugin, and adds what is known of it.
pub(super) async fn ask(engine: &Engine, name: &PluginName) -> ApiResult<HealthInfo> {
    let examination = engine.examine(name).await.map_err(convert::error)?;
    let monitor = known(engine, engine.health_of(name).await.map_err(convert::error)?)?;
    let Examination { grade, reason, report, duration: _ } = examination;
    let status = match grade {
        Grade::Healthy => "healthy",
        Grade::Degraded => "degraded",
        Grade::Failed => "unhealthy",
    };
    let check = |check: HealthCheck| HealthCheckInfo {
        name: check.name,
        status: convert::health_status(check.status).to_owned(),
        message: check.message,
    };
    let silent = || HealthCheckInfo {
        name: "loaded".to_owned(),
        status: status.to_owned(),
        message: reason.or_else(|| Some("the plugin was brought up; it reports no health of its own".to_owned())),
    };
    let checks = match report {
        Some(report) => report.checks.into_iter().map(check).collect(),
        None => vec![silent()],
    };
    Ok(HealthInfo { plugin: name.clone(), status: status.to_owned(), checks, monitor })
}

/// The health of the plugins that the caller is allowed to see.
pub(super) async fn list(engine: &Engine, seen: impl Fn(&PluginName) -> bool) -> ApiResult<Vec<PluginHealth>> {
    let views = engine.health_list().await.map_err(convert::error)?.into_iter();
    // One that was removed just now is left out.
    Ok(views.filter(|view| seen(&view.record.plugin)).filter_map(|view| known(engine, view).ok()).collect())
}

/// For monitoring: plugins of which something is known.
pub(crate) async fn metrics(engine: &Engine) -> ApiResult<Vec<PluginHealthMetrics>> {
    let views = engine.health_list().await.map_err(convert::error)?.into_iter();
    let told = views.filter(|view| view.record.last_check.is_some() || view.record.restarts_total > 0);
    let one = |view: HealthView| PluginHealthMetrics {
        status: view.record.standing.status.as_str().to_owned(),
        restarts: view.record.restarts_total,
        plugin: view.record.plugin,
    };
    Ok(told.map(one).collect())
}

fn known(engine: &Engine, view: HealthView) -> ApiResult<PluginHealth> {
    let HealthView { record, next_check } = view;
    let HealthRecord { plugin, standing, last_check, restarts_total, changes } = record;
    let Standing { status, run, restarts, restart_at } = standing;
    let Run { failed, passed, impaired: _, healthy: _ } = run;
    let (installed, _) = engine.plugin(&plugin).map_err(convert::error)?;
    Ok(PluginHealth {
        plugin,
        state: installed.state.as_str().to_owned(),
        reason: installed.reason,
        status: status.as_str().to_owned(),
        consecutive_failures: failed,
        consecutive_successes: passed,
        last_check: last_check.map(last),
        // One that was disabled just now may still be on the list.
        next_check_at: next_check.filter(|_| installed.state.is_enabled()),
        next_restart_at: restart_at,
        restarts: u32::try_from(restarts.len()).unwrap_or(u32::MAX),
        restarts_total,
        changes: changes.into_iter().rev().map(change).collect(),
    })
}

fn last(check: LastCheck) -> LastCheckInfo {
    let LastCheck { at, grade, reason, duration } = check;
    let outcome = match grade {
        Grade::Healthy => "healthy",
        Grade::Degraded => "degraded",
        Grade::Failed => "failed",
    };
    LastCheckInfo { at, outcome: outcome.to_owned(), reason, duration_us: microseconds(duration) }
}

fn change(change: HealthChange) -> HealthChangeInfo {
    let HealthChange { at, from, to, reason } = change;
    let name = |status: Status| status.as_str().to_owned();
    HealthChangeInfo { at, from: name(from), to: name(to), reason }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
