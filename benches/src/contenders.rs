//! Who competes. All are given the same order and give the same quotation; that is checked before anything is measured.

pub mod bare;
pub mod extism;
pub mod outrigger;

/// The arguments of the function, as JSON.
pub const ARGUMENTS: &str = r#"{"order":{"customer":"Fjord & Sons","currency":"EUR","items":[{"sku":"OAR-210","quantity":4,"unit-cents":8990,"fragile":false},{"sku":"LAMP-7","quantity":1,"unit-cents":12450,"fragile":true},{"sku":"ROPE-12","quantity":25,"unit-cents":310,"fragile":false}],"note":"deliver to the boathouse"}}"#;

/// What it answers.
pub const ANSWER: &str = r#"{"customer":"Fjord & Sons","currency":"EUR","lines":[{"sku":"OAR-210","total-cents":35960,"packaging":"box"},{"sku":"LAMP-7","total-cents":12600,"packaging":"padded crate"},{"sku":"ROPE-12","total-cents":7750,"packaging":"pallet"}],"net-cents":56310,"tax-cents":10698,"gross-cents":67008,"note":"deliver to the boathouse"}"#;

/// The bytes that are given back.
pub fn payload() -> Vec<u8> {
    (0..64_u32 << 10).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
