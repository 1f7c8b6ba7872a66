//! A workbench: an engine with scripted plugins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_contract::Digest;
use outrigger_engine::configuration::{NoOverrides, Overrides};
use outrigger_engine::life::Author;
use outrigger_engine::runtime::Runtime;
use outrigger_engine::vault::{NoVault, Vault};
use outrigger_engine::{
    Answer, Arguments, Backends, Call, CallOptions, Caller, CorrelationId, Engine, EngineOptions, Failure, Store,
    Tracer,
};
use outrigger_store::MemoryStore;
use outrigger_testkit::scripted::ScriptedRuntime;
pub use outrigger_testkit::scripted::installation;
use serde_json::{Value as Json, json};

/// How long calls that run may take to finish.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Bench {
    pub engine: Engine,
    pub runtime: Arc<ScriptedRuntime>,
    pub store: Arc<dyn Store>,
    packages: tempfile::TempDir,
}

impl Bench {
    pub async fn new() -> Self {
        Self::with_store(Arc::new(MemoryStore::new())).await
    }

    pub async fn with_store(store: Arc<dyn Store>) -> Self {
        Self::with(store, Arc::new(NoVault), Arc::new(NoOverrides)).await
    }

    pub async fn with(store: Arc<dyn Store>, vault: Arc<dyn Vault>, overrides: Arc<dyn Overrides>) -> Self {
        Self::open(store, vault, overrides, None, PATIENCE).await
    }

    /// One that does not wait long for calls when a plugin is disabled, replaced or removed.
    pub async fn impatient() -> Self {
        let patience = Duration::from_millis(100);
        Self::open(Arc::new(MemoryStore::new()), Arc::new(NoVault), Arc::new(NoOverrides), None, patience).await
    }

    /// With somebody who keeps traces.
    pub async fn traced(tracer: Arc<dyn Tracer>) -> Self {
        Self::open(Arc::new(MemoryStore::new()), Arc::new(NoVault), Arc::new(NoOverrides), Some(tracer), PATIENCE).await
    }

    async fn open(
        store: Arc<dyn Store>,
        vault: Arc<dyn Vault>,
        overrides: Arc<dyn Overrides>,
        tracer: Option<Arc<dyn Tracer>>,
        patience: Duration,
    ) -> Self {
        let packages = tempfile::tempdir().expect("a temporary folder");
        let runtime = Arc::new(ScriptedRuntime::default());
        let mut options = EngineOptions::new(packages.path().to_owned());
        options.drain = patience;
        options.hold = Duration::from_millis(500);
        let backends = Backends {
            store: Arc::clone(&store),
            runtime: Arc::clone(&runtime) as Arc<dyn Runtime>,
            vault,
            overrides,
            tracer,
        };
        let engine = Engine::start_with(options, backends).await.expect("the engine starts");
        Self { engine, runtime, store, packages }
    }

    /// A bench with other options, such as small quotas.
    pub async fn with_options(change: impl FnOnce(&mut EngineOptions)) -> Self {
        let packages = tempfile::tempdir().expect("a temporary folder");
        let (store, runtime): (Arc<dyn Store>, _) =
            (Arc::new(MemoryStore::new()), Arc::new(ScriptedRuntime::default()));
        let mut options = EngineOptions::new(packages.path().to_owned());
        change(&mut options);
        let engine = Engine::start(options, Arc::clone(&store), Arc::clone(&runtime) as Arc<dyn Runtime>).await;
        Self { engine: engine.expect("the engine starts"), runtime, store, packages }
    }

    /// Another engine over the same store, as after a restart.
    pub async fn restarted(&self) -> Self {
        Self::with_store(Arc::clone(&self.store)).await
    }

    /// Installs the plugin `demo` with more lines in its manifest.
    pub async fn demo(&self, manifest: &str) {
        self.engine.install(installation("demo", "1.0.0", manifest)).await.expect("the plugin is installed");
    }

    pub async fn call(&self, function: &str, arguments: Json) -> Result<Answer, Failure> {
        self.call_with(function, arguments, CallOptions::default()).await
    }

    pub async fn call_with(&self, function: &str, arguments: Json, options: CallOptions) -> Result<Answer, Failure> {
        self.engine.call(call(function, arguments, options)).await
    }

    /// The same, on a task of its own.
    pub fn start(
        &self,
        function: &str,
        arguments: Json,
        options: CallOptions,
    ) -> tokio::task::JoinHandle<Result<Answer, Failure>> {
        let (engine, call) = (self.engine.clone(), call(function, arguments, options));
        tokio::spawn(async move { engine.call(call).await })
    }

    /// The code that a call ends with.
    pub async fn code(&self, function: &str, arguments: Json) -> String {
        match self.call(function, arguments).await {
            Ok(answer) => format!("ok {}", answer.json()),
            Err(failure) => failure.code.to_string(),
        }
    }

    pub fn package_folder(&self, digest: &Digest) -> std::path::PathBuf {
        self.packages.path().join(digest.hex())
    }
}

pub fn call(function: &str, arguments: Json, options: CallOptions) -> Call {
    let Json::Object(arguments) = arguments else { panic!("arguments are an object") };
    Call {
        caller: Caller::Local,
        function: function.parse().expect("a function's name"),
        arguments: Arguments::Json(arguments),
        options,
    }
}

/// Waits until something is so, and fails when that takes too long.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen in 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn author() -> Author {
    Author { name: "the test".to_owned(), correlation: CorrelationId::new() }
}

pub fn no_arguments() -> Json {
    json!({})
}
