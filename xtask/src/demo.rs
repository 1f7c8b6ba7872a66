//! The demonstration: from source to the main job on real input, in one command.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{bundled, cargo, guests, run, say, target_directory};

const PLUGINS: &[&str] = &["aws-s3-template", "policy-validator", "pricing", "team-directory", "os-facts"];

/// Builds the program and the bundled plugins, installs them into a data directory, and calls them.
pub fn run_all(repository: &Path, data: Option<PathBuf>) -> Result<()> {
    let bundled = bundled(repository);
    say("building the bundled plugins from source");
    guests::build_all(repository, &bundled)?;
    say("building the program `outrigger`");
    run(cargo(repository).args(["build", "-p", "outrigger-cli"]))?;
    let scratch = target_directory(repository).join("demo");
    let _ = std::fs::remove_dir_all(&scratch);
    std::fs::create_dir_all(&scratch).with_context(|| format!("{} could not be made", scratch.display()))?;
    let demo = Demo {
        program: target_directory(repository).join("debug/outrigger"),
        data: data.unwrap_or_else(|| scratch.join("data")),
        bundled,
        scratch,
    };
    say(&format!("the data directory is {}", demo.data.display()));
    demo.install()?;
    demo.main_job()?;
    say(&format!("done. Go on by yourself: {} --data {} functions", demo.program.display(), demo.data.display()));
    Ok(())
}

struct Demo {
    program: PathBuf,
    data: PathBuf,
    bundled: PathBuf,
    scratch: PathBuf,
}

impl Demo {
    fn install(&self) -> Result<()> {
        for plugin in PLUGINS {
            self.show(&["plugin", "install", plugin, "--yes"])?;
        }
        self.show(&["plugin", "list"])
    }

    /// Makes a template for a bucket, checks it against the policy of the organisation, quotes a price, finds a member of
    /// the team, and says what this machine runs. The second quote is answered from the cache.
    fn main_job(&self) -> Result<()> {
        let template = self.scratch.join("bucket.json");
        let generate = ["call", "aws-s3-template.generate", "--bucket-name", "acme-audit-logs", "--details"];
        self.show(&generate)?;
        let made = self.answer(&["call", "aws-s3-template.generate", "--bucket-name", "acme-audit-logs"])?;
        let text = made.get("text").and_then(serde_json::Value::as_str).map_or_else(|| made.to_string(), str::to_owned);
        std::fs::write(&template, &text).with_context(|| format!("{} could not be written", template.display()))?;
        self.show(&["call", "policy-validator.validate", "--document", &text, "--details"])?;
        // One process, so that the second of two equal questions can be answered from the cache.
        let batch = self.scratch.join("questions.json");
        std::fs::write(&batch, QUESTIONS).with_context(|| format!("{} could not be written", batch.display()))?;
        self.show(&["batch", &batch.display().to_string(), "--parallel", "1", "--details"])?;
        self.show(&["plugin", "stats"])
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--data").arg(&self.data).args(arguments).env("OUTRIGGER_BUNDLED", &self.bundled);
        command
    }

    /// Runs a command before the user's eyes.
    fn show(&self, arguments: &[&str]) -> Result<()> {
        let shown: Vec<_> = arguments.iter().map(|argument| shorten(argument)).collect();
        say(&format!("$ outrigger {}", shown.join(" ")));
        run(&mut self.command(arguments))
    }

    /// Runs a command for its result.
    fn answer(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let output = self.command(arguments).args(["-o", "json"]).output().context("outrigger could not be started")?;
        serde_json::from_slice(&output.stdout).context("the result is not JSON")
    }
}

const QUESTIONS: &str = r#"[
  {"function": "pricing.quote", "arguments": {"service": "compute-medium", "quantity": 1460, "currency": "EUR", "tax-region": "DE"}},
  {"function": "pricing.quote", "arguments": {"service": "compute-medium", "quantity": 1460, "currency": "EUR", "tax-region": "DE"}},
  {"function": "team-directory.search", "arguments": {"query": "kubernetes"}},
  {"function": "os-facts.detect", "arguments": {}}
]
"#;

fn shorten(argument: &str) -> String {
    match argument.chars().count() {
        0..=60 => argument.to_owned(),
        _ => format!("'{}…'", argument.chars().take(40).collect::<String>().replace('\n', " ")),
    }
}
