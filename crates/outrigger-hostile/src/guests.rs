//! Hostile plugins: one file for each kind of attack. Each states its bound.

mod arguments;
mod computing;
mod configuration;
mod errors;
mod events;
pub mod honest;
mod hooks;
mod http;
mod listings;
mod logging;
mod nesting;
mod paths;
mod pollables;
mod progress;
mod state;
pub mod storm;
mod tables;
pub mod wat;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value as Json, json};

/// The limits for the server under an attack. They are measured from outside, while several calls of the attack run.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Growth of resident memory, in MiB.
    pub memory: u64,
    /// Growth of the data directory, in MiB.
    pub disk: u64,
    /// The maximum size of a response, in KiB.
    pub answer: u64,
    /// The maximum duration of a call, in seconds: its deadline plus the time to abort it.
    pub seconds: u64,
}

impl Default for Bound {
    fn default() -> Self {
        Self { memory: 160, disk: 16, answer: 64, seconds: 8 }
    }
}

/// A hostile plugin, and how it is called.
#[derive(Clone, Debug)]
pub struct Attack {
    /// The plugin's name.
    pub name: String,
    pub component: Arc<[u8]>,
    /// Its manifest without name, version and runtime.
    pub manifest: String,
    /// Functions to call, with their arguments as JSON text.
    pub calls: Vec<(String, bytes::Bytes)>,
    pub bound: Bound,
}

impl Attack {
    fn new(name: impl Into<String>, component: Arc<[u8]>) -> Self {
        Self { name: name.into(), component, manifest: String::new(), calls: Vec::new(), bound: Bound::default() }
    }

    fn manifest(mut self, more: impl AsRef<str>) -> Self {
        self.manifest.push_str(more.as_ref());
        self.manifest.push('\n');
        self
    }

    fn call(mut self, function: &str, arguments: &Json) -> Self {
        self.calls.push((function.to_owned(), arguments.to_string().into()));
        self
    }

    fn run(self) -> Self {
        self.call("run", &json!({}))
    }

    fn bound(mut self, change: impl FnOnce(&mut Bound)) -> Self {
        change(&mut self.bound);
        self
    }
}

/// The environment of the attacks on the host.
#[derive(Clone, Debug)]
pub struct Scenery<'a> {
    /// A folder with many files, granted for reading.
    pub crowd: &'a Path,
    /// An empty folder, granted for writing.
    pub scratch: &'a Path,
    /// `127.0.0.1:port` of a misbehaving HTTP server.
    pub host: &'a str,
}

/// All attacks, at least fifty.
pub fn all(scenery: &Scenery<'_>) -> Vec<Attack> {
    [
        logging::attacks(),
        paths::attacks(scenery),
        events::attacks(),
        tables::attacks(),
        listings::attacks(scenery),
        arguments::attacks(),
        hooks::attacks(),
        state::attacks(),
        errors::attacks(),
        progress::attacks(),
        nesting::attacks(),
        computing::attacks(),
        http::attacks(scenery),
        pollables::attacks(scenery),
        configuration::attacks(),
    ]
    .concat()
}
