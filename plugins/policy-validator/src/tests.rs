//! What the plugin promises as a whole: each rule on a document that breaks it and on one that keeps it, the formats, the
//! errors, and that no document makes it panic.

#![allow(clippy::needless_pass_by_value, reason = "`json!` makes values, and a reference to each would only be noise")]

mod arbitrary;
mod aws;
mod azure;
mod formats;
mod gcp;

use serde_json::{Value, json};

use crate::bindings::exports::outrigger::policy_validator::policies::{Finding, Report, Severity, ValidateError};
use crate::custom;
use crate::report::{Selection, validate};
use crate::rule::built_in;

const ALL: Selection<'static> = Selection { minimum: Severity::Low, disabled: &[] };

fn report(document: &Value) -> Report {
    let tags = ["owner".to_owned()];
    validate(&document.to_string(), None, &built_in(), ALL, &tags)
        .unwrap_or_else(|error| panic!("{error:?}: {document}"))
}

fn of_rule(document: &Value, rule: &str) -> Vec<Finding> {
    let report = report(document);
    assert!(report.rules_applied.iter().any(|id| id == rule), "{rule} does not look at {document}");
    report.findings.into_iter().filter(|finding| finding.rule == rule).collect()
}

/// A document that breaks a rule, at `path`, and one that keeps it. The path must lead into the document, or to a place
/// where something is missing.
struct Case {
    rule: &'static str,
    broken: Value,
    path: &'static str,
    kept: Value,
}

fn check(cases: Vec<Case>, prefix: &str) {
    for Case { rule, broken, path, kept } in &cases {
        let findings = of_rule(broken, rule);
        let paths: Vec<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(paths, [*path], "{rule}: {broken}");
        assert!(
            !findings[0].message.is_empty() && !findings[0].remediation.is_empty() && !findings[0].resource.is_empty()
        );
        let findings = of_rule(kept, rule);
        assert!(findings.is_empty(), "{rule}: {kept}: {findings:?}");
    }
    for rule in built_in().iter().filter(|rule| rule.id.starts_with(prefix)) {
        assert!(cases.iter().any(|case| case.rule == rule.id), "{} has no test", rule.id);
    }
}

/// A CloudFormation template with the one resource `R`.
fn cloudformation(kind: &str, properties: Value) -> Value {
    json!({ "Resources": { "R": { "Type": kind, "Properties": properties } } })
}

/// An ARM template with one resource.
fn arm(kind: &str, properties: Value) -> Value {
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [{ "type": kind, "apiVersion": "2024-01-01", "name": "r", "properties": properties }],
    })
}

/// A Terraform plan with resources of the root module.
fn terraform(resources: &[(&str, Value)]) -> Value {
    let resource = |(index, (kind, values)): (usize, &(&str, Value))| json!({ "address": format!("{kind}.r{index}"), "mode": "managed", "type": kind, "values": values });
    let resources: Vec<Value> = resources.iter().enumerate().map(resource).collect();
    json!({ "format_version": "1.2", "planned_values": { "root_module": { "resources": resources } } })
}

#[test]
fn built_in_rules_are_complete() {
    let rules = built_in();
    for (index, rule) in rules.iter().enumerate() {
        assert!(rules[..index].iter().all(|other| other.id != rule.id), "{} stands twice", rule.id);
        assert!(!rule.targets.is_empty() && !rule.custom, "{}", rule.id);
        for text in [&rule.title, &rule.violation, &rule.description, &rule.remediation] {
            assert!(!text.is_empty() && !text.contains("  "), "{}: {text}", rule.id);
        }
    }
}

#[test]
fn custom_rules_are_rules() {
    let mut rules = built_in();
    let configured = json!([
        { "id": "acme-prefix", "severity": "critical", "resource-type": "AWS::S3::*", "path": "/Properties/BucketName",
          "condition": "matches-prefix", "value": "acme-", "message": "the name does not begin with acme-" },
        { "id": "acme-zones", "severity": "low", "provider": "gcp", "resource-type": "*", "path": "/zone",
          "condition": "one-of", "value": ["a"], "message": "the zone is not ours" },
        { "id": "acme-ports", "severity": "high", "resource-type": "AWS::EC2::SecurityGroup",
          "path": "/Properties/SecurityGroupIngress/*/FromPort", "condition": "equals", "value": 443, "message": "not 443" },
    ]);
    custom::add_to(&mut rules, configured.as_array().cloned().expect("a list")).expect("correct");
    let document = json!({ "Resources": {
        "B": { "Type": "AWS::S3::Bucket", "Properties": { "BucketName": "logs" } },
        "G": { "Type": "AWS::EC2::SecurityGroup", "Properties": { "SecurityGroupIngress": [{ "FromPort": 443 }, { "FromPort": 80 }, { "FromPort": 81 }] } },
    } });
    let report = validate(&document.to_string(), None, &rules, ALL, &[]).expect("a report");
    let found: Vec<(&str, &str, &str)> = report
        .findings
        .iter()
        .filter(|finding| finding.rule.starts_with("acme-"))
        .map(|finding| (finding.rule.as_str(), finding.path.as_str(), finding.message.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (
                "acme-prefix",
                "/Resources/B/Properties/BucketName",
                "the name does not begin with acme-: `BucketName` is `logs`, and is to begin with `acme-`"
            ),
            (
                "acme-ports",
                "/Resources/G/Properties/SecurityGroupIngress/1/FromPort",
                "not 443: `FromPort` is `80`, and is to be `443`"
            ),
            (
                "acme-ports",
                "/Resources/G/Properties/SecurityGroupIngress/2/FromPort",
                "not 443: `FromPort` is `81`, and is to be `443`"
            ),
        ]
    );
    assert!(!report.rules_applied.contains(&"acme-zones".to_owned()));
    let listed = rules.into_iter().last().expect("rules").describe();
    assert!(listed.custom && listed.resource_types == ["AWS::EC2::SecurityGroup"]);
}

#[test]
fn rules_are_selected() {
    let bucket = cloudformation("AWS::S3::Bucket", json!({})).to_string();
    let found = |minimum, disabled: &[&str], tags: &[&str]| {
        let disabled: Vec<String> = disabled.iter().map(|id| (*id).to_owned()).collect();
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let report = validate(&bucket, None, &built_in(), Selection { minimum, disabled: &disabled }, &tags);
        let report = report.expect("a report");
        assert_eq!(report.passed, report.findings.is_empty());
        report.findings.into_iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    let all = ["aws-s3-public-access", "aws-s3-encryption", "aws-s3-versioning", "aws-s3-logging"];
    assert_eq!(found(Severity::Low, &[], &[]), all);
    assert_eq!(found(Severity::Medium, &[], &[]), all[..3]);
    assert_eq!(found(Severity::High, &["aws-s3-public-access"], &[]), [""; 0]);
    assert_eq!(found(Severity::High, &[], &["owner"]), all[..1]);
    assert_eq!(found(Severity::Low, &all, &["owner", "cost"]), ["aws-required-tags"; 2]);
}

#[test]
fn an_unknown_rule_is_refused_with_those_meant() {
    let disabled = ["aws-s3-acces".to_owned()];
    let selection = Selection { minimum: Severity::Low, disabled: &disabled };
    let Err(ValidateError::UnknownRule(unknown)) = validate("{}", None, &built_in(), selection, &[]) else {
        panic!("refused");
    };
    assert_eq!(unknown.suggestions.len(), 3);
    assert!(unknown.suggestions[0].starts_with("aws-s3-"), "{unknown:?}");
}

#[test]
fn a_long_report_keeps_the_worst() {
    let group = json!({ "Type": "AWS::EC2::SecurityGroup", "Properties": { "SecurityGroupIngress": { "IpProtocol": "-1", "CidrIp": "0.0.0.0/0" } } });
    let resources: serde_json::Map<String, Value> = (0..1500)
        .map(|index| (format!("B{index}"), json!({ "Type": "AWS::S3::Bucket" })))
        .chain([("Group".to_owned(), group)])
        .collect();
    let report = report(&json!({ "Resources": resources }));
    assert_eq!((report.findings.len(), report.counts.critical, report.counts.high), (1000, 1, 1500));
    assert_eq!(report.findings[0].path, "/Resources/Group/Properties/SecurityGroupIngress/CidrIp");
    assert_eq!(report.resources_checked, 1501);
}

#[test]
fn the_template_of_the_s3_plugin_keeps_the_rules() {
    use aws_s3_template::{Options, generate};
    let template = generate(Options { bucket_name: "acme-logs".to_owned(), ..Options::default() }).expect("a template");
    let report = validate(&template.text, None, &built_in(), ALL, &[]).expect("a report");
    let found: Vec<&str> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(found, ["aws-s3-logging"], "only what the template's own remarks say");
    let logged = Options {
        bucket_name: "acme-logs".to_owned(),
        log_bucket: Some("acme-access".to_owned()),
        ..Options::default()
    };
    let template = generate(logged).expect("a template");
    assert!(validate(&template.text, None, &built_in(), ALL, &[]).expect("a report").passed);
}
