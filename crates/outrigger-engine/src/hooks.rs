//! Hooks: named points at which functions of plugins take part. An *action* calls its subscribers one after another, a
//! *filter* passes a value through them, an *event* notifies them in the background: those of one plugin one after
//! another, those of several plugins in parallel.
//!
//! [`plan`] decides which subscribers are called and in which order, [`Engine::fire`] calls them. Each callback is an
//! ordinary call with its limits, its run and its audit record. Outrigger's own hooks are listed in [`spec`]. A
//! subscription is checked when it is made: the hook exists, the function accepts the payload, the condition compiles.
//! The [`HookSchema`], if there is one, describes the payload; each firing is validated against it.
//!
//! A filter refuses by returning its error value, regardless of its policy. The policy applies to subscribers that
//! *fail*: by a trap, a deadline, a limit, or an invalid result.

mod closed;
mod condition;
mod course;
mod declare;
mod deliver;
mod fire;
mod manage;
mod payload;
mod plan;
mod schema;
pub mod spec;
mod subscription;
mod trace;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use outrigger_compute::blocking;
use outrigger_contract::{HookName, PluginName};

pub use closed::ClosedHook;
pub use condition::{Condition, ConditionError, Facts};
pub(crate) use declare::Adoption;
pub(crate) use fire::check_length;
pub use fire::{Fired, Firing, HookCaller, LONGEST_CARRIED};
pub use manage::{NewHook, NewSubscription};
pub use payload::Payload;
pub use plan::{Planned, Skipped, Step, plan};
pub use schema::HookSchema;
pub use spec::{HookRecord, HookSpec};
pub use subscription::{Source, Subscriber, Subscription, accept};
pub use trace::{CallbackOutcome, CallbackTrace, HookResult, HookTrace, TraceFilter};

use crate::error::Failure;
use crate::store::Store;
use deliver::Lanes;
use trace::Traces;

/// A plugin receives events one after another, in their order.
const EVENTS_AT_ONCE: usize = 1;
/// Ends of calls are many and have no order. For each plugin.
const CALLS_AT_ONCE: usize = 16;

/// The hooks of an engine.
#[derive(Debug)]
pub(crate) struct Hooks {
    table: ArcSwap<Table>,
    /// Held while hooks or subscriptions change; firing does not take it.
    changing: tokio::sync::Mutex<()>,
    traces: Traces,
    pub(crate) events: Lanes,
    pub(crate) calls: Lanes,
}

/// All hooks and subscriptions. Rebuilt at each change.
#[derive(Debug, Default)]
struct Table {
    specs: BTreeMap<HookName, Arc<HookSpec>>,
    subscribers: Vec<Arc<Subscriber>>,
    /// In the order in which they are called.
    by_hook: HashMap<HookName, Arc<[Arc<Subscriber>]>>,
    /// Someone is subscribed to [`spec::CALL_BEFORE`] and [`spec::CALL_AFTER`].
    before: bool,
    after: bool,
}

impl Table {
    fn of(specs: BTreeMap<HookName, Arc<HookSpec>>, mut subscribers: Vec<Arc<Subscriber>>) -> Self {
        subscribers.sort_by(|a, b| a.place().cmp(&b.place()));
        let mut lists: HashMap<HookName, Vec<Arc<Subscriber>>> = HashMap::new();
        for subscriber in &subscribers {
            lists.entry(subscriber.subscription.hook.clone()).or_default().push(Arc::clone(subscriber));
        }
        let watched = |name: &str| {
            let of_hook = subscribers.iter().map(|subscriber| &subscriber.subscription);
            of_hook.into_iter().any(|subscription| subscription.enabled && subscription.hook.as_str() == name)
        };
        let (before, after) = (watched(spec::CALL_BEFORE), watched(spec::CALL_AFTER));
        let by_hook = lists.into_iter().map(|(hook, list)| (hook, list.into())).collect();
        Self { specs, subscribers, by_hook, before, after }
    }

    /// The same with other subscribers.
    fn with_subscribers(&self, subscribers: Vec<Arc<Subscriber>>) -> Self {
        Self::of(self.specs.clone(), subscribers)
    }

    fn subscriber(&self, id: &str) -> Option<&Arc<Subscriber>> {
        self.subscribers.iter().find(|subscriber| subscriber.subscription.id == id)
    }

    /// How many are subscribed to a hook.
    fn subscribed(&self, name: &HookName) -> usize {
        self.by_hook.get(name).map_or(0, |list| list.len())
    }

    fn spec(&self, name: &HookName) -> Result<&Arc<HookSpec>, Failure> {
        self.specs.get(name).ok_or_else(|| Failure::hook_not_found(name, self.specs.keys()))
    }
}

impl Hooks {
    /// Loads stored hooks and subscriptions. Those of removed plugins are skipped, except guards: their hooks stay
    /// closed.
    pub(crate) async fn open(store: &dyn Store, installed: &[PluginName]) -> Result<Self, Failure> {
        let gone = |plugin: &PluginName| !installed.contains(plugin);
        let built_in = spec::built_in().into_iter();
        let kept = store.hook_list().await?;
        let kept = kept.iter().filter(|hook| !hook.plugin.as_ref().is_some_and(gone)).map(HookSpec::from);
        let specs = built_in.chain(kept).map(|spec| (spec.name.clone(), Arc::new(spec))).collect();
        let subscriptions = store.subscription_list().await?.into_iter();
        let subscriptions: Vec<_> = subscriptions
            .filter(|subscription| !gone(&subscription.function.plugin) || subscription.guards())
            .collect();
        // Compiles the conditions.
        let compile = || subscriptions.into_iter().map(Subscriber::new).map(Arc::new).collect::<Vec<_>>();
        let subscribers = blocking("start", compile).await?;
        Ok(Self {
            table: ArcSwap::from_pointee(Table::of(specs, subscribers)),
            changing: tokio::sync::Mutex::default(),
            traces: Traces::default(),
            events: Lanes::new(EVENTS_AT_ONCE),
            calls: Lanes::new(CALLS_AT_ONCE),
        })
    }

    /// Whether anyone is subscribed to [`spec::CALL_BEFORE`].
    pub(crate) fn watches_before(&self) -> bool {
        self.table.load().before
    }

    /// Whether anyone is subscribed to [`spec::CALL_AFTER`].
    pub(crate) fn watches_after(&self) -> bool {
        self.table.load().after
    }

    /// Whether a function takes part in calls itself.
    pub(crate) fn takes_part_in_calls(&self, function: &outrigger_contract::FunctionRef) -> bool {
        let table = self.table.load();
        let mut subscriptions = table.subscribers.iter().map(|subscriber| &subscriber.subscription);
        // A disabled subscription is not called, and gives its function no rights either.
        subscriptions.any(|subscription| {
            subscription.enabled && subscription.function == *function && spec::is_of_calls(&subscription.hook)
        })
    }

    pub(crate) fn subscribers(&self, hook: &HookName) -> Arc<[Arc<Subscriber>]> {
        self.table.load().by_hook.get(hook).cloned().unwrap_or_default()
    }
}
