//! From items to a quotation. Pure: the price list comes in, the quotation goes out.

use crate::bindings::exports::outrigger::pricing::quotes::{
    BillingUnit, Commitment, Discount, Item, LineItem, Money, QuantityOutOfRange, Quotation, QuoteError, Tax,
    UnknownService, Unsupported,
};
use crate::decimal::{Decimal, amount_text};
use crate::price_list::{PriceList, Service};

const LARGEST_QUANTITY: u64 = 1_000_000_000;
const LARGEST_BASKET: usize = 1000;
/// Unit prices are converted to this many places, and the converted price is what is multiplied: a reader can follow.
const UNIT_PRICE_PLACES: u32 = 6;

/// What a quotation depends on besides its items.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    pub currency: Option<&'a str>,
    pub tax_region: Option<&'a str>,
    pub commitment: Option<Commitment>,
}

/// The currency of one quotation: what turns numbers into amounts.
struct Denomination {
    code: String,
    exponent: u8,
    rate: Decimal,
}

impl Denomination {
    fn money(&self, minor_units: u64) -> Money {
        Money {
            currency: self.code.clone(),
            minor_units,
            exponent: self.exponent,
            text: amount_text(minor_units, self.exponent),
        }
    }
}

/// Quotes `items` under `terms`.
pub fn quote(list: &PriceList, items: &[Item], terms: Terms<'_>) -> Result<Quotation, QuoteError> {
    if items.is_empty() {
        return Err(QuoteError::NothingToQuote);
    }
    if items.len() > LARGEST_BASKET {
        return Err(QuoteError::AmountTooLarge);
    }
    let denomination = denomination(list, terms.currency)?;
    let tax_rate = terms.tax_region.map(|region| tax_rate(list, region)).transpose()?;

    let mut lines = Vec::new();
    for item in items {
        lines.extend(item_lines(list, item, &denomination)?);
    }
    let subtotal = sum(lines.iter().map(|line| line.amount.minor_units))?;

    let discount_rate = terms
        .commitment
        .and_then(|commitment| list.commitment_percent(commitment).map(|percent| (commitment, percent)));
    let taken_off = match discount_rate {
        Some((_, percent)) => percent.percent_of(subtotal).ok_or(QuoteError::AmountTooLarge)?,
        None => 0,
    };
    let net = subtotal - taken_off.min(subtotal);
    let added = match &tax_rate {
        Some((_, percent)) => percent.percent_of(net).ok_or(QuoteError::AmountTooLarge)?,
        None => 0,
    };
    let total = sum([net, added].into_iter())?;

    Ok(Quotation {
        price_list: list.version.clone(),
        currency: denomination.code.clone(),
        lines,
        subtotal: denomination.money(subtotal),
        discount: discount_rate.map(|(commitment, percent)| Discount {
            commitment,
            percent: percent.to_string(),
            amount: denomination.money(taken_off),
        }),
        net: denomination.money(net),
        tax: tax_rate.map(|(region, percent)| Tax {
            region,
            percent: percent.to_string(),
            amount: denomination.money(added),
        }),
        total: denomination.money(total),
    })
}

/// The lines of one item: one for each tier that it reaches.
fn item_lines(list: &PriceList, item: &Item, denomination: &Denomination) -> Result<Vec<LineItem>, QuoteError> {
    let service = find(list, &item.service)?;
    let maximum = match service.tiers.last().and_then(|tier| tier.up_to) {
        Some(last) => last.min(LARGEST_QUANTITY),
        None => LARGEST_QUANTITY,
    };
    if item.quantity == 0 || item.quantity > maximum {
        return Err(QuoteError::QuantityOutOfRange(QuantityOutOfRange {
            service: service.id.clone(),
            quantity: item.quantity,
            minimum: 1,
            maximum,
        }));
    }
    let mut lines = Vec::new();
    let mut charged = 0;
    for tier in &service.tiers {
        let reached = tier.up_to.unwrap_or(maximum).min(item.quantity);
        let quantity = reached - charged;
        let unit_price = tier.price.times(denomination.rate, UNIT_PRICE_PLACES).ok_or(QuoteError::AmountTooLarge)?;
        let amount = unit_price.times_quantity(quantity, denomination.exponent).ok_or(QuoteError::AmountTooLarge)?;
        lines.push(LineItem {
            service: service.id.clone(),
            description: line_description(service, charged + 1, reached),
            quantity,
            billing: service.unit,
            unit_price: unit_price.to_string(),
            amount: denomination.money(amount),
        });
        charged = reached;
        if charged == item.quantity {
            break;
        }
    }
    Ok(lines)
}

fn line_description(service: &Service, first: u64, last: u64) -> String {
    let unit = match service.unit {
        BillingUnit::Hour => "hours",
        BillingUnit::Month => "months",
        BillingUnit::GigabyteMonth => "GiB-months",
        BillingUnit::Gigabyte => "GiB",
        BillingUnit::MillionRequests => "million requests",
        BillingUnit::UserMonth => "user-months",
        BillingUnit::OneTime => "times",
    };
    match service.tiers.len() {
        1 => format!("{}, {last} {unit}", service.name),
        _ => format!("{}, {unit} {first} to {last}", service.name),
    }
}

fn denomination(list: &PriceList, code: Option<&str>) -> Result<Denomination, QuoteError> {
    let code = code.unwrap_or(&list.currency).to_ascii_uppercase();
    match list.currencies.get(&code) {
        Some(currency) => Ok(Denomination { exponent: currency.exponent, rate: currency.rate, code }),
        None => Err(QuoteError::UnsupportedCurrency(Unsupported {
            value: code,
            supported: list.currencies.keys().cloned().collect(),
        })),
    }
}

fn tax_rate(list: &PriceList, region: &str) -> Result<(String, Decimal), QuoteError> {
    let region = region.to_ascii_uppercase();
    match list.taxes.get(&region) {
        Some(percent) => Ok((region, *percent)),
        None => Err(QuoteError::UnknownTaxRegion(Unsupported {
            value: region,
            supported: list.taxes.keys().cloned().collect(),
        })),
    }
}

fn find<'a>(list: &'a PriceList, id: &str) -> Result<&'a Service, QuoteError> {
    let wanted = id.to_ascii_lowercase();
    list.services.iter().find(|service| service.id == wanted).ok_or_else(|| {
        let mut similar: Vec<(f64, &str)> = list
            .services
            .iter()
            .map(|service| {
                let by_id = strsim::jaro_winkler(&wanted, &service.id);
                let by_name = strsim::jaro_winkler(&wanted, &service.name.to_lowercase());
                let part = if wanted.len() >= 3 && service.id.contains(&wanted) { 0.9 } else { 0.0 };
                (by_id.max(by_name).max(part), service.id.as_str())
            })
            .filter(|(score, _)| *score >= 0.75)
            .collect();
        similar.sort_by(|one, other| other.0.total_cmp(&one.0));
        QuoteError::UnknownService(UnknownService {
            service: id.to_owned(),
            suggestions: similar.into_iter().take(3).map(|(_, id)| id.to_owned()).collect(),
        })
    })
}

fn sum(mut amounts: impl Iterator<Item = u64>) -> Result<u64, QuoteError> {
    amounts.try_fold(0_u64, u64::checked_add).ok_or(QuoteError::AmountTooLarge)
}

#[cfg(test)]
mod tests {
    use super::{Terms, quote};
    use crate::bindings::exports::outrigger::pricing::quotes::{Commitment, Item, Quotation, QuoteError};
    use crate::price_list::PriceList;

    fn of(service: &str, quantity: u64, terms: Terms<'_>) -> Result<Quotation, QuoteError> {
        let list = PriceList::built_in().expect("correct");
        quote(&list, &[Item { service: service.to_owned(), quantity }], terms)
    }

    #[test]
    fn each_tier_is_a_line_and_the_sums_follow() {
        let terms = Terms { tax_region: Some("de"), commitment: Some(Commitment::OneYear), ..Terms::default() };
        let quotation = of("compute-small", 1000, terms).expect("a quotation");
        let lines: Vec<_> = quotation
            .lines
            .iter()
            .map(|line| (line.quantity, line.unit_price.as_str(), line.amount.text.as_str()))
            .collect();
        assert_eq!(lines, [(730, "0.0119", "8.69"), (270, "0.0107", "2.89")]);
        assert_eq!(quotation.lines[1].description, "Compute, small, hours 731 to 1000");
        assert_eq!(quotation.subtotal.text, "11.58");
        assert_eq!(quotation.discount.expect("a discount").amount.text, "1.16");
        assert_eq!(quotation.net.text, "10.42");
        assert_eq!(quotation.tax.expect("a tax").amount.text, "1.98");
        assert_eq!(quotation.total.text, "12.40");
    }

    #[test]
    fn currencies_keep_their_own_exponent() {
        for (currency, expected) in [("EUR", "5.39"), ("usd", "5.85"), ("JPY", "881"), ("KWD", "1.795")] {
            let terms = Terms { currency: Some(currency), ..Terms::default() };
            assert_eq!(of("load-balancer", 1, terms).expect("a quotation").total.text, expected, "{currency}");
        }
    }

    #[test]
    fn no_commitment_is_no_discount() {
        let terms = Terms { commitment: Some(Commitment::None), ..Terms::default() };
        assert!(of("backup", 1, terms).expect("a quotation").discount.is_none());
    }

    #[test]
    fn what_cannot_be_quoted_says_what_can() {
        let Err(QuoteError::UnknownService(unknown)) = of("compute-smal", 1, Terms::default()) else {
            panic!("an unknown service");
        };
        assert_eq!(unknown.suggestions[0], "compute-small");
        let terms = Terms { currency: Some("XAU"), ..Terms::default() };
        let Err(QuoteError::UnsupportedCurrency(unsupported)) = of("backup", 1, terms) else {
            panic!("an unsupported currency");
        };
        assert!(unsupported.supported.contains(&"EUR".to_owned()));
        for quantity in [0, 1_000_000_001, u64::MAX] {
            assert!(matches!(of("backup", quantity, Terms::default()), Err(QuoteError::QuantityOutOfRange(_))));
        }
        let list = PriceList::built_in().expect("correct");
        assert!(matches!(quote(&list, &[], Terms::default()), Err(QuoteError::NothingToQuote)));
    }

    #[test]
    fn the_largest_quotation_is_exact() {
        let quotation = of("migration-workshop", 1_000_000_000, Terms::default()).expect("a quotation");
        assert_eq!(quotation.total.text, "2400000000000.00");
    }
}
