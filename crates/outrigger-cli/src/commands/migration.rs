//! Text about migrations of configuration and state.

use outrigger_api::{MigrationReport, RollbackReport, StateChanges};

use super::configuration::revisions;
use crate::output::count;
use crate::output::table::{bullets, cell, section, table};

/// Whether there is anything to say.
pub(super) fn is_notable(report: &MigrationReport) -> bool {
    let MigrationReport { from: _, to: _, steps, configuration, state } = report;
    !steps.is_empty() || configuration.as_ref().is_some_and(|keys| !keys.is_empty()) || !state.is_empty()
}

/// Steps, and the keys that differ.
pub(super) fn text(report: &MigrationReport) -> String {
    let MigrationReport { from: _, to: _, steps, configuration, state } = report;
    if !is_notable(report) {
        return "\nThe configuration and the state stay as they are.\n".to_owned();
    }
    let mut text = section("Steps", &bullets(steps));
    let changed = match configuration {
        None => "hidden (your key lacks the right)".to_owned(),
        Some(keys) if keys.is_empty() => "unchanged".to_owned(),
        Some(keys) => table(&["KEY", "", "BEFORE", "AFTER"], keys.iter().map(revisions::difference)),
    };
    text.push_str(&section("Configuration", &changed));
    text.push_str(&section("State", &state_text(state)));
    text
}

fn state_text(state: &StateChanges) -> String {
    if state.is_empty() {
        return "unchanged".to_owned();
    }
    let StateChanges { added, changed, removed, unnamed } = state;
    let kinds = [("added", added), ("changed", changed), ("removed", removed)];
    let rows = kinds.into_iter().flat_map(|(kind, keys)| keys.iter().map(move |key| vec![cell(key), cell(kind)]));
    let mut text = table(&["KEY", ""], rows);
    if *unnamed > 0 {
        text.push_str(&format!("\nand {} more", count(usize::try_from(*unnamed).unwrap_or(usize::MAX), "key")));
    }
    text
}

/// The changes of a rollback, done or planned.
pub(super) fn rollback_text(report: &RollbackReport) -> String {
    let RollbackReport { plugin, dry_run, lost_writes, migration } = report;
    let MigrationReport { from, to, .. } = migration;
    let mut said = match dry_run {
        true => format!("Rolling back {plugin} from {from} to {to} would make these changes:\n"),
        false => format!("{plugin} rolled back from {from} to {to}\n"),
    };
    if *lost_writes > 0 {
        let writes = count(usize::try_from(*lost_writes).unwrap_or(usize::MAX), "write");
        let lost = if *dry_run { "would be lost" } else { "lost" };
        said.push_str(&format!("{writes} to the state since the update {lost}.\n"));
    }
    said + &text(migration)
}
