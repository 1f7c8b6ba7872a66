//! The hooks around a call: subscribers of `call.before` can change its arguments or refuse it, subscribers of
//! `call.after` receive its outcome. Without subscribers they cost nothing.
//!
//! A call that a subscriber makes, or that follows from one, fires neither: it would call that subscriber again.

use std::sync::Arc;
use std::time::Instant;

use outrigger_compute::blocking;
use outrigger_contract::types::json;
use outrigger_contract::{Code, FunctionRef, Value};
use serde_json::{Map, Value as Json, json};

use super::deadline::Deadline;
use super::large::Held;
use super::record::Run;
use super::{Answer, Arguments, Caller, Target, validate};
use crate::account::{Account, Charge};
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::hooks::{Fired, Firing, Payload, spec};
use crate::runtime::Cancellation;

/// Further copies of the payload: as fired, as changed by filters, and as passed to a subscriber.
const COPIES: usize = 3;

/// Arguments up to this size, in bytes of data, are rendered at once. Their text can be many times as long.
const SHORT: usize = 8 << 10;

/// Whether `call.before` has subscribers for calls of this caller.
pub(super) fn has_subscribers(engine: &Engine, caller: &Caller) -> bool {
    engine.inner.hooks.watches_before() && !is_exempt(engine, caller)
}

/// Fires `call.before`, which has subscribers. Returns the arguments, validated again if they were changed.
pub(super) async fn before(
    engine: &Engine,
    run: &Run<'_>,
    target: &Arc<Target>,
    account: &Account,
    arguments: Held<[Value]>,
    cancel: &Cancellation,
    deadline: Deadline,
) -> Result<Held<[Value]>, Failure> {
    let caller = run.caller();
    let is_long = arguments.iter().try_fold(SHORT, |left, value| value.left_of(left)).is_none();
    let (call, owned, by, values) = (Arc::clone(target), account.clone(), caller.clone(), Arc::clone(&arguments));
    let render = move || payload(&call, &owned, &by, &values);
    // The trees are charged until the end.
    let (payload, _trees) = work_on(is_long, caller, target, cancel, deadline, render).await??;
    let fired = engine
        .run_hook(Firing {
            cause: Some(caller.clone()),
            correlation: run.correlation(),
            until: Some(deadline.at),
            within: run.recording_of_calls(),
            ..Firing::new(name(spec::CALL_BEFORE), payload.clone())
        })
        .await;
    let Fired { value, failure, held: _held, .. } = fired;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let is_large = payload.is_large() || value.is_large();
    let (call, account) = (Arc::clone(target), account.clone());
    let read = move || -> Result<Held<[Value]>, Failure> {
        if value == payload {
            return Ok(arguments);
        }
        validate::arguments(&call, &account, Arguments::Json(changed(value.into_json(), &payload)?))
    };
    work_on(is_large, caller, target, cancel, deadline, read).await?
}

/// Does work in place, or in the turn of the caller if it is long.
async fn work_on<T: Send + 'static>(
    is_long: bool,
    caller: &Caller,
    target: &Target,
    cancel: &Cancellation,
    deadline: Deadline,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    if !is_long {
        return Ok(work());
    }
    let owner = caller.owner();
    Ok(deadline.or_cancelled(target, cancel, blocking(&owner, work)).await??)
}

/// The payload of `call.before`, and the charge for its copies.
fn payload(
    target: &Target,
    account: &Account,
    caller: &Caller,
    arguments: &[Value],
) -> Result<(Payload, Charge), Failure> {
    let mut trees = account.charge(rendered_size(target, arguments))?;
    let (by, origin) = (caller.to_string(), caller.origin().to_string());
    let mut payload = json!({"function": target.name, "caller": by, "origin": origin});
    payload["arguments"] = Json::Object(rendered(target, arguments));
    trees.grow(COPIES * json::tree_size(&payload))?;
    Ok((payload.into(), trees))
}

/// The arguments that filters made; nothing else may be another than it was.
fn changed(mut value: Json, payload: &Json) -> Result<Map<String, Json>, Failure> {
    let arguments = value.get_mut("arguments").map(Json::take);
    let rest = ["function", "caller", "origin"].iter().all(|member| value.get(member) == payload.get(member));
    match arguments {
        Some(Json::Object(arguments)) if rest => Ok(arguments),
        _ => {
            let message = "a subscriber of `call.before` changed more than the arguments of the call";
            Err(Failure::new(Code::HookFailed, message).with_hint(
                "`outrigger hook trace call.before` shows which one; subscribers of `call.before` can \
                change only `arguments`",
            ))
        }
    }
}

/// An upper bound for the size of the arguments as a JSON tree, in bytes. Field names are repeated in it.
fn rendered_size(target: &Target, arguments: &[Value]) -> usize {
    let (graph, mut bound) = (&*target.revision.graph, json::TreeBound::default());
    for (param, value) in target.function().params.iter().zip(arguments) {
        // Values that cannot be serialized are rendered as `null`.
        _ = json::Rendered { graph, ty: &param.ty, value }.write(&mut bound);
    }
    bound.bytes()
}

fn rendered(target: &Target, arguments: &[Value]) -> Map<String, Json> {
    let graph = &target.revision.graph;
    let pairs = target.function().params.iter().zip(arguments);
    pairs.map(|(param, value)| (param.name.clone(), json::render(graph, &param.ty, value))).collect()
}

/// The payload for the end of a call. None if there are no subscribers.
#[derive(Debug)]
pub(super) struct After {
    function: FunctionRef,
    caller: Caller,
    correlation: CorrelationId,
    started: Instant,
}

impl After {
    pub(super) fn of(engine: &Engine, run: &Run<'_>) -> Option<Self> {
        if !engine.inner.hooks.watches_after() || is_exempt(engine, run.caller()) {
            return None;
        }
        Some(Self {
            function: run.function().clone(),
            caller: run.caller().clone(),
            correlation: run.correlation(),
            started: run.started(),
        })
    }

    /// Fires `call.after` in the background.
    pub(super) fn fire(self, engine: &Engine, outcome: &Result<Answer, Failure>) {
        let Self { function, caller, correlation, started } = self;
        let outcome = outcome.as_ref().err().map_or("ok", |failure| failure.code.as_str());
        let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let payload = json!({
            "function": function, "caller": caller.to_string(), "origin": caller.origin().to_string(),
            "outcome": outcome, "duration_us": duration_us, "correlation": correlation.to_string(),
        });
        let firing = Firing { cause: Some(caller), correlation, ..Firing::new(name(spec::CALL_AFTER), payload) };
        engine.fire_soon(|engine| &engine.inner.hooks.calls, firing);
    }
}

/// Whether the call is made by a subscriber of these hooks, or follows from one.
fn is_exempt(engine: &Engine, caller: &Caller) -> bool {
    let by_hook = matches!(caller, Caller::Hook(by) if spec::is_of_calls(&by.hook));
    by_hook || caller.chain().iter().any(|function| engine.inner.hooks.takes_part_in_calls(function))
}

fn name(name: &str) -> outrigger_contract::HookName {
    name.parse().expect("the built-in names are names")
}
