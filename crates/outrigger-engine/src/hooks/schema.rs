//! The payload of a hook, described by a JSON Schema with the keywords in [`words`]. Payloads and results of filters
//! are validated against it; a subscribing function must accept every valid payload, which is tested with
//! [`witness`]es.

mod infer;
mod witness;
mod words;

use std::io;
use std::sync::{Arc, OnceLock};

use outrigger_compute::blocking;
use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, HookName};
use serde_json::Value as Json;

use super::{LONGEST_CARRIED, Payload};
use crate::error::Failure;
use crate::schema::{Allowance, CompiledSchema, LITTLE_WORK, MOST_WORK};

/// Bytes of a schema as JSON.
const LONGEST_SCHEMA: usize = 64 << 10;
const COMPILED: &str = "it is a JSON Schema (2020-12); a pattern may take 1 MiB once it is compiled, and says lengths better with \
                        `minLength` and `maxLength`";
/// Characters of a fault that are told.
const LONGEST_FAULT: usize = 300;

/// The schema of a hook's payload.
#[derive(Debug)]
pub struct HookSchema {
    schema: Json,
    /// Made when it is first needed: most hooks that are declared are not fired in this process.
    compiled: OnceLock<Result<CompiledSchema, String>>,
    witnesses: OnceLock<Vec<Json>>,
}

impl PartialEq for HookSchema {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
    }
}

impl HookSchema {
    /// The schema of a hook's payload.
    ///
    /// # Errors
    /// The schema is too long or invalid, uses a keyword that is not allowed, or no valid example is found for it.
    pub fn new(hook: &HookName, schema: Json) -> Result<Self, Failure> {
        Self::accept(hook, &schema, &mut { Allowance::SCHEMA })?;
        Ok(Self::kept(schema))
    }

    /// One that was accepted when it was kept.
    pub(super) fn kept(schema: Json) -> Self {
        Self { schema, compiled: OnceLock::new(), witnesses: OnceLock::new() }
    }

    /// One that fits these values, of which there is at least one.
    pub(super) fn of_samples(samples: Vec<Json>) -> Self {
        let schema = infer::schema(&samples);
        Self { schema, compiled: OnceLock::new(), witnesses: samples.into() }
    }

    /// The JSON Schema.
    #[must_use]
    pub fn json(&self) -> &Json {
        &self.schema
    }

    /// Checks that a value is a valid payload schema, within the remaining allowance.
    ///
    /// # Errors
    /// It is too long, is not a valid schema, has unsupported keywords, or no valid example is found.
    pub(super) fn accept(hook: &HookName, schema: &Json, left: &mut Allowance) -> Result<(), Failure> {
        let refused = |problem: String, hint: &str| {
            let message = format!("the payload schema of `{hook}` {problem}");
            Failure::new(Code::InvalidInput, message).with_hint(hint)
        };
        let length = schema.to_string().len();
        if length > LONGEST_SCHEMA {
            let (size, limit) = (ByteSize::bytes(length as u64).rounded(), ByteSize::bytes(LONGEST_SCHEMA as u64));
            let problem = format!("is {size} long; the limit is {limit}");
            return Err(refused(problem, "shorten it; long explanations belong in the documentation"));
        }
        words::check(schema).map_err(|problem| refused(problem, "describe other requirements in the description"))?;
        let most =
            Allowance { held: left.held.min(Allowance::SCHEMA.held), work: left.work.min(Allowance::SCHEMA.work) };
        let mut rest = most;
        CompiledSchema::compile_within(schema, &mut rest)
            .map_err(|error| refused(format!("is not valid: {error}"), COMPILED))?;
        let witnesses = witness::within(schema, &mut rest.work);
        (left.held, left.work) = (left.held - (most.held - rest.held), left.work - (most.work - rest.work));
        if witnesses.is_empty() {
            let problem = "cannot be tested: no valid example was found".to_owned();
            return Err(refused(
                problem,
                "add valid values to `examples`, for the whole schema or for the parts with a `pattern`",
            ));
        }
        Ok(())
    }

    /// Values that fit, at the ends of what fits. A type that takes them all takes what fits, as far as types can tell.
    #[must_use]
    pub fn witnesses(&self) -> &[Json] {
        self.witnesses.get_or_init(|| witness::of(&self.schema))
    }

    /// Validates a value, within a work limit.
    ///
    /// # Errors
    /// The value is too long, its validation is too expensive, or it is invalid; the message names the first fault and
    /// its place. It does not repeat the value, which may be secret.
    pub fn check(&self, value: &Json) -> Result<(), String> {
        let length = json_length(value);
        if length > LONGEST_CARRIED {
            let (size, limit) = (ByteSize::bytes(length as u64).rounded(), ByteSize::bytes(LONGEST_CARRIED as u64));
            return Err(format!("it is {size} of JSON; the limit is {limit}"));
        }
        let compiled = self.compiled.get_or_init(|| CompiledSchema::compile(&self.schema));
        let compiled = compiled.as_ref().map_err(|error| format!("the schema is not valid: {error}"))?;
        compiled.cost(value, MOST_WORK).map_err(|error| error.to_string())?;
        compiled.validator.validate(value).map_err(|error| {
            let mut fault = match error.instance_path().as_str() {
                "" => error.masked().to_string(),
                path => format!("{path}: {}", error.masked()),
            };
            if let Some((end, _)) = fault.char_indices().nth(LONGEST_FAULT) {
                fault.replace_range(end.., "…");
            }
            fault
        })
    }

    /// Like [`Self::check`], for async callers: cheap checks run at once, others outside the async workers, in the turn
    /// of the owner of the value.
    ///
    /// # Errors
    /// Like [`Self::check`].
    pub(super) async fn check_aside(self: &Arc<Self>, owner: &str, value: &Payload) -> Result<(), String> {
        let is_little = |compiled: &Result<CompiledSchema, String>| match compiled {
            Ok(compiled) => compiled.cost(value, LITTLE_WORK).is_ok(),
            Err(_) => true,
        };
        // Compiling is work, too.
        if self.compiled.get().is_some_and(is_little) || value.length() > LONGEST_CARRIED {
            return self.check(value);
        }
        let (schema, value) = (Arc::clone(self), value.clone());
        blocking(owner, move || schema.check(&value)).await.unwrap_or_else(|panicked| Err(panicked.to_string()))
    }
}

/// The size of a value, in bytes of JSON.
pub(super) fn json_length(value: &Json) -> usize {
    json_length_within(value, usize::MAX).unwrap_or(usize::MAX)
}

/// The size of a value in bytes of JSON, or `None` if it is larger than `most`. Stops counting there.
pub(super) fn json_length_within(value: &Json, most: usize) -> Option<usize> {
    struct Length {
        bytes: usize,
        most: usize,
    }
    impl io::Write for Length {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.bytes += bytes.len();
            if self.bytes <= self.most { Ok(bytes.len()) } else { Err(io::ErrorKind::FileTooLarge.into()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut length = Length { bytes: 0, most };
    serde_json::to_writer(&mut length, value).ok().map(|()| length.bytes)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;

    fn accepted(schema: Json) -> Result<(), String> {
        let mut left = Allowance::SCHEMA;
        HookSchema::accept(&"shop.sold".parse().expect("a name"), &schema, &mut left).map_err(|failure| failure.message)
    }

    #[test]
    fn what_cannot_be_a_schema_is_refused() {
        let check = |schema: Json, part: &str| {
            let message = accepted(schema).expect_err("it is none");
            assert!(message.contains(part), "{message}");
        };
        check(json!({"type": "text"}), "is not valid");
        check(json!({"$ref": "https://example.org/schema.json"}), "uses the keyword `$ref` at ``");
        check(json!({"type": "string", "pattern": "(a+)+\\1"}), "is not valid");
        check(json!({"type": "string", "pattern": "\\p{L}{1000}"}), "is not valid");
        check(json!({"$schema": "http://json-schema.org/draft-04/schema#"}), "uses the keyword `$schema`");
        check(json!({"description": "x".repeat(LONGEST_SCHEMA)}), "is 64.1KiB long; the limit is 64KiB");
        check(json!({"type": "integer", "minimum": 2, "maximum": 1}), "no valid example was found");
        check(json!({"type": "string", "pattern": "^[A-Z]{2}$"}), "no valid example was found");
        accepted(json!({"type": "string", "pattern": "^[A-Z]{2}$", "examples": ["NO"]})).expect("it is one");
        accepted(json!({"type": "object"})).expect("it is one");
        accepted(json!({"type": "string", "pattern": "^[^<>]{1,100}$"})).expect("it is one");
    }

    #[tokio::test]
    async fn s03_an_attack_is_refused_while_other_tasks_go_on() {
        let schema = Arc::new(HookSchema::kept(json!({"properties": {"code": {"pattern": "^[01]*1[01]{9000}$"}}})));
        let ticks = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = Arc::clone(&ticks);
        let ticking = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let attack = json!({"code": "01".repeat(120_000)}).into();
        for _ in 0..5 {
            let (before, begun) = (ticks.load(std::sync::atomic::Ordering::Relaxed), Instant::now());
            let fault = schema.check_aside("shop", &attack).await.expect_err("it is too much work");
            assert_eq!(fault, "validation is too expensive; the limit is reached at `/code`");
            // It runs outside the async workers, unless it is short.
            let goes_on = ticks.load(std::sync::atomic::Ordering::Relaxed) > before;
            assert!(goes_on || begun.elapsed() < Duration::from_millis(20), "{:?}", begun.elapsed());
        }
        ticking.abort();
        // Values within the limit are validated.
        let fault = schema.check_aside("shop", &json!({"code": "0110"}).into()).await.expect_err("it does not fit");
        assert!(fault.starts_with("/code: "), "{fault}");
    }

    #[test]
    fn s03_examples_are_tried_within_the_limit() {
        // Each example is short, and is matched against a pattern of 9,000 states.
        let examples: Vec<_> = (0..2_000).map(|number| format!("{number:0>20}")).collect();
        let schema = json!({"type": "string", "pattern": "^[01]*1[01]{9000}$", "examples": examples});
        assert!(accepted(schema).expect_err("none fits").contains("no valid example was found"));
    }

    #[test]
    fn s03_patterns_far_down_are_compiled_for_each_level_within_the_limit() {
        let nested = |pattern: &str, depth| {
            let pattern = json!({"type": "string", "pattern": pattern, "examples": ["0", "1".repeat(3_000)]});
            (1..depth).fold(pattern, |inner, _| json!({"type": "array", "items": inner, "maxItems": 9}))
        };
        accepted(nested("^[0-9]{1,20}$", 15)).expect("it is little");
        let refused = accepted(nested("^[01]*1[01]{9000}|[0-9]$", 15)).expect_err("it is much");
        assert!(refused.contains("no valid example was found"), "{refused}");
        // Parts without a pattern cost work, too.
        let wide: serde_json::Map<_, _> = (0..480).map(|name| (name.to_string(), json!({"type": "null"}))).collect();
        let wide = json!({"type": "object", "properties": wide});
        accepted(wide.clone()).expect("it is little");
        let mut left = Allowance::MANIFEST;
        let deep = (1..12).fold(wide, |inner, _| json!({"type": "array", "items": inner}));
        let name = "shop.sold".parse().expect("a name");
        let hooks = (0..64).take_while(|_| HookSchema::accept(&name, &deep, &mut left).is_ok()).count();
        assert!((1..32).contains(&hooks), "{hooks}");
    }

    #[test]
    fn s03_all_schemas_of_a_manifest_share_what_patterns_may_take() {
        let mut left = Allowance::MANIFEST;
        let name = "shop.sold".parse().expect("a name");
        let schema = json!({"type": "string", "pattern": "^[01]{4000}|[0-9]$", "examples": ["0"]});
        let hooks = (0..64).take_while(|_| HookSchema::accept(&name, &schema, &mut left).is_ok()).count();
        assert!((8..32).contains(&hooks), "{hooks}");
    }

    #[test]
    fn a_fault_is_named_with_its_place_and_without_the_value() {
        let schema = HookSchema::kept(json!({"properties": {"cents": {"minimum": 0}, "at": {"format": "date"}}}));
        assert_eq!(schema.check(&json!({"cents": 0, "at": "2026-11-21"})), Ok(()));
        let check = |value: Json, expected: &str| assert_eq!(schema.check(&value), Err(expected.to_owned()));
        check(json!({"cents": -1}), "/cents: value is less than the minimum of 0");
        check(json!({"at": "secret"}), "/at: value is not a \"date\"");
        let closed = HookSchema::kept(json!({"type": "object", "additionalProperties": false}));
        let fault = closed.check(&json!({"x".repeat(100_000): 1})).expect_err("there is no such member");
        assert!(fault.len() <= LONGEST_FAULT + 4, "{fault}");
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_checked() {
        let schema = Arc::new(HookSchema::kept(json!({"type": "object"})));
        let fault =
            schema.check_aside("shop", &json!("x".repeat(LONGEST_CARRIED)).into()).await.expect_err("it is too long");
        assert_eq!(fault, "it is 256.1KiB of JSON; the limit is 256KiB");
    }
}
