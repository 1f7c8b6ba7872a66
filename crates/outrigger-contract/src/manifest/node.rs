//! The one shape that the reader walks, made from TOML (with places in the text) or from JSON (without).

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::Problems;

/// How deep tables and lists may be nested. A stored manifest is JSON, which is read up to a depth of 128.
const DEEPEST: usize = 100;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Option<Range<usize>>,
    pub(super) value: NodeValue,
}

#[derive(Debug)]
pub(super) enum NodeValue {
    Text(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Node>),
    /// In the order of the source.
    Table(Vec<Entry>),
    /// Only in JSON.
    Null,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) span: Option<Range<usize>>,
    pub(super) node: Node,
}

impl NodeValue {
    pub(super) fn is_empty_array(&self) -> bool {
        matches!(self, Self::Array(items) if items.is_empty())
    }
}

impl Node {
    pub(super) fn from_toml(root: Spanned<DeTable<'_>>, problems: &Problems) -> Self {
        // A missing key of the whole manifest is reported at its beginning, not at its full length.
        Self { span: Some(0..0), value: table(root.into_inner(), problems, 0) }
    }

    pub(super) fn from_json(value: &Value) -> Self {
        let value = match value {
            Value::Null => NodeValue::Null,
            Value::Bool(value) => NodeValue::Boolean(*value),
            Value::Number(number) => match number.as_i128() {
                Some(integer) => NodeValue::Integer(integer),
                None => NodeValue::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => NodeValue::Text(text.clone()),
            Value::Array(items) => NodeValue::Array(items.iter().map(Self::from_json).collect()),
            Value::Object(map) => {
                let present = map.iter().filter(|(_, value)| !value.is_null());
                let entries =
                    present.map(|(key, value)| Entry { key: key.clone(), span: None, node: Self::from_json(value) });
                NodeValue::Table(entries.collect())
            }
        };
        Self { span: None, value }
    }

    /// The kind of the value, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            NodeValue::Text(_) => "a text",
            NodeValue::Integer(_) => "an integer",
            NodeValue::Float(_) => "a number with a fraction",
            NodeValue::Boolean(_) => "a boolean",
            NodeValue::Datetime(_) => "a date or time",
            NodeValue::Array(_) => "a list",
            NodeValue::Table(_) => "a table",
            NodeValue::Null => "null",
        }
    }

    /// As JSON. `None` when there is a number that JSON cannot hold.
    pub(super) fn to_json(&self) -> Option<Value> {
        Some(match &self.value {
            NodeValue::Text(text) | NodeValue::Datetime(text) => Value::String(text.clone()),
            NodeValue::Integer(integer) => Value::Number(serde_json::Number::from_i128(*integer)?),
            NodeValue::Float(float) => Value::Number(serde_json::Number::from_f64(*float)?),
            NodeValue::Boolean(value) => Value::Bool(*value),
            NodeValue::Array(items) => Value::Array(items.iter().map(Self::to_json).collect::<Option<_>>()?),
            NodeValue::Table(entries) => {
                let pairs = entries.iter().map(|entry| Some((entry.key.clone(), entry.node.to_json()?)));
                Value::Object(pairs.collect::<Option<_>>()?)
            }
            NodeValue::Null => Value::Null,
        })
    }
}

/// Values that are nested too deep are reported and left out.
fn node(value: Spanned<DeValue<'_>>, problems: &Problems, depth: usize) -> Node {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::Array(_) | DeValue::Table(_) if depth >= DEEPEST => {
            let message = format!("tables and lists are nested more than {DEEPEST} deep");
            problems.report(Some(span.clone()), "", &message, None);
            NodeValue::Null
        }
        DeValue::String(text) => NodeValue::Text(text.into_owned()),
        DeValue::Integer(integer) => match i128::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) if i64::try_from(integer).is_ok() => NodeValue::Integer(integer),
            _ => {
                problems.report(Some(span.clone()), "", "the number is too large; TOML has integers of 64 bits", None);
                NodeValue::Integer(0)
            }
        },
        DeValue::Float(float) => NodeValue::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => NodeValue::Boolean(value),
        DeValue::Datetime(datetime) => NodeValue::Datetime(datetime.to_string()),
        DeValue::Array(items) => {
            NodeValue::Array(items.into_iter().map(|item| node(item, problems, depth + 1)).collect())
        }
        DeValue::Table(entries) => table(entries, problems, depth + 1),
    };
    Node { span: Some(span), value }
}

fn table(entries: DeTable<'_>, problems: &Problems, depth: usize) -> NodeValue {
    let entries = entries.into_iter().map(|(key, value)| Entry {
        span: Some(key.span()),
        key: key.into_inner().into_owned(),
        node: node(value, problems, depth),
    });
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|entry| entry.span.as_ref().map_or(0, |span| span.start));
    NodeValue::Table(entries)
}
