//! The program as its users start it: `outrigger call` as a process, from nothing to the answer on standard output.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::measure::{Effort, Series};
use crate::report::{Report, Section, Unit, millis};
use crate::say;

const CALL: [&str; 6] =
    ["call", "pricing.quote", "--json", r#"{"service":"compute-small","quantity":3}"#, "-o", "json"];

pub fn measure(effort: Effort, report: &mut Report) -> Result<()> {
    let (Some(program), Some(bundled)) = (path("OUTRIGGER_PROGRAM"), path("OUTRIGGER_BUNDLED")) else {
        say(
            "`outrigger call` is not measured: OUTRIGGER_PROGRAM and OUTRIGGER_BUNDLED are not set; `cargo xtask bench` does",
        );
        return Ok(());
    };
    say("`outrigger call` from the shell");
    let data = tempfile::tempdir()?;
    let shell = Shell { program, data: data.path().to_owned() };
    let package = bundled.join("pricing");
    shell.run(&["plugin", "install", &package.display().to_string(), "--yes"])?;

    let compiled = data.path().join("cache/compiled");
    let cold = (0..effort.pick(3, 7)).map(|_| {
        if compiled.exists() {
            std::fs::remove_dir_all(&compiled).context("cannot clear the compiled code")?;
        }
        shell.run(&CALL)
    });
    let cold = Series::of("", cold.collect::<Result<_>>()?);

    let (mut start, mut list, mut call) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.pick(8, 20) {
        start.push(shell.run(&["--version"])?);
        list.push(shell.run(&["plugin", "list", "-o", "json"])?);
        call.push(shell.run(&CALL)?);
    }
    let (start, list, call) = (Series::of("", start), Series::of("", list), Series::of("", call));

    let what = "`outrigger call` from the shell, compiled code cached".to_owned();
    report.at_most(what, call.median().as_secs_f64() * 1e3, 60.0, Unit::Millis);
    let row = |what: &str, series: &Series| {
        vec![what.to_owned(), millis(series.median()), millis(series.p99()), series.calls().to_string()]
    };
    let size = std::fs::metadata(package.join("pricing.wasm")).map_or(0, |file| file.len() / 1024);
    report.section(Section {
        title: "From the shell".to_owned(),
        intro: format!(
            "From the start of the process to its end. The plugin is the bundled `pricing`, a component of {size} KiB. \
             `--version` is what starting the program costs; `plugin list` adds what opening a data directory costs."
        ),
        columns: vec!["", "median", "p99", "processes"],
        rows: vec![
            row("`outrigger call`, nothing compiled yet", &cold),
            row("`outrigger call`, compiled code cached", &call),
            row("`outrigger plugin list`", &list),
            row("`outrigger --version`", &start),
        ],
    });
    Ok(())
}

struct Shell {
    program: PathBuf,
    data: PathBuf,
}

impl Shell {
    /// Runs the program once, and answers how long that took.
    fn run(&self, arguments: &[&str]) -> Result<Duration> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("OUTRIGGER_DATA", &self.data)
            .current_dir(&self.data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let output = command.output().with_context(|| format!("cannot run {}", self.program.display()))?;
        let took = started.elapsed();
        ensure!(
            output.status.success(),
            "`outrigger {}` ended with {}: {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(took)
    }
}

fn path(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(variable)?);
    std::path::absolute(&path).ok().filter(|path| Path::exists(path))
}
