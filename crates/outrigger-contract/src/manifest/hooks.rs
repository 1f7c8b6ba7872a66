//! Hooks in a manifest: declared hooks, and subscriptions of the plugin's functions.

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;

use super::configuration::{self, Property};
use super::read::{DESCRIPTION, MILLISECOND, keys};
use super::reader::{Item, Lines};
use crate::hook::{
    DEFAULT_PRIORITY, DEFAULT_TIMEOUT, HookKind, HookName, LONGEST_CONDITION, LONGEST_TIMEOUT, OnError, PRIORITIES,
};
use crate::name::FunctionName;
use crate::units::Span;

/// A hook of the plugin's own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HookDeclaration {
    pub kind: HookKind,
    /// When the hook is fired, and its payload.
    pub description: String,
    /// None for one that carries any JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadSchema>,
}

/// The payload of a hook: an object with exactly these members, each described with JSON Schema keywords.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct PayloadSchema {
    members: IndexMap<String, Property>,
}

impl PayloadSchema {
    /// A JSON Schema (2020-12) of the whole.
    #[must_use]
    pub fn to_json_schema(&self) -> Value {
        configuration::whole_schema(&self.members)
    }
}

/// A function of the plugin's own that is called when a hook is fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SubscriptionDeclaration {
    pub hook: HookName,
    pub function: FunctionName,
    /// Lower numbers are called first.
    pub priority: i32,
    /// A CEL expression; checked when the plugin subscribes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    pub on_error: OnError,
    /// How long one call may take.
    pub timeout: Span,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

pub(super) fn declarations(item: &Item<'_>) -> Option<IndexMap<HookName, HookDeclaration>> {
    let named = item.named::<HookName>()?;
    let read = named.into_iter().filter_map(|(name, item)| {
        if name.is_reserved() {
            let message = format!("hooks that begin with {} are Outrigger's own", HookName::RESERVED.join(", "));
            return item.fail(message, Some("choose another first word".to_owned()));
        }
        Some((name, declaration(&item)?))
    });
    Some(read.collect())
}

fn declaration(item: &Item<'_>) -> Option<HookDeclaration> {
    let table = item.table(keys::HOOK)?;
    let kind = table.require("kind", "kind = \"event\"").and_then(|item| item.parse());
    let description = table
        .require("description", "description = \"When the hook is fired, and its payload.\"")
        .and_then(|item| item.prose(DESCRIPTION, Lines::Many));
    let payload = table.get("payload").and_then(|item| configuration::parts(&item));
    Some(HookDeclaration {
        kind: kind?,
        description: description?,
        payload: payload.map(|members| PayloadSchema { members }),
    })
}

pub(super) fn subscription(item: &Item<'_>) -> Option<SubscriptionDeclaration> {
    let table = item.table(keys::SUBSCRIPTION)?;
    let hook = table.require("hook", "hook = \"customer.created\"").and_then(|item| item.parse());
    let function = table.require("function", "function = \"note-customer\"").and_then(|item| item.parse());
    let priority = table.get("priority").and_then(|item| item.signed(&PRIORITIES));
    let on_error = table.get("on-error").and_then(|item| item.parse());
    let timeout = table.get("timeout").and_then(|item| item.amount_in(&(MILLISECOND..=LONGEST_TIMEOUT)));
    Some(SubscriptionDeclaration {
        hook: hook?,
        function: function?,
        priority: priority.unwrap_or(DEFAULT_PRIORITY),
        condition: table.get("condition").and_then(|item| item.prose(LONGEST_CONDITION, Lines::Many)),
        on_error: on_error.unwrap_or_default(),
        timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
        description: table.get("description").and_then(|item| item.prose(DESCRIPTION, Lines::Many)),
    })
}
