//! The configuration schema: one property for each key, with JSON Schema keywords, plus whether it is required, what it
//! is by default and whether it is a secret.

mod fits;
mod read;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Map, Number, Value, json};

pub(super) use read::{Key, parts, read};

/// The configuration that a plugin takes, key by key, in the order of the manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ConfigurationSchema {
    properties: IndexMap<String, Property>,
}

/// One value of a configuration, or a part of one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Property {
    #[serde(rename = "type")]
    pub kind: PropertyKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Without it (and without a default) the plugin cannot be enabled.
    #[serde(skip_serializing_if = "is_false")]
    pub required: bool,
    /// Encrypted at rest and never shown again. Only a whole key is a secret, not a part of its value.
    #[serde(skip_serializing_if = "is_false")]
    pub secret: bool,
    /// Only of a whole key; it fits the property.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The only values allowed; empty when all are.
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_minimum: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_maximum: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiple_of: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
    /// A regular expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// One of [`Property::FORMATS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<Property>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_items: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u32>,
    #[serde(skip_serializing_if = "is_false")]
    pub unique_items: bool,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub properties: IndexMap<String, Property>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_properties: Option<AdditionalProperties>,
}

/// The JSON type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PropertyKind {
    String,
    Integer,
    Number,
    Boolean,
    Array,
    Object,
}

/// The schema of an object's additional properties.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AdditionalProperties {
    /// Anything, or nothing.
    Allowed(bool),
    /// Values of this shape.
    Each(Box<Property>),
}

impl ConfigurationSchema {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.properties.is_empty()
    }

    /// The keys and what they take, in the order of the manifest.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Property)> {
        self.properties.iter().map(|(key, property)| (key.as_str(), property))
    }

    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Property> {
        self.properties.get(key)
    }

    /// A JSON Schema (2020-12) of the whole configuration. A required key with a default need not be given.
    #[must_use]
    pub fn to_json_schema(&self) -> Value {
        whole_schema(&self.properties)
    }

    /// The values of the keys that have a default.
    #[must_use]
    pub fn defaults(&self) -> Map<String, Value> {
        let pairs = self.properties.iter().filter_map(|(key, property)| Some((key.clone(), property.default.clone()?)));
        pairs.collect()
    }

    /// The stored values, with defaults for missing ones.
    #[must_use]
    pub fn with_defaults(&self, mut values: Map<String, Value>) -> Map<String, Value> {
        for (key, value) in self.defaults() {
            values.entry(key).or_insert(value);
        }
        values
    }

    /// The keys whose values are secrets.
    pub fn secret_keys(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|(_, property)| property.secret).map(|(key, _)| key)
    }

    /// The keys that must be set because they are required and have no default.
    pub fn required_keys(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|(_, property)| property.must_be_given()).map(|(key, _)| key)
    }
}

impl PropertyKind {
    const NAMES: &[&str] = &["string", "integer", "number", "boolean", "array", "object"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "array" => Self::Array,
            "object" => Self::Object,
            _ => return None,
        })
    }

    /// The type's name in JSON Schema.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

impl Property {
    /// The formats that are checked; no other can be asked for.
    pub const FORMATS: [&str; 11] =
        ["date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uri-reference", "uuid"];

    fn must_be_given(&self) -> bool {
        self.required && self.default.is_none()
    }

    /// This property as JSON Schema. What is required of an object's properties moves up to the object.
    #[must_use]
    pub fn to_json_schema(&self) -> Value {
        let mut schema = match serde_json::to_value(self) {
            Ok(Value::Object(schema)) => schema,
            _ => unreachable!("a property is a struct of plain values, so it is an object in JSON"),
        };
        schema.shift_remove("required");
        if schema.shift_remove("secret").is_some() {
            schema.insert("writeOnly".to_owned(), json!(true));
        }
        if let Some(items) = &self.items {
            schema.insert("items".to_owned(), items.to_json_schema());
        }
        if self.kind == PropertyKind::Object {
            schema.shift_remove("properties");
            named_properties(&mut schema, &self.properties);
            let additional = match &self.additional_properties {
                // Named properties and nothing said about others: a mistyped name is a mistake.
                None => json!(self.properties.is_empty()),
                Some(AdditionalProperties::Allowed(allowed)) => json!(allowed),
                Some(AdditionalProperties::Each(property)) => property.to_json_schema(),
            };
            schema.insert("additionalProperties".to_owned(), additional);
        }
        Value::Object(schema)
    }
}

/// A JSON Schema (2020-12) of an object with these properties and no others.
pub(super) fn whole_schema(properties: &IndexMap<String, Property>) -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("type".to_owned(), json!("object"));
    named_properties(&mut schema, properties);
    schema.insert("additionalProperties".to_owned(), json!(false));
    Value::Object(schema)
}

fn named_properties(schema: &mut Map<String, Value>, properties: &IndexMap<String, Property>) {
    let schemas: Map<_, _> =
        properties.iter().map(|(key, property)| (key.clone(), property.to_json_schema())).collect();
    let required: Vec<_> =
        properties.iter().filter(|(_, property)| property.must_be_given()).map(|(key, _)| key.as_str()).collect();
    schema.insert("properties".to_owned(), Value::Object(schemas));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The words of JSON Schema that a property can use, by the types that they say something about.
/// An empty list of types is every type.
pub(super) const KEYWORDS: &[(&str, &[PropertyKind])] = {
    use PropertyKind::{Array, Integer, Number, Object, String};
    &[
        ("type", &[]),
        ("title", &[]),
        ("description", &[]),
        ("required", &[]),
        ("secret", &[]),
        ("encrypted", &[]),
        ("default", &[]),
        ("enum", &[]),
        ("examples", &[]),
        ("minimum", &[Integer, Number]),
        ("maximum", &[Integer, Number]),
        ("exclusiveMinimum", &[Integer, Number]),
        ("exclusiveMaximum", &[Integer, Number]),
        ("multipleOf", &[Integer, Number]),
        ("minLength", &[String]),
        ("maxLength", &[String]),
        ("pattern", &[String]),
        ("format", &[String]),
        ("items", &[Array]),
        ("minItems", &[Array]),
        ("maxItems", &[Array]),
        ("uniqueItems", &[Array]),
        ("properties", &[Object]),
        ("additionalProperties", &[Object]),
    ]
};
