//! Measurements against peers. They are a workspace of their own, so that the peers' dependencies stay out of ours.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{bundled, cargo, guests, run, say, tools};

/// Builds everything in release mode and writes `benches/REPORT.md`, or for the server `benches/SERVER.md`.
pub fn run_all(repository: &Path, server: bool, quick: bool) -> Result<()> {
    say("building the bundled plugins");
    let bundled = bundled(repository);
    guests::build_all(repository, &bundled)?;
    say("building the program in release mode");
    run(cargo(repository).args(["build", "--release", "-p", "outrigger-cli"]))?;
    say("building and running the measurements");
    let mut command: Command = cargo(&repository.join("benches"));
    command.args(["run", "--release", "--quiet", "--"]);
    if server {
        tools::wrk()?;
        command.arg("server");
    }
    if quick {
        command.arg("--quick");
    }
    run(command
        .env("OUTRIGGER_BUNDLED", &bundled)
        .env("OUTRIGGER_PROGRAM", crate::target_directory(repository).join("release/outrigger")))
}
