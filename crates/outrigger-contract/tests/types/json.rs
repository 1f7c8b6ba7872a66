//! Every row of the table at the head of `types/json.rs`: what is read, how it is written again, what is refused and with
//! which words; and that the schema agrees each time.

use outrigger_contract::types::json::{self, Faults, Rendered};
use outrigger_contract::types::{
    Case, Function, Label, NamedType, Outcome, Shape, Type, TypeGraph, TypeId, Value, schema,
};
use serde_json::{Value as Json, json};

use super::support::{COLOUR, DISCOUNT, MAYBE, ODD, POINT, RIGHTS, field, graph, list, option, result, validator};

/// Reads JSON. `Ok` is what is written for the value that was read; `Err` all faults as one text.
#[track_caller]
fn check(ty: &Type, text: &str, expected: Result<&str, &str>) {
    let read = check_apart_from_the_schema(ty, text, expected);
    let accepted = validator(&schema::of(&graph(), ty)).is_valid(&serde_json::from_str(text).unwrap());
    assert_eq!(accepted, read.is_ok(), "the schema of {} and the reader differ about {text}", graph().display(ty));
}

#[track_caller]
fn check_apart_from_the_schema(ty: &Type, text: &str, expected: Result<&str, &str>) -> Result<Value, Faults> {
    let graph = graph();
    let read = json::parse(&graph, ty, serde_json::from_str(text).unwrap());
    let written = read.as_ref().map(|value| rendered(&graph, ty, value)).map_err(ToString::to_string);
    assert_eq!(written.as_ref().map(String::as_str), expected.map_err(str::to_owned).as_ref().copied(), "{text}");
    if let (Ok(value), Ok(written)) = (&read, &written) {
        assert!(json::fits(&graph, ty, value));
        assert_eq!(&json::parse(&graph, ty, serde_json::from_str(written).unwrap()).unwrap(), value);
    }
    read
}

/// The text, which the tree agrees with.
#[track_caller]
fn rendered(graph: &TypeGraph, ty: &Type, value: &Value) -> String {
    let mut text = Vec::new();
    Rendered { graph, ty, value }.write(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(json::render(graph, ty, value).to_string(), text);
    text
}

#[test]
fn booleans() {
    check(&Type::Bool, "true", Ok("true"));
    check(&Type::Bool, "false", Ok("false"));
    check(&Type::Bool, "0", Err("must be true or false, but is 0"));
    check(&Type::Bool, r#""true""#, Err(r#"must be true or false, but is "true""#));
    check(&Type::Bool, "null", Err("must be true or false, but is null"));
}

#[test]
fn integers_have_their_bounds() {
    let check_bounds = |ty: &Type, least: i128, greatest: i128| {
        let (least_text, greatest_text) = (least.to_string(), greatest.to_string());
        check(ty, &least_text, Ok(&least_text));
        check(ty, &greatest_text, Ok(&greatest_text));
        check(ty, "0", Ok("0"));
        check(ty, "5.0", Ok("5"));
        check(ty, "-0.0", Ok("0"));
        check(ty, "2.5e1", Ok("25"));
        for outside in [least - 1, greatest + 1] {
            let read = json::parse(&graph(), ty, serde_json::from_str(&outside.to_string()).unwrap());
            let message = read.unwrap_err().to_string();
            assert!(message.contains(&format!("from {least} to {greatest}, but is ")), "{message}");
            let validator = validator(&schema::of(&graph(), ty));
            let json = serde_json::from_str::<Json>(&outside.to_string()).unwrap();
            // Beyond 64 bits a number is read as a float, and this one as the bound.
            assert!(!validator.is_valid(&json) || json.as_f64() == Some(-9_223_372_036_854_775_808.0), "{outside}");
        }
        for wrong in ["0.5", "true", "null", "[]", "{}", "1e40", r#""five""#, r#""""#] {
            let shown = match wrong {
                "[]" => "an array",
                "{}" => "an object",
                "1e40" => "1e40",
                wrong => wrong,
            };
            let message = format!("must be an integer from {least} to {greatest}, but is {shown}");
            let found = json::parse(&graph(), ty, serde_json::from_str(wrong).unwrap()).unwrap_err().to_string();
            assert_eq!(found.replace("e+40", "e40"), message);
        }
    };
    check_bounds(&Type::U8, 0, u8::MAX.into());
    check_bounds(&Type::U16, 0, u16::MAX.into());
    check_bounds(&Type::U32, 0, u32::MAX.into());
    check_bounds(&Type::U64, 0, u64::MAX.into());
    check_bounds(&Type::S8, i8::MIN.into(), i8::MAX.into());
    check_bounds(&Type::S16, i16::MIN.into(), i16::MAX.into());
    check_bounds(&Type::S32, i32::MIN.into(), i32::MAX.into());
    check_bounds(&Type::S64, i64::MIN.into(), i64::MAX.into());
}

#[test]
fn wide_integers_are_also_read_from_text() {
    let unsigned = "must be an integer from 0 to 18446744073709551615, but is";
    check(&Type::U64, r#""18446744073709551615""#, Ok("18446744073709551615"));
    check(&Type::U64, r#""0""#, Ok("0"));
    check(
        &Type::U64,
        r#""18446744073709551616""#,
        Err("must be from 0 to 18446744073709551615, but is 18446744073709551616"),
    );
    check(&Type::U64, r#""-0""#, Err(&format!(r#"{unsigned} "-0""#)));
    check(&Type::U64, r#""-1""#, Err(&format!(r#"{unsigned} "-1""#)));
    check(&Type::U64, r#""007""#, Err(&format!(r#"{unsigned} "007""#)));
    check(&Type::U64, r#""+7""#, Err(&format!(r#"{unsigned} "+7""#)));
    check(&Type::U64, r#"" 7""#, Err(&format!(r#"{unsigned} " 7""#)));
    check(&Type::U64, r#""7\n""#, Err(&format!(r#"{unsigned} "7\n""#)));
    check(&Type::U64, r#""1e3""#, Err(&format!(r#"{unsigned} "1e3""#)));
    check(&Type::U64, r#""٧""#, Err(&format!(r#"{unsigned} "٧""#)));
    check(&Type::S64, r#""-9223372036854775808""#, Ok("-9223372036854775808"));
    check(&Type::S64, r#""9223372036854775807""#, Ok("9223372036854775807"));
    check(&Type::S64, r#""-0""#, Ok("0"));
    check(
        &Type::S64,
        r#""-9223372036854775809""#,
        Err("must be from -9223372036854775808 to 9223372036854775807, but is -9223372036854775809"),
    );
    check(&Type::U32, r#""7""#, Err(r#"must be an integer from 0 to 4294967295, but is "7""#));
}

#[test]
fn whole_floats_past_2_to_the_53_may_have_lost_their_digits() {
    check(&Type::U64, "9007199254740992.0", Ok("9007199254740992"));
    let read = check_apart_from_the_schema(
        &Type::U64,
        "1e17",
        Err("must be an integer from 0 to 18446744073709551615, but is 1e+17"),
    );
    assert!(read.is_err());
}

#[test]
fn floats() {
    check(&Type::F64, "0.1", Ok("0.1"));
    check(&Type::F64, "-0.0", Ok("-0.0"));
    check(&Type::F64, "3", Ok("3.0"));
    check(&Type::F64, "5e-324", Ok("5e-324"));
    check(&Type::F64, "1.7976931348623157e308", Ok("1.7976931348623157e+308"));
    check(&Type::F64, r#""NaN""#, Ok(r#""NaN""#));
    check(&Type::F64, r#""Infinity""#, Ok(r#""Infinity""#));
    check(&Type::F64, r#""-Infinity""#, Ok(r#""-Infinity""#));
    let wanted = r#"must be a number, "NaN", "Infinity" or "-Infinity", but is"#;
    check(&Type::F64, r#""nan""#, Err(&format!(r#"{wanted} "nan""#)));
    check(&Type::F64, r#""1.5""#, Err(&format!(r#"{wanted} "1.5""#)));
    check(&Type::F64, "null", Err(&format!("{wanted} null")));
}

#[test]
fn narrow_floats_are_written_as_short_as_they_are_read() {
    check(&Type::F32, "0.1", Ok("0.1"));
    check(&Type::F32, "0.10000000149011612", Ok("0.1"));
    check(&Type::F32, "-0.0", Ok("-0.0"));
    check(&Type::F32, "1e-45", Ok("1e-45"));
    check(&Type::F32, "1e-60", Ok("0.0"));
    check(&Type::F32, r#""NaN""#, Ok(r#""NaN""#));
    check(&Type::F32, r#""-Infinity""#, Ok(r#""-Infinity""#));
    check(&Type::F32, "3.4028235e38", Ok("3.4028235e+38"));
    check(&Type::F32, "-3.4028234663852886e38", Ok("-3.4028235e+38"));
    check(&Type::F32, "3.4028236e38", Err("must be from -3.4028235e38 to 3.4028235e38, but is 3.4028236e38"));
    check(&Type::F32, "-1e39", Err("must be from -3.4028235e38 to 3.4028235e38, but is -1e39"));
}

/// The shortest decimal of this one, 7.038531e-26, becomes its neighbour when it is read as `f64` and rounded again.
#[test]
fn a_narrow_float_does_not_become_its_neighbour() {
    let value = f32::from_bits(0x15ae_43fd);
    #[expect(clippy::cast_possible_truncation, reason = "this is the trap")]
    let twice_rounded = format!("{value:e}").parse::<f64>().unwrap() as f32;
    assert_ne!(twice_rounded, value);
    let text = rendered(&graph(), &Type::F32, &Value::Float32(value));
    assert_eq!(json::parse(&graph(), &Type::F32, serde_json::from_str(&text).unwrap()), Ok(Value::Float32(value)));
}

#[test]
fn characters() {
    check(&Type::Char, r#""a""#, Ok(r#""a""#));
    check(&Type::Char, r#""ß""#, Ok(r#""ß""#));
    check(&Type::Char, r#""\u0000""#, Ok(r#""\u0000""#));
    check(&Type::Char, r#""\ud83d\ude00""#, Ok(r#""😀""#));
    check(&Type::Char, r#""\udbff\udfff""#, Ok("\"\u{10ffff}\""));
    check(&Type::Char, "\"\u{301}\"", Ok("\"\u{301}\""));
    let wanted = "must be a string of exactly one character, but is";
    check(&Type::Char, r#""""#, Err(&format!(r#"{wanted} """#)));
    check(&Type::Char, r#""ab""#, Err(&format!(r#"{wanted} "ab""#)));
    // An accent that combines is a character of its own, and so are the two letters of a flag.
    check(&Type::Char, r#""e\u0301""#, Err(&format!("{wanted} {:?}", "e\u{301}")));
    check(&Type::Char, r#""🇩🇪""#, Err(&format!(r#"{wanted} "🇩🇪""#)));
    check(&Type::Char, "97", Err(&format!("{wanted} 97")));
    assert!(serde_json::from_str::<Json>(r#""\ud83d""#).is_err(), "half a surrogate pair is not JSON");
}

#[test]
fn strings() {
    check(&Type::String, r#""""#, Ok(r#""""#));
    check(&Type::String, r#""Grüße, 世界 \"\\\n""#, Ok(r#""Grüße, 世界 \"\\\n""#));
    check(&Type::String, "5", Err("must be a string, but is 5"));
    check(&Type::String, "null", Err("must be a string, but is null"));
}

#[test]
fn bytes_are_base64() {
    check(&Type::Bytes, r#""""#, Ok(r#""""#));
    check(&Type::Bytes, r#""AA==""#, Ok(r#""AA==""#));
    check(&Type::Bytes, r#""+/8=""#, Ok(r#""+/8=""#));
    check(&Type::Bytes, r#""aGVsbG8h""#, Ok(r#""aGVsbG8h""#));
    let message = "must be base64 with the standard alphabet and padding";
    check(&Type::Bytes, r#""-_8=""#, Err(message));
    check(&Type::Bytes, r#""a GVs""#, Err(message));
    check(&Type::Bytes, r#""====""#, Err(message));
    check(&Type::Bytes, "[1, 2]", Err("must be a base64 string, but is an array"));
    // The padding, and the bits that padding leaves over, are beyond the schema.
    for text in [r#""AA""#, r#""AA=""#, r#""A""#, r#""AB==""#] {
        check_apart_from_the_schema(&Type::Bytes, text, Err(message)).unwrap_err();
    }
}

#[test]
fn long_bytes_are_written_in_pieces_without_padding_between() {
    for length in (3_060..3_090).chain(6_140..6_150).chain([100_000]) {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
        let text = rendered(&graph(), &Type::Bytes, &Value::Bytes(bytes.clone().into()));
        assert_eq!(
            json::parse(&graph(), &Type::Bytes, serde_json::from_str(&text).unwrap()),
            Ok(Value::Bytes(bytes.into()))
        );
    }
}

#[test]
fn lists_and_tuples() {
    check(&list(Type::U8), "[]", Ok("[]"));
    check(&list(list(Type::Bool)), "[[true],[]]", Ok("[[true],[]]"));
    check(
        &list(Type::U16),
        r#"[1, -1, 2, "x"]"#,
        Err(r#"/1: must be from 0 to 65535, but is -1; /3: must be an integer from 0 to 65535, but is "x""#),
    );
    check(&list(Type::U8), "{}", Err("must be an array, but is an object"));
    let pair = Type::Tuple(vec![Type::String, option(Type::U8)]);
    check(&pair, r#"["a",null]"#, Ok(r#"["a",null]"#));
    check(&pair, r#"["a"]"#, Err("must have 2 items, but has 1"));
    check(&pair, r#"["a",1,2]"#, Err("must have 2 items, but has 3"));
    check(
        &pair,
        r#"[1,"b"]"#,
        Err(r#"/0: must be a string, but is 1; /1: must be an integer from 0 to 255, but is "b""#),
    );
}

#[test]
fn options() {
    let one = option(Type::U8);
    check(&one, "null", Ok("null"));
    check(&one, "7", Ok("7"));
    check(&one, "-1", Err("must be from 0 to 255, but is -1"));
    check(&one, r#"{"some":7}"#, Err("must be an integer from 0 to 255, but is an object"));
}

#[test]
fn nested_options_keep_their_levels_apart() {
    let two = option(option(Type::U8));
    let three = option(two.clone());
    let behind_an_alias = option(Type::Named(MAYBE));
    for ty in [&two, &behind_an_alias] {
        check(ty, "null", Ok("null"));
        check(ty, r#"{"some":null}"#, Ok(r#"{"some":null}"#));
        check(ty, r#"{"some":7}"#, Ok(r#"{"some":7}"#));
        let wanted = r#"must be null or an object with the one member "some""#;
        check(ty, "7", Err(&format!("{wanted}, but is 7")));
        check(ty, "{}", Err(wanted));
        check(ty, r#"{"some":7,"none":1}"#, Err(wanted));
        check(ty, r#"{"some":"x"}"#, Err(r#"/some: must be an integer from 0 to 255, but is "x""#));
    }
    check(&three, r#"{"some":{"some":7}}"#, Ok(r#"{"some":{"some":7}}"#));
    check(&three, r#"{"some":{"some":null}}"#, Ok(r#"{"some":{"some":null}}"#));
    check(&three, r#"{"some":null}"#, Ok(r#"{"some":null}"#));
}

#[test]
fn results() {
    let both = result(Some(Type::U8), Some(Type::String));
    check(&both, r#"{"ok":7}"#, Ok(r#"{"ok":7}"#));
    check(&both, r#"{"err":"no"}"#, Ok(r#"{"err":"no"}"#));
    let wanted = r#"must be an object with one member, "ok" or "err""#;
    check(&both, r#"{"ok":7,"err":"no"}"#, Err(wanted));
    check(&both, r#"{"ok":7,"more":1}"#, Err(wanted));
    check(&both, "{}", Err(wanted));
    check(&both, "7", Err(&format!("{wanted}, but is 7")));
    check(&both, r#"{"err":7}"#, Err("/err: must be a string, but is 7"));
    let neither = result(None, None);
    check(&neither, r#"{"ok":null}"#, Ok(r#"{"ok":null}"#));
    check(&neither, r#"{"err":null}"#, Ok(r#"{"err":null}"#));
    check(&neither, r#"{"ok":1}"#, Err("/ok: must be null, but is 1"));
    let optional = result(Some(option(Type::U8)), None);
    check(&optional, r#"{"ok":null}"#, Ok(r#"{"ok":null}"#));
}

#[test]
fn variants() {
    let ty = Type::Named(DISCOUNT);
    check(&ty, r#"{"tag":"none"}"#, Ok(r#"{"tag":"none"}"#));
    check(&ty, r#"{"val":5,"tag":"percent"}"#, Ok(r#"{"tag":"percent","val":5}"#));
    check(&ty, r#"{"tag":"note","val":null}"#, Ok(r#"{"tag":"note","val":null}"#));
    check(&ty, r#"{"tag":"percent"}"#, Err(r#"needs "val": the case `percent` has a value of type u8"#));
    check(&ty, r#"{"tag":"note"}"#, Err(r#"needs "val": the case `note` has a value of type option<string>"#));
    check(&ty, r#"{"tag":"none","val":null}"#, Err(r#"must not have "val": the case `none` has no value"#));
    check(&ty, r#"{"tag":"percent","val":300}"#, Err("/val: must be from 0 to 255, but is 300"));
    check(&ty, r#"{"tag":"precent","val":3}"#, Err("/tag: there is no case `precent`; did you mean `percent`?"));
    check(&ty, r#"{"tag":"gift"}"#, Err("/tag: there is no case `gift`; expected one of `none`, `percent`, `note`"));
    let wanted = r#"must be an object with the member "tag", and "val" where the case has a value"#;
    check(&ty, r#"{"tag":"none","value":1}"#, Err(&format!("{wanted}; `value` does not belong there")));
    check(&ty, r#"{"tag":1}"#, Err(wanted));
    check(&ty, "{}", Err(wanted));
    check(&ty, r#""none""#, Err(&format!(r#"{wanted}, but is "none""#)));
}

#[test]
fn enums() {
    let ty = Type::Named(COLOUR);
    check(&ty, r#""dark-blue""#, Ok(r#""dark-blue""#));
    check(&ty, r#""dark_blue""#, Err("there is no case `dark_blue`; did you mean `dark-blue`?"));
    check(&ty, r#""Red""#, Err("there is no case `Red`; did you mean `red`?"));
    check(&ty, r#""turquoise""#, Err("there is no case `turquoise`; expected one of `red`, `green`, `dark-blue`"));
    check(&ty, "0", Err(r#"must be one of "red", "green", "dark-blue", but is 0"#));
}

#[test]
fn flags_come_back_in_the_order_of_their_declaration() {
    let ty = Type::Named(RIGHTS);
    check(&ty, "[]", Ok("[]"));
    check(&ty, r#"["execute","read"]"#, Ok(r#"["read","execute"]"#));
    check(&ty, r#"["read","read"]"#, Err("must name each flag only once"));
    check(&ty, r#"["read","wirte"]"#, Err("/1: there is no flag `wirte`; did you mean `write`?"));
    check(&ty, r#"[1]"#, Err(r#"/0: must be one of "read", "write", "execute", but is 1"#));
    check(&ty, r#""read""#, Err(r#"must be an array of names, but is "read""#));
    check(&ty, r#"{"read":true}"#, Err("must be an array of names, but is an object"));
}

#[test]
fn records() {
    let ty = Type::Named(POINT);
    check(&ty, r#"{"label":"a","x":1}"#, Ok(r#"{"x":1,"label":"a"}"#));
    check(&ty, r#"{"x":1}"#, Ok(r#"{"x":1,"label":null}"#));
    check(&ty, r#"{"x":1,"label":null}"#, Ok(r#"{"x":1,"label":null}"#));
    check(&ty, "{}", Err("the field `x` of type s32 is missing"));
    check(&ty, r#"{"x":null}"#, Err("/x: must be an integer from -2147483648 to 2147483647, but is null"));
    check(&ty, r#"{"x":1,"lable":"a"}"#, Err("there is no field `lable`; did you mean `label`?"));
    check(
        &ty,
        r#"{"y":2,"label":3}"#,
        Err(
            "the field `x` of type s32 is missing; /label: must be a string, but is 3; there is no field `y`; did you mean `x`?",
        ),
    );
    check(&ty, "[]", Err("must be an object, but is an array"));
}

#[test]
fn pointers_are_escaped() {
    check(&Type::Named(ODD), r#"{"a/b~c":[true]}"#, Ok(r#"{"a/b~c":[true],"maybe":null}"#));
    check(&Type::Named(ODD), r#"{"a/b~c":[true,7]}"#, Err("/a~1b~0c/1: must be true or false, but is 7"));
}

#[test]
fn at_most_twenty_faults_are_reported() {
    let faults = |ty: &Type, json: Json| json::parse(&graph(), ty, json).unwrap_err().0;
    let found = faults(&list(Type::Bool), json!(vec![0; 1_000]));
    assert_eq!(found.len(), 20);
    assert_eq!(found.last().unwrap().path, "/19");
    assert_eq!(faults(&list(list(Type::Bool)), json!(vec![vec![0; 15]; 10])).len(), 20);
    assert_eq!(faults(&Type::Named(RIGHTS), json!(vec!["no"; 1_000])).len(), 20);
    let members: serde_json::Map<_, _> = (0..1_000).map(|index| (format!("no-{index}"), Json::Null)).collect();
    assert_eq!(faults(&Type::Named(POINT), members.into()).len(), 20);
}

#[test]
fn s03_many_unknown_keys_are_few_faults() {
    let members: Vec<_> = (0..400_000).map(|number| format!("\"tims{number}\":0")).collect();
    let text = format!("{{{}}}", members.join(","));
    assert!(text.len() > 5_000_000);
    let started = std::time::Instant::now();
    let read = json::parse_arguments_text(&graph(), &function(), &text, &json::Meter::unbounded());
    let json::ParseError::Faults(faults) = read.unwrap_err() else { panic!("they are faults") };
    assert_eq!(faults.0.len(), 20);
    let told = faults.to_string();
    assert!(told.len() < 3_000 && told.ends_with("; there may be more"), "{told}");
    // Reading the text takes most of the time.
    assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn s03_strange_json_is_read_within_bounds() {
    let points = Function { params: vec![field("at", list(Type::F64))], ..function() };
    let read = |value: &str| {
        let text = format!("{{\"at\": {value}}}");
        json::parse_arguments_text(&graph(), &points, &text, &json::Meter::unbounded())
            .map_err(|error| error.to_string())
    };
    let refused = |value: &str, expected: &str| {
        let error = read(value).unwrap_err();
        assert!(error.contains(expected) && error.len() < 500, "{error}");
    };
    refused(&"[".repeat(1_000_000), "recursion limit exceeded");
    refused(&"{\"a\":".repeat(1_000_000), "recursion limit exceeded");
    refused("[1e1000000000]", "number out of range");
    refused(&format!("[{}]", "9".repeat(5_000_000)), "number out of range");
    refused(&format!("[\"{}\"]", "9".repeat(5_000_000)), "a long string");
    refused(&format!("{{{}}}", vec!["\"a\":1"; 500_000].join(",")), "must be an array, but is an object");
    let float = |value: &str, expected: f64| {
        assert_eq!(read(&format!("[{value}]")), Ok(vec![Value::List(vec![Value::Float64(expected)])]));
    };
    float("1e-1000000000", 0.0);
    float(&format!("0.{}1e5000000", "0".repeat(4_999_999)), 1.0);
    // The last one counts, as in all JSON parsers here.
    let twice = vec!["\"at\":[]"; 200_000].join(",");
    let read = json::parse_arguments_text(&graph(), &points, &format!("{{{twice}}}"), &json::Meter::unbounded());
    assert_eq!(read, Ok(vec![Value::List(Vec::new())]));
}

/// Not all invalid fields are examined: they are many, and have long names.
#[test]
fn s03_no_more_is_looked_for_than_is_told() {
    let labels =
        (0..1_000).map(|number| Label { name: format!("{}{number:04}", "x".repeat(120)), docs: String::new() });
    let choice = NamedType::new("choice", "", Shape::Enum(labels.collect()));
    let ty = Type::Named(TypeId(0));
    let fields: Vec<_> = (0..5_000).map(|number| field(&format!("f{number}"), ty.clone())).collect();
    let record = NamedType::new("record", "", Shape::Record(fields));
    let graph = TypeGraph { types: vec![choice, record], ..TypeGraph::default() };
    let members: serde_json::Map<_, _> =
        (0..5_000).map(|number| (format!("f{number}"), json!("y".repeat(124)))).collect();
    let started = std::time::Instant::now();
    let faults = json::parse(&graph, &Type::Named(TypeId(1)), members.into()).unwrap_err();
    assert_eq!((faults.0.len(), faults.0[19].path.as_str()), (20, "/f19"));
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}

/// A type can have ten thousand names, so each item must not be compared with all of them.
#[test]
fn s03_names_are_found_quickly_among_many() {
    const COUNT: usize = 9_900;
    let name = |number: usize| format!("{}{number:04}", "x".repeat(60));
    let labels =
        || (0..COUNT).rev().map(|number| Label { name: name(number), docs: String::new() }).collect::<Vec<_>>();
    let cases = (0..COUNT).rev().map(|number| Case { name: name(number), docs: String::new(), ty: None }).collect();
    let shapes = [Shape::Enum(labels()), Shape::Flags(labels()), Shape::Variant(cases)];
    let types = shapes.map(|shape| NamedType::new("choice", "", shape));
    for (number, ty) in types.iter().enumerate() {
        for place in [0, 1, 4_321, COUNT - 1] {
            assert_eq!(ty.position(&name(COUNT - 1 - place)), Some(place), "{number}");
        }
        for absent in ["", "x", "y", &name(COUNT)] {
            assert_eq!(ty.position(absent), None, "{number}: {absent}");
        }
    }
    let graph = TypeGraph { types: types.into(), ..TypeGraph::default() };
    let flags: Vec<_> = (0..COUNT).map(|number| json!(name(number))).collect();
    let started = std::time::Instant::now();
    for (place, item) in [(0, json!(name(0))), (1, json!(flags)), (2, json!({ "tag": name(0) }))] {
        let take = Function { params: vec![field("items", list(Type::Named(TypeId(place))))], ..function() };
        let count = if place == 1 { 10 } else { 50_000 };
        let text = json!({ "items": vec![item; count] }).to_string();
        let read = json::parse_arguments_text(&graph, &take, &text, &json::Meter::unbounded()).expect("it fits");
        let Json::Object(arguments) = serde_json::from_str(&text).expect("JSON") else { panic!("an object") };
        let thorough = json::parse_arguments(&graph, &take, arguments, &json::Meter::unbounded());
        assert_eq!(thorough.expect("it fits"), read);
    }
    // One by one, it would take minutes.
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}

/// Looking for what was meant takes the product of two lengths; a name of a megabyte must not cost gigabytes.
#[test]
fn a_long_name_is_no_slip() {
    let long = "x".repeat(4 << 20);
    let fault = json::parse(&graph(), &Type::Named(COLOUR), json!(long)).unwrap_err().to_string();
    assert_eq!(fault, format!("there is no case `{}`; expected one of `red`, `green`, `dark-blue`", &long[..60]));
    let record = json::parse(&graph(), &Type::Named(POINT), json!({ "x": 1, long: 1 })).unwrap_err().to_string();
    assert!(record.len() < 200, "{}", record.len());
}

fn function() -> Function {
    Function {
        name: "draw".to_owned(),
        interface: None,
        export: "draw".to_owned(),
        docs: String::new(),
        params: vec![field("at", Type::Named(POINT)), field("times", Type::Named(MAYBE))],
        outcome: Outcome { ok: None, err: None },
    }
}

#[test]
fn arguments_are_given_by_name() {
    let check = |arguments: Json, expected: Result<usize, &str>| {
        let Json::Object(members) = arguments.clone() else { panic!("arguments are an object") };
        let read = json::parse_arguments(&graph(), &function(), members, &json::Meter::unbounded());
        let accepted = validator(&schema::arguments(&graph(), &function())).is_valid(&arguments);
        assert_eq!(accepted, read.is_ok(), "{arguments}");
        let read = read.map(|values| values.len()).map_err(|faults| faults.to_string());
        assert_eq!(read, expected.map_err(str::to_owned));
    };
    check(json!({ "at": { "x": 1 } }), Ok(2));
    check(json!({ "at": { "x": 1 }, "times": 3 }), Ok(2));
    check(json!({}), Err("the argument `at` of type point is missing"));
    check(
        json!({ "at": { "x": "1" }, "time": 3 }),
        Err("/at/x: must be an integer from -2147483648 to 2147483647, but is \"1\"; \
             there is no argument `time`; did you mean `times`?"),
    );
}

#[test]
fn values_are_checked_too() {
    let point = Value::Record(vec![Value::Signed(1), Value::Option(None)]);
    let check = |values: &[Value], expected: Result<(), &str>| {
        let found = json::check_arguments(&graph(), &function(), values).map_err(|faults| faults.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
    };
    check(&[point.clone(), Value::Option(None)], Ok(()));
    check(std::slice::from_ref(&point), Err("takes 2 arguments, 1 were given"));
    check(&[point.clone(), Value::Unsigned(3)], Err("/times: is not of type maybe"));
    check(&[Value::Record(vec![Value::Signed(1)]), Value::Option(None)], Err("/at: is not of type point"));
    let misfits = [
        (Type::U8, Value::Unsigned(256)),
        (Type::S16, Value::Signed(-32_769)),
        (Type::F32, Value::Float64(0.0)),
        (list(Type::U8), Value::Bytes(bytes_of("x"))),
        (Type::Named(COLOUR), Value::Enum(3)),
        (Type::Named(RIGHTS), Value::Flags(vec![3])),
        (Type::Named(RIGHTS), Value::Flags(vec![1, 0])),
        (Type::Named(RIGHTS), Value::Flags(vec![0, 0])),
        (Type::Named(DISCOUNT), Value::Variant(0, Some(Box::new(Value::Unsigned(1))))),
        (Type::Named(DISCOUNT), Value::Variant(1, None)),
        (Type::Named(DISCOUNT), Value::Variant(9, None)),
        (result(None, None), Value::Result(Ok(Some(Box::new(Value::Bool(true)))))),
    ];
    for (ty, value) in misfits {
        assert!(!json::fits(&graph(), &ty, &value), "{value:?} is no {}", graph().display(&ty));
        // To write it is an error, never a panic and never something else.
        drop(Rendered { graph: &graph(), ty: &ty, value: &value }.write(std::io::sink()));
    }
}

fn bytes_of<T: From<Vec<u8>>>(text: &str) -> T {
    text.as_bytes().to_vec().into()
}
