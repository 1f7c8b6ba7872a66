//! The price list: read from the configuration or built in, and checked as a whole before anything is quoted, so that
//! a mistake in it is told with its place and never turns into a wrong price.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::bindings::exports::outrigger::pricing::quotes::{BillingUnit, Commitment};
use crate::decimal::Decimal;

const BUILT_IN: &str = include_str!("price-list.json");

/// A checked price list.
#[derive(Debug)]
pub struct PriceList {
    pub version: String,
    pub currency: String,
    pub currencies: BTreeMap<String, Currency>,
    pub taxes: BTreeMap<String, Decimal>,
    commitments: Commitments,
    pub services: Vec<Service>,
}

#[derive(Debug)]
pub struct Currency {
    pub rate: Decimal,
    pub exponent: u8,
}

#[derive(Debug)]
struct Commitments {
    one_year: Decimal,
    three_years: Decimal,
}

#[derive(Debug)]
pub struct Service {
    pub id: String,
    pub name: String,
    pub category: String,
    pub description: String,
    pub unit: BillingUnit,
    pub tiers: Vec<Tier>,
}

/// The price of the units up to and including `up_to`; of all further units where it is none.
#[derive(Debug)]
pub struct Tier {
    pub up_to: Option<u64>,
    pub price: Decimal,
}

impl PriceList {
    /// The list that is used where none is configured.
    pub fn built_in() -> Result<PriceList, String> {
        let document: Document = serde_json::from_str(BUILT_IN).map_err(|error| error.to_string())?;
        PriceList::check(document)
    }

    /// A configured list. An error names the place in it.
    pub fn configured(value: serde_json::Value) -> Result<PriceList, String> {
        let document = Document::deserialize(value).map_err(|error| error.to_string())?;
        PriceList::check(document)
    }

    /// What a commitment takes off, in percent.
    pub fn commitment_percent(&self, commitment: Commitment) -> Option<Decimal> {
        match commitment {
            Commitment::None => None,
            Commitment::OneYear => Some(self.commitments.one_year),
            Commitment::ThreeYears => Some(self.commitments.three_years),
        }
    }

    fn check(document: Document) -> Result<PriceList, String> {
        let Document { version, currency, currencies, taxes, commitments, services } = document;
        let currencies = currencies
            .into_iter()
            .map(|(code, entry)| check_currency(&code, &entry).map(|currency| (code, currency)))
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        match currencies.get(&currency) {
            None => return Err(format!("currencies: the list's own currency `{currency}` is missing")),
            Some(own) if own.rate.to_string() != "1" => {
                return Err(format!("currencies.{currency}.rate: the list's own currency has the rate 1"));
            }
            Some(_) => {}
        }
        let taxes = taxes
            .into_iter()
            .map(|(region, percent)| Ok((region.clone(), percentage(&percent, &format!("taxes.{region}"))?)))
            .collect::<Result<BTreeMap<_, _>, String>>()?;
        let commitments = Commitments {
            one_year: percentage(&commitments.one_year, "commitments.one-year")?,
            three_years: percentage(&commitments.three_years, "commitments.three-years")?,
        };
        let mut checked: Vec<Service> = Vec::with_capacity(services.len());
        for (index, service) in services.into_iter().enumerate() {
            let service = check_service(service).map_err(|error| format!("services[{index}].{error}"))?;
            if checked.iter().any(|other| other.id == service.id) {
                return Err(format!("services[{index}].id: `{}` stands twice", service.id));
            }
            checked.push(service);
        }
        Ok(PriceList { version, currency, currencies, taxes, commitments, services: checked })
    }
}

fn check_currency(code: &str, entry: &CurrencyEntry) -> Result<Currency, String> {
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("currencies.{code}: a currency is an ISO 4217 code of three capital letters"));
    }
    let rate = Decimal::parse(&entry.rate).map_err(|error| format!("currencies.{code}.rate: {error}"))?;
    if rate.is_zero() {
        return Err(format!("currencies.{code}.rate: a rate is greater than zero"));
    }
    if entry.exponent > 4 {
        return Err(format!("currencies.{code}.exponent: at most 4"));
    }
    Ok(Currency { rate, exponent: entry.exponent })
}

fn percentage(text: &str, place: &str) -> Result<Decimal, String> {
    let percent = Decimal::parse(text).map_err(|error| format!("{place}: {error}"))?;
    if percent.at_most(100) { Ok(percent) } else { Err(format!("{place}: at most 100 percent")) }
}

fn check_service(entry: ServiceEntry) -> Result<Service, String> {
    let ServiceEntry { id, name, category, description, unit, tiers } = entry;
    let kebab = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || !id.bytes().all(kebab) {
        return Err(format!("id: `{id}` is not made of small letters, digits and hyphens"));
    }
    let last = tiers.len().checked_sub(1).ok_or("tiers: a service has at least one price")?;
    let mut reached = 0;
    let mut checked = Vec::with_capacity(tiers.len());
    for (index, TierEntry { up_to, price }) in tiers.into_iter().enumerate() {
        match up_to {
            Some(up_to) if up_to <= reached => {
                return Err(format!("tiers[{index}].up-to: {up_to} is not above the tier before it"));
            }
            Some(up_to) => reached = up_to,
            None if index < last => return Err(format!("tiers[{index}].up-to: only the last tier is open")),
            None => {}
        }
        let price = Decimal::parse(&price).map_err(|error| format!("tiers[{index}].price: {error}"))?;
        checked.push(Tier { up_to, price });
    }
    Ok(Service { id, name, category, description, unit: unit.into(), tiers: checked })
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Document {
    version: String,
    currency: String,
    currencies: BTreeMap<String, CurrencyEntry>,
    #[serde(default)]
    taxes: BTreeMap<String, String>,
    #[serde(default)]
    commitments: CommitmentsEntry,
    services: Vec<ServiceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CurrencyEntry {
    rate: String,
    exponent: u8,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct CommitmentsEntry {
    one_year: String,
    three_years: String,
}

impl Default for CommitmentsEntry {
    fn default() -> CommitmentsEntry {
        CommitmentsEntry { one_year: "0".to_owned(), three_years: "0".to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ServiceEntry {
    id: String,
    name: String,
    category: String,
    #[serde(default)]
    description: String,
    unit: UnitEntry,
    tiers: Vec<TierEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct TierEntry {
    #[serde(default)]
    up_to: Option<u64>,
    price: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum UnitEntry {
    Hour,
    Month,
    GigabyteMonth,
    Gigabyte,
    MillionRequests,
    UserMonth,
    OneTime,
}

impl From<UnitEntry> for BillingUnit {
    fn from(unit: UnitEntry) -> BillingUnit {
        match unit {
            UnitEntry::Hour => BillingUnit::Hour,
            UnitEntry::Month => BillingUnit::Month,
            UnitEntry::GigabyteMonth => BillingUnit::GigabyteMonth,
            UnitEntry::Gigabyte => BillingUnit::Gigabyte,
            UnitEntry::MillionRequests => BillingUnit::MillionRequests,
            UnitEntry::UserMonth => BillingUnit::UserMonth,
            UnitEntry::OneTime => BillingUnit::OneTime,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{BUILT_IN, PriceList};

    #[test]
    fn the_built_in_list_is_correct() {
        assert_eq!(PriceList::built_in().expect("correct").currency, "EUR");
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let cases: [(&str, Value, &str); 8] = [
            ("/currency", json!("XXX"), "currencies: the list's own currency `XXX` is missing"),
            ("/currencies/EUR/rate", json!("2"), "currencies.EUR.rate: the list's own currency has the rate 1"),
            ("/currencies/USD/rate", json!("0"), "currencies.USD.rate: a rate is greater than zero"),
            ("/currencies/USD/exponent", json!(9), "currencies.USD.exponent: at most 4"),
            ("/taxes/DE", json!("190"), "taxes.DE: at most 100 percent"),
            ("/services/1/id", json!("compute-small"), "services[1].id: `compute-small` stands twice"),
            ("/services/0/tiers/1/up-to", json!(5), "services[0].tiers[1].up-to: 5 is not above the tier before it"),
            ("/services/0/tiers/0/up-to", Value::Null, "services[0].tiers[0].up-to: only the last tier is open"),
        ];
        for (pointer, value, expected) in cases {
            let mut list: Value = serde_json::from_str(BUILT_IN).expect("JSON");
            *list.pointer_mut(pointer).expect("a place in the list") = value;
            assert_eq!(PriceList::configured(list).expect_err("wrong"), expected);
        }
    }
}
