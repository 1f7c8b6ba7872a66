//! Lengths of time.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize, Serializer};

use super::{AmountVisitor, Decimal, UnitError};
use crate::name::shorten;

/// A length of time, read from `30s`, `1h30m`, `250ms` or a plain number of seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(Duration);

/// From large to small, in nanoseconds: the order in which they are written.
pub(super) const SPAN_UNITS: [(&str, u128); 7] = [
    ("d", 86_400 * NANOS),
    ("h", 3_600 * NANOS),
    ("m", 60 * NANOS),
    ("s", NANOS),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
const NANOS: u128 = 1_000_000_000;

impl Span {
    pub const ZERO: Self = Self(Duration::ZERO);

    #[must_use]
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    #[must_use]
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Span { value: shorten(text) };
        let mut rest = text.trim();
        let mut nanoseconds: u128 = 0;
        let mut units = SPAN_UNITS.iter();
        let mut first = true;
        while first || !rest.is_empty() {
            let (number, after) = Decimal::take(rest).ok_or_else(wrong)?;
            let after = after.trim_start();
            let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let factor = match unit {
                "" if first && after.is_empty() => NANOS,
                "" => return Err(wrong()),
                // Searching on from the last unit keeps `30m1h` and `1m1m`, which are mistakes, from being read.
                _ => units.find(|(name, _)| *name == unit).ok_or_else(wrong)?.1,
            };
            let part = number.times(factor, text, "a nanosecond")?;
            nanoseconds = nanoseconds.checked_add(part).ok_or_else(|| UnitError::TooLarge { value: shorten(text) })?;
            rest = after.trim_start();
            first = false;
        }
        Self::from_nanoseconds(nanoseconds).ok_or_else(|| UnitError::TooLarge { value: shorten(text) })
    }
}

impl Span {
    pub(super) fn from_nanoseconds(nanoseconds: u128) -> Option<Self> {
        let seconds = u64::try_from(nanoseconds / NANOS).ok()?;
        let rest = u32::try_from(nanoseconds % NANOS).ok()?;
        Some(Self(Duration::new(seconds, rest)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return formatter.pad("0s");
        }
        let mut text = String::new();
        for (unit, factor) in SPAN_UNITS {
            if rest >= factor {
                text.push_str(&format!("{}{unit}", rest / factor));
                rest %= factor;
            }
        }
        formatter.pad(&text)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor("a length of time such as \"1h30m\"", std::marker::PhantomData))
    }
}

/// Each unit at most once, with no more places than make whole nanoseconds; no number so long that the sum of all is too
/// long for a length of time.
const SPAN_PATTERN: &str = "^ *(?=[0-9])([0-9]{1,14}(\\.[0-9]{1,9})?|\
    ([0-9]{1,14}(\\.[0-9]{1,9})? *d *)?([0-9]{1,14}(\\.[0-9]{1,9})? *h *)?([0-9]{1,14}(\\.[0-9]{1,9})? *m *)?\
    ([0-9]{1,14}(\\.[0-9]{1,9})? *s *)?([0-9]{1,14}(\\.[0-9]{1,6})? *ms *)?([0-9]{1,14}(\\.[0-9]{1,3})? *us *)?\
    ([0-9]{1,14} *ns)?) *$";

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time: numbers with units from large to small, or a plain number of seconds.",
            "examples": ["30s", "1h30m", "250ms", 5],
            "anyOf": [
                { "type": "string", "pattern": SPAN_PATTERN },
                { "type": "number", "minimum": 0, "maximum": 99_999_999_999_999_u64 },
            ],
        })
    }
}
