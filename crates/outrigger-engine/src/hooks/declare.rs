//! Declarations in manifests: hooks of a plugin, and subscriptions of its functions. They are checked before the plugin
//! is installed or updated, and kept so that no manifest has to be read when the engine starts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use outrigger_compute::blocking;
use outrigger_contract::manifest::PayloadSchema;
use outrigger_contract::{Code, FunctionRef, Grant, HookName, Manifest, PluginName, TypeGraph};
use time::OffsetDateTime;

use super::Table;
use super::condition::{Condition, PatternCost};
use super::manage::{check, check_number, check_patterns, compile};
use super::schema::HookSchema;
use super::spec::{HookRecord, HookSpec, is_delicate};
use super::subscription::{Source, Subscriber, Subscription};
use crate::call::turn_owner;
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::plugins::ActiveRevision;
use crate::schema::Allowance;

/// The maximum number of hooks in one manifest.
const MOST_HOOKS: usize = 64;

/// The declarations of a manifest. Ids are assigned when it is adopted.
#[derive(Debug)]
pub(crate) struct Declared {
    plugin: PluginName,
    hooks: Vec<HookRecord>,
    subscriptions: Vec<Subscription>,
    /// Their conditions, by text.
    conditions: HashMap<String, Arc<Condition>>,
}

/// The handling of subscriptions that an earlier manifest declared, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adoption {
    /// The plugin is another version: subscriptions disabled after failures are enabled again; subscriptions disabled
    /// by a person are not.
    Anew,
    /// They stay as they are.
    Same,
}

impl Engine {
    /// Checks the declarations of a manifest, outside the async workers: compiles schemas and conditions, and tests the
    /// schemas.
    pub(crate) async fn declared(&self, manifest: &Manifest, graph: &TypeGraph) -> Result<Declared, Failure> {
        if manifest.hooks.is_empty() && manifest.subscriptions.is_empty() {
            return self.read_declared(manifest, graph);
        }
        let (engine, manifest, graph) = (self.clone(), manifest.clone(), graph.clone());
        let owner = turn_owner(&manifest.name);
        blocking(&owner, move || engine.read_declared(&manifest, &graph)).await?
    }

    fn read_declared(&self, manifest: &Manifest, graph: &TypeGraph) -> Result<Declared, Failure> {
        let table = self.inner.hooks.table.load();
        let (plugin, created_at) = (&manifest.name, OffsetDateTime::now_utc());
        let created_by = format!("plugin {plugin}");
        let wrong = |what: String, failure: Failure| {
            let message = format!("the manifest of `{plugin}`, {what}: {}", failure.message);
            Failure { message, ..Failure { code: Code::InvalidManifest, ..failure } }
        };
        if manifest.hooks.len() > MOST_HOOKS {
            let message = format!("it declares {} hooks; the limit is {MOST_HOOKS}", manifest.hooks.len());
            return Err(wrong("hooks".to_owned(), Failure::new(Code::InvalidManifest, message)));
        }
        let declared = manifest.subscriptions.iter().map(|declaration| (plugin, &declaration.hook));
        let added = table.subscribers.iter().map(|subscriber| &subscriber.subscription);
        let added =
            added.filter(|added| added.source == Source::Api).map(|added| (&added.function.plugin, &added.hook));
        check_number(plugin, declared.chain(added)).map_err(|failure| wrong("subscriptions".to_owned(), failure))?;
        let (mut hooks, mut left) = (Vec::new(), Allowance::MANIFEST);
        for (name, declaration) in &manifest.hooks {
            let present = table.specs.get(name);
            if let Some(other) = present.filter(|present| present.plugin.as_ref() != Some(plugin)) {
                let by = other.plugin.as_ref().map_or("was added over the API".to_owned(), |plugin| {
                    format!("is declared by the plugin `{plugin}`")
                });
                let failure = Failure::new(Code::InvalidManifest, format!("a hook of this name {by}"));
                return Err(wrong(format!("hook `{name}`"), failure));
            }
            let schema = declaration.payload.as_ref().map(PayloadSchema::to_json_schema);
            let kept = present.and_then(|present| present.schema.as_ref()).map(|kept| kept.json());
            if let Some(schema) = schema.as_ref().filter(|schema| kept != Some(schema)) {
                HookSchema::accept(name, schema, &mut left)
                    .map_err(|failure| wrong(format!("hook `{name}`"), failure))?;
            }
            hooks.push(HookRecord {
                name: name.clone(),
                kind: declaration.kind,
                description: declaration.description.clone(),
                schema,
                plugin: Some(plugin.clone()),
                created_by: created_by.clone(),
                created_at,
            });
        }
        let own: Vec<_> = hooks.iter().map(|own| Arc::new(HookSpec::from(own))).collect();
        let (mut subscriptions, mut patterns) = (Vec::new(), PatternCost::default());
        let mut conditions: HashMap<String, Arc<Condition>> = HashMap::new();
        for declaration in &manifest.subscriptions {
            let hook = &declaration.hook;
            let spec = match own.iter().find(|own| own.name == *hook) {
                Some(own) => own,
                None => table.spec(hook).map_err(|failure| wrong(format!("subscription to `{hook}`"), failure))?,
            };
            let allowed = match is_delicate(hook) {
                true => Err(Failure::new(Code::InvalidManifest, "only administrators can subscribe to this hook")
                    .with_hint(format!(
                        "remove it, and use `outrigger hook subscribe {hook} {plugin}.{}`",
                        declaration.function
                    ))),
                false => check(spec, manifest, graph, &declaration.function),
            };
            allowed.map_err(|failure| wrong(format!("subscription to `{hook}`"), failure))?;
            if let Some(text) = &declaration.condition {
                let condition = match conditions.get(text) {
                    Some(condition) => Arc::clone(condition),
                    None => compile(text).map_err(|failure| wrong(format!("subscription to `{hook}`"), failure))?,
                };
                patterns += condition.pattern_cost();
                conditions.insert(text.clone(), condition);
                // Before the next one is compiled.
                check_patterns(plugin, std::iter::empty(), patterns)
                    .map_err(|failure| wrong("subscriptions".to_owned(), failure))?;
            }
            subscriptions.push(Subscription {
                id: String::new(),
                hook: hook.clone(),
                kind: spec.kind,
                function: FunctionRef::new(plugin.clone(), declaration.function.clone()),
                priority: declaration.priority,
                condition: declaration.condition.clone(),
                on_error: declaration.on_error,
                timeout: declaration.timeout,
                description: declaration.description.clone(),
                enabled: true,
                reason: None,
                source: Source::Manifest,
                created_by: created_by.clone(),
                created_at,
                failures: 0,
            });
        }
        let added = table.subscribers.iter().filter(|added| added.subscription.source == Source::Api);
        check_patterns(plugin, added, patterns).map_err(|failure| wrong("subscriptions".to_owned(), failure))?;
        Ok(Declared { plugin: plugin.clone(), hooks, subscriptions, conditions })
    }

    /// Replaces the previous declarations of a manifest. Does nothing if they are the same.
    pub(crate) async fn adopt(&self, declared: Declared, adoption: Adoption) -> Result<(), Failure> {
        let Declared { plugin, hooks, mut subscriptions, conditions } = declared;
        let registry = &self.inner.hooks;
        let _changing = registry.changing.lock().await;
        let table = registry.table.load_full();
        let mine = |subscription: &Subscription| {
            subscription.source == Source::Manifest && subscription.function.plugin == plugin
        };
        let kept = table.subscribers.iter().filter(|kept| mine(&kept.subscription));
        let kept: Vec<_> = kept.map(|kept| kept.present()).collect();
        let mut present: Vec<_> = kept.iter().collect();
        let (count, mut changed) = (present.len(), false);
        // A subscription that a person disabled stays disabled in another version, even if that version declares it
        // differently.
        let by_person = |one: &Subscription| !one.enabled && one.reason.is_none();
        let on: HashSet<_> = present.iter().filter(|kept| !by_person(kept)).map(|kept| &kept.hook).collect();
        let off: HashSet<_> = present.iter().map(|kept| &kept.hook).filter(|hook| !on.contains(hook)).collect();
        for new in &mut subscriptions {
            new.enabled = !off.contains(&new.hook);
            match present.iter().position(|kept| same(kept, new)) {
                Some(place) => {
                    let kept = present.swap_remove(place);
                    (new.id, new.created_at) = (kept.id.clone(), kept.created_at);
                    if adoption == Adoption::Same || by_person(kept) {
                        (new.enabled, new.reason, new.failures) = (kept.enabled, kept.reason.clone(), kept.failures);
                    }
                    changed |= new.enabled != kept.enabled || new.failures != kept.failures;
                }
                None => {
                    new.id = CorrelationId::new().to_string();
                    changed = true;
                }
            }
        }
        let specs: Vec<_> = hooks.iter().map(|hook| Arc::new(HookSpec::from(hook))).collect();
        let declared_before = table.specs.values().filter(|spec| spec.plugin.as_ref() == Some(&plugin));
        changed |= count != subscriptions.len() || !declared_before.eq(sorted(&specs));
        if !changed {
            return Ok(());
        }
        // Subscriptions over the API to removed hooks of the plugin itself. The plugin has no grant for another
        // plugin's hook of that name.
        let is_gone = |hook: &HookName| {
            let before = table.specs.get(hook).is_some_and(|spec| spec.plugin.as_ref() == Some(&plugin));
            before && specs.iter().all(|spec| spec.name != *hook)
        };
        let gone =
            ended(&table, |one| one.source == Source::Api && one.function.plugin == plugin && is_gone(&one.hook));
        registry.end(&*self.inner.store, gone).await?;
        self.inner.store.hook_replace(&plugin, &hooks, &subscriptions).await?;
        registry.change(|table| {
            let others = table.specs.iter().filter(|(_, spec)| spec.plugin.as_ref() != Some(&plugin));
            let others = others.map(|(name, spec)| (name.clone(), Arc::clone(spec)));
            let specs = others.chain(specs.iter().map(|spec| (spec.name.clone(), Arc::clone(spec)))).collect();
            let kept = table.subscribers.iter().filter(|kept| !mine(&kept.subscription)).cloned();
            let new = subscriptions.iter().map(|new| Arc::new(Subscriber::compiled(new.clone(), &conditions)));
            Table::of(specs, kept.chain(new).collect())
        });
        Ok(())
    }

    /// Adopts what the manifest of a plugin declares that was just loaded: the process may have died, at its installation,
    /// before that was done.
    pub(crate) async fn adopt_loaded(&self, revision: &ActiveRevision) {
        let ActiveRevision { manifest, graph, granted, .. } = revision;
        // The hook may have changed its kind since: a grant to receive an event does not allow changing a filter's
        // payload.
        let missing = Grant { hooks: self.asked(manifest).beyond(granted).hooks, ..Grant::default() };
        if !missing.is_empty() {
            let plugin = &manifest.name;
            tracing::warn!(%plugin, "the manifest's subscriptions are inactive: the plugin needs approval to \
                {}", missing.describe().join("; to "));
            return;
        }
        let outcome = match self.declared(manifest, graph).await {
            Ok(declared) => self.adopt(declared, Adoption::Same).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = outcome {
            tracing::warn!(plugin = %manifest.name, %failure, "the hooks and subscriptions of the manifest are not \
                active");
        }
    }

    /// Removes the hooks and subscriptions of a removed plugin. Its guards of other hooks stay.
    pub(crate) async fn forget_hooks(&self, plugin: &PluginName) -> Result<(), Failure> {
        let table = self.inner.hooks.table.load_full();
        let of_table = table.subscribers.iter().filter_map(|kept| {
            let condition = kept.condition.as_ref()?.as_ref().ok()?;
            Some((kept.subscription.condition.clone()?, Arc::clone(condition)))
        });
        let conditions = of_table.collect();
        let mut rest = Declared { plugin: plugin.clone(), hooks: Vec::new(), subscriptions: Vec::new(), conditions };
        let is_own = |hook: &HookName| table.specs.get(hook).is_some_and(|spec| spec.plugin.as_ref() == Some(plugin));
        let stays = |subscription: &Subscription| subscription.guards() && !is_own(&subscription.hook);
        let of_plugin = table.subscribers.iter().map(|kept| &kept.subscription);
        let of_plugin = of_plugin.filter(|subscription| subscription.function.plugin == *plugin);
        rest.subscriptions.extend(of_plugin.filter(|one| one.source == Source::Manifest && stays(one)).cloned());
        self.adopt(rest, Adoption::Same).await?;
        let registry = &self.inner.hooks;
        let _changing = registry.changing.lock().await;
        let table = registry.table.load_full();
        let ended = ended(&table, |one| one.function.plugin == *plugin && !stays(one));
        registry.end(&*self.inner.store, ended).await
    }

    /// Ends leftover subscriptions of a removed plugin of this name: they were lifted since, or a process died before
    /// it deleted them. Another package of the name must not take them over. Guards stay.
    pub(crate) async fn drop_stale_subscriptions(&self, plugin: &PluginName) -> Result<(), Failure> {
        let (store, registry) = (&self.inner.store, &self.inner.hooks);
        let _changing = registry.changing.lock().await;
        let is_stale = |one: &Subscription| one.function.plugin == *plugin && !one.guards();
        let mut stale = ended(&registry.table.load(), is_stale);
        let stored = store.subscription_list().await?;
        stale.extend(stored.into_iter().filter(is_stale).map(|one| one.id));
        registry.end(&**store, stale).await
    }
}

/// The ids of matching subscriptions in the table.
fn ended(table: &Table, which: impl Fn(&Subscription) -> bool) -> HashSet<String> {
    let all = table.subscribers.iter().map(|kept| &kept.subscription);
    all.filter(|one| which(one)).map(|one| one.id.clone()).collect()
}

/// In the order of their names, as the table has them.
fn sorted(specs: &[Arc<HookSpec>]) -> Vec<&Arc<HookSpec>> {
    let mut specs: Vec<_> = specs.iter().collect();
    specs.sort_by(|a, b| a.name.cmp(&b.name));
    specs
}

/// Whether the manifest says the same of both.
fn same(a: &Subscription, b: &Subscription) -> bool {
    let said = |of: &Subscription| {
        let Subscription { hook, kind, function, priority, condition, on_error, timeout, description, .. } = of.clone();
        (hook, kind, function, priority, condition, on_error, timeout, description)
    };
    said(a) == said(b)
}
