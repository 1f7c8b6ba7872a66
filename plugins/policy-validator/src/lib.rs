//! `policy-validator`: security rules for cloud resources. The contract, with every type, stands in `wit/world.wit`.
//!
//! Text becomes JSON ([`syntax`]), JSON becomes resources ([`document`]), rules look at resources through [`node`], and
//! what they find becomes the [`report`]. A rule names types, paths and [`condition`]s; only where that is not enough it
//! is a function. The rules of an organisation ([`custom`]) are the same rules, read from the configuration.

use outrigger_sdk::{Check, Health, Lifecycle, Report as HealthReport, configuration};

mod syntax;

mod document;
mod node;

mod condition;
mod rule;

mod aws;
mod azure;
mod gcp;
mod iam;
mod network;
mod tags;

mod custom;

mod report;

mod bindings {
    #![allow(clippy::all, unreachable_pub, reason = "generated code")]
    wit_bindgen::generate!({ world: "policy-validator", additional_derives: [PartialEq] });
}

use bindings::exports::outrigger::policy_validator::policies::{
    DocumentFormat, Guest, Provider, Report, Rule as ListedRule, RulesError, Severity, ValidateError,
};
use report::Selection;
use rule::Rule;

struct Plugin;

impl Guest for Plugin {
    fn validate(
        document: String,
        format: Option<DocumentFormat>,
        minimum_severity: Option<Severity>,
        disabled_rules: Option<Vec<String>>,
        required_tags: Option<Vec<String>>,
    ) -> Result<Report, ValidateError> {
        let rules = all_rules().map_err(ValidateError::InvalidConfiguration)?;
        let required_tags = match required_tags {
            Some(tags) => tags,
            None => configured_tags().map_err(ValidateError::InvalidConfiguration)?,
        };
        let disabled = disabled_rules.unwrap_or_default();
        let selection = Selection { minimum: minimum_severity.unwrap_or(Severity::Low), disabled: &disabled };
        report::validate(&document, format, &rules, selection, &required_tags)
    }

    fn rules(provider: Option<Provider>) -> Result<Vec<ListedRule>, RulesError> {
        let rules = all_rules().map_err(RulesError::InvalidConfiguration)?;
        let wanted = |rule: &Rule| provider.is_none() || rule.provider.is_none() || rule.provider == provider;
        Ok(rules.into_iter().filter(wanted).map(Rule::describe).collect())
    }
}

impl Lifecycle for Plugin {
    fn initialize() -> Result<(), String> {
        all_rules()?;
        configured_tags()?;
        Ok(())
    }
}

impl Health for Plugin {
    fn check() -> HealthReport {
        HealthReport::of(vec![match all_rules() {
            Ok(rules) => {
                let custom = rules.iter().filter(|rule| rule.custom).count();
                Check::healthy("rules", format!("{} built in, {custom} configured", rules.len() - custom))
            }
            Err(reason) => Check::unhealthy("rules", reason),
        }])
    }
}

/// The built-in rules and the configured ones.
fn all_rules() -> Result<Vec<Rule>, String> {
    let configured = configuration::get("rules").map_err(|error| error.to_string())?;
    let mut rules = rule::built_in();
    custom::add_to(&mut rules, configured.unwrap_or_default())?;
    Ok(rules)
}

fn configured_tags() -> Result<Vec<String>, String> {
    let configured = configuration::get("required-tags").map_err(|error| error.to_string())?;
    Ok(configured.unwrap_or_default())
}

#[cfg(target_arch = "wasm32")]
bindings::export!(Plugin with_types_in bindings);

#[cfg(target_arch = "wasm32")]
outrigger_sdk::export_lifecycle!(Plugin);

#[cfg(target_arch = "wasm32")]
outrigger_sdk::export_health!(Plugin);

#[cfg(test)]
mod tests;
