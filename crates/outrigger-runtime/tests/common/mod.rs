//! A runtime in a folder of its own, and components loaded into it.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod files;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::manifest::{InstancePolicy, Limits};
use outrigger_contract::types::wit::read_component;
use outrigger_contract::{Code, Digest, Permissions, TypeGraph, Value};
use outrigger_engine::Account;
use outrigger_engine::runtime::{LoadedRevision, Observations, RevisionSpec, Runtime, RuntimeFault};
use outrigger_runtime::{WasmOptions, WasmRuntime};
use outrigger_testkit::services::RecordingServices;
use tempfile::TempDir;

/// Long enough for any call that is to succeed, on a busy machine.
pub(crate) const PLENTY: Duration = Duration::from_secs(20);

pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) runtime: WasmRuntime,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let runtime = Self::open(&folder);
        Self { folder, runtime }
    }

    /// Another runtime on the same folder.
    pub(crate) fn open(folder: &TempDir) -> WasmRuntime {
        WasmRuntime::new(WasmOptions::new(folder.path().join("compiled"))).expect("a runtime")
    }

    pub(crate) fn compiled(&self) -> PathBuf {
        self.folder.path().join("compiled")
    }

    /// Writes a component into the folder and describes it, with nothing granted and the default limits.
    pub(crate) fn spec(&self, wasm: &[u8]) -> RevisionSpec {
        let component = read_component(wasm).expect("a component");
        let digest = Digest::of(wasm);
        let entry = PathBuf::from(format!("{}.wasm", digest.short()));
        std::fs::write(self.folder.path().join(&entry), wasm).expect("room on the disk");
        RevisionSpec {
            plugin: "test".parse().expect("a name"),
            digest,
            root: self.folder.path().to_owned(),
            entry,
            graph: Arc::new(component.graph),
            exports: component.exports.into_iter().collect(),
            granted: Permissions::default(),
            plugin_writable: Arc::default(),
            limits: Limits::default(),
            instances: InstancePolicy::Fresh,
            instance_bytes: 0,
            account: Account::all(512 << 20).plugin(256 << 20),
        }
    }

    /// Loads a component, after a look at its specification.
    pub(crate) async fn load(&self, wasm: &[u8], change: impl FnOnce(&mut RevisionSpec)) -> Loaded {
        let mut spec = self.spec(wasm);
        change(&mut spec);
        let graph = Arc::clone(&spec.graph);
        let revision = self.runtime.load(spec).await.expect("the component loads");
        Loaded { revision, graph, services: Arc::default() }
    }

    pub(crate) async fn hostile(&self, change: impl FnOnce(&mut RevisionSpec)) -> Loaded {
        self.load(&outrigger_testkit::components::hostile(), change).await
    }
}

pub(crate) struct Loaded {
    pub(crate) revision: Arc<dyn LoadedRevision>,
    pub(crate) graph: Arc<TypeGraph>,
    pub(crate) services: Arc<RecordingServices>,
}

impl Loaded {
    pub(crate) fn place(&self, function: &str) -> usize {
        self.graph.function(function).unwrap_or_else(|| panic!("there is no function {function}")).0
    }

    pub(crate) async fn call(&self, function: &str, arguments: &[Value]) -> Result<Value, RuntimeFault> {
        self.call_within(function, arguments, PLENTY).await.0
    }

    pub(crate) async fn call_within(
        &self,
        function: &str,
        arguments: &[Value],
        time: Duration,
    ) -> (Result<Value, RuntimeFault>, Observations) {
        let context = self.services.context(time);
        let observed = Arc::clone(&context.observed);
        let result = Arc::clone(&self.revision).call(self.place(function), arguments.into(), context).await;
        (result, observed.snapshot())
    }

    /// The call fails with this code; gives the message.
    pub(crate) async fn fails(&self, function: &str, arguments: &[Value], code: Code) -> String {
        match self.call(function, arguments).await {
            Err(fault) if fault.code == code => fault.message,
            other => panic!("{function} was to fail with {code}, but gave {other:?}"),
        }
    }

    /// Nothing that happened before keeps the next call from working.
    pub(crate) async fn still_works(&self) {
        assert_eq!(self.call("good", &[number(7)]).await.expect("the next call works"), number(7));
    }
}

pub(crate) fn number(number: u64) -> Value {
    Value::Unsigned(number)
}

pub(crate) fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}
