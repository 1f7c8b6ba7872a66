//! A subscription: a function that is called when a hook is fired; and whether that function can take what the hook
//! carries, which is looked at when it subscribes.

use std::collections::HashMap;
use std::sync::Arc;

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
    /// In a row; counted where [`OnError::DisableAfter`] needs it.
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
}

impl Subscriber {
    /// Compiles the condition.
    #[must_use]
    pub fn new(subscription: Subscription) -> Self {
        let compile = |text: &String| Condition::compile(text).map(Arc::new).map_err(|error| error.to_string());
        Self { condition: subscription.condition.as_ref().map(compile), subscription }
    }

    /// Takes the condition from those that are already compiled, by text.
    pub(super) fn compiled(subscription: Subscription, conditions: &HashMap<String, Arc<Condition>>) -> Self {
        let condition = subscription.condition.as_ref().and_then(|text| conditions.get(text)).cloned();
        match condition {
            Some(condition) => Self { condition: Some(Ok(condition)), subscription },
            None => Self::new(subscription),
        }
    }

    /// The same subscriber after a change. Its condition is compiled again only if it changed.
    pub(super) fn with(&self, subscription: Subscription) -> Self {
        match subscription.condition == self.subscription.condition {
            true => Self { condition: self.condition.clone(), subscription },
            false => Self::new(subscription),
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
