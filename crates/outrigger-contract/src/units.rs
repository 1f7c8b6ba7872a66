//! Amounts as people write them: sizes (`64MiB`), times (`1h30m`) and rates (`100/1m`). What is written out reads
//! back as exactly the same amount, so a manifest can be stored, shown and read again without drift.

mod rate;
mod size;
mod span;

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};

pub use rate::Rate;
pub use size::ByteSize;
pub use span::Span;

use crate::name::shorten;

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

#[cfg(test)]
mod tests;
