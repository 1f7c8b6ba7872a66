//! The rules of an organisation, read from the plugin's configuration. All are checked before any is used, so that a
//! mistake is told with its place and never turns into a rule that finds nothing.

use serde::Deserialize;
use serde_json::Value;

use crate::bindings::exports::outrigger::policy_validator::policies::{Provider, Severity};
use crate::condition::Condition;
use crate::rule::{Check, Rule, Target};

/// One entry of `rules` in the configuration.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Entry {
    id: String,
    title: Option<String>,
    severity: SeverityEntry,
    provider: Option<ProviderEntry>,
    resource_type: String,
    path: String,
    condition: ConditionEntry,
    value: Option<Value>,
    message: String,
    remediation: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SeverityEntry {
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ProviderEntry {
    Aws,
    Azure,
    Gcp,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ConditionEntry {
    Exists,
    Absent,
    Equals,
    NotEquals,
    OneOf,
    NoneOf,
    MatchesPrefix,
    MatchesSuffix,
    Contains,
    AtLeast,
    AtMost,
}

/// Adds the configured rules to the built-in ones.
///
/// # Errors
/// What is wrong with one of them, where, and what would be right.
pub fn add_to(rules: &mut Vec<Rule>, configured: Vec<Value>) -> Result<(), String> {
    for (index, entry) in configured.into_iter().enumerate() {
        let place = format!("configuration `rules[{index}]`");
        let entry = Entry::deserialize(entry).map_err(|error| format!("{place}: {error}"))?;
        let rule = rule(entry).map_err(|error| format!("{place}.{error}"))?;
        if let Some(other) = rules.iter().find(|other| other.id == rule.id) {
            let whose = if other.custom { "another rule" } else { "a built-in rule" };
            return Err(format!("{place}.id: `{}` is the id of {whose}; choose one of its own", rule.id));
        }
        rules.push(rule);
    }
    Ok(())
}

fn rule(entry: Entry) -> Result<Rule, String> {
    let Entry { id, title, severity, provider, resource_type, path, condition, value, message, remediation } = entry;
    let kebab = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || !id.bytes().all(kebab) {
        return Err(format!("id: `{id}` is not made of small letters, digits and hyphens"));
    }
    if resource_type.is_empty() {
        return Err("resource-type: name a type, such as `AWS::S3::Bucket`; `*` stands for any".to_owned());
    }
    if !path.starts_with('/') {
        return Err(format!(
            "path: `{path}` is not a JSON pointer; it begins with `/`, as in `/Properties/BucketName`"
        ));
    }
    let condition = read(condition, value)?;
    let provider = provider.map(|provider| match provider {
        ProviderEntry::Aws => Provider::Aws,
        ProviderEntry::Azure => Provider::Azure,
        ProviderEntry::Gcp => Provider::Gcp,
    });
    let severity = match severity {
        SeverityEntry::Low => Severity::Low,
        SeverityEntry::Medium => Severity::Medium,
        SeverityEntry::High => Severity::High,
        SeverityEntry::Critical => Severity::Critical,
    };
    Ok(Rule {
        id: id.into(),
        provider,
        severity,
        title: title.unwrap_or_else(|| message.clone()).into(),
        violation: message.into(),
        description: format!("A rule of the organisation: looks at `{path}` of `{resource_type}`.").into(),
        remediation: remediation
            .unwrap_or_else(|| "Ask those who keep the rules of your organisation.".to_owned())
            .into(),
        custom: true,
        targets: vec![Target {
            kind: resource_type.into(),
            when: None,
            check: Check::All(vec![(path.into(), condition)]),
        }],
    })
}

fn read(condition: ConditionEntry, value: Option<Value>) -> Result<Condition, String> {
    use ConditionEntry as Entry;
    if matches!(condition, Entry::Exists | Entry::Absent) {
        return match value {
            None if matches!(condition, Entry::Exists) => Ok(Condition::Exists),
            None => Ok(Condition::Absent),
            Some(_) => Err("value: `exists` and `absent` take none; leave it out".to_owned()),
        };
    }
    let value = value.ok_or("value: the condition needs one; add `value`")?;
    let list = |value: Value| match value {
        Value::Array(items) if !items.is_empty() => Ok(items),
        _ => Err("value: `one-of` and `none-of` take a list of values that is not empty"),
    };
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        _ => Err("value: `matches-prefix` and `matches-suffix` take a text"),
    };
    let number = |value: &Value| value.as_f64().ok_or("value: `at-least` and `at-most` take a number");
    Ok(match condition {
        Entry::Exists => Condition::Exists,
        Entry::Absent => Condition::Absent,
        Entry::Equals => Condition::Equals(value),
        Entry::NotEquals => Condition::NotEquals(value),
        Entry::OneOf => Condition::OneOf(list(value)?),
        Entry::NoneOf => Condition::NoneOf(list(value)?),
        Entry::MatchesPrefix => Condition::Prefix(text(value)?),
        Entry::MatchesSuffix => Condition::Suffix(text(value)?),
        Entry::Contains => Condition::Contains(value),
        Entry::AtLeast => Condition::AtLeast(number(&value)?),
        Entry::AtMost => Condition::AtMost(number(&value)?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::add_to;
    use crate::rule::built_in;

    fn entry(changes: &Value) -> Value {
        let mut entry = json!({
            "id": "acme-prefix", "severity": "high", "resource-type": "AWS::S3::Bucket", "path": "/Properties/BucketName",
            "condition": "matches-prefix", "value": "acme-", "message": "the name does not begin with acme-",
        });
        for (key, value) in changes.as_object().expect("an object") {
            entry[key] = value.clone();
        }
        entry
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        for (changes, expected) in [
            (json!({ "id": "Acme" }), "rules[0]`.id: `Acme` is not made of"),
            (json!({ "id": "aws-s3-logging" }), "rules[0]`.id: `aws-s3-logging` is the id of a built-in rule"),
            (json!({ "severity": "huge" }), "rules[0]`: unknown variant `huge`"),
            (json!({ "patth": "x" }), "unknown field `patth`"),
            (json!({ "path": "Properties" }), "rules[0]`.path: `Properties` is not a JSON pointer"),
            (json!({ "condition": "exists" }), "rules[0]`.value: `exists` and `absent` take none"),
            (json!({ "value": null }), "rules[0]`.value: the condition needs one"),
            (json!({ "value": 1 }), "take a text"),
            (json!({ "condition": "one-of" }), "take a list"),
            (json!({ "condition": "at-most" }), "take a number"),
            (json!({ "resource-type": "" }), "rules[0]`.resource-type: name a type"),
        ] {
            let error = add_to(&mut built_in(), vec![entry(&changes)]).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
        let twice = vec![entry(&json!({})), entry(&json!({}))];
        let error = add_to(&mut built_in(), twice).expect_err("twice");
        assert!(error.contains("rules[1]`.id: `acme-prefix` is the id of another rule"), "{error}");
    }
}
