//! What both guests compute, so that they differ in nothing but how arguments come in and results go out.

/// The price of a line, in cents.
pub fn line_total(quantity: u32, unit_cents: u64, fragile: bool) -> u64 {
    let surcharge = if fragile { 150 } else { 0 };
    u64::from(quantity) * unit_cents + surcharge
}

/// How a line is packed.
pub fn packaging(quantity: u32, fragile: bool) -> &'static str {
    match (fragile, quantity) {
        (true, _) => "padded crate",
        (false, 1..=9) => "box",
        (false, _) => "pallet",
    }
}

/// The tax on a net amount, in cents.
pub fn tax(net_cents: u64) -> u64 {
    net_cents * 19 / 100
}
