//! A server with something in it: plugins, calls, hooks, jobs. What answers are empty says little about their shape.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::run;

/// The key that requests are made with may do everything, except what would end the test early or empty it of meaning:
/// take the key itself away or change its role, switch off or remove the plugins that are called most, put a filter in
/// the way of every call.
const ROLE: &str = "role set tester --allow * \
    --deny key_delete:schemathesis --deny key_delete:administrator \
    --deny role_create:tester --deny role_delete:tester \
    --deny plugin_modify:pricing --deny plugin_delete:pricing \
    --deny plugin_modify:aws-s3-template --deny plugin_delete:aws-s3-template \
    --deny plugin_delete:policy-validator --deny plugin_delete:team-directory \
    --deny configuration_modify:pricing \
    --deny hook_create:call.*";

/// The commands that prepare the data directory before the test. A `+` stands for a space in an argument.
const FURNITURE: &[&str] = &[
    "plugin install pricing --yes",
    "plugin install aws-s3-template --yes",
    "plugin install team-directory --yes",
    "plugin install os-facts --yes",
    "plugin install policy-validator --yes",
    r#"plugin config policy-validator --set required-tags=["owner"]"#,
    r#"plugin config policy-validator --set required-tags=["owner","cost-centre"]"#,
    "call pricing.currencies",
    "call pricing.services",
    "call aws-s3-template.check-bucket-name --name reports",
    "hook add customer.created action --description A+customer+signed+up.",
    "hook add bucket.named filter --description A+name+is+wanted+for+a+bucket.",
    "hook add report.written event --description A+report+was+written.",
    "hook subscribe report.written aws-s3-template.check-bucket-name --condition size(event)>3",
    r#"hook fire report.written "reports""#,
    "job start pricing.currencies",
    "job start --needs-approval pricing.services",
    "schedule set nightly 30+2+*+*+* pricing.currencies",
    "access role set watcher --allow plugin_view --allow run_view",
    "access key create ci-deploy --role watcher",
];

/// A server that ends with this value.
pub struct Server {
    process: Child,
    program: PathBuf,
    data: PathBuf,
    bundled: PathBuf,
    address: String,
}

impl Server {
    /// Starts one over a new data directory in a folder, in which it runs too.
    pub fn start(program: &Path, folder: &Path, bundled: &Path) -> Result<Self> {
        let data = folder.join("data");
        let mut process = Command::new(program)
            .current_dir(folder)
            .args(["serve", "--output", "json", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .env("OUTRIGGER_BUNDLED", bundled)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("server.log"))?)
            .spawn()
            .with_context(|| format!("{} could not be started", program.display()))?;
        let stdout = process.stdout.take().context("the server's output is read")?;
        let (program, bundled) = (program.to_owned(), bundled.to_owned());
        let mut server = Self { process, program, data, bundled, address: String::new() };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        server.address = said["address"].as_str().unwrap_or_default().to_owned();
        ensure!(!server.address.is_empty(), "the server did not start: {line}");
        Ok(server)
    }

    /// Where the OpenAPI document is.
    pub fn document(&self) -> String {
        format!("{}/api/v1/openapi.json", self.address)
    }

    /// Puts everything into its place. Answers with the key to test it with.
    pub fn furnish(&self) -> Result<String> {
        for line in FURNITURE {
            run(self.command(line).stdout(Stdio::null()))?;
        }
        run(self.command(&format!("access {ROLE}")).stdout(Stdio::null()))?;
        let made = self.command("access key create schemathesis --role tester --output json").output()?;
        let said: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap_or_default();
        let key = said["key"].as_str().context("no key was made for schemathesis")?;
        Ok(key.to_owned())
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--quiet", "--data"]).arg(&self.data).env("OUTRIGGER_BUNDLED", &self.bundled);
        command.args(line.split_whitespace().map(|word| word.replace('+', " ")));
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
