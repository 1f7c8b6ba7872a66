//! The input of conditions, in CEL's types, and the searches of an evaluation.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::extractors::This;
use cel::{Context, Env, ExecutionError};
use outrigger_contract::HookName;
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::{EXCEEDED, Pattern};

/// Maximum number of values in a payload, counting bytes of texts, that a condition is evaluated on.
const MOST_VALUES: usize = 10_000;
pub(super) const MOST_BYTES: usize = 256 << 10;
/// Bytes of texts that are as much as one value.
const BYTES_OF_A_VALUE: usize = 32;
/// The name that replaces `matches` in a condition. The pattern is compiled in advance and referenced by its number.
pub(super) const SEARCH: &str = "@search";

/// The input of a condition: the payload, the hook's name, the caller that fired it, and the origin of its call chain.
pub struct Facts<'a> {
    hook: &'a HookName,
    caller: &'a str,
    origin: &'a str,
    event: &'a Json,
    /// Made for the first condition that asks.
    given: OnceCell<Result<Given, String>>,
}

/// The input in CEL's types.
pub(super) struct Given {
    pub(super) context: Context<'static>,
    pub(super) search: Arc<Mutex<Search>>,
    /// Values, and as many more as the texts are worth.
    pub(super) size: u64,
    /// Items of the longest list, or members of the largest map.
    pub(super) longest: u64,
}

/// The state of an evaluation that pattern searches need.
#[derive(Default)]
pub(super) struct Search {
    pub(super) patterns: Arc<[Pattern]>,
    /// Remaining work units.
    pub(super) left: u64,
    /// Whether the work limit was exceeded.
    pub(super) exceeded: bool,
}

impl Search {
    fn search(&mut self, text: &str, pattern: i64) -> Result<bool, ExecutionError> {
        let found = usize::try_from(pattern).ok().and_then(|pattern| self.patterns.get(pattern));
        let Pattern { regex, states } = found.ok_or(ExecutionError::NoSuchOverload)?;
        let work = states.saturating_mul(1 + text.len() as u64);
        match self.left.checked_sub(work) {
            Some(left) => {
                self.left = left;
                Ok(regex.is_match(text))
            }
            None => {
                self.exceeded = true;
                Err(ExecutionError::function_error("matches", EXCEEDED))
            }
        }
    }
}

impl<'a> Facts<'a> {
    /// The facts of one firing.
    #[must_use]
    pub fn new(hook: &'a HookName, caller: &'a str, origin: &'a str, event: &'a Json) -> Self {
        Self { hook, caller, origin, event, given: OnceCell::new() }
    }

    pub(super) fn given(&self) -> Result<&Given, String> {
        self.given.get_or_init(|| Given::of(self)).as_ref().map_err(String::clone)
    }
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { hook, caller, origin, .. } = self;
        let mut text = f.debug_struct("Facts");
        text.field("hook", hook).field("caller", caller).field("origin", origin).finish_non_exhaustive()
    }
}

impl Given {
    fn of(facts: &Facts<'_>) -> Result<Self, String> {
        static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
        let mut room = Room { values: MOST_VALUES, bytes: MOST_BYTES, longest: 0 };
        let event = room.value(facts.event);
        let event = event.ok_or_else(|| "the payload is too large to evaluate a condition on".to_owned())?;
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        context.add_variable_from_value("event", event);
        context.add_variable_from_value("hook", facts.hook.as_str());
        context.add_variable_from_value("caller", facts.caller);
        context.add_variable_from_value("origin", facts.origin);
        let search = Arc::new(Mutex::new(Search::default()));
        let searching = Arc::clone(&search);
        context.add_function(SEARCH, move |This(text): This<Arc<String>>, pattern: i64| {
            searching.lock().search(&text, pattern)
        });
        let size = MOST_VALUES - room.values + (MOST_BYTES - room.bytes) / BYTES_OF_A_VALUE;
        Ok(Self { context, search, size: size as u64, longest: room.longest as u64 })
    }
}

/// The number of values and bytes that can still be read.
struct Room {
    values: usize,
    bytes: usize,
    /// Items of the longest list so far.
    longest: usize,
}

impl Room {
    fn text(&mut self, text: &str) -> Option<String> {
        self.bytes = self.bytes.checked_sub(text.len())?;
        Some(text.to_owned())
    }

    /// JSON as a value of CEL. Whole numbers are `int` where they fit, as they are when written in an expression.
    fn value(&mut self, json: &Json) -> Option<cel::Value> {
        self.values = self.values.checked_sub(1)?;
        Some(match json {
            Json::Null => cel::Value::Null,
            Json::Bool(value) => cel::Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => cel::Value::Int(number),
                (None, Some(number)) => cel::Value::UInt(number),
                (None, None) => cel::Value::Float(number.as_f64()?),
            },
            Json::String(text) => self.text(text)?.into(),
            Json::Array(items) => {
                self.longest = self.longest.max(items.len());
                let items: Option<Vec<_>> = items.iter().map(|item| self.value(item)).collect();
                cel::Value::List(Arc::new(items?))
            }
            Json::Object(members) => {
                self.longest = self.longest.max(members.len());
                let mut map = HashMap::with_capacity(members.len());
                for (name, member) in members {
                    map.insert(self.text(name)?, self.value(member)?);
                }
                map.into()
            }
        })
    }
}
