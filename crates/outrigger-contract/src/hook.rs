//! Hooks: named points at which plugins take part in what others do. Here is what a manifest and the engine both speak of:
//! what hooks are called, the three kinds of them, and what happens when a subscriber fails.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

use crate::name::{shorten, text_serde};
use crate::units::Span;

/// The name of a hook: words of lower-case letters, digits, `-` and `_`, at least two of them with dots in between.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookName(Arc<str>);

text_serde!(HookName, {
    "type": "string",
    "pattern": r"^[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)+$",
    "maxLength": 100,
    "description": "Words of lower-case letters, digits, `-` and `_`, at least two of them, with dots in between.",
    "examples": ["customer.created"],
});

/// A text that is not the name of a hook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid hook name: write words of lower-case letters, digits, `-` and `_`, separated by dots, as in `customer.created`", shorten(.text))]
pub struct HookNameError {
    pub text: String,
}

impl HookName {
    /// The longest name allowed, in characters.
    pub const MAX: usize = 100;

    /// First words that are Outrigger's own; nobody else declares hooks below them.
    pub const RESERVED: [&str; 6] = ["call", "configuration", "job", "plugin", "system", "webhook"];

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its first word is one of [`HookName::RESERVED`].
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        let first = self.0.split('.').next().unwrap_or_default();
        Self::RESERVED.contains(&first)
    }
}

impl FromStr for HookName {
    type Err = HookNameError;

    fn from_str(text: &str) -> Result<Self, HookNameError> {
        let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let word = |word: &str| word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(sound);
        match text.len() <= Self::MAX && text.contains('.') && text.split('.').all(word) {
            true => Ok(Self(text.into())),
            false => Err(HookNameError { text: text.chars().take(80).collect() }),
        }
    }
}

impl fmt::Display for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The kind of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookKind {
    /// Something is being done; subscribers do something too, one after another. What they answer is ignored.
    Action,
    /// A value passes through the subscribers: the result of each is the input of the next.
    Filter,
    /// Something has happened. Subscribers are told in the background, those of one plugin one after another, and can neither
    /// delay nor undo it. (Who fires one over the API waits for them, to see what they did.)
    Event,
}

text_serde!(HookKind, {
    "description": "The kind of a hook.",
    "oneOf": [
        { "const": "action", "description": "Subscribers run one after another. Their results are ignored." },
        { "const": "filter", "description": "A value passes through the subscribers: the result of each is the input \
          of the next." },
        { "const": "event", "description": "Something has happened. Subscribers are notified in the background, each \
        plugin separately." },
    ],
});

/// A text that is none of the kinds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a kind of hook; write `action`, `filter` or `event`", shorten(.text))]
pub struct HookKindError {
    pub text: String,
}

impl HookKind {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Filter => "filter",
            Self::Event => "event",
        }
    }
}

impl FromStr for HookKind {
    type Err = HookKindError;

    fn from_str(text: &str) -> Result<Self, HookKindError> {
        let kinds = [Self::Action, Self::Filter, Self::Event];
        let found = kinds.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| HookKindError { text: text.to_owned() })
    }
}

impl fmt::Display for HookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The policy for a failed subscriber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnError {
    /// The hook goes on with the next subscriber; a filter keeps the value as it was.
    #[default]
    FailOpen,
    /// The hook ends there, and what fired it fails.
    FailClosed,
    /// Like `fail-open`, and this many consecutive failures disable the subscription.
    DisableAfter(NonZeroU32),
}

text_serde!(OnError, {
    "type": "string",
    "pattern": r"^(fail-open|fail-closed|disable-after\([1-9][0-9]{0,8}\))$",
    "description": "The policy for a failed subscriber: `fail-open` continues without it, `fail-closed` stops the \
     hook and fails the operation that fired it, `disable-after(N)` continues without it and disables the \
     subscription after N consecutive failures.",
    "examples": ["fail-open", "fail-closed", "disable-after(3)"],
});

/// A text that is none of the policies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an error policy; write `fail-open`, `fail-closed` or `disable-after(3)`", shorten(.text))]
pub struct OnErrorError {
    pub text: String,
}

impl FromStr for OnError {
    type Err = OnErrorError;

    fn from_str(text: &str) -> Result<Self, OnErrorError> {
        let count = text.strip_prefix("disable-after(").and_then(|rest| rest.strip_suffix(')'));
        let read = match (text, count) {
            ("fail-open", _) => Some(Self::FailOpen),
            ("fail-closed", _) => Some(Self::FailClosed),
            (_, Some(count)) if count.len() <= 9 && !count.starts_with(['0', '+']) => {
                count.parse().ok().map(Self::DisableAfter)
            }
            _ => None,
        };
        read.ok_or_else(|| OnErrorError { text: text.to_owned() })
    }
}

impl fmt::Display for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailOpen => f.pad("fail-open"),
            Self::FailClosed => f.pad("fail-closed"),
            Self::DisableAfter(failures) => f.pad(&format!("disable-after({failures})")),
        }
    }
}

/// Where a subscriber stands among the others when nothing is said. Lower numbers come first.
pub const DEFAULT_PRIORITY: i32 = 100;
/// How early or late a subscriber can be.
pub const PRIORITIES: std::ops::RangeInclusive<i32> = -10_000..=10_000;
/// How long one callback may take when nothing is said.
pub const DEFAULT_TIMEOUT: Span = Span::from_secs(2);
/// The longest time that one callback may be given.
pub const LONGEST_TIMEOUT: Span = Span::from_secs(60);
/// The longest condition, in bytes.
pub const LONGEST_CONDITION: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_words_and_dots() {
        for good in ["customer.created", "call.before", "a.b-c.d_1"] {
            assert_eq!(good.parse::<HookName>().expect("a name").as_str(), good);
        }
        for wrong in ["", "customer", ".a", "a.", "a..b", "A.b", "a.1", "a b.c", "a.b\n", &"a.b".repeat(40)] {
            assert!(wrong.parse::<HookName>().is_err(), "{wrong}");
        }
        assert!("call.other".parse::<HookName>().expect("a name").is_reserved());
        assert!(!"calls.other".parse::<HookName>().expect("a name").is_reserved());
    }

    #[test]
    fn policies_are_written_as_they_are_read() {
        for text in ["fail-open", "fail-closed", "disable-after(3)"] {
            assert_eq!(text.parse::<OnError>().expect("a policy").to_string(), text);
        }
        for wrong in [
            "",
            "open",
            "disable-after",
            "disable-after(0)",
            "disable-after(03)",
            "disable-after(1000000000)",
            "disable-after(-1)",
        ] {
            assert!(wrong.parse::<OnError>().is_err(), "{wrong}");
        }
    }
}
