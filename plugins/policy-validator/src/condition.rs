//! What is to hold at a place: the words that both the built-in rules and the configured ones are written in.

use serde_json::Value;

use crate::node::{Node, truth};

/// What is to hold. Every condition but `Absent`, `NotEquals` and `NoneOf` needs a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Something is there that is not empty.
    Exists,
    Absent,
    Equals(Value),
    NotEquals(Value),
    OneOf(Vec<Value>),
    NoneOf(Vec<Value>),
    /// A text that begins so.
    Prefix(String),
    /// A text that ends so.
    Suffix(String),
    /// A text that has it as a part, a list that has it as an element, or an object that has it as a key.
    Contains(Value),
    AtLeast(f64),
    AtMost(f64),
}

pub fn equals(value: impl Into<Value>) -> Condition {
    Condition::Equals(value.into())
}

pub fn differs(value: impl Into<Value>) -> Condition {
    Condition::NotEquals(value.into())
}

pub fn one_of(values: &[&str]) -> Condition {
    Condition::OneOf(values.iter().map(|value| Value::from(*value)).collect())
}

pub fn none_of(values: &[&str]) -> Condition {
    Condition::NoneOf(values.iter().map(|value| Value::from(*value)).collect())
}

impl Condition {
    /// Why it does not hold, for a person to read; none where it holds, or where that cannot be told yet.
    pub fn broken(&self, node: &Node<'_>) -> Option<String> {
        if node.is_unknown() {
            return None;
        }
        let field = field(&node.pointer);
        let wanted = self.wanted();
        let Some(value) = node.value() else {
            let needs_none = matches!(self, Condition::Absent | Condition::NotEquals(_) | Condition::NoneOf(_));
            return (!needs_none).then(|| format!("`{field}` is not set, and is to {wanted}"));
        };
        if self.holds(value) {
            return None;
        }
        Some(format!("`{field}` is {}, and is to {wanted}", show(value)))
    }

    /// Whether it holds, as far as one can tell now. A value that is not known yet is not counted on.
    pub fn is_certain(&self, node: &Node<'_>) -> bool {
        !node.is_unknown() && self.broken(node).is_none()
    }

    fn holds(&self, value: &Value) -> bool {
        match self {
            Condition::Exists => match value {
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                _ => true,
            },
            Condition::Absent => false,
            Condition::Equals(wanted) => same(value, wanted),
            Condition::NotEquals(unwanted) => !same(value, unwanted),
            Condition::OneOf(wanted) => wanted.iter().any(|wanted| same(value, wanted)),
            Condition::NoneOf(unwanted) => !unwanted.iter().any(|unwanted| same(value, unwanted)),
            Condition::Prefix(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
            Condition::Suffix(suffix) => value.as_str().is_some_and(|text| text.ends_with(suffix)),
            Condition::Contains(part) => match value {
                Value::String(text) => part.as_str().is_some_and(|part| text.contains(part)),
                Value::Array(items) => items.iter().any(|item| same(item, part)),
                Value::Object(members) => part.as_str().is_some_and(|key| members.contains_key(key)),
                _ => false,
            },
            Condition::AtLeast(least) => number(value).is_some_and(|number| number >= *least),
            Condition::AtMost(most) => number(value).is_some_and(|number| number <= *most),
        }
    }

    /// Completes `… is to`.
    fn wanted(&self) -> String {
        let list = |values: &[Value]| values.iter().map(show).collect::<Vec<_>>().join(", ");
        match self {
            Condition::Exists => "be set".to_owned(),
            Condition::Absent => "be left out".to_owned(),
            Condition::Equals(value) => format!("be {}", show(value)),
            Condition::NotEquals(value) => format!("be something other than {}", show(value)),
            Condition::OneOf(values) => format!("be one of {}", list(values)),
            Condition::NoneOf(values) => format!("be none of {}", list(values)),
            Condition::Prefix(prefix) => format!("begin with `{prefix}`"),
            Condition::Suffix(suffix) => format!("end with `{suffix}`"),
            Condition::Contains(part) => format!("contain {}", show(part)),
            Condition::AtLeast(least) => format!("be at least {least}"),
            Condition::AtMost(most) => format!("be at most {most}"),
        }
    }
}

/// Whether two values mean the same: templates also write booleans and numbers as text.
fn same(value: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Bool(wanted) => truth(value) == Some(*wanted),
        Value::Number(wanted) => number(value) == wanted.as_f64(),
        wanted => value == wanted,
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// The last name in a pointer: neither an index nor a choice on the way.
fn field(pointer: &str) -> String {
    let is_name = |segment: &&str| *segment != "Fn::If" && !segment.bytes().all(|byte| byte.is_ascii_digit());
    pointer.rsplit('/').find(is_name).unwrap_or("the value").replace("~1", "/").replace("~0", "~")
}

/// A value, shortened.
fn show(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(_) => return "a list".to_owned(),
        Value::Object(_) => return "an object".to_owned(),
        other => other.to_string(),
    };
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Condition, differs, equals, none_of, one_of};
    use crate::node::{Dialect, Node};

    fn check(condition: &Condition, value: &Value, expected: Option<&str>) {
        let document = json!({ "a": { "x": value } });
        let node = Node::new(&document, String::new(), Dialect::CloudFormation { parameters: None }, None);
        let broken = condition.broken(&node.find("/a/x")[0]);
        assert_eq!(broken.as_deref(), expected, "{condition:?} of {value}");
    }

    #[test]
    fn conditions() {
        let cases: Vec<(Condition, Vec<Value>, Value, &str)> = vec![
            (Condition::Exists, vec![json!(false), json!({}), json!("y")], json!(""), "`x` is ``, and is to be set"),
            (Condition::Exists, vec![json!(0)], json!(null), "`x` is not set, and is to be set"),
            (Condition::Absent, vec![json!(null)], json!([1]), "`x` is a list, and is to be left out"),
            (equals(true), vec![json!(true), json!("True")], json!("false"), "`x` is `false`, and is to be `true`"),
            (equals("a"), vec![json!("a")], json!("A"), "`x` is `A`, and is to be `a`"),
            (equals(7), vec![json!(7), json!(7.0), json!("7")], json!(8), "`x` is `8`, and is to be `7`"),
            (
                differs(true),
                vec![json!(null), json!(false)],
                json!(true),
                "`x` is `true`, and is to be something other than `true`",
            ),
            (one_of(&["a", "b"]), vec![json!("b")], json!({}), "`x` is an object, and is to be one of `a`, `b`"),
            (none_of(&["a"]), vec![json!(null), json!("b")], json!("a"), "`x` is `a`, and is to be none of `a`"),
            (Condition::Prefix("ab".into()), vec![json!("abc")], json!("b"), "`x` is `b`, and is to begin with `ab`"),
            (Condition::Suffix("ab".into()), vec![json!("cab")], json!(1), "`x` is `1`, and is to end with `ab`"),
            (
                Condition::Contains(json!("k")),
                vec![json!("ak"), json!(["k"]), json!({ "k": 1 })],
                json!(["a"]),
                "`x` is a list, and is to contain `k`",
            ),
            (Condition::AtLeast(7.0), vec![json!(7), json!("8")], json!(6), "`x` is `6`, and is to be at least 7"),
            (Condition::AtMost(7.0), vec![json!(7)], json!(null), "`x` is not set, and is to be at most 7"),
        ];
        for (condition, good, bad, message) in cases {
            for value in good.iter().chain([&json!({ "Fn::ImportValue": "y" })]) {
                check(&condition, value, None);
            }
            check(&condition, &bad, Some(message));
        }
    }
}
