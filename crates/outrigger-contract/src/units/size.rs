//! Sizes in bytes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize, Serializer};

use super::{AmountVisitor, Decimal, UnitError};
use crate::name::shorten;

/// A size in bytes, read from `64MiB`, `4 MB` or a plain number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

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

    /// The size for people, rounded up to a tenth of the largest unit that fits, such as `1.5MiB`.
    #[must_use]
    pub fn rounded(self) -> String {
        let binary = &SIZE_UNITS[..4];
        let Some((unit, factor)) = binary.iter().find(|(_, factor)| self.0 >= *factor) else {
            return self.to_string();
        };
        let tenths = (u128::from(self.0) * 10).div_ceil(u128::from(*factor));
        match (tenths / 10, tenths % 10) {
            (whole, 0) => format!("{whole}{unit}"),
            (whole, tenth) => format!("{whole}.{tenth}{unit}"),
        }
    }

    /// The size in bytes, or the largest `usize` where the address space is smaller.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
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

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = exact.unwrap_or(&("B", 1));
        formatter.pad(&format!("{}{unit}", self.0 / factor))
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor("a size such as \"64MiB\"", std::marker::PhantomData))
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
