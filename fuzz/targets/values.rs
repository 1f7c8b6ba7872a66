//! JSON to values and back: the fast and the thorough parser agree, and a rendered value is read back as the same
//! value.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use outrigger_contract::types::json::{Meter, Rendered, check_arguments, parse_arguments, parse_arguments_text};
use outrigger_contract::types::wit;
use outrigger_contract::{TypeGraph, Value};
use serde_json::Value as Json;

/// Functions with one parameter of each kind of type.
static GRAPH: LazyLock<TypeGraph> = LazyLock::new(|| {
    let types = [
        "bool",
        "u8",
        "u16",
        "u32",
        "u64",
        "s8",
        "s16",
        "s32",
        "s64",
        "f32",
        "f64",
        "char",
        "string",
        "(list u8)",
        "(list string)",
        "(list (list (list f64)))",
        "(option u8)",
        "(option (option string))",
        "(tuple u8 string (option char))",
        "(result string (error u32))",
        "(result)",
        "(option (list (tuple f32 (result (list u8) (error (option bool))))))",
    ];
    let mut text = "(component".to_owned();
    for (number, ty) in types.iter().enumerate() {
        let given = if ty.starts_with('(') { format!("$t{number}") } else { (*ty).to_owned() };
        if ty.starts_with('(') {
            text.push_str(&format!("(type $t{number} {ty})"));
        }
        text.push_str(&format!(
            "(import \"host-{number}\" (func $f{number} (param \"a\" {given}) (param \"b\" {given}))) (export \"f{number}\" (func $f{number}))"
        ));
    }
    text.push(')');
    let component = wat::parse_str(&text).expect("a component");
    wit::read_component(&component).expect("types").graph
});

fuzz_target!(|input: (u8, &str)| {
    let (number, text) = input;
    let graph = &*GRAPH;
    let Some(function) = graph.functions.get(usize::from(number) % graph.functions.len()) else { return };
    let quick = parse_arguments_text(graph, function, text, &Meter::unbounded());
    let tree: Option<serde_json::Map<String, Json>> = serde_json::from_str(text).ok();
    let thorough = tree.map(|tree| parse_arguments(graph, function, tree, &Meter::unbounded()));
    let Ok(values) = quick else {
        assert!(!matches!(thorough, Some(Ok(_))), "only the thorough way reads {text}");
        return;
    };
    if let Some(thorough) = thorough {
        assert_eq!(
            format!("{:?}", thorough.as_ref()),
            format!("{:?}", Ok::<_, ()>(&values)).replace("Ok(", "Ok("),
            "{text}"
        );
    }
    check_arguments(graph, function, &values).expect("what was read fits");
    let rendered = render(graph, function, &values);
    let again =
        parse_arguments_text(graph, function, &rendered, &Meter::unbounded()).expect("what was written can be read");
    assert_eq!(format!("{again:?}"), format!("{values:?}"), "{rendered}");
});

fn render(graph: &TypeGraph, function: &outrigger_contract::types::Function, values: &[Value]) -> String {
    let members = function.params.iter().zip(values).map(|(param, value)| {
        let mut text = Vec::new();
        Rendered { graph, ty: &param.ty, value }.write(&mut text).expect("the value is of its type");
        format!("{}:{}", Json::from(param.name.to_string()), String::from_utf8(text).expect("JSON"))
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}
