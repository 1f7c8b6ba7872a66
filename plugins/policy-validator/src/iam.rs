//! Policy documents of AWS, whether they stand in a template as objects or in a Terraform plan as text.

use serde_json::Value;

use crate::node::{Dialect, Node};
use crate::rule::Violation;

/// Everything may be done with everything.
pub fn wildcards(policies: &[Node<'_>]) -> Vec<Violation> {
    judge(policies, |statement| {
        if !any_is(&statement.get("Resource"), &["*"]) {
            return None;
        }
        if any_is(&statement.get("Action"), &["*", "*:*"]) {
            return Some("the policy allows every action on every resource".to_owned());
        }
        (!statement.get("NotAction").is_missing())
            .then(|| "the policy allows every action but a few on every resource".to_owned())
    })
}

/// Everyone may do something, without a condition.
pub fn public(policies: &[Node<'_>]) -> Vec<Violation> {
    judge(policies, |statement| {
        let principal = statement.get("Principal");
        let everyone = any_is(&principal, &["*"]) || any_is(&principal.get("AWS"), &["*"]);
        (everyone && statement.get("Condition").is_missing())
            .then(|| "the policy lets everyone in: its principal is `*`, and no condition limits it".to_owned())
    })
}

/// Judges each statement that allows something.
fn judge(policies: &[Node<'_>], wrong: impl Fn(&Node<'_>) -> Option<String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for policy in policies {
        match policy.text() {
            None => violations.extend(statements(policy, &wrong)),
            Some(text) => {
                // A pointer does not lead into a text, so what is wrong in it is told at the text.
                let parsed: Value = serde_json::from_str(text).unwrap_or_default();
                let root = Node::new(&parsed, String::new(), Dialect::Plain, None);
                let found = statements(&root, &wrong).into_iter();
                violations.extend(found.map(|violation| Violation { pointer: policy.pointer.clone(), ..violation }));
            }
        }
    }
    violations
}

fn statements(policy: &Node<'_>, wrong: &impl Fn(&Node<'_>) -> Option<String>) -> Vec<Violation> {
    let allows = |statement: &Node<'_>| statement.get("Effect").text() == Some("Allow");
    let statements = policy.find("/Statement").iter().flat_map(Node::list).collect::<Vec<_>>();
    let judged = statements.iter().filter(|statement| allows(statement)).filter_map(|statement| {
        let message = match statement.get("Sid").text() {
            Some(sid) => format!("{} (statement `{sid}`)", wrong(statement)?),
            None => wrong(statement)?,
        };
        Some(Violation { pointer: statement.pointer.clone(), message })
    });
    judged.collect()
}

/// Whether a text, or one in a list of them, is among `words`.
fn any_is(node: &Node<'_>, words: &[&str]) -> bool {
    node.list().iter().any(|item| item.text().is_some_and(|text| words.contains(&text)))
}
