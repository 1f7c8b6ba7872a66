//! Tests and checks, as CI runs them.

use std::path::Path;

use anyhow::Result;

use crate::{
    bundled, cargo, cfn_lint, dependencies, guests, hostile, plugins_cargo, run, say, schemathesis, target_directory,
    tools,
};

/// Runs all tests: of the workspace, of the plugins, of what the plugins make.
pub fn test(repository: &Path, filter: Option<&str>) -> Result<()> {
    say("building the bundled plugins, which the tests install and call");
    let bundled = bundled(repository);
    guests::build_all(repository, &bundled)?;
    if filter.is_none() {
        say("testing the plugins' own logic");
        run(plugins_cargo(repository).args(["test", "--workspace", "--quiet"]))?;
        say("checking CloudFormation templates with cfn-lint");
        let templates = cfn_lint::check(repository)?;
        say(&format!("{templates} templates pass"));
    }
    say("testing the workspace");
    let mut command = cargo(repository);
    match tools::nextest() {
        Some(nextest) => command.args([nextest, "run", "--workspace", "--no-fail-fast"]),
        None => command.args(["test", "--workspace", "--lib", "--bins", "--tests"]),
    };
    run(command.args(filter).env("OUTRIGGER_BUNDLED", &bundled))?;
    match filter {
        Some(_) => Ok(()),
        None => {
            schemathesis::check(repository, &bundled, &schemathesis::Options::default())?;
            hostile::check(repository, &hostile::Options::in_tests())
        }
    }
}

/// Checks everything that is not a test.
pub fn check(repository: &Path) -> Result<()> {
    say("format");
    run(cargo(repository).args(["fmt", "--all", "--check"]))?;
    run(plugins_cargo(repository).args(["fmt", "--all", "--check"]))?;
    say("allowed dependencies between our crates");
    dependencies::check(repository)?;
    say("lints, warnings as errors");
    run(cargo(repository).args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    say("the benchmarks compile");
    // A workspace of its own, which no test builds. Checked only: its peers bring a second wasmtime.
    let mut benches = cargo(&repository.join("benches"));
    benches.env("CARGO_TARGET_DIR", target_directory(repository));
    run(benches.args(["check", "--all-targets", "--quiet"]))?;
    say("licences, bans and sources");
    let deny = tools::deny(repository)?;
    run(std::process::Command::new(deny).current_dir(repository).args([
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}

/// Regenerates the reference pages. The tests that detect stale pages do it in update mode.
pub fn generate(repository: &Path) -> Result<()> {
    let mut command = cargo(repository);
    command.args(["test", "--quiet", "-p", "outrigger-contract", "-p", "outrigger-host", "-p", "outrigger-cli"]);
    command.args(["--", "generated"]);
    run(command.env("OUTRIGGER_GENERATE", "1"))
}
