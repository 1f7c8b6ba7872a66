//! Runs `cargo build` for a project, shows what it says while it says it, and finds the module that it made.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde::Deserialize;

use crate::Progress;
use crate::error::DevkitError;
use crate::project::Project;
use crate::toolchain::Toolchain;

/// How much of the compiler's output a failure carries.
const KEPT_LINES: usize = 200;

/// Compiles the project and answers with the path of its WebAssembly module (or component, for `wasm32-wasip2`).
pub(crate) fn compile(
    project: &Project,
    toolchain: &Toolchain,
    target_folder: &Path,
    progress: Progress,
) -> Result<PathBuf, DevkitError> {
    let manifest = project.folder.join("Cargo.toml");
    let mut command = Command::new(&toolchain.cargo);
    command
        .current_dir(&project.folder)
        .args(["build", "--release", "--lib", "--message-format=json-render-diagnostics", "--manifest-path"])
        .arg(&manifest)
        .args(toolchain.arguments())
        .env("CARGO_TARGET_DIR", target_folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if progress == Progress::Shown && std::io::stderr().is_terminal() {
        command.args(["--color", "always"]);
    }
    toolchain.prepare(&mut command);

    let not_run = |source| DevkitError::Run { program: toolchain.cargo.clone(), source };
    let mut child = command.spawn().map_err(not_run)?;
    let errors = child.stderr.take().expect("standard error is piped");
    let messages = child.stdout.take().expect("standard output is piped");
    // Both pipes are read at once: a full one would stop the compiler.
    let listener = thread::spawn(move || pass_on(errors, progress));
    let module = find_module(messages, &manifest);
    let status = child.wait().map_err(not_run)?;
    let output = listener.join().unwrap_or_default();
    if !status.success() {
        return Err(DevkitError::Compile { project: project.folder.clone(), output });
    }
    module.ok_or_else(|| DevkitError::NoModule { project: project.folder.clone() })
}

/// Shows each line, and keeps the last ones.
fn pass_on(stream: impl Read, progress: Progress) -> String {
    let mut kept = VecDeque::with_capacity(KEPT_LINES);
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
        progress.write(&line);
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(String::from_utf8_lossy(&line).into_owned());
        line.clear();
    }
    String::from_iter(kept)
}

/// The module among cargo's messages: what it made for the library of this very manifest.
fn find_module(stream: impl Read, manifest: &Path) -> Option<PathBuf> {
    let mut module = None;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let Ok(Message { reason, manifest_path, filenames }) = serde_json::from_str(&line) else { continue };
        if reason == "compiler-artifact" && manifest_path.as_deref() == Some(manifest) {
            let is_module = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
            module = filenames.into_iter().find(is_module).or(module);
        }
    }
    module
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}
