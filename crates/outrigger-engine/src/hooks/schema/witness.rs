//! Values at the ends of what a schema allows: an object with all members and with only those that are required, the least and
//! the greatest number, each of the words of an `enum`. At each place only those are kept that fit there. A `pattern` is not
//! solved: where a value is hard to find, `examples` in the schema show some.

use std::cell::Cell;

use serde_json::{Map, Number, Value as Json, json};

use crate::schema::{Allowance, CompiledSchema, MOST_WORK};

/// Values of one place that are tried.
const MOST: usize = 32;
/// The size of a value: how many values it has within it, with itself; long texts count for more than one.
const LARGEST: usize = 1_000;
const LONGEST_TEXT: usize = 1_000;

/// Valid example values of a schema with the keywords in [`super::words`]. Use the first one if only one is needed.
///
/// None if the search is too expensive.
pub(super) fn of(schema: &Json) -> Vec<Json> {
    within(schema, &mut { MOST_WORK })
}

/// Like [`of`], with a work limit from which it takes what it needs. Nothing is left once the limit is exceeded.
pub(super) fn within(schema: &Json, left: &mut u64) -> Vec<Json> {
    let rest = Cell::new(Some(*left));
    let found = at(schema, &rest);
    *left = rest.get().unwrap_or(0);
    found
}

fn at(schema: &Json, left: &Cell<Option<u64>>) -> Vec<Json> {
    let found = match schema {
        Json::Object(schema) => list(schema, "examples").iter().cloned().chain(alternatives(schema, left)).collect(),
        Json::Bool(false) => Vec::new(),
        _ => anything(),
    };
    // The patterns of nested parts are compiled again at each level.
    let Some(work) = left.get() else { return Vec::new() };
    let mut rest = Allowance { held: usize::MAX, work };
    let compiled = CompiledSchema::compile_within(schema, &mut rest).ok();
    left.set(compiled.as_ref().map(|_| rest.work));
    let Some(compiled) = compiled else { return Vec::new() };
    let mut kept: Vec<Json> = Vec::new();
    for value in found {
        if kept.len() == MOST {
            break;
        }
        if size(&value) > LARGEST || kept.contains(&value) {
            continue;
        }
        let Some(before) = left.get() else { return Vec::new() };
        left.set(compiled.cost(&value, before).ok().map(|cost| before - cost));
        if left.get().is_some() && compiled.validator.is_valid(&value) {
            kept.push(value);
        }
    }
    kept
}

fn alternatives(schema: &Map<String, Json>, left: &Cell<Option<u64>>) -> Vec<Json> {
    if let Some(value) = schema.get("const") {
        return vec![value.clone()];
    }
    if schema.contains_key("enum") {
        return list(schema, "enum").to_vec();
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Json::String(ty)) => vec![ty],
        Some(Json::Array(types)) => types.iter().filter_map(Json::as_str).collect(),
        _ => vec!["object", "string", "number", "integer", "boolean", "array", "null"],
    };
    types.into_iter().flat_map(|ty| of_type(ty, schema, left)).collect()
}

fn of_type(ty: &str, schema: &Map<String, Json>, left: &Cell<Option<u64>>) -> Vec<Json> {
    match ty {
        "null" => vec![Json::Null],
        "boolean" => vec![json!(true), json!(false)],
        "integer" => integers(schema),
        "number" => numbers(schema),
        "string" => texts(schema),
        "array" => arrays(schema, left),
        "object" => objects(schema, left),
        _ => Vec::new(),
    }
}

fn arrays(schema: &Map<String, Json>, left: &Cell<Option<u64>>) -> Vec<Json> {
    let least = count(schema, "minItems").unwrap_or(0);
    let length = least.max(1);
    let items = schema.get("items").map_or_else(anything, |items| at(items, left));
    let fits = |item: &&Json| size(item).saturating_mul(length) < LARGEST;
    let mut found: Vec<_> = items.iter().filter(fits).map(|item| Json::Array(vec![item.clone(); length])).collect();
    if least > 1 && schema.get("uniqueItems") == Some(&Json::Bool(true)) {
        found.push(Json::Array(items));
    }
    if least == 0 {
        found.push(json!([]));
    }
    found
}

fn objects(schema: &Map<String, Json>, left: &Cell<Option<u64>>) -> Vec<Json> {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Json::as_object).unwrap_or(&none);
    let mut required: Vec<&str> = list(schema, "required").iter().filter_map(Json::as_str).collect();
    required.sort_unstable();
    required.dedup();
    let others = || schema.get("additionalProperties").map_or_else(anything, |others| at(others, left));
    let mut named: Vec<(&str, Vec<Json>)> =
        properties.iter().map(|(name, property)| (name.as_str(), at(property, left))).collect();
    for name in &required {
        if !properties.contains_key(*name) {
            named.push((name, others()));
        }
    }
    if named.is_empty() {
        named.push(("any", others()));
    }
    // Whichever turn it is, no more than this comes together.
    let largest = |(_, values): &(&str, Vec<Json>)| values.iter().map(size).max().unwrap_or(0);
    if named.iter().map(largest).sum::<usize>() >= LARGEST {
        return Vec::new();
    }
    // A member for which nothing is found is left out; an object that cannot be without it does not fit then.
    let turn = |turn: usize| {
        let value = move |values: &[Json]| values.get(turn).or(values.last()).cloned();
        named.iter().filter_map(move |(name, values)| Some(((*name).to_owned(), value(values)?)))
    };
    let least = turn(0).filter(|(name, _)| required.binary_search(&name.as_str()).is_ok());
    let turns = named.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let found = [turn(0).collect(), least.collect()].into_iter().chain((1..turns).map(|number| turn(number).collect()));
    found.map(Json::Object).collect()
}

/// One of each type.
fn anything() -> Vec<Json> {
    vec![json!({"any": "thing"}), json!("text"), json!(0.5), json!(true), json!([]), Json::Null]
}

fn integers(schema: &Map<String, Json>) -> Vec<Json> {
    let integer = |word: &str| {
        let number = schema.get(word)?.as_number()?;
        // `1.0` is an integer, too.
        let number: i128 = number.as_i128().or_else(|| format!("{:.0}", number.as_f64()?).parse().ok())?;
        Some(number.clamp(i64::MIN.into(), u64::MAX.into()))
    };
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
    let step = number("multipleOf").unwrap_or(1.0);
    let multiples = [least.map(|least| (least / step).ceil() * step), most.map(|most| (most / step).floor() * step)];
    let found = between.into_iter().chain(least).chain(most).chain(multiples.into_iter().flatten()).chain([0.0]);
    found.filter_map(Number::from_f64).map(Json::Number).collect()
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

/// See [`LARGEST`].
fn size(value: &Json) -> usize {
    let text = |text: &str| text.len() / 64;
    1 + match value {
        Json::Array(items) => items.iter().map(size).sum(),
        Json::Object(members) => members.iter().map(|(name, value)| text(name) + size(value)).sum(),
        Json::String(value) => text(value),
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: Json, expected: Json) {
        assert_eq!(Json::Array(of(&schema)), expected, "{schema}");
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
        check(json!({"type": "integer", "minimum": 1.0, "exclusiveMaximum": 10, "multipleOf": 4}), json!([4, 8]));
        check(json!({"type": "integer", "minimum": -7, "maximum": 3, "multipleOf": 5}), json!([-5, 0]));
        check(
            json!({"type": "integer", "exclusiveMinimum": i64::MAX, "maximum": u64::MAX}),
            json!([1_u64 << 63, u64::MAX]),
        );
        check(json!({"type": "integer", "minimum": 1e300}), json!([]));
        check(json!({"type": "number", "minimum": 0, "maximum": 1}), json!([0.5, 0.0, 1.0]));
        check(json!({"type": "number", "minimum": 0, "exclusiveMaximum": 4}), json!([2.25, 2.0, 0.0]));
        check(json!({"type": "number"}), json!([-0.5, 0.0]));
        check(json!({"type": "number", "minimum": 5, "multipleOf": 10}), json!([10.0]));
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
        check(json!({"type": "object", "required": ["id"], "additionalProperties": {"const": 1}}), json!([{"id": 1}]));
    }

    #[test]
    fn an_array_has_items_of_each_sort_or_none() {
        check(json!({"type": "array", "items": {"enum": [1, 2]}}), json!([[1], [2], []]));
        check(json!({"type": "array", "items": {"const": 1}, "minItems": 2}), json!([[1, 1]]));
        let two = json!({"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "uniqueItems": true});
        check(two, json!([[1, 2]]));
    }

    #[test]
    fn what_is_hard_to_find_is_shown_or_left_out() {
        let country = |more: Json| {
            let mut country = json!({"type": "string", "pattern": "^[A-Z]{2}$"});
            country.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            json!({"type": "object", "properties": {"cents": {"const": 1}, "country": country}, "required": ["cents"]})
        };
        check(country(json!({})), json!([{"cents": 1}]));
        check(country(json!({"examples": ["norway", "NO"]})), json!([{"cents": 1, "country": "NO"}, {"cents": 1}]));
    }

    #[test]
    fn no_value_is_larger_than_it_may_be() {
        let rows =
            (0..8).fold(json!({"type": "null"}), |rows, _| json!({"type": "array", "items": rows, "minItems": 9}));
        check(rows, json!([]));
        let many = json!({"type": "array", "items": {"type": "null"}, "minItems": 600});
        let two = json!({"type": "object", "properties": {"a": many, "b": many}});
        check(two, json!([]));
        let long = json!({"type": "string", "examples": ["x".repeat(50_000)]});
        check(json!({"type": "array", "items": long, "minItems": 900}), json!([vec!["some text"; 900], vec![""; 900]]));
    }

    #[test]
    fn every_member_comes_to_its_ends_however_many_there_are() {
        let state = json!({"enum": (0..50).collect::<Vec<_>>()});
        let schema =
            json!({"type": "object", "properties": {"state": state, "cents": {"type": "integer", "minimum": 0}}});
        assert!(of(&schema).iter().any(|value| value["cents"] == json!(i64::MAX)));
    }
}
