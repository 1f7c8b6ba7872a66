//! JSON to values and back, directed by the type. Both directions keep to the schema of [`super::schema`]:
//! what it accepts is parsed, what it refuses is refused, and every value is rendered as one shape, without loss.
//!
//! | type | JSON |
//! |---|---|
//! | integers | a number; `u64` and `s64` are also read from a decimal string |
//! | floats | a number, or `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | `char` | a string of one character |
//! | `list<u8>` | a base64 string (standard alphabet, padded) |
//! | `option<t>` | `t` or `null`; where `t` is an option itself, `{"some": t}` or `null` |
//! | `result<t, e>` | `{"ok": t}` or `{"err": e}` |
//! | variant | `{"tag": "case"}`, with `"val"` where the case has a payload |
//! | enum | the name of the case |
//! | flags | an array of the names that are set |
//! | record | an object; a field that is an option may be left out when read, and is `null` when written |
//! | tuple | an array |
//!
//! In two places the schema accepts what is refused here. Whole numbers beyond 2^53 that are written as floats
//! (`1e17`) are integers to JSON Schema; here they are not, because their digits may be lost already. And that base64 is
//! padded as it must be is checked here alone: on megabytes, a pattern for it makes some validators run out of stack.

mod fits;
mod meter;
mod render;
mod size;
mod text;

use serde_json::{Map, Value as Json};

use super::graph::{Case, Field, Function, Label, NamedType, Shape, Type, TypeGraph};
use super::value::Value;
use crate::excerpt::{self, excerpt};
use crate::near;

pub use fits::{check_arguments, fits};
pub(crate) use meter::ALLOCATION;
pub use meter::Meter;
pub use render::{Rendered, render};
pub use size::{TreeBound, members_size, tree_size};
pub use text::parse_arguments_text;

/// The greatest finite `f32` as the shortest decimal that is read as it. A little more than its exact value.
pub(super) const GREATEST_F32: f64 = 3.402_823_5e38;

/// The number of faults after which reading stops: enough to correct, not enough to drown in.
const FAULTS_AT_MOST: usize = 20;

/// One place where JSON does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fault {
    /// Where, as a JSON pointer into the arguments; empty for the whole.
    pub path: String,
    /// The problem and the expected form.
    pub message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// All faults, or the first [`FAULTS_AT_MOST`]. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "; " })?;
        }
        if self.0.len() < FAULTS_AT_MOST { Ok(()) } else { f.write_str("; there may be more") }
    }
}

/// The reason why arguments are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error(transparent)]
    Faults(#[from] Faults),
    /// They need more memory than the [`Meter`] grants.
    #[error("the arguments exceed the memory limit of the call")]
    OutOfMemory,
}

/// Reads the arguments of a function from a JSON object with a member for each parameter.
///
/// # Errors
/// The object does not fit the parameters (all places are reported), or it needs more memory than the meter grants.
pub fn parse_arguments(
    graph: &TypeGraph,
    function: &Function,
    arguments: Map<String, Json>,
    meter: &Meter<'_>,
) -> Result<Vec<Value>, ParseError> {
    let mut reader = Reader::new(graph, meter);
    let values = reader.fields(&function.params, arguments, "argument");
    reader.finish(values)
}

/// Reads one value.
///
/// # Errors
/// All places where the JSON does not fit the type.
pub fn parse(graph: &TypeGraph, ty: &Type, json: Json) -> Result<Value, Faults> {
    let meter = Meter::unbounded();
    let mut reader = Reader::new(graph, &meter);
    let value = reader.value(ty, json);
    reader.finish(value).map_err(|error| match error {
        ParseError::Faults(faults) => faults,
        ParseError::OutOfMemory => unreachable!("the meter is unbounded"),
    })
}

/// Reads values and gathers faults, with the path to where it stands.
struct Reader<'a> {
    graph: &'a TypeGraph,
    path: Vec<Step<'a>>,
    faults: Vec<Fault>,
    meter: &'a Meter<'a>,
}

/// One step of a path. Steps become text only when there is a fault to report.
enum Step<'a> {
    Member(&'a str),
    Index(usize),
}

/// A bound on integers: least and greatest value.
type Bounds = (i128, i128);

impl<'a> Reader<'a> {
    fn new(graph: &'a TypeGraph, meter: &'a Meter<'a>) -> Self {
        Self { graph, path: Vec::new(), faults: Vec::new(), meter }
    }

    fn finish<T>(self, value: Option<T>) -> Result<T, ParseError> {
        match value {
            _ if self.meter.is_over() => Err(ParseError::OutOfMemory),
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(Faults(self.faults).into()),
        }
    }

    fn fault<T>(&mut self, message: impl Into<String>) -> Option<T> {
        if !self.full() {
            let mut path = String::new();
            for step in &self.path {
                path.push('/');
                match step {
                    Step::Member(name) => path.push_str(&name.replace('~', "~0").replace('/', "~1")),
                    Step::Index(index) => path.push_str(&index.to_string()),
                }
                if path.len() > excerpt::LONGEST {
                    break;
                }
            }
            self.faults.push(Fault { path: excerpt(path), message: excerpt(message) });
        }
        None
    }

    /// Whether to stop: enough faults were found, or the memory limit was reached.
    fn full(&self) -> bool {
        self.faults.len() >= FAULTS_AT_MOST || self.meter.is_over()
    }

    fn mismatch<T>(&mut self, wanted: &str, found: &Json) -> Option<T> {
        self.fault(format!("must be {wanted}, but is {}", describe(found)))
    }

    /// Reads what lies one step further down.
    fn at<T>(&mut self, step: Step<'a>, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.path.push(step);
        let value = read(self);
        self.path.pop();
        value
    }

    fn value(&mut self, ty: &'a Type, json: Json) -> Option<Value> {
        match ty {
            Type::Bool => match json {
                Json::Bool(value) => Some(Value::Bool(value)),
                other => self.mismatch("true or false", &other),
            },
            Type::U8 => self.unsigned((0, u8::MAX.into()), &json),
            Type::U16 => self.unsigned((0, u16::MAX.into()), &json),
            Type::U32 => self.unsigned((0, u32::MAX.into()), &json),
            Type::U64 => self.unsigned((0, u64::MAX.into()), &json),
            Type::S8 => self.signed((i8::MIN.into(), i8::MAX.into()), &json),
            Type::S16 => self.signed((i16::MIN.into(), i16::MAX.into()), &json),
            Type::S32 => self.signed((i32::MIN.into(), i32::MAX.into()), &json),
            Type::S64 => self.signed((i64::MIN.into(), i64::MAX.into()), &json),
            Type::F32 => self.float32(&json),
            Type::F64 => self.float(&json).map(Value::Float64),
            Type::Char => self.char(&json),
            Type::String => match json {
                Json::String(text) => {
                    // It moves from the tree, which is soon freed.
                    self.meter.allocation(text.capacity())?;
                    Some(Value::String(text))
                }
                other => self.mismatch("a string", &other),
            },
            Type::Bytes => self.bytes(&json),
            Type::List(item) => self.list(item, json),
            Type::Option(inner) => self.option(inner, json),
            Type::Tuple(types) => self.tuple(types, json),
            Type::Result { ok, err } => self.result(ok.as_deref(), err.as_deref(), json),
            Type::Named(id) => {
                let graph = self.graph;
                self.named(graph.named(*id), json)
            }
        }
    }

    /// Reads a value into a box.
    fn boxed(&mut self, ty: &'a Type, json: Json) -> Option<Box<Value>> {
        self.meter.boxed()?;
        self.value(ty, json).map(Box::new)
    }

    fn named(&mut self, named: &'a NamedType, json: Json) -> Option<Value> {
        match &named.shape {
            Shape::Alias(target) => self.value(target, json),
            Shape::Record(fields) => match json {
                Json::Object(members) => self.fields(fields, members, "field").map(Value::Record),
                other => self.mismatch("an object", &other),
            },
            Shape::Enum(labels) => match &json {
                Json::String(name) => self.label(named, labels, name, "case").map(Value::Enum),
                other => self.mismatch(&format!("one of {}", names(labels)), other),
            },
            Shape::Flags(labels) => self.flags(named, labels, json),
            Shape::Variant(cases) => self.variant(named, cases, json),
        }
    }

    fn integer(&mut self, (least, greatest): Bounds, json: &Json) -> Option<i128> {
        let wide = greatest > (1 << 53);
        let number = match json {
            Json::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => Some(i128::from(value)),
                (None, Some(value), _) => Some(i128::from(value)),
                // 5.0 is an integer to JSON Schema. Past 2^53 a float no longer says which one.
                #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
                (None, None, Some(value)) if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 => {
                    Some(value as i128)
                }
                _ => None,
            },
            Json::String(text) if wide && is_decimal(text, least < 0) => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(value) if (least..=greatest).contains(&value) => Some(value),
            Some(value) => self.fault(format!("must be from {least} to {greatest}, but is {value}")),
            None => self.mismatch(&format!("an integer from {least} to {greatest}"), json),
        }
    }

    fn unsigned(&mut self, bounds: Bounds, json: &Json) -> Option<Value> {
        let value = self.integer(bounds, json)?;
        Some(Value::Unsigned(u64::try_from(value).expect("the bounds are within u64")))
    }

    fn signed(&mut self, bounds: Bounds, json: &Json) -> Option<Value> {
        let value = self.integer(bounds, json)?;
        Some(Value::Signed(i64::try_from(value).expect("the bounds are within i64")))
    }

    fn float(&mut self, json: &Json) -> Option<f64> {
        let value = match json {
            Json::Number(number) => number.as_f64(),
            Json::String(text) => match text.as_str() {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                _ => None,
            },
            _ => None,
        };
        match value {
            Some(value) => Some(value),
            None => self.mismatch("a number, \"NaN\", \"Infinity\" or \"-Infinity\"", json),
        }
    }

    fn float32(&mut self, json: &Json) -> Option<Value> {
        let wide = self.float(json)?;
        if wide.is_finite() && wide.abs() > GREATEST_F32 {
            return self.fault(format!("must be from -{GREATEST_F32:e} to {GREATEST_F32:e}, but is {wide:e}"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest is what f32 means")]
        Some(Value::Float32(wide as f32))
    }

    fn char(&mut self, json: &Json) -> Option<Value> {
        if let Json::String(text) = json {
            let mut characters = text.chars();
            if let (Some(character), None) = (characters.next(), characters.next()) {
                return Some(Value::Char(character));
            }
        }
        self.mismatch("a string of exactly one character", json)
    }

    fn bytes(&mut self, json: &Json) -> Option<Value> {
        match json {
            Json::String(text) if self.meter.allocation(text.len()).is_none() => None,
            Json::String(text) => match base64_simd::STANDARD.decode_to_vec(text.as_bytes()) {
                Ok(bytes) => Some(Value::Bytes(bytes.into())),
                Err(_) => self.fault("must be base64 with the standard alphabet and padding"),
            },
            other => self.mismatch("a base64 string", other),
        }
    }

    fn list(&mut self, item: &'a Type, json: Json) -> Option<Value> {
        let Json::Array(items) = json else { return self.mismatch("an array", &json) };
        let mut values = self.meter.list(items.len())?;
        for (index, json) in items.into_iter().enumerate() {
            let value = self.at(Step::Index(index), |reader| reader.value(item, json));
            values.extend(value);
            if self.full() {
                return None;
            }
        }
        Some(Value::List(values))
    }

    fn tuple(&mut self, types: &'a [Type], json: Json) -> Option<Value> {
        let Json::Array(items) = json else { return self.mismatch("an array", &json) };
        if items.len() != types.len() {
            return self.fault(format!("must have {} items, but has {}", types.len(), items.len()));
        }
        let mut values = self.meter.list(items.len())?;
        for (index, (ty, json)) in types.iter().zip(items).enumerate() {
            values.extend(self.at(Step::Index(index), |reader| reader.value(ty, json)));
            if self.full() {
                return None;
            }
        }
        Some(Value::Tuple(values))
    }

    fn option(&mut self, inner: &'a Type, json: Json) -> Option<Value> {
        if json.is_null() {
            return Some(Value::Option(None));
        }
        if !self.graph.is_optional(inner) {
            return self.boxed(inner, json).map(|value| Value::Option(Some(value)));
        }
        let wanted = "null or an object with the one member \"some\"";
        let Json::Object(mut members) = json else { return self.mismatch(wanted, &json) };
        match members.remove("some") {
            Some(json) if members.is_empty() => {
                let value = self.at(Step::Member("some"), |reader| reader.boxed(inner, json))?;
                Some(Value::Option(Some(value)))
            }
            _ => self.fault(format!("must be {wanted}")),
        }
    }

    fn result(&mut self, ok: Option<&'a Type>, err: Option<&'a Type>, json: Json) -> Option<Value> {
        let wanted = "an object with one member, \"ok\" or \"err\"";
        let Json::Object(mut members) = json else { return self.mismatch(wanted, &json) };
        match (members.remove("ok"), members.remove("err")) {
            (Some(json), None) if members.is_empty() => {
                self.at(Step::Member("ok"), |reader| reader.payload(ok, json)).map(|value| Value::Result(Ok(value)))
            }
            (None, Some(json)) if members.is_empty() => {
                self.at(Step::Member("err"), |reader| reader.payload(err, json)).map(|value| Value::Result(Err(value)))
            }
            _ => self.fault(format!("must be {wanted}")),
        }
    }

    /// The payload of a side of a result: `null` where that side has none.
    fn payload(&mut self, ty: Option<&'a Type>, json: Json) -> Option<Option<Box<Value>>> {
        match ty {
            Some(ty) => self.boxed(ty, json).map(Some),
            None if json.is_null() => Some(None),
            None => self.mismatch("null", &json),
        }
    }

    fn variant(&mut self, named: &NamedType, cases: &'a [Case], json: Json) -> Option<Value> {
        let wanted = "an object with the member \"tag\", and \"val\" where the case has a value";
        let Json::Object(mut members) = json else { return self.mismatch(wanted, &json) };
        let Some(Json::String(tag)) = members.remove("tag") else { return self.fault(format!("must be {wanted}")) };
        let val = members.remove("val");
        if let Some(name) = members.keys().next() {
            return self.fault(format!("must be {wanted}; `{name}` does not belong there"));
        }
        let Some(index) = named.position(&tag) else {
            return self.at(Step::Member("tag"), |reader| {
                reader.fault(near::unknown("case", &tag, cases.iter().map(|case| case.name.as_str())))
            });
        };
        let payload = match (&cases[index].ty, val) {
            (None, None) => None,
            (Some(ty), Some(json)) => Some(self.at(Step::Member("val"), |reader| reader.boxed(ty, json))?),
            (Some(ty), None) => {
                let ty = self.graph.display(ty);
                return self.fault(format!("needs \"val\": the case `{tag}` has a value of type {ty}"));
            }
            (None, Some(_)) => return self.fault(format!("must not have \"val\": the case `{tag}` has no value")),
        };
        Some(Value::Variant(u32_index(index), payload))
    }

    fn flags(&mut self, named: &NamedType, labels: &'a [Label], json: Json) -> Option<Value> {
        let Json::Array(items) = json else { return self.mismatch("an array of names", &json) };
        let mut set = self.meter.list(items.len())?;
        for (index, json) in items.into_iter().enumerate() {
            let flag = self.at(Step::Index(index), |reader| match &json {
                Json::String(name) => reader.label(named, labels, name, "flag"),
                other => reader.mismatch(&format!("one of {}", names(labels)), other),
            });
            set.extend(flag);
            if self.full() {
                return None;
            }
        }
        set.sort_unstable();
        if set.windows(2).any(|pair| pair[0] == pair[1]) {
            return self.fault("must name each flag only once");
        }
        Some(Value::Flags(set))
    }

    fn label(&mut self, named: &NamedType, labels: &[Label], name: &str, what: &str) -> Option<u32> {
        match named.position(name) {
            Some(index) => Some(u32_index(index)),
            None => self.fault(near::unknown(what, name, labels.iter().map(|label| label.name.as_str()))),
        }
    }

    fn fields(&mut self, fields: &'a [Field], mut members: Map<String, Json>, what: &str) -> Option<Vec<Value>> {
        let mut values = self.meter.list(fields.len())?;
        for field in fields {
            let value = match members.remove(&field.name) {
                Some(json) => self.at(Step::Member(&field.name), |reader| reader.value(&field.ty, json)),
                None if self.graph.is_optional(&field.ty) => Some(Value::Option(None)),
                None => {
                    let ty = self.graph.display(&field.ty);
                    self.fault(format!("the {what} `{}` of type {ty} is missing", field.name))
                }
            };
            values.extend(value);
            if self.full() {
                return None;
            }
        }
        for name in members.keys() {
            if self.full() {
                return None;
            }
            self.fault::<()>(near::unknown(what, name, fields.iter().map(|field| field.name.as_str())));
        }
        (values.len() == fields.len()).then_some(values)
    }
}

fn u32_index(index: usize) -> u32 {
    u32::try_from(index).expect("a component cannot have four billion cases")
}

fn is_decimal(text: &str, signed: bool) -> bool {
    let digits = text.strip_prefix('-').filter(|_| signed).unwrap_or(text);
    let leading_zero = digits.starts_with('0') && digits.len() > 1;
    (1..=20).contains(&digits.len()) && !leading_zero && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn names(labels: &[Label]) -> String {
    near::list(labels.iter().map(|label| format!("\"{}\"", label.name)))
}

fn describe(json: &Json) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) if text.chars().count() <= 40 => format!("{text:?}"),
        Json::String(_) => "a long string".to_owned(),
        Json::Array(_) => "an array".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}
