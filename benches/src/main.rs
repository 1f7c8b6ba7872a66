//! Measures Outrigger against bare wasmtime and against extism, side by side in one run, and writes `REPORT.md`.
//!
//! Read in this order: [`measure`] (how a time is taken), [`contenders`] (who competes, and that all do the same work),
//! [`calls`] (the comparison), [`scale`] (many plugins, memory), [`shell`] (the program as its users start it),
//! [`report`] (targets, and whether they were met). Ends with 1 when one was missed.
//!
//! With `server` it measures the program's server instead, beside a bare axum handler, and writes `SERVER.md`: [`load`]. With
//! `fleet` it watches a thousand plugins at work, and writes `FLEET.md`: [`fleet`].

mod calls;
mod contenders;
mod fleet;
mod guests;
mod load;
mod measure;
mod report;
mod scale;
mod server;
mod shell;
mod wrk;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use measure::Effort;
use report::Report;

/// What was asked for on the command line.
enum Task {
    Measure(Effort),
    /// The server under load, into a report of its own.
    Load(Effort),
    /// A thousand plugins at work, into a report of its own.
    Fleet(Effort),
    /// A process of its own that only echoes JSON.
    BareAxum,
    /// In a process of its own, whose memory is looked at.
    Probe {
        data: PathBuf,
        calls: usize,
    },
    /// Nothing but calls of one kind, for a profiler to look at.
    Profile {
        function: String,
        seconds: u64,
    },
}

fn main() -> ExitCode {
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no asynchronous runtime")
        .and_then(|runtime| runtime.block_on(run()));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode> {
    let effort = match task()? {
        Task::Probe { data, calls } => {
            scale::probe(&data, calls).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Task::Profile { function, seconds } => {
            calls::profile(&guests::build()?, &function, Duration::from_secs(seconds)).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Task::BareAxum => {
            server::bare_axum().await?;
            return Ok(ExitCode::SUCCESS);
        }
        Task::Load(effort) => {
            let mut report = Report::of_the_server(effort);
            load::measure(&guests::build()?, effort, &mut report)?;
            return finish(&report, "SERVER.md");
        }
        Task::Fleet(effort) => {
            let mut report = Report::of_the_fleet(effort);
            fleet::measure(&guests::build()?, effort, &mut report).await?;
            return finish(&report, "FLEET.md");
        }
        Task::Measure(effort) => effort,
    };
    let guests = guests::build()?;
    let mut report = Report::new(effort);
    calls::measure(&guests, effort, &mut report).await?;
    scale::measure(&guests, effort, &mut report).await?;
    shell::measure(effort, &mut report)?;
    finish(&report, "REPORT.md")
}

/// Writes the report and says what was missed.
fn finish(report: &Report, file: &str) -> Result<ExitCode> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::write(&path, report.render()).with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("the report is in {}", path.display()));
    for target in report.missed() {
        say(&format!("missed: {target}"));
    }
    Ok(if report.missed().next().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn task() -> Result<Task> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(Task::Measure(Effort::Full)),
        ["--quick"] => Ok(Task::Measure(Effort::Quick)),
        ["server"] => Ok(Task::Load(Effort::Full)),
        ["server", "--quick"] => Ok(Task::Load(Effort::Quick)),
        ["fleet"] => Ok(Task::Fleet(Effort::Full)),
        ["fleet", "--quick"] => Ok(Task::Fleet(Effort::Quick)),
        ["bare-axum"] => Ok(Task::BareAxum),
        ["probe", data, calls] => {
            Ok(Task::Probe { data: PathBuf::from(data), calls: calls.parse().context("calls is a number")? })
        }
        ["profile", function, seconds] => {
            Ok(Task::Profile { function: (*function).to_owned(), seconds: seconds.parse().context("seconds")? })
        }
        _ => bail!(
            "the arguments are `server`, `fleet` and `--quick`; `profile peer-warm.quote 10` only makes calls, for a profiler"
        ),
    }
}

/// Tells the user what is being done.
fn say(text: &str) {
    eprintln!("benches: {text}");
}
