//! Patterns of names: a `*` stands for any text. Rules of roles, filters of events and webhooks all speak in them.

use std::fmt;
use std::str::FromStr;

use crate::name::{shorten, text_serde};

/// A pattern of names, such as `plugin.*`: lower-case letters, digits, `.`, `_`, `-`, and `*` for any text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

text_serde!(Pattern, {
    "type": "string",
    "pattern": r"^[a-z0-9._*-]+$",
    "minLength": 1,
    "maxLength": 100,
    "description": "A name in which `*` stands for any text.",
    "examples": ["plugin.*"],
});

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid name pattern: write 1 to 100 lower-case letters, digits, `.`, `_`, `-`, and `*` for any text, as in `plugin.*`", shorten(.text))]
pub struct PatternError {
    pub text: String,
}

impl Pattern {
    /// The longest pattern allowed, in characters.
    pub const MAX: usize = 100;

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for this name.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        fits(&self.0, name)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '*');
        match (1..=Self::MAX).contains(&text.len()) && text.chars().all(sound) {
            true => Ok(Self(text.to_owned())),
            false => Err(PatternError { text: text.chars().take(80).collect() }),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether the text is like the pattern, in which `*` stands for any text.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let (parts, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in parts.split('*') {
        // The leftmost place leaves the most for what follows.
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("*", "plugin.installed", true),
            ("plugin.*", "plugin.installed", true),
            ("plugin.*", "plugin", false),
            ("*.failed", "job.failed", true),
            ("*.failed", "job.failed.twice", false),
            ("job.*ed", "job.queued", true),
            ("job.failed", "job.failed", true),
        ] {
            assert_eq!(pattern.parse::<Pattern>().expect("a pattern").covers(name), expected, "{pattern} {name}");
        }
        // No position is tried twice.
        assert!(!fits(&("*a".repeat(50) + "b"), &"a".repeat(1 << 20)));
        for wrong in ["", "Plugin.*", "a b", "a?", &"a".repeat(101)] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }
}
