//! `pricing`: quotations from a price list. The contract, with every type, stands in `wit/world.wit`.

use outrigger_sdk::{Check, Health, Lifecycle, Report, configuration};

mod decimal;
mod price_list;
mod quote;

mod bindings {
    #![allow(clippy::all, unreachable_pub, reason = "generated code")]
    wit_bindgen::generate!({ world: "pricing", additional_derives: [PartialEq] });
}

use bindings::exports::outrigger::pricing::quotes::{
    Commitment, Currency, Guest, Item, Quotation, QuoteError, Service, Tier,
};
use price_list::PriceList;
use quote::Terms;

struct Plugin;

impl Guest for Plugin {
    fn quote(
        service: String,
        quantity: u64,
        currency: Option<String>,
        tax_region: Option<String>,
        commitment: Option<Commitment>,
    ) -> Result<Quotation, QuoteError> {
        Plugin::quote_basket(vec![Item { service, quantity }], currency, tax_region, commitment)
    }

    fn quote_basket(
        items: Vec<Item>,
        currency: Option<String>,
        tax_region: Option<String>,
        commitment: Option<Commitment>,
    ) -> Result<Quotation, QuoteError> {
        let terms = Terms { currency: currency.as_deref(), tax_region: tax_region.as_deref(), commitment };
        quote::quote(&price_list()?, &items, terms)
    }

    fn services(category: Option<String>) -> Result<Vec<Service>, QuoteError> {
        let wanted = |service: &price_list::Service| category.as_ref().is_none_or(|name| *name == service.category);
        Ok(price_list()?.services.into_iter().filter(wanted).map(describe).collect())
    }

    fn currencies() -> Result<Vec<Currency>, QuoteError> {
        let PriceList { currency: own, currencies, .. } = price_list()?;
        let mut listed: Vec<Currency> = currencies
            .into_iter()
            .map(|(code, price_list::Currency { rate, exponent })| Currency { code, exponent, rate: rate.to_string() })
            .collect();
        listed.sort_by_key(|currency| currency.code != own);
        Ok(listed)
    }
}

impl Lifecycle for Plugin {
    fn initialize() -> Result<(), String> {
        match price_list() {
            Err(QuoteError::InvalidPriceList(reason)) => Err(reason),
            _ => Ok(()),
        }
    }
}

impl Health for Plugin {
    fn check() -> Report {
        Report::of(vec![match price_list() {
            Ok(list) => Check::healthy("price-list", format!("{} with {} services", list.version, list.services.len())),
            Err(QuoteError::InvalidPriceList(reason)) => Check::unhealthy("price-list", reason),
            Err(_) => Check::unhealthy("price-list", "the price list cannot be read"),
        }])
    }
}

fn price_list() -> Result<PriceList, QuoteError> {
    let configured =
        configuration::get("price-list").map_err(|error| QuoteError::InvalidPriceList(error.to_string()))?;
    match configured {
        Some(value) => PriceList::configured(value)
            .map_err(|error| QuoteError::InvalidPriceList(format!("configuration `price-list`: {error}"))),
        None => PriceList::built_in().map_err(QuoteError::InvalidPriceList),
    }
}

fn describe(service: price_list::Service) -> Service {
    let price_list::Service { id, name, category, description, unit, tiers } = service;
    let mut from_quantity = 1;
    let tiers = tiers
        .into_iter()
        .map(|price_list::Tier { up_to, price }| {
            let tier = Tier { from_quantity, to_quantity: up_to, unit_price: price.to_string() };
            from_quantity = up_to.map_or(from_quantity, |last| last + 1);
            tier
        })
        .collect();
    Service { id, name, description, category, billing: unit, tiers }
}

#[cfg(target_arch = "wasm32")]
bindings::export!(Plugin with_types_in bindings);

#[cfg(target_arch = "wasm32")]
outrigger_sdk::export_lifecycle!(Plugin);

#[cfg(target_arch = "wasm32")]
outrigger_sdk::export_health!(Plugin);
