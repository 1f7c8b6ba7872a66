//! The canonical ABI as written here against wasmtime's own `Val`, over random types: what is lowered must leave the
//! same memory behind, and what is lifted must be what was lowered.

use outrigger_contract::types::{Shape, wit};
use outrigger_contract::{Type, TypeGraph, Value};
use outrigger_testkit::components::component;
use outrigger_testkit::values::{TypeTree, WitWriter, any_type, values_of};
use proptest::prelude::*;
use proptest::test_runner::{Config as ProptestConfig, TestRunner};
use wasmtime::component::{Component, Func, Instance, Linker, Val};
use wasmtime::{Config, Engine, Store};

use super::{Answer, Arguments};

/// A component with a function that takes a value and writes down the core values it got, and one that shows the
/// whole memory.
fn recorder(tree: &TypeTree) -> std::sync::Arc<[u8]> {
    let mut writer = WitWriter::default();
    let ty = writer.mention(tree);
    let wit = format!(
        "package test:recorder;\ninterface api {{\n{}  put: func(a: u8, v: {ty}, z: u8);\n  memory: func() -> list<u8>;\n}}\n\
         world plugin {{ export api; }}",
        writer.declarations
    );
    let core = core_params(&wit);
    let params: String = core.iter().map(|ty| format!("(param {ty}) ")).collect();
    let stores: String = core
        .iter()
        .enumerate()
        .map(|(index, ty)| format!("({ty}.store (i32.const {}) (local.get {index})) ", 16 + index * 8))
        .collect();
    component(
        &wit,
        &format!(
            r#"(module
            (memory (export "memory") 4)
            (global $top (mut i32) (i32.const 256))
            (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
                (local $place i32)
                (local.set $place (i32.and
                    (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $top (i32.add (local.get $place) (local.get $size)))
                (local.get $place))
            (func (export "test:recorder/api#put") {params} {stores})
            (func (export "test:recorder/api#memory") (result i32)
                (i32.store (i32.const 0) (i32.const 16))
                (i32.store (i32.const 4) (i32.sub (global.get $top) (i32.const 16)))
                (i32.const 0)))"#
        ),
    )
}

/// The core types of the parameters of `put`.
fn core_params(wit: &str) -> Vec<&'static str> {
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_source("test.wit", wit).expect("good WIT");
    let function =
        resolve.interfaces.iter().find_map(|(_, interface)| interface.functions.get("put")).expect("it is there");
    let signature = resolve.wasm_signature(wit_parser::abi::AbiVariant::GuestExport, function);
    let name = |ty: &wit_parser::abi::WasmType| match ty {
        wit_parser::abi::WasmType::I64 | wit_parser::abi::WasmType::PointerOrI64 => "i64",
        wit_parser::abi::WasmType::F32 => "f32",
        wit_parser::abi::WasmType::F64 => "f64",
        _ => "i32",
    };
    signature.params.iter().map(name).collect()
}

fn val(graph: &TypeGraph, ty: &Type, value: &Value) -> Val {
    let boxed = |ty: Option<&Type>, value: &Option<Box<Value>>| {
        ty.zip(value.as_deref()).map(|(ty, value)| Box::new(val(graph, ty, value)))
    };
    match (graph.resolve(ty), value) {
        (_, Value::Bool(truth)) => Val::Bool(*truth),
        (Type::U8, Value::Unsigned(n)) => Val::U8(u8::try_from(*n).expect("in range")),
        (Type::U16, Value::Unsigned(n)) => Val::U16(u16::try_from(*n).expect("in range")),
        (Type::U32, Value::Unsigned(n)) => Val::U32(u32::try_from(*n).expect("in range")),
        (_, Value::Unsigned(n)) => Val::U64(*n),
        (Type::S8, Value::Signed(n)) => Val::S8(i8::try_from(*n).expect("in range")),
        (Type::S16, Value::Signed(n)) => Val::S16(i16::try_from(*n).expect("in range")),
        (Type::S32, Value::Signed(n)) => Val::S32(i32::try_from(*n).expect("in range")),
        (_, Value::Signed(n)) => Val::S64(*n),
        (_, Value::Float32(n)) => Val::Float32(*n),
        (_, Value::Float64(n)) => Val::Float64(*n),
        (_, Value::Char(c)) => Val::Char(*c),
        (_, Value::String(text)) => Val::String(text.clone()),
        (_, Value::Bytes(bytes)) => Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect()),
        (Type::List(item), Value::List(values)) => {
            Val::List(values.iter().map(|value| val(graph, item, value)).collect())
        }
        (Type::Tuple(types), Value::Tuple(values)) => {
            Val::Tuple(types.iter().zip(values).map(|(ty, value)| val(graph, ty, value)).collect())
        }
        (Type::Option(inner), Value::Option(value)) => Val::Option(boxed(Some(inner), value)),
        (Type::Result { ok, .. }, Value::Result(Ok(value))) => Val::Result(Ok(boxed(ok.as_deref(), value))),
        (Type::Result { err, .. }, Value::Result(Err(value))) => Val::Result(Err(boxed(err.as_deref(), value))),
        (Type::Named(id), value) => match (&graph.named(*id).shape, value) {
            (Shape::Record(fields), Value::Record(values)) => {
                let fields = fields.iter().zip(values);
                Val::Record(fields.map(|(field, value)| (field.name.clone(), val(graph, &field.ty, value))).collect())
            }
            (Shape::Variant(cases), Value::Variant(index, value)) => {
                let case = &cases[*index as usize];
                Val::Variant(case.name.clone(), boxed(case.ty.as_ref(), value))
            }
            (Shape::Enum(labels), Value::Enum(index)) => Val::Enum(labels[*index as usize].name.clone()),
            (Shape::Flags(labels), Value::Flags(set)) => {
                Val::Flags(set.iter().map(|index| labels[*index as usize].name.clone()).collect())
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

struct Fixture {
    engine: Engine,
    component: Component,
}

impl Fixture {
    fn start(&self) -> (Store<()>, Instance) {
        let mut store = Store::new(&self.engine, ());
        let instance = Linker::new(&self.engine).instantiate(&mut store, &self.component).expect("it starts");
        (store, instance)
    }

    fn function(store: &mut Store<()>, instance: &Instance, name: &str) -> Func {
        let api = instance.get_export_index(&mut *store, None, "test:recorder/api").expect("it is exported");
        let export = instance.get_export_index(&mut *store, Some(&api), name).expect("it is exported");
        instance.get_func(store, export).expect("a function")
    }

    fn memory(store: &mut Store<()>, instance: &Instance) -> Value {
        let function =
            Self::function(store, instance, "memory").typed::<Arguments<'_>, Answer>(&*store).expect("any type");
        let Answer(memory) = function.call(store, Arguments(&[])).expect("it answers");
        memory.expect("the bytes")
    }
}

fn engine() -> Engine {
    Engine::new(&Config::new()).expect("an engine")
}

fn put_type(graph: &TypeGraph) -> Type {
    graph.functions[0].params[1].ty.clone()
}

#[test]
fn lowering_leaves_what_wasmtime_would_leave() {
    let engine = engine();
    let cases = any_type().prop_flat_map(|tree| {
        let wasm = recorder(&tree);
        let graph = wit::read_component(&wasm).expect("a component").graph;
        let values = proptest::collection::vec(values_of(&graph, &put_type(&graph)), 1..5);
        (Just(tree), Just(wasm), Just(graph), values)
    });
    let config =
        ProptestConfig { cases: 96, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&cases, |(_, wasm, graph, values)| {
            let fixture =
                Fixture { component: Component::new(&engine, &wasm).expect("it compiles"), engine: engine.clone() };
            for value in values {
                let (mut ours, instance) = fixture.start();
                let arguments = [Value::Unsigned(1), value.clone(), Value::Unsigned(255)];
                let put = Fixture::function(&mut ours, &instance, "put");
                let put = put.typed::<Arguments<'_>, Answer>(&ours).expect("any type");
                put.call(&mut ours, Arguments(&arguments)).expect("it takes them");
                let after_ours = Fixture::memory(&mut ours, &instance);

                let (mut theirs, instance) = fixture.start();
                let arguments = [Val::U8(1), val(&graph, &put_type(&graph), &value), Val::U8(255)];
                Fixture::function(&mut theirs, &instance, "put")
                    .call(&mut theirs, &arguments, &mut [])
                    .expect("it takes them");
                prop_assert_eq!(after_ours, Fixture::memory(&mut theirs, &instance), "{:?}", value);
            }
            Ok(())
        })
        .expect("the same memory");
}

#[test]
fn arguments_of_other_types_are_refused() {
    let engine = engine();
    let wasm = recorder(&TypeTree::Record(vec![TypeTree::Scalar("u8"), TypeTree::Enum(2), TypeTree::Flags(2)]));
    let fixture = Fixture { component: Component::new(&engine, &wasm).expect("it compiles"), engine };
    let record =
        |number, case, flag| Value::Record(vec![Value::Unsigned(number), Value::Enum(case), Value::Flags(vec![flag])]);
    for (value, fits) in [
        (record(255, 1, 1), true),
        (record(256, 1, 1), false),
        (record(255, 2, 1), false),
        (record(255, 1, 2), false),
        (Value::Record(vec![]), false),
        (Value::Tuple(vec![]), false),
        (Value::Unsigned(1), false),
    ] {
        let (mut store, instance) = fixture.start();
        let put =
            Fixture::function(&mut store, &instance, "put").typed::<Arguments<'_>, Answer>(&store).expect("any type");
        let arguments = [Value::Unsigned(1), value.clone(), Value::Unsigned(255)];
        assert_eq!(put.call(&mut store, Arguments(&arguments)).is_ok(), fits, "{value:?}");
    }
}

/// Texts in encodings that no tool chain chooses by default.
#[test]
fn texts_are_lifted_from_every_encoding() {
    let engine = engine();
    let lifted = |encoding: &str, length: u32, bytes: &[u8]| {
        let data: String =
            length.to_le_bytes().iter().chain(&[0; 8]).chain(bytes).map(|byte| format!("\\{byte:02x}")).collect();
        let text = format!(
            r#"(component
            (core module $m
                (memory (export "memory") 1)
                (data (i32.const 0) "\10\00\00\00{data}")
                (func (export "text") (result i32) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func (export "text") (result string)
                (canon lift (core func $i "text") (memory (core memory $i "memory")) string-encoding={encoding})))"#
        );
        let component = Component::new(&engine, wat::parse_str(text).expect("a component")).expect("it compiles");
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).expect("it starts");
        let text = instance.get_func(&mut store, "text").expect("a function");
        let text = text.typed::<Arguments<'_>, Answer>(&store).expect("any type");
        text.call(&mut store, Arguments(&[])).ok().and_then(|Answer(value)| value)
    };
    let check = |encoding, length, bytes: &[u8], expected: Option<&str>| {
        let expected = expected.map(|text| Value::String(text.to_owned()));
        assert_eq!(lifted(encoding, length, bytes), expected, "{encoding} {bytes:?}");
    };
    let utf16: Vec<u8> = "hé😀".encode_utf16().flat_map(u16::to_le_bytes).collect();
    check("utf8", 7, "hé😀".as_bytes(), Some("hé😀"));
    check("utf8", 2, "hé😀".as_bytes(), None);
    check("utf8", 1 << 20, b"", None);
    check("utf16", 4, &utf16, Some("hé😀"));
    check("utf16", 3, &utf16, None);
    check("utf16", 1 << 31, b"", None);
    check("latin1+utf16", 2, &[b'h', 0xe9], Some("hé"));
    check("latin1+utf16", 4 | 1 << 31, &utf16, Some("hé😀"));
    check("latin1+utf16", 3 | 1 << 31, &utf16, None);
}
