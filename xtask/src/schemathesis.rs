//! Holds the server to its own OpenAPI document with schemathesis: thousands of requests, right and wrong ones, made from
//! the document. Every answer must be one that the document describes.

mod report;
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{cargo, guests, run, say, target_directory, tools};
use report::Report;
use server::Server;

const PACKAGES: &[&str] = &["schemathesis==4.32.0", "openapi-spec-validator==0.9.0"];
const SETTINGS: &str = include_str!("schemathesis/settings.toml");
const VALIDATE: &str = include_str!("schemathesis/validate.py");
const CHECKS: &str = include_str!("schemathesis/checks.py");
/// A run of fewer cases proves too little.
const LEAST: u64 = 5_000;

/// Options of a run.
#[derive(clap::Args)]
pub struct Options {
    /// The random seed; the same seed makes the same requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many requests to make up at most for one operation, beside those that cover its parameters
    #[arg(long, default_value_t = 30)]
    examples: u32,
    /// Only operations whose ids match this; then any number of requests will do
    #[arg(long)]
    only: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, examples: 30, only: None }
    }
}

/// Starts a server over a new data directory with the bundled plugins, and has it tested.
pub fn check(repository: &Path, bundled: &Path, options: &Options) -> Result<()> {
    let bin = install()?;
    say("building the bundled plugins and the program");
    guests::build_all(repository, bundled)?;
    // The workspace, so that dependencies have the features that the tests have built.
    run(cargo(repository).args(["build", "--quiet", "--workspace", "--bins"]))?;
    let program = target_directory(repository).join("debug/outrigger");
    let folder = target_directory(repository).join("schemathesis");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).with_context(|| format!("{} could not be made", folder.display()))?;
    let server = Server::start(&program, &folder, bundled)?;
    let key = server.furnish()?;
    say("checking that the OpenAPI document is one");
    run(Command::new(bin.join("python")).args(["-c", VALIDATE, &server.document()]))?;
    test(&bin, &folder, &server, &key, options)
}

fn test(bin: &Path, folder: &Path, server: &Server, key: &str, options: &Options) -> Result<()> {
    let Options { seed, examples, only } = options;
    say(&format!("testing the server against its OpenAPI document with schemathesis, seed {seed}"));
    std::fs::write(folder.join("schemathesis.toml"), SETTINGS)?;
    std::fs::write(folder.join("checks.py"), CHECKS)?;
    let report = folder.join("report.json");
    let mut command = Command::new(bin.join("schemathesis"));
    command.current_dir(folder).args(["run", &server.document()]);
    command.args(["--checks", "all", "--mode", "all", "--workers", "2", "--warnings", "off", "--no-color"]);
    command.args(["--seed", &seed.to_string(), "--max-examples", &examples.to_string()]);
    command.args(["--header", &format!("Authorization: Bearer {key}"), "--generation-database", "none"]);
    command.arg("--report-json-path").arg(&report);
    command.args(only.iter().flat_map(|pattern| ["--include-operation-id-regex", pattern]));
    let outcome = run(&mut command);
    let report = Report::read(&report)?;
    report.show();
    outcome
        .with_context(|| format!("the server and its document disagree; `--seed {seed}` makes the same requests"))?;
    ensure!(only.is_some() || report.cases >= LEAST, "{} cases are fewer than {LEAST}", report.cases);
    Ok(())
}

/// The folder of programs of the Python environment that has schemathesis.
pub fn install() -> Result<PathBuf> {
    tools::python("schemathesis", PACKAGES)
}
