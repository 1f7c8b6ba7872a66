//! Types of real components, which are built in memory from WIT.

use std::fmt::Write;

use outrigger_contract::FunctionName;
use outrigger_contract::types::json::{parse, render};
use outrigger_contract::types::wit::{OptionalExport, WitError, read_component};
use outrigger_contract::types::{Type, TypeGraph, schema};
use serde_json::json;

use super::support::{component, read, validator};

const RICH: &str = include_str!("rich.wit");

/// Signatures with their documentation, and what is refused: all that a person sees of a component.
fn overview(graph: &TypeGraph) -> String {
    let mut text = format!("{}\n", graph.docs);
    for function in &graph.functions {
        let place = function.interface.as_deref().unwrap_or("the world");
        write!(text, "\n{}\n  from {place} # {}\n", graph.signature(function), function.export).unwrap();
        for line in function.docs.lines() {
            writeln!(text, "  | {line}").unwrap();
        }
        for param in function.params.iter().filter(|param| !param.docs.is_empty()) {
            writeln!(text, "  {} = {}", param.name, param.docs).unwrap();
        }
    }
    text.push('\n');
    for refused in &graph.refused {
        writeln!(text, "{} is refused: {}", refused.name, refused.reason).unwrap();
    }
    text
}

#[test]
fn a_rich_component_as_people_see_it() {
    let component = read(RICH).unwrap();
    insta::assert_snapshot!(overview(&component.graph));
    let imports: Vec<_> = component.imports.iter().map(String::as_str).collect();
    assert_eq!(imports, ["outrigger:plugin/logging@1.0.0", "outrigger:plugin/state@1.0.0", "ping"]);
    assert_eq!(component.exports.into_iter().collect::<Vec<_>>(), [OptionalExport::Lifecycle, OptionalExport::Health]);
}

#[test]
fn the_types_of_a_rich_component() {
    insta::assert_json_snapshot!(read(RICH).unwrap().graph.types);
}

#[test]
fn the_schemas_of_a_rich_component() {
    let graph = read(RICH).unwrap().graph;
    let mut text = String::new();
    for function in &graph.functions {
        let schemas = [
            ("arguments", Some(schema::arguments(&graph, function))),
            ("result", Some(schema::result(&graph, function))),
            ("error", schema::error(&graph, function)),
        ];
        for (what, schema) in schemas {
            let Some(schema) = schema else { continue };
            validator(&schema);
            writeln!(text, "{} {what}\n{schema:#}\n", function.name).unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn one_function_takes_only_its_types_along() {
    let graph = read(RICH).unwrap().graph;
    for function in &graph.functions {
        let alone = graph.of_function(function);
        assert_eq!(alone.signature(&alone.functions[0]), graph.signature(function));
        assert_eq!(schema::result(&alone, &alone.functions[0]), schema::result(&graph, function));
        for ty in &alone.types {
            assert!(graph.types.iter().any(|known| known.name == ty.name));
        }
    }
    let (_, reset) = graph.function("reset").unwrap();
    let names: Vec<_> = graph.of_function(reset).types.into_iter().map(|ty| ty.name).collect();
    assert_eq!(names, ["admin.request"]);
}

/// Stored graphs are read again.
#[test]
fn a_graph_survives_being_stored() {
    let graph = read(RICH).unwrap().graph;
    let stored = serde_json::to_string(&graph).unwrap();
    assert_eq!(serde_json::from_str::<TypeGraph>(&stored).unwrap(), graph);
}

/// Ours is read first; that of other tools too, though their own decoder refuses the file; and none is no fault.
#[test]
fn documentation_is_read_wherever_it_stands() {
    let expected = read(RICH).unwrap();
    let foreign = component(RICH, "package-docs");
    assert!(wit_parser::decoding::decode(&foreign).is_err(), "the decoder has learnt it; hiding is needed no more");
    assert_eq!(read_component(&foreign).unwrap(), expected);
    let bare = read_component(&component(RICH, "something-else")).unwrap();
    assert_eq!(bare.graph.docs, "");
    assert!(bare.graph.functions.iter().all(|function| function.docs.is_empty()));
    assert!(bare.graph.types.iter().all(|ty| ty.docs.is_empty()));
}

#[test]
fn documentation_that_cannot_be_read_is_left_out() {
    let damaged = |section: &[u8]| {
        let mut bytes = component(RICH, "something-else");
        let section = wasm_encoder::CustomSection { name: "package-docs".into(), data: section.into() };
        wasm_encoder::ComponentSection::append_to_component(&section, &mut bytes);
        read_component(&bytes).unwrap().graph.docs
    };
    assert_eq!(damaged(b""), "");
    assert_eq!(damaged(b"\x01{"), "");
    assert_eq!(damaged(b"\x07{}"), "");
    assert_eq!(damaged(br#"xnot json"#), "");
    assert_eq!(damaged(b"\x01{\"docs\": \"read\", \"unknown\": 1}"), "read");
}

/// A component without an interface of ours, of WASI, of anybody.
#[test]
fn a_component_may_know_nothing_of_us() {
    let read = read("package a:b; world plugin { export add: func(a: u32, b: u32) -> u32; }").unwrap();
    assert_eq!(overview(&read.graph), "\n\nadd(a: u32, b: u32) -> u32\n  from the world # add\n\n");
    assert!(read.exports.is_empty() && read.imports.is_empty());
    let arguments = parse(&read.graph, &Type::U32, json!(1)).unwrap();
    assert_eq!(render(&read.graph, &Type::U32, &arguments), json!(1));
}

#[track_caller]
fn check_names(wit: &str, expected: &[&str]) {
    let graph = read(wit).unwrap().graph;
    let names: Vec<_> = graph.functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, expected);
    for name in names {
        name.parse::<FunctionName>().unwrap();
    }
}

#[test]
fn functions_have_short_names_where_they_can() {
    check_names(
        "package a:b@1.0.0;
        interface one { get: func(); set: func(); }
        interface two { get: func(); }
        world plugin { export one; export two; export HTTP-go2: func(); export set: func(); }",
        &["HTTP-go2", "set", "one.get", "one.set", "two.get"],
    );
}

#[test]
fn names_are_told_apart_by_package_and_version_where_they_must() {
    let nested = |name: &str, interface: &str| format!("package {name} {{ interface {interface} {{ get: func(); }} }}");
    let wit = format!(
        "package a:b;
        {} {} {} {}
        world plugin {{ export x:one/here@1.0.0; export y:two/here@1.0.0; export y:two/here@2.0.0-rc.1;
            export z:three/there; }}",
        nested("x:one@1.0.0", "here"),
        nested("y:two@1.0.0", "here"),
        nested("y:two@2.0.0-rc.1", "here"),
        nested("z:three", "there"),
    );
    check_names(&wit, &["x.one.here.get", "y.two.here.1.0.0.get", "y.two.here.2.0.0-rc.1.get", "there.get"]);
}

/// Whatever a component calls its functions: those in the graph have valid names.
#[test]
fn a_name_that_cannot_be_called_is_refused() {
    let long = format!("a{}", "-long".repeat(40));
    let wit = format!("package a:b; world plugin {{ export {long}: func(); export short: func(); }}");
    let graph = read(&wit).unwrap().graph;
    assert_eq!(graph.functions.len(), 1);
    assert_eq!(graph.refused[0].name, format!("{}…", &long[..40]));
    assert_eq!(
        graph.refused[0].reason,
        format!("the function name `{}…` has 201 characters; at most 128 are allowed", &long[..40])
    );
}

#[test]
fn what_has_no_json_is_refused_with_the_reason() {
    let check = |exports: &str, expected: &[(&str, &str)]| {
        let wat = format!("(component {exports})");
        let read = read_component(&wat::parse_str(&wat).unwrap()).unwrap();
        assert_eq!(read.graph.functions, []);
        assert_eq!(read.graph.types, [], "only refused functions have them");
        let refused: Vec<_> = read.graph.refused.iter().map(|one| (one.name.as_str(), one.reason.as_str())).collect();
        assert_eq!(refused, expected);
    };
    check(
        "(import \"slow\" (func $f async)) (export \"wait\" (func $f))",
        &[("wait", "it is an async function of WASI 0.3, which is not supported yet")],
    );
    check(
        "(import \"a\" (func $f (param \"x\" (stream u8)))) (export \"pour\" (func $f))",
        &[("pour", "its types include a stream, which cannot be converted to JSON")],
    );
    check(
        "(import \"a\" (func $f (result (future string)))) (export \"later\" (func $f))",
        &[("later", "its types include a future, which cannot be converted to JSON")],
    );
    check(
        "(import \"a\" (func $f (param \"x\" error-context))) (export \"fail\" (func $f))",
        &[("fail", "its types include an error context, which cannot be converted to JSON")],
    );
    check(
        "(import \"r\" (type $r (sub resource))) (import \"a\" (func $f (param \"x\" (option (own $r)))))
        (export \"hold\" (func $f))",
        &[("hold", "its types include a resource, which cannot be converted to JSON")],
    );
}

#[test]
fn what_is_no_component_is_refused() {
    let check = |bytes: &[u8], expected: &str| {
        let error = read_component(bytes).unwrap_err().to_string();
        assert!(error.starts_with("the file cannot be read as a WebAssembly component: "), "{error}");
        assert!(error.contains(expected), "{error}");
    };
    check(b"", "it does not begin as WebAssembly does");
    check(b"\x7fELF", "it does not begin as WebAssembly does");
    check(&wat::parse_str("(module)").unwrap(), "it is a core module");
    let whole = component(RICH, "package-docs");
    for length in (8..whole.len()).step_by(97) {
        drop(read_component(&whole[..length]));
    }
    check(&whole[..whole.len() / 2], "unexpected end");
    assert!(matches!(read_component(&binary_wit()), Err(WitError::WitPackage)));
}

fn binary_wit() -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_source("test.wit", "package a:b; interface c { d: func(); }").unwrap();
    wit_component::encode(&resolve, package).unwrap()
}

/// Every record holds the one before; the functions come in an order that shows each type before what holds it.
#[test]
fn depth_counts_through_types_that_are_known_already() {
    let nested = |levels: usize| {
        let mut wit = "package a:b; interface deep { record r0 { x: bool } g0: func(x: r0);".to_owned();
        for level in 1..levels {
            write!(wit, "record r{level} {{ x: r{} }} g{level}: func(x: r{level});", level - 1).unwrap();
        }
        wit.push_str("} world plugin { export deep; }");
        read(&wit)
    };
    assert_eq!(nested(64).unwrap().graph.functions.len(), 64);
    let error = nested(65).unwrap_err().to_string();
    assert_eq!(error, "the types of `g64` are nested more than 64 levels deep");
}

#[test]
fn types_of_one_name_are_told_apart() {
    let mut wit = "package a:b;".to_owned();
    let mut world = String::new();
    for number in 0..40 {
        write!(wit, "interface i{number} {{ enum kind {{ a{number} }} g{number}: func() -> kind; }}").unwrap();
        write!(world, "export i{number};").unwrap();
    }
    let graph = read(&format!("{wit} world plugin {{ {world} }}")).unwrap().graph;
    let names: Vec<_> = graph.types.iter().map(|ty| ty.name.as_str()).collect();
    assert_eq!(names[..3], ["kind", "i1.kind", "i2.kind"]);
    assert_eq!(names.len(), 40);
}

/// Deep enough to overflow a stack that follows it.
#[test]
fn types_nested_beyond_measure_are_an_error() {
    let mut wat = "(component (type (list u8))".to_owned();
    for level in 0..50_000 {
        write!(wat, "(type (list {level}))").unwrap();
    }
    wat.push_str("(import \"a\" (func $f (param \"x\" 50000))) (export \"f\" (func $f)))");
    assert!(read_component(&wat::parse_str(&wat).unwrap()).is_err());
}

#[test]
fn s10_names_that_nobody_could_read_are_refused() {
    // The component format itself allows at most 100,000.
    let long = "a".repeat(90_000);
    for items in [
        format!("export {long}: func();"),
        format!("export f: func({long}: u8);"),
        format!("export i: interface {{ {long}: func(); }}"),
        format!("export {long}: interface {{ f: func(); }}"),
        format!("import {long}: func(); export f: func();"),
        format!("record r {{ {long}: u8 }} export f: func(x: r);"),
        format!("variant v {{ {long} }} export f: func(x: v);"),
        format!("enum e {{ {long} }} export f: func(x: e);"),
        format!("flags g {{ {long} }} export f: func(x: g);"),
        format!("record {long} {{ a: u8 }} export f: func(x: {long});"),
    ] {
        let error = read(&format!("package a:b; world plugin {{ {items} }}")).unwrap_err();
        assert!(
            matches!(&error, WitError::LongName { start, length } if *length >= 90_000 && start.len() < 100),
            "{error:?}"
        );
        assert!(error.to_string().len() < 200, "{error}");
    }
    let most = "a".repeat(120);
    read(&format!("package a:b; world plugin {{ export {most}: func({most}: u8); }}")).unwrap();
}

#[test]
fn s10_long_documentation_is_cut() {
    let docs = "word ".repeat(40_000);
    let read = read(&format!("package a:b; world plugin {{ /// {docs}\nexport f: func(); }}")).unwrap();
    let docs = &read.graph.functions[0].docs;
    assert!(docs.len() < 17 << 10 && docs.ends_with("more bytes)"), "{}", docs.len());
}

/// The reason why the function `f` is refused.
fn refused(wit: &str) -> String {
    let found = read(wit).unwrap();
    let refused = found.graph.refused.iter().find(|refused| refused.name == "f").expect("it is refused");
    assert!(found.graph.types.len() < 50, "nothing of it is kept");
    refused.reason.clone()
}

/// An interface with a type `t0`, further types that each contain the previous one twice, and a function that takes the
/// last one.
fn doubling(first: &str, times: usize, step: impl Fn(usize) -> String) -> String {
    let types: Vec<_> = (1..=times).map(step).collect();
    format!(
        "package a:b; interface i {{ {first} {} f: func(v: t{times}); g: func(v: u8) -> u8; }} world plugin {{ export i; }}",
        types.join(" ")
    )
}

#[test]
fn s23_types_that_double_are_refused_by_name() {
    let plain = |times| doubling("type t0 = s64;", times, |n| format!("type t{n} = tuple<t{0}, t{0}>;", n - 1));
    for times in [13, 14, 16] {
        let reason = refused(&plain(times));
        assert!(
            reason.contains("its type `t1") && reason.contains("too large") && reason.contains("10000 values"),
            "{reason}"
        );
    }
    assert!(read(&plain(8)).unwrap().graph.refused.is_empty(), "256 values are fine");
    // The other function of the component can still be called.
    assert!(read(&plain(16)).unwrap().graph.function("g").is_some());
}

#[test]
fn s23_it_does_not_matter_how_they_double() {
    let records = |n: usize| format!("record t{n} {{ a: t{0}, b: option<t{0}> }}", n - 1);
    let variants = |n: usize| format!("variant t{n} {{ a(t{0}), b(list<t{0}>), c }}", n - 1);
    let results = |n: usize| format!("type t{n} = result<t{0}, t{0}>;", n - 1);
    let wide = |n: usize| format!("type t{n} = tuple<t{0}, t{0}, t{0}, t{0}, t{0}, t{0}, t{0}, t{0}>;", n - 1);
    for (times, step) in [(14, &records as &dyn Fn(usize) -> String), (14, &variants), (14, &results), (5, &wide)] {
        let reason = refused(&doubling("type t0 = u64;", times, step));
        assert!(reason.contains("too large"), "{reason}");
    }
}

#[test]
fn s23_many_labels_and_fields_count() {
    let labels = |count: usize| (0..count).map(|n| format!("l{n}")).collect::<Vec<_>>().join(", ");
    let with =
        |ty: String| format!("package a:b; interface i {{ {ty} f: func(v: t) -> u8; }} world plugin {{ export i; }}");
    let enums = format!("enum e {{ {} }} type t = tuple<e, e>;", labels(6_000));
    assert!(refused(&with(enums)).contains("too large"));
    let fields = (0..6_000).map(|n| format!("l{n}: tuple<u8, u8>")).collect::<Vec<_>>().join(", ");
    assert!(refused(&with(format!("record t {{ {fields} }}"))).contains("`t` is too large"));
    assert!(read(&with(format!("enum t {{ {} }}", labels(1_000)))).unwrap().graph.refused.is_empty());
}

#[test]
fn s23_many_functions_of_one_large_type_count_together() {
    let fields = (0..1_000).map(|n| format!("l{n}: u64")).collect::<Vec<_>>().join(", ");
    let functions = (0..60).map(|n| format!("call{n}: func(v: t);")).collect::<Vec<_>>().join(" ");
    let wit =
        format!("package a:b; interface i {{ record t {{ {fields} }} {functions} }} world plugin {{ export i; }}");
    let graph = read(&wit).unwrap().graph;
    assert_eq!(graph.functions.len() + graph.refused.len(), 60);
    assert!((15..25).contains(&graph.functions.len()), "{}", graph.functions.len());
    assert!(graph.refused[0].reason.contains("and the previous ones"), "{}", graph.refused[0].reason);
    let size: usize = graph
        .functions
        .iter()
        .map(|function| outrigger_contract::types::schema::arguments(&graph, function).to_string().len())
        .sum();
    assert!(size < 30 << 20, "{size} bytes of descriptions in all");
}

#[test]
fn s23_documentation_of_megabytes_is_left_out_and_said() {
    let with = |docs: &str| {
        format!("package a:b; interface i {{ /// {docs}\n f: func(v: u8) -> u8; }} world plugin {{ export i; }}")
    };
    let found = read(&with(&"x".repeat(2 << 20))).unwrap();
    assert_eq!(found.graph.functions[0].docs, "");
    assert!(found.notes[0].contains("and is not shown; the limit is 1MiB"), "{:?}", found.notes);
}
