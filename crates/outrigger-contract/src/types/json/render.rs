//! Values to JSON, written straight into any serializer, without a tree between.

use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value as Json;

use crate::types::graph::{Label, Shape, Type, TypeGraph};
use crate::types::value::Value;

/// A value with its type, to be written as JSON by any serde serializer without an intermediate tree.
#[derive(Clone, Copy, Debug)]
pub struct Rendered<'a> {
    pub graph: &'a TypeGraph,
    pub ty: &'a Type,
    pub value: &'a Value,
}

/// A value as a JSON tree.
#[must_use]
pub fn render(graph: &TypeGraph, ty: &Type, value: &Value) -> Json {
    serde_json::to_value(Rendered { graph, ty, value }).unwrap_or(Json::Null)
}

impl<'a> Rendered<'a> {
    const fn of(&self, ty: &'a Type, value: &'a Value) -> Self {
        Self { graph: self.graph, ty, value }
    }

    fn one<S: Serializer>(serializer: S, name: &str, value: Option<Self>) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(name, &value)?;
        map.end()
    }

    fn items<S: Serializer>(serializer: S, items: impl ExactSizeIterator<Item = Self>) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(items.len()))?;
        for item in items {
            sequence.serialize_element(&item)?;
        }
        sequence.end()
    }

    fn shape<S: Serializer>(&self, shape: &'a Shape, serializer: S) -> Result<S::Ok, S::Error> {
        match (shape, self.value) {
            (Shape::Record(fields), Value::Record(values)) if fields.len() == values.len() => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (field, value) in fields.iter().zip(values) {
                    map.serialize_entry(&field.name, &self.of(&field.ty, value))?;
                }
                map.end()
            }
            (Shape::Enum(labels), Value::Enum(index)) => serializer.serialize_str(label(labels, *index)?),
            (Shape::Flags(labels), Value::Flags(set)) => {
                let mut sequence = serializer.serialize_seq(Some(set.len()))?;
                for index in set {
                    sequence.serialize_element(label(labels, *index)?)?;
                }
                sequence.end()
            }
            (Shape::Variant(cases), Value::Variant(index, payload)) => {
                let case = cases.get(*index as usize).ok_or_else(misfit)?;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("tag", &case.name)?;
                if let (Some(ty), Some(value)) = (&case.ty, payload) {
                    map.serialize_entry("val", &self.of(ty, value))?;
                }
                map.end()
            }
            _ => Err(misfit()),
        }
    }
}

/// For a value that is not of its type. Whoever renders one has not asked [`super::fits`].
fn misfit<E: Error>() -> E {
    E::custom("the value is not of its type")
}

fn label<E: Error>(labels: &[Label], index: u32) -> Result<&str, E> {
    labels.get(index as usize).map(|label| label.name.as_str()).ok_or_else(misfit)
}

impl Serialize for Rendered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ty = self.graph.resolve(self.ty);
        match (ty, self.value) {
            (_, Value::Bool(value)) => serializer.serialize_bool(*value),
            (_, Value::Unsigned(value)) => serializer.serialize_u64(*value),
            (_, Value::Signed(value)) => serializer.serialize_i64(*value),
            (_, Value::Float32(value)) if value.is_finite() => serializer.serialize_f64(widened(*value)),
            (_, Value::Float32(value)) => serializer.serialize_str(special((*value).into())),
            (_, Value::Float64(value)) if value.is_finite() => serializer.serialize_f64(*value),
            (_, Value::Float64(value)) => serializer.serialize_str(special(*value)),
            (_, Value::Char(value)) => serializer.serialize_char(*value),
            (_, Value::String(value)) => serializer.serialize_str(value),
            (_, Value::Bytes(value)) => serializer.serialize_str(&base64_simd::STANDARD.encode_to_string(value)),
            (Type::List(item), Value::List(values)) => {
                Self::items(serializer, values.iter().map(|value| self.of(item, value)))
            }
            (Type::Tuple(types), Value::Tuple(values)) if types.len() == values.len() => {
                Self::items(serializer, types.iter().zip(values).map(|(ty, value)| self.of(ty, value)))
            }
            (Type::Option(_), Value::Option(None)) => serializer.serialize_none(),
            (Type::Option(inner), Value::Option(Some(value))) => match self.graph.is_optional(inner) {
                true => Self::one(serializer, "some", Some(self.of(inner, value))),
                false => self.of(inner, value).serialize(serializer),
            },
            (Type::Result { ok, .. }, Value::Result(Ok(value))) => {
                Self::one(serializer, "ok", ok.as_deref().zip(value.as_deref()).map(|(ty, value)| self.of(ty, value)))
            }
            (Type::Result { err, .. }, Value::Result(Err(value))) => {
                Self::one(serializer, "err", err.as_deref().zip(value.as_deref()).map(|(ty, value)| self.of(ty, value)))
            }
            (Type::Named(id), _) => self.shape(&self.graph.named(*id).shape, serializer),
            _ => Err(misfit()),
        }
    }
}

/// The number to write for an `f32`: the shortest that is read as it, `0.1` and not `0.10000000149011612`. JSON is read
/// as `f64` and rounded a second time; the few that would come back as their neighbour are written exactly.
fn widened(value: f32) -> f64 {
    let shortest = format!("{value:e}").parse::<f64>().unwrap_or_else(|_| value.into());
    #[expect(clippy::cast_possible_truncation, reason = "it is what a reader does")]
    let read = shortest as f32;
    if read.to_bits() == value.to_bits() { shortest } else { value.into() }
}

fn special(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}
