//! What a rule is, and how it looks at a resource.

use std::borrow::Cow;

use crate::bindings::exports::outrigger::policy_validator::policies::{Provider, Rule as ListedRule, Severity};
use crate::condition::Condition;
use crate::document::{Document, Resource};
use crate::{aws, azure, gcp, tags};

pub type Text = Cow<'static, str>;

/// A rule, built in or configured.
pub struct Rule {
    pub id: Text,
    pub provider: Option<Provider>,
    pub severity: Severity,
    /// What it wants.
    pub title: Text,
    /// What is wrong where a condition does not hold.
    pub violation: Text,
    pub description: Text,
    pub remediation: Text,
    pub custom: bool,
    pub targets: Vec<Target>,
}

/// A type of resource, and what is to hold for it.
pub struct Target {
    /// `*` stands for any characters.
    pub kind: Text,
    /// Only resources for which this holds.
    pub when: Option<Expected>,
    pub check: Check,
}

/// A path within a resource, and what is to hold there.
pub type Expected = (Text, Condition);

pub enum Check {
    /// All hold.
    All(Vec<Expected>),
    /// At least one holds.
    Any(Vec<Expected>),
    /// Terraform: the bucket says it itself, or a resource of its own says it for the bucket.
    Attached { inline: Option<Expected>, kind: &'static str, expected: Vec<Expected> },
    /// What paths and conditions cannot say.
    Code(fn(&Resource<'_>) -> Vec<Violation>),
    /// The tags that the caller requires.
    Tags,
}

/// One thing that is wrong, and where.
#[derive(Debug, PartialEq)]
pub struct Violation {
    pub pointer: String,
    pub message: String,
}

/// What a rule is checked against.
pub struct Context<'c, 'a> {
    pub document: &'c Document<'a>,
    pub required_tags: &'c [String],
}

/// The rules that the plugin brings along.
pub fn built_in() -> Vec<Rule> {
    let mut rules = aws::rules();
    rules.extend(azure::rules());
    rules.extend(gcp::rules());
    rules
}

pub fn at(kind: &'static str, path: &'static str, condition: Condition) -> Target {
    all(kind, vec![(path, condition)])
}

pub fn all(kind: &'static str, expected: Vec<(&'static str, Condition)>) -> Target {
    target(kind, Check::All(texts(expected)))
}

pub fn any(kind: &'static str, expected: Vec<(&'static str, Condition)>) -> Target {
    target(kind, Check::Any(texts(expected)))
}

pub fn code(kind: &'static str, check: fn(&Resource<'_>) -> Vec<Violation>) -> Target {
    target(kind, Check::Code(check))
}

pub fn target(kind: &'static str, check: Check) -> Target {
    Target { kind: kind.into(), when: None, check }
}

pub fn texts(expected: Vec<(&'static str, Condition)>) -> Vec<Expected> {
    expected.into_iter().map(|(path, condition)| (Text::Borrowed(path), condition)).collect()
}

impl Target {
    /// Only resources for which `condition` holds at `path`.
    pub fn when(self, path: &'static str, condition: Condition) -> Target {
        Target { when: Some((path.into(), condition)), ..self }
    }
}

impl Rule {
    /// The targets that a resource is one of.
    pub fn targets_of<'r>(&'r self, resource: &Resource<'_>) -> impl Iterator<Item = &'r Target> {
        let same_provider = self.provider.is_none() || self.provider == resource.provider;
        self.targets.iter().filter(move |target| same_provider && matches(&target.kind, &resource.kind))
    }

    /// What is wrong with a resource that is one of the target's.
    pub fn violations(&self, target: &Target, resource: &Resource<'_>, context: &Context<'_, '_>) -> Vec<Violation> {
        if let Some(condition) = &target.when
            && !broken(resource, condition).is_empty()
        {
            return Vec::new();
        }
        match &target.check {
            Check::All(expected) => {
                let broken: Vec<Violation> = expected.iter().flat_map(|expected| broken(resource, expected)).collect();
                if expected.len() == 1 {
                    broken.into_iter().map(|one| self.explained(vec![one])).collect()
                } else {
                    self.once(broken)
                }
            }
            Check::Any(expected) => {
                let broken: Vec<Vec<Violation>> = expected.iter().map(|expected| broken(resource, expected)).collect();
                if broken.iter().any(Vec::is_empty) {
                    return Vec::new();
                }
                self.once(broken.into_iter().next().unwrap_or_default())
            }
            Check::Attached { inline, kind, expected } => {
                self.attached(resource, context, inline.as_ref(), kind, expected)
            }
            Check::Code(check) => check(resource),
            Check::Tags => tags::missing(resource, context.document.format, context.required_tags),
        }
    }

    fn attached(
        &self,
        bucket: &Resource<'_>,
        context: &Context<'_, '_>,
        inline: Option<&Expected>,
        kind: &'static str,
        expected: &[Expected],
    ) -> Vec<Violation> {
        if let Some((path, condition)) = inline
            && bucket.body.find(path).iter().all(|node| condition.is_certain(node))
        {
            return Vec::new();
        }
        let mut broken_there = None;
        for other in context.document.attached(bucket, kind) {
            let broken: Vec<Violation> = expected.iter().flat_map(|expected| broken(other, expected)).collect();
            if broken.is_empty() {
                return broken;
            }
            broken_there.get_or_insert(broken);
        }
        self.once(broken_there.unwrap_or_else(|| {
            vec![Violation { pointer: bucket.body.pointer.clone(), message: format!("it has no `{kind}`") }]
        }))
    }

    /// One violation for all that is wrong, where the first of it is.
    fn once(&self, broken: Vec<Violation>) -> Vec<Violation> {
        if broken.is_empty() { broken } else { vec![self.explained(broken)] }
    }

    fn explained(&self, broken: Vec<Violation>) -> Violation {
        let details: Vec<&str> = broken.iter().map(|violation| violation.message.as_str()).collect();
        let message = format!("{}: {}", self.violation, details.join("; "));
        let pointer = broken.into_iter().next().map(|violation| violation.pointer).unwrap_or_default();
        Violation { pointer, message }
    }

    /// The rule as it is listed.
    pub fn describe(self) -> ListedRule {
        let Rule { id, provider, severity, title, violation: _, description, remediation, custom, targets } = self;
        let mut resource_types: Vec<String> = Vec::new();
        for target in targets {
            if !resource_types.iter().any(|kind| *kind == target.kind) {
                resource_types.push(target.kind.into_owned());
            }
        }
        ListedRule {
            id: id.into_owned(),
            provider,
            severity,
            title: title.into_owned(),
            description: description.into_owned(),
            remediation: remediation.into_owned(),
            resource_types,
            custom,
        }
    }
}

fn broken(resource: &Resource<'_>, (path, condition): &Expected) -> Vec<Violation> {
    let places = resource.body.find(path);
    let broken = |node: &crate::node::Node<'_>| {
        Some(Violation { pointer: node.pointer.clone(), message: condition.broken(node)? })
    };
    places.iter().filter_map(broken).collect()
}

/// Whether a type fits a pattern in which `*` stands for any characters. Azure does not distinguish capitals.
pub fn matches(pattern: &str, kind: &str) -> bool {
    let (pattern, kind) = (pattern.as_bytes(), kind.as_bytes());
    let (mut at, mut reached) = (0, 0);
    // Where to go on when what follows the last `*` does not fit.
    let mut retry = None;
    while reached < kind.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, reached));
                at += 1;
            }
            Some(byte) if byte.eq_ignore_ascii_case(&kind[reached]) => {
                at += 1;
                reached += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    at = after;
                    reached = from + 1;
                    retry = Some((after, reached));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, kind, expected) in [
            ("AWS::S3::Bucket", "AWS::S3::Bucket", true),
            ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", false),
            ("AWS::S3::*", "AWS::S3::BucketPolicy", true),
            ("microsoft.storage/*", "Microsoft.Storage/storageAccounts", true),
            ("*", "", true),
            ("", "x", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("**", "x", true),
            ("*x", "xyx", true),
        ] {
            assert_eq!(matches(pattern, kind), expected, "{pattern} {kind}");
        }
    }
}
