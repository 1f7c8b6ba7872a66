//! Writes a JSON document as YAML. Only what a template needs: mappings, sequences and scalars in block style, every
//! string that YAML 1.1 or 1.2 could take for something else in quotes.

use serde_json::Value;

/// The document, with a line break at its end.
pub fn write(document: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, document, 0, Place::Document);
    text
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Document,
    AfterKey,
    AfterDash,
}

fn write_value(text: &mut String, value: &Value, indent: usize, place: Place) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            start_block(text, place);
            for (index, (key, value)) in map.iter().enumerate() {
                // The first key of a mapping in a sequence stands on the line of the dash.
                if index > 0 || place != Place::AfterDash {
                    text.push_str(&" ".repeat(indent));
                }
                text.push_str(&scalar(key));
                text.push(':');
                write_value(text, value, indent + 2, Place::AfterKey);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            start_block(text, place);
            for (index, item) in items.iter().enumerate() {
                if index > 0 || place != Place::AfterDash {
                    text.push_str(&" ".repeat(indent));
                }
                text.push('-');
                write_value(text, item, indent + 2, Place::AfterDash);
            }
        }
        leaf => {
            if place != Place::Document {
                text.push(' ');
            }
            match leaf {
                Value::String(string) => text.push_str(&scalar(string)),
                // Null, booleans, numbers and empty collections are written as in JSON.
                other => text.push_str(&other.to_string()),
            }
            text.push('\n');
        }
    }
}

fn start_block(text: &mut String, place: Place) {
    match place {
        Place::Document => {}
        Place::AfterKey => text.push('\n'),
        Place::AfterDash => text.push(' '),
    }
}

/// A string, in quotes unless it can only be read as one.
fn scalar(string: &str) -> String {
    let first = string.chars().next();
    let letter_first = first.is_some_and(|character| character.is_ascii_alphabetic());
    let plain = string
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || "_-./*$ ".contains(character) || character == ':');
    let colon_is_safe = !string.contains(": ") && !string.ends_with(':');
    let word = !matches!(
        string.to_ascii_lowercase().as_str(),
        "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null" | "nan" | "inf"
    );
    if letter_first && plain && colon_is_safe && word && !string.ends_with(' ') {
        string.to_owned()
    } else {
        // A JSON string is a double-quoted YAML string, but for characters that YAML does not let stand as they are.
        Value::from(string).to_string().chars().map(escaped).collect()
    }
}

/// A character inside double quotes: C1 controls, and what some readers take for a line break or a byte order mark, is
/// escaped.
fn escaped(character: char) -> String {
    match character {
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => format!("\\u{:04x}", u32::from(character)),
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::write;

    #[test]
    fn blocks_are_nested_as_people_write_them() {
        let document = json!({ "A": { "B": [1, { "C": true, "D": [] }, ["x", ["z"]]] }, "E": null });
        assert_eq!(
            write(&document),
            "A:\n  B:\n    - 1\n    - C: true\n      D: []\n    - - x\n      - - z\nE: null\n"
        );
    }

    #[test]
    fn a_parser_reads_back_what_was_written() {
        let strings = [
            "plain",
            "two words",
            "yes",
            "No",
            "~",
            "null",
            "1",
            "1e3",
            "0x1f",
            "2010-09-09",
            "12:30:45",
            "",
            " x",
            "x ",
            "a: b",
            "a:",
            "#x",
            "x #y",
            "'",
            "\"",
            "\\",
            "- x",
            "*",
            "arn:${AWS::Partition}:s3:::b/*",
            "Ä\n\tö",
            "\u{7f}",
            "\u{2028}",
            "%",
            "@x",
            "`",
            "[",
            "{a}",
            "!x",
            "&x",
            "s3:*",
            ".inf",
            "=",
            "<<",
            "a,b",
            "a]",
        ];
        let document: Value = json!({ "list": strings.as_slice(), "map": Value::from_iter(strings.map(|key| (key, json!({ key: key })))) });
        let text = write(&document);
        let read: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(read, document, "{text}");
    }
}
