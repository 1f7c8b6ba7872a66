//! Of every WIT type: equal values come back equal, through JSON and through a component, and JSON is accepted exactly
//! where the published schema accepts it.

mod common;

use std::sync::{Arc, LazyLock};

use common::{Bench, PLENTY};
use outrigger_contract::types::json::{Meter, parse, parse_arguments, render};
use outrigger_contract::types::{schema, wit};
use outrigger_contract::{Type, TypeGraph, Value};
use outrigger_testkit::components::component;
use outrigger_testkit::services::RecordingServices;
use outrigger_testkit::values::{SCALARS, TypeTree, WitWriter, any_type, values_of};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value as Json, json};

/// Parameters of more than 16 core values are passed as a pointer to the layout in which results are returned. So with
/// enough fields beside the value, a function that gives back its pointer is an echo of *any* type.
const ECHO: &str = r#"(module
    (memory (export "memory") 4)
    (global $top (mut i32) (i32.const 16))
    (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
        (local $place i32)
        (local.set $place (i32.and
            (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $top (i32.add (local.get $place) (local.get $size)))
        (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
            (then (drop (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16)))))))
        (local.get $place))
    (func (export "test:echo/api#echo") (param i32) (result i32) (local.get 0)))"#;

fn echo_of(tree: &TypeTree) -> Arc<[u8]> {
    let mut writer = WitWriter::default();
    let ty = writer.mention(tree);
    let padding: String = (0..17).map(|index| format!(", padding-{index}: u64")).collect();
    component(
        &format!(
            "package test:echo;\ninterface api {{\n{}  record envelope {{ value: {ty}{padding} }}\n  \
             echo: func(v: envelope) -> envelope;\n}}\nworld plugin {{ export api; }}",
            writer.declarations
        ),
        ECHO,
    )
}

fn validator(schema: &Json) -> jsonschema::Validator {
    jsonschema::draft202012::new(schema).expect("a good schema")
}

/// The value in its envelope, with the padding.
fn envelope(value: Value) -> Value {
    Value::Record(std::iter::once(value).chain((0..17).map(|index| Value::Unsigned(u64::MAX - index))).collect())
}

struct World {
    bench: Bench,
    tokio: tokio::runtime::Runtime,
    services: Arc<RecordingServices>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| World {
    bench: Bench::new(),
    tokio: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
    services: Arc::default(),
});

fn check(tree: &TypeTree, values: &[Value]) -> Result<(), TestCaseError> {
    let wasm = echo_of(tree);
    let world = &*WORLD;
    let loaded = world.tokio.block_on(world.bench.load(&wasm, |_| ()));
    let (graph, function) = (&loaded.graph, &loaded.graph.functions[0]);
    let (arguments_schema, result_schema) =
        (validator(&schema::arguments(graph, function)), validator(&schema::result(graph, function)));
    for value in values {
        let value = envelope(value.clone());
        let json = render(graph, &function.params[0].ty, &value);
        let arguments = json!({ "v": json });
        prop_assert!(arguments_schema.is_valid(&arguments), "the schema refuses {arguments}");

        // As text, as it travels.
        let text = serde_json::to_string(&arguments).expect("JSON");
        let Ok(Json::Object(read)) = serde_json::from_str(&text) else { panic!("an object") };
        let parsed = parse_arguments(graph, function, read, &Meter::unbounded())
            .map_err(|faults| TestCaseError::fail(faults.to_string()))?;
        prop_assert_eq!(&parsed[0], &value);

        let call = Arc::clone(&loaded.revision).call(0, parsed.clone().into(), world.services.context(PLENTY));
        let output = world.tokio.block_on(call).map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        prop_assert_eq!(&output, &value);
        let ty = function.outcome.ok.as_ref().expect("it gives an envelope");
        let output = render(graph, ty, &output);
        prop_assert!(result_schema.is_valid(&output), "the schema refuses {output}");
        prop_assert_eq!(output, json);
    }
    Ok(())
}

/// Types with a few values each. The graph is read from the component, as for any plugin.
fn types_with_values() -> impl Strategy<Value = (TypeTree, Vec<Value>)> {
    any_type().prop_flat_map(|tree| {
        let (graph, ty) = graph_of(&tree);
        (Just(tree), proptest::collection::vec(values_of(&graph, &ty), 1..6))
    })
}

fn graph_of(tree: &TypeTree) -> (TypeGraph, Type) {
    let graph = wit::read_component(&echo_of(tree)).expect("a component").graph;
    let ty = match &graph.functions[0].params[0].ty {
        Type::Named(id) => match &graph.named(*id).shape {
            outrigger_contract::types::Shape::Record(fields) => fields[0].ty.clone(),
            other => panic!("an envelope is a record: {other:?}"),
        },
        other => panic!("an envelope has a name: {other:?}"),
    };
    (graph, ty)
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() })
}

#[test]
fn values_of_every_type_come_back_equal() {
    runner(96).run(&types_with_values(), |(tree, values)| check(&tree, &values)).expect("equal values");
}

#[test]
fn each_kind_of_type_is_among_them() {
    let scalar = |name| TypeTree::Scalar(name);
    let boxed = |tree: TypeTree| Box::new(tree);
    let mut trees: Vec<TypeTree> = SCALARS.iter().map(|name| scalar(name)).collect();
    trees.extend([
        TypeTree::List(boxed(scalar("u8"))),
        TypeTree::List(boxed(scalar("u16"))),
        TypeTree::Option(boxed(TypeTree::Option(boxed(TypeTree::Option(boxed(scalar("string"))))))),
        TypeTree::Result(None, None),
        TypeTree::Result(Some(boxed(scalar("f32"))), Some(boxed(TypeTree::Result(None, Some(boxed(scalar("u64"))))))),
        TypeTree::Enum(1),
        TypeTree::Enum(257),
        TypeTree::Flags(1),
        TypeTree::Flags(9),
        TypeTree::Flags(32),
        TypeTree::Variant(vec![
            None,
            Some(scalar("u8")),
            Some(scalar("f64")),
            Some(TypeTree::List(boxed(scalar("char")))),
        ]),
        TypeTree::Record(vec![scalar("u8"), scalar("u64"), scalar("u8"), TypeTree::Flags(17), scalar("bool")]),
        TypeTree::Tuple(vec![scalar("char"), TypeTree::Tuple(vec![scalar("s8"), scalar("s64")])]),
    ]);
    for tree in trees {
        let (graph, ty) = graph_of(&tree);
        let values = proptest::collection::vec(values_of(&graph, &ty), 12);
        runner(1).run(&values, |values| check(&tree, &values)).unwrap_or_else(|error| panic!("{tree:?}: {error}"));
    }
}

/// Types that fit into one core value, passed as they are.
#[test]
fn values_pass_without_an_envelope() {
    let world = &*WORLD;
    for (ty, core) in [
        ("bool", "i32"),
        ("u8", "i32"),
        ("s8", "i32"),
        ("s16", "i32"),
        ("u32", "i32"),
        ("s32", "i32"),
        ("u64", "i64"),
        ("s64", "i64"),
        ("f32", "f32"),
        ("f64", "f64"),
        ("char", "i32"),
        ("letter", "i32"),
        ("marks", "i32"),
        ("wrapped", "f32"),
        ("result", "i32"),
    ] {
        let wit = format!(
            "package test:direct;\ninterface api {{ enum letter {{ a, b, c }} flags marks {{ x, y, z }} record wrapped {{ it: f32 }}\n\
             echo: func(v: {ty}) -> {ty}; }}\nworld plugin {{ export api; }}"
        );
        let core =
            format!(r#"(module (func (export "test:direct/api#echo") (param {core}) (result {core}) (local.get 0)))"#);
        let loaded = world.tokio.block_on(world.bench.load(&component(&wit, &core), |_| ()));
        let param = &loaded.graph.functions[0].params[0].ty;
        runner(32)
            .run(&values_of(&loaded.graph, param), |value| {
                let context = world.services.context(PLENTY);
                let output =
                    world.tokio.block_on(Arc::clone(&loaded.revision).call(0, [value.clone()].into(), context));
                match (&value, output) {
                    // A result at the top is success or failure, not a value.
                    (Value::Result(expected), output) => prop_assert_eq!(expected.is_ok(), output.is_ok()),
                    (_, output) => {
                        prop_assert_eq!(output.map_err(|fault| TestCaseError::fail(fault.to_string()))?, value);
                    }
                }
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{ty}: {error}"));
    }
}

/// JSON that is near to the right one, or far from it.
fn mutated(json: Json, place: Index, replacement: Replacement) -> Json {
    fn count(json: &Json) -> usize {
        1 + match json {
            Json::Array(items) => items.iter().map(count).sum(),
            Json::Object(members) => members.values().map(count).sum(),
            _ => 0,
        }
    }
    fn at(json: &mut Json, place: &mut usize, replacement: &Replacement) {
        if *place == 0 {
            replacement.apply(json);
        }
        let Some(next) = place.checked_sub(1) else {
            *place = usize::MAX;
            return;
        };
        *place = next;
        match json {
            Json::Array(items) => items.iter_mut().for_each(|item| at(item, place, replacement)),
            Json::Object(members) => members.values_mut().for_each(|member| at(member, place, replacement)),
            _ => {}
        }
    }
    let mut json = json;
    let mut place = place.index(count(&json));
    at(&mut json, &mut place, &replacement);
    json
}

#[derive(Clone, Debug)]
enum Replacement {
    With(Json),
    RemoveMember(Index),
    AddMember,
    AddItem,
    RemoveItem,
}

impl Replacement {
    fn apply(&self, json: &mut Json) {
        match (self, json) {
            (Self::With(other), json) => *json = other.clone(),
            (Self::RemoveMember(index), Json::Object(members)) if !members.is_empty() => {
                let name = members.keys().nth(index.index(members.len())).cloned();
                name.and_then(|name| members.remove(&name));
            }
            (Self::AddMember, Json::Object(members)) => _ = members.insert("unheard-of".to_owned(), json!(1)),
            (Self::AddItem, Json::Array(items)) => items.push(items.first().cloned().unwrap_or(json!(1))),
            (Self::RemoveItem, Json::Array(items)) => _ = items.pop(),
            _ => {}
        }
    }
}

fn replacements() -> impl Strategy<Value = Replacement> {
    let other = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-300_i64..300).prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        (-300_i32..300).prop_map(|whole| Json::from(f64::from(whole))),
        any::<u64>().prop_map(|number| Json::from(number.to_string())),
        any::<i64>().prop_map(|number| Json::from(number.to_string())),
        proptest::sample::select(vec![
            "",
            "a",
            "ab",
            "QQ==",
            "NaN",
            "-Infinity",
            "label-0",
            "007",
            "-0",
            "18446744073709551616"
        ])
        .prop_map(Json::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!({"some": 1})),
        Just(json!({"some": null})),
        Just(json!({"ok": null})),
        Just(json!({"err": null, "ok": null})),
        Just(json!({"tag": "case-0"})),
        Just(json!(["label-0", "label-0"])),
    ];
    prop_oneof![
        4 => other.prop_map(Replacement::With),
        1 => any::<Index>().prop_map(Replacement::RemoveMember),
        1 => Just(Replacement::AddMember),
        1 => Just(Replacement::AddItem),
        1 => Just(Replacement::RemoveItem),
    ]
}

#[test]
fn what_the_schema_accepts_is_what_is_parsed() {
    let cases = types_with_values().prop_flat_map(|(tree, values)| {
        let mutations = proptest::collection::vec((any::<Index>(), replacements()), 12);
        (Just(tree), Just(values), mutations)
    });
    runner(160)
        .run(&cases, |(tree, values, mutations)| {
            let (graph, ty) = graph_of(&tree);
            let schema = validator(&schema::of(&graph, &ty));
            for (place, replacement) in mutations {
                let json = mutated(render(&graph, &ty, &values[0]), place, replacement);
                let (valid, parsed) = (schema.is_valid(&json), parse(&graph, &ty, json.clone()));
                if has_broken_base64(&graph, &ty, &json) {
                    // A schema names the encoding of text and does not check it.
                    continue;
                }
                prop_assert_eq!(valid, parsed.is_ok(), "{} of {:?}: {:?}", json, tree, parsed);
                if let Ok(value) = parsed {
                    let again = render(&graph, &ty, &value);
                    prop_assert!(schema.is_valid(&again), "the schema refuses {again}");
                    prop_assert_eq!(parse(&graph, &ty, again).expect("it was rendered"), value);
                }
            }
            Ok(())
        })
        .expect("the schema and the parser agree");
}

/// Whether the only faults are in base64.
fn has_broken_base64(graph: &TypeGraph, ty: &Type, json: &Json) -> bool {
    matches!(parse(graph, ty, json.clone()), Err(faults) if faults.0.iter().any(|fault| fault.message.contains("base64")))
}

#[test]
fn no_arguments_are_an_empty_object() {
    let graph = wit::read_component(&outrigger_testkit::components::hostile()).expect("a component").graph;
    let (_, trap) = graph.function("trap").expect("it is there");
    assert_eq!(parse_arguments(&graph, trap, Map::new(), &Meter::unbounded()).expect("nothing is wanted"), []);
    assert!(validator(&schema::arguments(&graph, trap)).is_valid(&json!({})));
    assert!(validator(&schema::result(&graph, trap)).is_valid(&Json::Null));
}
