//! Conditions: CEL expressions over the payload of a hook. They are compiled when a function subscribes; invalid ones
//! are refused with the position of the error. The only module that names the CEL library.
//!
//! CEL has no loops of its own, but `all` and `exists` over lists do take time; they must not be nested, and `map` and
//! `filter`, which build lists, are not available. The cost of an evaluation depends on the condition and on the size
//! of the payload. All conditions of a firing share one work limit, divided among the plugins (see [`super::plan`]).
//! Patterns are compiled once, with the condition; a search costs the size of the pattern times the size of the text.

mod facts;
mod read;

use std::ops::AddAssign;
use std::sync::Arc;

use cel::ExecutionError;
use cel::common::ast::IdedExpr;
use regex::Regex;

pub use facts::Facts;

use super::plan::MOST_WORK;
use facts::{Given, Search};
use read::MOST_OPERATORS;

/// The reason for a condition that exceeds its work limit.
const EXCEEDED: &str = "this payload is too large for the conditions of this plugin: evaluating them is too expensive";

/// A condition that can be evaluated.
#[derive(Debug)]
pub struct Condition {
    expression: IdedExpr,
    steps: Steps,
    patterns: Arc<[Pattern]>,
    cost: PatternCost,
}

/// What patterns take when they are compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PatternCost {
    /// Their size in bytes, search buffers included.
    pub(super) held: usize,
    /// The cost of translating them, in the units of [`crate::pattern`].
    pub(super) translation: u64,
}

impl AddAssign for PatternCost {
    fn add_assign(&mut self, more: Self) {
        self.held = self.held.saturating_add(more.held);
        self.translation = self.translation.saturating_add(more.translation);
    }
}

/// The pattern of a `matches`.
#[derive(Debug)]
struct Pattern {
    regex: Regex,
    /// The cost of a search per byte of the text.
    states: u64,
}

/// How many steps an evaluation takes. A step counts as many times as its result may be larger than the payload.
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

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// It is too long, not CEL, refers to unknown names, or is too expensive.
    pub fn compile(text: &str) -> Result<Self, ConditionError> {
        read::read(text).map_err(|reason| ConditionError { reason })
    }

    /// The cost of its patterns.
    pub(super) const fn pattern_cost(&self) -> PatternCost {
        self.cost
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
        // A step may copy the whole payload; what `+` joins is counted by `Steps`.
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

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use outrigger_contract::HookName;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::facts::MOST_BYTES;
    use super::read::{DEEPEST, DEEPEST_BRACKETS};
    use super::*;
    use crate::pattern::SEARCH_CACHE;

    fn facts(event: &Json) -> Facts<'_> {
        static HOOK: LazyLock<HookName> = LazyLock::new(|| "customer.created".parse().expect("a name"));
        Facts::new(&HOOK, "plugin relay.f", "key ci", event)
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
        check("hook == 'customer.created' && caller == 'plugin relay.f'", Ok(true));
        check("origin == 'key ci' && origin != caller", Ok(true));
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
        let held = condition(5).expect("they are few").pattern_cost().held;
        assert!((5 * SEARCH_CACHE..8 * SEARCH_CACHE).contains(&held), "{held}");
        assert!(condition(20).expect_err("they are many").reason.contains("too large in total"));
        let groups = format!("event.a.matches('{}')", "()".repeat(300));
        assert!(Condition::compile(&groups).expect_err("its groups are many").reason.contains("too large"));
    }

    #[test]
    fn s04_adding_texts_and_lists_costs_what_it_copies() {
        let event = json!({"text": "x".repeat(60_000), "list": vec!["abcdefgh"; 2_000]});
        let cost = |text: &str| {
            let mut left = u64::MAX;
            let condition = Condition::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(condition.holds_within(&facts(&event), &mut left), Ok(true), "{text}");
            u64::MAX - left
        };
        let chain = |part: &str, count: usize| format!("({})", vec![part; count].join("+"));
        for part in ["event.text", "event.list"] {
            let (one, short, long) = (chain(part, 1), chain(part, 8), chain(part, 32));
            let [one, short, long] = [one, short, long].map(|text| cost(&format!("{text}.size() > 0")));
            assert!(short > 8 * one && long > 8 * short, "{part}: {one}, {short}, {long}");
            // Wherever the chain stands.
            let short = chain(part, 8);
            for text in [
                format!("({short} + {short}).size() > 0"),
                format!("[{short}, {short}].size() == 2"),
                format!("{{1: {short}, 2: {short}}}.size() == 2"),
                format!("(true ? {short} : {short}).size() > 0"),
                format!("[1, 2].all(one, {short}.size() > one)"),
            ] {
                assert!(cost(&text) > 16 * one, "{text}");
            }
        }
        let large = json!({"text": "x".repeat(250_000)});
        let condition = Condition::compile(&format!("{}.size() > 0", chain("event.text", 36))).expect("a condition");
        assert_eq!(condition.holds(&facts(&large)), Err(EXCEEDED.to_owned()));
        assert_eq!(Condition::compile("(event.text + 'x').size() > 0").expect("one").holds(&facts(&large)), Ok(true));
    }

    #[test]
    fn s04_patterns_that_ignore_case_are_counted_before_they_are_compiled() {
        let compile = |patterns: &[&str]| {
            let started = std::time::Instant::now();
            let searches: Vec<_> = patterns.iter().map(|pattern| format!("event.a.matches(r'{pattern}')")).collect();
            let compiled = Condition::compile(&searches.join(" || "));
            assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
            compiled.map_err(|error| error.reason)
        };
        let many = format!("(?i){}", r"[\S]{0}".repeat(110));
        let nested = format!("(?i){}", r"[a[\W]]".repeat(100));
        for patterns in [&[many.as_str()][..], &[nested.as_str()], &[r"(?i:[!-\x{10FFFF}])"], &[r"(?i)[\S]", "a"]] {
            let refused = compile(patterns).expect_err("it is too expensive");
            assert!(
                refused.starts_with("compiling the regular expressions in `matches` is too expensive"),
                "{refused}"
            );
        }
        compile(&[r"(?i)^[\w.-]+@[a-z]+$", r"[\S]", r"(?i)[^<>]\S"]).expect("it is cheap");
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
        unknown variable `evnt`; available: event, hook, caller, origin
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
