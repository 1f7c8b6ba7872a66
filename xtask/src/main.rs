//! The project's own commands. Each does every set-up step it needs and says what it does; what it cannot install it
//! names, with the command that would.

mod bench;
mod cfn_lint;
mod checks;
mod demo;
mod dependencies;
mod fuzz;
mod guests;
mod hostile;
mod schemathesis;
mod tools;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use bench::Mode;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the other commands need, as far as it can be installed
    Setup,
    /// Build everything, install the bundled plugins and run the main job on real input
    Demo {
        /// Keep the data directory here instead of making a new one
        #[arg(long)]
        data: Option<PathBuf>,
    },
    /// Run all tests
    Test {
        /// Only tests whose names contain this; guests are built all the same
        filter: Option<String>,
    },
    /// Hold the server to its OpenAPI document with schemathesis; part of `test` too
    Schemathesis(schemathesis::Options),
    /// Attack the server with hostile plugins, packages, keys and hosts; fill the disk; fuzz untrusted input
    Hostile(hostile::Options),
    /// Fuzz untrusted input: manifests, archives, components, values, conditions, templates, payloads
    Fuzz(fuzz::Options),
    /// Check format, lints, allowed dependencies, licences, and that the benchmarks compile
    Check,
    /// Build the bundled plugins from source
    Guests,
    /// Regenerate the pages of docs/reference
    Gen,
    /// Measure against peers and write benches/REPORT.md
    Bench {
        /// Measure the server under load instead, and write benches/SERVER.md
        #[arg(long)]
        server: bool,
        /// Watch a thousand plugins at work for five minutes instead, and write benches/FLEET.md
        #[arg(long, conflicts_with = "server")]
        fleet: bool,
        /// Fewer rounds, to see that it works
        #[arg(long)]
        quick: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Task::Setup => tools::setup(&repository()),
        Task::Demo { data } => demo::run_all(&repository(), data),
        Task::Test { filter } => checks::test(&repository(), filter.as_deref()),
        Task::Schemathesis(options) => schemathesis::check(&repository(), &bundled(&repository()), &options),
        Task::Hostile(options) => hostile::check(&repository(), &options),
        Task::Fuzz(options) => fuzz::check(&repository(), &options),
        Task::Check => checks::check(&repository()),
        Task::Guests => guests::build_all(&repository(), &bundled(&repository())).map(drop),
        Task::Gen => checks::generate(&repository()),
        Task::Bench { server: true, fleet: _, quick } => bench::run_all(&repository(), Mode::Server, quick),
        Task::Bench { fleet: true, server: _, quick } => bench::run_all(&repository(), Mode::Fleet, quick),
        Task::Bench { quick, .. } => bench::run_all(&repository(), Mode::Peers, quick),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository that cargo runs this from. Not the one this was compiled in: checkouts may share a target
/// directory.
fn repository() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&own).parent().expect("xtask lies in the repository").to_owned()
}

/// Where cargo puts what it builds.
fn target_directory(repository: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => repository.join(folder),
        None => repository.join("target"),
    }
}

/// Where the packages of the bundled plugins are.
fn bundled(repository: &Path) -> PathBuf {
    target_directory(repository).join("bundled")
}

/// Tells the user what is being done.
#[expect(clippy::print_stderr, reason = "a command for people")]
fn say(text: &str) {
    eprintln!("xtask: {text}");
}

/// Runs a command to its end, and fails when it does.
fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    ensure!(status.success(), "`{shown}` ended with {status}");
    Ok(())
}

/// Cargo, in the repository.
fn cargo(repository: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(repository);
    command
}

/// Cargo, in the workspace of the plugins, for this machine: their logic is tested without Wasm.
fn plugins_cargo(repository: &Path) -> Command {
    let mut command = cargo(&repository.join("plugins"));
    command.env("CARGO_TARGET_DIR", target_directory(repository).join("plugins"));
    command
}
