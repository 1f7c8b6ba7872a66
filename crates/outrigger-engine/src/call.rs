//! The one path of a call. Every face ends here, and so do calls between plugins; there is no second way in.
//!
//! Read [`Engine::call`] from top to bottom: each line of [`path`] is a stage with a file of its own.

mod audit;
mod authorize;
mod cache;
mod caller;
mod deadline;
mod hooks;
mod large;
mod permit;
mod rate;
mod record;
mod render;
mod resolve;
mod retry;
mod validate;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use outrigger_compute::run;
use outrigger_contract::types::json::{self, Rendered};
use outrigger_contract::types::{Function, Type};
use outrigger_contract::{Code, FunctionRef, TraceContext, Value};

pub(crate) use cache::AnswerCache;
pub(crate) use caller::turn_owner;
pub use caller::{Caller, Origin, PluginCaller};
pub(crate) use rate::FunctionRate;

use crate::account::Account;
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::plugins::{ActiveRevision, FunctionSlot};
use crate::profile::{CallProfile, Recording, Stage};
use crate::progress::Reporter;
use crate::runtime::{CallContext, Cancellation, NOTHING, Observed, RuntimeFault};
use crate::services::CallServices;
use crate::store::CacheOutcome;
use large::Held;
use record::Run;

/// A call, as it arrives.
#[derive(Clone, Debug)]
pub struct Call {
    pub caller: Caller,
    pub function: FunctionRef,
    pub arguments: Arguments,
    pub options: CallOptions,
}

/// The arguments of a call.
#[derive(Clone, Debug)]
pub enum Arguments {
    /// The text of a JSON object with a member for each parameter. The quickest way for who has text.
    Text(String),
    /// An object with a member for each parameter. Its memory is the caller's; only that of the values is charged.
    Json(serde_json::Map<String, serde_json::Value>),
    /// Values in the order of the parameters. Bytes stay bytes.
    Values(Vec<Value>),
}

/// Options of one call.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// Instead of the function's own.
    pub timeout: Option<Duration>,
    /// Ask for a fresh answer. It is not kept either.
    pub no_cache: bool,
    /// Brought along by the caller; otherwise a new one is made.
    pub correlation: Option<CorrelationId>,
    /// Cancelled when the caller no longer wants the answer.
    pub cancel: Cancellation,
    /// Say where its time went.
    pub profile: bool,
    /// The trace that the caller goes on with, or that it decided not to keep. Boxed: few calls have one.
    pub trace: Option<Box<TraceContext>>,
    /// The call that caused this one, if it is recorded in detail. This one is then recorded in detail too.
    pub within: Option<Arc<Recording>>,
    /// Where the call reports its progress. Calls that it makes itself do not report there.
    pub progress: Option<Reporter>,
    /// Counts the hooks fired for the causing call, over all its attempts.
    pub firings: Option<Arc<AtomicU32>>,
}

/// The result of a call.
#[derive(Clone, Debug)]
pub struct Answer {
    value: Held<Value>,
    account: Account,
    /// Its turn pays for rendering a large result.
    caller: Caller,
    revision: Arc<ActiveRevision>,
    function: usize,
    pub cache: CacheOutcome,
    pub duration: Duration,
    /// How many times it was tried.
    pub attempts: u32,
    pub correlation: CorrelationId,
    /// Things the caller should know although the call succeeded, such as log lines that were dropped.
    pub warnings: Vec<Warning>,
    /// Where its time went, if that was asked for.
    pub profile: Option<Box<CallProfile>>,
}

/// Something worth knowing about a call that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Warning {
    pub code: Code,
    pub message: String,
}

impl Answer {
    /// The value; [`NOTHING`] for a function that gives none.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The revision that answered.
    #[must_use]
    pub fn revision(&self) -> &ActiveRevision {
        &self.revision
    }

    /// The function that answered.
    #[must_use]
    pub fn function(&self) -> &Function {
        &self.revision.graph.functions[self.function]
    }

    /// The value as JSON of its published type.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        match self.ty() {
            Some(ty) => json::render(&self.revision.graph, ty, &self.value),
            None => serde_json::Value::Null,
        }
    }

    /// The value as something that writes itself as JSON of its published type, without a tree in between; none for a
    /// function that gives none.
    #[must_use]
    pub fn rendered(&self) -> Option<Rendered<'_>> {
        self.ty().map(|ty| Rendered { graph: &self.revision.graph, ty, value: &self.value })
    }

    /// The memory of the call.
    #[must_use]
    pub const fn account(&self) -> &Account {
        &self.account
    }

    fn ty(&self) -> Option<&Type> {
        self.function().outcome.ok.as_ref()
    }
}

impl Engine {
    /// Calls a function.
    ///
    /// # Errors
    /// Runs all stages. Every call is recorded, whatever its outcome.
    pub async fn call(&self, call: Call) -> Result<Answer, Failure> {
        let Call { caller, function, arguments, options } = call;
        let mut run = Run::begin(self, &caller, &function, &options);
        let after = hooks::After::of(self, &run);
        let outcome = path(self, arguments, &options, &mut run).await;
        let outcome = run.end(outcome).await;
        if let Some(after) = after {
            after.fire(self, &outcome);
        }
        outcome
    }

    /// Checks that a call would be admitted, without calling anything: the function exists, the caller is allowed to
    /// call it, the arguments are valid. Returns whether a retry is harmless.
    pub(crate) async fn check(&self, call: Call) -> Result<bool, Failure> {
        let Call { caller, function, arguments, options } = call;
        authorize::name(&caller, &function)?;
        let (target, _) = resolve::function(self, &caller, &function).await?;
        authorize::target(&caller, &target)?;
        let deadline = deadline::of(self, &target, &options, Instant::now());
        validate::read(&caller, &target, &target.revision.call_account(), arguments, &options.cancel, deadline).await?;
        Ok(target.slot().repeatable)
    }

    /// Calls several functions, at most `parallel` at once. The answers come in the order of the calls.
    pub async fn call_many(&self, calls: Vec<Call>, parallel: usize) -> Vec<Result<Answer, Failure>> {
        use futures::StreamExt;
        let running = calls.into_iter().map(|call| self.call(call));
        futures::stream::iter(running).buffered(parallel.max(1)).collect().await
    }
}

/// The stages, in order.
async fn path(
    engine: &Engine,
    arguments: Arguments,
    options: &CallOptions,
    run: &mut Run<'_>,
) -> Result<Output, Failure> {
    let (caller, function) = (run.caller(), run.function());
    authorize::name(caller, function)?;
    let (target, held) = resolve::function(engine, caller, function).await?;
    run.found(&target);
    authorize::target(caller, &target)?;
    let deadline = deadline::of(engine, &target, options, run.started() + held);
    let account = target.revision.call_account();
    let early = match arguments.are_large() {
        // Boxed: it would make the future of every call larger.
        true => Some(Box::pin(permit::early(run, &target, &options.cancel, deadline)).await?),
        false => None,
    };
    let arguments = validate::read(caller, &target, &account, arguments, &options.cancel, deadline).await?;
    run.enter(Stage::Queue);
    rate::check(&target, caller)?;
    run.enter(Stage::Hooks);
    let has_subscribers = hooks::has_subscribers(engine, caller);
    // A subscriber may need a permit of the same plugin.
    let early = early.filter(|_| !has_subscribers);
    let arguments = match has_subscribers {
        // Boxed: it would make the future of every call larger.
        true => Box::pin(hooks::before(engine, run, &target, &account, arguments, &options.cancel, deadline)).await?,
        false => arguments,
    };
    run.enter(Stage::Record);
    audit::intent(engine, run, &target).await?;
    run.admit();
    // Counted over all tries. Where there is but one, whoever fires the first hook makes the counter.
    let firings = options.firings.clone().or_else(|| target.slot().retry.map(|_| Arc::default()));
    let execution = Execution {
        engine,
        target: &target,
        caller,
        options,
        correlation: run.correlation(),
        recording: run.recording(),
        firings,
        account: &account,
        tries: run.tries(),
    };
    let found = {
        // Pinned here, so that a pointer is handed on; the future itself is large and would be copied at every step.
        let work = std::pin::pin!(cache::answer(&execution, &arguments, deadline, early));
        deadline::within(deadline, &execution, work).await?
    };
    Ok(Output { found, target, account })
}

/// The function that a call resolved to, in the revision that was active then. The call keeps it to its end, whatever
/// becomes of the plugin meanwhile. Behind an `Arc` of the call's own: to count up what all calls share would have them wait for
/// each other.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: FunctionRef,
    pub(crate) revision: Arc<ActiveRevision>,
    pub(crate) index: usize,
    /// Held while the call runs, so that a revision is only shut down when its last call has ended.
    _running: tokio_util::task::task_tracker::TaskTrackerToken,
}

impl Target {
    pub(crate) fn slot(&self) -> &FunctionSlot {
        &self.revision.functions[self.index]
    }

    pub(crate) fn function(&self) -> &Function {
        &self.revision.graph.functions[self.index]
    }

    /// Whether a result is of the function's type.
    fn gives(&self, value: &Value) -> bool {
        match &self.function().outcome.ok {
            Some(ty) => json::fits(&self.revision.graph, ty, value),
            None => *value == NOTHING,
        }
    }
}

/// A call that has passed every check and only needs to be answered.
pub(crate) struct Execution<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) target: &'a Arc<Target>,
    pub(crate) caller: &'a Caller,
    pub(crate) options: &'a CallOptions,
    pub(crate) correlation: CorrelationId,
    pub(crate) recording: Option<&'a Arc<Recording>>,
    pub(crate) firings: Option<Arc<AtomicU32>>,
    /// The account for memory that the host holds for the call.
    pub(crate) account: &'a Account,
    /// See [`Run::tries`].
    tries: &'a AtomicU32,
}

/// The result of the stages.
#[derive(Debug)]
struct Output {
    found: Found,
    target: Arc<Target>,
    account: Account,
}

/// The result of the inner stages.
#[derive(Debug)]
struct Found {
    value: Held<Value>,
    cache: CacheOutcome,
    attempts: u32,
    /// None where the function did not have to run.
    observed: Option<Arc<Observed>>,
}

impl Execution<'_> {
    /// From now on the call is about this.
    fn enter(&self, stage: Stage) {
        if let Some(recording) = self.recording {
            recording.enter(stage);
        }
    }

    #[cold]
    fn failed(&self, mut fault: RuntimeFault) -> Failure {
        // It can be as large as a result.
        let error = fault.error_value.take().map(|value| Held::new(Arc::<Value>::from(value), self.account));
        let value = error.as_deref().map(|value| &**value);
        Failure::of_call(fault, value, &self.target.revision.graph, self.target.function())
    }

    /// The innermost stage: runs the function once and checks its result.
    async fn run_once(
        &self,
        arguments: &Arc<[Value]>,
        deadline: deadline::Deadline,
        observed: &Arc<Observed>,
    ) -> Result<Held<Value>, Failure> {
        let Target { revision, name, .. } = &**self.target;
        // A runtime that knows more says more.
        self.enter(Stage::Run);
        let context = CallContext {
            correlation: self.correlation,
            deadline: deadline.at,
            cancel: self.options.cancel.clone(),
            services: Arc::new(CallServices::new(self, deadline.at)),
            observed: Arc::clone(observed),
            account: self.account.clone(),
            is_nested: self.caller.is_within(&name.plugin),
            recording: self.recording.cloned(),
        };
        let call = Arc::clone(&revision.loaded).call(self.target.index, Arc::clone(arguments), context);
        let outcome = run(revision.loaded.belongs_in_pool(), call).await;
        revision.counts.memory_used(observed.memory_peak());
        self.enter(Stage::Validate);
        let value = match outcome {
            Ok(value) => Held::new(Arc::new(value), self.account),
            Err(fault) => return Err(self.failed(fault)),
        };
        let fits = match value.is_large() {
            // This takes milliseconds.
            true => run(true, Box::pin(given(Arc::clone(self.target), value.clone()))).await,
            false => self.target.gives(&value),
        };
        match fits {
            true => Ok(value),
            false => {
                let message = format!("`{name}` returned a value that does not match its type");
                Err(Failure::new(Code::InvalidOutput, message))
            }
        }
    }
}

/// The same as [`Target::gives`].
async fn given(target: Arc<Target>, value: Held<Value>) -> bool {
    target.gives(&value)
}
