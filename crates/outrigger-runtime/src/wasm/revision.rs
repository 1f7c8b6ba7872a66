//! A revision that is ready to run: its functions by place, and the instances that are kept for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use outrigger_contract::excerpt::excerpt;
use outrigger_contract::manifest::InstancePolicy;
use outrigger_contract::types::json::Rendered;
use outrigger_contract::units::{ByteSize, Span};
use outrigger_contract::{Code, Value};
use outrigger_engine::Account;
use outrigger_engine::profile::Stage;
use outrigger_engine::runtime::{
    CallContext, HealthReport, LifecycleStep, LoadedRevision, NOTHING, RevisionSpec, RuntimeFault,
};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use super::fault::{self, Applied};
use super::idle::Idle;
use super::instance::{Aftermath, Instance, InstanceLimits};
use super::limits::Shortage;
use super::optional::{Optional, health_report};
use super::pace::Pace;
use super::slots::Slots;
use super::state::{Grants, State};

/// How long instances may take that are made ahead of calls.
const WARM_UP: Duration = Duration::from_secs(30);

/// The pause before a call that found no memory or slot for an instance tries again.
const SHORT: Duration = Duration::from_millis(5);

/// A loaded component.
pub(super) struct Revision {
    spec: RevisionSpec,
    pre: InstancePre<State>,
    grants: Arc<Grants>,
    slots: Slots,
    limits: InstanceLimits,
    /// In the order of the graph.
    functions: Vec<ComponentExportIndex>,
    optional: Optional,
    idle: Idle<Instance>,
    pace: Pace,
}

impl std::fmt::Debug for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revision")
            .field("plugin", &self.spec.plugin)
            .field("digest", &self.spec.digest)
            .field("idle", &self.idle.count())
            .finish_non_exhaustive()
    }
}

impl Revision {
    /// Links a component and looks up what it exports.
    pub(super) fn new(
        linker: &Linker<State>,
        component: &Component,
        grants: Grants,
        slots: Slots,
        spec: RevisionSpec,
    ) -> Result<Self, RuntimeFault> {
        let invalid =
            |problem: String| RuntimeFault::new(Code::InvalidComponent, format!("{}: {problem}", spec.plugin));
        let pre =
            linker.instantiate_pre(component).map_err(|error| invalid(format!("unsupported import: {error:#}")))?;
        let export = |interface: Option<&str>, name: &str| {
            let interface = match interface {
                Some(interface) => Some(component.get_export_index(None, interface)?),
                None => None,
            };
            component.get_export_index(interface.as_ref(), name)
        };
        let missing = |name: &str| {
            invalid(format!("the component does not export `{name}`, which was read from it; install the plugin again"))
        };
        let functions = spec
            .graph
            .functions
            .iter()
            .map(|function| {
                export(function.interface.as_deref(), &function.export).ok_or_else(|| missing(&function.name))
            })
            .collect::<Result<_, _>>()?;
        let optional = Optional::find(component, &spec.exports).map_err(missing)?;
        let limits = InstanceLimits {
            memory: spec.limits.memory.as_usize(),
            instances: usize::try_from(spec.instance_bytes).unwrap_or(usize::MAX),
            output: spec.limits.output.as_usize(),
            log_lines: spec.limits.log_lines,
            cpu: spec.limits.cpu.map(Span::as_duration),
        };
        let (idle, pace) = (Idle::default(), Pace::default());
        Ok(Self { pre, grants: Arc::new(grants), slots, limits, functions, optional, idle, pace, spec })
    }

    /// Instances to keep, and calls that each may serve; none where each call gets its own.
    fn kept(&self) -> Option<(usize, u32)> {
        match self.spec.instances {
            InstancePolicy::Fresh => None,
            InstancePolicy::Warm { max_instances, max_calls } => Some((max_instances.get() as usize, max_calls.get())),
        }
    }

    /// An instance that is ready for this call: one that was kept, or a new one.
    async fn instance(&self, context: &CallContext) -> Result<Instance, RuntimeFault> {
        if let Some(mut instance) = self.idle.take() {
            instance.renew(&self.limits, context, self.pace.clock());
            return Ok(instance);
        }
        self.fresh(context).await
    }

    async fn fresh(&self, context: &CallContext) -> Result<Instance, RuntimeFault> {
        context.enter(Stage::Instantiate);
        let started = Instant::now();
        loop {
            let (made, aftermath) = self.create(context).await;
            let may_wait =
                aftermath.shortage.is_some_and(Shortage::may_pass) && Instant::now() + SHORT < context.deadline;
            match made {
                Err(_) if may_wait && !context.cancel.is_cancelled() => tokio::time::sleep(SHORT).await,
                made => return made.map_err(|error| self.fault(&error, &aftermath, started)),
            }
        }
    }

    async fn create(&self, context: &CallContext) -> (wasmtime::Result<Instance>, Aftermath) {
        let room = (&self.slots, &self.spec.account);
        Instance::create(&self.pre, &self.grants, &self.limits, room, context, self.pace.clock()).await
    }

    /// Keeps an instance for the next call, if it may serve one more and there is room. Gives it back otherwise.
    fn keep(&self, instance: Instance) -> Option<Instance> {
        let Some((max_instances, max_calls)) = self.kept() else { return Some(instance) };
        if instance.calls >= max_calls || !instance.may_keep() || !self.slots.may_keep(self.idle.count()) {
            return Some(instance);
        }
        self.idle.keep(instance, max_instances)
    }

    fn fault(&self, error: &wasmtime::Error, aftermath: &Aftermath, started: Instant) -> RuntimeFault {
        let fault = fault::of_error(&self.spec.plugin, error, aftermath.shortage, &self.applied(started));
        fault::after_refusals(&self.spec.plugin, fault, &aftermath.refusals)
    }

    fn applied(&self, started: Instant) -> Applied {
        let limits = &self.spec.limits;
        Applied {
            memory: limits.memory.to_string(),
            output: limits.output.to_string(),
            cpu: self.limits.cpu.unwrap_or_default(),
            took: started.elapsed(),
        }
    }

    /// Runs a function on an instance, which is given back only where it may be used again.
    async fn run(
        &self,
        mut instance: Instance,
        function: &ComponentExportIndex,
        arguments: &[Value],
        context: &CallContext,
    ) -> Result<(Option<Value>, Aftermath, Instance), RuntimeFault> {
        let started = Instant::now();
        let result = instance.call(function, arguments, context, &self.pace, started).await;
        let aftermath = instance.finish();
        context.observed.memory_used(instance.memory());
        match result {
            Ok(value) => Ok((value, aftermath, instance)),
            Err(error) => Err(self.fault(&error, &aftermath, started)),
        }
    }

    /// Runs a function of one of the optional interfaces on an instance of its own. Its error value is a text.
    async fn step(
        &self,
        name: &str,
        export: &ComponentExportIndex,
        arguments: &[Value],
        context: &CallContext,
    ) -> Result<Option<Value>, RuntimeFault> {
        let instance = self.fresh(context).await?;
        let (value, aftermath, _) = self.run(instance, export, arguments, context).await?;
        let said = match value {
            Some(Value::Result(Ok(value))) => return Ok(value.map(|value| *value)),
            Some(Value::Result(Err(Some(said)))) => match *said {
                Value::String(text) => text,
                _ => String::new(),
            },
            Some(Value::Result(Err(None))) => String::new(),
            value => return Ok(value),
        };
        let plugin = &self.spec.plugin;
        let fault = RuntimeFault {
            code: Code::FunctionFailed,
            message: format!("`{name}` of {plugin} failed: {}", shortened(&said)),
            error_value: Some(Box::new(Value::String(excerpt(said)))),
        };
        Err(fault::after_refusals(plugin, fault, &aftermath.refusals))
    }

    /// A result that is too large is refused; its size is known exactly here.
    fn check_size(&self, value: &Value) -> Result<(), RuntimeFault> {
        let size = value.size();
        if size <= self.limits.output {
            return Ok(());
        }
        Err(RuntimeFault::new(
            Code::OutputLimit,
            format!(
                "the result of {} is {}; the limit is {}; raise `[limits] output`, or return it in parts",
                self.spec.plugin,
                ByteSize::bytes(size as u64).rounded(),
                self.spec.limits.output
            ),
        ))
    }

    /// The function answered with its error value.
    fn failed(&self, function: usize, value: Option<Value>, aftermath: &Aftermath) -> RuntimeFault {
        let plugin = &self.spec.plugin;
        if let Some(shortage) = aftermath.shortage {
            return fault::of_shortage(plugin, shortage, &self.applied(Instant::now()));
        }
        let graph = &self.spec.graph;
        let function = &graph.functions[function];
        let said = match (&value, &function.outcome.err) {
            (Some(Value::String(text)), _) => shortened(text),
            (Some(value), Some(Some(ty))) => beginning(Rendered { graph, ty, value }),
            _ => "it gave no reason".to_owned(),
        };
        let message = format!("{plugin}.{} failed: {said}", function.name);
        let error_value = value.map(Box::new);
        let fault = RuntimeFault { error_value, ..RuntimeFault::new(Code::FunctionFailed, message) };
        fault::after_refusals(plugin, fault, &aftermath.refusals)
    }
}

impl Revision {
    /// Calls a function, on an idle or new instance.
    async fn call_now(
        &self,
        function: usize,
        arguments: &[Value],
        context: &CallContext,
    ) -> Result<Value, RuntimeFault> {
        let Some(export) = self.functions.get(function) else {
            return Err(RuntimeFault::new(Code::Internal, format!("{} has no function {function}", self.spec.plugin)));
        };
        let instance = self.instance(context).await?;
        let (value, aftermath, instance) = self.run(instance, export, arguments, context).await?;
        if let Err(fault) = value.as_ref().map_or(Ok(()), |value| self.check_size(value)) {
            // It is larger than any result.
            outrigger_compute::discard((value, context.account.clone()));
            return Err(fault);
        }
        if let Some(instance) = self.keep(instance) {
            context.enter(Stage::Instantiate);
            drop(instance);
        }
        let fallible = self.spec.graph.functions[function].outcome.fallible();
        match value {
            Some(Value::Result(outcome)) if fallible => match outcome {
                Ok(value) => Ok(value.map_or(NOTHING, |value| *value)),
                Err(value) => Err(self.failed(function, value.map(|value| *value), &aftermath)),
            },
            value => Ok(value.unwrap_or(NOTHING)),
        }
    }
}

#[async_trait]
impl LoadedRevision for Revision {
    async fn call(
        self: Arc<Self>,
        function: usize,
        arguments: Arc<[Value]>,
        context: CallContext,
    ) -> Result<Value, RuntimeFault> {
        self.call_now(function, &arguments, &context).await
    }

    fn belongs_in_pool(&self) -> bool {
        self.pace.belongs_in_pool()
    }

    async fn lifecycle(&self, step: LifecycleStep, context: CallContext) -> Result<(), RuntimeFault> {
        let Some(exports) = &self.optional.lifecycle else { return Ok(()) };
        self.step(step.as_str(), &exports[step as usize], &[], &context).await.map(|_| ())
    }

    async fn health(&self, context: CallContext) -> Result<Option<HealthReport>, RuntimeFault> {
        let Some(export) = &self.optional.health else { return Ok(None) };
        let instance = self.fresh(&context).await?;
        let (value, _, _) = self.run(instance, export, &[], &context).await?;
        match value.as_ref().and_then(health_report) {
            Some(report) => Ok(Some(report)),
            None => Err(RuntimeFault::new(
                Code::InvalidOutput,
                format!("the health report of {} is not of the type in outrigger:plugin/health", self.spec.plugin),
            )),
        }
    }

    async fn migrate_configuration(
        &self,
        from: &str,
        configuration: &str,
        context: CallContext,
    ) -> Result<Option<String>, RuntimeFault> {
        const NAME: &str = "migrate-configuration";
        let Some(exports) = &self.optional.migration else { return Ok(None) };
        let arguments = [from, configuration].map(|text| Value::String(text.to_owned()));
        match self.step(NAME, &exports.configuration, &arguments, &context).await? {
            Some(Value::String(migrated)) => Ok(Some(migrated)),
            _ => Err(RuntimeFault::new(
                Code::InvalidOutput,
                format!("`{NAME}` of {} did not answer with a text", self.spec.plugin),
            )),
        }
    }

    async fn migrate_state(&self, from: &str, context: CallContext) -> Result<(), RuntimeFault> {
        let Some(exports) = &self.optional.migration else { return Ok(()) };
        let arguments = [Value::String(from.to_owned())];
        self.step("migrate-state", &exports.state, &arguments, &context).await.map(|_| ())
    }

    async fn warm(&self) -> Result<usize, RuntimeFault> {
        let Some((max_instances, _)) = self.kept() else { return Ok(0) };
        let missing = max_instances.saturating_sub(self.idle.count());
        for _ in 0..missing {
            let started = Instant::now();
            let context = quiet::context(started + WARM_UP, &self.spec.account);
            let (made, aftermath) = self.create(&context).await;
            let mut instance = made.map_err(|error| self.fault(&error, &aftermath, started))?;
            _ = instance.finish();
            if self.keep(instance).is_some() {
                break;
            }
        }
        Ok(self.idle.count().min(max_instances))
    }
}

/// The maximum length of a plugin's text in a message, in bytes.
const SAID_AT_MOST: usize = 400;

/// Truncates text of a plugin for a message.
fn shortened(text: &str) -> String {
    match text.len() > SAID_AT_MOST {
        true => format!("{}…", &text[..text.floor_char_boundary(SAID_AT_MOST)]),
        false => text.to_owned(),
    }
}

/// The beginning of a value as JSON. The rest is never rendered.
fn beginning(rendered: Rendered<'_>) -> String {
    struct Beginning(Vec<u8>);
    impl std::io::Write for Beginning {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            match self.0.len() > SAID_AT_MOST {
                true => Err(std::io::ErrorKind::FileTooLarge.into()),
                false => {
                    self.0.extend_from_slice(&bytes[..bytes.len().min(2 * SAID_AT_MOST)]);
                    Ok(bytes.len())
                }
            }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut text = Beginning(Vec::new());
    // Rendering stops early on purpose.
    let _ = rendered.write(&mut text);
    shortened(&String::from_utf8_lossy(&text.0))
}

/// A context for what no call has asked for.
mod quiet {
    use super::{Account, Arc, CallContext, Instant};
    use outrigger_contract::Code;
    use outrigger_engine::correlation::CorrelationId;
    use outrigger_engine::progress::Progress;
    use outrigger_engine::runtime::{CallError, Cancellation, HostServices, LogLine, Observed, StateError};
    use serde_json::{Map, Value};

    pub(super) fn context(deadline: Instant, account: &Account) -> CallContext {
        CallContext {
            correlation: CorrelationId::new(),
            deadline,
            cancel: Cancellation::default(),
            services: Arc::new(NoServices),
            observed: Arc::new(Observed::default()),
            account: account.call(u64::MAX),
            is_nested: false,
            recording: None,
        }
    }

    /// While a component only starts, there is no call whose services it could use.
    #[derive(Debug)]
    struct NoServices;

    fn unavailable<T>() -> Result<T, StateError> {
        Err(StateError::Unavailable("there is no call yet".to_owned()))
    }

    fn no_call<T>() -> Result<T, CallError> {
        Err(CallError { code: Code::Unsupported, message: "there is no call yet".to_owned(), detail: None })
    }

    #[async_trait::async_trait]
    impl HostServices for NoServices {
        fn log(&self, _: LogLine) -> bool {
            true
        }

        fn configuration(&self) -> Arc<Map<String, Value>> {
            Arc::default()
        }

        async fn state_get(&self, _: &str) -> Result<Option<Vec<u8>>, StateError> {
            unavailable()
        }

        async fn state_set(&self, _: &str, _: Vec<u8>) -> Result<(), StateError> {
            unavailable()
        }

        async fn state_compare_and_set(&self, _: &str, _: Option<Vec<u8>>, _: Vec<u8>) -> Result<(), StateError> {
            unavailable()
        }

        async fn state_delete(&self, _: &str) -> Result<(), StateError> {
            unavailable()
        }

        async fn state_keys(&self, _: &str, _: u32) -> Result<Vec<String>, StateError> {
            unavailable()
        }

        async fn call(&self, _: &str, _: &str) -> Result<String, CallError> {
            no_call()
        }

        fn progress(&self, _: Progress) {}

        async fn fire(&self, _: &str, _: &str) -> Result<String, CallError> {
            no_call()
        }
    }
}
