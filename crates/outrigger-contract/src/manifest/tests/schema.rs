//! The published schema and the reader know the same keys and accept the same manifests.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{FULL, LEAST};
use crate::manifest::configuration::KEYWORDS;
use crate::manifest::read::keys;
use crate::manifest::{Manifest, json_schema};

#[test]
fn the_schema_and_the_reader_know_the_same_keys() {
    let schema = json_schema();
    let check = |pointer: &str, keys: &[&str]| {
        let table = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in the schema"));
        let described: BTreeSet<_> = table["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described, keys.iter().copied().collect(), "{pointer}");
        assert_eq!(table["additionalProperties"], json!(false), "{pointer}");
    };
    check("", keys::ROOT);
    check("/properties/runtime", keys::RUNTIME);
    check("/properties/runtime/properties/instances/anyOf/1", keys::INSTANCES);
    check("/properties/runtime/properties/instances/anyOf/1/properties/warm", keys::WARM);
    check("/properties/functions/additionalProperties", keys::FUNCTION);
    check("/properties/functions/additionalProperties/properties/retry", keys::RETRY);
    check("/$defs/Rate/anyOf/1", keys::RATE);
    check("/$defs/Permissions", keys::PERMISSIONS);
    check("/$defs/FileGrant", keys::FILE);
    check("/$defs/HostPattern/anyOf/1", keys::HOST);
    check("/properties/dependencies/additionalProperties/anyOf/1", keys::DEPENDENCY);
    check("/properties/hooks/additionalProperties", keys::HOOK);
    check("/properties/subscriptions/items", keys::SUBSCRIPTION);
    check("/properties/migrations/items", keys::MIGRATION);
    check("/properties/limits", keys::LIMITS);
    check("/properties/health", keys::HEALTH);
    let words: Vec<_> = KEYWORDS.iter().map(|(word, _)| *word).collect();
    check("/$defs/Property", &words);
}

#[test]
fn every_key_is_described() {
    fn visit(schema: &Value, path: &str, bare: &mut Vec<String>) {
        let Some(table) = schema.as_object() else { return };
        for (name, property) in table.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if property.get("description").is_none() && property.get("$ref").is_none() {
                bare.push(format!("{path}/{name}"));
            }
        }
        for (name, inner) in table {
            match inner {
                Value::Array(items) => items.iter().for_each(|item| visit(item, path, bare)),
                // The names in here are those of keys, not words of JSON Schema.
                Value::Object(named) if name == "properties" || name == "$defs" => {
                    named.iter().for_each(|(key, item)| visit(item, &format!("{path}/{key}"), bare));
                }
                inner => visit(inner, &format!("{path}/{name}"), bare),
            }
        }
    }
    let mut bare = Vec::new();
    visit(&json_schema(), "", &mut bare);
    assert_eq!(bare, Vec::<String>::new());
}

fn check(manifest: &Value, expected: bool) {
    let validator = jsonschema::validator_for(&json_schema()).unwrap();
    let problems: Vec<_> = validator.iter_errors(manifest).map(|error| error.to_string()).collect();
    assert_eq!(problems.is_empty(), expected, "{problems:?}\n{manifest:#}");
}

fn as_json(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

#[test]
fn what_the_reader_accepts_fits_the_schema() {
    for text in [FULL, LEAST] {
        check(&as_json(text), true);
        check(&serde_json::to_value(Manifest::parse(text).unwrap()).unwrap(), true);
    }
}

#[test]
fn what_is_wrong_does_not_fit_the_schema() {
    let wrong = |pointer: &str, value: Value| {
        let mut manifest = as_json(FULL);
        *manifest.pointer_mut(pointer).unwrap() = value;
        check(&manifest, false);
    };
    wrong("/name", json!("Hetzner"));
    wrong("/version", json!("1.2"));
    wrong("/categories", json!(["clouds"]));
    wrong("/runtime/kind", json!("process"));
    wrong("/runtime/entry", json!("../a.wasm"));
    wrong("/runtime/entry", json!("/a.wasm"));
    wrong("/runtime/instances", json!("lukewarm"));
    wrong("/functions/reset/rate-limit", json!({ "calls": 1, "per": "1m", "brust": 1 }));
    wrong("/permissions/http", json!(["api.example.org"]));
    wrong("/permissions", json!({ "udp": [] }));
    wrong("/hooks", json!({ "customer": { "kind": "event", "description": "x" } }));
    wrong("/hooks/customer.created/kind", json!("notice"));
    wrong("/subscriptions/0/on-error", json!("disable-after(0)"));
    wrong("/subscriptions/0/priority", json!("first"));
    wrong("/migrations/0/rename", json!({ "region": 1 }));
    wrong("/migrations/0/remove-state", json!([""]));
    wrong("/limits/memory", json!("64M"));
    wrong("/configuration/regions/items", json!({ "type": "text" }));
    let mut unknown = as_json(LEAST);
    unknown["titel"] = json!("x");
    check(&unknown, false);
}

#[test]
fn the_examples_in_the_schema_fit_it() {
    fn visit(schema: &Value, root: &Value, wrong: &mut Vec<String>) {
        if let Some(table) = schema.as_object() {
            if let Some(examples) = table.get("examples").and_then(Value::as_array) {
                let mut whole = table.clone();
                whole.insert("$defs".to_owned(), root["$defs"].clone());
                whole.shift_remove("$id");
                let validator = jsonschema::validator_for(&Value::Object(whole)).unwrap();
                wrong.extend(examples.iter().filter(|example| !validator.is_valid(example)).map(Value::to_string));
            }
            table.values().for_each(|inner| visit(inner, root, wrong));
        }
        if let Some(items) = schema.as_array() {
            items.iter().for_each(|inner| visit(inner, root, wrong));
        }
    }
    let schema = json_schema();
    let mut wrong = Vec::new();
    visit(&schema, &schema, &mut wrong);
    assert_eq!(wrong, Vec::<String>::new());
}
