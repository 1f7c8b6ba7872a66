//! How the engine fails: one type, with a code of the table, for every face to show.

use std::time::Duration;

use outrigger_compute::Panicked;
use outrigger_contract::causes::chain;
use outrigger_contract::excerpt::cut;
use outrigger_contract::near;
use outrigger_contract::types::Function;
use outrigger_contract::types::json::{Fault, Faults, Rendered};
use outrigger_contract::{Code, FunctionRef, HookName, PluginName, TypeGraph, Value};

use crate::access::{Principal, Right};
use crate::account::Account;
use crate::lifecycle::{PluginState, Refusal};
use crate::rendering;
use crate::runtime::RuntimeFault;
use crate::store::StoreError;

/// Maximum size of a failure's message or hint, in bytes. Text from plugins is truncated to less on arrival.
const LONGEST_MESSAGE: usize = 8 << 10;
/// The maximum size of an error value, in bytes of JSON.
const LARGEST_DETAIL: usize = 64 << 10;

/// A failure: what kind, what happened, what to do next.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: Code,
    /// The problem, with names and numbers.
    pub message: String,
    /// A hint that is more specific than the table's.
    pub hint: Option<String>,
    /// The error value of a function that failed, as JSON of its declared type; faults in the input, as a list.
    pub detail: Option<serde_json::Value>,
    /// For `rate_limited`: when to try again.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure with a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = cut(message.into(), LONGEST_MESSAGE);
        Self { code, message, hint: None, detail: None, retry_after: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(cut(hint.into(), LONGEST_MESSAGE));
        self
    }

    /// The hint, or the table's general advice.
    #[must_use]
    pub fn advice(&self) -> &str {
        self.hint.as_deref().unwrap_or(self.code.info().help)
    }

    pub(crate) fn refused(refusal: &Refusal) -> Self {
        Self::new(Code::Conflict, refusal.to_string())
    }

    pub(crate) fn plugin_not_found(name: &PluginName, known: &[PluginName]) -> Self {
        let failure = Self::new(Code::PluginNotFound, format!("no plugin `{name}` is installed"));
        match near::nearest(name.as_str(), known.iter().map(PluginName::as_str)) {
            Some(candidate) => failure.with_hint(format!("did you mean `{candidate}`?")),
            None => failure,
        }
    }

    pub(crate) fn hook_not_found<'a>(name: &HookName, known: impl Iterator<Item = &'a HookName>) -> Self {
        let failure = Self::new(Code::NotFound, format!("there is no hook `{name}`"));
        match near::nearest(name.as_str(), known.map(HookName::as_str)) {
            Some(candidate) => failure.with_hint(format!("did you mean `{candidate}`?")),
            None => failure.with_hint("`outrigger hook list` lists the hooks; plugins declare their own"),
        }
    }

    /// A plugin has no function of this name, or has one that cannot be called.
    #[must_use]
    pub fn function_not_found(function: &FunctionRef, graph: &TypeGraph) -> Self {
        let name = function.function.as_str();
        if let Some(refused) = graph.refused.iter().find(|refused| refused.name == name) {
            let message = format!("`{function}` cannot be called: {}", refused.reason);
            return Self::new(Code::Unsupported, message);
        }
        let known = graph.functions.iter().map(|function| function.name.as_str());
        let failure =
            Self::new(Code::FunctionNotFound, format!("the plugin `{}` has no function `{name}`", function.plugin));
        match near::nearest(name, known.clone()) {
            Some(candidate) => failure.with_hint(format!("did you mean `{}.{candidate}`?", function.plugin)),
            None => failure.with_hint(format!("it has {}", near::list(known))),
        }
    }

    pub(crate) fn not_active(name: &PluginName, state: PluginState, reason: Option<&str>) -> Self {
        let mut message = format!("the plugin `{name}` is {state} and cannot be called");
        if let Some(reason) = reason {
            message = format!("{message}: {reason}");
        }
        Self::new(Code::PluginNotActive, message).with_hint(format!("enable it with `outrigger plugin enable {name}`"))
    }

    pub(crate) fn invalid_input(function: &FunctionRef, faults: &Faults) -> Self {
        let detail = serde_json::to_value::<&[Fault]>(&faults.0).ok();
        let mut failure = Self::new(Code::InvalidInput, format!("invalid arguments for `{function}`: {faults}"));
        failure.detail = detail;
        failure.with_hint(format!("`outrigger functions {function}` shows its parameters"))
    }

    /// The holder of a key lacks a right. Says which, and what decided.
    #[must_use]
    pub fn forbidden(principal: &Principal, right: Right, name: &str) -> Self {
        let over = match name {
            "*" => String::new(),
            name => format!(" on `{name}`"),
        };
        let decision = principal.decide(right, name);
        let message = format!("key `{}` is not allowed `{right}`{over}: {decision}", principal.name);
        Self::new(Code::Forbidden, message)
    }

    pub(crate) fn rate_limited(function: &FunctionRef, retry_after: Duration) -> Self {
        let seconds = retry_after.as_secs_f64();
        let mut failure = Self::new(
            Code::RateLimited,
            format!("the rate limit of `{function}` is used up; try again in {seconds:.1} s"),
        );
        failure.retry_after = Some(retry_after);
        failure
    }

    pub(crate) fn deadline(what: &str, limit: Duration) -> Self {
        Self::new(Code::DeadlineExceeded, format!("{what} was not done within {limit:?}"))
    }

    pub(crate) fn cancelled(function: &FunctionRef) -> Self {
        Self::new(Code::Cancelled, format!("the call of `{function}` was cancelled"))
    }

    /// The runtime's fault as a failure of a call. Its error value becomes JSON of the function's declared type.
    pub(crate) fn of_call(fault: RuntimeFault, error: Option<&Value>, graph: &TypeGraph, function: &Function) -> Self {
        let detail = match (error, &function.outcome.err) {
            (Some(value), Some(Some(ty))) => detail(Rendered { graph, ty, value }),
            _ => None,
        };
        Self { detail, ..Self::new(fault.code, fault.message) }
    }
}

impl From<RuntimeFault> for Failure {
    fn from(fault: RuntimeFault) -> Self {
        Self::new(fault.code, fault.message)
    }
}

impl From<Panicked> for Failure {
    fn from(panicked: Panicked) -> Self {
        Self::internal(panicked.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(error.code(), chain(&error))
    }
}

/// An error value as JSON. If it is too large, a string is truncated, and any other value is left out.
fn detail(rendered: Rendered<'_>) -> Option<serde_json::Value> {
    if let Value::String(text) = rendered.value
        && text.len() > LARGEST_DETAIL
    {
        return Some(cut(text.clone(), LARGEST_DETAIL).into());
    }
    let text = rendering::text(rendered, &Account::default(), LARGEST_DETAIL).ok();
    text.and_then(|text| serde_json::from_str(&text).ok())
}
