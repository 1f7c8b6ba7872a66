//! Conditions: CEL expressions over the payload of a hook. They are compiled when a function subscribes; invalid ones
//! are refused with the position of the error. The only file that names the CEL library.
//!
//! CEL has no loops of its own, but `all` and `exists` over lists do take time; they must not be nested, and `map` and
//! `filter`, which build lists, are not available. The cost of an evaluation depends on the condition and on the size
//! of the payload. All conditions of a firing share one work limit, divided among the plugins (see [`super::plan`]).
//! Patterns are compiled once, with the condition; a search costs the size of the pattern times the size of the text.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, operators};
use cel::extractors::This;
use cel::parser::Parser;
use cel::{Context, Env, ExecutionError, ParseErrors};
use outrigger_contract::hook::{HookName, LONGEST_CONDITION};
use parking_lot::Mutex;
use regex::Regex;
use serde_json::Value as Json;

use super::plan::MOST_WORK;
use crate::schema::{self, SEARCH_CACHE};

/// The variables of a condition.
const VARIABLES: [&str; 3] = ["event", "hook", "caller"];

/// The results of `type(…)`.
const TYPES: [&str; 9] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"];

/// Maximum number of values in a payload, counting bytes of texts, that a condition is evaluated on.
const MOST_VALUES: usize = 10_000;
const MOST_BYTES: usize = 256 << 10;

/// How deeply brackets may be nested, and how many operators an expression may have. The parser follows an expression down
/// on the stack, and a process that runs out of that is gone; with these bounds it stays within [`STACK`].
const DEEPEST_BRACKETS: usize = 10;
const MOST_OPERATORS: usize = 100;
/// The stack of the parser's own thread; it needs more than other threads have.
const STACK: usize = 64 << 20;
/// Maximum depth of a parsed expression. The evaluation uses the stack of its caller.
const DEEPEST: usize = 40;

/// Bytes of texts that are as much as one value.
const BYTES_OF_A_VALUE: usize = 32;
/// How large a pattern may be when it is compiled, in bytes.
const LARGEST_PATTERN: usize = 64 << 10;
/// Like `LARGEST_PATTERN`, for all patterns of a condition, search buffers included.
const LARGEST_PATTERNS: usize = 512 << 10;
/// The name that replaces `matches` in a condition. The pattern is compiled in advance and referenced by its number.
const SEARCH: &str = "@search";

/// A condition that can be evaluated.
#[derive(Debug)]
pub struct Condition {
    expression: IdedExpr,
    steps: Steps,
    patterns: Arc<[Pattern]>,
    held: usize,
}

/// The pattern of a `matches`.
#[derive(Debug)]
struct Pattern {
    regex: Regex,
    /// The cost of a search per byte of the text.
    states: u64,
}

/// How many steps an evaluation takes.
#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    once: u64,
    /// For each item of a list that is gone through.
    each: u64,
}

/// Why a text is not a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid condition: {reason}")]
pub struct ConditionError {
    pub reason: String,
}

/// The input of a condition: the payload, the hook's name, and the caller that fired it.
pub struct Facts<'a> {
    hook: &'a HookName,
    caller: &'a str,
    event: &'a Json,
    /// Made for the first condition that asks.
    given: OnceCell<Result<Given, String>>,
}

/// The input in CEL's types.
struct Given {
    context: Context<'static>,
    search: Arc<Mutex<Search>>,
    /// Values, and as many more as the texts are worth.
    size: u64,
    /// Items of the longest list, or members of the largest map.
    longest: u64,
}

/// The state of an evaluation that pattern searches need.
#[derive(Default)]
struct Search {
    patterns: Arc<[Pattern]>,
    /// Remaining work units.
    left: u64,
    /// Whether the work limit was exceeded.
    exceeded: bool,
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

/// The reason for a condition that exceeds its work limit.
const EXCEEDED: &str = "this payload is too large for the conditions of this plugin: evaluating them is too expensive";

impl<'a> Facts<'a> {
    /// The facts of one firing.
    #[must_use]
    pub fn new(hook: &'a HookName, caller: &'a str, event: &'a Json) -> Self {
        Self { hook, caller, event, given: OnceCell::new() }
    }

    fn given(&self) -> Result<&Given, String> {
        self.given.get_or_init(|| Given::of(self)).as_ref().map_err(String::clone)
    }
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts").field("hook", &self.hook).field("caller", &self.caller).finish_non_exhaustive()
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
        let search = Arc::new(Mutex::new(Search::default()));
        let searching = Arc::clone(&search);
        context.add_function(SEARCH, move |This(text): This<Arc<String>>, pattern: i64| {
            searching.lock().search(&text, pattern)
        });
        let size = MOST_VALUES - room.values + (MOST_BYTES - room.bytes) / BYTES_OF_A_VALUE;
        Ok(Self { context, search, size: size as u64, longest: room.longest as u64 })
    }
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// It is too long, not CEL, refers to unknown names, or is too expensive.
    pub fn compile(text: &str) -> Result<Self, ConditionError> {
        let wrong = |reason: String| ConditionError { reason };
        if text.len() > LONGEST_CONDITION {
            let length = text.len();
            return Err(wrong(format!("it is {length} bytes long; the limit is {LONGEST_CONDITION}")));
        }
        bounded(text).map_err(wrong)?;
        let parse = || {
            let mut expression = Parser::new().parse(text).map_err(|errors| places(&errors))?;
            let bound = VARIABLES.map(str::to_owned).to_vec();
            let steps = Steps::default();
            let mut checker = Checker { bound, within: false, depth: 0, steps, patterns: Vec::new(), held: 0 };
            checker.check(&mut expression)?;
            Ok(Self { expression, steps: checker.steps, patterns: checker.patterns.into(), held: checker.held })
        };
        let parsed = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("condition".to_owned()).stack_size(STACK);
            let running =
                thread.spawn_scoped(scope, parse).map_err(|error| format!("it cannot be read now: {error}"))?;
            running.join().unwrap_or_else(|_| Err("it cannot be read".to_owned()))
        });
        parsed.map_err(wrong)
    }

    /// The size of its compiled patterns in bytes, search buffers included.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// The estimated maximum cost of evaluating it on this many bytes of JSON.
    pub(super) fn most_work(&self, bytes: usize) -> u64 {
        let (size, bytes) = ((bytes / 8) as u64, bytes as u64);
        let steps = self.steps.once + self.steps.each.saturating_mul(size.max(MOST_OPERATORS as u64));
        let searches = self.patterns.iter().map(|pattern| pattern.states.saturating_mul(bytes));
        searches.fold(steps.saturating_mul(1 + size), u64::saturating_add)
    }

    /// Whether it holds, with a work limit of its own.
    ///
    /// # Errors
    /// It cannot be evaluated, for example because a member is missing or the work limit is exceeded.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, String> {
        let mut left = MOST_WORK;
        self.holds_within(facts, &mut left)
    }

    /// The same within the remaining work, from which its cost is deducted.
    pub(super) fn holds_within(&self, facts: &Facts<'_>, left: &mut u64) -> Result<bool, String> {
        let Given { context, search, size, longest } = facts.given()?;
        // A list may also stand in the condition itself.
        let times = (*longest).max(MOST_OPERATORS as u64);
        let Steps { once, each } = self.steps;
        // A step may copy the whole payload.
        let work = (once + each * times).saturating_mul(*size);
        *left = left.checked_sub(work).ok_or(EXCEEDED)?;
        *search.lock() = Search { patterns: Arc::clone(&self.patterns), left: *left, exceeded: false };
        let outcome = context.resolve(&self.expression);
        let Search { left: rest, exceeded, .. } = std::mem::take(&mut *search.lock());
        *left = rest;
        match outcome {
            // Even if an `||` hid the error.
            _ if exceeded => Err(EXCEEDED.to_owned()),
            Ok(cel::Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("the condition gives a {:?} and not true or false", other.type_of())),
            Err(error) => Err(format!("the condition cannot be evaluated: {}", explain(&error))),
        }
    }
}

/// Looks at the bare text, before anything follows its structure. Brackets and operators inside of texts count too: that is
/// no loss to speak of.
fn bounded(text: &str) -> Result<(), String> {
    let (mut depth, mut deepest, mut operators) = (0_usize, 0, 0);
    for character in text.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '.' | '?' | '!' | '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '&' | '|' | ',' => operators += 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    match () {
        () if deepest > DEEPEST_BRACKETS => {
            Err(format!("its brackets are nested {deepest} deep; the limit is {DEEPEST_BRACKETS}"))
        }
        () if operators > MOST_OPERATORS => Err(format!("it has {operators} operators; the limit is {MOST_OPERATORS}")),
        () => Ok(()),
    }
}

/// Each error with its line and column.
fn places(errors: &ParseErrors) -> String {
    let texts = errors.errors.iter().take(3).map(|error| {
        let (line, column) = error.pos;
        match line {
            ..=0 => message(&error.msg).to_owned(),
            1 => format!("at character {column}: {}", message(&error.msg)),
            _ => format!("in line {line} at character {column}: {}", message(&error.msg)),
        }
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// Without the list of everything that could stand there.
fn message(text: &str) -> &str {
    let text = text.strip_prefix("Syntax error: ").unwrap_or(text);
    text.split_once(" expecting {").map_or(text, |(message, _)| message)
}

/// The message of an error, without the values, which can be confidential.
fn explain(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no `{key}`; test for it with `has(…)`"),
        ExecutionError::UndeclaredReference(name) => format!("there is no `{name}`"),
        ExecutionError::FunctionError { function, .. } => format!("`{function}` failed"),
        ExecutionError::UnexpectedType { got, want } => format!("expected a {want}, found a {got}"),
        ExecutionError::NoSuchOverload
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedBinaryOperator(..) => {
            "the operator does not support values of these types".to_owned()
        }
        ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "something is divided by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a number is too large".to_owned(),
        _ => "it does not match the payload".to_owned(),
    }
}

/// Looks for what cannot be, or would take long.
struct Checker {
    bound: Vec<String>,
    /// Inside an `all` or `exists`.
    within: bool,
    /// How far down it is.
    depth: usize,
    steps: Steps,
    patterns: Vec<Pattern>,
    /// The size of the patterns in bytes, search buffers included.
    held: usize,
}

impl Checker {
    fn check(&mut self, expression: &mut IdedExpr) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} deep"));
        }
        match self.within {
            true => self.steps.each += 1,
            false => self.steps.once += 1,
        }
        let outcome = self.check_one(expression);
        self.depth -= 1;
        outcome
    }

    fn check_one(&mut self, expression: &mut IdedExpr) -> Result<(), String> {
        match &mut expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) if self.bound.contains(name) || TYPES.contains(&name.as_str()) => Ok(()),
            Expr::Ident(name) => Err(format!("it speaks of `{name}`; there is {}", VARIABLES.join(", "))),
            Expr::Select(select) => self.check(&mut select.operand),
            Expr::List(list) => list.elements.iter_mut().try_for_each(|element| self.check(element)),
            Expr::Call(call) => {
                if call.func_name == "matches" {
                    self.pattern(call)?;
                }
                let target = call.target.as_deref_mut();
                target.into_iter().chain(&mut call.args).try_for_each(|argument| self.check(argument))
            }
            Expr::Map(map) => self.entries(&mut map.entries),
            Expr::Struct(structure) => self.entries(&mut structure.entries),
            Expr::Comprehension(loops) => {
                if matches!(loops.accu_init.expr, Expr::List(_)) {
                    return Err("`map` and `filter` cannot be used here; `all` and `exists` can".to_owned());
                }
                if self.within {
                    return Err("`all` and `exists` cannot stand inside each other".to_owned());
                }
                if !is_plain(&loops.iter_range) {
                    return Err("`all` and `exists` go through a list as it is, such as `event.tags`".to_owned());
                }
                self.check(&mut loops.iter_range)?;
                let inner = [Some(&loops.iter_var), loops.iter_var2.as_ref(), Some(&loops.accu_var)];
                let before = self.bound.len();
                self.bound.extend(inner.into_iter().flatten().cloned());
                self.within = true;
                let parts = [&mut loops.accu_init, &mut loops.loop_cond, &mut loops.loop_step, &mut loops.result];
                let outcome = parts.into_iter().try_for_each(|part| self.check(part));
                self.within = false;
                self.bound.truncate(before);
                outcome
            }
        }
    }

    /// Compiles the pattern of `matches`.
    fn pattern(&mut self, call: &mut CallExpr) -> Result<(), String> {
        if self.within {
            return Err("`matches` cannot stand inside `all` or `exists`".to_owned());
        }
        let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.last().map(|last| &last.expr) else {
            return Err("`matches` takes a pattern that is written out, such as `matches('^a+$')`".to_owned());
        };
        let compiled =
            regex::RegexBuilder::new(pattern.inner()).size_limit(LARGEST_PATTERN).dfa_size_limit(SEARCH_CACHE).build();
        let regex = compiled.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the regular expression in `matches` is too large".to_owned(),
            error => {
                // The last line says what is wrong, those before it show where.
                let text = error.to_string();
                let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                format!("invalid regular expression in `matches`: {why}")
            }
        })?;
        let size = schema::Pattern::of(pattern.inner(), LARGEST_PATTERN)
            .map_err(|_| "the regular expression in `matches` is too large".to_owned())?;
        self.held = self.held.saturating_add(size.held);
        if self.held > LARGEST_PATTERNS {
            return Err("the regular expressions in `matches` are too large in total".to_owned());
        }
        let number = self.patterns.len() as i64;
        self.patterns.push(Pattern { regex, states: size.states });
        SEARCH.clone_into(&mut call.func_name);
        if let Some(last) = call.args.last_mut() {
            last.expr = Expr::Literal(LiteralValue::Int(number.into()));
        }
        Ok(())
    }

    fn entries(&mut self, entries: &mut [IdedEntryExpr]) -> Result<(), String> {
        entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
            EntryExpr::StructField(field) => self.check(&mut field.value),
            EntryExpr::MapEntry(entry) => {
                self.check(&mut entry.key)?;
                self.check(&mut entry.value)
            }
        })
    }
}

/// Whether it is something that is there, and not made: what is made could be far larger than what the hook carries.
fn is_plain(range: &IdedExpr) -> bool {
    match &range.expr {
        Expr::Ident(_) | Expr::List(_) | Expr::Map(_) => true,
        Expr::Select(select) => is_plain(&select.operand),
        Expr::Call(call) => call.func_name == operators::INDEX && call.args.first().is_some_and(is_plain),
        _ => false,
    }
}

/// How much may still be looked at.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn facts(event: &Json) -> Facts<'_> {
        static HOOK: LazyLock<HookName> = LazyLock::new(|| "customer.created".parse().expect("a name"));
        Facts::new(&HOOK, "key ci", event)
    }

    fn check(text: &str, expected: Result<bool, &str>) {
        let event = json!({"country": "NO", "age": 30, "big": 1.5, "tags": ["a", "b"], "address": {"city": "Oslo"}});
        let found = Condition::compile(text).map_err(|error| error.to_string());
        let found = found.and_then(|condition| condition.holds(&facts(&event)));
        assert_eq!(found, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn conditions_hold_or_do_not() {
        check("event.country == 'NO'", Ok(true));
        check("event.country == 'SE' || event.age > 18", Ok(true));
        check("event.age + 1 == 31 && event.big < 2.0", Ok(true));
        check("'a' in event.tags && event.tags.size() == 2", Ok(true));
        check("has(event.phone)", Ok(false));
        check("event.address.city.startsWith('Os')", Ok(true));
        check("event.country.matches('^N[A-Z]$')", Ok(true));
        check("event.tags.all(tag, tag != 'c') && event.tags.exists(tag, tag == 'b')", Ok(true));
        check("[1, 2].exists(one, one + 27 == event.age) || event['tags'].exists(tag, tag in ['x', 'y'])", Ok(false));
        check("hook == 'customer.created' && caller == 'key ci'", Ok(true));
        check("caller == 'local' ? true : false", Ok(false));
        check("type(event) == map && type(event.age) == int", Ok(true));
    }

    #[test]
    fn what_cannot_be_evaluated_says_why() {
        check(
            "event.phone == '1'",
            Err("the condition cannot be evaluated: there is no `phone`; test for it with `has(…)`"),
        );
        check("event.country", Err("the condition gives a String and not true or false"));
        check("event.age / 0 == 1", Err("the condition cannot be evaluated: something is divided by zero"));
        check(
            "event.country + 1 == 2",
            Err("the condition cannot be evaluated: the operator does not support values of these types"),
        );
        let large = json!({"text": "x".repeat(MOST_BYTES + 1)});
        let condition = Condition::compile("has(event.text)").expect("a condition");
        assert!(condition.holds(&facts(&large)).expect_err("too large").contains("too large"));
    }

    #[test]
    fn what_would_take_long_is_not_begun() {
        let check = |items: usize, text: &str, expected: Result<bool, &str>| {
            let items: Vec<_> = (0..items).map(|number| json!({"id": number, "owner": "ada"})).collect();
            let event = json!({"owner": "ada", "items": items});
            let found = Condition::compile(text).expect("a condition").holds(&facts(&event));
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        };
        let too_large = Err(EXCEEDED);
        check(200, "event.items.all(item, item.owner == event.owner)", Ok(true));
        check(3_000, "event.items[2999].id == 2999 && event.items.size() == 3000", Ok(true));
        check(3_000, "event.items.all(item, item.owner == event.owner)", too_large);
        check(400, "event.items.all(item, item in event.items && item in event.items)", too_large);
    }

    #[test]
    fn s04_a_search_costs_the_size_of_its_pattern_times_that_of_the_text() {
        let event = |length: usize| json!({"text": "01".repeat(length / 2)});
        let check = |pattern: &str, length: usize, expected: Option<bool>| {
            let condition = Condition::compile(&format!("event.text.matches('{pattern}')")).expect("a condition");
            let mut left = MOST_WORK;
            let found = condition.holds_within(&facts(&event(length)), &mut left);
            assert_eq!(found, expected.ok_or(EXCEEDED.to_owned()), "{pattern}");
            assert!(left < MOST_WORK);
        };
        check("^[01]*$", 60_000, Some(true));
        check("^[01]*1[01]{900}$", 1_000, Some(true));
        check("^[01]*1[01]{900}$", 60_000, None);
        check("(0|1|01|10){100}x", 60_000, None);
        check("(?:[a-z01]{1,20}){20}x", 60_000, None);
    }

    #[test]
    fn s04_what_is_exceeded_is_so_whatever_stands_beside_it() {
        let event = json!({"text": "01".repeat(30_000)});
        for text in [
            "event.text.matches('^[01]*1[01]{900}$') || true",
            "true && (event.text.matches('^[01]*1[01]{900}$') ? true : true)",
            "!(false && event.text == '') && (event.text.matches('^[01]*1[01]{900}$') || event.text != '')",
        ] {
            let found = Condition::compile(text).expect("a condition").holds(&facts(&event));
            assert_eq!(found, Err(EXCEEDED.to_owned()), "{text}");
        }
    }

    #[test]
    fn s04_what_the_patterns_of_a_condition_hold_is_bounded() {
        let condition = |count: usize| {
            let searches: Vec<_> = (0..count).map(|number| format!("event.a.matches('x{number}')")).collect();
            Condition::compile(&searches.join(" || "))
        };
        let held = condition(5).expect("they are few").held();
        assert!((5 * SEARCH_CACHE..8 * SEARCH_CACHE).contains(&held), "{held}");
        assert!(condition(20).expect_err("they are many").reason.contains("too large in total"));
        let groups = format!("event.a.matches('{}')", "()".repeat(300));
        assert!(Condition::compile(&groups).expect_err("its groups are many").reason.contains("too large"));
    }

    #[test]
    fn s04_patterns_keep_to_their_conditions() {
        let event = json!({"text": "abc"});
        let facts = facts(&event);
        let holds = |text: &str| Condition::compile(text).expect("a condition").holds(&facts);
        assert_eq!(holds("event.text.matches('^a') && event.text.matches('c$')"), Ok(true));
        assert_eq!(holds("event.text.matches('^b') || matches(event.text, '^b')"), Ok(false));
        assert!(holds("[event.text].size().matches('^b')").is_err());
    }

    #[test]
    fn wrong_conditions_are_refused_with_their_place() {
        let refused = |text: &str| Condition::compile(text).expect_err(text).reason;
        insta::assert_snapshot!([
            "event.country = 'NO'",
            "event.country ==",
            "evnt.country == 'NO'",
            "event.tags.map(tag, tag + 'x') == []",
            "event.tags.all(a, event.tags.all(b, a == b))",
            "(event.tags + event.tags).all(a, a == 'x')",
            "event.country.matches(event.pattern)",
            "event.tags.exists(tag, tag.matches('^a'))",
            "event.country.matches('(')",
            "event.country.matches('((a{99}){99}){99}')",
            "true &&\n&& false",
        ].map(refused).join("\n"), @r"
        at character 15: token recognition error at: '= '; at character 17: extraneous input ''NO'' expecting <EOF>
        at character 17: mismatched input '<EOF>'
        it speaks of `evnt`; there is event, hook, caller
        `map` and `filter` cannot be used here; `all` and `exists` can
        `all` and `exists` cannot stand inside each other
        `all` and `exists` go through a list as it is, such as `event.tags`
        `matches` takes a pattern that is written out, such as `matches('^a+$')`
        `matches` cannot stand inside `all` or `exists`
        invalid regular expression in `matches`: unclosed group
        the regular expression in `matches` is too large
        in line 2 at character 1: extraneous input '&&'
        ");
        assert!(refused(&"1 + ".repeat(400)).contains("the limit is 1000"));
        assert!(refused(&format!("{}1{}", "(".repeat(400), ")".repeat(400))).contains("nested 400 deep"));
        assert!(refused(&"!".repeat(999)).contains("999 operators"));
    }

    #[test]
    fn s04_long_conditions_are_refused_before_they_are_read() {
        for part in ["(", "!", "1+", "a.", "[", "{", "'", "true?", "\"\\", "x", "9", "-", "event.a.all(b, "] {
            let reason = Condition::compile(&part.repeat(1_000_000)).expect_err(part).reason;
            assert!(reason.contains("; the limit is ") && reason.len() < 100, "{reason}");
        }
        // More digits than a number can hold.
        for number in ["9".repeat(500), "1e999999".to_owned(), "0x".to_owned() + &"f".repeat(400)] {
            if let Ok(condition) = Condition::compile(&format!("event.a == {number}")) {
                let _ = condition.holds(&facts(&json!({"a": 1})));
            }
        }
    }

    /// On the stack that a thread of tests has, and without optimisation.
    #[test]
    fn the_deepest_conditions_fit_on_the_stack() {
        let deep =
            |open: &str, close: &str| format!("{}1{}", open.repeat(DEEPEST_BRACKETS), close.repeat(DEEPEST_BRACKETS));
        for text in [
            "1+".repeat(MOST_OPERATORS) + "1",
            "-".repeat(MOST_OPERATORS) + "1",
            "!".repeat(MOST_OPERATORS) + "true",
            "true?1:".repeat(MOST_OPERATORS) + "1",
            "1<".repeat(MOST_OPERATORS) + "1",
            "event".to_owned() + &".a".repeat(MOST_OPERATORS),
            "true&&".repeat(MOST_OPERATORS / 2) + "true",
            "true||".repeat(MOST_OPERATORS / 2) + "true",
            deep("(", ")"),
            deep("[", "]"),
            deep("{1:", "}"),
            "(true?".repeat(DEEPEST_BRACKETS),
            "[".repeat(DEEPEST_BRACKETS),
            "1+".repeat(DEEPEST - 2) + "1 > 3",
            "true?false:".repeat(DEEPEST - 2) + "true",
            "event".to_owned() + &".a".repeat(DEEPEST - 1),
        ] {
            if let Ok(condition) = Condition::compile(&text) {
                let _ = condition.holds(&facts(&json!({"a": 1})));
            }
        }
    }

    proptest! {
        #[test]
        fn compiling_never_panics(text in "[a-z0-9.()\\[\\]{}'\"+=<>!&|? ,:-]{0,60}|\\PC{0,30}") {
            if let Ok(condition) = Condition::compile(&text) {
                let _ = condition.holds(&facts(&json!({"a": 1})));
            }
        }
    }
}
