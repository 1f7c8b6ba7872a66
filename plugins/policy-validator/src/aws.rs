//! Rules for Amazon Web Services.

mod access;
mod audit;
mod data;
mod storage;
mod tls;

use crate::bindings::exports::outrigger::policy_validator::policies::{Provider, Severity};
use crate::rule::{Check, Rule, target};

pub fn rules() -> Vec<Rule> {
    let mut rules = storage::rules();
    rules.extend(data::rules());
    rules.extend(audit::rules());
    rules.extend(access::rules());
    rules.push(tls::minimum());
    rules.push(Rule {
        targets: ["AWS::*", "aws_*"].map(|kind| target(kind, Check::Tags)).into(),
        ..rule(
            "aws-required-tags",
            Severity::Medium,
            "Resources have the required tags",
            "a tag is missing",
            "Looks for the tags that the call or the configuration requires, on the resources that take tags. Without \
             them nobody knows whose a resource is and what it costs whom.",
            "Add the tag, or set it once in the provider's `default_tags` or for the whole stack.",
        )
    });
    rules
}

fn rule(
    id: &'static str,
    severity: Severity,
    title: &'static str,
    violation: &'static str,
    description: &'static str,
    remediation: &'static str,
) -> Rule {
    Rule {
        id: id.into(),
        provider: Some(Provider::Aws),
        severity,
        title: title.into(),
        violation: violation.into(),
        description: description.into(),
        remediation: remediation.into(),
        custom: false,
        targets: Vec::new(),
    }
}
