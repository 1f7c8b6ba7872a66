//! The last escaping before output reaches a terminal. Untrusted text is escaped where it is put into a table or a
//! message; this catches whatever was missed there. The only escape sequences that pass are the styles that this
//! program uses.

use std::borrow::Cow;

use outrigger_contract::text;

/// The maximum length of a log line, in bytes.
const LONGEST_LOG: usize = 16 << 10;

/// Escapes multi-line text for a terminal.
#[must_use]
pub fn lines(shown: &str) -> Cow<'_, str> {
    styled(shown, text::plain)
}

/// Escapes everything between this program's own styles.
fn styled(shown: &str, clean: impl Fn(&str) -> Cow<'_, str>) -> Cow<'_, str> {
    if !shown.contains('\u{1b}') {
        return clean(shown);
    }
    let mut made = String::with_capacity(shown.len());
    let mut rest = shown;
    while let Some(start) = rest.find('\u{1b}') {
        made.push_str(&clean(&rest[..start]));
        let sequence = style(&rest[start..]).unwrap_or("");
        made.push_str(sequence);
        if sequence.is_empty() {
            made.push_str(&clean("\u{1b}"));
        }
        rest = &rest[start + sequence.len().max(1)..];
    }
    made.push_str(&clean(rest));
    Cow::Owned(made)
}

/// The style sequence at the start of a text, if this program writes it: bold, dim, italic, underlined, and some
/// colours. None of them hides text.
fn style(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.bytes().take(16).position(|byte| byte == b'm')?;
    let parameters = &parameters[..end];
    let known = |one: &str| {
        matches!(
            one,
            "" | "0" | "1" | "2" | "3" | "4" | "22" | "23" | "24" | "31" | "32" | "33" | "34" | "35" | "36" | "39"
        )
    };
    let bright = matches!(parameters, "38;5;9" | "38;5;10" | "38;5;11");
    (bright || parameters.split(';').all(known)).then(|| &text[..end + 3])
}

/// A log event on one line, whatever it contains.
#[must_use]
pub fn log_line(event: &str) -> String {
    let event = event.strip_suffix('\n').unwrap_or(event);
    let mut line = styled(&text::cut(event, LONGEST_LOG), text::line).into_owned();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{bold, green, red};

    #[test]
    fn s10_only_styles_of_our_own_reach_a_terminal() {
        let own = format!("{} {} {}\n", bold("a"), green("b"), red("c"));
        assert_eq!(lines(&own), own);
        let table = "\u{1b}[38;5;10m\u{1b}[1mok\u{1b}[0m\u{1b}[39m";
        assert_eq!(lines(table), table);
        for (text, expected) in [
            ("\u{1b}[8mhidden", r"\u{1b}[8mhidden"),
            ("\u{1b}[2J\u{1b}[H", r"\u{1b}[2J\u{1b}[H"),
            ("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}"),
            ("\u{1b}[38;5;0mblack", r"\u{1b}[38;5;0mblack"),
            ("\u{1b}[1;31;8m", r"\u{1b}[1;31;8m"),
            ("\u{1b}", r"\u{1b}"),
            ("\u{1b}[", r"\u{1b}["),
            ("\u{1b}[1", r"\u{1b}[1"),
            ("\u{1b}[ä\u{1b}c", "\\u{1b}[ä\\u{1b}c"),
            ("\u{9b}31m\u{202e}", r"\u{9b}31m\u{202e}"),
        ] {
            assert_eq!(lines(text), expected);
        }
    }

    #[test]
    fn s10_an_event_of_the_log_is_one_line() {
        assert_eq!(log_line("WARN a\n"), "WARN a\n");
        assert_eq!(log_line("WARN a\nERROR forged\n"), "WARN a\\nERROR forged\n");
        assert_eq!(
            log_line("\u{1b}[33m WARN\u{1b}[0m \u{202e}\u{9b}2J\r"),
            "\u{1b}[33m WARN\u{1b}[0m \\u{202e}\\u{9b}2J\\r\n"
        );
        let long = log_line(&"x".repeat(100 << 10));
        assert!(long.len() < 17 << 10 && long.ends_with("more bytes)\n"), "{}", long.len());
    }
}
