//! Schemas, apart from what `json` holds against them.

use outrigger_contract::types::{Function, Outcome, Type, TypeGraph, schema};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::support::{COLOUR, MAYBE, field, graph, option, validator};

fn accepts(ty: &Type) -> impl Fn(&str) -> bool {
    let validator = validator(&schema::of(&graph(), ty));
    move |text| validator.is_valid(&json!(text))
}

/// The least and greatest numbers, their neighbours, and what first differs from them at each digit.
#[test]
fn the_patterns_of_wide_integers_are_exact_at_the_bounds() {
    let check = |ty: Type, least: i128, greatest: i128| {
        let accepts = accepts(&ty);
        let mut numbers = vec![-1, 0, 1, 9, 10, 99];
        for bound in [least, greatest] {
            for place in 0..20 {
                let unit = 10_i128.pow(place);
                numbers.extend([bound - unit, bound + unit, bound / unit * unit, bound / unit * unit - 1]);
                numbers.extend([unit, unit - 1, -unit]);
            }
            numbers.extend([bound, bound - 1, bound + 1, bound * 10]);
        }
        for number in numbers {
            assert_eq!(accepts(&number.to_string()), (least..=greatest).contains(&number), "{number}");
        }
        for text in ["", "-", "+1", "01", "-01", "1.0", "1e3", " 1", "1 ", "0x1", "1_000"] {
            assert!(!accepts(text), "{text:?}");
        }
    };
    check(Type::U64, 0, u64::MAX.into());
    check(Type::S64, i64::MIN.into(), i64::MAX.into());
}

proptest! {
    #[test]
    fn the_patterns_of_wide_integers_are_exact(text in "-?[1-9][0-9]{17,19}") {
        let number: i128 = text.parse().unwrap();
        prop_assert_eq!(accepts(&Type::U64)(&text), u64::try_from(number).is_ok());
        prop_assert_eq!(accepts(&Type::S64)(&text), i64::try_from(number).is_ok());
    }
}

#[test]
fn named_types_stand_once() {
    let pair = Type::Tuple(vec![Type::Named(COLOUR), option(Type::Named(COLOUR)), Type::Named(MAYBE)]);
    let schema = schema::of(&graph(), &pair);
    let names: Vec<_> = schema["$defs"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["colour", "maybe"]);
    assert_eq!(schema["prefixItems"][0], json!({ "$ref": "#/$defs/colour" }));
}

#[test]
fn a_function_has_schemas_of_its_result_and_its_error() {
    let function = |ok: Option<Type>, err: Option<Option<Type>>| Function {
        name: "f".to_owned(),
        interface: None,
        export: "f".to_owned(),
        docs: String::new(),
        params: Vec::new(),
        outcome: Outcome { ok, err },
    };
    let check = |function: &Function, result: &[(Json, bool)], error: Option<&[(Json, bool)]>| {
        let graph = TypeGraph::default();
        let holds = |schema: &Json, cases: &[(Json, bool)]| {
            for (json, expected) in cases {
                assert_eq!(validator(schema).is_valid(json), *expected, "{json}");
            }
        };
        holds(&schema::result(&graph, function), result);
        assert_eq!(schema::error(&graph, function).is_some(), error.is_some());
        holds(
            &schema::error(&graph, function).unwrap_or_else(|| schema::result(&graph, function)),
            error.unwrap_or(&[]),
        );
        holds(
            &schema::arguments(&graph, function),
            &[(json!({}), true), (json!({ "x": 1 }), false), (json!([]), false)],
        );
    };
    check(&function(None, None), &[(json!(null), true), (json!(1), false)], None);
    check(&function(Some(Type::U8), None), &[(json!(1), true), (json!(null), false)], None);
    check(&function(Some(Type::U8), Some(None)), &[(json!(1), true)], Some(&[(json!(null), true), (json!(1), false)]));
    check(
        &function(None, Some(Some(Type::String))),
        &[(json!(null), true)],
        Some(&[(json!("no"), true), (json!(null), false)]),
    );
}

#[test]
fn documentation_becomes_descriptions() {
    let mut graph = graph();
    graph.types[COLOUR.0 as usize].docs = "What it looks like.".to_owned();
    let mut at = field("at", Type::Named(COLOUR));
    at.docs = "Which one.".to_owned();
    let function = Function {
        name: "f".to_owned(),
        interface: None,
        export: "f".to_owned(),
        docs: String::new(),
        params: vec![at],
        outcome: Outcome { ok: None, err: None },
    };
    let schema = schema::arguments(&graph, &function);
    assert_eq!(schema["properties"]["at"]["description"], "Which one.");
    assert_eq!(schema["$defs"]["colour"]["description"], "What it looks like.");
}
