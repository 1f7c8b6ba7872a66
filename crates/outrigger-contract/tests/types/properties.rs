//! Properties that hold of every WIT type: values come back as they were and fit their published schema, and the reader
//! and the schema agree about any JSON, also about that which is only almost right.

use std::sync::Arc;

use outrigger_contract::types::json::{self, Fault, Rendered};
use outrigger_contract::types::{Field, Function, Outcome, Type, TypeGraph, Value, schema};
use outrigger_testkit::values::{TypeTree, WitWriter, any_type, values_of};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value as Json, json};

use super::support::{read, validator};

/// A type that was read from a component, with values of it.
fn typed_values() -> impl Strategy<Value = (Arc<TypeGraph>, Type, Vec<Value>)> {
    any_type().prop_flat_map(|tree| {
        let (graph, ty) = read_type(&tree);
        let values = vec(values_of(&graph, &ty), 1..6);
        (Just(Arc::new(graph)), Just(ty), values)
    })
}

fn read_type(tree: &TypeTree) -> (TypeGraph, Type) {
    let mut writer = WitWriter::default();
    let mention = writer.mention(tree);
    let declarations = writer.declarations;
    let wit = format!(
        "package test:any;
        interface any {{\n{declarations}  take: func(value: {mention});\n}}
        world plugin {{ export any; }}"
    );
    let graph = read(&wit).unwrap_or_else(|error| panic!("{error}\n{wit}")).graph;
    let ty = graph.functions[0].params[0].ty.clone();
    (graph, ty)
}

type Read = Result<Vec<Value>, json::ParseError>;

/// A value as the argument of a function, read from text in one pass and through a tree.
fn both_ways(graph: &TypeGraph, ty: &Type, text: &str) -> (Read, Read) {
    let function = Function {
        name: "f".to_owned(),
        interface: None,
        export: "f".to_owned(),
        docs: String::new(),
        params: vec![Field { name: "v".to_owned(), docs: String::new(), ty: ty.clone() }],
        outcome: Outcome { ok: None, err: None },
    };
    let text = format!("{{\"v\": {text}}}");
    let tree = serde_json::from_str(&text).expect("it is an object");
    let meter = json::Meter::unbounded();
    let quick = json::parse_arguments_text(graph, &function, &text, &meter);
    (quick, json::parse_arguments(graph, &function, tree, &meter))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn values_come_back_and_fit_their_schema((graph, ty, values) in typed_values()) {
        let validator = validator(&schema::of(&graph, &ty));
        for value in &values {
            prop_assert!(json::fits(&graph, &ty, value));
            let mut text = Vec::new();
            Rendered { graph: &graph, ty: &ty, value }.write(&mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            let read: Json = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&json::render(&graph, &ty, value), &read, "the text and the tree differ");
            prop_assert!(validator.is_valid(&read), "{} does not fit {:#}", text, schema::of(&graph, &ty));
            let again = json::parse(&graph, &ty, read);
            prop_assert_eq!(again.as_ref(), Ok(value), "{}", text);
            let (quick, thorough) = both_ways(&graph, &ty, &text);
            prop_assert_eq!(quick.as_ref(), Ok(&vec![value.clone()]), "{}", text);
            prop_assert_eq!(quick, thorough);
            let size = value.size();
            prop_assert!(value.left_of(size) == Some(0));
            prop_assert!(value.left_of(size - 1).is_none());
        }
    }

    #[test]
    fn the_schema_accepts_what_is_read(
        (graph, ty, values) in typed_values(),
        changes in vec((any::<Index>(), change()), 1..4),
    ) {
        let validator = validator(&schema::of(&graph, &ty));
        for value in &values {
            let mut json = json::render(&graph, &ty, value);
            for (place, change) in &changes {
                change.apply(node(&mut json, place));
                let read = json::parse(&graph, &ty, json.clone());
                let (quick, thorough) = both_ways(&graph, &ty, &json.to_string());
                prop_assert_eq!(quick, thorough, "{}", json);
                let accepted = validator.is_valid(&json);
                match read {
                    Ok(value) => {
                        prop_assert!(accepted, "read, though against the schema: {}", json);
                        prop_assert!(json::fits(&graph, &ty, &value));
                        let again = json::parse(&graph, &ty, json::render(&graph, &ty, &value));
                        prop_assert_eq!(again, Ok(value));
                    }
                    Err(faults) => {
                        prop_assert!((1..=20).contains(&faults.0.len()));
                        prop_assert!(!accepted || faults.0.iter().all(is_documented), "{}: {}", json, faults);
                    }
                }
            }
        }
    }

    #[test]
    fn reading_never_panics((graph, ty, _) in typed_values(), junk in junk()) {
        drop(json::parse(&graph, &ty, junk));
    }
}

/// What the schema cannot say; see the head of `types/json.rs`.
fn is_documented(fault: &Fault) -> bool {
    let float_past_2_to_the_53 = fault.message.starts_with("must be an integer") && fault.message.contains(['.', 'e']);
    fault.message.starts_with("must be base64") || float_past_2_to_the_53
}

/// Something that makes JSON other than it was.
#[derive(Clone, Debug)]
enum Change {
    Replace(Json),
    /// Takes out a member or an item.
    Remove(Index),
    Add(String, Json),
    /// Wraps it in an object of one member.
    Wrap(String),
}

impl Change {
    fn apply(&self, json: &mut Json) {
        match (self, json) {
            (Self::Remove(index), Json::Object(members)) if !members.is_empty() => {
                let name = members.keys().nth(index.index(members.len())).unwrap().clone();
                members.shift_remove(&name);
            }
            (Self::Remove(index), Json::Array(items)) if !items.is_empty() => {
                items.remove(index.index(items.len()));
            }
            (Self::Remove(_), json) => *json = Json::Null,
            (Self::Add(name, junk), Json::Object(members)) => _ = members.insert(name.clone(), junk.clone()),
            (Self::Add(_, junk), Json::Array(items)) => items.push(junk.clone()),
            (Self::Replace(junk) | Self::Add(_, junk), json) => *json = junk.clone(),
            (Self::Wrap(name), json) => {
                let inner = json.take();
                *json = json!({ name.as_str(): inner });
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => junk().prop_map(Change::Replace),
        1 => any::<Index>().prop_map(Change::Remove),
        1 => (name(), junk()).prop_map(|(name, junk)| Change::Add(name, junk)),
        1 => name().prop_map(Change::Wrap),
    ]
}

/// Names that mean something somewhere.
fn name() -> impl Strategy<Value = String> {
    let known =
        ["some", "ok", "err", "tag", "val", "field-0", "field-1", "field-9", "label-0", "case-0", "case-1", "x"];
    select(known.to_vec()).prop_map(str::to_owned)
}

/// JSON of the kinds, and near the bounds, that types are about.
fn junk() -> impl Strategy<Value = Json> {
    let numbers = [-129_i64, -128, -1, 0, 1, 127, 128, 255, 256, 32_767, 65_535, 65_536, i64::MIN, i64::MAX];
    let floats = [0.0, -0.0, 0.5, 5.0, -5.0, 255.0, 256.0, 1e39, 3.402_823_5e38, 3.402_823_6e38, 5e-324, f64::MAX];
    let texts = [
        "",
        "a",
        "ab",
        "😀",
        "NaN",
        "Infinity",
        "-Infinity",
        "0",
        "-0",
        "007",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "AA==",
        "AA",
        "label-0",
        "label-1",
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        select(numbers.to_vec()).prop_map(Json::from),
        Just(json!(u64::MAX)),
        select(floats.to_vec()).prop_map(Json::from),
        select(texts.to_vec()).prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            vec((name(), inner), 0..3).prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// One of the places in a tree.
fn node<'j>(json: &'j mut Json, place: &Index) -> &'j mut Json {
    fn count(json: &Json) -> usize {
        let inner: usize = match json {
            Json::Array(items) => items.iter().map(count).sum(),
            Json::Object(members) => members.values().map(count).sum(),
            _ => 0,
        };
        1 + inner
    }
    fn find(json: &mut Json, place: usize) -> &mut Json {
        if place == 0 {
            return json;
        }
        let mut left = place - 1;
        let inner: Box<dyn Iterator<Item = &mut Json>> = match json {
            Json::Array(items) => Box::new(items.iter_mut()),
            Json::Object(members) => Box::new(members.values_mut()),
            _ => unreachable!("the places are counted"),
        };
        for one in inner {
            let size = count(one);
            if left < size {
                return find(one, left);
            }
            left -= size;
        }
        unreachable!("the places are counted")
    }
    let places = count(json);
    find(json, place.index(places))
}
