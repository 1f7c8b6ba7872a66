//! The JSON Schema of a plugin's configuration.

use serde_json::{Value, json};

use super::FULL;
use crate::manifest::Manifest;

#[test]
fn the_configuration_becomes_a_json_schema() {
    let configuration = Manifest::parse(FULL).unwrap().configuration;
    insta::assert_snapshot!(serde_json::to_string_pretty(&configuration.to_json_schema()).unwrap(), @r#"
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "type": "object",
      "properties": {
        "api-key": {
          "type": "string",
          "description": "API token",
          "minLength": 8,
          "writeOnly": true
        },
        "regions": {
          "type": "array",
          "default": [
            "fsn1"
          ],
          "items": {
            "type": "string",
            "enum": [
              "fsn1",
              "nbg1"
            ]
          },
          "uniqueItems": true
        },
        "proxy": {
          "type": "object",
          "title": "Proxy",
          "additionalProperties": {
            "type": "string"
          },
          "properties": {
            "host": {
              "type": "string",
              "format": "hostname"
            },
            "port": {
              "type": "integer",
              "examples": [
                3128
              ],
              "minimum": 1,
              "maximum": 65535
            }
          },
          "required": [
            "host"
          ]
        },
        "ratio": {
          "type": "number",
          "default": 0.5,
          "exclusiveMaximum": 1
        }
      },
      "required": [
        "api-key"
      ],
      "additionalProperties": false
    }
    "#);
    assert_eq!(json!(configuration.defaults()), json!({ "regions": ["fsn1"], "ratio": 0.5 }));
    assert_eq!(configuration.secret_keys().collect::<Vec<_>>(), ["api-key"]);
    assert_eq!(configuration.required_keys().collect::<Vec<_>>(), ["api-key"]);
    let given = json!({ "api-key": "12345678", "ratio": 0.25 });
    let filled = configuration.with_defaults(given.as_object().unwrap().clone());
    assert_eq!(json!(filled), json!({ "api-key": "12345678", "ratio": 0.25, "regions": ["fsn1"] }));
}

#[test]
fn the_schema_of_a_configuration_refuses_what_does_not_fit() {
    let schema = Manifest::parse(FULL).unwrap().configuration.to_json_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let check = |value: Value, expected: bool| assert_eq!(validator.is_valid(&value), expected, "{value}");
    check(json!({ "api-key": "12345678" }), true);
    check(json!({}), false);
    check(json!({ "api-key": "1234" }), false);
    check(json!({ "api-key": "12345678", "api_key": 1 }), false);
    check(json!({ "api-key": "12345678", "regions": ["hel1"] }), false);
    check(json!({ "api-key": "12345678", "proxy": { "host": "a", "user": "b" } }), true);
    check(json!({ "api-key": "12345678", "proxy": { "host": "a", "user": 1 } }), false);
    check(json!({ "api-key": "12345678", "proxy": { "port": 1 } }), false);
}
