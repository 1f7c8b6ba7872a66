//! Values at the ends of what a schema allows: an object with all members and with only those that are required, the least and
//! the greatest number, each of the words of an `enum`. They are not sure to fit (a pattern is not solved); who asks for them
//! looks. Where a value is hard to find, `examples` in the schema show some. Schemas come from anyone, so the search has an end
//! whatever they say.

use std::cell::Cell;

use serde_json::{Map, Number, Value as Json, json};

/// Values of one place that are tried.
const MOST: usize = 32;
/// Schemas within each other, and references followed.
const DEEPEST: usize = 16;
/// Schemas that are looked at, each as often as it is met.
const STEPS: usize = 500;
/// Values within a value, with itself.
const LARGEST: usize = 500;
const LONGEST_TEXT: usize = 1_000;

/// Values that probably fit.
pub(super) fn candidates(schema: &Json) -> Vec<Json> {
    Search { root: schema, steps: Cell::new(STEPS) }.of(schema, 0)
}

struct Search<'a> {
    root: &'a Json,
    /// What is left of [`STEPS`].
    steps: Cell<usize>,
}

impl Search<'_> {
    /// The first one is the one to take where only one is wanted. None where none is found.
    fn of(&self, schema: &Json, depth: usize) -> Vec<Json> {
        let Json::Object(schema) = schema else {
            return if *schema == Json::Bool(false) { Vec::new() } else { anything() };
        };
        let left = self.steps.get();
        if depth >= DEEPEST || left == 0 {
            return Vec::new();
        }
        self.steps.set(left - 1);
        let mut found = list(schema, "examples").to_vec();
        found.extend(self.alternatives(schema, depth));
        distinct(found)
    }

    fn alternatives(&self, schema: &Map<String, Json>, depth: usize) -> Vec<Json> {
        if let Some(value) = schema.get("const") {
            return vec![value.clone()];
        }
        if schema.contains_key("enum") {
            return list(schema, "enum").to_vec();
        }
        if let Some(whole) = self.referred(schema) {
            return self.of(&whole, depth + 1);
        }
        if schema.contains_key("allOf") {
            let parts = list(schema, "allOf").iter().fold(without(schema, "allOf"), joined);
            return self.of(&Json::Object(parts), depth + 1);
        }
        for word in ["anyOf", "oneOf"] {
            if schema.contains_key(word) {
                let rest = without(schema, word);
                let branches = list(schema, word).iter().map(|branch| Json::Object(joined(rest.clone(), branch)));
                return branches.flat_map(|branch| self.of(&branch, depth + 1)).collect();
            }
        }
        let types: Vec<&str> = match schema.get("type") {
            Some(Json::String(ty)) => vec![ty],
            Some(Json::Array(types)) => types.iter().filter_map(Json::as_str).collect(),
            _ if schema.contains_key("properties") || schema.contains_key("required") => vec!["object"],
            _ if schema.contains_key("items") || schema.contains_key("prefixItems") => vec!["array"],
            _ => return anything(),
        };
        types.into_iter().flat_map(|ty| self.of_type(ty, schema, depth)).collect()
    }

    /// The schema that `$ref` points to, joined with what stands beside it.
    fn referred(&self, schema: &Map<String, Json>) -> Option<Json> {
        let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        Some(Json::Object(joined(without(schema, "$ref"), self.root.pointer(pointer)?)))
    }

    fn of_type(&self, ty: &str, schema: &Map<String, Json>, depth: usize) -> Vec<Json> {
        match ty {
            "null" => vec![Json::Null],
            "boolean" => vec![json!(true), json!(false)],
            "integer" => integers(schema),
            "number" => numbers(schema),
            "string" => texts(schema),
            "array" => self.arrays(schema, depth),
            "object" => self.objects(schema, depth),
            _ => Vec::new(),
        }
    }

    fn arrays(&self, schema: &Map<String, Json>, depth: usize) -> Vec<Json> {
        let Some(first) =
            list(schema, "prefixItems").iter().map(|item| self.first(item, depth)).collect::<Option<Vec<_>>>()
        else {
            return Vec::new();
        };
        let least = count(schema, "minItems").unwrap_or(0);
        let items = match schema.get("items") {
            Some(items) => self.of(items, depth + 1),
            None if first.is_empty() => anything(),
            None => Vec::new(),
        };
        let length = least.max(first.len() + 1);
        let with = |item: &Json| {
            let mut array = first.clone();
            array.resize(length, item.clone());
            Json::Array(array)
        };
        let fits = |item: &&Json| size(item).saturating_mul(length) < LARGEST;
        let mut found: Vec<_> = items.iter().filter(fits).map(with).collect();
        if first.len() >= least {
            found.push(Json::Array(first));
        }
        found
    }

    fn objects(&self, schema: &Map<String, Json>, depth: usize) -> Vec<Json> {
        let required: Vec<&str> = list(schema, "required").iter().filter_map(Json::as_str).collect();
        let none = Map::new();
        let properties = schema.get("properties").and_then(Json::as_object).unwrap_or(&none);
        let mut named: Vec<(&str, Vec<Json>)> =
            properties.iter().map(|(name, property)| (name.as_str(), self.of(property, depth + 1))).collect();
        for name in &required {
            if !properties.contains_key(*name) {
                named.push((name, anything()));
            }
        }
        if named.is_empty() {
            let others = schema.get("additionalProperties").unwrap_or(&Json::Bool(true));
            named.push(("any", self.of(others, depth + 1)));
        }
        // A member for which nothing is found is left out, unless the object cannot be without it.
        if named.iter().any(|(name, values)| values.is_empty() && required.contains(name)) {
            return Vec::new();
        }
        if named.iter().filter_map(|(_, values)| values.first()).map(size).sum::<usize>() >= LARGEST {
            return Vec::new();
        }
        let full = || named.iter().filter_map(|(name, values)| Some(((*name).to_owned(), values.first()?.clone())));
        let mut found = vec![full().collect::<Map<_, _>>()];
        found.push(full().filter(|(name, _)| required.contains(&name.as_str())).collect());
        for (name, values) in &named {
            for value in values.iter().skip(1).take(MOST.saturating_sub(found.len())) {
                let mut other = found[0].clone();
                other.insert((*name).to_owned(), value.clone());
                found.push(other);
            }
        }
        found.into_iter().map(Json::Object).collect()
    }

    fn first(&self, schema: &Json, depth: usize) -> Option<Json> {
        self.of(schema, depth + 1).into_iter().next()
    }
}

/// One of each type.
fn anything() -> Vec<Json> {
    vec![json!({"any": "thing"}), json!("text"), json!(0.5), json!(true), json!([]), Json::Null]
}

fn integers(schema: &Map<String, Json>) -> Vec<Json> {
    let integer = |word: &str| schema.get(word)?.as_number()?.as_i128();
    let least = integer("minimum").or_else(|| Some(integer("exclusiveMinimum")? + 1)).unwrap_or(i64::MIN.into());
    let most = integer("maximum").or_else(|| Some(integer("exclusiveMaximum")? - 1)).unwrap_or(i64::MAX.into());
    let step = integer("multipleOf").unwrap_or(1).max(1);
    // Inwards, to the next multiple.
    let ends = [least + (-least).rem_euclid(step), most - most.rem_euclid(step)];
    ends.into_iter().filter_map(Number::from_i128).map(Json::Number).collect()
}

fn numbers(schema: &Map<String, Json>) -> Vec<Json> {
    let number = |word: &str| schema.get(word).and_then(Json::as_f64);
    let (least, most) =
        (number("minimum").or(number("exclusiveMinimum")), number("maximum").or(number("exclusiveMaximum")));
    let between = match (least, most) {
        (Some(least), Some(most)) => least.midpoint(most),
        (Some(least), None) => least + 0.5,
        (None, Some(most)) => most - 0.5,
        (None, None) => -0.5,
    };
    let between = if between.fract() == 0.0 { [between + 0.25, between] } else { [between, between] };
    between.into_iter().chain(least).chain(most).filter_map(Number::from_f64).map(Json::Number).collect()
}

fn texts(schema: &Map<String, Json>) -> Vec<Json> {
    let word = match schema.get("format").and_then(Json::as_str) {
        Some("date") => "2026-01-31",
        Some("date-time") => "2026-01-31T12:00:00Z",
        Some("time") => "12:00:00Z",
        Some("duration") => "PT1H",
        Some("email") => "ada@example.org",
        Some("hostname") => "example.org",
        Some("ipv4") => "192.0.2.1",
        Some("ipv6") => "2001:db8::1",
        Some("uri" | "uri-reference" | "iri" | "iri-reference") => "https://example.org/",
        Some("uuid") => "123e4567-e89b-42d3-a456-426614174000",
        _ => "some text",
    };
    let (least, most) = (count(schema, "minLength").unwrap_or(0), count(schema, "maxLength").unwrap_or(usize::MAX));
    let longest =
        word.chars().chain(std::iter::repeat('x')).take(word.len().clamp(least.min(most), most).min(LONGEST_TEXT));
    let shortest = if least == 0 { vec![json!("")] } else { Vec::new() };
    std::iter::once(json!(longest.collect::<String>())).chain(shortest).collect()
}

fn list<'a>(schema: &'a Map<String, Json>, word: &str) -> &'a [Json] {
    schema.get(word).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn count(schema: &Map<String, Json>, word: &str) -> Option<usize> {
    schema.get(word)?.as_u64().and_then(|count| usize::try_from(count).ok())
}

fn without(schema: &Map<String, Json>, word: &str) -> Map<String, Json> {
    schema.iter().filter(|(name, _)| *name != word).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What two schemas say together: their members and what is required in both; of any other word, what the second one says.
fn joined(mut first: Map<String, Json>, second: &Json) -> Map<String, Json> {
    for (word, value) in second.as_object().into_iter().flatten() {
        match (first.get_mut(word), value) {
            (Some(Json::Object(present)), Json::Object(more)) if word == "properties" => present.extend(more.clone()),
            (Some(Json::Array(present)), Json::Array(more)) if word == "required" => present.extend(more.clone()),
            _ => {
                first.insert(word.clone(), value.clone());
            }
        }
    }
    first
}

/// How many values a value has within it, with itself.
fn size(value: &Json) -> usize {
    match value {
        Json::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Json::Object(members) => 1 + members.values().map(size).sum::<usize>(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 1,
    }
}

fn distinct(values: Vec<Json>) -> Vec<Json> {
    let mut distinct: Vec<Json> = Vec::new();
    for value in values {
        if distinct.len() < MOST && size(&value) <= LARGEST && !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: Json, expected: Json) {
        assert_eq!(Json::Array(candidates(&schema)), expected, "{schema}");
    }

    #[test]
    fn plain_types() {
        check(json!({"type": "boolean"}), json!([true, false]));
        check(json!({"type": ["null", "boolean"]}), json!([null, true, false]));
        check(json!({"type": "string"}), json!(["some text", ""]));
        check(json!({"type": "string", "minLength": 11}), json!(["some textxx"]));
        check(json!({"type": "string", "maxLength": 1}), json!(["s", ""]));
        check(json!({"type": "string", "format": "date", "minLength": 1}), json!(["2026-01-31"]));
        check(json!({"enum": ["no", "se"]}), json!(["no", "se"]));
        check(json!({"const": 3}), json!([3]));
        check(json!(false), json!([]));
    }

    #[test]
    fn numbers_at_their_ends() {
        check(json!({"type": "integer"}), json!([i64::MIN, i64::MAX]));
        check(json!({"type": "integer", "minimum": 1, "exclusiveMaximum": 10, "multipleOf": 4}), json!([4, 8]));
        check(json!({"type": "integer", "minimum": -7, "maximum": 3, "multipleOf": 5}), json!([-5, 0]));
        check(json!({"type": "number", "minimum": 0, "maximum": 1}), json!([0.5, 0.0, 1.0]));
        check(json!({"type": "number", "minimum": 0, "maximum": 4}), json!([2.25, 2.0, 0.0, 4.0]));
        check(json!({"type": "number"}), json!([-0.5]));
    }

    #[test]
    fn an_object_is_full_or_has_the_least_and_each_member_takes_its_turns() {
        let schema = json!({
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"const": "Ada"}, "country": {"enum": ["no", "se"]}},
        });
        check(schema, json!([{"name": "Ada", "country": "no"}, {"name": "Ada"}, {"name": "Ada", "country": "se"}]));
        check(json!({"type": "object", "additionalProperties": {"type": "null"}}), json!([{"any": null}, {}]));
    }

    #[test]
    fn an_array_has_items_of_each_sort_or_none() {
        check(json!({"type": "array", "items": {"enum": [1, 2]}}), json!([[1], [2], []]));
        check(json!({"type": "array", "items": {"const": 1}, "minItems": 2}), json!([[1, 1]]));
        check(json!({"prefixItems": [{"const": 1}, {"type": "null"}], "items": false}), json!([[1, null]]));
    }

    #[test]
    fn schemas_are_joined_and_followed() {
        let schema = json!({
            "$defs": {"name": {"type": "object", "properties": {"name": {"const": "Ada"}}, "required": ["name"]}},
            "allOf": [{"$ref": "#/$defs/name"}, {"properties": {"age": {"const": 36}}, "required": ["age"]}],
        });
        check(schema, json!([{"age": 36, "name": "Ada"}]));
        check(json!({"oneOf": [{"const": 1}, {"type": "null"}]}), json!([1, null]));
        check(json!({"type": "string", "examples": ["NO-123"]}), json!(["NO-123", "some text", ""]));
    }

    #[test]
    fn one_without_end_ends() {
        let tree = json!({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
        assert!(candidates(&tree).iter().map(size).sum::<usize>() <= MOST * LARGEST);
        let rows = (0..DEEPEST).fold(json!({"type": "null"}), |rows, _| json!({"items": rows, "minItems": 9}));
        check(rows, json!([]));
        check(json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}), json!([]));
    }
}
