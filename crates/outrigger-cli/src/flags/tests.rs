//! Flags over a graph made by hand, with every kind of type that a parameter can have.

use clap::{Args, Command};
use outrigger_api::{FunctionDescription, FunctionSummary};
use outrigger_contract::types::{Case, Field, Function, Label, NamedType, Outcome, Shape, Type, TypeGraph, TypeId};
use serde_json::{Value as Json, json};

use super::{Parameters, described, example};
use crate::cli::{Argument, CallOptions};
use crate::error::CliError;

fn field(name: &str, ty: Type) -> Field {
    Field { name: name.to_owned(), docs: format!("About {name}."), ty }
}

fn labels(names: &[&str]) -> Vec<Label> {
    names.iter().map(|name| Label { name: (*name).to_owned(), docs: String::new() }).collect()
}

fn optional(ty: Type) -> Type {
    Type::Option(Box::new(ty))
}

fn list(ty: Type) -> Type {
    Type::List(Box::new(ty))
}

const TAG: Type = Type::Named(TypeId(0));
const COLOR: Type = Type::Named(TypeId(1));
const RIGHTS: Type = Type::Named(TypeId(2));
const SCOPE: Type = Type::Named(TypeId(3));
const NAME: Type = Type::Named(TypeId(4));

fn graph(params: Vec<Field>) -> TypeGraph {
    let named = |name: &str, shape| NamedType::new(name, "", shape);
    let case = |name: &str, ty| Case { name: name.to_owned(), docs: String::new(), ty };
    TypeGraph {
        types: vec![
            named("tag", Shape::Record(vec![field("key", Type::String), field("count", optional(Type::U8))])),
            named("color", Shape::Enum(labels(&["red", "green"]))),
            named("rights", Shape::Flags(labels(&["read", "write", "run"]))),
            named("scope", Shape::Variant(vec![case("all", None), case("only", Some(Type::String))])),
            named("name", Shape::Alias(Type::String)),
        ],
        functions: vec![Function {
            name: "f".to_owned(),
            interface: None,
            export: "f".to_owned(),
            docs: String::new(),
            params,
            outcome: Outcome { ok: None, err: None },
        }],
        ..TypeGraph::default()
    }
}

fn description(params: Vec<Field>) -> FunctionDescription {
    FunctionDescription {
        summary: FunctionSummary {
            function: "p.f".parse().unwrap(),
            title: String::new(),
            summary: String::new(),
            signature: String::new(),
            tags: Vec::new(),
            read_only: false,
            destructive: false,
            idempotent: false,
        },
        description: String::new(),
        parameters: Vec::new(),
        arguments_schema: Json::Null,
        result_schema: Json::Null,
        error_schema: None,
        timeout_ms: 1,
        cache_ms: None,
        rate_limit: None,
        estimated_ms: None,
        requires_auth: false,
        requires_admin: false,
        types: graph(params),
    }
}

/// The arguments that a command line makes, or what is said against it.
fn read(params: Vec<Field>, base: Option<Json>, pairs: &[&str], words: &[&str]) -> Result<Json, String> {
    let reserved = CallOptions::augment_args(Command::new("call"));
    let parameters = Parameters::new(&description(params), &reserved).unwrap();
    let command = parameters.augment(Command::new("call").no_binary_name(true));
    command.clone().debug_assert();
    let matches = command.try_get_matches_from(words).map_err(|error| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })?;
    let pairs: Vec<Argument> = pairs.iter().map(|pair| pair.parse().unwrap()).collect();
    let base = base.map(|base| base.as_object().cloned().unwrap());
    match parameters.arguments(base, &pairs, &matches) {
        Ok(arguments) => Ok(arguments.into()),
        Err(CliError::Api(error)) => Err(format!("{}; {}", error.message, error.hint)),
        Err(other) => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(ty: Type, words: &[&str], expected: Result<Json, &str>) {
    let read = read(vec![field("x", ty)], None, &[], words);
    match (read, expected) {
        (Ok(arguments), Ok(value)) => assert_eq!(arguments, json!({"x": value})),
        (Err(message), Err(part)) => assert!(message.contains(part), "{message}"),
        (read, expected) => panic!("{read:?} instead of {expected:?}"),
    }
}

#[test]
fn switches() {
    check(Type::Bool, &["--x"], Ok(json!(true)));
    check(Type::Bool, &["--x=false"], Ok(json!(false)));
    check(Type::Bool, &[], Ok(json!(false)));
    check(Type::Bool, &["--x=maybe"], Err("invalid value 'maybe' for '--x[=<BOOL>]'"));
    check(optional(Type::Bool), &["--x"], Ok(json!(true)));
}

#[test]
fn numbers_keep_to_their_range() {
    check(Type::U8, &["--x", "255"], Ok(json!(255)));
    check(Type::U8, &["--x", "256"], Err("invalid value '256' for '--x <U8>': must be from 0 to 255"));
    check(Type::S32, &["--x", "-7"], Ok(json!(-7)));
    check(Type::U32, &["--x", "two"], Err("must be an integer from 0 to 4294967295"));
    check(Type::U64, &["--x", "18446744073709551615"], Ok(json!(u64::MAX)));
    check(Type::F64, &["--x", "1e3"], Ok(json!(1e3)));
    check(Type::F64, &["--x", "NaN"], Ok(json!("NaN")));
}

#[test]
fn texts_are_taken_as_they_are() {
    check(Type::String, &["--x", "{\"a\": 1}"], Ok(json!("{\"a\": 1}")));
    check(Type::String, &["--x", "@file"], Ok(json!("@file")));
    check(NAME, &["--x", "null"], Ok(json!("null")));
    check(optional(Type::String), &["--x", "null"], Ok(json!("null")));
    check(Type::Char, &["--x", "é"], Ok(json!("é")));
    check(Type::Char, &["--x", "ab"], Err("exactly one character"));
}

#[test]
fn enums_and_flags_have_possible_values() {
    check(COLOR, &["--x", "red"], Ok(json!("red")));
    check(COLOR, &["--x", "blue"], Err("invalid value 'blue' for '--x <COLOR>'"));
    check(RIGHTS, &["--x", "read,run", "--x", "write"], Ok(json!(["read", "run", "write"])));
    check(RIGHTS, &[], Ok(json!([])));
    check(list(COLOR), &["--x", "red", "--x", "red"], Ok(json!(["red", "red"])));
}

#[test]
fn lists_are_repeated() {
    check(list(Type::U8), &["--x", "1", "--x", "2"], Ok(json!([1, 2])));
    check(list(Type::U8), &[], Ok(json!([])));
    check(list(Type::U8), &["--x", "[1, 2]", "--x", "3"], Err("must be an integer"));
    check(
        list(TAG),
        &["--x", "key=a", "--x", r#"[{"key": "b"}, {"key": "c"}]"#],
        Ok(json!([
            {"key": "a"}, {"key": "b"}, {"key": "c"}
        ])),
    );
    check(list(list(Type::U8)), &["--x", "[1]", "--x", "[2, 3]"], Ok(json!([[1], [2, 3]])));
    check(optional(list(Type::String)), &["--x", "a,b"], Ok(json!(["a,b"])));
}

#[test]
fn records_have_a_short_form() {
    check(TAG, &["--x", "key=a,count=3"], Ok(json!({"key": "a", "count": 3})));
    check(TAG, &["--x", "key=a, b=c,count=3"], Ok(json!({"key": "a, b=c", "count": 3})));
    check(TAG, &["--x", r#"{"key": "a"}"#], Ok(json!({"key": "a"})));
    check(TAG, &["--x", "count=300,key=a"], Err("count must be from 0 to 255, but is 300"));
    check(TAG, &["--x", "count=3"], Err("the field `key` of type string is missing"));
    check(TAG, &["--x", "other=3"], Err("`other` is no field; write key=…,count=…, JSON, or `@FILE`"));
    check(TAG, &["--x", "key=a,key=b"], Err("`key` is given twice"));
    check(TAG, &["--x", "{"], Err("this is not JSON"));
}

#[test]
fn variants_and_other_shapes() {
    check(SCOPE, &["--x", "all"], Ok(json!({"tag": "all"})));
    check(SCOPE, &["--x", r#"{"tag": "only", "val": "a"}"#], Ok(json!({"tag": "only", "val": "a"})));
    check(SCOPE, &["--x", "only"], Err("nor is it one of all"));
    check(Type::Tuple(vec![Type::U8, Type::String]), &["--x", "[1, \"a\"]"], Ok(json!([1, "a"])));
    check(optional(optional(Type::U8)), &["--x", "{\"some\": 1}"], Ok(json!({"some": 1})));
    check(optional(optional(Type::U8)), &["--x", "null"], Ok(Json::Null));
}

#[test]
fn bytes_and_documents_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    std::fs::write(&path, [0, 1, 2, 255]).unwrap();
    let at = format!("@{}", path.display());
    check(Type::Bytes, &["--x", &at], Ok(json!("AAEC/w==")));
    check(Type::Bytes, &["--x", "AAEC/w=="], Ok(json!("AAEC/w==")));
    check(Type::Bytes, &["--x", "@/nowhere"], Err("there is no file /nowhere"));
    check(Type::Bytes, &["--x", "?"], Err("must be base64"));
    std::fs::write(&path, r#"[{"key": "a"}, {"key": "b"}]"#).unwrap();
    check(list(TAG), &["--x", &at], Ok(json!([{"key": "a"}, {"key": "b"}])));
    check(TAG, &["--x", &at], Err("must be an object"));
}

#[test]
fn flags_go_before_pairs_and_pairs_before_json() {
    let params = || vec![field("a", Type::U8), field("b", Type::U8), field("c", optional(Type::String))];
    let base = || Some(json!({"a": 1, "b": 1}));
    assert_eq!(read(params(), base(), &["b=2"], &["--a", "3"]), Ok(json!({"a": 3, "b": 2})));
    assert_eq!(read(params(), base(), &["b=2", "b=4"], &["--b", "3"]), Ok(json!({"a": 1, "b": 3})));
    assert_eq!(read(params(), None, &["b=2", "c=x=y"], &["--a=3"]), Ok(json!({"a": 3, "b": 2, "c": "x=y"})));
}

#[test]
fn a_pair_is_read_by_its_type() {
    let params = || vec![field("tags", list(TAG)), field("color", COLOR), field("on", Type::Bool)];
    let pairs = ["tags=[{\"key\": \"a\"}]", "color=red", "on=true"];
    let expected = json!({"tags": [{"key": "a"}], "color": "red", "on": true});
    assert_eq!(read(params(), None, &pairs, &[]), Ok(expected));
    let wrong = |pair: &str| read(params(), Some(json!({})), &[pair], &[]).unwrap_err();
    assert!(
        wrong("color=blue").starts_with("--arg color, of type color: there is no case `blue`"),
        "{}",
        wrong("color=blue")
    );
    assert!(wrong("on=1").starts_with("--arg on, of type bool: must be true or false"), "{}", wrong("on=1"));
    assert!(wrong("colr=red").ends_with("did you mean `color`?"), "{}", wrong("colr=red"));
    assert!(wrong("zzzzzz=1").ends_with("it has tags, color, on"), "{}", wrong("zzzzzz=1"));
    assert!(wrong("on").contains("has no value"), "{}", wrong("on"));
}

#[test]
fn what_is_missing_is_named_with_its_flag() {
    let params = || vec![field("a", Type::U8), field("tags", list(TAG)), field("on", Type::Bool), field("c", COLOR)];
    let message = read(params(), None, &[], &[]).unwrap_err();
    assert_eq!(message, "`p.f` needs --a <U8>, --c <COLOR>; `outrigger call p.f --help` shows its parameters");
    // JSON is somebody's exact words; nothing is added to them.
    let message = read(params(), Some(json!({"a": 1, "c": "red"})), &[], &[]).unwrap_err();
    assert!(message.starts_with("`p.f` needs --tags <TAG>, --on;"), "{message}");
}

#[test]
fn names_that_are_taken_get_another_flag() {
    let params = || vec![field("timeout", Type::U8), field("help", Type::U8), field("json", Type::U8)];
    let words = ["--param-timeout", "1", "--param-help", "2", "--param-json", "3"];
    assert_eq!(read(params(), None, &[], &words), Ok(json!({"timeout": 1, "help": 2, "json": 3})));
    let odd = || vec![field("a b=c", Type::U8), field("--", Type::U8)];
    assert_eq!(read(odd(), None, &[], &["--a-b-c", "1", "--param", "2"]), Ok(json!({"a b=c": 1, "--": 2})));
}

#[test]
fn help_shows_documentation_form_and_need() {
    let params = vec![
        field("name", Type::String),
        field("tags", list(TAG)),
        field("color", optional(COLOR)),
        field("scope", SCOPE),
        field("on", Type::Bool),
        field("key", Type::Bytes),
        field("pair", Type::Tuple(vec![Type::U8, Type::String])),
    ];
    let parameters = Parameters::new(&description(params), &Command::new("call")).unwrap();
    let command = Command::new("call").term_width(100).disable_help_flag(true).override_usage("…");
    insta::assert_snapshot!(parameters.augment(command).render_help());
}

#[test]
fn examples_have_what_must_be_given_and_can_be_read() {
    let cases = [
        (vec![field("name", Type::String), field("n", Type::U8)], "outrigger call p.f --name NAME --n 1"),
        (vec![field("on", Type::Bool), field("c", optional(COLOR))], "outrigger call p.f --on"),
        (vec![field("tags", list(TAG)), field("c", COLOR)], "outrigger call p.f --tags key=KEY --c red"),
        (vec![field("s", SCOPE), field("r", RIGHTS)], "outrigger call p.f --s all --r read"),
        (
            vec![field("t", Type::Tuple(vec![Type::U8, Type::String])), field("b", Type::Bytes)],
            "outrigger call p.f --t '[1,\"T\"]' --b @FILE",
        ),
    ];
    for (params, expected) in cases {
        let description = description(params.clone());
        let function = described(&description).unwrap();
        assert_eq!(example::command_line(&description.types, "p.f", function), expected);
        if !expected.contains("@FILE") {
            let words: Vec<_> = expected.split(' ').skip(3).map(|word| word.trim_matches('\'')).collect();
            assert!(read(params, None, &[], &words).is_ok(), "{expected}");
        }
    }
}
