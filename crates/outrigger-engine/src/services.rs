//! The host's services for one call of one plugin: log, configuration, key-value state, calls to other plugins,
//! progress, hooks. Every action of a plugin beyond computing goes through here, or is not supported by the runtime at
//! all.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;
use outrigger_compute::{blocking, serve};
use outrigger_contract::excerpt::excerpt;
use outrigger_contract::manifest::LONGEST_STATE_KEY as LONGEST_KEY;
use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, FunctionRef, HookName, PluginName};
use time::OffsetDateTime;

use crate::call::{Arguments, Call, CallOptions, Caller, Execution, Origin, PluginCaller, Target, turn_owner};
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::hooks::{Firing, Payload, check_length};
use crate::life::StagedState;
use crate::plugins::{ActiveRevision, Configuration};
use crate::profile::Recording;
use crate::progress::{Progress, Reporter};
use crate::quota::{Kind, ROW_BYTES};
use crate::runtime::{CallError, HostServices, LogLine, StateError};
use crate::store::{Expected, LogRecord, StateOutcome, StateWrite, Store, StoreError};

/// The subject of a lifecycle step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ground {
    /// A copy of the state; none for the state itself.
    pub(crate) state: Option<Arc<StagedState>>,
    pub(crate) calls: Calls,
    /// When it must be done, where that is sooner than its own time is over.
    pub(crate) until: Option<Instant>,
    pub(crate) correlation: Option<CorrelationId>,
}

/// Whether functions of other plugins can be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Calls {
    #[default]
    Granted,
    Refused,
}

impl Ground {
    /// A copy of the state.
    pub(crate) fn staged(state: &Arc<StagedState>) -> Self {
        Self { state: Some(Arc::clone(state)), ..Self::default() }
    }
}

/// Services bound to a plugin and a call.
#[derive(Debug)]
pub(crate) struct CallServices {
    engine: Engine,
    subject: Subject,
    configuration: Arc<Configuration>,
    correlation: CorrelationId,
    deadline: Instant,
    /// The calls that led to this one, the outermost first.
    chain: Vec<FunctionRef>,
    /// The origin of that chain.
    origin: Origin,
    staged: Option<Arc<StagedState>>,
    calls: Calls,
    /// Where calls of other plugins are recorded.
    recording: Option<Arc<Recording>>,
    /// The receiver of progress reports.
    progress: Option<Reporter>,
    /// How many hooks were fired for the call, by it and by all that it led to. Made when it is first needed.
    firings: OnceLock<Arc<AtomicU32>>,
}

/// The minimum size at which a state write counts.
const FEWEST_STATE_BYTES: u64 = 64;
/// Maximum number of hooks fired for a call, by it and by its nested calls. Events are kept, so a loop would displace
/// the events of others.
const MOST_FIRINGS: u32 = 1_000;

/// The purposes of the sealed values.
#[derive(Debug)]
enum Subject {
    Call(Arc<Target>),
    /// A step of a plugin's life.
    Step(PluginName, Arc<ActiveRevision>),
}

impl Subject {
    fn plugin(&self) -> &PluginName {
        match self {
            Self::Call(target) => &target.name.plugin,
            Self::Step(plugin, _) => plugin,
        }
    }

    fn function(&self) -> Option<&FunctionRef> {
        match self {
            Self::Call(target) => Some(&target.name),
            Self::Step(..) => None,
        }
    }

    fn revision(&self) -> &ActiveRevision {
        match self {
            Self::Call(target) => &target.revision,
            Self::Step(_, revision) => revision,
        }
    }
}

impl CallServices {
    pub(crate) fn new(execution: &Execution<'_>, deadline: Instant) -> Self {
        let target = execution.target;
        Self {
            engine: execution.engine.clone(),
            subject: Subject::Call(Arc::clone(target)),
            configuration: target.revision.configuration.load_full(),
            correlation: execution.correlation,
            deadline,
            chain: execution.caller.chain().to_vec(),
            origin: execution.caller.origin(),
            staged: None,
            calls: Calls::Granted,
            recording: execution.recording.filter(|recording| recording.is_detailed()).cloned(),
            progress: execution.options.progress.clone(),
            firings: execution.firings.clone().map_or_else(OnceLock::new, OnceLock::from),
        }
    }

    /// For a lifecycle step or a health check, which is called by no one.
    pub(crate) fn for_step(
        engine: &Engine,
        plugin: &PluginName,
        revision: &Arc<ActiveRevision>,
        correlation: CorrelationId,
        deadline: Instant,
        ground: &Ground,
    ) -> Self {
        Self {
            engine: engine.clone(),
            subject: Subject::Step(plugin.clone(), Arc::clone(revision)),
            configuration: revision.configuration.load_full(),
            correlation,
            deadline,
            chain: Vec::new(),
            origin: Origin::Plugin(plugin.clone()),
            staged: ground.state.clone(),
            calls: ground.calls,
            recording: None,
            progress: None,
            firings: OnceLock::new(),
        }
    }

    /// Uses the store for the plugin.
    async fn with_store<T, F>(
        &self,
        work: impl FnOnce(Arc<dyn Store>, PluginName) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (store, plugin) = (Arc::clone(&self.engine.inner.store), self.subject.plugin().clone());
        outrigger_compute::with_store(work(store, plugin)).await
    }

    async fn write(&self, write: StateWrite<'_>) -> Result<(), StateError> {
        check_key(write.key)?;
        let capacity = self.subject.revision().manifest.limits.state.as_u64();
        let outcome = match &self.staged {
            Some(staged) => {
                staged.room(write.key, write.value.len()).map_err(StateError::TooLarge)?;
                staged.set(write, capacity).await
            }
            None => {
                self.writes()?;
                self.take_room((write.key.len() + write.value.len()) as u64)?;
                let (key, value) = (write.key.to_owned(), write.value.to_owned());
                let wanted = match write.expected {
                    Expected::Anything => None,
                    Expected::Nothing => Some(None),
                    Expected::Value(value) => Some(Some(value.to_owned())),
                };
                self.with_store(move |store, plugin| async move {
                    let expected = match &wanted {
                        None => Expected::Anything,
                        Some(None) => Expected::Nothing,
                        Some(Some(value)) => Expected::Value(value),
                    };
                    store.state_set(&plugin, StateWrite { key: &key, value: &value, expected }, capacity).await
                })
                .await
            }
        };
        match outcome {
            Ok(StateOutcome::Written) => Ok(()),
            Ok(StateOutcome::Changed) => Err(StateError::Changed),
            Ok(StateOutcome::OverCapacity(bytes)) => {
                let limit = self.subject.revision().manifest.limits.state;
                let size = ByteSize::bytes(bytes).rounded();
                Err(StateError::TooLarge(format!("the state would take {size}; `[limits] state` is {limit}")))
            }
            Err(error) => Err(unavailable(&error)),
        }
    }
}

impl CallServices {
    fn firings(&self) -> Arc<AtomicU32> {
        Arc::clone(self.firings.get_or_init(Arc::default))
    }

    /// The plugin, as it calls others.
    fn as_caller(&self) -> Caller {
        let chain = self.chain.iter().chain(self.subject.function()).cloned().collect();
        Caller::Plugin(Arc::new(PluginCaller { chain, origin: self.origin.clone() }))
    }

    /// Takes a state write from the quota of the plugin.
    fn take_room(&self, bytes: u64) -> Result<(), StateError> {
        let taken = self.subject.revision().writes.take(Kind::State, bytes + FEWEST_STATE_BYTES, Instant::now());
        taken.map_err(|wait| {
            let quota = ByteSize::bytes(self.engine.inner.options.quotas.state_bytes);
            let seconds = wait.as_secs() + 1;
            StateError::TooLarge(format!(
                "the quota of {quota} of state writes per minute is used up; try again in {seconds} s"
            ))
        })
    }

    /// A version whose state was taken over by its successor must not write what that does not understand.
    fn writes(&self) -> Result<(), StateError> {
        match self.subject.revision().is_superseded() {
            true => {
                Err(StateError::Unavailable("the state was taken over by another version of the plugin".to_owned()))
            }
            false => Ok(()),
        }
    }
}

fn check_key(key: &str) -> Result<(), StateError> {
    match key.len() {
        0 => Err(StateError::InvalidKey("a key must not be empty".to_owned())),
        1..=LONGEST_KEY => Ok(()),
        length => Err(StateError::InvalidKey(format!("a key may have {LONGEST_KEY} bytes, this one has {length}"))),
    }
}

fn unavailable(error: &StoreError) -> StateError {
    tracing::error!(%error, "failed to access a plugin's state");
    StateError::Unavailable(error.to_string())
}

#[async_trait]
impl HostServices for CallServices {
    fn log(&self, line: LogLine) -> bool {
        let LogLine { level, message, fields } = line;
        tracing::trace!(plugin = %self.subject.plugin(), correlation = %self.correlation, ?level, message, "plugin log");
        let texts = fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + message.len();
        if self.subject.revision().writes.take(Kind::Log, texts as u64 + ROW_BYTES, Instant::now()).is_err() {
            // Counted there, for the metrics of the plugin.
            return false;
        }
        self.engine.inner.written.add(texts as u64 + ROW_BYTES);
        let record = LogRecord {
            at: OffsetDateTime::now_utc(),
            plugin: self.subject.plugin().clone(),
            function: self.subject.function().map(|function| function.function.clone()),
            correlation: self.correlation,
            level,
            message,
            fields,
        };
        self.engine.inner.recorder.log(record)
    }

    fn configuration(&self) -> Arc<serde_json::Map<String, serde_json::Value>> {
        Arc::clone(&self.configuration.values)
    }

    async fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        check_key(key)?;
        let value = match &self.staged {
            Some(staged) => staged.get(key).await,
            None => {
                let key = key.to_owned();
                self.with_store(move |store, plugin| async move { store.state_get(&plugin, &key).await }).await
            }
        };
        value.map_err(|error| unavailable(&error))
    }

    async fn state_set(&self, key: &str, value: Vec<u8>) -> Result<(), StateError> {
        self.write(StateWrite { key, value: &value, expected: Expected::Anything }).await
    }

    async fn state_compare_and_set(
        &self,
        key: &str,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> Result<(), StateError> {
        let expected = expected.as_deref().map_or(Expected::Nothing, Expected::Value);
        self.write(StateWrite { key, value: &value, expected }).await
    }

    async fn state_delete(&self, key: &str) -> Result<(), StateError> {
        check_key(key)?;
        let outcome = match &self.staged {
            Some(staged) => {
                staged.room(key, 0).map_err(StateError::TooLarge)?;
                staged.delete(key).await
            }
            None => {
                self.writes()?;
                self.take_room(key.len() as u64)?;
                let key = key.to_owned();
                self.with_store(move |store, plugin| async move { store.state_delete(&plugin, &key).await }).await
            }
        };
        outcome.map_err(|error| unavailable(&error))
    }

    async fn state_keys(&self, prefix: &str, limit: u32) -> Result<Vec<String>, StateError> {
        let limit = limit.min(10_000);
        let keys = match &self.staged {
            Some(staged) => staged.keys(prefix, limit).await,
            None => {
                let prefix = prefix.to_owned();
                self.with_store(move |store, plugin| async move { store.state_keys(&plugin, &prefix, limit).await })
                    .await
            }
        };
        keys.map_err(|error| unavailable(&error))
    }

    async fn call(&self, function: &str, arguments: &str) -> Result<String, CallError> {
        if self.calls == Calls::Refused {
            let message = "a migration calls no functions of other plugins: it may be done again, or only be tried";
            return Err(refused(Code::Unsupported, message));
        }
        let function: FunctionRef =
            function.parse().map_err(|error| refused(Code::InvalidUsage, format!("{error}")))?;
        if !self.subject.revision().granted.permissions.allows_function(&function.plugin, &function.function) {
            let message = format!(
                "the plugin `{}` is not allowed to call `{function}`; request it in the manifest with `plugins = \
                 [\"{function}\"]`",
                self.subject.plugin()
            );
            return Err(refused(Code::PermissionDenied, message));
        }
        let call = Call {
            caller: self.as_caller(),
            function,
            arguments: Arguments::Text(arguments.to_owned()),
            options: CallOptions {
                timeout: Some(self.deadline.saturating_duration_since(Instant::now())),
                correlation: Some(self.correlation),
                within: self.recording.clone(),
                firings: Some(self.firings()),
                ..CallOptions::default()
            },
        };
        let engine = self.engine.clone();
        let called = async move {
            let answer = engine.call(call).await?;
            let text = answer.json_text().await?;
            Ok::<_, Failure>((text, answer.account().clone()))
        };
        // The text stays charged to the call while this task waits for its thread. Then its caller is charged.
        let (text, _account) = serve(called).await.map_err(passed_on)?;
        Ok(text)
    }

    fn progress(&self, progress: Progress) {
        if let Some(reporter) = &self.progress {
            reporter.tell(progress);
        }
    }

    async fn fire(&self, hook: &str, payload: &str) -> Result<String, CallError> {
        if self.subject.function().is_none() {
            let message = "only a call fires hooks; a step of a plugin's life may be done again, or only be tried";
            return Err(refused(Code::Unsupported, message));
        }
        let hook: HookName = hook.parse().map_err(|error| refused(Code::InvalidUsage, format!("{error}")))?;
        check_length(&hook, payload.len()).map_err(|failure| refused(failure.code, failure.message))?;
        let firings = self.firings();
        if firings.fetch_add(1, Ordering::Relaxed) >= MOST_FIRINGS {
            let message = format!("one call can fire hooks at most {MOST_FIRINGS} times");
            return Err(refused(Code::RateLimited, message));
        }
        let payload = read_payload(self.subject.plugin(), payload)
            .await
            .map_err(|error| refused(Code::InvalidInput, format!("the payload of `{hook}` is not JSON: {error}")))?;
        let firing = Firing {
            cause: Some(self.as_caller()),
            correlation: self.correlation,
            until: Some(self.deadline),
            within: self.recording.clone(),
            firings: Some(firings),
            ..Firing::new(hook, payload)
        };
        let (engine, plugin) = (self.engine.clone(), self.subject.plugin().clone());
        let carried = serve(async move { engine.fire_own(&plugin, firing).await }).await;
        carried.map(|carried| carried.to_string()).map_err(passed_on)
    }
}

/// Reads a payload; a large one in the pool for long computations.
async fn read_payload(plugin: &PluginName, text: &str) -> Result<Payload, String> {
    const SHORT: usize = 64 << 10;
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).map(Payload::from);
    if text.len() <= SHORT {
        return read(text).map_err(|error| error.to_string());
    }
    let text = text.to_owned();
    let payload = blocking(&turn_owner(plugin), move || read(&text)).await.map_err(|panicked| panicked.to_string())?;
    payload.map_err(|error| error.to_string())
}

fn refused(code: Code, message: impl Into<String>) -> CallError {
    CallError { code, message: excerpt(message), detail: None }
}

fn passed_on(failure: Failure) -> CallError {
    let Failure { code, message, detail, .. } = failure;
    CallError { code, message, detail: detail.map(|detail| detail.to_string()) }
}
