//! The function as an extism plugin, written the way extism's own guide writes one: JSON in, JSON out.

use extism_pdk::{FnResult, Json, plugin_fn};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Item {
    sku: String,
    quantity: u32,
    unit_cents: u64,
    fragile: bool,
}

#[derive(Deserialize)]
struct Order {
    customer: String,
    currency: String,
    items: Vec<Item>,
    note: Option<String>,
}

/// The arguments by name, as the other guest is given them.
#[derive(Deserialize)]
struct Arguments {
    order: Order,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line {
    sku: String,
    total_cents: u64,
    packaging: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Quotation {
    customer: String,
    currency: String,
    lines: Vec<Line>,
    net_cents: u64,
    tax_cents: u64,
    gross_cents: u64,
    note: Option<String>,
}

#[plugin_fn]
pub fn quote(Json(arguments): Json<Arguments>) -> FnResult<Json<Quotation>> {
    let Order { customer, currency, items, note } = arguments.order;
    let line = |Item { sku, quantity, unit_cents, fragile }: Item| Line {
        sku,
        total_cents: rule::line_total(quantity, unit_cents, fragile),
        packaging: rule::packaging(quantity, fragile).to_owned(),
    };
    let lines: Vec<Line> = items.into_iter().map(line).collect();
    let net_cents = lines.iter().map(|line| line.total_cents).sum();
    let tax_cents = rule::tax(net_cents);
    Ok(Json(Quotation { customer, currency, lines, net_cents, tax_cents, gross_cents: net_cents + tax_cents, note }))
}
