//! Revisions of a configuration, and rollback.

use outrigger_api::{ConfigurationDifference, ConfigurationRevision, DifferenceKind, PluginName};
use serde_json::{Value as Json, json};

use super::{is_hidden, plain};
use crate::cli::ConfigAction;
use crate::context::Context;
use crate::error::CliResult;
use crate::output::table::{cell, table_or};
use crate::output::{moment, one_line};

pub(super) async fn run(context: &Context, name: &PluginName, action: ConfigAction) -> CliResult {
    let platform = context.platform().await?;
    match action {
        ConfigAction::History => {
            let revisions = platform.configuration_revisions(name).await?;
            context.output.print(&revisions, || {
                let head = ["REVISION>", "WHEN", "WHO", "VALUES", "", "CORRELATION"];
                table_or(&format!("{name} was never configured."), &head, revisions.iter().map(row).collect())
            })
        }
        ConfigAction::Diff { from, to } => {
            let diff = platform.configuration_diff(name, from, to).await?;
            context.output.print(&diff, || {
                let same = format!("Revisions {} and {} are the same.", diff.from, diff.to);
                let head = ["KEY", "", "BEFORE", "AFTER"];
                table_or(&same, &head, diff.differences.iter().map(difference).collect())
            })
        }
        ConfigAction::Rollback { revision: restored } => {
            let revision = platform.configuration_rollback(name, restored).await?;
            let outcome = json!({"plugin": name, "revision": revision});
            let text = || format!("{name} is configured as in revision {restored} again, revision {revision}");
            context.output.print(&outcome, text)
        }
    }
}

fn row(revision: &ConfigurationRevision) -> Vec<comfy_table::Cell> {
    let ConfigurationRevision { revision, at, by, correlation, restores, values } = revision;
    let values: Vec<_> = values.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect();
    let restores = restores.map(|restored| format!("as in {restored}")).unwrap_or_default();
    let values = one_line(&values.join(" "));
    vec![cell(revision.to_string()), cell(moment(*at)), cell(by), cell(values), cell(restores), cell(correlation)]
}

pub(in crate::commands) fn difference(difference: &ConfigurationDifference) -> Vec<comfy_table::Cell> {
    let ConfigurationDifference { key, kind, before, after } = difference;
    let kind = match kind {
        DifferenceKind::Added => "added",
        DifferenceKind::Removed => "removed",
        DifferenceKind::Changed => "changed",
    };
    let value = |value: &Option<Json>| value.as_ref().map_or_else(|| "-".to_owned(), shown);
    vec![cell(key), cell(kind), cell(value(before)), cell(value(after))]
}

fn shown(value: &Json) -> String {
    if is_hidden(value) { "(secret)".to_owned() } else { plain(value) }
}
