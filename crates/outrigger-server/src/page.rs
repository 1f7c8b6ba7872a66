//! Lists and their pages, and numbers with bounds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// How many there are in the whole list.
    pub total: u64,
    /// How many were passed over before the first of these.
    pub offset: u32,
    /// How many there are at most in this part.
    pub limit: u32,
}

impl<T> Page<T> {
    /// A part that was asked for, of a list with `total` items.
    pub fn part(items: Vec<T>, total: usize, offset: Offset, limit: Limit) -> Self {
        Self { items, total: total as u64, offset: offset.0, limit: limit.0 }
    }

    /// The part of a list that was asked for.
    pub fn of(all: Vec<T>, offset: Offset, limit: Limit) -> Self {
        let total = all.len();
        let items = all.into_iter().skip(offset.0 as usize).take(limit.0 as usize).collect();
        Self::part(items, total, offset, limit)
    }
}

/// A whole list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub struct List<T> {
    pub items: Vec<T>,
}

/// A number with bounds that hold wherever it is read from, and that its schema tells.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident $type:ident $low:literal..=$high:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        pub struct $name(pub $type);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let number = $type::deserialize(deserializer)?;
                if ($low..=$high).contains(&number) {
                    return Ok(Self(number));
                }
                let message = format!("{number} is not from {} to {}", $low, $high);
                Err(serde::de::Error::custom(message))
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "integer", "minimum": $low, "maximum": $high})
            }
        }
    };
}

bounded! {
    /// How many of a list to answer with at most.
    Limit u32 1..=1000
}
bounded! {
    /// How many of a list to pass over.
    #[derive(Default)]
    Offset u32 0..=1_000_000_000
}
bounded! {
    /// At most a day.
    Milliseconds u64 1..=86_400_000
}
bounded! {
    /// How many calls at once.
    Parallel u32 1..=64
}

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl Default for Parallel {
    fn default() -> Self {
        Self(8)
    }
}
