//! Compiles the two guests in `guests/` with the compiler that plugin authors get.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use outrigger_devkit::{BuildOptions, DevkitError, Target, Toolchain};

use crate::say;

/// The compiled guests.
pub struct Guests {
    pub component: Vec<u8>,
    pub extism: Vec<u8>,
}

/// Compiles what is not compiled yet.
pub fn build() -> Result<Guests> {
    say("compiling the two guests");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let target = target_folder()?;
    let packages = target.join("packages");
    let options =
        BuildOptions { target_folder: Some(target.clone()), ..BuildOptions::new(sources.join("component"), packages) };
    let built = outrigger_devkit::build(&options).map_err(with_hint)?;
    Ok(Guests { component: read(&built.component)?, extism: read(&compile_extism(&sources, &target)?)? })
}

/// Extism's guest is a core module, which the devkit has no use for: its compiler is called directly.
fn compile_extism(sources: &Path, target: &Path) -> Result<PathBuf> {
    let toolchain = Toolchain::find(sources, Target::UnknownUnknown).map_err(with_hint)?;
    let mut command = Command::new(&toolchain.cargo);
    command
        .current_dir(sources)
        .args(["build", "--release", "--package", "extism-peer"])
        .args(toolchain.arguments())
        .env("CARGO_TARGET_DIR", target);
    toolchain.prepare(&mut command);
    let status = command.status().with_context(|| format!("cannot run {}", toolchain.cargo.display()))?;
    ensure!(status.success(), "the extism guest does not compile");
    Ok(target.join(toolchain.target.triple()).join("release/extism_peer.wasm"))
}

/// Beside this program, which lies in `<target>/release`.
fn target_folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("the path of this program")?;
    let target = program.parent().and_then(Path::parent).context("this program does not lie in a target folder")?;
    Ok(target.join("bench-guests"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn with_hint(error: DevkitError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => anyhow::Error::new(error).context(format!("hint: {hint}")),
        None => anyhow::Error::new(error),
    }
}
