//! From text to a JSON value, whether it is written as JSON or as YAML.
//!
//! YAML is composed here from the parser's events, because two things must not get lost: CloudFormation's short tags,
//! which become their long form (`!Ref x` is `{ "Ref": "x" }`), and where a mistake stands. What a small text can grow
//! to (aliases of aliases) and how deep it can be nested is limited.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::{Map, Number, Value};

use crate::bindings::exports::outrigger::policy_validator::policies::{Syntax, SyntaxError};

/// As deep as `serde_json` reads, so that a document means the same in either syntax.
const MAX_DEPTH: usize = 127;
/// Values after aliases are followed. What a document takes in memory goes with this, more than with its length.
const MAX_VALUES: usize = 400_000;

/// Reads a document.
pub fn parse(text: &str) -> Result<Value, SyntaxError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with(['{', '[']) { json(text) } else { yaml(text) }
}

fn json(text: &str) -> Result<Value, SyntaxError> {
    if let Some(excess) = beyond_max_values(text.as_bytes()) {
        let before = &text.as_bytes()[..excess];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        let reason = format!("the document has more than {MAX_VALUES} values");
        return Err(SyntaxError { syntax: Syntax::Json, line: number(line), column: number(column), reason });
    }
    serde_json::from_str(text).map_err(|error| {
        let reason = error.to_string();
        // The place has fields of its own.
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason).to_owned();
        SyntaxError { syntax: Syntax::Json, line: number(error.line()), column: number(error.column().max(1)), reason }
    })
}

/// Where the first value too many begins. Every value but the first of all stands behind a comma or an opening bracket.
fn beyond_max_values(text: &[u8]) -> Option<usize> {
    let (mut values, mut in_string, mut escaped) = (0, false, false);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => {
                values += 1;
                if values > MAX_VALUES {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

fn yaml(text: &str) -> Result<Value, SyntaxError> {
    let mut composer = Composer::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| wrong(error.marker(), error.info()))?;
        composer.take(event, &span.start)?;
    }
    Ok(composer.document.unwrap_or(Value::Null))
}

fn wrong(marker: &Marker, reason: impl Into<String>) -> SyntaxError {
    let (line, column) = (number(marker.line().max(1)), number(marker.col() + 1));
    SyntaxError { syntax: Syntax::Yaml, line, column, reason: reason.into() }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The values that are being read, from the outermost to the innermost.
#[derive(Default)]
struct Composer {
    open: Vec<Open>,
    anchors: HashMap<usize, Finished>,
    values: usize,
    document: Option<Value>,
}

struct Open {
    collection: Collection,
    anchor: usize,
    function: Option<String>,
    /// How many values it holds, itself included, and how many levels of them.
    size: usize,
    depth: usize,
}

enum Collection {
    List(Vec<Value>),
    /// The entries, and the key whose value comes next.
    Object(Map<String, Value>, Option<String>),
}

#[derive(Clone)]
struct Finished {
    value: Value,
    size: usize,
    depth: usize,
}

impl Composer {
    fn take(&mut self, event: Event<'_>, marker: &Marker) -> Result<(), SyntaxError> {
        self.values += match &event {
            Event::Alias(id) => self.anchors.get(id).map_or(0, |finished| finished.size),
            _ => usize::from(event.is_node()),
        };
        if self.values > MAX_VALUES {
            return Err(wrong(marker, format!("the document has more than {MAX_VALUES} values")));
        }
        match event {
            Event::DocumentStart(..) if self.document.is_some() => {
                Err(wrong(marker, "a second document begins here; check one document at a time"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref());
                let function = tag.as_deref().and_then(function_name);
                let finished = call(function, Finished { value, size: 1, depth: 0 });
                self.anchor(anchor, &finished);
                self.add(finished, marker)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(Collection::List(Vec::new()), anchor, tag.as_deref(), marker)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.begin(Collection::Object(Map::new(), None), anchor, tag.as_deref(), marker)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(marker),
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some(finished) => self.add(finished, marker),
                None => Err(wrong(marker, "an alias stands within the value that it is an alias of")),
            },
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        collection: Collection,
        anchor: usize,
        tag: Option<&Tag>,
        marker: &Marker,
    ) -> Result<(), SyntaxError> {
        // A function is a level of its own.
        let levels: usize = self.open.iter().map(|open| 1 + usize::from(open.function.is_some())).sum();
        if levels >= MAX_DEPTH {
            return Err(wrong(marker, format!("values are nested more than {MAX_DEPTH} deep")));
        }
        self.open.push(Open { collection, anchor, function: tag.and_then(function_name), size: 1, depth: 1 });
        Ok(())
    }

    fn end(&mut self, marker: &Marker) -> Result<(), SyntaxError> {
        let Some(Open { collection, anchor, function, size, depth }) = self.open.pop() else {
            return Err(wrong(marker, "a collection ends here that did not begin"));
        };
        let value = match collection {
            Collection::List(items) => Value::Array(items),
            Collection::Object(entries, _) => Value::Object(merged(entries)),
        };
        let finished = call(function, Finished { value, size, depth });
        self.anchor(anchor, &finished);
        self.add(finished, marker)
    }

    fn anchor(&mut self, anchor: usize, finished: &Finished) {
        if anchor != 0 {
            self.anchors.insert(anchor, finished.clone());
        }
    }

    fn add(&mut self, finished: Finished, marker: &Marker) -> Result<(), SyntaxError> {
        let Finished { value, size, depth } = finished;
        let levels = self.open.len() + depth;
        if levels > MAX_DEPTH {
            return Err(wrong(marker, format!("values are nested more than {MAX_DEPTH} deep")));
        }
        let Some(open) = self.open.last_mut() else {
            self.document = Some(value);
            return Ok(());
        };
        open.size += size;
        open.depth = open.depth.max(depth + 1);
        match &mut open.collection {
            Collection::List(items) => items.push(value),
            Collection::Object(entries, waiting) => match waiting.take() {
                None => *waiting = Some(key(value, entries, marker)?),
                Some(key) => _ = entries.insert(key, value),
            },
        }
        Ok(())
    }
}

fn key(value: Value, entries: &Map<String, Value>, marker: &Marker) -> Result<String, SyntaxError> {
    let key = match value {
        Value::String(text) => text,
        Value::Array(_) | Value::Object(_) => return Err(wrong(marker, "a key is text, not a list or an object")),
        other => other.to_string(),
    };
    if entries.contains_key(&key) {
        return Err(wrong(marker, format!("the key `{key}` stands here twice")));
    }
    Ok(key)
}

/// What `<<` brings in gives way to what is written out.
fn merged(mut entries: Map<String, Value>) -> Map<String, Value> {
    if !matches!(entries.get("<<"), Some(Value::Object(_) | Value::Array(_))) {
        return entries;
    }
    let sources = match entries.shift_remove("<<") {
        Some(Value::Array(sources)) => sources,
        source => source.into_iter().collect(),
    };
    for source in sources {
        if let Value::Object(source) = source {
            for (key, value) in source {
                entries.entry(key).or_insert(value);
            }
        }
    }
    entries
}

/// The long form of a short tag, such as `Fn::Sub` for `!Sub`; none for the tags of YAML itself.
fn function_name(tag: &Tag) -> Option<String> {
    if tag.handle() != "!" || tag.suffix().is_empty() {
        return None;
    }
    Some(match tag.suffix() {
        name @ ("Ref" | "Condition") => name.to_owned(),
        name => format!("Fn::{name}"),
    })
}

fn call(function: Option<String>, finished: Finished) -> Finished {
    let Some(function) = function else { return finished };
    let Finished { value, size, depth } = finished;
    let argument = match value {
        // `!GetAtt Bucket.Arn` is `{ "Fn::GetAtt": ["Bucket", "Arn"] }`.
        Value::String(text) if function == "Fn::GetAtt" && text.contains('.') => {
            text.splitn(2, '.').map(Value::from).collect()
        }
        value => value,
    };
    Finished { value: Value::Object(Map::from_iter([(function, argument)])), size: size + 1, depth: depth + 1 }
}

/// A scalar by the core schema of YAML 1.2. What could be meant as text stays text: an account's number with a zero in
/// front, a date, `yes`.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text = match tag.and_then(Tag::core_suffix) {
        Some("str") => true,
        Some(_) => false,
        None => style != ScalarStyle::Plain,
    };
    if is_text {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => numeric(text).map_or_else(|| Value::from(text), Value::Number),
    }
}

fn numeric(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let begins = |index: usize| digits.as_bytes().get(index).is_some_and(u8::is_ascii_digit);
    if !begins(0) || (digits.starts_with('0') && begins(1)) {
        return None;
    }
    let positive = text.strip_prefix('+').unwrap_or(text);
    if let Ok(integer) = positive.parse::<i64>() {
        return Some(integer.into());
    }
    positive.parse::<f64>().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::parse;
    use crate::bindings::exports::outrigger::policy_validator::policies::Syntax;

    #[test]
    fn yaml_becomes_json() {
        let cases = [
            ("a: !Ref B", json!({ "a": { "Ref": "B" } })),
            ("a: !GetAtt B.Arn.x", json!({ "a": { "Fn::GetAtt": ["B", "Arn.x"] } })),
            ("a: !Sub\n  - x${y}\n  - y: 1", json!({ "a": { "Fn::Sub": ["x${y}", { "y": 1 }] } })),
            (
                "a: !If [C, !Ref D, {e: !Condition F}]",
                json!({ "a": { "Fn::If": ["C", { "Ref": "D" }, { "e": { "Condition": "F" } }] } }),
            ),
            ("- 1\n- -2\n- 0x10\n- 0o17\n- 1.5\n- 1e3", json!([1, -2, 16, 15, 1.5, 1000.0])),
            (
                "- 012345678901\n- 2010-09-09\n- yes\n- 1.2.3\n- \"1\"\n- !!str 1",
                json!(["012345678901", "2010-09-09", "yes", "1.2.3", "1", "1"]),
            ),
            ("- ~\n-\n- True\n- FALSE\n- nan", json!([null, null, true, false, "nan"])),
            (
                "a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}",
                json!({ "a": { "b": 1 }, "c": { "b": 1 }, "d": { "e": 2, "b": 1 } }),
            ),
            ("1: x\ntrue: y", json!({ "1": "x", "true": "y" })),
            ("# nothing\n", Value::Null),
            ("\u{feff}{\"a\": 1}", json!({ "a": 1 })),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_have_a_place() {
        let bomb = (1..8).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            format!("{text}a{level}: &a{level} [{aliases}]\n")
        });
        let nested = "- ".repeat(200) + "x";
        let long = format!("[\n\"{}\", {}1]", ",".repeat(500_000), "0,".repeat(400_000));
        let cases = [
            ("{\"a\": }", Syntax::Json, (1, 7), "expected value"),
            ("{\n  \"a\": 1,\n}", Syntax::Json, (3, 1), "trailing comma"),
            ("a: b: c", Syntax::Yaml, (1, 5), ""),
            ("a: 1\na: 2", Syntax::Yaml, (2, 1), "`a` stands here twice"),
            ("a: [1", Syntax::Yaml, (0, 0), ""),
            ("a: 1\n---\nb: 2", Syntax::Yaml, (2, 1), "a second document"),
            ("a: *b", Syntax::Yaml, (1, 4), ""),
            ("a: &b [*b]", Syntax::Yaml, (1, 8), "within the value"),
            ("? [a]\n: b", Syntax::Yaml, (0, 0), "a key is text"),
            (&bomb, Syntax::Yaml, (0, 0), "more than 400000 values"),
            (&long, Syntax::Json, (0, 0), "more than 400000 values"),
            (&nested, Syntax::Yaml, (0, 0), "nested more than 127 deep"),
        ];
        for (text, syntax, (line, column), reason) in cases {
            let error = parse(text).expect_err(text);
            assert_eq!(error.syntax, syntax, "{text}");
            assert!(line == 0 || (error.line, error.column) == (line, column), "{text}: {error:?}");
            assert!(!error.reason.is_empty() && error.reason.contains(reason), "{text}: {error:?}");
        }
    }
}
