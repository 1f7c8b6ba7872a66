//! The engine's interface to a runtime: read an entry, load a revision, run it. The traits live here, with their
//! consumer; `outrigger-runtime` fills them.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use outrigger_contract::excerpt::{cut, excerpt};
use outrigger_contract::manifest::{InstancePolicy, Limits, Manifest};
use outrigger_contract::types::wit::OptionalExport;
use outrigger_contract::{Code, Digest, Permissions, PluginName, TypeGraph, Value};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::correlation::CorrelationId;
use crate::profile::{Recording, Stage};
use crate::progress::Progress;

/// Runs plugins of one kind.
#[async_trait]
pub trait Runtime: Debug + Send + Sync {
    /// Reads what an entry offers and needs, without running any of it, and refuses what could not be run.
    /// `root` is the folder of the unpacked package.
    async fn inspect(&self, root: &Path, manifest: &Manifest) -> Result<Inspection, RuntimeFault>;

    /// Makes a revision ready to run. Slow the first time (compilation), quick afterwards (cached code).
    async fn load(&self, revision: RevisionSpec) -> Result<Arc<dyn LoadedRevision>, RuntimeFault>;

    /// Resolves granted paths and pins the grants to them. `plugin_writable` are the folders that plugins may write to,
    /// where they could redirect a path.
    ///
    /// # Errors
    /// A path cannot be granted: a plugin could redirect it, or it leads to the platform's own files.
    async fn pin(&self, permissions: &Permissions, _plugin_writable: &[String]) -> Result<Permissions, RuntimeFault> {
        Ok(permissions.clone())
    }

    /// The granted paths, without folders that a plugin has replaced.
    async fn still_there(&self, granted: &Permissions, _plugin_writable: &[String]) -> Permissions {
        granted.clone()
    }

    /// Forgets what is cached for a digest that is no longer installed.
    async fn forget(&self, digest: &Digest);
}

/// The exports and imports of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// The functions that can be called.
    pub graph: TypeGraph,
    /// Optional interfaces of ours that it exports.
    pub exports: Vec<OptionalExport>,
    /// Its imports, by name; shown to the user.
    pub imports: Vec<String>,
    /// Things worth knowing that do not keep it from running, for a person to read: an import without a grant, say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The initial size of an instance, without its memories and tables, in bytes.
    #[serde(default)]
    pub instance_bytes: u64,
}

/// All that a runtime needs to run one revision.
#[derive(Clone, Debug)]
pub struct RevisionSpec {
    pub plugin: PluginName,
    pub digest: Digest,
    /// The folder of the unpacked package.
    pub root: PathBuf,
    /// The entry, relative to `root`.
    pub entry: PathBuf,
    pub graph: Arc<TypeGraph>,
    pub exports: Vec<OptionalExport>,
    /// The grant of this digest; nothing beyond it may be accessible.
    pub granted: Permissions,
    /// Folders that plugins may write to, resolved, ending in `/`.
    pub plugin_writable: Arc<[String]>,
    pub limits: Limits,
    pub instances: InstancePolicy,
    /// See [`Inspection::instance_bytes`].
    pub instance_bytes: u64,
    /// The memory account for its instances.
    pub account: Account,
}

/// A revision that is ready to run. Dropping it frees its instances; calls that still run finish first.
#[async_trait]
pub trait LoadedRevision: Debug + Send + Sync {
    /// Runs the function at `function` in the graph's list. `arguments` fit its parameters: the engine has checked.
    ///
    /// The future may be dropped at any time (cancel, deadline); the instance is then discarded. The runtime itself
    /// keeps the limits on memory, CPU, output and log lines, and the deadline of the context.
    ///
    /// The future owns everything, so that it can move to the pool for long computations.
    async fn call(
        self: Arc<Self>,
        function: usize,
        arguments: Arc<[Value]>,
        context: CallContext,
    ) -> Result<Value, RuntimeFault>;

    /// Whether the next call runs in the pool for long computations from its beginning, as far as the runtime can tell
    /// from earlier ones.
    fn belongs_in_pool(&self) -> bool {
        false
    }

    /// Runs one step of the lifecycle. Succeeds at once where the plugin does not export it.
    async fn lifecycle(&self, step: LifecycleStep, context: CallContext) -> Result<(), RuntimeFault>;

    /// Asks for the plugin's health; none where it does not export it.
    async fn health(&self, context: CallContext) -> Result<Option<HealthReport>, RuntimeFault>;

    /// Turns the configuration of the version `from` into one for this version, both as the text of a JSON object; none
    /// where the plugin does not export it.
    async fn migrate_configuration(
        &self,
        from: &str,
        configuration: &str,
        context: CallContext,
    ) -> Result<Option<String>, RuntimeFault>;

    /// Turns the state that the version `from` left into one for this version, by way of the context's services. Succeeds
    /// at once where the plugin does not export it.
    async fn migrate_state(&self, from: &str, context: CallContext) -> Result<(), RuntimeFault>;

    /// Makes instances ready ahead of calls, as many as the policy keeps; none under the policy `fresh`.
    async fn warm(&self) -> Result<usize, RuntimeFault>;
}

/// Runs a step of a plugin's life, which moves to the pool for long computations if it computes for long.
pub(crate) async fn run_step<T, F>(
    loaded: &Arc<dyn LoadedRevision>,
    step: impl FnOnce(Arc<dyn LoadedRevision>) -> F,
) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    outrigger_compute::run(false, Box::pin(step(Arc::clone(loaded)))).await
}

/// A function without a result gives this.
pub const NOTHING: Value = Value::Option(None);

/// The context of one execution.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Follows a call through every plugin it reaches.
    pub correlation: CorrelationId,
    /// When it must be over, host calls included.
    pub deadline: Instant,
    /// Cancelled when the caller no longer wants the answer.
    pub cancel: Cancellation,
    /// The services of the host, for this plugin and this call.
    pub services: Arc<dyn HostServices>,
    /// Where the runtime reports what the call did besides answering.
    pub observed: Arc<Observed>,
    /// The memory account of the call, charged before each allocation.
    pub account: Account,
    /// Whether a running call of the same plugin has caused it and waits for it.
    pub is_nested: bool,
    /// Where the runtime reports where the time goes. None for nearly all calls, which then must cost nothing for it.
    pub recording: Option<Arc<Recording>>,
}

impl CallContext {
    /// The time that is left.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// From now on the call is about this.
    pub fn enter(&self, stage: Stage) {
        if let Some(recording) = &self.recording {
            recording.enter(stage);
        }
    }
}

/// Tells a call that its answer is no longer wanted. Most calls cannot be told, and are dropped instead; those need not pay
/// for a token.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Option<CancellationToken>);

impl Cancellation {
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    /// Returns when it is; never, for a call that cannot be told.
    pub async fn cancelled(&self) {
        match &self.0 {
            Some(token) => token.cancelled().await,
            None => std::future::pending().await,
        }
    }
}

impl From<CancellationToken> for Cancellation {
    fn from(token: CancellationToken) -> Self {
        Self(Some(token))
    }
}

/// The side effects of a call. Written by the runtime, read by the engine when the call is over.
#[derive(Debug, Default)]
pub struct Observed {
    inner: parking_lot::Mutex<Observations>,
    /// In bytes.
    memory_peak: AtomicU64,
}

/// See [`Observed`].
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// Log lines beyond the limit, counted and dropped.
    pub dropped_log_lines: u64,
    /// The actions that were refused for lack of a grant, as text for people: "open the file /etc/shadow".
    pub violations: Vec<String>,
    /// An instance was made for this call; otherwise one that was kept has run it.
    pub instantiated: bool,
}

impl Observed {
    /// Counts log lines that were dropped.
    pub fn log_lines_dropped(&self, lines: u64) {
        self.inner.lock().dropped_log_lines += lines;
    }

    /// Notes something that was refused. Only the first few are kept, each once.
    pub fn violation(&self, what: impl Into<String>) {
        let (what, violations) = (excerpt(what), &mut self.inner.lock().violations);
        if violations.len() < 8 && !violations.contains(&what) {
            violations.push(what);
        }
    }

    /// Notes that an instance was made.
    pub fn instantiated(&self) {
        self.inner.lock().instantiated = true;
    }

    /// Notes how much memory the instance has at the end of the call, in bytes.
    pub fn memory_used(&self, bytes: u64) {
        self.memory_peak.fetch_max(bytes, Ordering::Relaxed);
    }

    /// The most memory that an instance had at the end, in bytes; 0 where none was noted.
    #[must_use]
    pub fn memory_peak(&self) -> u64 {
        self.memory_peak.load(Ordering::Relaxed)
    }

    /// The observations so far.
    #[must_use]
    pub fn snapshot(&self) -> Observations {
        self.inner.lock().clone()
    }
}

/// The steps of a plugin's life in which it takes part itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LifecycleStep {
    Initialize,
    Activate,
    Deactivate,
    Cleanup,
}

impl LifecycleStep {
    /// The name of the exported function.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
            Self::Cleanup => "cleanup",
        }
    }
}

/// A plugin's own account of its health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// The worst of the plugin's verdict and of its checks.
    pub status: HealthStatus,
    pub checks: Vec<HealthCheck>,
}

/// One named check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    pub name: String,
    pub status: HealthStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// From best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    Healthy,
    Degraded,
    Unhealthy,
}

/// The maximum length of a fault's message, in bytes. It can contain several texts of a plugin, each truncated to less.
const LONGEST_FAULT: usize = 4 << 10;

/// Why an execution gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct RuntimeFault {
    /// One of the table, such as `trapped` or `memory_limit`.
    pub code: Code,
    /// The problem, with names and numbers.
    pub message: String,
    /// For [`Code::FunctionFailed`]: the error value, which fits the function's declared type; none where it has none.
    pub error_value: Option<Box<Value>>,
}

impl RuntimeFault {
    /// A fault without an error value.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: cut(message.into(), LONGEST_FAULT), error_value: None }
    }
}

/// The services that a plugin may import, bound to one plugin and one call. The engine fills it.
#[async_trait]
pub trait HostServices: Debug + Send + Sync {
    /// Writes a log line. Never blocks; the runtime has already applied the limits of the call. Returns false if the
    /// line was dropped because the queue is full.
    fn log(&self, line: LogLine) -> bool;

    /// The plugin's configuration, defaults filled in, as it was when the call began.
    fn configuration(&self) -> Arc<serde_json::Map<String, serde_json::Value>>;

    async fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError>;
    async fn state_set(&self, key: &str, value: Vec<u8>) -> Result<(), StateError>;
    /// Sets the value only where it is still `expected`.
    async fn state_compare_and_set(
        &self,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<(), StateError>;
    async fn state_delete(&self, key: &str) -> Result<(), StateError>;
    /// Keys that begin with `prefix`, in order.
    async fn state_keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>, StateError>;

    /// Calls a function of another plugin; arguments and result are JSON text.
    async fn call(&self, function: &str, arguments: &str) -> Result<String, CallError>;

    /// Notes how far the call is. Never blocks.
    fn progress(&self, progress: Progress);

    /// Fires a hook of the plugin's own with this JSON text as payload; returns the final payload.
    async fn fire(&self, hook: &str, payload: &str) -> Result<String, CallError>;
}

/// A log line of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: String,
    pub fields: Vec<(String, String)>,
}

impl LogLine {
    /// Its size in memory, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        const PAIR: usize = size_of::<(String, String)>();
        let fields = self.fields.iter().map(|(name, value)| PAIR + name.len() + value.len());
        size_of::<Self>() + self.message.len() + fields.sum::<usize>()
    }
}

/// From most to least verbose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Why key-value state was refused; mirrors `outrigger:plugin/state`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("{0}")]
    InvalidKey(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("the value was changed since it was read")]
    Changed,
    #[error("{0}")]
    Unavailable(String),
}

/// Why a call to another plugin, or the firing of a hook, failed; mirrors `outrigger:plugin/calls`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    pub code: Code,
    pub message: String,
    pub detail: Option<String>,
}
