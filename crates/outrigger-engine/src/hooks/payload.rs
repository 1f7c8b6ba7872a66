//! What a hook carries, said as a JSON Schema. What is fired is held to it, and so is what filters make of it; a function
//! that subscribes must take whatever fits it, which is tried with [`witness`]es.

mod infer;
mod witness;

use std::sync::OnceLock;

use jsonschema::{PatternOptions, Validator};
use outrigger_contract::{Code, HookName};
use serde_json::Value as Json;

use crate::error::Failure;

/// Bytes of a schema as JSON.
const LONGEST_SCHEMA: usize = 64 << 10;
/// Faults that are named.
const MOST_FAULTS: usize = 5;

/// The schema of what a hook carries.
#[derive(Debug)]
pub struct Payload {
    schema: Json,
    /// Made when it is first needed: most hooks that are declared are not fired in this process.
    validator: OnceLock<Result<Validator, String>>,
    witnesses: OnceLock<Vec<Json>>,
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
    }
}

impl Payload {
    /// One that was checked when it was kept.
    pub(super) fn kept(schema: Json) -> Self {
        Self { schema, validator: OnceLock::new(), witnesses: OnceLock::new() }
    }

    /// One that fits these values, the fullest first and the least last; there is at least one.
    pub(super) fn of_samples(samples: Vec<Json>) -> Self {
        let schema = infer::schema(&samples);
        Self { schema, validator: OnceLock::new(), witnesses: samples.into() }
    }

    /// The JSON Schema.
    #[must_use]
    pub fn schema(&self) -> &Json {
        &self.schema
    }

    /// Values that fit, at the ends of what fits. A type that takes them all takes what fits, as far as types can tell.
    #[must_use]
    pub fn witnesses(&self) -> &[Json] {
        self.witnesses.get_or_init(|| match self.validator() {
            Ok(validator) => {
                let candidates = witness::candidates(&self.schema);
                candidates.into_iter().filter(|candidate| validator.is_valid(candidate)).collect()
            }
            Err(_) => Vec::new(),
        })
    }

    /// Holds a value to it.
    ///
    /// # Errors
    /// What does not fit, and where, in words.
    pub fn check(&self, value: &Json) -> Result<(), String> {
        let validator = self.validator()?;
        let fault = |error: jsonschema::ValidationError<'_>| match error.instance_path().as_str() {
            "" => error.to_string(),
            path => format!("{path}: {error}"),
        };
        let faults: Vec<_> = validator.iter_errors(value).take(MOST_FAULTS).map(fault).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
    }

    fn validator(&self) -> Result<&Validator, String> {
        let validator = self.validator.get_or_init(|| compile(&self.schema));
        validator.as_ref().map_err(|error| format!("the schema is not valid: {error}"))
    }
}

/// A schema as somebody gave it.
///
/// # Errors
/// It is too long, or is none.
pub(super) fn accept(hook: &HookName, schema: &Json) -> Result<(), Failure> {
    let invalid = |problem: String| {
        Failure::new(Code::InvalidInput, format!("the schema of what `{hook}` carries {problem}"))
            .with_hint("it is a JSON Schema (2020-12) that refers to nothing outside itself")
    };
    let length = schema.to_string().len();
    if length > LONGEST_SCHEMA {
        return Err(invalid(format!("has {length} bytes; at most {LONGEST_SCHEMA} are kept")));
    }
    compile(schema).map(drop).map_err(|error| invalid(format!("is not valid: {error}")))
}

/// Patterns are matched in linear time: schemas come from plugins, and what is fired from anyone.
fn compile(schema: &Json) -> Result<Validator, String> {
    let options = jsonschema::options().should_validate_formats(true).with_pattern_options(PatternOptions::regex());
    options.build(schema).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accepted(schema: Json) -> Result<(), String> {
        accept(&"shop.sold".parse().expect("a name"), &schema).map_err(|failure| failure.message)
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let check = |schema: Json, part: &str| {
            let message = accepted(schema).expect_err("it is none");
            assert!(message.contains(part), "{message}");
        };
        check(json!({"type": "text"}), "is not valid");
        check(json!({"$ref": "https://example.org/schema.json"}), "is not valid");
        check(json!({"$ref": "file:///etc/passwd"}), "is not valid");
        check(json!({"pattern": "(a+)+\\1"}), "is not valid");
        check(json!({"description": "x".repeat(LONGEST_SCHEMA)}), "bytes; at most 65536 are kept");
        accepted(json!({"type": "object"})).expect("it is one");
    }

    #[test]
    fn faults_are_named_with_their_places() {
        let payload = Payload::kept(json!({"properties": {"cents": {"minimum": 0}, "at": {"format": "date"}}}));
        assert_eq!(payload.check(&json!({"cents": 0, "at": "2026-11-21"})), Ok(()));
        let faults = payload.check(&json!({"cents": -1, "at": "today"})).expect_err("neither fits");
        assert!(faults.contains("/cents: -1 is less than the minimum of 0"), "{faults}");
        assert!(faults.contains("/at: \"today\" is not a \"date\""), "{faults}");
    }

    #[test]
    fn a_witness_that_does_not_fit_is_none() {
        let payload = Payload::kept(json!({"type": "string", "pattern": "^[A-Z]{2}$", "examples": ["NO", "norway"]}));
        assert_eq!(payload.witnesses(), [json!("NO")]);
    }

    #[test]
    fn a_schema_of_itself_does_no_harm() {
        let payload = Payload::kept(json!({"$ref": "#"}));
        assert_eq!((payload.check(&json!(1)), payload.witnesses()), (Ok(()), &[][..]));
        let deep = (0..100).fold(json!([]), |inner, _| json!([inner]));
        assert_eq!(Payload::kept(json!({"items": {"$ref": "#"}})).check(&deep), Ok(()));
    }
}
