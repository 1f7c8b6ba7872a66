//! One value, from the text on the command line to the JSON of its type.

use std::path::Path;

use outrigger_contract::types::json::{self, Fault};
use outrigger_contract::types::{Case, Field, Shape, Type, TypeGraph};
use serde_json::{Map, Value as Json};

use crate::input;

/// Reads a value of a type.
///
/// # Errors
/// The problem and the expected form.
pub fn read(graph: &TypeGraph, ty: &Type, text: &str) -> Result<Json, String> {
    check(graph, ty, convert(graph, ty, text)?)
}

/// Reads one item of a list, or, where an item is no array itself, an array of items.
///
/// # Errors
/// The problem and the expected form.
pub fn read_items(graph: &TypeGraph, item: &Type, text: &str) -> Result<Vec<Json>, String> {
    match convert(graph, item, text)? {
        Json::Array(items) if !is_array(graph, item) => items.into_iter().map(|one| check(graph, item, one)).collect(),
        one => Ok(vec![check(graph, item, one)?]),
    }
}

fn check(graph: &TypeGraph, ty: &Type, json: Json) -> Result<Json, String> {
    match json::parse(graph, ty, json.clone()) {
        Ok(_) => Ok(json),
        Err(faults) => {
            let shown = faults.0.iter().map(|Fault { path, message }| match path.strip_prefix('/') {
                Some(path) => format!("{path} {message}"),
                None => message.clone(),
            });
            Err(shown.collect::<Vec<_>>().join("; "))
        }
    }
}

/// Whether values of a type are arrays in JSON.
fn is_array(graph: &TypeGraph, ty: &Type) -> bool {
    match graph.resolve(ty) {
        Type::List(_) | Type::Tuple(_) => true,
        Type::Option(inner) => is_array(graph, inner),
        Type::Named(id) => matches!(graph.named(*id).shape, Shape::Flags(_)),
        _ => false,
    }
}

fn convert(graph: &TypeGraph, ty: &Type, text: &str) -> Result<Json, String> {
    match graph.resolve(ty) {
        Type::String | Type::Char => Ok(text.into()),
        Type::Bool => Ok(text.parse().map_or_else(|_| text.into(), Json::Bool)),
        // Digits beyond what a number holds, and the words for what is no number, stay texts; the type decides.
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::S8
        | Type::S16
        | Type::S32
        | Type::S64
        | Type::F32
        | Type::F64 => Ok(serde_json::from_str(text).map_or_else(|_| text.into(), Json::Number)),
        Type::Bytes => bytes(text),
        Type::Option(inner) if !graph.is_optional(inner) => match text {
            "null" if !matches!(graph.resolve(inner), Type::String) => Ok(Json::Null),
            _ => convert(graph, inner, text),
        },
        Type::Option(_) | Type::List(_) | Type::Tuple(_) | Type::Result { .. } => document(text),
        Type::Named(id) => shape(graph, &graph.named(*id).shape, text),
    }
}

fn shape(graph: &TypeGraph, shape: &Shape, text: &str) -> Result<Json, String> {
    match shape {
        Shape::Enum(_) => Ok(text.into()),
        Shape::Flags(_) if is_document(text) => document(text),
        Shape::Flags(_) => Ok(text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()),
        Shape::Record(_) if is_document(text) => document(text),
        Shape::Record(fields) => record(graph, fields, text),
        Shape::Variant(cases) => match cases.iter().find(|case| case.ty.is_none() && case.name == text) {
            Some(case) => Ok(serde_json::json!({"tag": case.name})),
            None => document(text).map_err(|error| variant_hint(cases, error)),
        },
        Shape::Alias(target) => convert(graph, target, text),
    }
}

fn variant_hint(cases: &[Case], error: String) -> String {
    let plain: Vec<_> = cases.iter().filter(|case| case.ty.is_none()).map(|case| case.name.as_str()).collect();
    match plain.is_empty() {
        true => error,
        false => format!("{error}; nor is it one of {}", plain.join(", ")),
    }
}

/// Whether a text is JSON or says where JSON is, and is not made of `key=value`.
fn is_document(text: &str) -> bool {
    input::place(text).is_some() || text.trim_start().starts_with(['{', '['])
}

fn document(text: &str) -> Result<Json, String> {
    let (shown, text) = match input::place(text) {
        Some(path) => (format!("the JSON in {text}"), input::read_text(path).map_err(|error| error.message)?),
        None => ("this".to_owned(), text.to_owned()),
    };
    serde_json::from_str(&text).map_err(|error| match shown.as_str() {
        "this" => format!("this is not JSON ({error}); write JSON, or `@FILE`"),
        _ => format!("{shown} is wrong: {error}"),
    })
}

fn bytes(text: &str) -> Result<Json, String> {
    match input::place(text) {
        Some(path) => Ok(encoded(path)?.into()),
        None => Ok(text.into()),
    }
}

fn encoded(path: &Path) -> Result<String, String> {
    let bytes = input::read(path).map_err(|error| error.message)?;
    Ok(base64_simd::STANDARD.encode_to_string(bytes))
}

/// `key=value,key=value`. A comma belongs to the value unless a field's name and `=` follow it.
fn record(graph: &TypeGraph, fields: &[Field], text: &str) -> Result<Json, String> {
    let mut pairs: Vec<(&Field, String)> = Vec::new();
    for part in text.split(',') {
        let field = part.split_once('=').and_then(|(name, value)| {
            let field = fields.iter().find(|field| field.name == name.trim())?;
            Some((field, value.to_owned()))
        });
        match (field, pairs.last_mut()) {
            (Some(pair), _) => pairs.push(pair),
            (None, Some((_, value))) => {
                value.push(',');
                value.push_str(part);
            }
            (None, None) => {
                let name = part.split('=').next().unwrap_or_default();
                return Err(format!("`{name}` is no field; write {}, JSON, or `@FILE`", pattern(fields)));
            }
        }
    }
    let mut members = Map::new();
    for (field, value) in pairs {
        let read = convert(graph, &field.ty, &value).map_err(|error| format!("{}: {error}", field.name))?;
        if members.insert(field.name.clone(), read).is_some() {
            return Err(format!("`{}` is given twice", field.name));
        }
    }
    Ok(members.into())
}

fn pattern(fields: &[Field]) -> String {
    let pairs: Vec<_> = fields.iter().map(|field| format!("{}=…", field.name)).collect();
    pairs.join(",")
}

/// How a value of a type is written, where its name alone does not say it.
#[must_use]
pub fn form(graph: &TypeGraph, ty: &Type) -> Option<String> {
    match graph.resolve(ty) {
        Type::Bytes => Some("the bytes of a file, or base64".to_owned()),
        Type::List(_) | Type::Tuple(_) | Type::Result { .. } | Type::Option(_) => {
            Some(format!("{} as JSON, or @FILE", graph.display(graph.resolve(ty))))
        }
        Type::Named(id) => match &graph.named(*id).shape {
            Shape::Record(fields) => Some(format!("{}, JSON, or @FILE", pattern(fields))),
            Shape::Variant(cases) => {
                let cases: Vec<_> = cases
                    .iter()
                    .map(|case| match &case.ty {
                        None => case.name.clone(),
                        Some(ty) => {
                            format!("{{\"tag\": \"{}\", \"val\": {}}}", case.name, graph.display(graph.resolve(ty)))
                        }
                    })
                    .collect();
                Some(format!("{}, or @FILE", cases.join(" or ")))
            }
            _ => None,
        },
        _ => None,
    }
}
