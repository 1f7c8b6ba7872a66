//! JSON Schemas from plugins, for hook payloads and configurations. They are compiled within limits, and the cost of a
//! validation is computed before it starts, because a validator cannot be interrupted.
//!
//! Both kinds of schema have only keywords without combinations or references (`type`, `properties`, `enum`, `pattern`
//! and the like). So each part of a value is validated against exactly one part of the schema, and the cost is a sum
//! over both.

use std::collections::HashMap;

use jsonschema::{PatternOptions, Validator};
use outrigger_contract::units::ByteSize;
use serde_json::{Map, Number, Value as Json};

use crate::pattern::{Pattern, PatternError, SEARCH_CACHE};

/// The maximum size of a compiled pattern, in bytes. It can be much larger than the pattern's text.
const LARGEST_PATTERN: usize = 1 << 20;
/// Like `LARGEST_PATTERN`, for all patterns of a schema together, search buffers included (see [`Pattern::held`]).
const LARGEST_PATTERNS: usize = 4 << 20;
/// Maximum cost of validating a value against a schema. A unit is about ten nanoseconds.
pub(crate) const MOST_WORK: u64 = 5_000_000;
/// Work up to this cost is done in place, without another thread.
pub(crate) const LITTLE_WORK: u64 = 100_000;
/// The cost of compiling a part of a schema, and of each byte of a compiled pattern.
const WORK_OF_A_PART: u64 = 300;
const WORK_OF_A_BYTE: u64 = 2;
/// Compiling a schema translates each pattern twice: here, to measure it, and in the validator.
const TRANSLATIONS: u64 = 2;
/// The cost of looking up a required member, and of the fault if it is missing.
const WORK_OF_A_MEMBER: u64 = 40;
/// The cost of the remainder of a floating-point number by an integer.
const WORK_OF_A_REMAINDER: u64 = 250;
/// The cost of dividing by a fraction: with decimal digits, or with rational numbers of any size if the digits do not
/// fit into 128 bits.
const WORK_OF_A_DIVISION: u64 = 30;
const WORK_OF_A_LARGE_DIVISION: u64 = 40_000;
/// The digits fit if the quotient is at most this large.
const LARGEST_QUOTIENT: f64 = 1e15;

/// The remaining allowance for compiling and testing schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Bytes of compiled patterns, search buffers included.
    pub(crate) held: usize,
    pub(crate) work: u64,
}

impl Allowance {
    /// The allowance of one schema.
    pub(crate) const SCHEMA: Self = Self { held: LARGEST_PATTERNS, work: MOST_WORK };
    /// The allowance of all schemas of a manifest together.
    pub(crate) const MANIFEST: Self = Self { held: 2 * LARGEST_PATTERNS, work: 4 * MOST_WORK };

    fn spend(&mut self, work: u64) -> Result<(), String> {
        let left = self.work.checked_sub(work);
        self.work = left.ok_or_else(|| "compiling it is too expensive".to_owned())?;
        Ok(())
    }

    fn spend_on(&mut self, pattern: &Pattern) -> Result<(), String> {
        self.spend(pattern.bytes as u64 * WORK_OF_A_BYTE + pattern.translation * TRANSLATIONS)?;
        let left = self.held.checked_sub(pattern.held);
        self.held = left.ok_or_else(|| "its compiled patterns take too much memory".to_owned())?;
        Ok(())
    }
}

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct CompiledSchema {
    pub(crate) validator: Validator,
    root: Node,
}

/// The validation would exceed the work limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("validation is too expensive; the limit is reached at `{path}`")]
pub(crate) struct TooMuchWork {
    /// A JSON pointer into the value.
    path: String,
}

/// The cost of one part of the schema.
#[derive(Debug, Default)]
struct Node {
    /// Per value.
    once: u64,
    /// Per byte of a text.
    byte: u64,
    /// The number of `enum` values, and their size in bytes.
    choices: u64,
    choice_bytes: u64,
    unique: bool,
    /// The divisor of `multipleOf`.
    divisor: Option<f64>,
    /// Per object.
    object: u64,
    properties: HashMap<String, Node>,
    items: Option<Box<Node>>,
    others: Option<Box<Node>>,
}

impl CompiledSchema {
    /// Compiles a schema. Patterns are matched in linear time.
    ///
    /// # Errors
    /// The schema is invalid, its compiled patterns are too large, or compiling it is too expensive.
    pub(crate) fn compile(schema: &Json) -> Result<Self, String> {
        Self::compile_within(schema, &mut Allowance { held: LARGEST_PATTERNS, ..Allowance::MANIFEST })
    }

    /// Like [`Self::compile`], within an allowance from which it takes what it needs.
    ///
    /// # Errors
    /// Like [`Self::compile`], or the allowance is exceeded.
    pub(crate) fn compile_within(schema: &Json, left: &mut Allowance) -> Result<Self, String> {
        let root = Node::of(schema, left)?;
        let patterns = PatternOptions::regex().size_limit(LARGEST_PATTERN).dfa_size_limit(SEARCH_CACHE);
        let options = jsonschema::options().should_validate_formats(true).with_pattern_options(patterns);
        let validator = options.build(schema).map_err(|error| error.to_string())?;
        Ok(Self { validator, root })
    }

    /// Deducts the cost of validating a value.
    ///
    /// # Errors
    /// The cost exceeds the remaining work.
    pub(crate) fn cost(&self, value: &Json, left: u64) -> Result<u64, TooMuchWork> {
        let mut budget = Budget { left, path: Vec::new() };
        match budget.spend_on(&self.root, value) {
            Some(()) => Ok(left - budget.left),
            None => {
                let path: String = budget.path.iter().map(|part| format!("/{}", shorten(part))).collect();
                Err(TooMuchWork { path })
            }
        }
    }
}

fn shorten(part: &str) -> String {
    part.chars().take(80).collect()
}

impl Node {
    fn of(schema: &Json, left: &mut Allowance) -> Result<Self, String> {
        left.spend(WORK_OF_A_PART)?;
        let Json::Object(schema) = schema else { return Ok(Self::default()) };
        let mut node = Self { once: 4 * schema.len() as u64, ..Self::default() };
        if let Some(pattern) = schema.get("pattern").and_then(Json::as_str) {
            let pattern = read_pattern(pattern)?;
            left.spend_on(&pattern)?;
            node.byte += pattern.states;
        }
        if schema.contains_key("format") {
            node.byte += 4;
        }
        let choices = schema.get("enum").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let choices = choices.iter().chain(schema.get("const"));
        (node.choices, node.choice_bytes) = choices.fold((0, 0), |(count, size), one| (count + 1, size + bytes(one)));
        node.unique = schema.get("uniqueItems") == Some(&Json::Bool(true));
        node.divisor = schema.get("multipleOf").and_then(Json::as_f64);
        let required = schema.get("required").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        // A name is hashed to look it up.
        node.object = required.iter().map(|name| WORK_OF_A_MEMBER + bytes(name) / 8).sum();
        let inner = |word: &str, left: &mut Allowance| {
            schema.get(word).map(|inner| Self::of(inner, left).map(Box::new)).transpose()
        };
        (node.items, node.others) = (inner("items", left)?, inner("additionalProperties", left)?);
        let none = Map::new();
        for (name, property) in schema.get("properties").and_then(Json::as_object).unwrap_or(&none) {
            node.object += name.len() as u64 / 8;
            node.properties.insert(name.clone(), Self::of(property, left)?);
        }
        Ok(node)
    }
}

fn read_pattern(pattern: &str) -> Result<Pattern, String> {
    Pattern::of_schema(pattern, LARGEST_PATTERN).map_err(|error| {
        let pattern = shorten(pattern);
        match error {
            PatternError::Malformed => format!("the pattern `{pattern}` is not a regular expression"),
            PatternError::Invalid(reason) => format!("the pattern `{pattern}` cannot be used: {reason}"),
            PatternError::Long(limit) => format!("the pattern `{pattern}` is longer than {limit} characters"),
            PatternError::Flags => {
                format!(
                    "the pattern `{pattern}` contains flags such as `(?i)`; write both cases instead, such as `[Aa]`"
                )
            }
            PatternError::Expensive => {
                format!(
                    "compiling the pattern `{pattern}` is too expensive; use fewer classes such as `\\s` and `\\p{{L}}`"
                )
            }
            PatternError::Large => {
                let limit = ByteSize::bytes(LARGEST_PATTERN as u64);
                format!("the compiled pattern `{pattern}` takes more than {limit}")
            }
        }
    })
}

/// The approximate size of a value, in bytes of JSON.
fn bytes(value: &Json) -> u64 {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
        Json::String(text) => 2 + text.len() as u64,
        Json::Array(items) => 2 + items.iter().map(bytes).sum::<u64>(),
        Json::Object(members) => {
            // If the members are in another order, a comparison looks them up.
            2 + members.iter().map(|(name, value)| 24 + name.len() as u64 + bytes(value)).sum::<u64>()
        }
    }
}

/// The cost of finding out whether a number is a multiple of the divisor.
fn division(number: &Number, divisor: f64) -> u64 {
    let quotient = || number.as_f64().map_or(f64::INFINITY, f64::abs) / divisor;
    match divisor.fract() == 0.0 {
        true if number.is_f64() => WORK_OF_A_REMAINDER,
        true => 0,
        false if quotient() <= LARGEST_QUOTIENT => WORK_OF_A_DIVISION,
        false => WORK_OF_A_LARGE_DIVISION,
    }
}

/// The cost of finding two equal items. Items are hashed, and items with the same hash are compared. Up to 2,047
/// numbers above 2^53 share a hash, and any number of lists and objects do.
fn comparisons(items: &[Json], list: &Json) -> u64 {
    let count = items.len() as u64;
    match () {
        () if items.iter().all(Json::is_string) => 0,
        () if items.iter().any(|item| item.is_array() || item.is_object()) => count.saturating_mul(bytes(list)) / 8,
        () => count.saturating_mul(count.min(2_048)) / 8,
    }
}

/// The remaining work, and the place that is being validated.
struct Budget<'v> {
    left: u64,
    path: Vec<std::borrow::Cow<'v, str>>,
}

impl<'v> Budget<'v> {
    fn spend(&mut self, cost: u64) -> Option<()> {
        self.left = self.left.checked_sub(cost)?;
        Some(())
    }

    /// None if the work limit is exceeded; `path` is then the place.
    fn spend_on(&mut self, node: &Node, value: &'v Json) -> Option<()> {
        self.spend(8 + node.once)?;
        if node.choices > 0 {
            // Comparing an `enum` value stops at the first difference.
            let compared = node.choice_bytes.min(node.choices.saturating_mul(bytes(value)));
            self.spend(node.choices.saturating_add(compared / 8))?;
        }
        match value {
            Json::Null | Json::Bool(_) => Some(()),
            Json::Number(number) => self.spend(node.divisor.map_or(0, |divisor| division(number, divisor))),
            Json::String(text) => self.spend((text.len() as u64).saturating_mul(node.byte) + text.len() as u64 / 8),
            Json::Array(items) => {
                if node.unique {
                    self.spend(bytes(value) / 8 + comparisons(items, value))?;
                }
                let Some(inner) = &node.items else { return Some(()) };
                items
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, item)| self.within(index.to_string().into(), inner, item))
            }
            Json::Object(members) => {
                self.spend(node.object)?;
                members.iter().try_for_each(|(name, member)| {
                    self.spend(4 + name.len() as u64 / 8)?;
                    match node.properties.get(name).or(node.others.as_deref()) {
                        Some(inner) => self.within(name.as_str().into(), inner, member),
                        None => Some(()),
                    }
                })
            }
        }
    }

    fn within(&mut self, part: std::borrow::Cow<'v, str>, node: &Node, value: &'v Json) -> Option<()> {
        self.path.push(part);
        self.spend_on(node, value)?;
        self.path.pop();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;

    fn compiled(schema: &Json) -> CompiledSchema {
        CompiledSchema::compile(schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
    }

    /// The place at which the limit is reached; none if the validation is within the limit.
    fn too_much(schema: &Json, value: &Json) -> Option<String> {
        compiled(schema).cost(value, MOST_WORK).err().map(|TooMuchWork { path }| path)
    }

    #[test]
    fn s03_long_texts_are_not_held_to_large_patterns() {
        for pattern in ["^[01]*1[01]{9000}$", "^(0|1|01)*1(0|1){5000}$", "([a-f0-9]{1,60}){1,60}$", "(?:.*x){400}"] {
            let schema = json!({"properties": {"code": {"type": "string", "pattern": pattern}}});
            let attack = json!({"code": "01".repeat(120_000)});
            assert_eq!(too_much(&schema, &attack).as_deref(), Some("/code"), "{pattern}");
            assert_eq!(too_much(&schema, &json!({"code": "0110"})), None, "{pattern}");
        }
        // Ordinary schemas with ordinary values.
        for pattern in ["^[a-z0-9]+(-[a-z0-9]+)*$", "^/", r"^[\w.+-]+@[\w-]+\.[\w.]+$", r"^\d{4}-\d{2}-\d{2}$"] {
            let schema = json!({"pattern": pattern});
            assert_eq!(too_much(&schema, &json!("ada-okafor".repeat(1_000))), None, "{pattern}");
        }
    }

    #[test]
    fn s03_patterns_of_many_items_count_together() {
        let schema = json!({"type": "array", "items": {"pattern": "^[a-z]{1,500}$"}});
        let items = |count: usize| json!(vec!["abcdefghijklmnopqrstuvwxyz"; count]);
        assert_eq!(too_much(&schema, &items(50)), None);
        let path = too_much(&schema, &items(9_000)).expect("too much in all");
        assert!(path.starts_with('/') && path.len() > 1, "{path}");
    }

    #[test]
    fn s03_choices_times_items_are_bounded() {
        let long = "a".repeat(100);
        let choices: Vec<_> = (0..500).map(|number| format!("{long}{number}")).collect();
        let schema = json!({"items": {"enum": choices}});
        assert_eq!(too_much(&schema, &json!(vec![long.as_str(); 10])), None);
        assert!(too_much(&schema, &json!(vec![long.as_str(); 2_500])).is_some());
    }

    #[test]
    fn s03_numbers_that_share_a_hash_are_bounded() {
        let schema = json!({"uniqueItems": true});
        let numbers = |count: u64| json!((0..count).map(|number| u64::MAX - number).collect::<Vec<_>>());
        assert_eq!(too_much(&schema, &numbers(1_000)), None);
        assert!(too_much(&schema, &numbers(25_000)).is_some());
        // Any number of lists share a hash, even short ones.
        let lists = |count: u64| json!((0..count).map(|number| [u64::MAX - number % 2_000; 2]).collect::<Vec<_>>());
        assert_eq!(too_much(&schema, &lists(500)), None);
        assert!(too_much(&schema, &lists(6_000)).is_some());
        let texts = json!((0..20_000).map(|number| number.to_string()).collect::<Vec<_>>());
        assert_eq!(too_much(&schema, &texts), None);
    }

    #[test]
    fn s03_divisions_with_large_quotients_cost_more() {
        let check = |divisor: f64, number: Json, count: usize, is_within: bool| {
            let schema = json!({"type": "array", "items": {"type": "number", "multipleOf": divisor}});
            let numbers = Json::Array(vec![number; count]);
            assert_eq!(too_much(&schema, &numbers).is_none(), is_within, "{divisor}: {}", numbers[0]);
            if is_within {
                let (schema, started) = (compiled(&schema), Instant::now());
                let _ = schema.validator.iter_errors(&numbers).count();
                assert!(started.elapsed() < Duration::from_secs(10), "{divisor}: {:?}", started.elapsed());
            }
        };
        check(0.1, json!(1e300), 43_000, false);
        check(0.01, json!(-1.7e308), 43_000, false);
        check(1e-300, json!(1.5), 50_000, false);
        check(1.5e-9, json!(u64::MAX), 12_000, false);
        check(7.0, json!(1.7e308), 30_000, false);
        check(0.1, json!(1e300), 100, true);
        // Ordinary numbers.
        check(0.01, json!(1_234_567.89), 25_000, true);
        check(0.000_001, json!(12.5), 25_000, true);
        check(5.0, json!(1_000_000), 100_000, true);
        check(5.0, json!(1e300), 10_000, true);
    }

    #[test]
    fn s03_long_lists_of_required_members_are_bounded() {
        let names = |length: usize| (0..200).map(|name| format!("{name:0>length$}")).collect::<Vec<_>>();
        let objects = |count: usize| json!(vec![json!({"a": 1, "b": 2}); count]);
        let required = json!({"items": {"required": names(10)}});
        assert_eq!(too_much(&required, &objects(200)), None);
        assert!(too_much(&required, &objects(10_000)).is_some());
        let long = json!({"items": {"required": names(300)}});
        assert!(too_much(&long, &objects(2_000)).is_some());
        let properties: Map<_, _> = names(300).into_iter().map(|name| (name, json!({"type": "null"}))).collect();
        assert!(too_much(&json!({"items": {"properties": properties}}), &objects(2_000)).is_some());
        // Ordinary objects.
        let record =
            json!({"items": {"required": ["a", "b"], "properties": {"a": {"minimum": 0}, "b": {"minimum": 0}}}});
        assert_eq!(too_much(&record, &objects(15_000)), None);
    }

    #[test]
    fn s03_objects_with_members_in_another_order_are_bounded() {
        let object = |number: u64, order: [&str; 3]| {
            Json::Object(
                order.map(|name| (name.to_owned(), json!(if name == "c" { number } else { 1 }))).into_iter().collect(),
            )
        };
        let orders = [["a", "b", "c"], ["b", "a", "c"]];
        let objects = |count: u64| {
            json!((0..count).map(|number| object(number, orders[usize::from(number % 2 == 0)])).collect::<Vec<_>>())
        };
        let schema = json!({"uniqueItems": true});
        assert_eq!(too_much(&schema, &objects(300)), None);
        assert!(too_much(&schema, &objects(2_000)).is_some());
    }

    #[test]
    fn s03_what_searches_hold_for_groups_is_bounded() {
        // A search has a place for each group in each state: 13 MB here.
        let refused = CompiledSchema::compile(&json!({"pattern": "()".repeat(450)})).expect_err("it is refused");
        assert!(refused.contains("take too much memory"), "{refused}");
        assert!(CompiledSchema::compile(&json!({"pattern": "^([a-z]+)(-([a-z0-9]+))*@(example)$"})).is_ok());
    }

    #[test]
    fn s03_what_searches_remember_is_bounded() {
        // Each text reaches other states of the pattern.
        let schema = compiled(&json!({"pattern": "^[ab]*a[ab]{200}$"}));
        let before = resident();
        std::thread::scope(|scope| {
            for thread in 0_u64..16 {
                let validator = &schema.validator;
                scope.spawn(move || {
                    let mut state = thread + 1;
                    let text: String = std::iter::repeat_with(|| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        if state >> 63 == 0 { 'a' } else { 'b' }
                    })
                    .take(20_000)
                    .collect();
                    std::hint::black_box(validator.is_valid(&json!(text)));
                });
            }
        });
        let grown = resident().saturating_sub(before);
        assert!(grown < 8 << 20, "{grown} bytes");
    }

    /// Bytes of this process that are in memory.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
        let pages: u64 = status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
        pages * 4096
    }

    #[test]
    fn s03_formats_and_many_members_are_within_the_bound_and_quick() {
        // Accepted validations are fast, even without optimization.
        let members = |value: Json| Json::Object((0..9_000).map(|name| (name.to_string(), value.clone())).collect());
        for (schema, value) in [
            (json!({"additionalProperties": {"format": "email"}}), members(json!("a.a.a.a.a.a.a@example.org"))),
            (json!({"format": "hostname"}), json!("a.".repeat(120_000))),
            (json!({"format": "uri"}), json!(format!("https://example.org/{}", "%20".repeat(80_000)))),
            (json!({"additionalProperties": {"multipleOf": 1e-300}}), members(json!(1.7e308))),
            (json!({"pattern": "^[01]*1[01]{9000}$"}), json!("1".repeat(250))),
        ] {
            let schema = compiled(&schema);
            if schema.cost(&value, MOST_WORK).is_ok() {
                let started = Instant::now();
                let _ = schema.validator.is_valid(&value);
                assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
            }
        }
    }

    #[test]
    fn s03_patterns_are_linear_and_bounded_when_compiled() {
        let refused = |schema: Json| CompiledSchema::compile(&schema).expect_err("it is refused");
        assert!(refused(json!({"pattern": "(a+)+\\1"})).contains("backreferences are not supported"));
        assert!(refused(json!({"pattern": "^(?=a)"})).contains("look-ahead"));
        assert!(refused(json!({"pattern": "((a{99}){99}){99}"})).contains("the compiled pattern"));
        assert!(refused(json!({"pattern": "a|".repeat(600)})).contains("longer than 1000 characters"));
        assert!(refused(json!({"pattern": "(?i)[!-\u{10FFFF}]{0}"})).contains("contains flags such as `(?i)`"));
        assert!(refused(json!({"pattern": "\\s{0}".repeat(200)})).contains("is too expensive"));
        let many: Map<_, _> =
            (0..19).map(|name| (name.to_string(), json!({"pattern": format!("^{name}[01]{{9000}}$")}))).collect();
        assert!(refused(json!({"properties": many})).contains("its compiled patterns take too much"));
    }
}
