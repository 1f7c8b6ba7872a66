//! Holds the server to its own OpenAPI document with schemathesis: thousands of requests, right and wrong ones, made from
//! the document. Every answer must be one that the document describes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::{cargo, guests, run, say, target_directory, tools};

const SCHEMATHESIS: &str = "schemathesis==4.32.0";
/// For each operation: with more than 50 of them, well over 5,000 requests in all.
const EXAMPLES: &str = "120";
/// A right request may meet a state in which it cannot be done: the plugin is not there, somebody was quicker.
const SETTINGS: &str = "[checks.positive_data_acceptance]
expected-statuses = [\"2xx\", \"401\", \"403\", \"404\", \"409\", \"412\", \"422\", \"429\", \"502\", \"503\", \"504\"]
";

/// Starts a server over a new data directory with the bundled plugins, and has it tested.
pub fn check(repository: &Path, bundled: &Path) -> Result<()> {
    let bin = install()?;
    say("building the bundled plugins and the program");
    guests::build_all(repository, bundled)?;
    run(cargo(repository).args(["build", "--quiet", "-p", "outrigger-cli"]))?;
    let program = target_directory(repository).join("debug/outrigger");
    let folder = target_directory(repository).join("schemathesis");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).with_context(|| format!("{} could not be made", folder.display()))?;
    let server = Server::start(&program, &folder.join("data"), bundled)?;
    for plugin in ["pricing", "team-directory"] {
        run(Command::new(&program)
            .args(["--quiet", "--data"])
            .arg(folder.join("data"))
            .args(["plugin", "install", plugin])
            .env("OUTRIGGER_BUNDLED", bundled))?;
    }
    std::fs::write(folder.join("schemathesis.toml"), SETTINGS)?;
    say("testing the server against its OpenAPI document with schemathesis");
    run(Command::new(bin.join("schemathesis"))
        .current_dir(&folder)
        .args(["run", &format!("{}/api/v1/openapi.json", server.address)])
        .args(["--checks", "all", "--mode", "all", "--max-examples", EXAMPLES, "--seed", "1", "--workers", "2"])
        .args(["--header", &format!("Authorization: Bearer {}", server.key)]))
}

/// The folder of programs of the Python environment that has schemathesis.
pub fn install() -> Result<PathBuf> {
    tools::python("schemathesis", &[SCHEMATHESIS])
}

/// A server that ends with this value.
struct Server {
    process: Child,
    address: String,
    key: String,
}

impl Server {
    fn start(program: &Path, data: &Path, bundled: &Path) -> Result<Self> {
        let mut process = Command::new(program)
            .args(["serve", "--output", "json", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("OUTRIGGER_BUNDLED", bundled)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} could not be started", program.display()))?;
        let mut line = String::new();
        let stdout = process.stdout.take().context("the server's output is read")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        let server = Self { address: text("address"), key: text("administrator_key"), process };
        ensure!(!server.address.is_empty() && !server.key.is_empty(), "the server did not start: {line}");
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
