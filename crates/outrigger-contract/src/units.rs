//! Amounts as people write them: sizes (`64MiB`), times (`1h30m`) and rates (`100/1m`). What is written out reads
//! back as exactly the same amount, so a manifest can be stored, shown and read again without drift.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::name::shorten;

/// A size in bytes, read from `64MiB`, `4 MB` or a plain number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

/// A length of time, read from `30s`, `1h30m`, `250ms` or a plain number of seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(Duration);

/// So many calls in so much time, read from `100/1m`, `10/s` or a table with `calls`, `per` and `burst`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    calls: NonZeroU32,
    per: Span,
    burst: Option<NonZeroU32>,
}

/// Why a text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error(
        "`{value}` is not a size; write a number and a unit (B, KiB, MiB, GiB, TiB, KB, MB, GB, TB), for example `64MiB`"
    )]
    Size { value: String },
    #[error(
        "`{value}` is not a duration; write numbers with units from large to small (d, h, m, s, ms, us, ns), for \
         example `1h30m` or `250ms`"
    )]
    Span { value: String },
    #[error("`{value}` is not a rate; write calls per time, for example `100/1m` or `10/s`")]
    Rate { value: String },
    #[error("the rate `{value}` must allow at least one call in a time longer than zero")]
    EmptyRate { value: String },
    #[error("`{value}` is too large")]
    TooLarge { value: String },
    #[error("`{value}` is more precise than {finest}")]
    TooFine { value: String, finest: &'static str },
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Longest first within a family, binary before decimal: the order in which a unit is chosen for display.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", TIB),
    ("GiB", GIB),
    ("MiB", MIB),
    ("KiB", KIB),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// From large to small, in nanoseconds: the order in which they are written.
const SPAN_UNITS: [(&str, u128); 7] = [
    ("d", 86_400 * NANOS),
    ("h", 3_600 * NANOS),
    ("m", 60 * NANOS),
    ("s", NANOS),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
const NANOS: u128 = 1_000_000_000;

impl ByteSize {
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn kib(count: u32) -> Self {
        Self(count as u64 * KIB)
    }

    #[must_use]
    pub const fn mib(count: u32) -> Self {
        Self(count as u64 * MIB)
    }

    #[must_use]
    pub const fn gib(count: u32) -> Self {
        Self(count as u64 * GIB)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The size in bytes, or the largest `usize` where the address space is smaller.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

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

impl Rate {
    /// A rate without a burst of its own. Fails when `per` is zero.
    ///
    /// # Errors
    /// [`UnitError::EmptyRate`] when the period is zero.
    pub fn new(calls: NonZeroU32, per: Span, burst: Option<NonZeroU32>) -> Result<Self, UnitError> {
        let rate = Self { calls, per, burst };
        if per.is_zero() {
            return Err(UnitError::EmptyRate { value: rate.to_string() });
        }
        Ok(rate)
    }

    /// Calls allowed in one period.
    #[must_use]
    pub fn calls(&self) -> NonZeroU32 {
        self.calls
    }

    /// The period, never zero.
    #[must_use]
    pub fn per(&self) -> Span {
        self.per
    }

    /// Calls allowed at once: as written, or as many as one period allows.
    #[must_use]
    pub fn burst(&self) -> NonZeroU32 {
        self.burst.unwrap_or(self.calls)
    }

    /// The time in which one call is earned.
    #[must_use]
    pub fn interval(&self) -> Duration {
        (self.per.0 / self.calls.get()).max(Duration::from_nanos(1))
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

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Size { value: shorten(text) };
        let trimmed = text.trim();
        let (number, unit) = Decimal::take(trimmed).ok_or_else(wrong)?;
        let unit = unit.trim_start();
        let factor = if unit.is_empty() {
            1
        } else {
            let known = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
            known.ok_or_else(wrong)?.1
        };
        let bytes = number.times(u128::from(factor), text, "a byte")?;
        u64::try_from(bytes).map(Self).map_err(|_| UnitError::TooLarge { value: shorten(text) })
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

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Rate { value: shorten(text) };
        let empty = || UnitError::EmptyRate { value: shorten(text) };
        let (calls, per) = text.split_once('/').ok_or_else(wrong)?;
        let calls: u32 = calls.trim().parse().map_err(|_| wrong())?;
        let per = per.trim();
        let per = match SPAN_UNITS.iter().find(|(name, _)| *name == per) {
            Some((_, factor)) => Span::from_nanoseconds(*factor).ok_or_else(wrong)?,
            None => per.parse().map_err(|_| wrong())?,
        };
        Self::new(NonZeroU32::new(calls).ok_or_else(empty)?, per, None).map_err(|_| empty())
    }
}

impl Span {
    fn from_nanoseconds(nanoseconds: u128) -> Option<Self> {
        let seconds = u64::try_from(nanoseconds / NANOS).ok()?;
        let rest = u32::try_from(nanoseconds % NANOS).ok()?;
        Some(Self(Duration::new(seconds, rest)))
    }
}

/// A decimal number as written, kept exact: `digits` divided by ten to the power of `places`.
struct Decimal {
    digits: u128,
    places: u32,
}

impl Decimal {
    /// Takes a number from the front of a text. `None` when there is none or when it is absurdly long.
    fn take(text: &str) -> Option<(Self, &str)> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, rest) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let pointed = number.len() > whole.len();
        let is_number = !whole.is_empty() && (!pointed || !fraction.is_empty()) && !fraction.contains('.');
        let fraction = fraction.trim_end_matches('0');
        if !is_number || whole.len() > 24 || fraction.len() > 12 {
            return None;
        }
        let digits = format!("{whole}{fraction}").parse().ok()?;
        Some((Self { digits, places: u32::try_from(fraction.len()).ok()? }, rest))
    }

    /// The number times a unit, when that is a whole number.
    fn times(&self, factor: u128, text: &str, finest: &'static str) -> Result<u128, UnitError> {
        let product = self.digits.checked_mul(factor).ok_or_else(|| UnitError::TooLarge { value: shorten(text) })?;
        let divisor = 10_u128.pow(self.places);
        if product % divisor != 0 {
            return Err(UnitError::TooFine { value: shorten(text), finest });
        }
        Ok(product / divisor)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = exact.unwrap_or(&("B", 1));
        formatter.pad(&format!("{}{unit}", self.0 / factor))
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

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.calls, self.per)?;
        match self.burst {
            Some(burst) => write!(formatter, ", burst {burst}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The table form of a rate, needed when it has a burst of its own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateTable {
    calls: NonZeroU32,
    per: Span,
    #[serde(default)]
    burst: Option<NonZeroU32>,
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.burst {
            None => serializer.collect_str(self),
            burst => RateTable { calls: self.calls, per: self.per, burst }.serialize(serializer),
        }
    }
}

struct AmountVisitor<T>(&'static str, std::marker::PhantomData<T>);

impl<T: FromStr<Err = UnitError>> Visitor<'_> for AmountVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    /// To the ninth place, which of seconds is a nanosecond.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        // Adding zero removes the sign of a negative zero.
        format!("{:.9}", number + 0.0).parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor("a size such as \"64MiB\"", std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor("a length of time such as \"1h30m\"", std::marker::PhantomData))
    }
}

struct RateVisitor;

impl<'de> Visitor<'de> for RateVisitor {
    type Value = Rate;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a rate such as \"100/1m\", or a table with `calls`, `per` and `burst`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Rate, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Rate, A::Error> {
        let RateTable { calls, per, burst } = RateTable::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Rate::new(calls, per, burst).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RateVisitor)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A size: a number with a unit, or a plain number of bytes.",
            "examples": ["64MiB", "4 MB", 65536],
            "anyOf": [
                { "type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(([KkMmGgTt][Ii]?)?[Bb])?\s*$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
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

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = generator.subschema_for::<Span>();
        json_schema!({
            "description": "How many calls are allowed in how much time.",
            "examples": ["100/1m", "10/s", { "calls": 100, "per": "1m", "burst": 20 }],
            "anyOf": [
                { "type": "string", "pattern": r"^\s*\d+\s*/\s*[0-9.a-z\s]+$" },
                {
                    "type": "object",
                    "properties": {
                        "calls": {
                            "type": "integer", "minimum": 1, "maximum": u32::MAX,
                            "description": "Calls allowed in one period.",
                        },
                        "per": span,
                        "burst": {
                            "type": ["integer", "null"], "minimum": 1, "maximum": u32::MAX,
                            "description": "Calls allowed at once. Default: `calls`.",
                            "examples": [20],
                        },
                    },
                    "required": ["calls", "per"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests;
