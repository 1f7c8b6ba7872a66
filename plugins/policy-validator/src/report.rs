//! From a text to a report: reads it, lets every rule that is wanted look at every resource, sorts and counts.

use std::collections::BTreeSet;

use crate::bindings::exports::outrigger::policy_validator::policies::{
    DocumentFormat, Finding, Report, Severity, SeverityCounts, TooLarge, UnknownRule, ValidateError,
};
use crate::document::{Document, Resource};
use crate::rule::{Check, Context, Rule, Violation};
use crate::syntax;

const MAX_DOCUMENT: usize = 8 * 1024 * 1024;
const MAX_FINDINGS: usize = 1000;
const MAX_SUGGESTIONS: usize = 3;

/// Which rules are wanted.
#[derive(Clone, Copy)]
pub struct Selection<'s> {
    pub minimum: Severity,
    pub disabled: &'s [String],
}

/// Checks a document.
pub fn validate(
    text: &str,
    format: Option<DocumentFormat>,
    rules: &[Rule],
    selection: Selection<'_>,
    required_tags: &[String],
) -> Result<Report, ValidateError> {
    if text.len() > MAX_DOCUMENT {
        return Err(ValidateError::TooLarge(TooLarge { size: text.len() as u64, maximum: MAX_DOCUMENT as u64 }));
    }
    for id in selection.disabled {
        if !rules.iter().any(|rule| rule.id == *id) {
            return Err(ValidateError::UnknownRule(unknown_rule(id, rules)));
        }
    }
    let root = syntax::parse(text).map_err(ValidateError::NotParsable)?;
    let document = Document::read(&root, format).map_err(ValidateError::UnrecognisedDocument)?;
    let wanted: Vec<&Rule> = rules.iter().filter(|rule| is_wanted(rule, selection, required_tags)).collect();
    Ok(report(&document, &wanted, required_tags))
}

fn is_wanted(rule: &Rule, selection: Selection<'_>, required_tags: &[String]) -> bool {
    let for_tags = rule.targets.iter().all(|target| matches!(target.check, Check::Tags));
    rank(rule.severity) >= rank(selection.minimum)
        && !selection.disabled.iter().any(|id| *id == rule.id)
        && !(for_tags && required_tags.is_empty())
}

fn report(document: &Document<'_>, rules: &[&Rule], required_tags: &[String]) -> Report {
    let context = Context { document, required_tags };
    let mut applied = BTreeSet::new();
    let mut findings = Vec::new();
    let mut counts = SeverityCounts { critical: 0, high: 0, medium: 0, low: 0 };
    let (mut checked, mut not_covered) = (0, 0);
    for resource in &document.resources {
        let mut covered = false;
        for rule in rules {
            for target in rule.targets_of(resource) {
                covered = true;
                applied.insert(rule.id.as_ref());
                for violation in rule.violations(target, resource, &context) {
                    count(&mut counts, rule.severity);
                    findings.push((*rule, resource, violation));
                }
            }
        }
        if covered { checked += 1 } else { not_covered += 1 }
    }
    // A stable sort: within a severity the order of the document stays.
    findings.sort_by_key(|(rule, ..)| std::cmp::Reverse(rank(rule.severity)));
    findings.truncate(MAX_FINDINGS);
    Report {
        passed: findings.is_empty(),
        format: document.format,
        findings: findings.into_iter().map(|(rule, resource, violation)| finding(rule, resource, violation)).collect(),
        counts,
        resources_checked: checked,
        resources_not_covered: not_covered,
        rules_applied: applied.into_iter().map(str::to_owned).collect(),
    }
}

fn finding(rule: &Rule, resource: &Resource<'_>, Violation { pointer, message }: Violation) -> Finding {
    Finding {
        rule: rule.id.clone().into_owned(),
        severity: rule.severity,
        message,
        remediation: rule.remediation.clone().into_owned(),
        resource: resource.name.clone(),
        resource_type: resource.kind.clone().into_owned(),
        provider: resource.provider,
        path: pointer,
    }
}

fn count(counts: &mut SeverityCounts, severity: Severity) {
    *match severity {
        Severity::Critical => &mut counts.critical,
        Severity::High => &mut counts.high,
        Severity::Medium => &mut counts.medium,
        Severity::Low => &mut counts.low,
    } += 1;
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Low => 0,
        Severity::Medium => 1,
        Severity::High => 2,
        Severity::Critical => 3,
    }
}

fn unknown_rule(id: &str, rules: &[Rule]) -> UnknownRule {
    let short: String = id.chars().take(100).collect();
    let mut similar: Vec<(f64, &str)> =
        rules.iter().map(|rule| (strsim::jaro_winkler(&short, &rule.id), rule.id.as_ref())).collect();
    similar.retain(|(similarity, _)| *similarity > 0.75);
    similar.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    let suggestions = similar.into_iter().take(MAX_SUGGESTIONS).map(|(_, id)| id.to_owned());
    UnknownRule { rule: short, suggestions: suggestions.collect() }
}
