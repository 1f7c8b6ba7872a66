//! WebAssembly components.
//!
//! Read in this order: [`engine`] (compiling and interrupting code), [`component`] (requirements on a file),
//! [`measure`] and [`compiler`] (the cost of compiling, and the child process for it), [`cache`] (compiled code),
//! [`revision`] (callable functions and idle instances), [`slots`] (each plugin's share of the instance pool),
//! [`instance`] (one call under its limits), [`pace`] (whether its calls are long), [`fault`] (how calls fail),
//! [`abi`] (values in and out), [`state`] (what an instance can access) and, behind that, [`scope`], [`output`],
//! [`services`], [`wasi`], [`files`], [`sockets`] and [`http`].
//!
//! Invariants: a plugin accesses nothing without a grant; the limit, trap or cancellation of one call does not affect
//! another; no call outlives its deadline; nothing that a plugin returns makes the host allocate without bound.

mod abi;
mod cache;
mod compiler;
mod component;
mod engine;
mod fault;
mod files;
mod footprint;
mod handles;
mod http;
mod idle;
mod instance;
mod limits;
mod measure;
mod optional;
mod output;
mod pace;
mod revision;
mod scope;
mod services;
mod slots;
mod sockets;
mod state;
mod validate;
mod wasi;

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use outrigger_contract::{Code, Digest, Manifest, Permissions};
use outrigger_engine::runtime::{Inspection, LoadedRevision, RevisionSpec, Runtime, RuntimeFault};
use outrigger_network::{Resolver, TlsClient};
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Linker;

pub use compiler::{CompileLimits, compile_if_asked};

use cache::{Cache, Compiling};
use files::GrantedFiles;
use revision::Revision;
use slots::Pool;
use state::{Grants, State};

/// The number of concurrent inspections. The cost of reading a component's types grows with its size.
const INSPECTED_AT_ONCE: usize = 2;

/// A file or folder of the platform.
#[derive(Clone, Debug)]
pub struct Protected {
    pub path: PathBuf,
    /// What it is, for messages: "Outrigger's data directory".
    pub what: &'static str,
}

/// Options of [`WasmRuntime`].
#[derive(Clone, Debug)]
pub struct WasmOptions {
    /// The folder for compiled code. It is made where it is not there; only its owner may write to it.
    pub compiled_cache: PathBuf,
    /// The largest component that is read, in bytes.
    pub max_component_bytes: u64,
    /// The platform's own files and folders. They, their contents and their parents are never granted to a plugin.
    pub protected: Vec<Protected>,
    /// The program that compiles larger components: one that calls [`compile_if_asked`]. Without it, this process
    /// compiles everything, with lower size limits.
    pub compiler: Option<PathBuf>,
    /// The limits for compiling one component.
    pub compile_limits: CompileLimits,
}

impl WasmOptions {
    /// The defaults, with compiled code in this folder. This program is the compiler if it has called
    /// [`compile_if_asked`].
    #[must_use]
    pub fn new(compiled_cache: impl Into<PathBuf>) -> Self {
        Self {
            compiled_cache: compiled_cache.into(),
            max_component_bytes: 128 << 20,
            protected: Vec::new(),
            compiler: compiler::this_program(),
            compile_limits: CompileLimits::default(),
        }
    }
}

/// Runs WebAssembly components.
pub struct WasmRuntime {
    engine: Engine,
    linker: Linker<State>,
    pool: Arc<Pool>,
    cache: Cache,
    nothing: Arc<File>,
    tls: TlsClient,
    max_component_bytes: u64,
    protected: Arc<[Protected]>,
    /// Limits concurrent inspections of components.
    inspecting: Arc<Semaphore>,
}

impl std::fmt::Debug for WasmRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasmRuntime").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl WasmRuntime {
    /// Starts the engine and opens the folder for compiled code.
    ///
    /// # Errors
    /// The folder cannot be used, or the engine does not support this machine.
    pub fn new(options: WasmOptions) -> Result<Self, RuntimeFault> {
        let WasmOptions { compiled_cache, max_component_bytes, protected, compiler, compile_limits } = options;
        let internal = |error: wasmtime::Error| {
            RuntimeFault::new(Code::Internal, format!("the WebAssembly engine could not be started: {error:#}"))
        };
        let (engine, layout) = engine::create().map_err(internal)?;
        let linker = state::linker(&engine).map_err(internal)?;
        let compiling = Compiling { program: compiler, layout, limits: compile_limits };
        let cache = Cache::open(&compiled_cache, &engine, compiling)?;
        let nothing = Arc::new(empty_folder(&compiled_cache.join("nothing"))?);
        let inspecting = Arc::new(Semaphore::new(INSPECTED_AT_ONCE));
        let tls = TlsClient::default();
        let (pool, protected) = (Arc::default(), protected.into());
        Ok(Self { engine, linker, pool, cache, nothing, tls, max_component_bytes, protected, inspecting })
    }
}

/// An empty folder that nobody can write to; it stands for folders that a plugin must not see.
fn empty_folder(path: &Path) -> Result<File, RuntimeFault> {
    let made = match DirBuilder::new().mode(0o500).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(path),
    };
    made.map_err(|error| {
        RuntimeFault::new(Code::DataDirectory, format!("the folder {} cannot be used: {error}", path.display()))
    })
}

/// Runs blocking work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeFault> + Send + 'static,
) -> Result<T, RuntimeFault> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(RuntimeFault::new(Code::Internal, format!("a background task failed: {error}"))))
}

#[async_trait]
impl Runtime for WasmRuntime {
    async fn inspect(&self, root: &Path, manifest: &Manifest) -> Result<Inspection, RuntimeFault> {
        let (root, entry) = (root.to_owned(), manifest.runtime.entry.as_path().to_owned());
        let (permissions, limits) = (manifest.permissions.clone(), manifest.limits.clone());
        let instances = manifest.runtime.instances;
        let max_bytes = self.max_component_bytes;
        let permit = Arc::clone(&self.inspecting).acquire_owned().await;
        let work = move || {
            // Held until the work is done, even if the future is dropped.
            let _permit = permit;
            let wasm = component::read(&root.join(&entry), max_bytes)?;
            component::inspect(&entry, &wasm, &permissions, &limits, instances)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            Err(RuntimeFault::new(Code::Internal, format!("reading the component stopped: {error}")))
        })
    }

    async fn load(&self, spec: RevisionSpec) -> Result<Arc<dyn LoadedRevision>, RuntimeFault> {
        let (path, max_bytes) = (spec.root.join(&spec.entry), self.max_component_bytes);
        let component = self.cache.component(&self.engine, &spec.digest, path, max_bytes).await?;
        let (nothing, protected) = (Arc::clone(&self.nothing), Arc::clone(&self.protected));
        let (files, spec) = blocking(move || {
            let files = GrantedFiles::open(&spec, nothing, &protected)?;
            Ok((files, spec))
        })
        .await?;
        let (resolver, tls) = (Resolver::for_plugin(), self.tls.clone());
        let grants = Grants { permissions: spec.granted.clone(), files, resolver, tls };
        let slots = self.pool.slots(&spec.plugin, &component);
        Ok(Arc::new(Revision::new(&self.linker, &component, grants, slots, spec)?))
    }

    async fn pin(&self, permissions: &Permissions, plugin_writable: &[String]) -> Result<Permissions, RuntimeFault> {
        let (permissions, plugin_writable) = (permissions.clone(), plugin_writable.to_vec());
        let protected = Arc::clone(&self.protected);
        blocking(move || files::pin(&permissions, &plugin_writable, &protected)).await
    }

    async fn still_there(&self, permissions: &Permissions, plugin_writable: &[String]) -> Permissions {
        let (granted, plugin_writable) = (permissions.clone(), plugin_writable.to_vec());
        let still = blocking(move || Ok(files::still_there(&granted, &plugin_writable))).await;
        still.unwrap_or_else(|_| Permissions { files: Vec::new(), ..permissions.clone() })
    }

    async fn forget(&self, digest: &Digest) {
        self.cache.forget(digest);
    }
}
