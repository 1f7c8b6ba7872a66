//! Administration of hooks: list, add, subscribe, unsubscribe.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use outrigger_compute::blocking;
use outrigger_contract::units::{ByteSize, Span};
use outrigger_contract::{
    Code, FunctionName, FunctionRef, HookKind, HookName, Manifest, OnError, PluginName, TypeGraph,
};
use serde_json::Value as Json;
use time::OffsetDateTime;

use super::condition::{Condition, PatternCost};
use super::schema::HookSchema;
use super::spec::{HookRecord, HookSpec};
use super::subscription::{Source, Subscriber, Subscription, accept};
use super::trace::{HookTrace, TraceFilter};
use super::{Hooks, Table};
use crate::cap;
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::schema::Allowance;
use crate::store::{Store, StoreError};

/// A hook that is to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHook {
    pub name: HookName,
    pub kind: HookKind,
    pub description: String,
    /// A JSON Schema of the payload; none for any JSON.
    pub schema: Option<Json>,
    /// The caller that adds it.
    pub created_by: String,
}

/// A subscription that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSubscription {
    pub hook: HookName,
    pub function: FunctionRef,
    pub priority: i32,
    pub condition: Option<String>,
    pub on_error: OnError,
    pub timeout: Span,
    pub description: Option<String>,
    /// The caller that subscribes.
    pub created_by: String,
}

impl Engine {
    /// All hooks by name, each with how many are subscribed to it.
    #[must_use]
    pub fn hooks(&self) -> Vec<(Arc<HookSpec>, usize)> {
        let table = self.inner.hooks.table.load();
        table.specs.values().map(|spec| (Arc::clone(spec), table.subscribed(&spec.name))).collect()
    }

    /// One hook, with the number of its subscribers.
    ///
    /// # Errors
    /// There is no hook of this name.
    pub fn hook(&self, name: &HookName) -> Result<(Arc<HookSpec>, usize), Failure> {
        let table = self.inner.hooks.table.load();
        Ok((Arc::clone(table.spec(name)?), table.subscribed(name)))
    }

    /// Adds a hook.
    ///
    /// # Errors
    /// The hook exists already, its name is reserved, its schema is invalid, there are too many hooks, or the store
    /// failed.
    pub async fn hook_create(&self, new: NewHook) -> Result<HookRecord, Failure> {
        let NewHook { name, kind, description, schema, created_by } = new;
        if name.is_reserved() {
            let message = format!(
                "`{name}` cannot be added: hooks that begin with `call`, `plugin` and the like are Outrigger's own"
            );
            return Err(Failure::new(Code::InvalidInput, message).with_hint("choose another first word"));
        }
        if let Some(schema) = schema.clone() {
            let name = name.clone();
            let work = move || HookSchema::accept(&name, &schema, &mut { Allowance::SCHEMA });
            blocking(&created_by, work).await??;
        }
        let created_at = OffsetDateTime::now_utc();
        let record = HookRecord { name, kind, description, schema, plugin: None, created_by, created_at };
        let hooks = &self.inner.hooks;
        let _changing = hooks.changing.lock().await;
        let others = self.inner.store.hook_list().await?;
        let others = others.iter().filter(|other| other.plugin.is_none());
        let others = others.map(|other| (cap::key_of(&other.created_by), cap::size_of(other)));
        cap::HOOKS.check(cap::key_of(&record.created_by), others, cap::size_of(&record))?;
        self.inner.store.hook_create(&record).await.map_err(|error| match error {
            StoreError::Conflict { .. } => {
                Failure::new(Code::AlreadyExists, format!("a hook `{}` already exists", record.name))
            }
            error => error.into(),
        })?;
        hooks.change(|table| {
            let mut specs = table.specs.clone();
            specs.insert(record.name.clone(), Arc::new(HookSpec::from(&record)));
            Table::of(specs, table.subscribers.clone())
        });
        Ok(record)
    }

    /// Removes a hook that was added over the API.
    ///
    /// # Errors
    /// There is no such hook, it has subscribers, it was not added over the API, or the store failed.
    pub async fn hook_delete(&self, name: &HookName) -> Result<(), Failure> {
        let hooks = &self.inner.hooks;
        let _changing = hooks.changing.lock().await;
        let table = hooks.table.load_full();
        let spec = table.spec(name)?;
        let conflict = |message: String| Err(Failure::new(Code::Conflict, message));
        match &spec.plugin {
            _ if spec.is_built_in() => return conflict(format!("`{name}` is built in")),
            Some(plugin) => {
                return conflict(format!("`{name}` is declared by the plugin `{plugin}`, and goes with it"));
            }
            None if table.by_hook.contains_key(name) => return conflict(format!("someone is subscribed to `{name}`")),
            None => {}
        }
        self.inner.store.hook_delete(name).await?;
        hooks.change(|table| {
            let mut specs = table.specs.clone();
            specs.remove(name);
            Table::of(specs, table.subscribers.clone())
        });
        Ok(())
    }

    /// All subscriptions, by priority.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Subscription> {
        let table = self.inner.hooks.table.load();
        table.subscribers.iter().map(|subscriber| subscriber.present()).collect()
    }

    /// One subscription.
    ///
    /// # Errors
    /// There is no subscription with this id.
    pub fn subscription(&self, id: &str) -> Result<Subscription, Failure> {
        let table = self.inner.hooks.table.load();
        let found = table.subscriber(id).map(|subscriber| subscriber.present());
        found.ok_or_else(|| {
            Failure::new(Code::NotFound, format!("there is no subscription `{id}`"))
                .with_hint("`outrigger hook list` shows them")
        })
    }

    /// Subscribes a function to a hook.
    ///
    /// # Errors
    /// The hook or function does not exist, their types do not match, the condition is invalid, there are too many
    /// subscriptions, or the store failed.
    pub async fn subscribe(&self, new: NewSubscription) -> Result<Subscription, Failure> {
        let NewSubscription { hook, function, priority, condition, on_error, timeout, description, created_by } = new;
        let hooks = &self.inner.hooks;
        let spec = Arc::clone(hooks.table.load().spec(&hook)?);
        let compiled = prepare(&created_by, spec, condition.clone()).await?;
        let _changing = hooks.changing.lock().await;
        // Read under the lock: removing a plugin ends its hooks and subscriptions under the same lock.
        let (record, _) = self.plugin(&function.plugin)?;
        let revision = self.revision(&record.active).await?;
        let table = hooks.table.load_full();
        let spec = table.spec(&hook)?;
        let (manifest, graph) = (&revision.manifest, &revision.inspection.graph);
        check(spec, manifest, graph, &function.function)?;
        let patterns = compiled.as_ref().map(|condition| condition.pattern_cost()).unwrap_or_default();
        check_patterns(&function.plugin, table.subscribers.iter(), patterns)?;
        let others = table.subscribers.iter().map(|subscriber| &subscriber.subscription);
        check_number(
            &function.plugin,
            others.map(|other| (&other.function.plugin, &other.hook)).chain([(&function.plugin, &hook)]),
        )?;
        let subscription = Subscription {
            id: CorrelationId::new().to_string(),
            kind: spec.kind,
            hook,
            function,
            priority,
            condition,
            on_error,
            timeout,
            description,
            enabled: true,
            reason: None,
            source: Source::Api,
            created_by,
            created_at: OffsetDateTime::now_utc(),
            failures: 0,
        };
        let others = table.subscribers.iter().map(|subscriber| &subscriber.subscription);
        let others = others.filter(|other| other.source == Source::Api);
        let others = others.map(|other| (cap::key_of(&other.created_by), cap::size_of(other)));
        cap::SUBSCRIPTIONS.check(cap::key_of(&subscription.created_by), others, cap::size_of(&subscription))?;
        self.inner.store.subscription_put(&subscription).await?;
        hooks.change(|table| {
            let new = Subscriber::of(subscription.clone(), compiled.map(Ok));
            table.with_subscribers(table.subscribers.iter().cloned().chain([Arc::new(new)]).collect())
        });
        Ok(subscription)
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// There is no subscription with this id, the manifest of an installed plugin declares it, or the store failed.
    pub async fn unsubscribe(&self, id: &str) -> Result<(), Failure> {
        let hooks = &self.inner.hooks;
        let _changing = hooks.changing.lock().await;
        let subscription = self.subscription(id)?;
        let plugin = &subscription.function.plugin;
        if subscription.source == Source::Manifest && self.inner.plugins.get(plugin).is_some() {
            let message = format!("the manifest of the plugin `{plugin}` declares this subscription");
            return Err(Failure::new(Code::Conflict, message)
                .with_hint(format!("disable it with `outrigger hook disable {id}`")));
        }
        hooks.end(&*self.inner.store, HashSet::from([id.to_owned()])).await
    }

    /// Enables or disables a subscription. An enabled one starts counting its failures again.
    ///
    /// # Errors
    /// There is no subscription with this id, or the store failed.
    pub async fn subscription_switch(&self, id: &str, enabled: bool) -> Result<Subscription, Failure> {
        let hooks = &self.inner.hooks;
        let _changing = hooks.changing.lock().await;
        let mut subscription = self.subscription(id)?;
        (subscription.enabled, subscription.reason, subscription.failures) = (enabled, None, 0);
        self.inner.store.subscription_put(&subscription).await?;
        hooks.put(subscription.clone());
        Ok(subscription)
    }

    /// Traces of firings, newest first. The latest are kept, in memory.
    #[must_use]
    pub fn hook_traces(&self, filter: &TraceFilter) -> Vec<Arc<HookTrace>> {
        self.inner.hooks.traces.list(filter)
    }
}

impl Hooks {
    /// Changes the table. Whoever calls this holds `changing`.
    pub(super) fn change(&self, make: impl FnOnce(&Table) -> Table) {
        let changed = make(&self.table.load());
        self.table.store(Arc::new(changed));
    }

    /// Ends subscriptions, in the store and in the table. The caller holds `changing`.
    pub(super) async fn end(&self, store: &dyn Store, ended: HashSet<String>) -> Result<(), Failure> {
        if ended.is_empty() {
            return Ok(());
        }
        for id in &ended {
            store.subscription_delete(id).await?;
        }
        self.change(|table| {
            let others = table.subscribers.iter().filter(|kept| !ended.contains(&kept.subscription.id));
            table.with_subscribers(others.cloned().collect())
        });
        Ok(())
    }

    /// Puts a subscription into the table, in the place of the one with its id.
    pub(super) fn put(&self, subscription: Subscription) {
        self.change(|table| {
            let others = table.subscribers.iter().filter(|subscriber| subscriber.subscription.id != subscription.id);
            let mut subscribers: Vec<_> = others.cloned().collect();
            let present = table.subscriber(&subscription.id);
            subscribers.push(Arc::new(match present {
                Some(present) => present.with(subscription.clone()),
                None => Subscriber::new(subscription.clone()),
            }));
            table.with_subscribers(subscribers)
        });
    }
}

/// The maximum number of subscriptions of one plugin to one hook, and to all hooks.
const MOST_OF_A_HOOK: usize = 32;
const MOST_OF_A_PLUGIN: usize = 200;
/// Maximum cost of the patterns in the conditions of a plugin. Translating them all takes at most a tenth of a second.
const MOST_PATTERNS: PatternCost = PatternCost { held: 8 << 20, translation: 8_000_000 };

/// Checks the number of subscriptions of a plugin, given the subscriptions of all plugins.
pub(super) fn check_number<'a>(
    plugin: &PluginName,
    all: impl Iterator<Item = (&'a PluginName, &'a HookName)>,
) -> Result<(), Failure> {
    let mut of_hooks: HashMap<&HookName, usize> = HashMap::new();
    all.filter(|(of, _)| *of == plugin).for_each(|(_, hook)| *of_hooks.entry(hook).or_default() += 1);
    let refused = |message: String| {
        Err(Failure::new(Code::InvalidInput, message).with_hint("combine several subscribers into one function"))
    };
    let count: usize = of_hooks.values().sum();
    if count > MOST_OF_A_PLUGIN {
        return refused(format!("the plugin `{plugin}` has {count} subscriptions; the limit is {MOST_OF_A_PLUGIN}"));
    }
    match of_hooks.into_iter().find(|(_, count)| *count > MOST_OF_A_HOOK) {
        None => Ok(()),
        Some((hook, count)) => refused(format!(
            "the plugin `{plugin}` has {count} subscriptions to `{hook}`; the limit is {MOST_OF_A_HOOK}"
        )),
    }
}

/// Checks that a function can be subscribed to a hook.
pub(super) fn check(
    spec: &HookSpec,
    manifest: &Manifest,
    graph: &TypeGraph,
    name: &FunctionName,
) -> Result<(), Failure> {
    let function = FunctionRef::new(manifest.name.clone(), name.clone());
    let invalid = |message: String| Failure::new(Code::InvalidInput, message);
    let Some((_, found)) = graph.function(name.as_str()) else {
        return Err(Failure::function_not_found(&function, graph));
    };
    accept(spec, graph, found)
        .map_err(|reason| invalid(format!("`{function}` cannot be subscribed to `{}`: {reason}", spec.name)))?;
    match manifest.function(name).requires_admin {
        false => Ok(()),
        true => Err(invalid(format!("`{function}` is for administrators, but any caller can fire hooks"))),
    }
}

/// Compiles a condition.
pub(super) fn compile(condition: &str) -> Result<Arc<Condition>, Failure> {
    Condition::compile(condition).map(Arc::new).map_err(|error| {
        Failure::new(Code::InvalidInput, error.to_string()).with_hint(
            "a condition is a CEL expression over `event`, `hook`, `caller` and `origin`: `event.country == 'NO'`",
        )
    })
}

/// Compiles the condition of a new subscription outside the async workers, and the example payloads that it is checked
/// with. Called before `changing` is locked.
async fn prepare(
    owner: &str,
    spec: Arc<HookSpec>,
    condition: Option<String>,
) -> Result<Option<Arc<Condition>>, Failure> {
    if condition.is_none() && spec.schema.is_none() {
        return Ok(None);
    }
    let work = move || {
        if let Some(schema) = &spec.schema {
            let _ = schema.witnesses();
        }
        condition.as_deref().map(compile).transpose()
    };
    blocking(owner, work).await?
}

/// Checks that the conditions of a plugin, with these patterns added, stay within the limits.
pub(super) fn check_patterns<'a>(
    plugin: &PluginName,
    others: impl Iterator<Item = &'a Arc<Subscriber>>,
    more: PatternCost,
) -> Result<(), Failure> {
    let mut total = more;
    let own = others.filter(|other| other.subscription.function.plugin == *plugin);
    own.filter_map(|own| own.condition.as_ref()?.as_ref().ok()).for_each(|own| total += own.pattern_cost());
    let refused = |message: String| {
        Err(Failure::new(Code::InvalidInput, message).with_hint("check the payload in the function instead"))
    };
    match () {
        () if total.held > MOST_PATTERNS.held => {
            let limit = ByteSize::bytes(MOST_PATTERNS.held as u64);
            refused(format!("the patterns in the conditions of `{plugin}` take more than {limit}"))
        }
        () if total.translation > MOST_PATTERNS.translation => {
            refused(format!("compiling the patterns in the conditions of `{plugin}` is too expensive"))
        }
        () => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn s04_the_patterns_of_all_conditions_of_a_plugin_count_together() {
        let subscription: Subscription = serde_json::from_value(json!({
            "id": "a", "hook": "customer.created", "kind": "action", "function": "demo.echo", "priority": 0,
            "condition": r"event.name.matches(r'(?i)[\w-]')", "on_error": "fail-open", "timeout": "2s", "enabled": true,
            "source": "api", "created_by": "local", "created_at": "2026-01-01T00:00:00Z", "failures": 0,
        }))
        .expect("a subscription");
        let subscriber = Arc::new(Subscriber::new(subscription));
        let check = |plugin: &str, count: usize| {
            let others = vec![Arc::clone(&subscriber); count];
            let checked = check_patterns(&plugin.parse().expect("a name"), others.iter(), PatternCost::default());
            checked.map_err(|failure| failure.message)
        };
        assert_eq!(check("demo", 30), Ok(()));
        let refused = check("demo", 50).expect_err("it is too expensive");
        assert_eq!(refused, "compiling the patterns in the conditions of `demo` is too expensive");
        assert_eq!(check("other", 50), Ok(()));
    }
}
