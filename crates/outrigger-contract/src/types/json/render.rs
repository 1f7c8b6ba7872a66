//! Values to JSON: as text, without a tree in between, or as a tree.

use std::io;

use base64_simd::{Out, STANDARD};
use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value as Json;
use serde_json::ser::Formatter;

use crate::types::graph::{Label, Shape, Type, TypeGraph};
use crate::types::value::Value;

/// A value with its type, to be written as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Rendered<'a> {
    pub graph: &'a TypeGraph,
    pub ty: &'a Type,
    pub value: &'a Value,
}

impl Rendered<'_> {
    /// Writes the value as JSON text, in short pieces.
    ///
    /// # Errors
    /// The writer fails, or the value is not of its type.
    pub fn write(self, writer: impl io::Write) -> serde_json::Result<()> {
        let Self { graph, ty, value } = self;
        Part::<TEXT> { graph, ty, value }.serialize(&mut serde_json::Serializer::with_formatter(writer, Base64))
    }
}

/// A value as a JSON tree.
#[must_use]
pub fn render(graph: &TypeGraph, ty: &Type, value: &Value) -> Json {
    serde_json::to_value(Part::<TREE> { graph, ty, value }).unwrap_or(Json::Null)
}

/// Writes bytes as a base64 string, in pieces. That takes no memory, and serde does not search the text for characters to
/// escape.
struct Base64;

impl Formatter for Base64 {
    fn write_byte_array<W: ?Sized + io::Write>(&mut self, writer: &mut W, bytes: &[u8]) -> io::Result<()> {
        write_base64(writer, bytes)
    }
}

/// Not inlined: its buffer would be on the stack for each level of a nested value.
#[inline(never)]
fn write_base64<W: ?Sized + io::Write>(writer: &mut W, bytes: &[u8]) -> io::Result<()> {
    /// Three bytes become four characters.
    const PIECE: usize = 3 << 10;
    let mut text = [0; PIECE / 3 * 4];
    writer.write_all(b"\"")?;
    for piece in bytes.chunks(PIECE) {
        writer.write_all(STANDARD.encode(piece, Out::from_slice(&mut text)))?;
    }
    writer.write_all(b"\"")
}

/// What is made of bytes: the formatter writes them as base64, or they become a string of a tree.
const TEXT: bool = false;
const TREE: bool = true;

/// A value or a part of one.
#[derive(Clone, Copy)]
struct Part<'a, const TARGET: bool> {
    graph: &'a TypeGraph,
    ty: &'a Type,
    value: &'a Value,
}

impl<'a, const TARGET: bool> Part<'a, TARGET> {
    const fn of(&self, ty: &'a Type, value: &'a Value) -> Self {
        Self { ty, value, ..*self }
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

impl<const TARGET: bool> Serialize for Part<'_, TARGET> {
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
            (_, Value::Bytes(value)) => match TARGET {
                TEXT => serializer.serialize_bytes(value),
                TREE => serializer.serialize_str(&STANDARD.encode_to_string(value)),
            },
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
