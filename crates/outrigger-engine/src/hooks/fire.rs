//! Fires a hook: checks the payload, logs events, and has the subscribers called.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use futures::future::BoxFuture;
use outrigger_contract::types::json;
use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, HookKind, HookName, PluginName};

use super::course;
use super::payload::Payload;
use super::spec::HookSpec;
use super::trace::HookTrace;
use crate::account::Charge;
use crate::call::Caller;
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::events::{self, NewEvent};
use crate::profile::Recording;
use crate::quota::{self, ROW_BYTES};

/// Maximum size of a hook payload as JSON text, when it is fired and after each filter. Only `call.before` allows more:
/// as much as the arguments of a call.
pub const LONGEST_CARRIED: usize = 256 << 10;

/// A hook that is to be fired.
#[derive(Clone, Debug)]
pub struct Firing {
    pub hook: HookName,
    pub payload: Payload,
    /// The caller that causes it; none if Outrigger acts by itself.
    pub cause: Option<Caller>,
    pub correlation: CorrelationId,
    /// When it must be over, besides the time that each subscription gives.
    pub until: Option<Instant>,
    /// Only show what would happen: conditions are evaluated, but no function is called.
    pub dry_run: bool,
    /// The call that causes it and waits for it, where that is recorded in detail.
    pub within: Option<Arc<Recording>>,
    /// Only the subscribers of this plugin are called.
    pub only: Option<PluginName>,
    /// The subscribers of this plugin are not called.
    pub except: Option<PluginName>,
    /// Counts the hooks that are fired for one call, by it and by all that it leads to.
    pub firings: Option<Arc<AtomicU32>>,
    /// The charge for the payload while it is queued.
    pub held: Option<Arc<Charge>>,
}

/// The outcome.
#[derive(Clone, Debug)]
pub struct Fired {
    /// The payload after all filters.
    pub value: Payload,
    pub trace: Arc<HookTrace>,
    /// A subscriber refused, or failed and takes the hook with it.
    pub failure: Option<Failure>,
    /// The charge for the result of a filter, on the filter's plugin.
    pub held: Option<Arc<Charge>>,
}

/// The caller of a subscriber: a hook, on behalf of the caller that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookCaller {
    pub hook: HookName,
    pub cause: Option<Caller>,
}

impl Firing {
    /// A firing of what happened just now.
    #[must_use]
    pub fn new(hook: HookName, payload: impl Into<Payload>) -> Self {
        Self {
            hook,
            payload: payload.into(),
            cause: None,
            correlation: CorrelationId::new(),
            until: None,
            dry_run: false,
            within: None,
            only: None,
            except: None,
            firings: None,
            held: None,
        }
    }
}

impl Engine {
    /// Fires a hook and waits for its subscribers.
    ///
    /// # Errors
    /// There is no such hook; it cannot carry that; Outrigger fires it itself, and more than a dry run was asked for; or it is
    /// an event that cannot be written into the log.
    pub async fn fire(&self, firing: Firing) -> Result<Fired, Failure> {
        let spec = Arc::clone(self.inner.hooks.table.load().spec(&firing.hook)?);
        check(&spec, &firing).await?;
        if spec.kind == HookKind::Event && !firing.dry_run {
            self.log_firing(&spec, &firing).await?;
        }
        Ok(self.run_hook(firing).await)
    }

    /// Fires a hook for the plugin that declares it, and returns the final payload. Subscribers of an event are
    /// notified in the background; others are waited for.
    ///
    /// # Errors
    /// As above; or it is not a hook of this plugin, or a subscriber refused it, or a fail-closed subscriber failed.
    pub(crate) async fn fire_own(&self, plugin: &PluginName, firing: Firing) -> Result<Payload, Failure> {
        let hook = &firing.hook;
        let spec = Arc::clone(self.inner.hooks.table.load().spec(hook)?);
        if spec.plugin.as_ref() != Some(plugin) {
            let message = format!("the plugin `{plugin}` does not declare the hook `{hook}`, and fires only its own");
            return Err(Failure::new(Code::PermissionDenied, message)
                .with_hint(format!("its manifest declares one with `[hooks.\"{hook}\"]`")));
        }
        check(&spec, &firing).await?;
        if spec.kind == HookKind::Event {
            let held = self.inner.accounts.of(plugin).charge(json::tree_size(&firing.payload))?;
            self.log_firing(&spec, &firing).await?;
            let carried = firing.payload.clone();
            let firing = Firing { until: None, within: None, held: Some(Arc::new(held)), ..firing };
            self.fire_soon(|engine| &engine.inner.hooks.events, firing);
            return Ok(carried);
        }
        let Fired { value, failure, .. } = self.run_hook(firing).await;
        failure.map_or(Ok(value), Err)
    }

    async fn log_firing(&self, spec: &HookSpec, firing: &Firing) -> Result<(), Failure> {
        let bytes = events::check_payload(&firing.hook, &firing.payload)?;
        self.charge_event(spec, firing, bytes)?;
        let event = NewEvent {
            correlation: firing.correlation,
            plugin: spec.plugin.clone(),
            // The event counts for the key that fires it, not for the plugin that declares the hook.
            key: match &firing.cause {
                Some(Caller::Key(key)) => Some(key.id.clone()),
                _ => None,
            },
            caller: firing.cause.as_ref().map(ToString::to_string),
            ..NewEvent::now(firing.hook.clone(), firing.payload.clone())
        };
        self.log_event(&event).await
    }

    /// Takes an event from the quota of its plugin, or of the key that fires it. The administrator of the data
    /// directory has no quota.
    fn charge_event(&self, spec: &HookSpec, firing: &Firing, bytes: u64) -> Result<(), Failure> {
        let (whose, writes) = match (&firing.cause, &spec.plugin) {
            (None | Some(Caller::Local), _) => return Ok(()),
            (Some(Caller::Key(key)), _) => (format!("the {key}"), self.writes_of(&key.id)),
            (Some(Caller::Plugin(_) | Caller::Hook(_)), Some(plugin)) => {
                (format!("the plugin `{plugin}`"), Arc::clone(&self.slot(plugin)?.writes))
            }
            (Some(Caller::Plugin(_) | Caller::Hook(_)), None) => return Ok(()),
        };
        let taken = writes.event(bytes + ROW_BYTES, Instant::now());
        taken.map_err(|wait| quota::exceeded(&whose, "events", wait))
    }

    /// Fires a hook. Boxed, because subscribers are called on the path that itself fires hooks.
    pub(crate) fn run_hook(&self, firing: Firing) -> BoxFuture<'_, Fired> {
        Box::pin(course::run(self, firing))
    }
}

/// The owner of the work for a firing: the plugin that causes it, or the key.
pub(super) fn owner(cause: Option<&Caller>) -> String {
    cause.map_or_else(|| "system".to_owned(), Caller::owner)
}

/// Checks the size of a payload.
pub(crate) fn check_length(hook: &HookName, bytes: usize) -> Result<(), Failure> {
    if bytes <= LONGEST_CARRIED {
        return Ok(());
    }
    let size = ByteSize::bytes(bytes as u64).rounded();
    let limit = ByteSize::bytes(LONGEST_CARRIED as u64);
    let message = format!("the payload of `{hook}` is {size}; the limit is {limit}");
    Err(Failure::new(Code::InvalidInput, message)
        .with_hint("put only an ID into the payload, and let subscribers fetch the rest"))
}

/// Checks that a hook can be fired with this payload.
async fn check(spec: &HookSpec, firing: &Firing) -> Result<(), Failure> {
    let hook = &spec.name;
    check_length(hook, firing.payload.length())?;
    if spec.is_built_in() {
        if firing.dry_run {
            return Ok(());
        }
        let message = format!("`{hook}` is fired by Outrigger itself");
        return Err(
            Failure::new(Code::InvalidUsage, message).with_hint("a dry run shows which functions would be called")
        );
    }
    let Some(schema) = &spec.schema else { return Ok(()) };
    schema.check_aside(&owner(firing.cause.as_ref()), &firing.payload).await.map_err(|fault| {
        Failure::new(Code::InvalidInput, format!("invalid payload for `{hook}`: {fault}"))
            .with_hint(format!("`outrigger hook show {hook}` shows the payload schema"))
    })
}
