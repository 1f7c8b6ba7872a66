//! Measurements against peers. They are a workspace of their own, so that the peers' dependencies stay out of ours.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{bundled, cargo, guests, run, say, tools};

/// The benchmarks, each with its own report.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Calls against peers: `benches/REPORT.md`.
    Peers,
    /// The server under load: `benches/SERVER.md`.
    Server,
    /// A thousand plugins at work: `benches/FLEET.md`.
    Fleet,
}

/// Builds everything in release mode and writes the report.
pub fn run_all(repository: &Path, mode: Mode, quick: bool) -> Result<()> {
    say("building the bundled plugins");
    let bundled = bundled(repository);
    guests::build_all(repository, &bundled)?;
    say("building the program in release mode");
    run(cargo(repository).args(["build", "--release", "-p", "outrigger-cli"]))?;
    say("building and running the measurements");
    let mut command: Command = cargo(&repository.join("benches"));
    command.args(["run", "--release", "--quiet", "--"]);
    match mode {
        Mode::Peers => {}
        Mode::Server => {
            tools::wrk()?;
            command.arg("server");
        }
        Mode::Fleet => {
            command.arg("fleet");
        }
    }
    if quick {
        command.arg("--quick");
    }
    run(command
        .env("OUTRIGGER_BUNDLED", &bundled)
        .env("OUTRIGGER_PROGRAM", crate::target_directory(repository).join("release/outrigger")))
}
