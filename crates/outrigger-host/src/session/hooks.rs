//! Hooks: list, add, subscribe, fire.
//!
//! A subscriber sees the payload of a hook, can delay the firing, and can change or refuse the payload of a filter. So
//! a subscription to a hook that the function's own plugin does not declare requires the right to administer all
//! functions as well, whatever the kind of hook. A key cannot subscribe a function that it is not allowed to call.

use async_trait::async_trait;
use outrigger_api::{
    ApiError, ApiResult, Code, FireReport, FireRequest, HookCallbackInfo, HookInfo, HookRequest, HookTraceInfo,
    HookTraceQuery, Hooks, SubscriptionInfo, SubscriptionQuery, SubscriptionRequest,
};
use outrigger_contract::hook::{DEFAULT_PRIORITY, DEFAULT_TIMEOUT, LONGEST_TIMEOUT, PRIORITIES};
use outrigger_contract::units::Span;
use outrigger_contract::{FunctionRef, HookName};
use outrigger_engine::access::Right;
use outrigger_engine::hooks::{
    CallbackOutcome, CallbackTrace, ClosedHook, Firing, HookSpec, HookTrace, NewHook, NewSubscription, Payload, Source,
    Subscription, TraceFilter,
};
use serde_json::{Value, json};

use super::{Act, Session, Trace, page_size};
use crate::{convert, records};

#[async_trait]
impl Hooks for Session {
    async fn hook_list(&self) -> ApiResult<Vec<HookInfo>> {
        self.require_some(Right::HOOK_VIEW)?;
        let hooks = self.host.engine.hooks();
        let seen = hooks.iter().filter(|(spec, _)| self.may(Right::HOOK_VIEW, spec.name.as_str()));
        let closed = self.host.engine.closed_hooks();
        Ok(seen.map(|(spec, count)| hook_info(spec, *count, &closed)).collect())
    }

    async fn hook_fetch(&self, name: &HookName) -> ApiResult<HookInfo> {
        self.require(Right::HOOK_VIEW, name.as_str())?;
        let (spec, count) = self.host.engine.hook(name).map_err(convert::error)?;
        Ok(hook_info(&spec, count, &self.host.engine.closed_hooks()))
    }

    async fn hook_create(&self, request: HookRequest) -> ApiResult<HookInfo> {
        let HookRequest { name, kind, description, schema } = request;
        if description.chars().count() > 4_000 {
            return Err(ApiError::new(Code::InvalidInput, "the description is too long")
                .with_hint("it has at most 4,000 characters"));
        }
        let schema = schema.map(Value::Object);
        let new = NewHook { name: name.clone(), kind, description, schema, created_by: self.caller().to_string() };
        let work = async {
            let record = self.host.engine.hook_create(new).await.map_err(convert::error)?;
            let info = hook_info(&HookSpec::from(&record), 0, &[]);
            let after = serde_json::to_value(&info).ok();
            Ok((info, Trace { after, ..Trace::default() }))
        };
        self.act(Act::new(Right::HOOK_CREATE, name.as_str()), work).await
    }

    async fn hook_delete(&self, name: &HookName) -> ApiResult<()> {
        let work = async {
            let (spec, count) = self.host.engine.hook(name).map_err(convert::error)?;
            self.host.engine.hook_delete(name).await.map_err(convert::error)?;
            let before = serde_json::to_value(hook_info(&spec, count, &[])).ok();
            Ok(((), Trace { before, ..Trace::default() }))
        };
        self.act(Act::destroys(Right::HOOK_DELETE, name.as_str()), work).await
    }

    async fn subscription_list(&self, query: &SubscriptionQuery) -> ApiResult<Vec<SubscriptionInfo>> {
        self.require_some(Right::HOOK_VIEW)?;
        let SubscriptionQuery { plugin, hook } = query;
        let found = self.host.engine.subscriptions().into_iter().filter(|subscription| {
            plugin.as_ref().is_none_or(|plugin| *plugin == subscription.function.plugin)
                && hook.as_ref().is_none_or(|hook| *hook == subscription.hook)
                && self.may(Right::HOOK_VIEW, subscription.hook.as_str())
        });
        Ok(found.map(subscription_info).collect())
    }

    async fn subscription_create(&self, request: SubscriptionRequest) -> ApiResult<SubscriptionInfo> {
        let SubscriptionRequest { hook, function, priority, condition, on_error, timeout, description } = request;
        self.require(Right::HOOK_CREATE, hook.as_str())?;
        self.require(Right::FUNCTION_EXECUTE, &function.to_string())?;
        self.host.engine.hook(&hook).map_err(convert::error)?;
        self.require_intrusion(&hook, &function)?;
        let new = NewSubscription {
            hook: hook.clone(),
            function,
            priority: within("priority", priority.unwrap_or(DEFAULT_PRIORITY), &PRIORITIES)?,
            condition,
            on_error,
            timeout: within("timeout", timeout.unwrap_or(DEFAULT_TIMEOUT), &(Span::from_millis(1)..=LONGEST_TIMEOUT))?,
            description,
            created_by: self.caller().to_string(),
        };
        let work = async {
            let made = self.host.engine.subscribe(new).await.map_err(convert::error)?;
            let info = subscription_info(made);
            let after = serde_json::to_value(&info).ok();
            Ok((info, Trace { after, ..Trace::default() }))
        };
        self.act(Act::new(Right::HOOK_CREATE, hook.as_str()), work).await
    }

    async fn subscription_delete(&self, id: &str) -> ApiResult<()> {
        self.require_some(Right::HOOK_DELETE)?;
        let subscription = self.host.engine.subscription(id).map_err(convert::error)?;
        let hook = subscription.hook.clone();
        let work = async {
            let before = serde_json::to_value(subscription_info(subscription)).ok();
            self.host.engine.unsubscribe(id).await.map_err(convert::error)?;
            Ok(((), Trace { before, ..Trace::default() }))
        };
        self.act(Act::destroys(Right::HOOK_DELETE, hook.as_str()), work).await
    }

    async fn subscription_switch(&self, id: &str, enabled: bool) -> ApiResult<SubscriptionInfo> {
        // A disabled check is as good as a removed one.
        let right = if enabled { Right::HOOK_CREATE } else { Right::HOOK_DELETE };
        self.require_some(right)?;
        let subscription = self.host.engine.subscription(id).map_err(convert::error)?;
        let hook = subscription.hook.clone();
        if enabled {
            // As for a new one: from now on it is called for them.
            self.require(Right::FUNCTION_EXECUTE, &subscription.function.to_string())?;
            self.require_intrusion(&hook, &subscription.function)?;
        }
        let work = async {
            let before = serde_json::to_value(subscription_info(subscription)).ok();
            let changed = self.host.engine.subscription_switch(id, enabled).await.map_err(convert::error)?;
            let info = subscription_info(changed);
            let after = serde_json::to_value(&info).ok();
            Ok((info, Trace { before, after, revision: None }))
        };
        self.act(Act::new(right, hook.as_str()), work).await
    }

    async fn hook_fire(&self, name: &HookName, request: FireRequest) -> ApiResult<FireReport> {
        let FireRequest { payload, dry_run } = request;
        if !dry_run {
            self.require_voice(name)?;
        }
        let caller = self.caller();
        let payload = Payload::of(&caller, payload).await.map_err(convert::error)?;
        let firing = Firing {
            cause: Some(caller),
            correlation: self.correlation,
            dry_run,
            ..Firing::new(name.clone(), payload)
        };
        let work = async {
            let fired = self.host.engine.fire(firing).await.map_err(convert::error)?;
            let after = Some(json!({"result": fired.trace.result.as_str(), "dry_run": dry_run}));
            let report = FireReport {
                value: fired.value.into_json(),
                message: fired.failure.map(|failure| failure.message),
                trace: trace_info(&fired.trace),
            };
            Ok((report, Trace { after, ..Trace::default() }))
        };
        self.act(Act::works(Right::HOOK_EXECUTE, name.as_str()), work).await
    }

    async fn hook_traces(&self, query: &HookTraceQuery) -> ApiResult<Vec<HookTraceInfo>> {
        self.require_some(Right::HOOK_VIEW)?;
        let HookTraceQuery { hook, correlation, limit } = query;
        let filter = TraceFilter {
            hook: hook.clone(),
            correlation: correlation.as_deref().map(records::correlation).transpose()?,
            limit: 0,
        };
        let most = page_size(*limit) as usize;
        let found = self.host.engine.hook_traces(&filter);
        let seen = found.iter().filter(|trace| self.may(Right::HOOK_VIEW, trace.hook.as_str()));
        Ok(seen.take(most).map(|trace| trace_info(trace)).collect())
    }
}

impl Session {
    /// A subscription to a hook of another plugin, of Outrigger or of an administrator requires the right to administer
    /// functions, even for an event. A manifest needs approval for the same.
    fn require_intrusion(&self, hook: &HookName, function: &FunctionRef) -> ApiResult<()> {
        let spec = self.host.engine.hook(hook).ok().map(|(spec, _)| spec);
        let is_own = spec.is_some_and(|spec| spec.plugin.as_ref() == Some(&function.plugin));
        match is_own {
            true => Ok(()),
            false => self.require(Right::FUNCTION_ADMINISTER, "*"),
        }
    }

    /// Subscribers and receivers of events trust a hook as the plugin's word. So firing a hook that a plugin declares
    /// requires the right to modify that plugin as well.
    fn require_voice(&self, hook: &HookName) -> ApiResult<()> {
        self.require(Right::HOOK_EXECUTE, hook.as_str())?;
        let plugin = self.host.engine.hook(hook).ok().and_then(|(spec, _)| spec.plugin.clone());
        plugin.map_or(Ok(()), |plugin| self.require(Right::PLUGIN_MODIFY, plugin.as_str()))
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    what: &str,
    value: T,
    range: &std::ops::RangeInclusive<T>,
) -> ApiResult<T> {
    if range.contains(&value) {
        return Ok(value);
    }
    let message = format!("the {what} {value} is not between {} and {}", range.start(), range.end());
    Err(ApiError::new(Code::InvalidInput, message))
}

fn hook_info(spec: &HookSpec, count: usize, closed: &[ClosedHook]) -> HookInfo {
    let built_in = spec.is_built_in();
    let HookSpec { name, kind, description, schema, plugin, created_by: _ } = spec.clone();
    let schema = schema.map(|schema| schema.json().clone());
    let closed_by = closed.iter().filter(|closed| closed.hook == name).cloned().map(convert::closed_hook).collect();
    HookInfo { name, kind, description, schema, built_in, plugin, subscriptions: count as u64, closed_by }
}

fn subscription_info(subscription: Subscription) -> SubscriptionInfo {
    let Subscription {
        id,
        hook,
        kind,
        function,
        priority,
        condition,
        on_error,
        timeout,
        description,
        enabled,
        reason,
        source,
        created_by,
        created_at,
        failures,
    } = subscription;
    let source = match source {
        Source::Manifest => "manifest",
        Source::Api => "api",
    };
    SubscriptionInfo {
        id,
        hook,
        kind,
        function,
        priority,
        condition,
        on_error,
        timeout,
        description,
        enabled,
        reason,
        source: source.to_owned(),
        created_by,
        created_at,
        failures,
    }
}

fn trace_info(trace: &HookTrace) -> HookTraceInfo {
    let HookTrace { id, hook, kind, correlation, caller, started_at, duration, dry_run, callbacks, result } =
        trace.clone();
    HookTraceInfo {
        id,
        hook,
        kind,
        correlation: correlation.to_string(),
        caller,
        started_at,
        duration_us: microseconds(duration),
        dry_run,
        result: result.as_str().to_owned(),
        callbacks: callbacks.into_iter().map(callback_info).collect(),
    }
}

fn callback_info(callback: CallbackTrace) -> HookCallbackInfo {
    let CallbackTrace { subscription, function, priority, outcome, code, message, duration, value_changed } = callback;
    let skipped = match outcome {
        CallbackOutcome::Skipped(skipped) => Some(skipped.as_str().to_owned()),
        _ => None,
    };
    HookCallbackInfo {
        subscription,
        function,
        priority,
        outcome: outcome.as_str().to_owned(),
        skipped,
        code,
        message,
        duration_us: microseconds(duration),
        value_changed,
    }
}

fn microseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
