//! A place in a document, seen as a rule sees it: references to parameters followed, values that are known only at
//! deployment told apart from values that are missing, both outcomes of an `Fn::If` looked at.

use serde_json::{Map, Value};

/// A chain of parameters and variables is followed this far.
const MAX_REFERENCES: usize = 8;

/// How values in a document refer to others.
#[derive(Clone, Copy, Debug)]
pub enum Dialect<'a> {
    /// They do not.
    Plain,
    /// `{ "Ref": … }` and `{ "Fn::…": … }`; with the template's `Parameters`.
    CloudFormation { parameters: Option<&'a Value> },
    /// `[parameters('…')]` and other expressions; with the template's `parameters` and `variables`.
    Arm { parameters: Option<&'a Value>, variables: Option<&'a Value> },
}

/// A place, and what stands there.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// Where it is in the document, as a JSON pointer. For what is missing: where it would be.
    pub pointer: String,
    content: Content<'a>,
    /// For a Terraform plan: what is not known before it is applied, in the shape of the value.
    unknown: Option<&'a Value>,
    dialect: Dialect<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Content<'a> {
    Value(&'a Value),
    Missing,
    /// It is there, and what it is will be known at deployment.
    Unknown,
    /// One of two values, and where they stand below this place.
    Choice([(&'a Value, usize); 2]),
}

impl<'a> Node<'a> {
    /// The place at `pointer`, where `value` stands.
    pub fn new(value: &'a Value, pointer: String, dialect: Dialect<'a>, unknown: Option<&'a Value>) -> Node<'a> {
        Node { pointer, content: content(Some(value), dialect, unknown), unknown, dialect }
    }

    /// The value, where there is one and it is known.
    pub fn value(&self) -> Option<&'a Value> {
        match self.content {
            Content::Value(value) => Some(value),
            _ => None,
        }
    }

    pub fn is_missing(&self) -> bool {
        matches!(self.content, Content::Missing)
    }

    /// Whether it is there and cannot be judged before deployment.
    pub fn is_unknown(&self) -> bool {
        matches!(self.content, Content::Unknown | Content::Choice(_))
    }

    pub fn text(&self) -> Option<&'a str> {
        self.value().and_then(Value::as_str)
    }

    /// A boolean, also where it is written as text.
    pub fn truth(&self) -> Option<bool> {
        self.value().and_then(truth)
    }

    /// A whole number, also where it is written as text.
    pub fn integer(&self) -> Option<i64> {
        let value = self.value()?;
        value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
    }

    /// The place of one member of an object, or of one element of a list.
    pub fn get(&self, key: &str) -> Node<'a> {
        let pointer = format!("{}/{}", self.pointer, key.replace('~', "~0").replace('/', "~1"));
        let unknown = self.unknown.and_then(|unknown| member(unknown, key));
        let content = match self.content {
            Content::Value(value) => content(member(value, key), self.dialect, unknown),
            Content::Missing => content(None, self.dialect, unknown),
            Content::Unknown | Content::Choice(_) => Content::Unknown,
        };
        Node { pointer, content, unknown, dialect: self.dialect }
    }

    /// The places that a path leads to; `*` in it stands for every element or member. A path without `*` leads to one
    /// place, or to one for each outcome of the choices on the way. An empty segment at the end is the place itself.
    pub fn find(&self, path: &str) -> Vec<Node<'a>> {
        let mut places = self.outcomes();
        for segment in path.split('/').skip(1) {
            let step = |place: &Node<'a>| match segment {
                "*" => place.items(),
                key => place.get(&key.replace("~1", "/").replace("~0", "~")).outcomes(),
            };
            places = places.iter().flat_map(step).collect();
        }
        places
    }

    /// The elements of a list or the members of an object. One value that is no list counts as a list of one, as the
    /// providers' APIs have it.
    pub fn items(&self) -> Vec<Node<'a>> {
        let keys: Vec<String> = match self.content {
            Content::Value(Value::Array(items)) => (0..items.len()).map(|index| index.to_string()).collect(),
            Content::Value(Value::Object(members)) => members.keys().cloned().collect(),
            Content::Choice(_) => return self.outcomes().iter().flat_map(Node::items).collect(),
            Content::Value(_) => return vec![self.clone()],
            Content::Missing | Content::Unknown => return Vec::new(),
        };
        keys.iter().flat_map(|key| self.get(key).outcomes()).filter(|node| !node.is_missing()).collect()
    }

    /// The elements of a list. Anything else that is there counts as a list of one.
    pub fn list(&self) -> Vec<Node<'a>> {
        match self.content {
            Content::Value(Value::Object(_)) => vec![self.clone()],
            Content::Choice(_) => self.outcomes().iter().flat_map(Node::list).collect(),
            _ => self.items(),
        }
    }

    /// This place, or what it can be after a choice.
    fn outcomes(&self) -> Vec<Node<'a>> {
        let Content::Choice(choices) = self.content else { return vec![self.clone()] };
        let outcome = |(value, index): (&'a Value, usize)| {
            let pointer = format!("{}/Fn::If/{index}", self.pointer);
            Node::new(value, pointer, self.dialect, None).outcomes()
        };
        choices.into_iter().flat_map(outcome).collect()
    }
}

/// A boolean, also where it is written as text, as templates allow.
pub fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn member<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
        Value::Object(members) => members.get(key),
        _ => None,
    }
}

fn content<'a>(value: Option<&'a Value>, dialect: Dialect<'a>, unknown: Option<&Value>) -> Content<'a> {
    if unknown.is_some_and(|unknown| *unknown == Value::Bool(true)) {
        return Content::Unknown;
    }
    let mut value = value;
    for _ in 0..MAX_REFERENCES {
        let found = match value {
            None | Some(Value::Null) => return Content::Missing,
            Some(found) => found,
        };
        value = match (dialect, found) {
            (Dialect::CloudFormation { parameters }, Value::Object(members)) if members.len() == 1 => {
                return function(found, members, parameters);
            }
            (Dialect::Arm { parameters, variables }, Value::String(text)) if is_expression(text) => {
                let known = argument(text, "parameters").and_then(|name| default(parameters, name, "defaultValue"));
                let known = known.or_else(|| argument(text, "variables").and_then(|name| variables?.get(name)));
                if known.is_none() {
                    return Content::Unknown;
                }
                known
            }
            _ => return Content::Value(found),
        };
    }
    Content::Unknown
}

/// What a function of CloudFormation comes to; `object` is the call, or an object that only looks like one.
fn function<'a>(object: &'a Value, members: &'a Map<String, Value>, parameters: Option<&'a Value>) -> Content<'a> {
    let Some((name, argument)) = members.iter().next() else { return Content::Value(object) };
    match (name.as_str(), argument) {
        ("Ref", Value::String(name)) if name == "AWS::NoValue" => Content::Missing,
        // A default is text or a number. It is not looked into: it could lead back here.
        ("Ref", Value::String(name)) => match default(parameters, name, "Default") {
            None | Some(Value::Object(_) | Value::Array(_)) => Content::Unknown,
            Some(known) => Content::Value(known),
        },
        ("Fn::If", Value::Array(parts)) => match parts.as_slice() {
            [_, first, second] => Content::Choice([(first, 1), (second, 2)]),
            _ => Content::Unknown,
        },
        (name, _) if name.starts_with("Fn::") => Content::Unknown,
        _ => Content::Value(object),
    }
}

fn default<'a>(parameters: Option<&'a Value>, name: &str, key: &str) -> Option<&'a Value> {
    parameters?.get(name)?.get(key)
}

/// `[…]` is an expression; `[[…]` is text that begins with a bracket.
fn is_expression(text: &str) -> bool {
    text.starts_with('[') && !text.starts_with("[[") && text.ends_with(']')
}

/// `name` in `[function('name')]`.
fn argument<'t>(text: &'t str, function: &str) -> Option<&'t str> {
    let call = text.strip_prefix('[')?.strip_suffix(']')?.trim().strip_prefix(function)?.trim();
    let name = call.strip_prefix('(')?.strip_suffix(')')?.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    (!name.contains('\'')).then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Dialect, Node};

    fn seen(node: &Node<'_>) -> Value {
        match (node.is_missing(), node.is_unknown()) {
            (true, _) => json!("missing"),
            (_, true) => json!("unknown"),
            _ => json!([node.value()]),
        }
    }

    fn check(value: &Value, dialect: Dialect<'_>, unknown: Option<&Value>, path: &str, expected: &[(&str, Value)]) {
        let found = Node::new(value, String::new(), dialect, unknown).find(path);
        let found: Vec<(&str, Value)> = found.iter().map(|node| (node.pointer.as_str(), seen(node))).collect();
        assert_eq!(found, expected, "{path} in {value}");
    }

    #[test]
    fn cloudformation() {
        let circle = json!({ "Fn::If": ["C", { "Ref": "Circle" }, { "Ref": "Circle" }] });
        let parameters = json!({ "On": { "Default": "true" }, "Open": {}, "Circle": { "Default": circle } });
        let dialect = Dialect::CloudFormation { parameters: Some(&parameters) };
        let value = json!({
            "a": { "Ref": "On" }, "b": { "Ref": "Open" }, "c": { "Ref": "AWS::NoValue" }, "d": { "Fn::Sub": "x" },
            "e": { "Fn::If": ["C", { "x": 1 }, { "Ref": "AWS::NoValue" }] },
            "f": [{ "x": 1 }, { "Fn::If": ["C", { "x": 2 }, { "Fn::If": ["D", { "x": 3 }, { "Ref": "AWS::NoValue" }] }] }],
            "g~/h": 1,
            "i": { "Ref": "Circle" },
        });
        let check = |path: &str, expected: &[(&str, Value)]| check(&value, dialect, None, path, expected);
        check("/a", &[("/a", json!(["true"]))]);
        check("/b/deeper", &[("/b/deeper", json!("unknown"))]);
        check("/c", &[("/c", json!("missing"))]);
        check("/d", &[("/d", json!("unknown"))]);
        check("/e/x", &[("/e/Fn::If/1/x", json!([1])), ("/e/Fn::If/2/x", json!("missing"))]);
        check(
            "/f/*/x",
            &[("/f/0/x", json!([1])), ("/f/1/Fn::If/1/x", json!([2])), ("/f/1/Fn::If/2/Fn::If/1/x", json!([3]))],
        );
        check("/g~0~1h", &[("/g~0~1h", json!([1]))]);
        check("/i", &[("/i", json!("unknown"))]);
        check("/none/0/x", &[("/none/0/x", json!("missing"))]);
        check("/none/*/x", &[]);
    }

    #[test]
    fn arm() {
        let (parameters, variables) =
            (json!({ "p": { "defaultValue": "[variables('v')]" } }), json!({ "v": "TLS1_2" }));
        let dialect = Dialect::Arm { parameters: Some(&parameters), variables: Some(&variables) };
        let value =
            json!({ "a": "[parameters('p')]", "b": "[concat('x', parameters('p'))]", "c": "[[text]", "d": null });
        let check = |path: &str, expected: Value| check(&value, dialect, None, path, &[(path, expected)]);
        check("/a", json!(["TLS1_2"]));
        check("/b", json!("unknown"));
        check("/c", json!(["[[text]"]));
        check("/d", json!("missing"));
        let circle = json!({ "p": { "defaultValue": "[parameters('p')]" } });
        let dialect = Dialect::Arm { parameters: Some(&circle), variables: None };
        assert!(Node::new(&value, String::new(), dialect, None).get("a").is_unknown());
    }

    #[test]
    fn terraform() {
        let value = json!({ "key": null, "rule": [{ "x": 1 }] });
        let unknown = json!({ "key": true, "rule": [{ "y": true }], "list": true });
        let check =
            |path: &str, expected: Value| check(&value, Dialect::Plain, Some(&unknown), path, &[(path, expected)]);
        check("/key", json!("unknown"));
        check("/rule/0/x", json!([1]));
        check("/rule/0/y", json!("unknown"));
        check("/list/0/x", json!("unknown"));
        check("/other", json!("missing"));
    }
}
