//! Exact decimal numbers: what prices, rates and percentages are written in. Nine decimal places, no rounding on the
//! way; results are rounded once, where an amount of money is made.

use std::fmt;

/// A number that is not negative, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(i128);

const PLACES: u32 = 9;
const ONE: i128 = 1_000_000_000;
/// Keeps the product of two decimals and a quantity within 127 bits.
const LARGEST: i128 = 1_000_000 * ONE;

impl Decimal {
    /// Reads digits with at most one point, such as `0.0119`: at most 1,000,000 and nine decimal places.
    pub fn parse(text: &str) -> Result<Decimal, String> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || (text.contains('.') && fraction.is_empty()) {
            return Err(format!("`{text}` is not a decimal number such as `0.0119`"));
        }
        if fraction.len() > PLACES as usize {
            return Err(format!("`{text}` has more than {PLACES} decimal places"));
        }
        let too_large = || format!("`{text}` is larger than 1000000");
        let scaled = format!("{whole}{fraction:0<width$}", width = PLACES as usize);
        let billionths: i128 = scaled.parse().map_err(|_| too_large())?;
        if billionths > LARGEST { Err(too_large()) } else { Ok(Decimal(billionths)) }
    }

    /// This times `other`, rounded half up to `places` decimal places; none where that is more than can be told.
    pub fn times(self, other: Decimal, places: u32) -> Option<Decimal> {
        let unit = 10_i128.pow(PLACES - places.min(PLACES));
        let product = self.0.checked_mul(other.0)?;
        Some(Decimal(round_half_up(product, ONE * unit)?.checked_mul(unit)?))
    }

    /// This times `quantity`, in units of ten to the minus `exponent`, rounded half up.
    pub fn times_quantity(self, quantity: u64, exponent: u8) -> Option<u64> {
        let product = self.0.checked_mul(i128::from(quantity))?.checked_mul(10_i128.pow(u32::from(exponent)))?;
        u64::try_from(round_half_up(product, ONE)?).ok()
    }

    /// This many percent of `amount`, rounded half up.
    pub fn percent_of(self, amount: u64) -> Option<u64> {
        let product = self.0.checked_mul(i128::from(amount))?;
        u64::try_from(round_half_up(product, 100 * ONE)?).ok()
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The number a whole one stands for, where it is at most `largest`.
    pub fn at_most(self, largest: u32) -> bool {
        self.0 <= i128::from(largest) * ONE
    }
}

fn round_half_up(numerator: i128, denominator: i128) -> Option<i128> {
    numerator.checked_add(denominator / 2)?.checked_div(denominator)
}

impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:09}", self.0 % ONE);
        match fraction.trim_end_matches('0') {
            "" => write!(formatter, "{}", self.0 / ONE),
            fraction => write!(formatter, "{}.{fraction}", self.0 / ONE),
        }
    }
}

/// An amount in minor units, with its decimal point.
pub fn amount_text(minor_units: u64, exponent: u8) -> String {
    if exponent == 0 {
        return minor_units.to_string();
    }
    let scale = 10_u64.pow(u32::from(exponent));
    format!("{}.{:0width$}", minor_units / scale, minor_units % scale, width = usize::from(exponent))
}

#[cfg(test)]
mod tests {
    use super::{Decimal, amount_text};

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect("a decimal number")
    }

    #[test]
    fn reads_and_writes() {
        for (input, expected) in [("0", "0"), ("1.50", "1.5"), ("0.000000001", "0.000000001"), ("1000000", "1000000")] {
            assert_eq!(decimal(input).to_string(), expected);
        }
        for wrong in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1.0000000001", "1000000.1", "٣", "1.2.3"] {
            assert!(Decimal::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn rounds_half_up_and_never_wraps() {
        assert_eq!(decimal("0.005").times_quantity(1, 2), Some(1));
        assert_eq!(decimal("0.0049").times_quantity(1, 2), Some(0));
        assert_eq!(decimal("0.0119").times_quantity(730, 2), Some(869));
        assert_eq!(decimal("19").percent_of(869), Some(165));
        assert_eq!(decimal("0.0119").times(decimal("1.085"), 6), Some(decimal("0.012912")));
        assert_eq!(decimal("1000000").times_quantity(u64::MAX, 9), None);
        assert_eq!(amount_text(5, 2), "0.05");
        assert_eq!(amount_text(1234, 0), "1234");
    }
}
