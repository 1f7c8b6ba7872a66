//! JSON that is handed on as text. A call's arguments and its result pass through a face without being taken apart:
//! the engine reads and writes text itself, directed by the function's types.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

/// Any JSON value, as text that is known to be well-formed.
#[derive(Clone, Debug)]
pub struct JsonText(Box<RawValue>);

/// A JSON object, as text that is known to be well-formed.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonObject(JsonText);

/// The text is JSON, but of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a JSON object: `{{…}}`")]
pub struct NotAnObject;

impl JsonText {
    /// Reads a text, which must be one JSON value.
    ///
    /// # Errors
    /// Where and why it is not JSON.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// Writes a value down.
    ///
    /// # Errors
    /// The value cannot be JSON: a map has keys that are not text, or its own `Serialize` fails.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        to_raw_value(value).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The text, given away.
    #[must_use]
    pub fn into_string(self) -> String {
        String::from(Box::<str>::from(self.0))
    }

    /// The value taken apart. A number beyond what a [`Value`] can hold becomes `null`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.read().unwrap_or_default()
    }

    /// The value as a type of one's own.
    ///
    /// # Errors
    /// It is of another shape.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }
}

impl Default for JsonText {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl From<Box<RawValue>> for JsonText {
    fn from(text: Box<RawValue>) -> Self {
        Self(text)
    }
}

impl From<Value> for JsonText {
    fn from(value: Value) -> Self {
        // A `Value` has text keys and finite numbers only, so it can always be written.
        Self::of(&value).unwrap_or_default()
    }
}

/// Equal where the values are, however they are written.
impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str() || self.to_value() == other.to_value()
    }
}

impl PartialEq<Value> for JsonText {
    fn eq(&self, other: &Value) -> bool {
        self.to_value() == *other
    }
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for JsonText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

impl JsonObject {
    /// Reads a text, which must be a JSON object.
    ///
    /// # Errors
    /// Where and why it is not a JSON object.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        Self::try_from(JsonText::parse(text)?).map_err(serde_json::Error::custom)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The text, given away.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0.into_string()
    }

    /// The object taken apart.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        self.0.read().unwrap_or_default()
    }

    /// The object taken apart, as a value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Object(self.to_map())
    }
}

impl Default for JsonObject {
    fn default() -> Self {
        Self::from(Map::new())
    }
}

impl From<Map<String, Value>> for JsonObject {
    fn from(map: Map<String, Value>) -> Self {
        Self(Value::Object(map).into())
    }
}

impl TryFrom<JsonText> for JsonObject {
    type Error = NotAnObject;

    fn try_from(text: JsonText) -> Result<Self, NotAnObject> {
        // The text begins with the value itself: a `RawValue` keeps no white space around it.
        if text.as_str().starts_with('{') { Ok(Self(text)) } else { Err(NotAnObject) }
    }
}

impl Serialize for JsonObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(JsonText::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for JsonObject {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "JsonObject".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_keeps_its_text_and_nothing_else_is_one() {
        let object: JsonObject = serde_json::from_str(" {\"a\": 1.50} ").unwrap();
        assert_eq!(object.as_str(), "{\"a\": 1.50}");
        assert_eq!(serde_json::to_string(&object).unwrap(), "{\"a\": 1.50}");
        assert_eq!(object.to_value(), json!({"a": 1.5}));
        for wrong in ["[1]", "null", "\"{}\"", "1"] {
            assert!(serde_json::from_str::<JsonObject>(wrong).is_err(), "{wrong}");
            assert!(JsonObject::parse(wrong.to_owned()).is_err(), "{wrong}");
        }
        assert!(JsonObject::parse("{".to_owned()).is_err());
        assert_eq!(JsonObject::default().as_str(), "{}");
    }

    #[test]
    fn texts_of_the_same_value_are_equal() {
        assert_eq!(JsonText::parse("{ \"a\":1 }".into()).unwrap(), JsonText::from(json!({"a": 1})));
        assert_eq!(JsonText::default(), json!(null));
        assert_ne!(JsonText::from(json!(1)), JsonText::from(json!(2)));
        assert_eq!(serde_json::from_value::<JsonText>(json!([1, "x"])).unwrap().as_str(), "[1,\"x\"]");
    }
}
