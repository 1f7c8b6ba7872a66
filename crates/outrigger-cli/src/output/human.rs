//! Any JSON as lines for people to read: names and values, tables where all rows are alike, long texts in blocks. What
//! programs read is JSON and YAML; this may leave out quotes and braces.

use serde_json::{Map, Value as Json};

use super::table::{cell, indent, table};
use super::{clean, one_line};

/// The longest list of plain values that is written on one line.
const LINE: usize = 80;

/// A value as readable lines, without a line's end at the end.
#[must_use]
pub fn text(value: &Json) -> String {
    match value {
        Json::Object(members) if members.is_empty() => "none".to_owned(),
        Json::Object(members) => object(members),
        Json::Array(items) if items.is_empty() => "none".to_owned(),
        Json::Array(items) => array(items),
        _ => scalar(value),
    }
}

fn object(members: &Map<String, Json>) -> String {
    let lines: Vec<_> = members
        .iter()
        .map(|(name, value)| {
            // A line break in a name would make its rest look like another member.
            let name = one_line(name);
            match inline(value) {
                Some(line) => format!("{name}: {line}"),
                None => format!("{name}:\n{}", indent(&text(value), "  ")),
            }
        })
        .collect();
    lines.join("\n")
}

fn array(items: &[Json]) -> String {
    if let Some(columns) = columns(items) {
        return rows(&columns, items);
    }
    let lines: Vec<_> = items
        .iter()
        .map(|item| match inline(item) {
            Some(line) => line,
            None => {
                let block = indent(&text(item), "  ");
                format!("- {}", block.trim_start())
            }
        })
        .collect();
    lines.join("\n")
}

/// A value that fits on the line behind its name.
fn inline(value: &Json) -> Option<String> {
    match value {
        Json::Object(members) if !members.is_empty() => None,
        Json::Array(items) if !items.is_empty() => {
            let all: Vec<_> = items.iter().map(short).collect::<Option<_>>()?;
            let line = all.join(", ");
            (line.chars().count() <= LINE && !all.iter().any(|item| item.contains(", "))).then_some(line)
        }
        Json::String(text) if text.contains('\n') => None,
        _ => Some(text(value)),
    }
}

/// A plain value on one line.
fn short(value: &Json) -> Option<String> {
    match value {
        Json::Object(_) | Json::Array(_) => None,
        Json::String(text) if text.contains('\n') => None,
        _ => Some(scalar(value)),
    }
}

fn scalar(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::Bool(true) => "yes".to_owned(),
        Json::Bool(false) => "no".to_owned(),
        Json::String(text) => clean(text.trim_end_matches('\n')),
        other => other.to_string(),
    }
}

/// The columns of a list of records that are alike and flat enough for a table.
fn columns(items: &[Json]) -> Option<Vec<&str>> {
    const MOST: usize = 8;
    let first = items.first()?.as_object()?;
    let names: Vec<_> = first.keys().map(String::as_str).collect();
    let alike = |item: &Json| {
        item.as_object().is_some_and(|members| {
            members.keys().map(String::as_str).eq(names.iter().copied())
                && members.values().all(|v| inline(v).is_some())
        })
    };
    let fits = !names.is_empty() && names.len() <= MOST && items.iter().all(alike);
    fits.then_some(names)
}

fn rows(columns: &[&str], items: &[Json]) -> String {
    let numeric = |name: &str| items.iter().all(|item| item[name].is_number());
    let head: Vec<_> = columns
        .iter()
        .map(|name| format!("{}{}", one_line(name).to_uppercase(), if numeric(name) { ">" } else { "" }))
        .collect();
    let head: Vec<_> = head.iter().map(String::as_str).collect();
    let rows =
        items.iter().map(|item| columns.iter().map(|name| cell(inline(&item[*name]).unwrap_or_default())).collect());
    table(&head, rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: &Json, expected: &str) {
        assert_eq!(anstream::adapter::strip_str(&text(value)).to_string(), expected);
    }

    #[test]
    fn values_for_people() {
        check(&json!(3.5), "3.5");
        check(&json!("a\nb\n"), "a\nb");
        check(&json!([]), "none");
        check(&json!(["a", "b"]), "a\nb");
        check(&json!({"tags": ["a", "b"], "on": true, "left-out": null}), "tags: a, b\non: yes\nleft-out: -");
    }

    #[test]
    fn long_texts_are_blocks() {
        check(&json!({"name": "x", "text": "A:\n  - b\n"}), "name: x\ntext:\n  A:\n    - b");
    }

    #[test]
    fn records_that_are_alike_are_a_table() {
        let value = json!([{"id": "a", "price": 1}, {"id": "long", "price": 20}]);
        check(&value, "ID    PRICE\na         1\nlong     20");
        check(&json!({"items": value}), "items:\n  ID    PRICE\n  a         1\n  long     20");
    }

    #[test]
    fn s10_a_name_cannot_forge_a_line() {
        check(&json!({"a\nb: yes": "no"}), "a b: yes: no");
        check(&json!({"a\r\nb\u{2028}\u{1b}[2J": {"c\n\td": 1}}), "a b\\u{2028}\\u{1b}[2J:\n  c d: 1");
        check(&json!([{"a\nb": 1, "c": "x"}, {"a\nb": 2, "c": "y"}]), "A B  C\n  1  x\n  2  y");
    }

    #[test]
    fn records_that_differ_are_a_list() {
        check(&json!([{"a": 1, "b": {"c": 2}}, {"a": 2}]), "- a: 1\n  b:\n    c: 2\n- a: 2");
    }
}
