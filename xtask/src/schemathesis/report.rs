//! The report of a schemathesis run: the number of cases, and the operations that never succeeded.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

use crate::say;

pub struct Report {
    pub cases: u64,
    /// How many right requests were made of each operation, and how many of them it took.
    operations: Vec<(String, u64, u64)>,
}

impl Report {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} could not be read", path.display()))?;
        let report: Value = serde_json::from_str(&text)?;
        let cases = report["test_cases"]["generated"].as_u64().context("the report does not count its cases")?;
        let rates = report["valid_rates"].as_object().context("the report does not count what was accepted")?;
        Ok(Self { cases, operations: rates.iter().map(|(label, phases)| counted(label, phases)).collect() })
    }

    /// Tells the user how many cases there were, and where only refusals were tested.
    pub fn show(&self) {
        let (right, accepted) = self.operations.iter().fold((0, 0), |sum, one| (sum.0 + one.1, sum.1 + one.2));
        let Self { cases, operations } = self;
        say(&format!(
            "{cases} cases over {} operations; {accepted} of {right} right requests were done",
            operations.len()
        ));
        for (label, right, _) in operations.iter().filter(|(_, _, accepted)| *accepted == 0) {
            say(&format!("never done: {label}, {right} right requests"));
        }
    }
}

/// An operation with its numbers of all phases together.
fn counted(label: &str, phases: &Value) -> (String, u64, u64) {
    let phases = phases.as_object().into_iter().flat_map(Map::values);
    let (mut right, mut accepted) = (0, 0);
    for phase in phases {
        right += phase.as_object().into_iter().flat_map(Map::values).filter_map(Value::as_u64).sum::<u64>();
        accepted += phase["accepted"].as_u64().unwrap_or_default();
    }
    (label.to_owned(), right, accepted)
}
