//! The quick way from JSON text to values: one pass, directed by the type, without a tree in between.
//!
//! It accepts what is plainly valid. Otherwise it gives up, and the thorough parser reads the text again and reports
//! all faults. So the quick parser need not explain anything; it must only never accept what the thorough parser
//! refuses, nor read it differently. A property test checks that.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::meter::{Meter, Tree};
use super::{Fault, Faults, ParseError, parse_arguments};
use crate::types::graph::{Field, Function, NamedType, Shape, Type, TypeGraph};
use crate::types::value::Value;

/// Reads the arguments of a function from the text of a JSON object with a member for each parameter.
///
/// # Errors
/// The object does not fit the parameters (all places are reported), the text is not a JSON object, or it needs more
/// memory than the meter grants.
pub fn parse_arguments_text(
    graph: &TypeGraph,
    function: &Function,
    text: &str,
    meter: &Meter<'_>,
) -> Result<Vec<Value>, ParseError> {
    if let Some(values) = quick(graph, function, text, meter) {
        return Ok(values);
    }
    if meter.is_over() {
        return Err(ParseError::OutOfMemory);
    }
    match tree(text, meter) {
        Ok(Json::Object(arguments)) => parse_arguments(graph, function, arguments, meter),
        _ if meter.is_over() => Err(ParseError::OutOfMemory),
        Ok(_) => Err(not_an_object("it is of another kind")),
        Err(error) => Err(not_an_object(&error.to_string())),
    }
}

fn not_an_object(why: &str) -> ParseError {
    Faults(vec![Fault { path: String::new(), message: format!("it is not a JSON object: {why}") }]).into()
}

fn tree(text: &str, meter: &Meter<'_>) -> serde_json::Result<Json> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let tree = Tree(meter).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(tree)
}

fn quick(graph: &TypeGraph, function: &Function, text: &str, meter: &Meter<'_>) -> Option<Vec<Value>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let values = deserializer.deserialize_map(Members(&Reading { graph, meter }, &function.params)).ok()?;
    deserializer.end().ok()?;
    Some(values)
}

/// The message that ends the quick parser. It is never shown.
const GIVE_UP: &str = "not plainly right";

fn give_up<T, E: Error>() -> Result<T, E> {
    Err(E::custom(GIVE_UP))
}

/// Ends the parser if the meter refused memory; this ends the thorough parser too.
fn taken<T, E: Error>(taken: Option<T>) -> Result<T, E> {
    taken.map_or_else(give_up, Ok)
}

/// What all parts of the parser share. It is behind one pointer, so that a part fits into two registers.
struct Reading<'a> {
    graph: &'a TypeGraph,
    meter: &'a Meter<'a>,
}

/// One value of a type.
#[derive(Clone, Copy)]
struct Typed<'a>(&'a Reading<'a>, &'a Type);

impl<'a> Typed<'a> {
    const fn of(self, ty: &'a Type) -> Self {
        Self(self.0, ty)
    }

    /// Reads a value into a box.
    fn boxed<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Box<Value>, D::Error> {
        taken(self.0.meter.boxed())?;
        self.deserialize(deserializer).map(Box::new)
    }

    fn named<'de, D: Deserializer<'de>>(self, named: &'a NamedType, deserializer: D) -> Result<Value, D::Error> {
        let Self(reading, _) = self;
        match &named.shape {
            Shape::Alias(target) => self.of(target).deserialize(deserializer),
            Shape::Record(fields) => deserializer.deserialize_map(Members(reading, fields)).map(Value::Record),
            Shape::Enum(_) => Named(named).deserialize(deserializer).map(|case| Value::Enum(super::u32_index(case))),
            Shape::Flags(_) => deserializer.deserialize_seq(Set(reading.meter, named)).map(Value::Flags),
            Shape::Variant(_) => deserializer.deserialize_map(Tagged(reading, named)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Typed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Self(reading, ty) = self;
        match reading.graph.resolve(ty) {
            Type::Bool => bool::deserialize(deserializer).map(Value::Bool),
            Type::U8 => u8::deserialize(deserializer).map(|value| Value::Unsigned(value.into())),
            Type::U16 => u16::deserialize(deserializer).map(|value| Value::Unsigned(value.into())),
            Type::U32 => u32::deserialize(deserializer).map(|value| Value::Unsigned(value.into())),
            Type::U64 => u64::deserialize(deserializer).map(Value::Unsigned),
            Type::S8 => i8::deserialize(deserializer).map(|value| Value::Signed(value.into())),
            Type::S16 => i16::deserialize(deserializer).map(|value| Value::Signed(value.into())),
            Type::S32 => i32::deserialize(deserializer).map(|value| Value::Signed(value.into())),
            Type::S64 => i64::deserialize(deserializer).map(Value::Signed),
            // The range of `f32` is the thorough way's to judge.
            Type::F32 => give_up(),
            Type::F64 => f64::deserialize(deserializer).map(Value::Float64),
            Type::Char => char::deserialize(deserializer).map(Value::Char),
            Type::String => deserializer.deserialize_str(Text(reading.meter)),
            Type::Bytes => deserializer.deserialize_str(Base64(reading.meter)),
            Type::List(item) => deserializer.deserialize_seq(Items(self.of(item))).map(Value::List),
            Type::Option(inner) => deserializer.deserialize_option(Optional(self.of(inner))),
            Type::Tuple(types) => deserializer.deserialize_seq(Positions(self, types)).map(Value::Tuple),
            Type::Result { ok, err } => {
                deserializer.deserialize_map(Outcome { reading, ok: ok.as_deref(), err: err.as_deref() })
            }
            Type::Named(id) => self.named(reading.graph.named(*id), deserializer),
        }
    }
}

/// Every visitor here expects one thing, and says the same when it meets another.
macro_rules! expecting {
    () => {
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("what the type says")
        }
    };
}

/// The members of an object: fields of a record, or arguments.
struct Members<'a>(&'a Reading<'a>, &'a [Field]);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Vec<Value>;
    expecting!();

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Value>, A::Error> {
        let Self(reading, fields) = self;
        if fields.len() > u64::BITS as usize {
            return give_up();
        }
        // Every field starts as an omitted option until it is read.
        let mut values: Vec<Value> = taken(reading.meter.list(fields.len()))?;
        values.resize_with(fields.len(), || Value::Option(None));
        let (mut seen, mut next) = (0_u64, 0);
        while let Some(index) = map.next_key_seed(Member { fields, next })? {
            if seen & 1 << index != 0 {
                return give_up();
            }
            seen |= 1 << index;
            next = index + 1;
            values[index] = map.next_value_seed(Typed(reading, &fields[index].ty))?;
        }
        let absent = |(index, field): (usize, &Field)| seen & 1 << index == 0 && !reading.graph.is_optional(&field.ty);
        if fields.iter().enumerate().any(absent) { give_up() } else { Ok(values) }
    }
}

/// The place of a field by its name. As a rule it is the one after the last.
struct Member<'a> {
    fields: &'a [Field],
    next: usize,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Member<'_> {
    type Value = usize;
    expecting!();

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        let Self { fields, next } = self;
        if fields.get(next).is_some_and(|field| field.name == name) {
            return Ok(next);
        }
        fields.iter().position(|field| field.name == name).map_or_else(give_up, Ok)
    }
}

/// The place of a name among others.
struct Place<I>(I);

impl<'de, 'a, I: Iterator<Item = &'a str>> DeserializeSeed<'de> for Place<I> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a, I: Iterator<Item = &'a str>> Visitor<'_> for Place<I> {
    type Value = usize;
    expecting!();

    fn visit_str<E: Error>(mut self, name: &str) -> Result<usize, E> {
        self.0.position(|known| known == name).map_or_else(give_up, Ok)
    }
}

/// The place of a case or a flag of a type, by its name.
struct Named<'a>(&'a NamedType);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Named<'_> {
    type Value = usize;
    expecting!();

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        self.0.position(name).map_or_else(give_up, Ok)
    }
}

/// Flags: each at most once, in any order.
struct Set<'a>(&'a Meter<'a>, &'a NamedType);

impl<'de> Visitor<'de> for Set<'_> {
    type Value = Vec<u32>;
    expecting!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<u32>, A::Error> {
        let Self(meter, named) = self;
        let mut set = Vec::new();
        while let Some(flag) = items.next_element_seed(Named(named))? {
            taken(meter.push(&mut set, super::u32_index(flag)))?;
        }
        set.sort_unstable();
        if set.is_sorted_by(|a, b| a < b) { Ok(set) } else { give_up() }
    }
}

/// The items of a list.
struct Items<'a>(Typed<'a>);

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Vec<Value>;
    expecting!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Value>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self.0)? {
            taken(self.0.0.meter.push(&mut values, value))?;
        }
        Ok(values)
    }
}

/// The items of a tuple, which has exactly as many.
struct Positions<'a>(Typed<'a>, &'a [Type]);

impl<'de> Visitor<'de> for Positions<'_> {
    type Value = Vec<Value>;
    expecting!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Value>, A::Error> {
        let mut values = taken(self.0.0.meter.list(self.1.len()))?;
        for ty in self.1 {
            match items.next_element_seed(self.0.of(ty))? {
                Some(value) => values.push(value),
                None => return give_up(),
            }
        }
        // One too many is noticed by the deserializer, which finds no end where it must be.
        Ok(values)
    }
}

/// `null`, or a value; where that value is an option itself, it stands under `some`.
struct Optional<'a>(Typed<'a>);

impl<'de> Visitor<'de> for Optional<'_> {
    type Value = Value;
    expecting!();

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Option(None))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Option(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0.0.graph.is_optional(self.0.1) {
            false => self.0.boxed(deserializer).map(|value| Value::Option(Some(value))),
            true => give_up(),
        }
    }
}

/// An object with the one member `ok` or `err`.
struct Outcome<'a> {
    reading: &'a Reading<'a>,
    ok: Option<&'a Type>,
    err: Option<&'a Type>,
}

impl<'de> Visitor<'de> for Outcome<'_> {
    type Value = Value;
    expecting!();

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Some(side) = map.next_key_seed(Place(["ok", "err"].into_iter()))? else { return give_up() };
        let ty = if side == 0 { self.ok } else { self.err };
        let payload = match ty {
            Some(ty) => Some(map.next_value_seed(Boxed(Typed(self.reading, ty)))?),
            None => {
                map.next_value::<()>()?;
                None
            }
        };
        if map.next_key_seed(Place(std::iter::empty()))?.is_some() {
            return give_up();
        }
        Ok(Value::Result(if side == 0 { Ok(payload) } else { Err(payload) }))
    }
}

/// An object with `tag`, and then `val` where the case has a value.
struct Tagged<'a>(&'a Reading<'a>, &'a NamedType);

impl<'de> Visitor<'de> for Tagged<'_> {
    type Value = Value;
    expecting!();

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Self(reading, named) = self;
        let Shape::Variant(cases) = &named.shape else { return give_up() };
        // The value before its tag is right too, but cannot be read before the tag is known.
        let Some(0) = map.next_key_seed(Place(["tag"].into_iter()))? else { return give_up() };
        let index = map.next_value_seed(Named(named))?;
        let payload = match &cases[index].ty {
            None => None,
            Some(ty) => {
                let Some(0) = map.next_key_seed(Place(["val"].into_iter()))? else { return give_up() };
                Some(map.next_value_seed(Boxed(Typed(reading, ty)))?)
            }
        };
        if map.next_key_seed(Place(std::iter::empty()))?.is_some() {
            return give_up();
        }
        Ok(Value::Variant(super::u32_index(index), payload))
    }
}

/// A value in a box.
struct Boxed<'a>(Typed<'a>);

impl<'de> DeserializeSeed<'de> for Boxed<'_> {
    type Value = Box<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Box<Value>, D::Error> {
        self.0.boxed(deserializer)
    }
}

/// A text.
struct Text<'a>(&'a Meter<'a>);

impl Visitor<'_> for Text<'_> {
    type Value = Value;
    expecting!();

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        taken(self.0.allocation(text.len()))?;
        Ok(Value::String(text.to_owned()))
    }
}

/// Bytes, decoded from where they stand in the text.
struct Base64<'a>(&'a Meter<'a>);

impl Visitor<'_> for Base64<'_> {
    type Value = Value;
    expecting!();

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        taken(self.0.allocation(text.len()))?;
        let bytes = base64_simd::STANDARD.decode_to_vec(text.as_bytes());
        bytes.map_or_else(|_| give_up(), |bytes| Ok(Value::Bytes(bytes.into())))
    }
}
