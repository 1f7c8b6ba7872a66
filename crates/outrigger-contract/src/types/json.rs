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

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value as Json};

use super::graph::{Case, Field, Function, Label, Shape, Type, TypeGraph};
use super::value::Value;

/// The number of faults after which reading stops: enough to correct, not enough to drown in.
const FAULTS_AT_MOST: usize = 20;

/// One place where JSON does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fault {
    /// Where, as a JSON pointer into the arguments; empty for the whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// All that does not fit. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Faults(pub Vec<Fault>);

/// Reads the arguments of a function from a JSON object with a member for each parameter.
///
/// # Errors
/// All places where the object does not fit the parameters.
pub fn parse_arguments(
    graph: &TypeGraph,
    function: &Function,
    arguments: Map<String, Json>,
) -> Result<Vec<Value>, Faults> {
    let mut reader = Reader::new(graph);
    let values = reader.fields(&function.params, arguments, "argument");
    reader.finish(values)
}

/// Reads one value.
///
/// # Errors
/// All places where the JSON does not fit the type.
pub fn parse(graph: &TypeGraph, ty: &Type, json: Json) -> Result<Value, Faults> {
    let mut reader = Reader::new(graph);
    let value = reader.value(ty, json);
    reader.finish(value)
}

/// Checks that values which did not come from JSON fit the parameters of a function.
///
/// # Errors
/// The first place where they do not.
pub fn check_arguments(graph: &TypeGraph, function: &Function, values: &[Value]) -> Result<(), Faults> {
    let fault = |path: String, message: String| Err(Faults(vec![Fault { path, message }]));
    if values.len() != function.params.len() {
        return fault(String::new(), format!("takes {} arguments, {} were given", function.params.len(), values.len()));
    }
    for (param, value) in function.params.iter().zip(values) {
        if !fits(graph, &param.ty, value) {
            return fault(format!("/{}", param.name), format!("is not of type {}", graph.display(&param.ty)));
        }
    }
    Ok(())
}

/// Whether a value is one of this type.
#[must_use]
pub fn fits(graph: &TypeGraph, ty: &Type, value: &Value) -> bool {
    let fits_payload = |ty: Option<&Type>, payload: Option<&Value>| match (ty, payload) {
        (None, None) => true,
        (Some(ty), Some(value)) => fits(graph, ty, value),
        _ => false,
    };
    let in_range = |value: u64, max: u64| value <= max;
    let within = |value: i64, min: i64, max: i64| (min..=max).contains(&value);
    match (graph.resolve(ty), value) {
        (Type::Bool, Value::Bool(_))
        | (Type::U64, Value::Unsigned(_))
        | (Type::S64, Value::Signed(_))
        | (Type::F32, Value::Float32(_))
        | (Type::F64, Value::Float64(_))
        | (Type::Char, Value::Char(_))
        | (Type::String, Value::String(_))
        | (Type::Bytes, Value::Bytes(_)) => true,
        (Type::U8, Value::Unsigned(n)) => in_range(*n, u8::MAX.into()),
        (Type::U16, Value::Unsigned(n)) => in_range(*n, u16::MAX.into()),
        (Type::U32, Value::Unsigned(n)) => in_range(*n, u32::MAX.into()),
        (Type::S8, Value::Signed(n)) => within(*n, i8::MIN.into(), i8::MAX.into()),
        (Type::S16, Value::Signed(n)) => within(*n, i16::MIN.into(), i16::MAX.into()),
        (Type::S32, Value::Signed(n)) => within(*n, i32::MIN.into(), i32::MAX.into()),
        (Type::List(item), Value::List(values)) => values.iter().all(|value| fits(graph, item, value)),
        (Type::Option(_), Value::Option(None)) => true,
        (Type::Option(inner), Value::Option(Some(value))) => fits(graph, inner, value),
        (Type::Tuple(types), Value::Tuple(values)) => {
            types.len() == values.len() && types.iter().zip(values).all(|(ty, value)| fits(graph, ty, value))
        }
        (Type::Result { ok, .. }, Value::Result(Ok(payload))) => fits_payload(ok.as_deref(), payload.as_deref()),
        (Type::Result { err, .. }, Value::Result(Err(payload))) => fits_payload(err.as_deref(), payload.as_deref()),
        (Type::Named(id), value) => match (&graph.named(*id).shape, value) {
            (Shape::Record(fields), Value::Record(values)) => {
                fields.len() == values.len()
                    && fields.iter().zip(values).all(|(field, value)| fits(graph, &field.ty, value))
            }
            (Shape::Variant(cases), Value::Variant(index, payload)) => {
                cases.get(*index as usize).is_some_and(|case| fits_payload(case.ty.as_ref(), payload.as_deref()))
            }
            (Shape::Enum(cases), Value::Enum(index)) => (*index as usize) < cases.len(),
            (Shape::Flags(flags), Value::Flags(set)) => {
                set.is_sorted_by(|a, b| a < b) && set.last().is_none_or(|last| (*last as usize) < flags.len())
            }
            _ => false,
        },
        _ => false,
    }
}

/// Reads values and gathers faults, with the path to where it stands.
struct Reader<'a> {
    graph: &'a TypeGraph,
    path: Vec<Step<'a>>,
    faults: Vec<Fault>,
}

/// One step of a path. Steps become text only when there is a fault to report.
enum Step<'a> {
    Member(&'a str),
    Index(usize),
}

/// A bound on integers: least and greatest value.
type Bounds = (i128, i128);

impl<'a> Reader<'a> {
    fn new(graph: &'a TypeGraph) -> Self {
        Self { graph, path: Vec::new(), faults: Vec::new() }
    }

    fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(Faults(self.faults)),
        }
    }

    fn fault<T>(&mut self, message: impl Into<String>) -> Option<T> {
        if self.faults.len() < FAULTS_AT_MOST {
            let mut path = String::new();
            for step in &self.path {
                path.push('/');
                match step {
                    Step::Member(name) => path.push_str(&name.replace('~', "~0").replace('/', "~1")),
                    Step::Index(index) => path.push_str(&index.to_string()),
                }
            }
            self.faults.push(Fault { path, message: message.into() });
        }
        None
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
                Json::String(text) => Some(Value::String(text)),
                other => self.mismatch("a string", &other),
            },
            Type::Bytes => self.bytes(&json),
            Type::List(item) => self.list(item, json),
            Type::Option(inner) => self.option(inner, json),
            Type::Tuple(types) => self.tuple(types, json),
            Type::Result { ok, err } => self.result(ok.as_deref(), err.as_deref(), json),
            Type::Named(id) => {
                let graph = self.graph;
                self.shape(&graph.named(*id).shape, json)
            }
        }
    }

    fn shape(&mut self, shape: &'a Shape, json: Json) -> Option<Value> {
        match shape {
            Shape::Alias(target) => self.value(target, json),
            Shape::Record(fields) => match json {
                Json::Object(members) => self.fields(fields, members, "field").map(Value::Record),
                other => self.mismatch("an object", &other),
            },
            Shape::Enum(labels) => match &json {
                Json::String(name) => self.label(labels, name, "case").map(Value::Enum),
                other => self.mismatch(&format!("one of {}", names(labels)), other),
            },
            Shape::Flags(labels) => self.flags(labels, json),
            Shape::Variant(cases) => self.variant(cases, json),
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
            Json::String(text) if wide && is_decimal(text) => text.parse().ok(),
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
        #[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest is what f32 means")]
        let value = wide as f32;
        if wide.is_finite() && value.is_infinite() {
            return self.fault(format!("must be from {} to {}, but is {wide}", f32::MIN, f32::MAX));
        }
        Some(Value::Float32(value))
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
            Json::String(text) => match base64_simd::STANDARD.decode_to_vec(text.as_bytes()) {
                Ok(bytes) => Some(Value::Bytes(bytes.into())),
                Err(_) => self.fault("must be base64 with the standard alphabet and padding"),
            },
            other => self.mismatch("a base64 string", other),
        }
    }

    fn list(&mut self, item: &'a Type, json: Json) -> Option<Value> {
        let Json::Array(items) = json else { return self.mismatch("an array", &json) };
        let mut values = Vec::with_capacity(items.len());
        for (index, json) in items.into_iter().enumerate() {
            let value = self.at(Step::Index(index), |reader| reader.value(item, json));
            values.extend(value);
            if self.faults.len() >= FAULTS_AT_MOST {
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
        let mut values = Vec::with_capacity(items.len());
        for (index, (ty, json)) in types.iter().zip(items).enumerate() {
            values.extend(self.at(Step::Index(index), |reader| reader.value(ty, json)));
        }
        Some(Value::Tuple(values))
    }

    fn option(&mut self, inner: &'a Type, json: Json) -> Option<Value> {
        if json.is_null() {
            return Some(Value::Option(None));
        }
        if !self.graph.is_optional(inner) {
            return self.value(inner, json).map(|value| Value::Option(Some(Box::new(value))));
        }
        let wanted = "null or an object with the one member \"some\"";
        let Json::Object(mut members) = json else { return self.mismatch(wanted, &json) };
        match members.remove("some") {
            Some(json) if members.is_empty() => {
                let value = self.at(Step::Member("some"), |reader| reader.value(inner, json))?;
                Some(Value::Option(Some(Box::new(value))))
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
            Some(ty) => self.value(ty, json).map(|value| Some(Box::new(value))),
            None if json.is_null() => Some(None),
            None => self.mismatch("null", &json),
        }
    }

    fn variant(&mut self, cases: &'a [Case], json: Json) -> Option<Value> {
        let wanted = "an object with the member \"tag\", and \"val\" where the case has a value";
        let Json::Object(mut members) = json else { return self.mismatch(wanted, &json) };
        let Some(Json::String(tag)) = members.remove("tag") else { return self.fault(format!("must be {wanted}")) };
        let val = members.remove("val");
        if let Some(name) = members.keys().next() {
            return self.fault(format!("must be {wanted}; `{name}` does not belong there"));
        }
        let Some(index) = cases.iter().position(|case| case.name == tag) else {
            return self.at(Step::Member("tag"), |reader| {
                reader.fault(unknown("case", &tag, cases.iter().map(|case| case.name.as_str())))
            });
        };
        let payload = match (&cases[index].ty, val) {
            (None, None) => None,
            (Some(ty), Some(json)) => Some(Box::new(self.at(Step::Member("val"), |reader| reader.value(ty, json))?)),
            (Some(ty), None) => {
                let ty = self.graph.display(ty);
                return self.fault(format!("needs \"val\": the case `{tag}` has a value of type {ty}"));
            }
            (None, Some(_)) => return self.fault(format!("must not have \"val\": the case `{tag}` has no value")),
        };
        Some(Value::Variant(u32_index(index), payload))
    }

    fn flags(&mut self, labels: &'a [Label], json: Json) -> Option<Value> {
        let Json::Array(items) = json else { return self.mismatch("an array of names", &json) };
        let mut set = Vec::with_capacity(items.len());
        for (index, json) in items.into_iter().enumerate() {
            let flag = self.at(Step::Index(index), |reader| match &json {
                Json::String(name) => reader.label(labels, name, "flag"),
                other => reader.mismatch(&format!("one of {}", names(labels)), other),
            });
            set.extend(flag);
        }
        set.sort_unstable();
        if set.windows(2).any(|pair| pair[0] == pair[1]) {
            return self.fault("must name each flag only once");
        }
        Some(Value::Flags(set))
    }

    fn label(&mut self, labels: &[Label], name: &str, what: &str) -> Option<u32> {
        match labels.iter().position(|label| label.name == name) {
            Some(index) => Some(u32_index(index)),
            None => self.fault(unknown(what, name, labels.iter().map(|label| label.name.as_str()))),
        }
    }

    fn fields(&mut self, fields: &'a [Field], mut members: Map<String, Json>, what: &str) -> Option<Vec<Value>> {
        let mut values = Vec::with_capacity(fields.len());
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
        }
        for name in members.keys() {
            self.fault::<()>(unknown(what, name, fields.iter().map(|field| field.name.as_str())));
        }
        (values.len() == fields.len()).then_some(values)
    }
}

fn u32_index(index: usize) -> u32 {
    u32::try_from(index).expect("a component cannot have four billion cases")
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.starts_with('0') && digits.len() > 1;
    (1..=20).contains(&digits.len()) && !leading_zero && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Says that a name is not known, with the one that was probably meant.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known
        .clone()
        .map(|candidate| (strsim::damerau_levenshtein(candidate, name), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4);
    let shown: String = name.chars().take(60).collect();
    match nearest {
        Some((_, candidate)) => format!("there is no {what} `{shown}`; did you mean `{candidate}`?"),
        None => {
            let known: Vec<_> = known.take(30).map(|name| format!("`{name}`")).collect();
            match known.is_empty() {
                true => format!("there is no {what} `{shown}`; none is expected here"),
                false => format!("there is no {what} `{shown}`; there is {}", known.join(", ")),
            }
        }
    }
}

fn names(labels: &[Label]) -> String {
    labels.iter().map(|label| format!("\"{}\"", label.name)).collect::<Vec<_>>().join(", ")
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
            (Shape::Record(fields), Value::Record(values)) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (field, value) in fields.iter().zip(values) {
                    map.serialize_entry(&field.name, &self.of(&field.ty, value))?;
                }
                map.end()
            }
            (Shape::Enum(labels), Value::Enum(index)) => serializer.serialize_str(&labels[*index as usize].name),
            (Shape::Flags(labels), Value::Flags(set)) => {
                serializer.collect_seq(set.iter().map(|index| labels[*index as usize].name.as_str()))
            }
            (Shape::Variant(cases), Value::Variant(index, payload)) => {
                let case = &cases[*index as usize];
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("tag", &case.name)?;
                if let (Some(ty), Some(value)) = (&case.ty, payload) {
                    map.serialize_entry("val", &self.of(ty, value))?;
                }
                map.end()
            }
            _ => Err(serde::ser::Error::custom("the value is not of its type")),
        }
    }
}

impl Serialize for Rendered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ty = self.graph.resolve(self.ty);
        match (ty, self.value) {
            (_, Value::Bool(value)) => serializer.serialize_bool(*value),
            (_, Value::Unsigned(value)) => serializer.serialize_u64(*value),
            (_, Value::Signed(value)) => serializer.serialize_i64(*value),
            (_, Value::Float32(value)) if value.is_finite() => serializer.serialize_f32(*value),
            (_, Value::Float32(value)) => serializer.serialize_str(special((*value).into())),
            (_, Value::Float64(value)) if value.is_finite() => serializer.serialize_f64(*value),
            (_, Value::Float64(value)) => serializer.serialize_str(special(*value)),
            (_, Value::Char(value)) => serializer.serialize_char(*value),
            (_, Value::String(value)) => serializer.serialize_str(value),
            (_, Value::Bytes(value)) => serializer.serialize_str(&base64_simd::STANDARD.encode_to_string(value)),
            (Type::List(item), Value::List(values)) => {
                Self::items(serializer, values.iter().map(|value| self.of(item, value)))
            }
            (Type::Tuple(types), Value::Tuple(values)) => {
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
            _ => Err(serde::ser::Error::custom("the value is not of its type")),
        }
    }
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
