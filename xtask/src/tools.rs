//! Tools that are no crates of this workspace: found where they are, installed where they can be.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{cargo, run, say};

/// Installs everything that the other commands would install when they need it.
pub fn setup(repository: &Path) -> Result<()> {
    crate::guests::prepare(repository)?;
    crate::cfn_lint::install()?;
    crate::schemathesis::install()?;
    if nextest().is_none() {
        say("cargo-nextest is not installed; `cargo test` is used instead (`cargo install cargo-nextest --locked`)");
    }
    deny(repository)?;
    say("everything is there");
    Ok(())
}

/// The folder for tools and caches of the project, kept between checkouts.
pub fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let folder = base.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set")?.join("outrigger");
    std::fs::create_dir_all(&folder).with_context(|| format!("{} could not be made", folder.display()))?;
    Ok(folder)
}

/// Whether a command can be run at all.
pub fn exists(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// `cargo nextest`, where it is installed.
pub fn nextest() -> Option<&'static str> {
    exists("cargo-nextest", "--version").then_some("nextest")
}

/// `cargo-deny`; built into the project's cache where it is not installed.
pub fn deny(repository: &Path) -> Result<PathBuf> {
    if exists("cargo-deny", "--version") {
        return Ok("cargo-deny".into());
    }
    let root = cache()?.join("tools");
    let program = root.join("bin/cargo-deny");
    if !program.is_file() {
        say("building cargo-deny, which takes a few minutes the first time");
        run(cargo(repository).args(["install", "cargo-deny", "--locked", "--profile", "dev", "--root"]).arg(&root))?;
    }
    Ok(program)
}

/// A Python environment with packages from PyPI, made where it is not there.
pub fn python(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = cache()?.join("venv").join(name);
    let bin = folder.join("bin");
    let stamp = folder.join("packages");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(bin);
    }
    if !exists("python3", "--version") {
        bail!("python3 is not installed; on Debian: apt-get install python3 python3-venv");
    }
    say(&format!("installing {} into {}", packages.join(", "), folder.display()));
    let quiet = |command: &mut Command| run(command.stdout(Stdio::null()));
    quiet(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    quiet(Command::new(bin.join("pip")).args(["install", "--quiet"]).args(packages))?;
    std::fs::write(&stamp, wanted).with_context(|| format!("{} could not be written", stamp.display()))?;
    Ok(bin)
}

/// The load generator `wrk`, from Debian where it is missing and may be installed.
pub fn wrk() -> Result<()> {
    if exists_at_all("wrk") || (is_root() && exists("apt-get", "--version") && apt_install(&["wrk"])?) {
        return Ok(());
    }
    bail!("wrk is not installed; on Debian: apt-get install wrk")
}

/// Whether a command is there, however it answers.
fn exists_at_all(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Installs Debian packages; with lists that are brought up to date where the old ones do not do.
pub fn apt_install(packages: &[&str]) -> Result<bool> {
    let install = ["install", "--yes", "--no-install-recommends"];
    if apt_get(&install, packages)? {
        return Ok(true);
    }
    say("the package lists may be old: updating them");
    apt_get(&["update"], &[])?;
    apt_get(&install, packages)
}

fn apt_get(arguments: &[&str], packages: &[&str]) -> Result<bool> {
    let status = Command::new("apt-get")
        .args(arguments)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(std::io::stderr())
        .status()
        .context("cannot run apt-get")?;
    Ok(status.success())
}

pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
