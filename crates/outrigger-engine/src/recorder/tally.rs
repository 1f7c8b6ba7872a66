//! Aggregates frequent audit records: calls, refusals and failed changes. The first ones have records of their own,
//! further ones share one record with a count, so a loop cannot fill the log. Callers are always distinguished: many
//! calls of one caller reduce the details about that caller only.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outrigger_contract::Code;
use outrigger_contract::excerpt::cut;
use time::OffsetDateTime;

use crate::access::Right;
use crate::audit::{AuditEntry, GroupedCall, Stage};
use crate::correlation::CorrelationId;
use crate::quota::Bucket;
use crate::store::RunRecord;

/// Maximum number of individual records per minute for refusals and failures of one key and action. Further ones share
/// a record.
const ALONE: u32 = 5;
/// The time span of one aggregated record.
const WINDOW: Duration = Duration::from_mins(1);
/// Maximum number of distinguished actions of one caller, and of pairs of caller and action in total. Further ones
/// share one record per caller; callers above the limit share one record.
const MOST_ACTIONS: usize = 32;
const MOST_PAIRS: usize = 512;
const MOST_CALLERS: usize = 2_048;
/// The limits of a group: for read-only calls, refusals, and calls that may change something.
const READS: Room = Room { each: 100, all: 200, callers: 1_000 };
const REFUSED: Room = Room { each: 10, all: 10, callers: 10 };
const CHANGES: Room = Room { each: 10, all: 200, callers: 1_000 };
/// Maximum number of correlation ids kept for similar calls.
const CORRELATIONS: usize = 3;
/// The burst of groups of calls that may change something; after it, ten per second are written. Callers wait for them.
const CHANGE_GROUPS: u64 = 1_200;
const CHANGE_GROUPS_A_MINUTE: u64 = 600;
/// The intervals for checking groups that a call waits for, and other groups.
const CHANGE_PERIOD: Duration = Duration::from_millis(50);
const PERIOD: Duration = Duration::from_secs(1);
/// The burst of groups of read-only calls; after it, one is written every ten seconds.
const READ_GROUPS: u64 = 60;
const READ_GROUPS_A_MINUTE: u64 = 6;
/// How often a reader of the log has all counts written before their time: the burst, and the rate after it. Each time
/// makes records of their own.
const SETTLED: u64 = 200;
const SETTLED_A_MINUTE: u64 = 12;
/// The actor of a group with several callers, and of calls above the limits.
const SEVERAL: &str = "several";
/// The stage of a group of calls that are about to run; another group records their ends.
const BEGUN: &str = "begun";
/// Maximum size of texts of a refusal or failure, in bytes. The caller can choose them.
const LONGEST: usize = 256;

/// Counts that are not written yet.
#[derive(Debug)]
pub(super) struct Tally {
    reads: Group,
    read_groups: Bucket,
    /// Calls that may change something, by right: those about to run, and those that have ended.
    intents: BTreeMap<String, Group>,
    changes: BTreeMap<String, Group>,
    change_groups: Bucket,
    settled: Bucket,
    /// Refusals and failed changes.
    unsuccessful: BTreeMap<Pair, Unsuccessful>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    actor: String,
    key: Option<String>,
    action: String,
    /// Whether it was allowed, and failed.
    allowed: bool,
}

#[derive(Debug)]
struct Unsuccessful {
    since: Instant,
    alone: u32,
    rest: Group,
    /// The decision for the first one.
    decision: Option<String>,
}

/// The limits of a group: kinds of calls for each caller and in total, and callers. Each caller gets at least one kind.
#[derive(Clone, Copy, Debug)]
struct Room {
    each: usize,
    all: usize,
    callers: usize,
}

/// A group of similar calls, with their counts.
#[derive(Debug, Default)]
struct Group {
    /// The times of the first and the last one.
    span: Option<(OffsetDateTime, OffsetDateTime)>,
    /// The calls by actor and key.
    callers: BTreeMap<(String, Option<String>), Kinds>,
    kinds: usize,
}

/// The calls of one caller.
#[derive(Debug, Default)]
struct Kinds {
    /// The calls by resource and code.
    of: BTreeMap<(String, Option<&'static str>), GroupedCall>,
    /// The calls above the limits.
    others: Option<GroupedCall>,
}

impl Group {
    fn add(&mut self, room: Room, mut call: GroupedCall, at: OffsetDateTime) {
        let (first, last) = self.span.get_or_insert((at, at));
        (*first, *last) = ((*first).min(at), (*last).max(at));
        let mut caller = (call.actor.clone(), call.key.clone());
        if self.callers.len() >= room.callers && !self.callers.contains_key(&caller) {
            caller = (SEVERAL.to_owned(), None);
            (call.actor, call.key, call.resource, call.code) = (SEVERAL.to_owned(), None, "*".to_owned(), None);
        }
        let kinds = self.callers.entry(caller).or_default();
        let full = kinds.of.len() >= room.each || self.kinds >= room.all && !kinds.of.is_empty();
        let place = (call.resource.clone(), call.code.map(Code::as_str));
        let present = match kinds.of.get_mut(&place) {
            None if !full => {
                self.kinds += 1;
                kinds.of.insert(place, call);
                return;
            }
            None => {
                let nothing = || GroupedCall {
                    resource: "*".to_owned(),
                    code: None,
                    count: 0,
                    correlations: Vec::new(),
                    ..call.clone()
                };
                kinds.others.get_or_insert_with(nothing)
            }
            Some(present) => present,
        };
        present.count += call.count;
        let room = CORRELATIONS.saturating_sub(present.correlations.len());
        present.correlations.extend(call.correlations.into_iter().take(room));
    }

    fn is_empty(&self) -> bool {
        self.span.is_none()
    }

    /// Takes the record of the whole group.
    fn take(&mut self, action: &str) -> Option<AuditEntry> {
        let Self { span, callers, kinds: _ } = std::mem::take(self);
        let (first, last) = span?;
        let calls: Vec<_> =
            callers.into_values().flat_map(|kinds| kinds.of.into_values().chain(kinds.others)).collect();
        let correlation = calls.iter().flat_map(|call| &call.correlations).min().copied();
        Some(AuditEntry {
            at: first,
            until: Some(last),
            actor: SEVERAL.to_owned(),
            key: None,
            action: action.to_owned(),
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

/// Takes the records of all groups, by action.
fn take_all(groups: &mut BTreeMap<String, Group>) -> Vec<AuditEntry> {
    std::mem::take(groups).into_iter().filter_map(|(action, mut group)| group.take(&action)).collect()
}

impl Tally {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            reads: Group::default(),
            read_groups: Bucket::new(READ_GROUPS, READ_GROUPS_A_MINUTE, now),
            intents: BTreeMap::new(),
            changes: BTreeMap::new(),
            change_groups: Bucket::new(CHANGE_GROUPS, CHANGE_GROUPS_A_MINUTE, now),
            settled: Bucket::new(SETTLED, SETTLED_A_MINUTE, now),
            unsuccessful: BTreeMap::new(),
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
        self.reads.add(READS, call, run.started_at);
    }

    /// Counts a call that may change something, when it is about to run or has ended, or an operation as frequent as
    /// calls.
    pub(super) fn change(&mut self, entry: AuditEntry) {
        let groups = if entry.stage == Stage::Intent { &mut self.intents } else { &mut self.changes };
        let AuditEntry { at, actor, key, action, resource, code, correlation, .. } = entry;
        let call = GroupedCall { actor, key, resource, code, count: 1, correlations: vec![correlation] };
        groups.entry(action).or_default().add(CHANGES, call, at);
    }

    /// Whether counts of calls that may change something are not written yet.
    pub(super) fn has_changes(&self) -> bool {
        !self.intents.is_empty() || !self.changes.is_empty()
    }

    /// Counts a refusal or a failed change. Returns its record if it has one of its own.
    pub(super) fn unsuccessful(&mut self, mut entry: AuditEntry, now: Instant) -> Option<AuditEntry> {
        entry.resource = cut(entry.resource, LONGEST);
        entry.decision = entry.decision.map(|decision| cut(decision, LONGEST));
        let alike = self.alike(&entry, now);
        if alike.alone < ALONE {
            alike.alone += 1;
            return Some(entry);
        }
        let AuditEntry { at, actor, key, resource, code, correlation, decision, .. } = entry;
        alike.decision = alike.decision.take().or(decision);
        let call = GroupedCall { actor, key, resource, code, count: 1, correlations: vec![correlation] };
        alike.rest.add(REFUSED, call, at);
        None
    }

    /// The counter for an audit record.
    fn alike(&mut self, entry: &AuditEntry, now: Instant) -> &mut Unsuccessful {
        let AuditEntry { actor, key, action, allowed, .. } = entry;
        let mut pair = Pair { actor: actor.clone(), key: key.clone(), action: action.clone(), allowed: *allowed };
        let mut alone = 0;
        if !self.unsuccessful.contains_key(&pair) {
            let of_caller = self.unsuccessful.keys().filter(|other| other.actor == *actor && other.key == *key).count();
            if of_caller >= MOST_ACTIONS || self.unsuccessful.len() >= MOST_PAIRS {
                "*".clone_into(&mut pair.action);
                alone = ALONE;
            }
            if self.unsuccessful.len() >= MOST_CALLERS && !self.unsuccessful.contains_key(&pair) {
                (pair.actor, pair.key) = (SEVERAL.to_owned(), None);
            }
        }
        let new = || Unsuccessful { since: now, alone, rest: Group::default(), decision: None };
        self.unsuccessful.entry(pair).or_insert_with(new)
    }

    /// Whether a reader of the log may have all counts written now. Otherwise it does not see the latest ones.
    pub(super) fn may_settle(&mut self, now: Instant) -> bool {
        self.settled.take(1, now).is_ok()
    }

    /// The due records: those of refusals and failures whose minute is over, and that of read-only calls; all of them
    /// if the log is about to be read or the process ends.
    pub(super) fn due(&mut self, now: Instant, all: bool) -> Vec<AuditEntry> {
        let mut entries = Vec::new();
        self.unsuccessful.retain(|pair, alike| {
            let over = now.saturating_duration_since(alike.since) >= WINDOW;
            if over || all {
                entries.extend(alike.take(pair));
            }
            !over
        });
        if self.has_changes() && (all || self.change_groups.take(1, now).is_ok()) {
            let begun = take_all(&mut self.intents).into_iter();
            entries.extend(begun.map(|group| AuditEntry { decision: Some(BEGUN.to_owned()), ..group }));
            entries.extend(take_all(&mut self.changes));
        }
        if !self.reads.is_empty() && (all || self.read_groups.take(1, now).is_ok()) {
            entries.extend(self.reads.take(&Right::FUNCTION_EXECUTE.to_string()));
        }
        entries
    }

    /// The time until the next counts are due; none if there are none.
    pub(super) fn period(&self) -> Option<Duration> {
        let waits = !self.reads.is_empty() || self.unsuccessful.values().any(|alike| !alike.rest.is_empty());
        self.has_changes().then_some(CHANGE_PERIOD).or(waits.then_some(PERIOD))
    }
}

impl Unsuccessful {
    fn take(&mut self, pair: &Pair) -> Option<AuditEntry> {
        let Pair { actor, key, action, allowed } = pair.clone();
        let entry = self.rest.take(&action)?;
        let resource = match &entry.calls[..] {
            [one] => one.resource.clone(),
            _ => "*".to_owned(),
        };
        let decision = self.decision.take();
        Some(AuditEntry { actor, key, resource, decision, allowed, prunable: !allowed, ..entry })
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
        let alone =
            (0..1_000).filter_map(|_| tally.unsuccessful(refusal("key a", "plugin_create", "p"), start)).count();
        assert_eq!(alone, 5);
        assert_eq!(
            tally.unsuccessful(refusal("key b", "plugin_create", "p"), start).map(|entry| entry.actor),
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
        assert!(
            tally.unsuccessful(refusal("key a", "plugin_create", "p"), start + WINDOW).is_some(),
            "a minute of its own"
        );
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
                    alone += u64::from(tally.unsuccessful(entry, start).is_some());
                }
            }
        }
        assert!(tally.unsuccessful.len() <= MOST_PAIRS + 100, "{}", tally.unsuccessful.len());
        let entries = tally.due(start + WINDOW, false);
        assert_eq!(entries.iter().map(AuditEntry::count).sum::<u64>() + alone, 200_000, "each is counted");
        assert!(entries.iter().all(|entry| entry.calls.len() <= REFUSED.each + 1));
        let bytes: usize = entries.iter().map(|entry| serde_json::to_string(entry).unwrap().len()).sum();
        assert!(bytes < 4 << 20, "{bytes} bytes");
    }

    #[test]
    fn s17_calls_that_only_read_are_counted_where_there_are_many() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let run = |function: u64| RunRecord {
            id: CorrelationId::new(),
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
        // Ten minutes with one batch every 50 ms.
        for batch in 0..12_000_u64 {
            let now = start + Duration::from_millis(50) * u32::try_from(batch).unwrap();
            (0..300).for_each(|number| tally.read(&run(number), Some("id".to_owned())));
            for entry in tally.due(now, false) {
                assert!(entry.calls.len() <= READS.each + 1);
                (entries, calls) = (entries + 1, calls + entry.count());
            }
        }
        calls += tally.due(start, true).iter().map(AuditEntry::count).sum::<u64>();
        assert_eq!(calls, 12_000 * 300, "each is counted");
        assert!(entries <= READ_GROUPS + 10 * READ_GROUPS_A_MINUTE, "{entries} entries");
    }

    #[test]
    fn s17_reading_the_log_in_a_loop_has_few_counts_written_before_their_time() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let settled = (0..6_000).filter(|tenths| tally.may_settle(start + Duration::from_millis(100) * *tenths));
        let settled = settled.count() as u64;
        assert!((SETTLED..=SETTLED + 10 * SETTLED_A_MINUTE).contains(&settled), "{settled} in ten minutes");
    }

    #[test]
    fn s17_what_ends_writes_all_that_was_counted() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        for _ in 0..7 {
            tally.unsuccessful(refusal("key a", "plugin_create", "p"), start);
        }
        assert!(tally.period().is_some());
        assert_eq!(tally.due(start, true).iter().map(AuditEntry::count).sum::<u64>(), 2);
        assert!(tally.period().is_none());
        assert!(tally.unsuccessful(refusal("key a", "plugin_create", "p"), start).is_none(), "still within its minute");
    }

    #[test]
    fn s17_many_kinds_of_one_key_blur_nothing_of_another() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let call = |actor: &str, resource: &str| AuditEntry {
            allowed: true,
            prunable: false,
            ..refusal(actor, "function_execute", resource)
        };
        for number in 0..5_000 {
            tally.change(call("key loud", &format!("p.f{number}")));
        }
        // Other callers fill the rest of the group.
        for number in 0..400 {
            tally.change(call(&format!("key {}", number % 40), &format!("p.f{number}")));
        }
        tally.change(AuditEntry { stage: Stage::Intent, ..call("key quiet", "vault.erase") });
        tally.change(call("key quiet", "vault.erase"));
        let entries = tally.due(start, true);
        let quiet = |entry: &&AuditEntry| {
            entry.calls.iter().any(|call| {
                call.actor == "key quiet" && call.key.is_some() && call.resource == "vault.erase" && call.count == 1
            })
        };
        assert_eq!(entries.iter().filter(quiet).count(), 2, "its beginning and its end: {entries:#?}");
        let calls: Vec<_> = entries.iter().flat_map(|entry| &entry.calls).collect();
        let others = calls.iter().find(|call| call.actor == "key loud" && call.resource == "*").expect("the others");
        assert_eq!((others.count, others.key.as_deref()), (4_990, Some("id of key loud")));
        assert!(calls.len() < CHANGES.all + 2 * 45, "{}", calls.len());
        assert!(calls.iter().all(|call| call.actor != SEVERAL));
    }

    #[test]
    fn s17_acts_that_fail_are_counted_as_links_beside_refusals() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let failed = || AuditEntry {
            allowed: true,
            prunable: false,
            code: Some(Code::AlreadyExists),
            ..refusal("key a", "template_create", &"x".repeat(10_000))
        };
        let alone: Vec<_> = (0..1_000).filter_map(|_| tally.unsuccessful(failed(), start)).collect();
        assert_eq!(alone.len(), 5);
        assert!(alone.iter().all(|entry| entry.resource.len() < 300));
        (0..10).for_each(|_| drop(tally.unsuccessful(refusal("key a", "template_create", "x"), start)));
        let entries = tally.due(start + WINDOW, false);
        let found: Vec<_> = entries.iter().map(|entry| (entry.allowed, entry.prunable, entry.count())).collect();
        assert_eq!(found, [(false, true, 5), (true, false, 995)]);
        assert_eq!(entries[1].calls[0].code, Some(Code::AlreadyExists));
    }

    #[test]
    fn s17_calls_that_may_change_something_are_counted_where_there_are_many() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let (mut entries, mut calls) = (0, 0);
        // Four minutes with one batch every 20 ms.
        for batch in 0..12_000_u64 {
            let now = start + Duration::from_millis(20) * u32::try_from(batch).unwrap();
            for plugin in 0..15 {
                tally.change(AuditEntry {
                    allowed: true,
                    ..refusal("key a", "function_execute", &format!("p{plugin}.f"))
                });
            }
            for entry in tally.due(now, false) {
                assert!(entry.calls.len() <= CHANGES.each + 1 && !entry.prunable && entry.allowed);
                (entries, calls) = (entries + 1, calls + entry.count());
            }
        }
        calls += tally.due(start, true).iter().map(AuditEntry::count).sum::<u64>();
        assert_eq!(calls, 12_000 * 15, "each is counted");
        assert!(entries <= CHANGE_GROUPS + 4 * CHANGE_GROUPS_A_MINUTE, "{entries} entries");
    }
}
