//! The servers under load, each a process of its own: the program, and a bare axum handler.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::Json;
use axum::routing::post;

use crate::report::status;

/// A plugin around the component of the benches.
pub struct Plugin {
    pub name: &'static str,
    /// What the manifest says of instances.
    pub instances: &'static str,
    /// What it says of functions.
    pub functions: &'static str,
}

/// `outrigger serve` over a data directory of its own.
pub struct Outrigger {
    process: Process,
    address: String,
    key: String,
}

impl Outrigger {
    pub fn start(folder: &Path, component: &[u8], plugins: &[Plugin]) -> Result<Self> {
        let program = program()?;
        let data = folder.join("data");
        for plugin in plugins {
            let package = folder.join(plugin.name);
            std::fs::create_dir_all(&package)?;
            std::fs::write(package.join("peer.wasm"), component)?;
            let manifest = crate::contenders::outrigger::manifest_text(plugin.name, plugin.instances, plugin.functions);
            std::fs::write(package.join("plugin.toml"), manifest)?;
            let mut command = Command::new(&program);
            command.args(["--quiet", "plugin", "install", "--yes"]).arg(&package).arg("--data").arg(&data);
            let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
            ensure!(output.status.success(), "{}: {}", plugin.name, String::from_utf8_lossy(&output.stderr));
        }
        Self::over(&data)
    }

    /// Over a data directory that no server was started over before.
    pub fn over(data: &Path) -> Result<Self> {
        let mut command = Command::new(program()?);
        command.args(["serve", "--output", "json", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        let (process, line) = Process::start(command)?;
        let said: serde_json::Value = serde_json::from_str(&line).context(line)?;
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        Ok(Self { process, address: text("address"), key: text("administrator_key") })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its resident memory, in KiB.
    pub fn resident(&self) -> Result<u64> {
        status(&format!("/proc/{}/status", self.process.0.id()), "VmRSS:").context("the server has ended")
    }

    /// Does something, and looks at the server's resident memory meanwhile: KiB, every half second.
    pub fn watched<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<(T, Vec<u64>)> {
        let file = format!("/proc/{}/status", self.process.0.id());
        let done = AtomicBool::new(false);
        let look = || status(&file, "VmRSS:").context("the server has ended");
        std::thread::scope(|scope| {
            let watching = scope.spawn(|| {
                let mut memory = vec![look()?];
                while !done.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(500));
                    memory.push(look()?);
                }
                Ok(memory)
            });
            let outcome = work();
            done.store(true, Ordering::Relaxed);
            let memory = watching.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?;
            memory.map(|memory| (outcome, memory))
        })
    }

    /// Stops it in order.
    pub fn stop(mut self) -> Result<()> {
        let id = self.process.0.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().context("cannot run kill")?;
        let ended = self.process.0.wait()?;
        ensure!(ended.success(), "the server ended with {ended}");
        Ok(())
    }
}

fn program() -> Result<PathBuf> {
    let program = std::env::var_os("OUTRIGGER_PROGRAM").map(PathBuf::from);
    program.context("OUTRIGGER_PROGRAM does not say where the program is")
}

/// The bare handler.
pub struct Bare {
    _process: Process,
    address: String,
}

impl Bare {
    /// In a process of its own: this program, told to be it.
    pub fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare-axum");
        let (process, line) = Process::start(command)?;
        Ok(Self { _process: process, address: line.trim().to_owned() })
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Answers with the JSON that it gets, and says its address on standard output.
pub async fn bare_axum() -> Result<()> {
    let echo = post(|Json(value): Json<serde_json::Value>| async move { Json(value) });
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("http://{}/", listener.local_addr()?);
    Ok(axum::serve(listener, axum::Router::new().route("/", echo)).await?)
}

/// A process that ends with this value.
struct Process(Child);

impl Process {
    /// Starts it and waits for its first line.
    fn start(mut command: Command) -> Result<(Self, String)> {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("a server cannot be started")?;
        let stdout = child.stdout.take().context("the server's output is read")?;
        let process = Self(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(!line.is_empty(), "the server did not start");
        Ok((process, line))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
