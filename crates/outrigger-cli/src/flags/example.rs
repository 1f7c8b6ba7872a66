//! An example of a call on the command line, made from the types: what must be given, with a value that fits.

use outrigger_contract::types::{Field, Function, Shape, Type, TypeGraph};
use serde_json::{Map, Value as Json, json};

/// `outrigger call plugin.function --flag value …` with all parameters that must be given.
#[must_use]
pub fn command_line(graph: &TypeGraph, plugin_function: &str, function: &Function) -> String {
    let mut words = vec![format!("outrigger call {plugin_function}")];
    for param in function.params.iter().filter(|param| !graph.is_optional(&param.ty)) {
        words.push(flag(graph, param));
    }
    words.join(" ")
}

fn flag(graph: &TypeGraph, param: &Field) -> String {
    match graph.resolve(&param.ty) {
        Type::Bool => format!("--{}", param.name),
        Type::List(item) => format!("--{} {}", param.name, word(graph, item, &param.name)),
        _ => format!("--{} {}", param.name, word(graph, &param.ty, &param.name)),
    }
}

/// A value as one word of a shell.
fn word(graph: &TypeGraph, ty: &Type, name: &str) -> String {
    let shown = match graph.resolve(ty) {
        Type::Bytes => "@FILE".to_owned(),
        Type::Named(id) => match &graph.named(*id).shape {
            Shape::Record(fields) => pairs(graph, fields).unwrap_or_else(|| value(graph, ty, name).to_string()),
            Shape::Flags(labels) => labels.first().map(|label| label.name.clone()).unwrap_or_default(),
            Shape::Variant(cases) => match cases.iter().find(|case| case.ty.is_none()) {
                Some(case) => case.name.clone(),
                None => value(graph, ty, name).to_string(),
            },
            _ => plain(&value(graph, ty, name)),
        },
        _ => plain(&value(graph, ty, name)),
    };
    quoted(&shown)
}

/// A record as `key=value,…`, where all its fields that must be given are plain.
fn pairs(graph: &TypeGraph, fields: &[Field]) -> Option<String> {
    let given = fields.iter().filter(|field| !graph.is_optional(&field.ty));
    let pairs = given.map(|field| match value(graph, &field.ty, &field.name) {
        Json::Array(_) | Json::Object(_) => None,
        plain_value => Some(format!("{}={}", field.name, plain(&plain_value))),
    });
    pairs.collect::<Option<Vec<_>>>().map(|pairs| pairs.join(","))
}

fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Any value of a type.
fn value(graph: &TypeGraph, ty: &Type, name: &str) -> Json {
    match graph.resolve(ty) {
        Type::Bool => json!(true),
        Type::F32 | Type::F64 => json!(1.5),
        Type::Char => json!("x"),
        Type::String => name.to_uppercase().into(),
        Type::Bytes => json!("AAEC"),
        Type::List(item) => json!([value(graph, item, name)]),
        Type::Option(_) => Json::Null,
        Type::Tuple(types) => types.iter().map(|ty| value(graph, ty, name)).collect(),
        Type::Result { ok, .. } => json!({"ok": ok.as_deref().map_or(Json::Null, |ty| value(graph, ty, name))}),
        Type::Named(id) => match &graph.named(*id).shape {
            Shape::Record(fields) => record(graph, fields),
            Shape::Enum(labels) => labels.first().map_or(Json::Null, |label| label.name.clone().into()),
            Shape::Flags(labels) => labels.iter().take(1).map(|label| label.name.clone()).collect(),
            Shape::Variant(cases) => cases.first().map_or(Json::Null, |case| match &case.ty {
                None => json!({"tag": case.name}),
                Some(ty) => json!({"tag": case.name, "val": value(graph, ty, name)}),
            }),
            Shape::Alias(target) => value(graph, target, name),
        },
        _ => json!(1),
    }
}

fn record(graph: &TypeGraph, fields: &[Field]) -> Json {
    let given = fields.iter().filter(|field| !graph.is_optional(&field.ty));
    given.map(|field| (field.name.clone(), value(graph, &field.ty, &field.name))).collect::<Map<_, _>>().into()
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    let safe = |c: char| c.is_alphanumeric() || "-_./:@=,+%".contains(c);
    match !word.is_empty() && word.chars().all(safe) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
