//! A runtime without Wasm, for tests of the engine: its functions do what their names say, and it counts what is asked
//! of it. Everything else in those tests is real.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outrigger_contract::types::{Field, Function, Outcome};
use outrigger_contract::{Code, Digest, Grant, Manifest, Type, TypeGraph, Value};
use outrigger_engine::configuration::Given;
use outrigger_engine::life::{Downgrade, Installation};
use outrigger_engine::runtime::{
    CallContext, HealthReport, Inspection, LifecycleStep, LoadedRevision, NOTHING, RevisionSpec, RuntimeFault,
};
use outrigger_engine::store::RevisionRecord;
use outrigger_engine::{CorrelationId, Runtime};
use parking_lot::Mutex;
use time::OffsetDateTime;

/// The scripted runtime.
#[derive(Debug, Default)]
pub struct ScriptedRuntime {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// `plugin.function` or `plugin:step` → how often it ran.
    counts: Mutex<HashMap<String, usize>>,
    /// Running calls of `wait` and `remember-late`, and running checks.
    waiting: AtomicUsize,
    /// Ends every `wait`, and lets `remember-late` go on.
    release: tokio::sync::Notify,
    /// `plugin version:step` that is to fail.
    failing: Mutex<Vec<String>>,
}

impl ScriptedRuntime {
    /// How often a function (`plugin.function`) or a lifecycle step (`plugin:initialize`) ran.
    #[must_use]
    pub fn count(&self, what: &str) -> usize {
        self.shared.counts.lock().get(what).copied().unwrap_or_default()
    }

    /// The number of running calls of `wait` and `remember-late`, and of running checks.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::SeqCst)
    }

    /// Ends every running call of `wait`, and lets every one of `remember-late` write.
    pub fn release(&self) {
        self.shared.release.notify_waiters();
    }

    /// From now on a step fails, such as `demo:initialize`; `demo:load` for loading, `demo:health` for checks. With
    /// `demo:health hangs` checks have no end.
    pub fn fail(&self, what: &str) {
        self.shared.failing.lock().push(what.to_owned());
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.shared.failing.lock().clear();
    }
}

/// A scripted plugin with additions to its manifest. Everything that it requests is granted, including subscriptions.
///
/// # Panics
/// The manifest is invalid.
#[must_use]
pub fn installation(name: &str, version: &str, manifest: &str) -> Installation {
    let text = format!(
        "name = \"{name}\"\nversion = \"{version}\"\ntitle = \"A test plugin\"\ndescription = \"For tests.\"\n\
         [runtime]\nkind = \"wasm\"\nentry = \"x.wasm\"\n{manifest}"
    );
    let manifest = Manifest::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let granted = Grant::asked_by(&manifest, |_| None);
    let inspection = Inspection {
        graph: graph(),
        exports: Vec::new(),
        imports: Vec::new(),
        warnings: Vec::new(),
        instance_bytes: 0,
    };
    let revision = RevisionRecord {
        digest: Digest::of(text.as_bytes()),
        manifest,
        inspection,
        source: "a test".to_owned(),
        installed_at: OffsetDateTime::UNIX_EPOCH,
    };
    Installation {
        revision,
        granted,
        granted_by: "the test".to_owned(),
        correlation: CorrelationId::new(),
        downgrade: Downgrade::Refused,
        configuration: Given::default(),
    }
}

/// The functions that every scripted plugin has.
#[must_use]
pub fn graph() -> TypeGraph {
    let function = |name: &str, params: &[(&str, Type)], ok: Option<Type>, fallible: bool| Function {
        name: name.to_owned(),
        interface: None,
        export: name.to_owned(),
        docs: String::new(),
        params: params
            .iter()
            .map(|(name, ty)| Field { name: (*name).to_owned(), docs: String::new(), ty: ty.clone() })
            .collect(),
        outcome: Outcome { ok, err: fallible.then_some(Some(Type::String)) },
    };
    let text = [("text", Type::String)];
    TypeGraph {
        functions: vec![
            function("echo", &text, Some(Type::String), false),
            function("version", &[], Some(Type::String), false),
            function("fail", &text, Some(Type::String), true),
            function("trap-until", &[("times", Type::U32)], Some(Type::U32), false),
            function("wait", &[], Some(Type::String), false),
            function("sleep", &[("milliseconds", Type::U32)], None, false),
            function("call", &[("function", Type::String), ("arguments", Type::String)], Some(Type::String), true),
            function("remember", &[("key", Type::String), ("value", Type::String)], Some(Type::String), true),
            function("remember-late", &[("key", Type::String), ("value", Type::String)], Some(Type::String), true),
            function("setting", &[("key", Type::String)], Some(Type::String), false),
            function("lie", &[], Some(Type::U8), false),
            function("hold", &text, Some(Type::String), false),
            function("zeros", &text, Some(Type::String), false),
            function("panic", &text, Some(Type::String), false),
            function("fire-then-fail", &[("hook", Type::String), ("times", Type::U32)], None, true),
        ],
        ..TypeGraph::default()
    }
}

#[async_trait]
impl Runtime for ScriptedRuntime {
    async fn inspect(&self, _root: &Path, _manifest: &Manifest) -> Result<Inspection, RuntimeFault> {
        Ok(Inspection {
            graph: graph(),
            exports: Vec::new(),
            imports: Vec::new(),
            warnings: Vec::new(),
            instance_bytes: 0,
        })
    }

    async fn load(&self, spec: RevisionSpec) -> Result<Arc<dyn LoadedRevision>, RuntimeFault> {
        let loaded = Loaded { shared: Arc::clone(&self.shared), spec };
        loaded.step("load")?;
        Ok(Arc::new(loaded))
    }

    async fn forget(&self, digest: &Digest) {
        *self.shared.counts.lock().entry(format!("forget {digest}")).or_default() += 1;
    }
}

#[derive(Debug)]
struct Loaded {
    shared: Arc<Shared>,
    spec: RevisionSpec,
}

impl Loaded {
    fn count(&self, what: &str) -> usize {
        let mut counts = self.shared.counts.lock();
        let count = counts.entry(what.to_owned()).or_default();
        *count += 1;
        *count
    }

    fn step(&self, step: &str) -> Result<(), RuntimeFault> {
        let name = format!("{}:{step}", self.spec.plugin);
        self.count(&name);
        match self.shared.failing.lock().contains(&name) {
            true => Err(RuntimeFault::new(Code::FunctionFailed, format!("{step} was told to fail"))),
            false => Ok(()),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => panic!("the engine passed {other:?} where the type says string"),
    }
}

fn failed(message: impl Into<String>) -> RuntimeFault {
    let message = message.into();
    RuntimeFault {
        error_value: Some(Box::new(Value::String(message.clone()))),
        ..RuntimeFault::new(Code::FunctionFailed, message)
    }
}

#[async_trait]
impl LoadedRevision for Loaded {
    async fn call(
        self: Arc<Self>,
        function: usize,
        arguments: Arc<[Value]>,
        context: CallContext,
    ) -> Result<Value, RuntimeFault> {
        let name = self.spec.graph.functions[function].name.clone();
        let count = self.count(&format!("{}.{name}", self.spec.plugin));
        match (name.as_str(), &*arguments) {
            ("echo", [value]) => Ok(value.clone()),
            ("version", []) => Ok(Value::String(self.spec.digest.short())),
            ("fail", [message]) => Err(failed(text(message))),
            ("trap-until", [Value::Unsigned(times)]) if (count as u64) < *times => {
                Err(RuntimeFault::new(Code::Trapped, format!("trapped at try {count}")))
            }
            ("trap-until", _) => Ok(Value::Unsigned(count as u64)),
            // Nearly 4 MB of JSON with a value every two bytes.
            ("zeros", [_]) => Ok(Value::String(format!("[{}0]", "0,".repeat(1_800_000)))),
            ("panic", [message]) => panic!("{}", text(message)),
            // The second is one that can be subscribed.
            ("wait", []) | ("hold", [_]) => {
                let released = self.shared.release.notified();
                self.shared.waiting.fetch_add(1, Ordering::SeqCst);
                let _guard = Leaving(&self.shared.waiting);
                released.await;
                Ok(Value::String(self.spec.digest.short()))
            }
            ("sleep", [Value::Unsigned(milliseconds)]) => {
                let wait = Duration::from_millis(*milliseconds);
                if wait > context.remaining() {
                    tokio::time::sleep(context.remaining()).await;
                    return Err(RuntimeFault::new(Code::DeadlineExceeded, "slept past the deadline"));
                }
                tokio::time::sleep(wait).await;
                Ok(NOTHING)
            }
            ("call", [function, arguments]) => match context.services.call(&text(function), &text(arguments)).await {
                Ok(answer) => Ok(Value::String(answer)),
                Err(error) => Err(failed(format!("{}: {}", error.code, error.message))),
            },
            ("fire-then-fail", [hook, Value::Unsigned(times)]) => {
                let hook = text(hook);
                for _ in 0..*times {
                    let fired = context.services.fire(&hook, "{}").await;
                    fired.map_err(|error| failed(format!("{}: {}", error.code, error.message)))?;
                    self.count(&format!("fired {hook}"));
                }
                Err(failed("all were fired"))
            }
            ("remember" | "remember-late", [key, value]) => {
                if name == "remember-late" {
                    let released = self.shared.release.notified();
                    self.shared.waiting.fetch_add(1, Ordering::SeqCst);
                    let _guard = Leaving(&self.shared.waiting);
                    released.await;
                }
                let (key, value) = (text(key), text(value).into_bytes());
                let before = context.services.state_get(&key).await.map_err(|error| failed(error.to_string()))?;
                context.services.state_set(&key, value).await.map_err(|error| failed(error.to_string()))?;
                Ok(Value::String(String::from_utf8(before.unwrap_or_default()).expect("it was text")))
            }
            ("setting", [key]) => {
                let value = context.services.configuration().get(&text(key)).cloned().unwrap_or_default();
                Ok(Value::String(value.to_string()))
            }
            ("lie", []) => Ok(Value::String("not a u8".to_owned())),
            other => panic!("the engine called {other:?}"),
        }
    }

    async fn lifecycle(&self, step: LifecycleStep, _context: CallContext) -> Result<(), RuntimeFault> {
        self.step(step.as_str())
    }

    async fn health(&self, _context: CallContext) -> Result<Option<HealthReport>, RuntimeFault> {
        let name = format!("{}:health", self.spec.plugin);
        self.shared.waiting.fetch_add(1, Ordering::SeqCst);
        let _guard = Leaving(&self.shared.waiting);
        let hangs = self.shared.failing.lock().contains(&format!("{name} hangs"));
        self.count(&name);
        if hangs {
            std::future::pending::<()>().await;
        }
        match self.shared.failing.lock().contains(&name) {
            true => Err(RuntimeFault::new(Code::Trapped, "health was told to fail")),
            false => Ok(None),
        }
    }

    async fn migrate_configuration(
        &self,
        _from: &str,
        _configuration: &str,
        _context: CallContext,
    ) -> Result<Option<String>, RuntimeFault> {
        Ok(None)
    }

    async fn migrate_state(&self, _from: &str, _context: CallContext) -> Result<(), RuntimeFault> {
        Ok(())
    }

    async fn warm(&self) -> Result<usize, RuntimeFault> {
        self.count(&format!("{}:warm", self.spec.plugin));
        Ok(1)
    }
}

/// Counts down when a call ends, also when its future is dropped.
struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
