//! Closed hooks. A fail-closed subscriber is a guard: while it is unavailable, its hook refuses everything. Disabling
//! or removing its plugin does not open the hook; only disabling or removing the subscription does.

use outrigger_contract::{FunctionRef, HookKind, HookName, Manifest, OnError, PluginName};

use super::spec;
use super::subscription::{Source, Subscription};
use crate::engine::Engine;
use crate::lifecycle::PluginState;

/// A hook that refuses everything, because a fail-closed subscriber is unavailable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedHook {
    pub hook: HookName,
    /// The id of the subscription.
    pub subscription: String,
    pub function: FunctionRef,
    /// Why the subscriber is unavailable.
    pub reason: String,
}

impl Subscription {
    /// Whether the subscription is a guard: enabled, fail-closed, and not to an event.
    #[must_use]
    pub fn guards(&self) -> bool {
        let waits = self.kind != HookKind::Event && self.hook.as_str() != spec::CALL_AFTER;
        self.enabled && self.on_error == OnError::FailClosed && waits
    }
}

impl Engine {
    /// The closed hooks, by name.
    #[must_use]
    pub fn closed_hooks(&self) -> Vec<ClosedHook> {
        let table = self.inner.hooks.table.load();
        let guards = table.subscribers.iter().map(|subscriber| &subscriber.subscription);
        let guards = guards.filter(|guard| guard.guards() && table.specs.contains_key(&guard.hook));
        let mut closed: Vec<_> = guards
            .filter_map(|guard| {
                let Subscription { id, hook, function, .. } = guard;
                let reason = self.why_not_asked(function)?;
                Some(ClosedHook { hook: hook.clone(), subscription: id.clone(), function: function.clone(), reason })
            })
            .collect();
        closed.sort_by(|a, b| (&a.hook, &a.subscription).cmp(&(&b.hook, &b.subscription)));
        closed
    }

    /// The hooks that are closed because of this plugin.
    #[must_use]
    pub fn closed_by(&self, plugin: &PluginName) -> Vec<ClosedHook> {
        let mut closed = self.closed_hooks();
        closed.retain(|hook| hook.function.plugin == *plugin);
        closed
    }

    /// The guards of an installed plugin that another manifest of the same name does not declare identically.
    #[must_use]
    pub fn guards_given_up(&self, manifest: &Manifest) -> Vec<Subscription> {
        let table = self.inner.hooks.table.load();
        let is_own =
            |hook: &HookName| table.specs.get(hook).is_some_and(|spec| spec.plugin.as_ref() == Some(&manifest.name));
        let kept = |guard: &Subscription| {
            manifest.subscriptions.iter().any(|new| {
                new.hook == guard.hook
                    && new.function == guard.function.function
                    && new.on_error == guard.on_error
                    && new.condition == guard.condition
            })
        };
        let guards = table.subscribers.iter().map(|subscriber| &subscriber.subscription);
        let guards = guards.filter(|guard| guard.function.plugin == manifest.name && guard.source == Source::Manifest);
        guards.filter(|guard| guard.guards() && !is_own(&guard.hook) && !kept(guard)).cloned().collect()
    }

    /// Why a subscriber is unavailable; none if it seems available.
    fn why_not_asked(&self, function: &FunctionRef) -> Option<String> {
        let plugin = &function.plugin;
        let Some(slot) = self.inner.plugins.get(plugin) else {
            return Some(format!("the plugin `{plugin}` is not installed"));
        };
        let (state, reason) = {
            let record = slot.record.lock();
            (record.0.state, record.0.reason.clone())
        };
        let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        match state {
            PluginState::Disabled => Some(format!("the plugin `{plugin}` is disabled{because}")),
            PluginState::Failed => Some(format!("the plugin `{plugin}` failed{because}")),
            _ => {
                let active = slot.active.load_full()?;
                let is_there = active.function(function.function.as_str()).is_some();
                (!is_there).then(|| format!("the plugin `{plugin}` has no function `{}`", function.function))
            }
        }
    }
}
