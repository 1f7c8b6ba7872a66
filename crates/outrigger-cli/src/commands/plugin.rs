//! `outrigger plugin`: installed plugins and their state.

use outrigger_api::{
    ApiResult, AvailableReport, ClosedHook, FunctionStatistics, PluginDetails, PluginName, PluginSummary,
    StatisticsReport,
};
use serde_json::json;

use super::{configuration, functions, health, install, profile, records, signature, validate};
use crate::cli::{ListArguments, PluginCommand};
use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::output::table::{bullets, cell, fields, section, status, table, table_or};
use crate::output::{Format, clean, count, duration, moment, yellow};

/// Runs one of the commands about plugins.
///
/// # Errors
/// The platform's.
pub async fn run(context: &Context, command: PluginCommand) -> CliResult {
    match command {
        PluginCommand::List(arguments) => list(context, arguments).await,
        PluginCommand::Info { name } => {
            let details = context.platform().await?.plugin_info(&name).await?;
            context.output.print(&details, || info_text(&details))
        }
        PluginCommand::Install(arguments) => install::install(context, arguments).await,
        PluginCommand::Update(arguments) => install::update(context, arguments).await,
        PluginCommand::Uninstall(arguments) => install::uninstall(context, arguments).await,
        PluginCommand::Enable { names } => change(context, &names, Change::Enable).await,
        PluginCommand::Disable { names } => change(context, &names, Change::Disable).await,
        PluginCommand::Reload { names } => change(context, &names, Change::Reload).await,
        PluginCommand::Validate { path } => validate::run(context, &path).await,
        PluginCommand::Verify { names } => signature::verify(context, names).await,
        PluginCommand::Health { names } => health::run(context, names).await,
        PluginCommand::Stats { name } => {
            let report = context.platform().await?.plugin_statistics(name.as_ref()).await?;
            context.output.print(&report, || statistics_text(&report))
        }
        PluginCommand::Profile { name } => profile::run(context, &name).await,
        PluginCommand::Logs(arguments) => records::logs(context, arguments).await,
        PluginCommand::Warm { names } => warm(context, &names).await,
        PluginCommand::Config(arguments) => configuration::run(context, arguments).await,
        PluginCommand::Rollback(arguments) => install::rollback(context, arguments).await,
    }
}

async fn list(context: &Context, arguments: ListArguments) -> CliResult {
    let platform = context.platform().await?;
    if arguments.available {
        let report = platform.plugin_available().await?;
        context.output.print(&report, || available_text(&report))?;
        if context.output.format() == crate::output::Format::Table {
            for line in report.duplicates.iter().chain(&report.problems) {
                context.output.remark(&crate::output::yellow(&clean(line)));
            }
        }
        return Ok(());
    }
    let mut plugins = platform.plugin_list().await?;
    if let Some(state) = &arguments.state {
        plugins.retain(|plugin| plugin.state == *state);
    }
    let empty = match &arguments.state {
        None => "No plugins. `outrigger plugin install PATH` installs one.".to_owned(),
        Some(state) => format!("No plugin is {state}."),
    };
    let row = |plugin: &PluginSummary| {
        let about = plugin.reason.as_deref().unwrap_or(&plugin.title);
        vec![
            cell(plugin.name.as_str()),
            cell(&plugin.version),
            status(&plugin.state),
            cell(plugin.functions.to_string()),
            cell(about),
        ]
    };
    context.output.print(&plugins, || {
        let head = ["NAME", "VERSION", "STATE", "FUNCTIONS>", "TITLE"];
        table_or(&empty, &head, plugins.iter().map(row).collect())
    })
}

fn available_text(report: &AvailableReport) -> String {
    let rows = report.plugins.iter().map(|one| {
        vec![
            cell(one.name.as_str()),
            cell(&one.version),
            cell(one.installed_version.as_deref().unwrap_or("-")),
            cell(&one.origin),
            cell(&one.title),
        ]
    });
    table_or(
        "No packages in the search paths. OUTRIGGER_PLUGIN_PATH names more folders to look in.",
        &["NAME", "VERSION", "INSTALLED", "ORIGIN", "TITLE"],
        rows.collect(),
    )
}

fn info_text(details: &PluginDetails) -> String {
    let PluginDetails { summary, manifest, source, granted, capped, offered, refused, imports, exports, revisions } =
        details;
    let state = match &summary.reason {
        Some(reason) => format!("{}: {reason}", summary.state),
        None => summary.state.clone(),
    };
    let mut text = fields(&[
        ("Name", summary.name.to_string()),
        ("Title", summary.title.clone()),
        ("Version", summary.version.clone()),
        ("State", state),
        ("Description", summary.description.clone()),
        ("Authors", manifest.authors.join(", ")),
        ("Licence", manifest.license.clone().unwrap_or_default()),
        ("Homepage", manifest.homepage.clone().unwrap_or_default()),
        ("Categories", summary.categories.join(", ")),
        ("Source", source.clone()),
        ("Digest", summary.digest.clone()),
        ("Installed", moment(summary.installed_at)),
        ("Updated", moment(summary.updated_at)),
    ]);
    let permissions = match granted.is_empty() {
        true => "none: the plugin cannot use anything outside itself".to_owned(),
        false => bullets(granted),
    };
    text.push_str(&section("Permissions", &permissions));
    text.push_str(&section("Functions", &functions::offered(offered)));
    text.push_str(&section("Exports that cannot be called", &bullets(refused)));
    text.push_str(&section("Configuration", &configuration::schema_table(&manifest.configuration.to_json_schema())));
    let migrations = manifest.migrations.iter().map(outrigger_contract::manifest::MigrationStep::describe);
    text.push_str(&section("Migrations", &bullets(migrations)));
    text.push_str(&section("Limits", &limits(manifest)));
    text.push_str(&section("Limits that the operator's ceiling lowers", &bullets(capped)));
    text.push_str(&section(
        "Interfaces",
        &bullets(
            exports
                .iter()
                .map(|name| format!("exports {name}"))
                .chain(imports.iter().map(|name| format!("imports {name}"))),
        ),
    ));
    let rows = revisions.iter().map(|one| {
        vec![
            cell(&one.version),
            cell(moment(one.installed_at)),
            cell(if one.active { "active" } else { "" }),
            cell(&one.digest),
        ]
    });
    if revisions.len() > 1 {
        text.push_str(&section("Revisions", &table(&["VERSION", "INSTALLED", "", "DIGEST"], rows)));
    }
    text
}

fn limits(manifest: &outrigger_contract::Manifest) -> String {
    let limits = &manifest.limits;
    fields(&[
        ("Memory", limits.memory.to_string()),
        ("Time", limits.timeout.to_string()),
        ("CPU", limits.cpu.map(|cpu| cpu.to_string()).unwrap_or_default()),
        ("Output", limits.output.to_string()),
        ("At once", count(limits.concurrency.get() as usize, "call")),
        ("Log", format!("{} lines a call", limits.log_lines)),
        ("State", limits.state.to_string()),
    ])
}

/// An operation on plugins that needs only their names.
#[derive(Clone, Copy)]
enum Change {
    Enable,
    Disable,
    Reload,
}

/// Changes plugins one after the other. If one fails, the completed changes are shown.
async fn change(context: &Context, names: &[PluginName], change: Change) -> CliResult {
    let platform = context.platform().await?;
    let done = match change {
        Change::Enable => "enabled",
        Change::Disable => "disabled",
        Change::Reload => "reloaded",
    };
    let mut changed = Vec::new();
    let mut outcome: ApiResult<()> = Ok(());
    let mut closed = Vec::new();
    for name in names {
        let _progress = context.output.spinner(format!("{name}: being {done}"));
        outcome = match change {
            Change::Enable => platform.plugin_enable(name).await,
            Change::Disable => platform.plugin_disable(name).await.map(|report| closed.extend(report.closed_hooks)),
            Change::Reload => platform.plugin_reload(name).await,
        };
        if outcome.is_err() {
            break;
        }
        let closed: Vec<_> = closed.iter().filter(|closed: &&ClosedHook| closed.function.plugin == *name).collect();
        changed.push(match closed.is_empty() {
            true => json!({"name": name, "action": done}),
            false => json!({"name": name, "action": done, "closed_hooks": closed}),
        });
    }
    if outcome.is_ok() || !changed.is_empty() {
        let line = |name: &PluginName| format!("{name} {done}\n");
        context.output.print(&changed, || names.iter().take(changed.len()).map(line).collect())?;
        warn_of_closed(context, &closed);
    }
    outcome.map_err(CliError::from)
}

/// Warns about closed hooks. JSON and YAML output has them in its data.
pub fn warn_of_closed(context: &Context, closed: &[ClosedHook]) {
    for closed in closed.iter().filter(|_| context.output.format() == Format::Table) {
        context.output.remark(&format!("{} {}", yellow("warning:"), clean(&closed.sentence())));
    }
}

async fn warm(context: &Context, names: &[PluginName]) -> CliResult {
    let platform = context.platform().await?;
    let mut warmed = Vec::new();
    for name in names {
        let _progress = context.output.spinner(format!("warming {name}"));
        warmed.push((name, platform.plugin_warm(name).await?));
    }
    let value: Vec<_> = warmed.iter().map(|(name, instances)| json!({"name": name, "instances": instances})).collect();
    let line = |(name, instances): &(&PluginName, usize)| match instances {
        0 => format!("{name} is ready; each call gets a fresh instance\n"),
        _ => format!("{name} is ready; {} waiting\n", count(*instances, "instance")),
    };
    context.output.print(&value, || warmed.iter().map(line).collect())
}

fn statistics_text(report: &StatisticsReport) -> String {
    if report.functions.is_empty() {
        return "Nothing was called yet.".to_owned();
    }
    let head = [
        "FUNCTION",
        "CALLS>",
        "FAILED>",
        "REFUSED>",
        "LIMITED>",
        "RATE-LIMITED>",
        "CACHED>",
        "MEAN>",
        "P50>",
        "P95>",
        "P99>",
        "MAX>",
    ];
    let rows = report.functions.iter().chain((report.functions.len() > 1).then_some(&report.total));
    table(&head, rows.map(statistics_row))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean of times is not negative")]
fn statistics_row(one: &FunctionStatistics) -> Vec<comfy_table::Cell> {
    let share = |share: f64| format!("{:.0} %", share * 100.0);
    let number = |number: u64| cell(number.to_string());
    vec![
        cell(&one.function),
        number(one.calls),
        number(one.failures),
        number(one.refused),
        number(one.limited),
        number(one.rate_limited),
        cell(share(one.cache_hit_rate)),
        cell(duration(one.mean_us as u64)),
        cell(duration(one.p50_us)),
        cell(duration(one.p95_us)),
        cell(duration(one.p99_us)),
        cell(duration(one.max_us)),
    ]
}
