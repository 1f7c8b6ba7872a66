//! Escapes untrusted text. A plugin chooses its names, errors, log lines and values. In a terminal or a log, some
//! characters move the cursor, overwrite earlier output, change the reading direction, or are invisible. They are
//! escaped as `\u{1b}`.
//!
//! Faces apply this where they write for people, so messages need no escaping where they are created. Data for programs
//! is unchanged; JSON has its own escapes.

use std::borrow::Cow;

/// Whether a character has to be escaped: control characters (including line breaks and tabs), bidirectional controls,
/// line and paragraph separators, invisible characters, and noncharacters.
#[must_use]
pub const fn is_misleading(character: char) -> bool {
    match character {
        ' '..='~' => false,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Unicode's default ignorable code points: soft hyphens, joiners, fillers, variation selectors, tags.
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' => true,
        '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{3164}' | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' => true,
        '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => true,
        // Letters that are blank.
        '\u{2800}' => true,
        '\u{fdd0}'..='\u{fdef}' => true,
        _ => (character as u32) & 0xfffe == 0xfffe,
    }
}

/// Escapes a multi-line text. Line breaks and tabs stay; `\r\n` counts as a line break.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

/// Escapes a text to one line: line breaks and tabs become `\n` and `\t`.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// Truncates a text to a number of bytes, and appends how many were cut off.
#[must_use]
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    Cow::Owned(format!("{}… ({} more bytes)", &text[..end], text.len() - end))
}

/// Escapes a JSON text. The value is unchanged, because such characters occur only in strings.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    replaced(text, in_string, |text, character| {
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            text.push_str("\\u");
            push_hex(text, u32::from(*unit), 4);
        }
    })
}

/// Escapes a JSON text that is read as YAML, which has no surrogates.
#[must_use]
pub fn json_for_yaml(text: &str) -> Cow<'_, str> {
    replaced(text, in_string, |text, character| {
        let code = u32::from(character);
        let (start, digits) = if code < 0x1_0000 { ("\\u", 4) } else { ("\\U", 8) };
        text.push_str(start);
        push_hex(text, code, digits);
    })
}

/// Appends a number with this many hexadecimal digits. Formatting would take ten times as long.
fn push_hex(text: &mut String, number: u32, digits: u32) {
    let digit = |place: u32| char::from_digit((number >> (4 * place)) & 0xf, 16);
    text.extend((0..digits).rev().filter_map(digit));
}

/// Whether a character of a JSON text has to be escaped. Line breaks occur only between the tokens of a document.
const fn in_string(character: char) -> bool {
    !matches!(character, '\n' | '\t' | '\r') && is_misleading(character)
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let text = match text.contains("\r\n") {
        true => Cow::Owned(text.replace("\r\n", "\n")),
        false => Cow::Borrowed(text),
    };
    let is_replaced = |character: char| !stays(character) && is_misleading(character);
    let escape = |text: &mut String, character: char| text.extend(character.escape_default());
    match text {
        Cow::Borrowed(text) => replaced(text, is_replaced, escape),
        Cow::Owned(text) => Cow::Owned(replaced(&text, is_replaced, escape).into_owned()),
    }
}

/// Copies nothing if nothing is replaced, which is the common case. `write` appends the replacement of a character.
fn replaced(text: &str, is_replaced: impl Fn(char) -> bool, write: impl Fn(&mut String, char)) -> Cow<'_, str> {
    let mut made = String::new();
    let mut done = 0;
    for (place, character) in text.char_indices() {
        // Most characters are plain letters.
        if matches!(character, ' '..='~') {
            continue;
        }
        if is_replaced(character) {
            made.push_str(&text[done..place]);
            write(&mut made, character);
            done = place + character.len_utf8();
        }
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    made.push_str(&text[done..]);
    Cow::Owned(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_what_misleads_is_shown() {
        for (text, expected) in [
            ("a\u{1b}[31mb\u{7}", r"a\u{1b}[31mb\u{7}"),
            ("\u{9b}2J\u{90}q\u{9c}", r"\u{9b}2J\u{90}q\u{9c}"),
            ("user\u{202e}gpj.exe\u{2066}\u{2069}", r"user\u{202e}gpj.exe\u{2066}\u{2069}"),
            ("\u{200f}\u{200e}\u{61c}", r"\u{200f}\u{200e}\u{61c}"),
            ("ad\u{200b}min\u{feff}\u{ad}\u{2060}", r"ad\u{200b}min\u{feff}\u{ad}\u{2060}"),
            ("a\u{200d}b\u{3164}\u{2800}", r"a\u{200d}b\u{3164}\u{2800}"),
            ("x\u{e0041}\u{e0100}\u{fe01}", r"x\u{e0041}\u{e0100}\u{fe01}"),
            ("one\u{2028}two\u{2029}\u{85}\u{b}\u{c}", r"one\u{2028}two\u{2029}\u{85}\u{b}\u{c}"),
            ("bar\rfoo\u{8}", r"bar\rfoo\u{8}"),
            ("\u{fffe}\u{1ffff}\u{fdd0}", r"\u{fffe}\u{1ffff}\u{fdd0}"),
            ("a\r\nb\tc\n", "a\nb\tc\n"),
            ("Größe: 3 µs, 日本語, עברית, \u{1f600}\u{fe0f}", "Größe: 3 µs, 日本語, עברית, \u{1f600}\u{fe0f}"),
        ] {
            assert_eq!(plain(text), expected);
        }
        assert_eq!(line("a\r\nb\tc"), r"a\nb\tc");
    }

    #[test]
    fn s10_a_long_text_is_cut_between_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("äää", 3), "ä… (4 more bytes)");
    }

    #[test]
    fn s10_json_stays_the_same_json() {
        let value = serde_json::json!({"a\u{202e}": ["\u{9b}31m\u{1b}", "\u{e0041} ä", {"b": "\u{2028}\u{7f}"}]});
        for text in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON")] {
            let escaped = json(&text);
            assert!(!escaped.chars().any(|c| c != '\n' && is_misleading(c)), "{escaped}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).expect("JSON"), value);
        }
    }

    #[test]
    fn s19_escapes_of_json_are_written_digit_by_digit() {
        for (text, as_json, as_yaml) in [
            ("\u{7f}a\u{9b}", r"\u007fa\u009b", r"\u007fa\u009b"),
            ("\u{202e}\u{fffe}ä", r"\u202e\ufffeä", r"\u202e\ufffeä"),
            ("\u{e0041}", r"\udb40\udc41", r"\U000e0041"),
            ("plain\n", "plain\n", "plain\n"),
        ] {
            assert_eq!(json(text), as_json);
            assert_eq!(json_for_yaml(text), as_yaml);
        }
    }
}
