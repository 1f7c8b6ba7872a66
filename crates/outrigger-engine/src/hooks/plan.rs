//! Which subscribers are called, and in which order: a pure function of the subscriptions and the payload.
//!
//! The conditions of a firing share one work limit. It is divided among the plugins that have conditions, so that no
//! plugin can use up the share of others. A condition above the remaining share is not evaluated and counts as failed,
//! so a fail-closed subscriber refuses the hook.

use std::collections::HashMap;
use std::sync::Arc;

use outrigger_contract::PluginName;

use super::condition::{Condition, Facts};
use super::subscription::Subscriber;

/// The work limit for all conditions of one firing. A million units take a few hundredths of a second at worst.
pub(super) const MOST_WORK: u64 = 5_000_000;
/// Work up to this cost is done in place, without another thread.
const LITTLE_WORK: u64 = 200_000;

/// One subscriber, and its step.
#[derive(Clone, Debug)]
pub struct Planned {
    pub subscriber: Arc<Subscriber>,
    pub step: Step,
}

/// The step for a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Call,
    Skip(Skipped),
    /// Counts as a failure: the condition cannot be evaluated, or the subscription is fail-closed and its plugin is
    /// disabled.
    Fail(String),
}

/// Why a subscriber is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// The subscription is disabled.
    Disabled,
    /// Its condition is false.
    Condition,
    /// Its plugin is disabled, and the subscription is not fail-closed.
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
    let mut left: HashMap<&PluginName, u64> =
        conditions(subscribers).map(|(subscriber, _)| (&subscriber.subscription.function.plugin, 0)).collect();
    let share = MOST_WORK / left.len().max(1) as u64;
    left.values_mut().for_each(|left| *left = share);
    let mut step = |subscriber: &Subscriber| match &subscriber.condition {
        _ if !subscriber.subscription.enabled => Step::Skip(Skipped::Disabled),
        None => Step::Call,
        Some(Err(error)) => Step::Fail(error.clone()),
        Some(Ok(condition)) => {
            let left = left.get_mut(&subscriber.subscription.function.plugin);
            match condition.holds_within(facts, left.unwrap_or(&mut 0)) {
                Ok(true) => Step::Call,
                Ok(false) => Step::Skip(Skipped::Condition),
                Err(error) => Step::Fail(error),
            }
        }
    };
    let mut planned: Vec<_> = subscribers
        .iter()
        .map(|subscriber| Planned { subscriber: Arc::clone(subscriber), step: step(subscriber) })
        .collect();
    planned.sort_by(|a, b| a.subscriber.place().cmp(&b.subscriber.place()));
    planned
}

/// Whether the conditions are cheap enough to evaluate in place, for a payload of this many bytes of JSON.
pub(super) fn is_little(subscribers: &[Arc<Subscriber>], bytes: usize) -> bool {
    let work = conditions(subscribers).map(|(_, condition)| condition.most_work(bytes));
    work.fold(0, u64::saturating_add) <= LITTLE_WORK
}

/// The conditions to evaluate.
fn conditions(subscribers: &[Arc<Subscriber>]) -> impl Iterator<Item = (&Subscriber, &Condition)> {
    subscribers.iter().filter(|subscriber| subscriber.subscription.enabled).filter_map(|subscriber| {
        let condition = subscriber.condition.as_ref()?.as_ref().ok()?;
        Some((&**subscriber, &**condition))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::schema::json_length;
    use super::*;
    use crate::hooks::Subscription;

    /// `id priority [condition]`, a line for each; a `-` in front disables it.
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
        let planned = plan(&subscribers(lines), &Facts::new(&hook, "local", "local", &event));
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

    /// A subscriber with a condition that is expensive on a long text.
    fn costly(plugin: &str, number: usize) -> Arc<Subscriber> {
        let mut subscription = subscribers(&format!("{plugin}-{number:03} 1")).remove(0).subscription.clone();
        subscription.function = format!("{plugin}.echo").parse().expect("a name");
        subscription.condition = Some(format!("event.text.matches('^[01]*1[01]{{{}}}$')", 60 + number % 3));
        Arc::new(Subscriber::new(subscription))
    }

    fn steps_of(subscribers: &[Arc<Subscriber>], event: &Json) -> Vec<(String, Step)> {
        let hook = "customer.created".parse().expect("a name");
        let planned = plan(subscribers, &Facts::new(&hook, "local", "local", event));
        planned.into_iter().map(|one| (one.subscriber.subscription.id.clone(), one.step)).collect()
    }

    #[test]
    fn s04_all_conditions_of_a_firing_share_one_budget() {
        let many: Vec<_> = (0..300).map(|number| costly("greedy", number)).collect();
        let event = json!({"text": "01".repeat(6_000)});
        let steps = steps_of(&many, &event);
        let failed = steps.iter().filter(|(_, step)| matches!(step, Step::Fail(_))).count();
        assert!((200..300).contains(&failed), "{failed} of 300 are too much");
        // The first ones are evaluated; the others report why they are not.
        assert!(!matches!(steps[0].1, Step::Fail(_)), "{:?}", steps[0]);
        let Step::Fail(why) = &steps[299].1 else { panic!("the last one is too much") };
        assert!(why.contains("too large for the conditions of this plugin"), "{why}");
        assert!(!is_little(&many, json_length(&event)), "it is done beside the workers");
    }

    #[test]
    fn s04_one_plugin_does_not_use_up_what_the_conditions_of_others_need() {
        let event = json!({"text": "01".repeat(6_000)});
        let mut all: Vec<_> = (0..100).map(|number| costly("greedy", number)).collect();
        all.push(costly("modest", 0));
        let steps = steps_of(&all, &event);
        let (_, modest) = steps.iter().find(|(id, _)| id.starts_with("modest")).expect("it is there");
        assert!(!matches!(modest, Step::Fail(_)), "{modest:?}");
    }

    #[test]
    fn s04_conditions_that_are_switched_off_take_no_part() {
        let event = json!({"text": "01".repeat(6_000)});
        let mut all: Vec<_> = (0..100).map(|number| costly("greedy", number)).collect();
        for subscriber in &mut all {
            let subscription = Subscription { enabled: false, ..subscriber.subscription.clone() };
            *subscriber = Arc::new(Subscriber::new(subscription));
        }
        assert!(is_little(&all, json_length(&event)));
        assert!(steps_of(&all, &event).iter().all(|(_, step)| *step == Step::Skip(Skipped::Disabled)));
    }

    #[test]
    fn s04_little_work_is_done_at_once() {
        let few = subscribers("a 1 event.country == 'NO'\nb 2 event.country.matches('^N')");
        assert!(is_little(&few, json_length(&json!({"country": "NO"}))));
        assert!(!is_little(&few, json_length(&json!({"country": "NO".repeat(50_000)}))));
        assert!(is_little(&subscribers("a 1"), usize::MAX), "there are no conditions");
    }

    #[test]
    fn a_condition_that_cannot_be_evaluated_is_a_failure() {
        check(
            "a 1 event.age > 3",
            "a Fail(\"the condition cannot be evaluated: there is no `age`; test for it with `has(…)`\")",
        );
    }
}
