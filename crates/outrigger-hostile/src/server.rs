//! The real server as a child process, and its resource usage as the kernel counts it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value as Json;

use crate::client::Client;
use crate::guests::Attack;

/// A server. It is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    program: PathBuf,
    folder: PathBuf,
    pub address: String,
    /// The administrator's key.
    pub key: String,
}

impl Server {
    /// Starts a server with a new data directory in `folder`, which also contains its log.
    pub fn start(program: &Path, folder: &Path, options: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let log = std::fs::File::create(folder.join("server.log"))?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "-o", "json"]).args(options);
        let mut child = plain(&mut command, folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it is piped")?).read_line(&mut line)?;
        let Ok(said) = serde_json::from_str::<Json>(&line) else {
            // It may have ended already.
            let _ = child.kill();
            child.wait()?;
            bail!("the server did not start: {}", std::fs::read_to_string(folder.join("server.log"))?);
        };
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            child,
            program: program.to_owned(),
            folder: folder.to_owned(),
            address: text("address"),
            key: text("administrator_key"),
        })
    }

    /// A client with the administrator's key.
    pub fn administrator(&self) -> Result<Client> {
        Client::new(&self.address, &self.key)
    }

    /// A client with a new key of a role.
    pub async fn client(&self, name: &str, roles: &[&str], scope: Option<&[&str]>) -> Result<Client> {
        let mut body = serde_json::json!({"name": name, "roles": roles});
        if let Some(scope) = scope {
            body["scope"] = serde_json::json!(scope);
        }
        let answer = self.administrator()?.post("keys", &body).await?;
        let key = answer.json()["key"].as_str().with_context(|| format!("no key: {}", answer.text()))?.to_owned();
        Client::new(&self.address, &key)
    }

    /// Runs the command line on the data directory, which uses this server.
    pub fn command(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let mut command = Command::new(&self.program);
        plain(command.args(arguments), &self.folder)
            .stdin(Stdio::null())
            .output()
            .context("the command line cannot be run")
    }

    /// Installs a plugin and approves its grant. Returns the error if it is refused.
    pub fn install(&self, attack: &Attack) -> Result<Option<String>> {
        let folder = self.package(&attack.name, "1.0.0", &attack.component, &attack.manifest)?;
        self.install_folder(&folder)
    }

    /// Installs the package in a folder.
    pub fn install_folder(&self, folder: &Path) -> Result<Option<String>> {
        let path = folder.to_str().context("a path in UTF-8")?;
        let output = self.command(&["plugin", "install", path, "--yes", "-o", "json"])?;
        let refusal = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((!output.status.success()).then_some(refusal))
    }

    /// Writes a package into a new folder.
    pub fn package(&self, name: &str, version: &str, component: &[u8], more: &str) -> Result<PathBuf> {
        let folder = self.folder.join("packages").join(format!("{name}-{version}"));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("plugin.wasm"), component)?;
        let manifest = format!(
            "name = \"{name}\"\nversion = \"{version}\"\ntitle = \"{name}\"\ndescription = \"One of the hostile suite.\"\n\
             [runtime]\nkind = \"wasm\"\nentry = \"plugin.wasm\"\n{more}"
        );
        std::fs::write(folder.join("plugin.toml"), manifest)?;
        Ok(folder)
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The server's standard error.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("server.log")).unwrap_or_default()).into_owned()
    }

    /// Resident memory now, in bytes.
    pub fn resident(&self) -> Result<u64> {
        resident(self.child.id())
    }

    /// The peak of resident memory since the last reset, in bytes.
    pub fn peak(&self) -> Result<u64> {
        status(self.child.id(), "VmHWM:")
    }

    /// Resets the peak of resident memory.
    pub fn reset_peak(&self) -> Result<()> {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").context("the peak cannot be reset")
    }

    /// Threads now.
    pub fn threads(&self) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Threads:")).context("no line Threads")?;
        Ok(line.trim().parse()?)
    }

    /// Open files and connections now.
    pub fn descriptors(&self) -> Result<u64> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count() as u64)
    }

    /// Blocks on the disk of the data directory and of the server's log, in bytes.
    pub fn disk(&self) -> u64 {
        blocks(&self.data()) + blocks(&self.folder.join("server.log"))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended.
    pub fn alive(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "the server ended with {ended:?}: {}", tail(&self.log()));
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of a log.
fn tail(log: &str) -> &str {
    let from = log.len().saturating_sub(2_000);
    log.get(from..).unwrap_or(log)
}

/// Removes environment variables that would change its behavior.
fn plain<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    for name in ["OUTRIGGER_PLUGIN_PATH", "OUTRIGGER_SIGNING_KEY", "OUTRIGGER_SERVER", "OUTRIGGER_KEY"] {
        command.env_remove(name);
    }
    command.current_dir(folder).env("OUTRIGGER_DATA", folder.join("data"))
}

/// Resident memory of a process, in bytes.
pub fn resident(process: u32) -> Result<u64> {
    status(process, "VmRSS:")
}

/// A line of `/proc/ID/status` with a value in kB, in bytes.
fn status(process: u32, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).context("the server has ended")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    let number: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(number << 10)
}

/// Disk blocks of all files below a path. Files that disappear in the meantime count as zero.
fn blocks(path: &Path) -> u64 {
    let Ok(found) = std::fs::symlink_metadata(path) else { return 0 };
    let own = found.blocks() * 512;
    if !found.is_dir() {
        return own;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    own + entries.map(|entry| blocks(&entry.path())).sum::<u64>()
}
