//! The supported keywords of a hook's schema: the JSON Schema keywords that apply to a single value. None that joins
//! schemas or refers to another place is among them, so that to hold a value to a schema takes no longer than each of
//! its values takes with the longest `enum`.

use outrigger_contract::manifest::Property;
use serde_json::{Map, Value as Json};

const WORDS: [&str; 27] = [
    "$comment",
    "additionalProperties",
    "const",
    "default",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
    "uniqueItems",
];

/// Schemas within each other.
const DEEPEST: usize = 16;
/// Schemas in all.
const MOST_SCHEMAS: usize = 500;
const MOST_PATTERNS: usize = 20;
/// Values to choose from, in all.
const MOST_CHOICES: usize = 500;
/// The only version there is here; the root may name it.
const VERSION: &str = "https://json-schema.org/draft/2020-12/schema";

/// Checks that a schema uses only supported keywords, within the limits.
pub(super) fn check(schema: &Json) -> Result<(), String> {
    Count::default().schema(schema, "", 1)
}

#[derive(Default)]
struct Count {
    schemas: usize,
    patterns: usize,
    choices: usize,
}

impl Count {
    fn schema(&mut self, schema: &Json, path: &str, depth: usize) -> Result<(), String> {
        self.schemas += 1;
        if depth > DEEPEST || self.schemas > MOST_SCHEMAS {
            return Err(format!("has more than {MOST_SCHEMAS} schemas, or more than {DEEPEST} nested levels"));
        }
        let schema = match schema {
            Json::Object(schema) => schema,
            Json::Bool(_) => return Ok(()),
            _ => return Err(format!("has a value at `{path}` that is not a schema")),
        };
        let is_root = depth == 1;
        let allowed = |(word, value): &(&String, &Json)| match word.as_str() {
            "$schema" => is_root && *value == VERSION,
            word => WORDS.contains(&word),
        };
        if let Some((word, _)) = schema.iter().find(|pair| !allowed(pair)) {
            let words = WORDS.join(", ");
            return Err(format!(
                "uses the keyword `{word}` at `{path}`; supported are {words}, and at its root `$schema`: {VERSION}"
            ));
        }
        if let Some(format) = schema.get("format")
            && !format.as_str().is_some_and(|format| Property::FORMATS.contains(&format))
        {
            let formats = Property::FORMATS.join(", ");
            return Err(format!("has an unsupported `format` at `{path}`; the supported formats are {formats}"));
        }
        self.patterns += usize::from(schema.contains_key("pattern"));
        if self.patterns > MOST_PATTERNS {
            return Err(format!("has more than {MOST_PATTERNS} patterns"));
        }
        self.choices += schema.get("enum").and_then(Json::as_array).map_or(0, Vec::len);
        if self.choices > MOST_CHOICES {
            return Err(format!("has more than {MOST_CHOICES} values to choose from"));
        }
        let none = Map::new();
        let properties = schema.get("properties").and_then(Json::as_object).unwrap_or(&none);
        for (name, property) in properties {
            self.schema(property, &format!("{path}/properties/{name}"), depth + 1)?;
        }
        for word in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(word) {
                self.schema(inner, &format!("{path}/{word}"), depth + 1)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(schema: Json, part: &str) {
        let message = check(&schema).expect_err("it is refused");
        assert!(message.contains(part), "{message}");
    }

    #[test]
    fn they_are_in_order() {
        assert!(WORDS.is_sorted());
    }

    #[test]
    fn other_words_are_refused_with_their_places() {
        refused(json!({"properties": {"next": {"$ref": "#"}}}), "uses the keyword `$ref` at `/properties/next`");
        refused(json!({"items": {"anyOf": []}}), "uses the keyword `anyOf` at `/items`");
        refused(json!({"additionalProperties": {"not": {}}}), "uses the keyword `not` at `/additionalProperties`");
        refused(json!({"items": {"$schema": VERSION}}), "uses the keyword `$schema` at `/items`");
        refused(json!({"items": {"format": "regex"}}), "has an unsupported `format` at `/items`");
        refused(json!({"items": 5}), "has a value at `/items` that is not a schema");
    }

    #[test]
    fn a_schema_has_its_bounds() {
        let deep = |depth| (1..depth).fold(json!({}), |inner, _| json!({ "items": inner }));
        assert_eq!(check(&deep(DEEPEST)), Ok(()));
        refused(deep(DEEPEST + 1), "nested levels");
        let wide = |count: usize, property: Json| json!({"properties": (0..count).map(|name| (name.to_string(), property.clone())).collect::<Map<_, _>>()});
        assert_eq!(check(&wide(MOST_SCHEMAS - 1, json!({}))), Ok(()));
        refused(wide(MOST_SCHEMAS, json!({})), "more than 500 schemas");
        refused(wide(MOST_PATTERNS + 1, json!({"pattern": "x"})), "more than 20 patterns");
        refused(wide(2, json!({"enum": vec![1; 251]})), "more than 500 values to choose from");
    }
}
