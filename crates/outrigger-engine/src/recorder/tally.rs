//! Aggregates frequent audit records: refusals, read-only calls, and calls that may change something. A few get records
//! of their own; the others share a group record with a count, so that nobody can fill the log in a loop.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outrigger_contract::Code;
use time::OffsetDateTime;

use crate::access::Right;
use crate::audit::{AuditEntry, GroupedCall, Stage};
use crate::correlation::CorrelationId;
use crate::quota::Bucket;
use crate::store::RunRecord;

/// The number of refusals per key, action and minute with records of their own. Further ones share one record.
const ALONE: u32 = 5;
/// How long refusals are counted before their record is written.
const WINDOW: Duration = Duration::from_mins(1);
/// The maximum number of actions per caller, and of pairs of caller and action in total. Further ones share one record.
const MOST_ACTIONS: usize = 32;
const MOST_PAIRS: usize = 512;
/// The maximum number of items in one record. Further ones are counted together.
const MOST_READS: usize = 100;
const MOST_RESOURCES: usize = 10;
/// The maximum number of correlation ids per item.
const CORRELATIONS: usize = 3;
/// The burst of groups of calls that may change something; after it, ten per second are written. Callers wait for them.
const CHANGE_GROUPS: u64 = 1_200;
const CHANGE_GROUPS_A_MINUTE: u64 = 600;
const MOST_CHANGES: usize = 10;
/// The intervals for writing counts that a caller waits for, and other counts.
const CHANGE_PERIOD: Duration = Duration::from_millis(50);
const PERIOD: Duration = Duration::from_secs(1);
/// The burst of groups of read-only calls; after it, one is written every ten seconds.
const READ_GROUPS: u64 = 60;
const READ_GROUPS_A_MINUTE: u64 = 6;
/// The stage of a group of calls that are about to run; another group records how they ended.
const BEGUN: &str = "begun";
/// The maximum length of text that the refused caller chose, in bytes.
const LONGEST: usize = 256;

/// Counts that are not written yet.
#[derive(Debug)]
pub(super) struct Tally {
    reads: Group,
    read_groups: Bucket,
    /// Calls that may change something: about to run, and ended.
    intents: Group,
    changes: Group,
    change_groups: Bucket,
    /// By actor, key and action.
    refusals: BTreeMap<Pair, Refusals>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    actor: String,
    key: Option<String>,
    action: String,
}

#[derive(Debug)]
struct Refusals {
    since: Instant,
    alone: u32,
    rest: Group,
    /// The decision for the first one.
    decision: Option<String>,
}

/// The items, with their counts.
#[derive(Debug, Default)]
struct Group {
    /// The times of the first and the last one.
    span: Option<(OffsetDateTime, OffsetDateTime)>,
    /// By actor, resource and code.
    calls: BTreeMap<(String, String, Option<&'static str>), GroupedCall>,
    others: Option<GroupedCall>,
}

impl Group {
    fn add(&mut self, most: usize, call: GroupedCall, at: OffsetDateTime) {
        let (first, last) = self.span.get_or_insert((at, at));
        (*first, *last) = ((*first).min(at), (*last).max(at));
        let place = (call.actor.clone(), call.resource.clone(), call.code.map(Code::as_str));
        let full = self.calls.len() >= most;
        let present = match self.calls.get_mut(&place) {
            None if !full => {
                self.calls.insert(place, call);
                return;
            }
            None => self.others.get_or_insert_with(|| GroupedCall {
                actor: "several".to_owned(),
                key: None,
                resource: "*".to_owned(),
                code: None,
                count: 0,
                correlations: Vec::new(),
            }),
            Some(present) => present,
        };
        present.count += call.count;
        let room = CORRELATIONS.saturating_sub(present.correlations.len());
        present.correlations.extend(call.correlations.into_iter().take(room));
    }

    fn is_empty(&self) -> bool {
        self.span.is_none()
    }

    /// The group record.
    fn take(&mut self) -> Option<AuditEntry> {
        let Self { span, calls, others } = std::mem::take(self);
        let (first, last) = span?;
        let calls: Vec<_> = calls.into_values().chain(others).collect();
        let correlation = calls.iter().flat_map(|call| &call.correlations).min().copied();
        Some(AuditEntry {
            at: first,
            until: Some(last),
            actor: "several".to_owned(),
            key: None,
            action: Right::FUNCTION_EXECUTE.to_string(),
            resource: "*".to_owned(),
            allowed: true,
            decision: None,
            stage: Stage::Group,
            code: None,
            revision: None,
            before: None,
            after: None,
            correlation: correlation.unwrap_or_else(CorrelationId::new),
            calls,
            prunable: false,
        })
    }
}

impl Tally {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            reads: Group::default(),
            read_groups: Bucket::new(READ_GROUPS, READ_GROUPS_A_MINUTE, now),
            intents: Group::default(),
            changes: Group::default(),
            change_groups: Bucket::new(CHANGE_GROUPS, CHANGE_GROUPS_A_MINUTE, now),
            refusals: BTreeMap::new(),
        }
    }

    /// Counts a read-only call.
    pub(super) fn read(&mut self, run: &RunRecord, key: Option<String>) {
        let call = GroupedCall {
            actor: run.caller.clone(),
            key,
            resource: format!("{}.{}", run.plugin, run.function),
            code: run.code,
            count: 1,
            correlations: vec![run.correlation],
        };
        self.reads.add(MOST_READS, call, run.started_at);
    }

    /// Counts a call that may change something, before it runs and after it has ended.
    pub(super) fn change(&mut self, entry: AuditEntry) {
        let group = if entry.stage == Stage::Intent { &mut self.intents } else { &mut self.changes };
        let AuditEntry { at, actor, key, resource, code, correlation, .. } = entry;
        let call = GroupedCall { actor, key, resource, code, count: 1, correlations: vec![correlation] };
        group.add(MOST_CHANGES, call, at);
    }

    /// Whether counts of calls that may change something are not written yet.
    pub(super) fn has_changes(&self) -> bool {
        !self.intents.is_empty() || !self.changes.is_empty()
    }

    /// Counts a refusal. Returns its record if it gets one of its own.
    pub(super) fn refuse(&mut self, mut entry: AuditEntry, now: Instant) -> Option<AuditEntry> {
        cut(&mut entry.resource);
        if let Some(decision) = &mut entry.decision {
            cut(decision);
        }
        let refusals = self.of(&entry, now);
        if refusals.alone < ALONE {
            refusals.alone += 1;
            return Some(entry);
        }
        let AuditEntry { at, actor, key, resource, code, correlation, decision, .. } = entry;
        refusals.decision = refusals.decision.take().or(decision);
        let call = GroupedCall { actor, key, resource, code, count: 1, correlations: vec![correlation] };
        refusals.rest.add(MOST_RESOURCES, call, at);
        None
    }

    /// The group in which a refusal is counted.
    fn of(&mut self, entry: &AuditEntry, now: Instant) -> &mut Refusals {
        let AuditEntry { actor, key, action, .. } = entry;
        let mut pair = Pair { actor: actor.clone(), key: key.clone(), action: action.clone() };
        let mut alone = 0;
        if !self.refusals.contains_key(&pair) {
            let of_caller = self.refusals.keys().filter(|other| other.actor == *actor && other.key == *key).count();
            if self.refusals.len() >= MOST_PAIRS {
                pair = Pair { actor: "several".to_owned(), key: None, action: "*".to_owned() };
                alone = ALONE;
            } else if of_caller >= MOST_ACTIONS {
                "*".clone_into(&mut pair.action);
                alone = ALONE;
            }
        }
        let new = || Refusals { since: now, alone, rest: Group::default(), decision: None };
        self.refusals.entry(pair).or_insert_with(new)
    }

    /// The records that are due: refusals whose minute is over, and read-only calls. All records if the log is about to
    /// be read, or at shutdown.
    pub(super) fn due(&mut self, now: Instant, all: bool) -> Vec<AuditEntry> {
        let mut entries = Vec::new();
        self.refusals.retain(|pair, refusals| {
            let over = now.saturating_duration_since(refusals.since) >= WINDOW;
            if over || all {
                entries.extend(refusals.take(pair));
            }
            !over
        });
        if self.has_changes() && (all || self.change_groups.take(1, now).is_ok()) {
            let begun = self.intents.take().map(|group| AuditEntry { decision: Some(BEGUN.to_owned()), ..group });
            entries.extend(begun.into_iter().chain(self.changes.take()));
        }
        if !self.reads.is_empty() && (all || self.read_groups.take(1, now).is_ok()) {
            entries.extend(self.reads.take());
        }
        entries
    }

    /// The time until the next counts are due; none if there are none.
    pub(super) fn period(&self) -> Option<Duration> {
        let waits = !self.reads.is_empty() || self.refusals.values().any(|refusals| !refusals.rest.is_empty());
        self.has_changes().then_some(CHANGE_PERIOD).or(waits.then_some(PERIOD))
    }
}

impl Refusals {
    fn take(&mut self, pair: &Pair) -> Option<AuditEntry> {
        let entry = self.rest.take()?;
        let resource = match &entry.calls[..] {
            [one] => one.resource.clone(),
            _ => "*".to_owned(),
        };
        let Pair { actor, key, action } = pair.clone();
        let decision = self.decision.take();
        Some(AuditEntry { actor, key, action, resource, decision, allowed: false, prunable: true, ..entry })
    }
}

/// Truncates text that the caller chose.
fn cut(text: &mut String) {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(actor: &str, action: &str, resource: &str) -> AuditEntry {
        AuditEntry {
            at: OffsetDateTime::now_utc(),
            until: None,
            actor: actor.to_owned(),
            key: Some(format!("id of {actor}")),
            action: action.to_owned(),
            resource: resource.to_owned(),
            allowed: false,
            decision: Some("no".to_owned()),
            stage: Stage::Done,
            code: None,
            revision: None,
            before: None,
            after: None,
            correlation: CorrelationId::new(),
            calls: Vec::new(),
            prunable: true,
        }
    }

    #[test]
    fn s17_refusals_of_a_minute_beyond_the_first_few_share_an_entry() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let alone = (0..1_000).filter_map(|_| tally.refuse(refusal("key a", "plugin_create", "p"), start)).count();
        assert_eq!(alone, 5);
        assert_eq!(
            tally.refuse(refusal("key b", "plugin_create", "p"), start).map(|entry| entry.actor),
            Some("key b".into())
        );
        assert!(tally.due(start + Duration::from_secs(59), false).is_empty());
        let entries = tally.due(start + WINDOW, false);
        assert_eq!(entries.len(), 1, "{entries:#?}");
        let entry = &entries[0];
        assert_eq!((entry.count(), entry.allowed, entry.prunable), (995, false, true));
        assert_eq!(
            (entry.actor.as_str(), entry.action.as_str(), entry.resource.as_str()),
            ("key a", "plugin_create", "p")
        );
        assert!(entry.key.is_some() && entry.until.is_some_and(|until| until >= entry.at), "{entry:?}");
        assert_eq!(entry.calls[0].correlations.len(), CORRELATIONS);
        assert!(tally.refuse(refusal("key a", "plugin_create", "p"), start + WINDOW).is_some(), "a minute of its own");
    }

    #[test]
    fn s17_refusals_are_bounded_whatever_is_asked_for() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let mut alone = 0;
        for caller in 0..100 {
            for action in 0..100 {
                for resource in 0..20 {
                    let entry = refusal(&format!("key {caller}"), &format!("a{action}"), &"x".repeat(1_000 + resource));
                    alone += u64::from(tally.refuse(entry, start).is_some());
                }
            }
        }
        assert!(tally.refusals.len() <= MOST_PAIRS + 1, "{}", tally.refusals.len());
        let entries = tally.due(start + WINDOW, false);
        assert_eq!(entries.iter().map(AuditEntry::count).sum::<u64>() + alone, 200_000, "each is counted");
        assert!(entries.iter().all(|entry| entry.calls.len() <= MOST_RESOURCES + 1));
        let bytes: usize = entries.iter().map(|entry| serde_json::to_string(entry).unwrap().len()).sum();
        assert!(bytes < 3 << 20, "{bytes} bytes");
    }

    #[test]
    fn s17_calls_that_only_read_are_counted_where_there_are_many() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let run = |function: u64| RunRecord {
            id: String::new(),
            correlation: CorrelationId::new(),
            plugin: "demo".parse().unwrap(),
            function: format!("f{function}").parse().unwrap(),
            digest: None,
            caller: "key a".to_owned(),
            started_at: OffsetDateTime::now_utc(),
            duration_us: 5,
            code: None,
            message: None,
            cache: crate::store::CacheOutcome::Bypass,
            attempts: 1,
            sum: None,
        };
        let (mut entries, mut calls) = (0, 0);
        // Ten minutes of a batch each fifty milliseconds.
        for batch in 0..12_000_u64 {
            let now = start + Duration::from_millis(50) * u32::try_from(batch).unwrap();
            (0..300).for_each(|number| tally.read(&run(number), Some("id".to_owned())));
            for entry in tally.due(now, false) {
                assert!(entry.calls.len() <= MOST_READS + 1);
                (entries, calls) = (entries + 1, calls + entry.count());
            }
        }
        calls += tally.due(start, true).iter().map(AuditEntry::count).sum::<u64>();
        assert_eq!(calls, 12_000 * 300, "each is counted");
        assert!(entries <= READ_GROUPS + 10 * READ_GROUPS_A_MINUTE, "{entries} entries");
    }

    #[test]
    fn s17_what_ends_writes_all_that_was_counted() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        for _ in 0..7 {
            tally.refuse(refusal("key a", "plugin_create", "p"), start);
        }
        assert!(tally.period().is_some());
        assert_eq!(tally.due(start, true).iter().map(AuditEntry::count).sum::<u64>(), 2);
        assert!(tally.period().is_none());
        assert!(tally.refuse(refusal("key a", "plugin_create", "p"), start).is_none(), "still within its minute");
    }

    #[test]
    fn s17_calls_that_may_change_something_are_counted_where_there_are_many() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let (mut entries, mut calls) = (0, 0);
        // Four minutes of a batch each twenty milliseconds.
        for batch in 0..12_000_u64 {
            let now = start + Duration::from_millis(20) * u32::try_from(batch).unwrap();
            for plugin in 0..15 {
                tally.change(AuditEntry {
                    allowed: true,
                    ..refusal("key a", "function_execute", &format!("p{plugin}.f"))
                });
            }
            for entry in tally.due(now, false) {
                assert!(entry.calls.len() <= MOST_CHANGES + 1 && !entry.prunable && entry.allowed);
                (entries, calls) = (entries + 1, calls + entry.count());
            }
        }
        calls += tally.due(start, true).iter().map(AuditEntry::count).sum::<u64>();
        assert_eq!(calls, 12_000 * 15, "each is counted");
        assert!(entries <= CHANGE_GROUPS + 4 * CHANGE_GROUPS_A_MINUTE, "{entries} entries");
    }
}
