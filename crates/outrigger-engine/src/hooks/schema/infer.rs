//! A schema from values that fit it, for the hooks whose values Outrigger makes itself.

use serde_json::{Map, Value as Json, json};

/// A JSON Schema (2020-12) that these values fit. An object has the members that it has in the samples, and no others; one
/// without any has whichever it likes.
pub(super) fn schema(samples: &[Json]) -> Json {
    let mut schema = described(samples);
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    Json::Object(schema)
}

fn described(samples: &[Json]) -> Map<String, Json> {
    let mut types: Vec<&str> = Vec::new();
    for sample in samples {
        let ty = type_of(sample);
        if !types.contains(&ty) {
            types.push(ty);
        }
    }
    let ty = if let [ty] = types[..] { json!(ty) } else { json!(types) };
    let mut schema = Map::from_iter([("type".to_owned(), ty)]);
    let objects: Vec<_> = samples.iter().filter_map(Json::as_object).collect();
    let mut properties = Map::new();
    for name in objects.iter().flat_map(|object| object.keys()) {
        if !properties.contains_key(name) {
            let values: Vec<_> = objects.iter().filter_map(|object| object.get(name)).cloned().collect();
            properties.insert(name.clone(), Json::Object(described(&values)));
        }
    }
    if !properties.is_empty() {
        let everywhere = |name: &&String| objects.iter().all(|object| object.contains_key(*name));
        schema.insert("required".to_owned(), properties.keys().filter(everywhere).cloned().collect());
        schema.insert("properties".to_owned(), Json::Object(properties));
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
    schema
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_what_the_samples_have() {
        let samples =
            [json!({"plugin": "pricing", "reason": "it failed", "revision": 1}), json!({"plugin": "", "reason": null})];
        assert_eq!(
            schema(&samples),
            json!({
                "type": "object",
                "required": ["plugin", "reason"],
                "properties": {
                    "plugin": {"type": "string"},
                    "reason": {"type": ["string", "null"]},
                    "revision": {"type": "integer"},
                },
                "additionalProperties": false,
                "$schema": "https://json-schema.org/draft/2020-12/schema",
            })
        );
    }

    #[test]
    fn an_object_without_members_may_have_any() {
        assert_eq!(Json::Object(described(&[json!({})])), json!({"type": "object"}));
    }
}
