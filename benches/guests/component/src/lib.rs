//! The function as a component: types in, types out.

wit_bindgen::generate!({ world: "peer" });

use exports::outrigger::peer::orders::{Guest, Item, Line, Order, Quotation};

struct Peer;

impl Guest for Peer {
    fn quote(order: Order) -> Quotation {
        let Order { customer, currency, items, note } = order;
        let line = |Item { sku, quantity, unit_cents, fragile }: Item| Line {
            sku,
            total_cents: rule::line_total(quantity, unit_cents, fragile),
            packaging: rule::packaging(quantity, fragile).to_owned(),
        };
        let lines: Vec<Line> = items.into_iter().map(line).collect();
        let net_cents = lines.iter().map(|line| line.total_cents).sum();
        let tax_cents = rule::tax(net_cents);
        Quotation { customer, currency, lines, net_cents, tax_cents, gross_cents: net_cents + tax_cents, note }
    }

    fn echo(data: Vec<u8>) -> Vec<u8> {
        data
    }
}

export!(Peer);
