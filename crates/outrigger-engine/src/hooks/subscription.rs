//! A subscription: a function that is called when a hook is fired; and whether that function can take what the hook
//! carries, which is looked at when it subscribes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use outrigger_contract::types::{Function, json};
use outrigger_contract::units::Span;
use outrigger_contract::{FunctionRef, HookKind, HookName, OnError, Type, TypeGraph};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use time::OffsetDateTime;

use super::condition::Condition;
use super::spec::HookSpec;

/// A function that is called when a hook is fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// A ULID. Among subscriptions of equal priority, the older one comes first.
    pub id: String,
    pub hook: HookName,
    pub kind: HookKind,
    pub function: FunctionRef,
    /// Lower numbers are called first.
    pub priority: i32,
    /// A CEL expression; where it is false, the function is not called.
    pub condition: Option<String>,
    pub on_error: OnError,
    /// How long one call may take.
    pub timeout: Span,
    pub description: Option<String>,
    pub enabled: bool,
    /// Why it was disabled, where that was not done by a person.
    pub reason: Option<String>,
    pub source: Source,
    /// The caller that subscribed, as text for people.
    pub created_by: String,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// In a row; counted where [`OnError::DisableAfter`] needs it. The count is in memory, and stored only with other
    /// changes: a write for each failure would let a subscriber that fails hold up the writes of others.
    pub failures: u32,
}

/// Where a subscription comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The manifest of the function's plugin. It comes and goes with it.
    Manifest,
    Api,
}

/// A subscription with its condition compiled.
#[derive(Debug)]
pub struct Subscriber {
    pub subscription: Subscription,
    /// One that was stored by a version with other ideas of conditions may not compile; it then fails at each firing.
    pub(super) condition: Option<Result<Arc<Condition>, String>>,
    /// The present count of [`Subscription::failures`].
    failures: AtomicU32,
}

impl Subscriber {
    /// Compiles the condition.
    #[must_use]
    pub fn new(subscription: Subscription) -> Self {
        let compile = |text: &String| Condition::compile(text).map(Arc::new).map_err(|error| error.to_string());
        let condition = subscription.condition.as_ref().map(compile);
        Self::of(subscription, condition)
    }

    /// Takes the condition from those that are already compiled, by text.
    pub(super) fn compiled(subscription: Subscription, conditions: &HashMap<String, Arc<Condition>>) -> Self {
        let condition = subscription.condition.as_ref().and_then(|text| conditions.get(text)).cloned();
        match condition {
            Some(condition) => Self::of(subscription, Some(Ok(condition))),
            None => Self::new(subscription),
        }
    }

    /// The same subscriber after a change. Its condition is compiled again only if it changed.
    pub(super) fn with(&self, subscription: Subscription) -> Self {
        match subscription.condition == self.subscription.condition {
            true => Self::of(subscription, self.condition.clone()),
            false => Self::new(subscription),
        }
    }

    pub(super) fn of(subscription: Subscription, condition: Option<Result<Arc<Condition>, String>>) -> Self {
        Self { failures: AtomicU32::new(subscription.failures), subscription, condition }
    }

    /// The subscription with its present count of failures.
    pub(super) fn present(&self) -> Subscription {
        Subscription { failures: self.failures.load(Ordering::Relaxed), ..self.subscription.clone() }
    }

    /// Counts a failure. Returns how many there are in a row.
    pub(super) fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// A success resets the count.
    pub(super) fn succeeded(&self) {
        // Checked first, because failures are rare.
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Its place among the others.
    pub(super) fn place(&self) -> (i32, &str) {
        (self.subscription.priority, &self.subscription.id)
    }
}

/// Checks that a function can be subscribed to a hook.
///
/// # Errors
/// The reason why it cannot.
pub fn accept(spec: &HookSpec, graph: &TypeGraph, function: &Function) -> Result<(), String> {
    let signature = graph.signature(function);
    let [parameter] = &function.params[..] else {
        let count = function.params.len();
        return Err(format!("a subscriber needs exactly one parameter, for the payload; `{signature}` has {count}"));
    };
    let taken = graph.resolve(&parameter.ty);
    if *taken != Type::String {
        for witness in spec.schema.iter().flat_map(|schema| schema.witnesses()) {
            if let Err(faults) = json::parse(graph, &parameter.ty, witness.clone()) {
                let (carried, param) = (shown(witness), &parameter.name);
                return Err(format!(
                    "it can carry {carried}, which `{param}` of `{signature}` does not take: {faults}; a `string` takes it, as \
                     JSON text"
                ));
            }
        }
    }
    if spec.kind != HookKind::Filter {
        return Ok(());
    }
    let given = function.outcome.ok.as_ref().map(|ty| graph.resolve(ty));
    let same = given == Some(taken);
    let perhaps = match given {
        // An option of an option would be neither.
        Some(Type::Option(inner)) => !matches!(taken, Type::Option(_)) && graph.resolve(inner) == taken,
        _ => false,
    };
    match same || perhaps {
        true => Ok(()),
        false => {
            Err(format!("a filter answers with the type it takes, or with an option of it; `{signature}` does not"))
        }
    }
}

/// The beginning of a value, which says what is meant.
fn shown(value: &Json) -> String {
    const LONGEST: usize = 200;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s06_failures_are_counted_without_a_write_for_each() {
        let subscription: Subscription = serde_json::from_value(serde_json::json!({
            "id": "one", "hook": "shop.sold", "kind": "action", "function": "demo.echo", "priority": 0,
            "on_error": "disable-after(3)", "timeout": "2s", "enabled": true, "source": "api", "created_by": "local",
            "created_at": "2026-01-01T00:00:00Z", "failures": 0,
        }))
        .expect("a subscription");
        let subscriber = Subscriber::new(subscription.clone());
        assert_eq!((subscriber.failed(), subscriber.failed()), (1, 2));
        assert_eq!(subscriber.present(), Subscription { failures: 2, ..subscription.clone() });
        subscriber.succeeded();
        assert_eq!(subscriber.present(), subscription);
        assert_eq!(subscriber.failed(), 1);
    }
}
