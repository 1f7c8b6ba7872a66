//! JSON Schema 2020-12 of functions and types. It says exactly what [`super::json`] reads and writes: named types stand
//! once under `$defs`, integers have their bounds, and documentation becomes `description` at every level.

use serde_json::{Map, Value as Json, json};

use super::graph::{Case, Field, Function, Label, Shape, Type, TypeGraph, TypeId};
use super::json::GREATEST_F32;

/// The dialect that every schema names.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of a function's arguments: an object with a member for each parameter.
#[must_use]
pub fn arguments(graph: &TypeGraph, function: &Function) -> Json {
    let mut renderer = Renderer::new(graph);
    let schema = renderer.record(&function.params);
    renderer.document(schema)
}

/// The schema of a function's result; `null` for one that gives nothing.
#[must_use]
pub fn result(graph: &TypeGraph, function: &Function) -> Json {
    document(graph, function.outcome.ok.as_ref())
}

/// The schema of the error value of a fallible function.
#[must_use]
pub fn error(graph: &TypeGraph, function: &Function) -> Option<Json> {
    function.outcome.err.as_ref().map(|err| document(graph, err.as_ref()))
}

/// The schema of one type as a document of its own.
#[must_use]
pub fn of(graph: &TypeGraph, ty: &Type) -> Json {
    document(graph, Some(ty))
}

fn document(graph: &TypeGraph, ty: Option<&Type>) -> Json {
    let mut renderer = Renderer::new(graph);
    let schema = renderer.payload(ty);
    renderer.document(schema)
}

struct Renderer<'a> {
    graph: &'a TypeGraph,
    /// Named types that are mentioned; `None` while one is being rendered.
    definitions: std::collections::BTreeMap<TypeId, Option<Json>>,
}

impl<'a> Renderer<'a> {
    const fn new(graph: &'a TypeGraph) -> Self {
        Self { graph, definitions: std::collections::BTreeMap::new() }
    }

    fn document(self, schema: Json) -> Json {
        let mut document = Map::new();
        document.insert("$schema".to_owned(), DIALECT.into());
        if let Json::Object(schema) = schema {
            document.extend(schema);
        }
        let definitions: Map<_, _> = self
            .definitions
            .into_iter()
            .filter_map(|(id, schema)| Some((self.graph.named(id).name.clone(), schema?)))
            .collect();
        if !definitions.is_empty() {
            document.insert("$defs".to_owned(), definitions.into());
        }
        document.into()
    }

    fn ty(&mut self, ty: &Type) -> Json {
        match ty {
            Type::Bool => json!({"type": "boolean"}),
            Type::U8 => integer(0, u8::MAX.into()),
            Type::U16 => integer(0, u16::MAX.into()),
            Type::U32 => integer(0, u32::MAX.into()),
            Type::U64 => {
                wide(json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}), &format!("^({})$", up_to(u64::MAX)))
            }
            Type::S8 => integer(i8::MIN.into(), i8::MAX.into()),
            Type::S16 => integer(i16::MIN.into(), i16::MAX.into()),
            Type::S32 => integer(i32::MIN.into(), i32::MAX.into()),
            Type::S64 => wide(
                json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}),
                &format!("^({}|-({}))$", up_to(i64::MAX.unsigned_abs()), up_to(i64::MIN.unsigned_abs())),
            ),
            Type::F32 => float(json!({"type": "number", "minimum": -GREATEST_F32, "maximum": GREATEST_F32})),
            Type::F64 => float(json!({"type": "number"})),
            Type::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
            Type::String => json!({"type": "string"}),
            Type::Bytes => {
                json!({"type": "string", "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/]*={0,2}$"})
            }
            Type::List(item) => json!({"type": "array", "items": self.ty(item)}),
            Type::Option(inner) => {
                let schema = self.ty(inner);
                match self.graph.is_optional(inner) {
                    true => json!({"anyOf": [one("some", schema), {"type": "null"}]}),
                    false => json!({"anyOf": [schema, {"type": "null"}]}),
                }
            }
            Type::Tuple(types) => {
                let items: Vec<_> = types.iter().map(|ty| self.ty(ty)).collect();
                json!({"type": "array", "prefixItems": items, "items": false, "minItems": types.len(), "maxItems": types.len()})
            }
            Type::Result { ok, err } => {
                let (ok, err) = (self.payload(ok.as_deref()), self.payload(err.as_deref()));
                json!({"oneOf": [one("ok", ok), one("err", err)]})
            }
            Type::Named(id) => self.named(*id),
        }
    }

    fn payload(&mut self, ty: Option<&Type>) -> Json {
        match ty {
            Some(ty) => self.ty(ty),
            None => json!({"type": "null"}),
        }
    }

    fn named(&mut self, id: TypeId) -> Json {
        let named = self.graph.named(id);
        if !self.definitions.contains_key(&id) {
            self.definitions.insert(id, None);
            let schema = self.shape(&named.shape);
            self.definitions.insert(id, Some(described(schema, &named.docs)));
        }
        // A JSON pointer inside a URI fragment. Names are letters, digits, `-` and `.`: there is nothing to escape.
        json!({"$ref": format!("#/$defs/{}", named.name)})
    }

    fn shape(&mut self, shape: &Shape) -> Json {
        match shape {
            Shape::Alias(target) => self.ty(target),
            Shape::Record(fields) => self.record(fields),
            Shape::Enum(labels) => one_of_labels(labels),
            Shape::Flags(labels) => json!({"type": "array", "items": one_of_labels(labels), "uniqueItems": true}),
            Shape::Variant(cases) => {
                let cases: Vec<_> = cases.iter().map(|case| self.case(case)).collect();
                json!({"oneOf": cases})
            }
        }
    }

    fn case(&mut self, case: &Case) -> Json {
        let tag = json!({"const": case.name});
        let schema = match &case.ty {
            None => {
                json!({"type": "object", "properties": {"tag": tag}, "required": ["tag"], "additionalProperties": false})
            }
            Some(ty) => {
                let val = self.ty(ty);
                json!({
                    "type": "object",
                    "properties": {"tag": tag, "val": val},
                    "required": ["tag", "val"],
                    "additionalProperties": false,
                })
            }
        };
        described(schema, &case.docs)
    }

    fn record(&mut self, fields: &[Field]) -> Json {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in fields {
            let schema = self.ty(&field.ty);
            properties.insert(field.name.clone(), described(schema, &field.docs));
            if !self.graph.is_optional(&field.ty) {
                required.push(field.name.as_str());
            }
        }
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }
}

fn integer(minimum: i64, maximum: i64) -> Json {
    json!({"type": "integer", "minimum": minimum, "maximum": maximum})
}

/// A pattern for the decimal numbers from 0 to `greatest`, without leading zeros: first those with fewer digits, then
/// those that first fall below it at each digit, then the number itself.
fn up_to(greatest: u64) -> String {
    let digits = greatest.to_string();
    let mut alternatives = vec!["0".to_owned(), format!("[1-9][0-9]{{0,{}}}", digits.len() - 2)];
    for (place, digit) in digits.bytes().enumerate() {
        let least = if place == 0 { b'1' } else { b'0' };
        let rest = digits.len() - place - 1;
        if digit > least {
            let range = format!("[{}-{}]", char::from(least), char::from(digit - 1));
            alternatives.push(format!("{}{range}[0-9]{{{rest}}}", &digits[..place]));
        }
    }
    alternatives.push(digits);
    alternatives.join("|")
}

/// 64-bit integers: clients whose numbers end at 2^53 may send the digits as text.
fn wide(number: Json, pattern: &str) -> Json {
    json!({"anyOf": [number, {"type": "string", "pattern": pattern}]})
}

fn float(number: Json) -> Json {
    json!({"anyOf": [number, {"enum": ["NaN", "Infinity", "-Infinity"]}]})
}

/// An object with exactly one member.
fn one(name: &str, schema: Json) -> Json {
    json!({"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": false})
}

fn one_of_labels(labels: &[Label]) -> Json {
    if labels.iter().all(|label| label.docs.is_empty()) {
        let names: Vec<_> = labels.iter().map(|label| label.name.as_str()).collect();
        return json!({"type": "string", "enum": names});
    }
    let cases: Vec<_> = labels.iter().map(|label| described(json!({"const": label.name}), &label.docs)).collect();
    json!({"type": "string", "oneOf": cases})
}

fn described(mut schema: Json, docs: &str) -> Json {
    if let (false, Json::Object(members)) = (docs.is_empty(), &mut schema) {
        members.insert("description".to_owned(), docs.into());
    }
    schema
}
