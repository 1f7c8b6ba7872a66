//! `outrigger plugin health`: what plugins say when they are asked, and what a server's monitor knows of them.

use outrigger_api::{Code, HealthChangeInfo, HealthInfo, LastCheckInfo, Platform, PluginHealth, PluginName};

use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::output::moment;
use crate::output::table::{cell, fields, section, status, table, table_or};

/// Runs the command.
///
/// # Errors
/// The platform's; or a plugin is unhealthy.
pub async fn run(context: &Context, names: Vec<PluginName>) -> CliResult {
    let platform = context.platform().await?;
    let overview = names.is_empty() && context.has_server();
    let reports = match overview {
        true => platform.plugin_health_list().await?.into_iter().map(known).collect(),
        false => ask(context, &**platform, names).await?,
    };
    context.output.print(&reports, || match (overview, &reports[..]) {
        (true, _) => table_or(
            "No plugins. `outrigger plugin install PATH` installs one.",
            &["PLUGIN", "STATUS", "STATE", "FAILED>", "RESTARTS>", "LAST CHECK", "NEXT CHECK", "REASON"],
            reports.iter().map(|report| overview_row(&report.monitor)).collect(),
        ),
        (false, [report]) => format!("{}{}", checks_table(&reports), monitor_text(&report.monitor)),
        (false, _) => checks_table(&reports),
    })?;
    match reports.iter().any(|report| report.status == "unhealthy") {
        true => Err(CliError::Reported(Code::FunctionFailed)),
        false => Ok(()),
    }
}

/// Asks plugins one after the other; all that take calls, where none is named.
async fn ask(context: &Context, platform: &dyn Platform, names: Vec<PluginName>) -> CliResult<Vec<HealthInfo>> {
    let names = match names.is_empty() {
        false => names,
        true => {
            let takes_calls = |state: &str| matches!(state, "registered" | "loaded" | "initialized" | "active");
            let plugins = platform.plugin_list().await?;
            plugins.into_iter().filter(|plugin| takes_calls(&plugin.state)).map(|plugin| plugin.name).collect()
        }
    };
    let mut reports = Vec::new();
    for name in &names {
        let _progress = context.output.spinner(format!("asking {name}"));
        reports.push(platform.plugin_health(name).await?);
    }
    Ok(reports)
}

/// The monitor's status, in the form of a plugin's own report.
fn known(monitor: PluginHealth) -> HealthInfo {
    let (plugin, status) = (monitor.plugin.clone(), monitor.status.clone());
    HealthInfo { plugin, status, checks: Vec::new(), monitor }
}

fn checks_table(reports: &[HealthInfo]) -> String {
    let rows = reports.iter().flat_map(|report| {
        let whole = vec![cell(report.plugin.as_str()), cell(""), status(&report.status), cell("")];
        let checks = report.checks.iter().map(|check| {
            let message = check.message.as_deref().unwrap_or_default();
            vec![cell(""), cell(&check.name), status(&check.status), cell(message)]
        });
        std::iter::once(whole).chain(checks)
    });
    table_or("No plugin is active.", &["PLUGIN", "CHECK", "STATUS", "MESSAGE"], rows.collect())
}

fn overview_row(health: &PluginHealth) -> Vec<comfy_table::Cell> {
    let at = |at: Option<time::OffsetDateTime>| at.map_or_else(|| "-".to_owned(), moment);
    let complaint = health.last_check.as_ref().and_then(|check| check.reason.as_ref());
    vec![
        cell(health.plugin.as_str()),
        status(&health.status),
        status(&health.state),
        cell(health.consecutive_failures.to_string()),
        cell(health.restarts_total.to_string()),
        cell(at(health.last_check.as_ref().map(|check| check.at))),
        cell(at(health.next_check_at)),
        cell(health.reason.as_ref().or(complaint).map_or("", String::as_str)),
    ]
}

/// The monitor's status of one plugin, if any.
fn monitor_text(health: &PluginHealth) -> String {
    let PluginHealth {
        plugin: _,
        state: _,
        reason: _,
        status: known,
        consecutive_failures,
        consecutive_successes,
        last_check,
        next_check_at,
        next_restart_at,
        restarts,
        restarts_total,
        changes,
    } = health;
    if last_check.is_none() && changes.is_empty() {
        return String::new();
    }
    let at = |at: &Option<time::OffsetDateTime>| at.map(moment).unwrap_or_default();
    let last = last_check.as_ref().map(|LastCheckInfo { at, outcome, reason, duration_us: _ }| match reason {
        Some(reason) => format!("{}: {outcome}, {reason}", moment(*at)),
        None => format!("{}: {outcome}", moment(*at)),
    });
    let text = fields(&[
        ("Status", known.clone()),
        ("In a row", format!("{consecutive_failures} failed, {consecutive_successes} did not")),
        ("Last check", last.unwrap_or_default()),
        ("Next check", at(next_check_at)),
        ("Next restart", at(next_restart_at)),
        ("Restarts", format!("{restarts} that count, {restarts_total} in all")),
    ]);
    let row = |HealthChangeInfo { at, from, to, reason }: &HealthChangeInfo| {
        vec![cell(moment(*at)), cell(from), status(to), cell(reason)]
    };
    let changes = match changes.is_empty() {
        true => String::new(),
        false => table(&["WHEN", "FROM", "TO", "REASON"], changes.iter().map(row)),
    };
    // A table ends without a line feed, a section begins with one.
    format!("\n{}{}", section("Monitor", &text), section("Changes", &changes))
}
