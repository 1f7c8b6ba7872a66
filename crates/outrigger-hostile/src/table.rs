//! Measured values and their bounds.

use std::fmt::Write as _;

/// All measurements.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    bound: String,
    measured: String,
    passed: bool,
}

impl Table {
    /// An upper bound.
    pub fn at_most(&mut self, what: impl Into<String>, measured: u64, bound: u64, unit: &str) {
        self.holds(what, format!("≤ {bound} {unit}"), format!("{measured} {unit}"), measured <= bound);
    }

    /// A lower bound.
    pub fn at_least(&mut self, what: impl Into<String>, measured: u64, bound: u64, unit: &str) {
        self.holds(what, format!("≥ {bound} {unit}"), format!("{measured} {unit}"), measured >= bound);
    }

    /// An exact value.
    pub fn equal(&mut self, what: impl Into<String>, measured: u64, expected: u64) {
        self.holds(what, format!("= {expected}"), measured.to_string(), measured == expected);
    }

    /// Any measurement, with its outcome.
    pub fn holds(
        &mut self,
        what: impl Into<String>,
        bound: impl Into<String>,
        measured: impl Into<String>,
        passed: bool,
    ) {
        let row = Row { what: what.into(), bound: bound.into(), measured: measured.into(), passed };
        crate::say(&format!("{} {}: {} (bound {})", mark(row.passed), row.what, row.measured, row.bound));
        self.rows.push(row);
    }

    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.passed)
    }

    pub fn failures(&self) -> usize {
        self.rows.iter().filter(|row| !row.passed).count()
    }

    /// The table as text, with failures at the end, where they are seen.
    pub fn render(&self) -> String {
        let width = |text: fn(&Row) -> &str| self.rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0);
        let (what, bound) = (width(|row| &row.what), width(|row| &row.bound));
        let mut text = format!("{:what$}  {:bound$}  measured\n", "what", "bound");
        let (passed, failed): (Vec<_>, Vec<_>) = self.rows.iter().partition(|row| row.passed);
        for row in passed.into_iter().chain(failed) {
            let end = format!("{} {}", mark(row.passed), row.measured);
            writeln!(text, "{:what$}  {:bound$}  {end}", row.what, row.bound).expect("a text");
        }
        text
    }
}

fn mark(passed: bool) -> &'static str {
    if passed { "✓" } else { "✗" }
}
