//! Which subscribers are called, and in which order: a pure function of who is subscribed and what the hook carries.

use std::sync::Arc;

use super::condition::Facts;
use super::subscription::Subscriber;

/// One subscriber, and what is to be done about it.
#[derive(Clone, Debug)]
pub struct Planned {
    pub subscriber: Arc<Subscriber>,
    pub step: Step,
}

/// What is to be done about a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Call,
    Skip(Skipped),
    /// Its condition cannot be evaluated, or it is fail-closed and its plugin is disabled; that counts as a failure.
    Fail(String),
}

/// Why a subscriber is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// The subscription is switched off.
    Disabled,
    /// Its condition is false.
    Condition,
    /// Its plugin is switched off, and it is not fail-closed.
    PluginDisabled,
    /// A subscriber before it refused or failed.
    Ended,
    /// It was only to be seen what would be done.
    DryRun,
}

impl Skipped {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Condition => "condition",
            Self::PluginDisabled => "plugin_disabled",
            Self::Ended => "ended",
            Self::DryRun => "dry_run",
        }
    }
}

/// The steps, in order. Conditions speak of what the hook carried at first, not of what filters made of it.
#[must_use]
pub fn plan(subscribers: &[Arc<Subscriber>], facts: &Facts<'_>) -> Vec<Planned> {
    let step = |subscriber: &Subscriber| match &subscriber.condition {
        _ if !subscriber.subscription.enabled => Step::Skip(Skipped::Disabled),
        None => Step::Call,
        Some(Err(error)) => Step::Fail(error.clone()),
        Some(Ok(condition)) => match condition.holds(facts) {
            Ok(true) => Step::Call,
            Ok(false) => Step::Skip(Skipped::Condition),
            Err(error) => Step::Fail(error),
        },
    };
    let mut planned: Vec<_> = subscribers
        .iter()
        .map(|subscriber| Planned { subscriber: Arc::clone(subscriber), step: step(subscriber) })
        .collect();
    planned.sort_by(|a, b| a.subscriber.place().cmp(&b.subscriber.place()));
    planned
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::hooks::Subscription;

    /// `id priority [condition]`, a line for each; a `-` in front switches it off.
    fn subscribers(lines: &str) -> Vec<Arc<Subscriber>> {
        let read = |line: &str| {
            let mut words = line.trim().splitn(3, ' ');
            let id = words.next().expect("an id");
            let mut subscription: Subscription = serde_json::from_value(json!({
                "id": id.trim_start_matches('-'), "hook": "customer.created", "kind": "action", "function": "demo.echo",
                "priority": 0, "on_error": "fail-open", "timeout": "2s", "enabled": !id.starts_with('-'),
                "source": "api", "created_by": "local", "created_at": "2026-01-01T00:00:00Z", "failures": 0,
            }))
            .expect("a subscription");
            subscription.priority = words.next().expect("a priority").parse().expect("a number");
            subscription.condition = words.next().map(str::to_owned);
            Arc::new(Subscriber::new(subscription))
        };
        lines.trim().lines().map(read).collect()
    }

    fn check(lines: &str, expected: &str) {
        let (hook, event) = ("customer.created".parse().expect("a name"), json!({"country": "NO"}));
        let planned = plan(&subscribers(lines), &Facts::new(&hook, "local", &event));
        let text: Vec<_> = planned
            .iter()
            .map(|planned| format!("{} {:?}", planned.subscriber.subscription.id, planned.step))
            .collect();
        assert_eq!(text.join(", "), expected);
    }

    #[test]
    fn lower_numbers_come_first_and_among_equals_the_older_one() {
        check("c 10\nb 10\na 20\nd -5", "d Call, b Call, c Call, a Call");
    }

    #[test]
    fn conditions_and_switches_decide_who_is_called() {
        check(
            "a 1 event.country == 'NO'\nb 2 event.country == 'SE'\n-c 3 event.country == 'NO'\nd 4",
            "a Call, b Skip(Condition), c Skip(Disabled), d Call",
        );
    }

    #[test]
    fn a_condition_that_cannot_be_evaluated_is_a_failure() {
        check(
            "a 1 event.age > 3",
            "a Fail(\"the condition cannot be evaluated: there is no `age`; `has(…)` asks whether there is\")",
        );
    }
}
