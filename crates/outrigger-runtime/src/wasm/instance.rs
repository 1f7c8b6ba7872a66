//! One instance of a component, and one call on it under all its limits.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use outrigger_contract::Value;
use outrigger_engine::Account;
use outrigger_engine::profile::Stage;
use outrigger_engine::runtime::CallContext;
use wasmtime::component::{ComponentExportIndex, Instance as ComponentInstance, InstancePre};
use wasmtime::{CallHook, PoolConcurrencyLimitError, Store, StoreContextMut, UpdateDeadline};

use super::abi::lifted::{self, Lifted};
use super::abi::{Answer, Arguments};
use super::engine::TICK;
use super::limits::{Clock, Memory, Shortage, Stopped};
use super::pace::Pace;
use super::scope::Refusal;
use super::slots::{Slots, Taken};
use super::state::{Bounds, Grants, State};

/// Maximum size of the arguments of one host call, such as a state value or a chunk of a file. They are copied before
/// they are charged, so the limit is the same for all plugins.
const HOST_CALL_BYTES: usize = 16 << 20;

/// Maximum number of handles in the tables of a component: those of the host's resources, and of its own.
const COMPONENT_HANDLES_AT_MOST: usize = 2_048;

/// The limits of a revision, as plain numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct InstanceLimits {
    pub(super) memory: usize,
    /// The size of the core instances, computed from the component.
    pub(super) instances: usize,
    pub(super) output: usize,
    pub(super) log_lines: u32,
    /// None: as long as the call may take.
    pub(super) cpu: Option<Duration>,
}

/// An instance, with the number of calls that it has served.
pub(super) struct Instance {
    store: Store<State>,
    component: ComponentInstance,
    pub(super) calls: u32,
    /// The call is profiled, so the store reports each crossing of the boundary.
    observed: bool,
    /// Maximum size of the result, in bytes.
    output: usize,
    /// Declared after the store, so it is dropped after it.
    _slots: Taken,
}

/// The observations of a call besides its result.
#[derive(Default)]
pub(super) struct Aftermath {
    pub(super) refusals: Vec<Refusal>,
    pub(super) shortage: Option<Shortage>,
}

impl Instance {
    /// Makes an instance for a call. Code that a component runs to start itself is under the same limits.
    pub(super) async fn create(
        pre: &InstancePre<State>,
        grants: &Arc<Grants>,
        limits: &InstanceLimits,
        (slots, account): (&Slots, &Account),
        context: &CallContext,
        clock: Clock,
    ) -> (wasmtime::Result<Self>, Aftermath) {
        let lacking = |shortage| Aftermath { shortage: Some(shortage), ..Aftermath::default() };
        let Some(slots) = slots.take(context.is_nested) else {
            return (Err(wasmtime::Error::msg("no slot is free in the pool")), lacking(Shortage::Slots));
        };
        let memory = match Memory::new(limits.memory, limits.instances, account) {
            Ok(memory) => memory,
            Err(exceeded) => return (Err(exceeded.into()), lacking(Shortage::Account(exceeded))),
        };
        let mut store = Store::new(pre.engine(), State::new(grants, memory, bounds(limits, context)));
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(tick);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
        store.set_max_component_handles(COMPONENT_HANDLES_AT_MOST);
        begin(&mut store, limits, context, clock);
        let stopwatch = Arc::clone(&store.data().stopwatch);
        let made = {
            let running = pin!(pre.instantiate_async(&mut store));
            bounded(context, stopwatch.measure(running)).await
        };
        context.observed.instantiated();
        match made {
            Ok(component) => {
                let instance =
                    Self { store, component, calls: 0, observed: false, output: limits.output, _slots: slots };
                (Ok(instance), Aftermath::default())
            }
            Err(error) if error.is::<PoolConcurrencyLimitError>() => (Err(error), lacking(Shortage::Slots)),
            Err(error) => (Err(error), aftermath(&mut store)),
        }
    }

    /// Prepares a kept instance for its next call: nothing of the call before is left outside its own memory.
    pub(super) fn renew(&mut self, limits: &InstanceLimits, context: &CallContext, clock: Clock) {
        self.store.data_mut().call = bounds(limits, context);
        begin(&mut self.store, limits, context, clock);
    }

    /// Runs a function. The future may be dropped at any time; the instance must be dropped then, and after an error.
    pub(super) async fn call(
        &mut self,
        function: &ComponentExportIndex,
        arguments: &[Value],
        context: &CallContext,
        pace: &Pace,
        now: Instant,
    ) -> wasmtime::Result<Option<Value>> {
        if context.cancel.is_cancelled() {
            return Err(Stopped::Cancelled.into());
        }
        if now >= context.deadline {
            return Err(Stopped::Deadline.into());
        }
        self.calls += 1;
        context.enter(Stage::Transfer);
        if context.recording.is_some() && !self.observed {
            self.store.call_hook(observe);
            self.observed = true;
        }
        let Some(function) = self.component.get_func(&mut self.store, function) else {
            wasmtime::bail!("the function is not exported");
        };
        let function = function.typed::<Arguments<'_>, Answer>(&self.store)?;
        let stopwatch = Arc::clone(&self.store.data().stopwatch);
        let _watched = pace.watch(&stopwatch);
        // Pinned here, so that a pointer is handed on; the future itself would be copied at every step.
        let mut running = pin!(function.call_async(&mut self.store, Arguments(arguments)));
        // The allowance for lifted values, a multiple of the result's limit.
        let left = self.output.saturating_mul(16).max(HOST_CALL_BYTES);
        let mut lifted = Some(Lifted::new(left, context.account.nothing()));
        let charged = poll_fn(|cx| lifted::within(&mut lifted, || running.as_mut().poll(cx)));
        let Answer(value) = bounded(context, stopwatch.measure(charged)).await?;
        if let Some(lifted) = lifted {
            lifted.keep();
        }
        Ok(value)
    }

    /// Bytes of memory that it has.
    pub(super) fn memory(&self) -> u64 {
        self.store.data().memory.used()
    }

    /// Whether the instance can serve another call, as far as its handles are concerned.
    pub(super) fn may_keep(&self) -> bool {
        self.store.data().memory.may_keep()
    }

    /// Ends the call and says what happened besides.
    pub(super) fn finish(&mut self) -> Aftermath {
        let state = self.store.data_mut();
        state.recording = None;
        state.count_handles();
        aftermath(&mut self.store)
    }
}

fn bounds(limits: &InstanceLimits, context: &CallContext) -> Bounds {
    Bounds {
        deadline: context.deadline,
        cpu: limits.cpu.unwrap_or(Duration::MAX),
        cancel: context.cancel.clone(),
        account: context.account.clone(),
    }
}

fn begin(store: &mut Store<State>, limits: &InstanceLimits, context: &CallContext, clock: Clock) {
    store.set_epoch_deadline(1);
    let state = store.data_mut();
    state.memory.begin();
    state.stopwatch.begin(clock);
    state.scope.begin(context, limits.log_lines);
    state.recording.clone_from(&context.recording);
}

/// Tells where the time goes, at each step over the boundary between plugin and host.
fn observe(store: StoreContextMut<'_, State>, step: CallHook) -> wasmtime::Result<()> {
    if let Some(recording) = &store.data().recording {
        match step {
            CallHook::CallingWasm => recording.code_entered(),
            CallHook::ReturningFromWasm => recording.code_left(),
            CallHook::CallingHost => recording.host_entered(),
            CallHook::ReturningFromHost => recording.host_left(),
        }
    }
    Ok(())
}

fn aftermath(store: &mut Store<State>) -> Aftermath {
    let state = store.data();
    Aftermath { refusals: state.scope.end(), shortage: state.memory.shortage() }
}

/// Runs at each tick in which the plugin computes. A busy plugin is stopped from here; one that waits, by [`bounded`].
fn tick(store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data();
    let Bounds { deadline, cpu, cancel, account: _ } = &state.call;
    if cancel.is_cancelled() {
        return Err(Stopped::Cancelled.into());
    }
    if Instant::now() >= *deadline {
        return Err(Stopped::Deadline.into());
    }
    let spent = state.stopwatch.spent();
    if spent > *cpu {
        return Err(Stopped::Cpu.into());
    }
    if state.memory.overdrawn().is_some() {
        return Err(Stopped::Memory.into());
    }
    // The clock also ticks while a call waits in a host call.
    if spent < TICK || !state.stopwatch.is_computing() {
        return Ok(UpdateDeadline::Continue(1));
    }
    Ok(UpdateDeadline::YieldCustom(1, Box::pin(outrigger_compute::tick())))
}

/// Ends a future with its deadline or cancellation. As a rule it is done at once; only where it is not, a timer is made,
/// and in a place of its own, so that the future of a call stays small.
async fn bounded<T>(context: &CallContext, future: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    let mut future = pin!(future);
    if let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return result;
    }
    let timer = Box::pin(tokio::time::sleep_until(context.deadline.into()));
    tokio::select! {
        biased;
        result = future => result,
        () = context.cancel.cancelled() => Err(Stopped::Cancelled.into()),
        () = timer => Err(Stopped::Deadline.into()),
    }
}
