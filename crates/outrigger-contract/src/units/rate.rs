//! Rates: calls per time.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::span::SPAN_UNITS;
use super::{Span, UnitError};
use crate::name::shorten;

/// A rate limit: a number of calls per period, read from `100/1m`, `10/s` or a table with `calls`, `per` and `burst`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    calls: NonZeroU32,
    per: Span,
    burst: Option<NonZeroU32>,
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
        (self.per.as_duration() / self.calls.get()).max(Duration::from_nanos(1))
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

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.calls, self.per)?;
        match self.burst {
            Some(burst) => write!(formatter, ", burst {burst}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
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
