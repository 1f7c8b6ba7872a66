//! One firing: calls the planned subscribers one after another, and handles their failures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_compute::blocking;
use outrigger_contract::excerpt::excerpt_of;
use outrigger_contract::types::json::{self, TreeBound};
use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, FunctionRef, HookKind, OnError, PluginName, Type, Value};
use serde_json::Value as Json;
use time::OffsetDateTime;

use super::condition::Facts;
use super::fire::{Fired, Firing, HookCaller, LONGEST_CARRIED, owner};
use super::payload::Payload;
use super::plan::{Planned, Skipped, Step, is_little, plan};
use super::schema::HookSchema;
use super::spec::CALL_BEFORE;
use super::subscription::{Subscriber, Subscription};
use super::trace::{CallbackOutcome, CallbackTrace, HookResult, HookTrace};
use crate::account::{Account, Charge};
use crate::call::{Answer, Arguments, Call, CallOptions, Caller, turn_owner};
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::lifecycle::PluginState;
use crate::runtime::LogLevel;
use crate::store::LogRecord;

/// Results of filters up to this size, in bytes of JSON, are read at once.
const READ_AT_ONCE: usize = 64 << 10;

/// A running firing.
struct Course<'a> {
    engine: &'a Engine,
    firing: &'a Firing,
    kind: HookKind,
    /// The schema for the results of filters. None for Outrigger's own hooks: the code that fires them checks the
    /// result.
    schema: Option<Arc<HookSchema>>,
    /// The payload for the next filter.
    value: Payload,
    /// The charge on the plugin of the filter.
    held: Option<Charge>,
    /// The failure that ends the hook.
    failure: Option<Failure>,
    result: HookResult,
}

pub(super) async fn run(engine: &Engine, mut firing: Firing) -> Fired {
    let (started, started_at) = (Instant::now(), OffsetDateTime::now_utc());
    // The list is fixed here; who subscribes from now on takes part the next time.
    let mut subscribers = engine.inner.hooks.subscribers(&firing.hook);
    if firing.only.is_some() || firing.except.is_some() {
        let is_asked = |plugin: &PluginName| {
            firing.only.as_ref().is_none_or(|only| only == plugin) && firing.except.as_ref() != Some(plugin)
        };
        let asked = subscribers.iter().filter(|subscriber| is_asked(&subscriber.subscription.function.plugin));
        subscribers = asked.cloned().collect();
    }
    let spec = engine.inner.hooks.table.load().specs.get(&firing.hook).cloned();
    let kind = spec.as_ref().map_or(HookKind::Event, |spec| spec.kind);
    let caller = firing.cause.as_ref().map_or_else(|| "system".to_owned(), ToString::to_string);
    let origin = firing.cause.as_ref().map_or_else(|| caller.clone(), |cause| cause.origin().to_string());
    let planned = planned(&subscribers, &firing, &caller, &origin).await;
    let mut course = Course {
        engine,
        held: None,
        // The old payload is no longer needed, and keeping it would hold two.
        value: std::mem::take(&mut firing.payload),
        firing: &firing,
        kind,
        schema: spec.as_ref().filter(|spec| !spec.is_built_in()).and_then(|spec| spec.schema.clone()),
        failure: None,
        result: HookResult::Passed,
    };
    let mut callbacks = Vec::with_capacity(planned.len());
    for step in planned {
        callbacks.push(course.step(step).await);
    }
    let Course { value, held, failure, result, .. } = course;
    let trace = Arc::new(HookTrace {
        id: CorrelationId::at(started_at).to_string(),
        correlation: firing.correlation,
        kind,
        caller,
        started_at,
        duration: started.elapsed(),
        dry_run: firing.dry_run,
        callbacks,
        result,
        hook: firing.hook,
    });
    // A dry run has no quota, and would displace the traces of real firings. Its caller gets the trace.
    if !trace.dry_run {
        let owner = || spec.map(|spec| spec.owner()).unwrap_or_default();
        engine.inner.hooks.traces.keep(Arc::clone(&trace), owner);
    }
    Fired { value, trace, failure, held: held.map(Arc::new) }
}

/// Evaluates the conditions: in place if that is cheap, otherwise outside the async workers.
async fn planned(subscribers: &Arc<[Arc<Subscriber>]>, firing: &Firing, caller: &str, origin: &str) -> Vec<Planned> {
    if is_little(subscribers, firing.payload.length()) {
        return plan(subscribers, &Facts::new(&firing.hook, caller, origin, &firing.payload));
    }
    let (all, hook, payload) = (Arc::clone(subscribers), firing.hook.clone(), firing.payload.clone());
    let (caller, origin) = (caller.to_owned(), origin.to_owned());
    let work = move || plan(&all, &Facts::new(&hook, &caller, &origin, &payload));
    let owner = owner(firing.cause.as_ref());
    blocking(&owner, work).await.unwrap_or_else(|panicked| {
        let failed = |subscriber| Planned { subscriber, step: Step::Fail(panicked.to_string()) };
        subscribers.iter().cloned().map(failed).collect()
    })
}

impl Course<'_> {
    async fn step(&mut self, planned: Planned) -> CallbackTrace {
        let Planned { subscriber, step } = planned;
        let subscription = &subscriber.subscription;
        let mut trace = CallbackTrace {
            subscription: subscription.id.clone(),
            function: subscription.function.clone(),
            priority: subscription.priority,
            outcome: CallbackOutcome::Done,
            code: None,
            message: None,
            duration: Duration::ZERO,
            value_changed: false,
        };
        let step = match step {
            _ if self.failure.is_some() => Step::Skip(Skipped::Ended),
            Step::Call if self.is_off(&subscription.function) => when_off(subscription),
            Step::Call if self.firing.dry_run => Step::Skip(Skipped::DryRun),
            step => step,
        };
        let started = Instant::now();
        let outcome = match step {
            Step::Skip(skipped) => {
                trace.outcome = CallbackOutcome::Skipped(skipped);
                return trace;
            }
            Step::Fail(message) => Err(Failure::new(Code::HookFailed, message)),
            Step::Call => self.call(subscription).await,
        };
        trace.duration = started.elapsed();
        match outcome {
            Ok(value) => {
                if let Some((value, held)) = value {
                    trace.value_changed = is_changed(&subscription.function.plugin, &value, &self.value).await;
                    (self.value, self.held) = (value, Some(held));
                }
                subscriber.succeeded();
            }
            Err(failure) => {
                (trace.code, trace.message) = (Some(failure.code), Some(excerpt_of(&failure.message)));
                trace.outcome = self.failed(&subscriber, failure).await;
            }
        }
        trace
    }

    fn is_off(&self, function: &FunctionRef) -> bool {
        let slot = self.engine.inner.plugins.get(&function.plugin);
        slot.is_some_and(|slot| slot.record().0.state == PluginState::Disabled)
    }

    /// Calls one subscriber. Returns the result of a filter, if there is one, charged to its plugin.
    async fn call(&self, subscription: &Subscription) -> Result<Option<(Payload, Charge)>, Failure> {
        let function = &subscription.function;
        if subscription.kind != self.kind {
            let (hook, was, is) = (&self.firing.hook, subscription.kind, self.kind);
            let message =
                format!("`{hook}` changed from {was} to {is} after `{function}` subscribed to it; subscribe it again");
            return Err(Failure::new(Code::Conflict, message));
        }
        let revision = self.engine.active_revision(&function.plugin).await.map_err(not_loaded)?;
        let Some((_, described)) = revision.graph.function(function.function.as_str()) else {
            return Err(Failure::function_not_found(function, &revision.graph));
        };
        let [parameter] = &described.params[..] else {
            let message = format!("`{function}` no longer has exactly one parameter");
            return Err(Failure::new(Code::InvalidInput, message));
        };
        let as_text = *revision.graph.resolve(&parameter.ty) == Type::String && !self.value.is_string();
        let arguments = arguments(&function.plugin, &parameter.name, &self.value, as_text).await?;
        let left = self.firing.until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = subscription.timeout.as_duration();
        let call = Call {
            caller: Caller::Hook(Arc::new(HookCaller {
                hook: self.firing.hook.clone(),
                cause: self.firing.cause.clone(),
            })),
            function: function.clone(),
            arguments: Arguments::Text(arguments),
            options: CallOptions {
                timeout: Some(left.map_or(timeout, |left| left.min(timeout))),
                correlation: Some(self.firing.correlation),
                within: self.firing.within.clone(),
                firings: self.firing.firings.clone(),
                ..CallOptions::default()
            },
        };
        let answer = self.engine.call(call).await?;
        match self.kind {
            HookKind::Filter => {
                let longest = if self.firing.hook.as_str() == CALL_BEFORE { usize::MAX } else { LONGEST_CARRIED };
                let account = self.engine.inner.accounts.of(&function.plugin);
                let Some((value, held)) = filtered(answer, as_text, longest, account).await? else {
                    return Ok(None);
                };
                self.check(function, &value).await?;
                Ok(Some((value, held)))
            }
            HookKind::Action | HookKind::Event => Ok(None),
        }
    }

    /// Holds what a filter made of the value to what the hook may carry.
    async fn check(&self, function: &FunctionRef, value: &Payload) -> Result<(), Failure> {
        let Some(schema) = &self.schema else { return Ok(()) };
        schema.check_aside(&turn_owner(&function.plugin), value).await.map_err(|fault| {
            let message = format!("`{function}` returned an invalid payload for `{}`: {fault}", self.firing.hook);
            Failure::new(Code::InvalidOutput, message)
        })
    }

    async fn failed(&mut self, subscriber: &Subscriber, failure: Failure) -> CallbackOutcome {
        let Subscription { id, function, on_error, .. } = &subscriber.subscription;
        let hook = &self.firing.hook;
        if self.kind == HookKind::Filter && failure.code == Code::FunctionFailed {
            // The function's own words, where its error value is text.
            let said = excerpt_of(failure.detail.as_ref().and_then(Json::as_str).unwrap_or(&failure.message));
            let message = format!("the subscriber `{function}` of `{hook}` refused: {said}");
            self.failure = Some(Failure { detail: failure.detail, ..Failure::new(Code::HookRefused, message) });
            self.result = HookResult::Refused;
            return CallbackOutcome::Refused;
        }
        tracing::warn!(%hook, %function, code = %failure.code, message = %failure.message, "a subscriber failed");
        match on_error {
            OnError::FailOpen => CallbackOutcome::Failed,
            OnError::FailClosed => {
                let message = format!("the subscriber `{function}` of `{hook}` failed: {}", failure.message);
                let hint = format!(
                    "the subscription is fail-closed: fix `{function}`, or disable it with `outrigger hook disable \
                     {id}`"
                );
                self.failure = Some(Failure::new(Code::HookFailed, message).with_hint(hint));
                self.result = HookResult::Failed;
                CallbackOutcome::Failed
            }
            OnError::DisableAfter(limit) => match self.count(subscriber, limit.get(), &failure).await {
                true => CallbackOutcome::FailedAndDisabled,
                false => CallbackOutcome::Failed,
            },
        }
    }

    /// Counts a failure. Returns whether the subscription was disabled because of it.
    async fn count(&self, subscriber: &Subscriber, limit: u32, failure: &Failure) -> bool {
        if subscriber.failed() < limit {
            return false;
        }
        let (hooks, id) = (&self.engine.inner.hooks, &subscriber.subscription.id);
        let _changing = hooks.changing.lock().await;
        // It may have ended, been disabled, or reset its count since the list was made.
        let present = self.engine.subscription(id).ok();
        let Some(mut subscription) = present.filter(|present| present.enabled && present.failures >= limit) else {
            return false;
        };
        let failures = subscription.failures;
        subscription.enabled = false;
        subscription.reason = Some(format!("failed {failures} times in a row, at last: {}", failure.message));
        self.log_end(&subscription);
        if let Err(error) = self.engine.inner.store.subscription_put(&subscription).await {
            tracing::error!(%error, id, "failed to store that a subscription was disabled");
        }
        hooks.put(subscription);
        true
    }

    fn log_end(&self, subscription: &Subscription) {
        let Subscription { id, hook, function, reason, .. } = subscription;
        let reason = reason.as_deref().unwrap_or_default();
        tracing::warn!(%hook, %function, id, reason, "a subscription was disabled");
        let line = LogRecord {
            at: OffsetDateTime::now_utc(),
            plugin: function.plugin.clone(),
            function: Some(function.function.clone()),
            correlation: self.firing.correlation,
            level: LogLevel::Warn,
            message: format!("the subscription to `{hook}` was disabled: {reason}"),
            fields: vec![("subscription".to_owned(), id.clone())],
        };
        self.engine.inner.recorder.log(line);
    }
}

/// A plugin that cannot be loaded has failed, not refused.
fn not_loaded(failure: Failure) -> Failure {
    let code = if failure.code == Code::FunctionFailed { Code::LifecycleFailed } else { failure.code };
    Failure { code, ..failure }
}

/// A subscriber whose plugin is disabled is skipped; a fail-closed one counts as failed.
fn when_off(subscription: &Subscription) -> Step {
    match subscription.on_error {
        OnError::FailClosed => Step::Fail(format!("the plugin `{}` is disabled", subscription.function.plugin)),
        OnError::FailOpen | OnError::DisableAfter(_) => Step::Skip(Skipped::PluginDisabled),
    }
}

/// Does work with a payload, in the turn of the subscriber's plugin if the payload is large.
async fn work_on<T: Send + 'static>(
    is_large: bool,
    plugin: &PluginName,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    match is_large {
        true => Ok(blocking(&turn_owner(plugin), work).await?),
        false => Ok(work()),
    }
}

/// The arguments of a subscriber: an object with the payload as its only member. Text, because only the subscriber's
/// type says how it is read.
async fn arguments(plugin: &PluginName, parameter: &str, payload: &Payload, as_text: bool) -> Result<String, Failure> {
    let (is_large, name, payload) = (payload.is_large(), Json::from(parameter), payload.clone());
    let write = move || match as_text {
        true => format!("{{{name}:{}}}", Json::String(payload.to_string())),
        false => format!("{{{name}:{}}}", *payload),
    };
    work_on(is_large, plugin, write).await
}

/// Whether a filter changed the payload.
async fn is_changed(plugin: &PluginName, value: &Payload, before: &Payload) -> bool {
    let (is_large, value, before) = (value.is_large() && before.is_large(), value.clone(), before.clone());
    work_on(is_large, plugin, move || value != before).await.unwrap_or(true)
}

/// The result of a filter, charged to the account of its plugin; none if it does not change the payload. As JSON text it
/// is limited to `longest` bytes.
async fn filtered(
    answer: Answer,
    as_text: bool,
    longest: usize,
    account: Account,
) -> Result<Option<(Payload, Charge)>, Failure> {
    let function = answer.function();
    let takes = function.params.first().map(|parameter| answer.revision().graph.resolve(&parameter.ty));
    if *answer.value() == Value::Option(None) && !matches!(takes, Some(Type::Option(_))) {
        return Ok(None);
    }
    let written = match given(&answer) {
        Value::String(_) if as_text => None,
        _ => Some(answer.json_text().await?),
    };
    let plugin = answer.revision().manifest.name.clone();
    let length = text(&answer, written.as_deref()).len();
    if length > longest {
        let name = &answer.function().name;
        let (size, limit) = (ByteSize::bytes(length as u64).rounded(), ByteSize::bytes(longest as u64));
        let message = format!("`{name}` returned {size} of JSON; the limit is {limit}");
        return Err(Failure::new(Code::InvalidOutput, message));
    }
    let read = move || -> Result<(Payload, Charge), Failure> {
        let text = text(&answer, written.as_deref());
        // As a tree the text can take a hundred times as much. It is charged to the call while it is built.
        let tree = answer.account().charge(TreeBound::of(text))?;
        let value = serde_json::from_str::<Json>(text).map_err(|error| match as_text {
            true => {
                let name = &answer.function().name;
                let message = format!("`{name}` received JSON text but returned invalid JSON: {error}");
                Failure::new(Code::InvalidOutput, message)
            }
            false => Failure::internal("the result of a filter cannot be read as JSON"),
        })?;
        // Then its actual size is charged to the plugin: the call is over, but the value stays.
        let bytes = json::tree_size(&value);
        drop(tree);
        let held = account.charge(bytes)?;
        Ok((Payload::from(value), held))
    };
    work_on(length > READ_AT_ONCE, &plugin, read).await?.map(Some)
}

/// The result of a filter without the option around it.
fn given(answer: &Answer) -> &Value {
    match answer.value() {
        Value::Option(Some(inner)) => inner,
        value => value,
    }
}

/// The result of a filter as JSON text: as written, or the text that it is.
fn text<'a>(answer: &'a Answer, written: Option<&'a str>) -> &'a str {
    match (written, given(answer)) {
        (Some(written), _) => written,
        (None, Value::String(text)) => text,
        (None, _) => "null",
    }
}
