//! What is written down: the targets first, each met or missed, then every figure.

use std::fmt::Write as _;
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::format_description;

use crate::measure::Effort;

/// What a target is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Times,
    Micros,
    Millis,
    Mebibytes,
    Count,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Times => times(value),
            Self::Micros => format!("{value:.1} µs"),
            Self::Millis => format!("{value:.1} ms"),
            Self::Mebibytes => format!("{value:.0} MiB"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

struct Target {
    what: String,
    measured: String,
    wanted: String,
    met: bool,
}

/// A table with a sentence about it.
pub struct Section {
    pub title: String,
    pub intro: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

/// The report, as it grows.
pub struct Report {
    /// The command that writes it.
    command: String,
    /// How it was measured.
    method: &'static str,
    targets: Vec<Target>,
    sections: Vec<Section>,
}

impl Report {
    /// Of calls within the process, against peers.
    pub fn new(effort: Effort) -> Self {
        let method = "All contenders run in one process and take turns in short rounds, so a ratio within one table holds on \
                      other machines too; absolute figures do not. Every call of ours takes the whole path, with an SQLite \
                      store behind it: resolve, authorise, validate, limits, cache, deadline, run, record.";
        Self::written_by("cargo xtask bench", method, effort)
    }

    /// Of the program's server.
    pub fn of_the_server(effort: Effort) -> Self {
        let method = "The program serves as `outrigger serve` does for its users, in a process of its own with a data \
                      directory on the disk; its client runs on the same machine and takes its share of the cores. Shares \
                      hold on other machines too; absolute figures do not.";
        Self::written_by("cargo xtask bench --server", method, effort)
    }

    /// Of a thousand plugins at work.
    pub fn of_the_fleet(effort: Effort) -> Self {
        let method = "The program serves as `outrigger serve` does for its users, in a process of its own with a data \
                      directory on the disk. Requests come from the same machine at fixed times, whether or not the ones \
                      before were answered, and times are counted from then.";
        Self::written_by("cargo xtask bench --fleet", method, effort)
    }

    fn written_by(command: &str, method: &'static str, effort: Effort) -> Self {
        let quick = if effort == Effort::Quick { " --quick" } else { "" };
        Self { command: format!("{command}{quick}"), method, targets: Vec::new(), sections: Vec::new() }
    }

    /// A target that is met where the value does not exceed the limit.
    pub fn at_most(&mut self, what: String, value: f64, limit: f64, unit: Unit) {
        let (measured, wanted) = (unit.show(value), format!("≤ {}", unit.show(limit)));
        self.targets.push(Target { what, measured, wanted, met: value <= limit });
    }

    /// A target that is met where the value reaches the limit.
    pub fn at_least(&mut self, what: String, value: f64, limit: f64, unit: Unit) {
        let (measured, wanted) = (unit.show(value), format!("≥ {}", unit.show(limit)));
        self.targets.push(Target { what, measured, wanted, met: value >= limit });
    }

    pub fn section(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// The targets that were missed, each for a person to read.
    pub fn missed(&self) -> impl Iterator<Item = String> {
        let show = |target: &Target| format!("{}: {}, wanted {}", target.what, target.measured, target.wanted);
        self.targets.iter().filter(|target| !target.met).map(show)
    }

    /// The whole as Markdown.
    pub fn render(&self) -> String {
        let mut text = String::from("# Measurements\n\n");
        _ = writeln!(text, "Written by `{}`. {}\n\n{}\n", self.command, environment(), self.method);
        let targets = self.targets.iter().map(|target| {
            let Target { what, measured, wanted, met } = target;
            vec![if *met { "✓" } else { "✗" }.to_owned(), what.clone(), measured.clone(), wanted.clone()]
        });
        table(&mut text, &["", "target", "measured", "wanted"], targets);
        for Section { title, intro, columns, rows } in &self.sections {
            _ = writeln!(text, "\n## {title}\n\n{intro}\n");
            table(&mut text, columns, rows.iter().cloned());
        }
        text
    }
}

fn table(text: &mut String, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    _ = writeln!(text, "| {} |", columns.join(" | "));
    _ = writeln!(text, "|{}|", vec!["---"; columns.len()].join("|"));
    for row in rows {
        _ = writeln!(text, "| {} |", row.join(" | "));
    }
}

/// The machine by its cores and memory, the day, and the versions.
fn environment() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = status("/proc/meminfo", "MemTotal:").unwrap_or_default() as f64 / f64::from(1 << 20);
    let date = OffsetDateTime::now_utc().format(format_description!("[year]-[month]-[day]")).unwrap_or_default();
    format!(
        "{date}, {cores} cores, {memory:.0} GiB of memory; {}; wasmtime {}, extism {} (on wasmtime {}).",
        compiler(),
        locked("wasmtime", "48."),
        locked("extism", ""),
        locked("wasmtime", "43."),
    )
}

fn compiler() -> String {
    let output = std::process::Command::new("rustc").arg("--version").output();
    let text = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    match text.split_whitespace().nth(1) {
        Some(version) => format!("Rust {version}"),
        None => "Rust of unknown version".to_owned(),
    }
}

/// The version of a dependency that begins so.
fn locked(name: &str, begins: &str) -> &'static str {
    let lines: Vec<&'static str> = include_str!("../Cargo.lock").lines().collect();
    let name = format!("name = \"{name}\"");
    let version = |pair: &[&'static str]| {
        let version = pair[1].strip_prefix("version = \"")?.strip_suffix('"')?;
        (pair[0] == name && version.starts_with(begins)).then_some(version)
    };
    lines.windows(2).find_map(version).unwrap_or("?")
}

/// A number of KiB from a file in `/proc`.
pub fn status(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
}

pub fn micros(time: Duration) -> String {
    format!("{:.2} µs", time.as_secs_f64() * 1e6)
}

pub fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

pub fn times(ratio: f64) -> String {
    format!("{ratio:.2} ×")
}
