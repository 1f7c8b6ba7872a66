//! What a hook carries, said as a JSON Schema of the [`words`] that speak of a value by itself. What is fired is held to it,
//! and so is what filters make of it; a function that subscribes must take whatever fits it, tried with [`witness`]es.

mod infer;
mod witness;
mod words;

use std::sync::OnceLock;

use jsonschema::{PatternOptions, Validator};
use outrigger_contract::{Code, HookName};
use serde_json::Value as Json;

use crate::error::Failure;

/// Bytes of a schema as JSON.
const LONGEST_SCHEMA: usize = 64 << 10;
/// Bytes of what is held to a schema, as JSON: that takes time by the product of both.
const LONGEST_VALUE: usize = 256 << 10;
/// Bytes that a pattern may take once it is compiled, which may be far more than it takes to write it.
const LARGEST_PATTERN: usize = 1 << 20;
const COMPILED: &str = "it is a JSON Schema (2020-12); a pattern may take 1 MiB once it is compiled, and says lengths better with \
                        `minLength` and `maxLength`";
/// Characters of a fault that are told.
const LONGEST_FAULT: usize = 300;

/// The schema of what a hook carries.
#[derive(Debug)]
pub struct HookSchema {
    schema: Json,
    /// Made when it is first needed: most hooks that are declared are not fired in this process.
    validator: OnceLock<Result<Validator, String>>,
    witnesses: OnceLock<Vec<Json>>,
}

impl PartialEq for HookSchema {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
    }
}

impl HookSchema {
    /// The schema of what a hook carries.
    ///
    /// # Errors
    /// It is too long; or is no schema, has words that it may not have, or no value is found that fits it.
    pub fn new(hook: &HookName, schema: Json) -> Result<Self, Failure> {
        Self::accept(hook, &schema)?;
        Ok(Self::kept(schema))
    }

    /// One that was accepted when it was kept.
    pub(super) fn kept(schema: Json) -> Self {
        Self { schema, validator: OnceLock::new(), witnesses: OnceLock::new() }
    }

    /// One that fits these values, of which there is at least one.
    pub(super) fn of_samples(samples: Vec<Json>) -> Self {
        let schema = infer::schema(&samples);
        Self { schema, validator: OnceLock::new(), witnesses: samples.into() }
    }

    /// The JSON Schema.
    #[must_use]
    pub fn json(&self) -> &Json {
        &self.schema
    }

    /// Looks whether something can be the schema of what a hook carries.
    ///
    /// # Errors
    /// It is too long, is no schema, has words that it may not have, or no value is found that fits it.
    pub(super) fn accept(hook: &HookName, schema: &Json) -> Result<(), Failure> {
        let refused = |problem: String, hint: &str| {
            let message = format!("the schema of what `{hook}` carries {problem}");
            Failure::new(Code::InvalidInput, message).with_hint(hint)
        };
        let length = schema.to_string().len();
        if length > LONGEST_SCHEMA {
            let problem = format!("has {length} bytes; at most {LONGEST_SCHEMA} are kept");
            return Err(refused(problem, "say less; what is long can be said in the documentation"));
        }
        words::check(schema).map_err(|problem| refused(problem, "say in the description what these words cannot"))?;
        compile(schema).map_err(|error| refused(format!("is not valid: {error}"), COMPILED))?;
        if witness::of(schema).is_empty() {
            let problem = "cannot be tried: no value is found that fits it".to_owned();
            return Err(refused(problem, "show some in `examples`, of the whole or of what has a `pattern`"));
        }
        Ok(())
    }

    /// Values that fit, at the ends of what fits. A type that takes them all takes what fits, as far as types can tell.
    #[must_use]
    pub fn witnesses(&self) -> &[Json] {
        self.witnesses.get_or_init(|| witness::of(&self.schema))
    }

    /// Holds a value to it.
    ///
    /// # Errors
    /// It is too long; or the first thing that does not fit, and where, in words. They do not repeat the value, which may be
    /// secret.
    pub fn check(&self, value: &Json) -> Result<(), String> {
        let length = value.to_string().len();
        if length > LONGEST_VALUE {
            return Err(format!("it has {length} bytes as JSON; a hook with a schema carries at most {LONGEST_VALUE}"));
        }
        let validator = self.validator.get_or_init(|| compile(&self.schema));
        let validator = validator.as_ref().map_err(|error| format!("the schema is not valid: {error}"))?;
        validator.validate(value).map_err(|error| {
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
}

/// Patterns are matched in linear time: schemas come from plugins, and what is fired from anyone.
fn compile(schema: &Json) -> Result<Validator, String> {
    let patterns = PatternOptions::regex().size_limit(LARGEST_PATTERN);
    let options = jsonschema::options().should_validate_formats(true).with_pattern_options(patterns);
    options.build(schema).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accepted(schema: Json) -> Result<(), String> {
        HookSchema::accept(&"shop.sold".parse().expect("a name"), &schema).map_err(|failure| failure.message)
    }

    #[test]
    fn what_cannot_be_a_schema_is_refused() {
        let check = |schema: Json, part: &str| {
            let message = accepted(schema).expect_err("it is none");
            assert!(message.contains(part), "{message}");
        };
        check(json!({"type": "text"}), "is not valid");
        check(json!({"$ref": "https://example.org/schema.json"}), "says `$ref` at ``");
        check(json!({"type": "string", "pattern": "(a+)+\\1"}), "is not valid");
        check(json!({"type": "string", "pattern": "\\p{L}{1000}"}), "is not valid");
        check(json!({"$schema": "http://json-schema.org/draft-04/schema#"}), "says `$schema`");
        check(json!({"description": "x".repeat(LONGEST_SCHEMA)}), "bytes; at most 65536 are kept");
        check(json!({"type": "integer", "minimum": 2, "maximum": 1}), "no value is found that fits it");
        check(json!({"type": "string", "pattern": "^[A-Z]{2}$"}), "no value is found that fits it");
        accepted(json!({"type": "string", "pattern": "^[A-Z]{2}$", "examples": ["NO"]})).expect("it is one");
        accepted(json!({"type": "object"})).expect("it is one");
        accepted(json!({"type": "string", "pattern": "^[^<>]{1,100}$"})).expect("it is one");
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
        let fault = closed.check(&json!("x".repeat(LONGEST_VALUE))).expect_err("it is too long");
        assert_eq!(fault, "it has 262146 bytes as JSON; a hook with a schema carries at most 262144");
    }
}
