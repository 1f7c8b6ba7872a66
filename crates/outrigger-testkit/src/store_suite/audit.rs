//! The audit log.

use std::sync::Arc;
use std::task::Poll;

use outrigger_contract::Code;
use outrigger_engine::audit::{self, AuditEntry, AuditRecord, GroupedCall, Head, Stage};
use outrigger_engine::store::{AuditFilter, Bound, Keep, RecordBatch, RecordFilter};
use outrigger_engine::{CorrelationId, Store};
use time::OffsetDateTime;

use super::fixtures::{assert_conflict, entry, line, moment, name, put, run, statistics};

/// Reads the log from its beginning, in pages, and checks that it is one whole chain that ends in the head.
///
/// # Panics
/// It is not.
pub async fn read_chain(store: &dyn Store, page: u32) -> Vec<AuditRecord> {
    let mut head = Head::EMPTY;
    let mut records = Vec::new();
    loop {
        let after = records.last().map(|last: &AuditRecord| last.sequence);
        let more = store.audit_read(after, page).await.expect("the store works");
        if more.is_empty() {
            break;
        }
        assert!(more.len() <= usize::try_from(page).expect("small"), "a page has {} records", more.len());
        head = more.iter().try_fold(head, audit::verify_kept).expect("the chain is whole");
        records.extend(more.into_iter().map(|kept| kept.record));
    }
    assert_eq!(store.audit_head().await.expect("the store works"), head);
    records
}

fn entries(records: &[AuditRecord]) -> Vec<AuditEntry> {
    records.iter().map(|record| record.entry().expect("the text is that of an entry")).collect()
}

/// The numbers of the records that are listed, in the order of the list.
async fn listed(store: &dyn Store, filter: &AuditFilter) -> Vec<u64> {
    let records = store.audit_list(filter).await.expect("the store works");
    records.into_iter().map(|record| record.sequence).collect()
}

/// An entry that cannot be written: JSON has no such year.
fn unwritable() -> AuditEntry {
    AuditEntry { at: OffsetDateTime::UNIX_EPOCH.replace_year(-1).expect("in range"), ..entry(0) }
}

pub async fn an_empty_log_has_the_empty_head(store: Arc<dyn Store>) {
    assert_eq!(store.audit_head().await.unwrap(), Head::EMPTY);
    assert_eq!(store.audit_append(&[]).await.unwrap(), Head::EMPTY);
    assert_eq!(store.audit_list(&AuditFilter::default()).await.unwrap(), []);
    assert_eq!(store.audit_read(None, 10).await.unwrap(), []);
}

pub async fn entries_are_chained_in_their_order(store: Arc<dyn Store>) {
    let all: Vec<AuditEntry> = (0..6).map(entry).collect();
    let mut head = Head::EMPTY;
    let mut expected = Vec::new();
    for entry in &all {
        let record = audit::append(head, head.sequence + 1, entry).unwrap();
        head = audit::verify(head, &record).unwrap();
        expected.push(record);
    }
    let after = |sequence: u64| {
        let record = &expected[usize::try_from(sequence - 1).expect("small")];
        Head { sequence, hash: record.hash }
    };
    assert_eq!(store.audit_append(&all[..3]).await.unwrap(), after(3));
    assert_eq!(store.audit_head().await.unwrap(), after(3));
    assert_eq!(store.audit_append(&all[3..4]).await.unwrap(), after(4));
    assert_eq!(store.audit_append(&[]).await.unwrap(), after(4), "nothing is behind it");
    assert_eq!(store.audit_append(&all[4..]).await.unwrap(), after(6));
    assert_eq!(read_chain(&*store, 10).await, expected);
    assert_eq!(read_chain(&*store, 4).await, expected);
}

pub async fn an_entry_comes_back_byte_for_byte(store: Arc<dyn Store>) {
    let call = |code| GroupedCall {
        actor: "plugin “zoë”".to_owned(),
        key: Some("id".to_owned()),
        resource: "pricing.quote".to_owned(),
        code,
        count: 7,
        correlations: vec![CorrelationId::new(), CorrelationId::new()],
    };
    let full = AuditEntry {
        key: Some("01JD".to_owned()),
        allowed: false,
        decision: Some("the role `ops` denies `plugin_*`\n☂".to_owned()),
        stage: Stage::Group,
        code: Some(Code::Conflict),
        revision: Some("sha256:x".to_owned()),
        // Keys in an order that a database would change, and a number that it would round.
        before: Some(serde_json::json!({"z": 1, "a": [null, {"b": 1e300}], "🦀": "\u{0} '\"\\"})),
        after: Some(serde_json::Value::String("x".repeat(300_000))),
        calls: vec![call(None), call(Some(Code::StoreFailed))],
        ..entry(1)
    };
    let null = AuditEntry { after: None, resource: String::new(), stage: Stage::Intent, ..entry(2) };
    store.audit_append(&[full.clone(), null.clone()]).await.unwrap();
    let records = read_chain(&*store, 10).await;
    assert_eq!(records[0].text, serde_json::to_string(&full).unwrap());
    assert_eq!(entries(&records), [full, null]);
    let listed = store.audit_list(&AuditFilter::default()).await.unwrap();
    assert!(listed.iter().eq(records.iter().rev()), "a list has the same records");
}

pub async fn the_newest_records_come_first(store: Arc<dyn Store>) {
    // By their place in the chain: clocks of several processes differ.
    store.audit_append(&[entry(5), entry(9)]).await.unwrap();
    store.audit_append(&[entry(1), entry(7)]).await.unwrap();
    let records = store.audit_list(&AuditFilter::default()).await.unwrap();
    let found: Vec<_> = entries(&records).iter().map(|entry| entry.at).collect();
    assert_eq!(found, [7, 1, 9, 5].map(moment));
    assert_eq!(listed(&*store, &AuditFilter::default()).await, [4, 3, 2, 1]);
}

/// Twelve entries that differ in all that a filter knows; entry `number` is record `number + 1`.
async fn append_different(store: &dyn Store, followed: CorrelationId) {
    let text = |text: &str| text.to_owned();
    let different = |number: u64| AuditEntry {
        actor: text(if number.is_multiple_of(2) { "local" } else { "key ci-deploy" }),
        action: text(if number.is_multiple_of(3) { "plugin_create" } else { "function_execute" }),
        resource: text(if number < 6 { "pricing" } else { "pricing.quote" }),
        correlation: if number.is_multiple_of(4) { followed } else { CorrelationId::new() },
        allowed: !number.is_multiple_of(5),
        ..entry(number)
    };
    store.audit_append(&(0..12).map(different).collect::<Vec<_>>()).await.expect("the store works");
}

pub async fn each_filter_narrows_the_list(store: Arc<dyn Store>) {
    let followed = CorrelationId::new();
    append_different(&*store, followed).await;
    let check = async |filter: AuditFilter, expected: &[u64]| {
        assert_eq!(listed(&*store, &filter).await, expected, "{filter:?}");
    };
    let any = AuditFilter::default;
    let some = |text: &str| Some(text.to_owned());
    let all: Vec<u64> = (1..13).rev().collect();
    check(any(), &all).await;
    check(AuditFilter { actor: some("local"), ..any() }, &[11, 9, 7, 5, 3, 1]).await;
    check(AuditFilter { actor: some("key ci-deploy"), ..any() }, &[12, 10, 8, 6, 4, 2]).await;
    check(AuditFilter { action: some("plugin_create"), ..any() }, &[10, 7, 4, 1]).await;
    check(AuditFilter { resource: some("pricing"), ..any() }, &[6, 5, 4, 3, 2, 1]).await;
    check(AuditFilter { resource: some("pricing.quote"), ..any() }, &[12, 11, 10, 9, 8, 7]).await;
    check(AuditFilter { correlation: Some(followed), ..any() }, &[9, 5, 1]).await;
    check(AuditFilter { correlation: Some(CorrelationId::new()), ..any() }, &[]).await;
    check(AuditFilter { allowed: Some(false), ..any() }, &[11, 6, 1]).await;
    check(AuditFilter { allowed: Some(true), ..any() }, &[12, 10, 9, 8, 7, 5, 4, 3, 2]).await;
    // From `since` on, and before `until`.
    check(AuditFilter { since: Some(moment(9)), ..any() }, &[12, 11, 10]).await;
    check(AuditFilter { until: Some(moment(2)), ..any() }, &[2, 1]).await;
    check(AuditFilter { before: Some(3), ..any() }, &[2, 1]).await;
    for nothing in [0, 1] {
        check(AuditFilter { before: Some(nothing), ..any() }, &[]).await;
    }
    check(AuditFilter { before: Some(u64::MAX), ..any() }, &all).await;
    // To the letter: the whole of it, in its case, with no wildcards.
    for actor in ["loca", "LOCAL", "%", "*", ""] {
        check(AuditFilter { actor: some(actor), ..any() }, &[]).await;
        check(AuditFilter { action: some(actor), ..any() }, &[]).await;
        check(AuditFilter { resource: some(actor), ..any() }, &[]).await;
    }
}

pub async fn all_filters_must_match(store: Arc<dyn Store>) {
    let followed = CorrelationId::new();
    append_different(&*store, followed).await;
    let check = async |filter: AuditFilter, expected: &[u64]| {
        assert_eq!(listed(&*store, &filter).await, expected, "{filter:?}");
    };
    let some = |text: &str| Some(text.to_owned());
    let everything = AuditFilter {
        actor: some("local"),
        action: some("function_execute"),
        resource: some("pricing.quote"),
        correlation: Some(followed),
        allowed: Some(true),
        since: Some(moment(8)),
        until: Some(moment(9)),
        before: Some(10),
        limit: 1,
        ..AuditFilter::default()
    };
    check(everything.clone(), &[9]).await;
    // Each of them alone is enough to leave it out.
    check(AuditFilter { actor: some("key ci-deploy"), ..everything.clone() }, &[]).await;
    check(AuditFilter { action: some("plugin_create"), ..everything.clone() }, &[]).await;
    check(AuditFilter { resource: some("pricing"), ..everything.clone() }, &[]).await;
    check(AuditFilter { correlation: Some(CorrelationId::new()), ..everything.clone() }, &[]).await;
    check(AuditFilter { allowed: Some(false), ..everything.clone() }, &[]).await;
    check(AuditFilter { since: Some(moment(9)), ..everything.clone() }, &[]).await;
    check(AuditFilter { until: Some(moment(8)), ..everything.clone() }, &[]).await;
    check(AuditFilter { before: Some(9), ..everything }, &[]).await;

    let two = AuditFilter { actor: some("local"), resource: some("pricing"), ..AuditFilter::default() };
    check(two.clone(), &[5, 3, 1]).await;
    check(AuditFilter { limit: 2, ..two.clone() }, &[5, 3]).await;
    check(AuditFilter { limit: 2, before: Some(3), ..two.clone() }, &[1]).await;
    check(AuditFilter { since: Some(moment(1)), until: Some(moment(4)), ..two }, &[3]).await;
}

pub async fn a_list_is_turned_page_by_page(store: Arc<dyn Store>) {
    let entries = |numbers: std::ops::Range<u64>| -> Vec<AuditEntry> {
        let resource = |number: u64| if number.is_multiple_of(2) { "even" } else { "odd" };
        numbers.map(|number| AuditEntry { resource: resource(number).to_owned(), ..entry(number) }).collect()
    };
    store.audit_append(&entries(0..1_005)).await.unwrap();
    for (limit, expected) in [(1, 1), (7, 7), (0, 1_000), (5_000, 1_005), (u32::MAX, 1_005)] {
        let found = listed(&*store, &AuditFilter { limit, ..AuditFilter::default() }).await;
        assert_eq!((found.len(), found[0]), (expected, 1_005), "the newest are kept");
    }
    let filter = AuditFilter { resource: Some("even".to_owned()), limit: 100, ..AuditFilter::default() };
    let mut pages = vec![listed(&*store, &filter).await];
    while let Some(last) = pages.last().and_then(|page| page.last().copied()) {
        // What comes meanwhile moves no page.
        store.audit_append(&entries(2_000..2_002)).await.unwrap();
        pages.push(listed(&*store, &AuditFilter { before: Some(last), ..filter.clone() }).await);
    }
    let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(lengths, [100, 100, 100, 100, 100, 3, 0]);
    assert!(pages.concat().into_iter().eq((1..=1_005).rev().step_by(2)));
}

pub async fn the_log_is_read_from_end_to_end(store: Arc<dyn Store>) {
    let large: Vec<AuditEntry> = (0..3_000).map(entry).collect();
    assert_eq!(store.audit_append(&large).await.unwrap().sequence, 3_000);
    for page in [7, 1_000, 3_000, 5_000] {
        assert!(entries(&read_chain(&*store, page).await) == large, "in pages of {page}");
    }
    let check = async |after: u64, limit: u32, expected: &[u64]| {
        let records = store.audit_read(Some(after), limit).await.expect("the store works");
        assert!(records.iter().map(|kept| kept.record.sequence).eq(expected.iter().copied()), "{limit} after {after}");
    };
    check(0, 2, &[1, 2]).await;
    check(2, 2, &[3, 4]).await;
    check(2_998, 5, &[2_999, 3_000]).await;
    check(2_999, u32::MAX, &[3_000]).await;
    check(3_000, 5, &[]).await;
    check(u64::MAX, 5, &[]).await;
    check(0, 0, &[]).await;
}

pub async fn a_batch_carries_its_entries(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    store.audit_append(&[entry(0)]).await.unwrap();
    let batch = RecordBatch {
        runs: vec![run(&name, 1)],
        logs: vec![line(&name, moment(1), "x")],
        statistics: vec![statistics(&name, "echo", 1)],
        audit: vec![entry(3), entry(1), entry(2)],
        ..RecordBatch::default()
    };
    store.record_append(&batch).await.unwrap();
    let alone = RecordBatch { audit: vec![entry(5)], ..RecordBatch::default() };
    store.record_append(&alone).await.unwrap();
    assert_eq!(store.audit_append(&[entry(4)]).await.unwrap().sequence, 6);
    let found: Vec<_> = entries(&read_chain(&*store, 4).await).iter().map(|entry| entry.at).collect();
    assert_eq!(found, [0, 3, 1, 2, 5, 4].map(moment));
    assert_eq!(store.run_list(&RecordFilter::default()).await.unwrap().len(), 1);
    assert_eq!(store.log_list(&RecordFilter::default()).await.unwrap().len(), 1);
    assert_eq!(store.statistics_list(None).await.unwrap(), [statistics(&name, "echo", 1)]);
}

pub async fn a_batch_that_conflicts_leaves_no_entry(store: Arc<dyn Store>) {
    let name = name("pricing");
    let one = RecordBatch { runs: vec![run(&name, 1)], audit: vec![entry(1)], ..RecordBatch::default() };
    store.record_append(&one).await.unwrap();
    let head = store.audit_head().await.unwrap();
    assert_conflict(store.record_append(&one).await);
    let twice = RecordBatch { runs: vec![run(&name, 2), run(&name, 2)], ..one };
    assert_conflict(store.record_append(&twice).await);
    assert_eq!(store.audit_head().await.unwrap(), head);
    assert_eq!(read_chain(&*store, 10).await.len(), 1);
    store.audit_append(&[entry(2)]).await.unwrap();
    assert_eq!(read_chain(&*store, 10).await.len(), 2, "what follows stands behind what is there");
}

pub async fn of_entries_that_cannot_all_be_written_none_is(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let head = store.audit_append(&[entry(0)]).await.unwrap();
    let audit = vec![entry(1), unwritable(), entry(2)];
    assert!(store.audit_append(&audit).await.is_err());
    let batch = RecordBatch {
        runs: vec![run(&name, 1)],
        logs: vec![line(&name, moment(1), "never")],
        statistics: vec![statistics(&name, "echo", 1)],
        audit,
        ..RecordBatch::default()
    };
    assert!(store.record_append(&batch).await.is_err());
    assert_eq!(store.audit_head().await.unwrap(), head);
    assert_eq!(store.run_list(&RecordFilter::default()).await.unwrap(), []);
    assert_eq!(store.log_list(&RecordFilter::default()).await.unwrap(), []);
    assert_eq!(store.statistics_list(None).await.unwrap(), []);
    let sound = RecordBatch { audit: vec![entry(1)], ..batch };
    store.record_append(&sound).await.expect("the run is not there yet");
    assert_eq!(read_chain(&*store, 10).await.len(), 2);
}

pub async fn the_entries_of_many_writers_make_one_chain(store: Arc<dyn Store>) {
    const WRITERS: u64 = 12;
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for round in 0..4 {
                // Three of one append, which must stand one behind the other.
                let of_one = |part: u64| AuditEntry { resource: format!("{writer}.{round}.{part}"), ..entry(writer) };
                let audit: Vec<AuditEntry> = (0..3).map(of_one).collect();
                if writer % 2 == 0 {
                    store.audit_append(&audit).await.expect("the store works");
                } else {
                    let batch = RecordBatch { audit, ..RecordBatch::default() };
                    store.record_append(&batch).await.expect("the store works");
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
    let entries = entries(&read_chain(&*store, 50).await);
    let mut appends = Vec::new();
    for part in entries.chunks(3) {
        let (first, _) = part[0].resource.rsplit_once('.').expect("it has three parts");
        let resources: Vec<&str> = part.iter().map(|entry| entry.resource.as_str()).collect();
        assert_eq!(resources, [0, 1, 2].map(|part| format!("{first}.{part}")));
        appends.push(first.to_owned());
    }
    for writer in 0..WRITERS {
        let own = format!("{writer}.");
        let rounds: Vec<&String> = appends.iter().filter(|append| append.starts_with(&own)).collect();
        assert_eq!(rounds, [0, 1, 2, 3].map(|round| format!("{writer}.{round}")).each_ref(), "each writer's in order");
    }
    assert_eq!(appends.len(), usize::try_from(WRITERS * 4).expect("few"));
}

/// A deadline drops the future of a call wherever it stands.
pub async fn an_abandoned_append_leaves_the_chain_whole(store: Arc<dyn Store>) {
    for step in 0..40_u64 {
        let entries = [entry(step), entry(step)];
        let mut appending = store.audit_append(&entries);
        let mut left = step;
        std::future::poll_fn(|context| match appending.as_mut().poll(context) {
            Poll::Pending if left > 0 => {
                left -= 1;
                Poll::Pending
            }
            Poll::Pending | Poll::Ready(_) => Poll::Ready(()),
        })
        .await;
        drop(appending);
    }
    let head = store.audit_append(&[entry(100)]).await.unwrap();
    let records = read_chain(&*store, 100).await;
    assert_eq!(records.len() as u64, head.sequence);
    let entries = entries(&records);
    for pair in entries[..entries.len() - 1].chunks(2) {
        assert_eq!(pair.len(), 2, "both of an append, or neither");
        assert_eq!(pair[0].at, pair[1].at);
    }
    assert_eq!(entries.last().map(|entry| entry.at), Some(moment(100)));
}

pub async fn no_record_goes_with_what_it_is_about(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let batch = RecordBatch { runs: vec![run(&name, 1)], audit: vec![entry(1), entry(2)], ..RecordBatch::default() };
    store.record_append(&batch).await.unwrap();
    let records = read_chain(&*store, 10).await;
    assert!(store.plugin_delete(&name).await.unwrap());
    assert_eq!(store.prune(&Keep::since(moment(1_000))).await.unwrap(), 1, "only the run is pruned");
    assert_eq!(read_chain(&*store, 10).await, records);
}

/// A group of refusals, or of read-only calls, with its items.
fn group(number: u64, prunable: bool, calls: &[(&str, &str, Option<Code>, CorrelationId)]) -> AuditEntry {
    let call = |(key, resource, code, correlation): &(&str, &str, Option<Code>, CorrelationId)| GroupedCall {
        actor: format!("key {key}"),
        key: Some(format!("id-of-{key}")),
        resource: (*resource).to_owned(),
        code: *code,
        count: 40,
        correlations: vec![*correlation, CorrelationId::new()],
    };
    AuditEntry {
        actor: "several".to_owned(),
        action: "function_execute".to_owned(),
        resource: "*".to_owned(),
        allowed: !prunable,
        stage: Stage::Group,
        until: Some(moment(number + 30)),
        calls: calls.iter().map(call).collect(),
        prunable,
        ..entry(number)
    }
}

pub async fn s17_filters_see_what_is_in_groups(store: Arc<dyn Store>) {
    let (first, second) = (CorrelationId::new(), CorrelationId::new());
    let reads = group(
        10,
        false,
        &[("a", "pricing.quote", None, first), ("b", "pricing.sum", Some(Code::FunctionFailed), second)],
    );
    let refused = group(100, true, &[("c", "deploy.run", None, second)]);
    store.audit_append(&[entry(0), reads, entry(20), refused, entry(200)]).await.unwrap();
    let check = async |filter: AuditFilter, expected: &[u64]| {
        assert_eq!(listed(&*store, &filter).await, expected, "{filter:?}");
    };
    let any = AuditFilter::default;
    let some = |text: &str| Some(text.to_owned());
    check(AuditFilter { actor: some("key a"), ..any() }, &[2]).await;
    check(AuditFilter { key: some("id-of-b"), ..any() }, &[2]).await;
    check(AuditFilter { key: some("id-of-c"), allowed: Some(false), ..any() }, &[4]).await;
    check(AuditFilter { key: some("id-of-c"), allowed: Some(true), ..any() }, &[]).await;
    check(AuditFilter { resource: some("pricing.sum"), ..any() }, &[2]).await;
    check(AuditFilter { resource: some("deploy.run"), action: some("function_execute"), ..any() }, &[4]).await;
    check(AuditFilter { resource: some("deploy.run"), action: some("plugin_create"), ..any() }, &[]).await;
    check(AuditFilter { code: Some(Code::FunctionFailed), ..any() }, &[2]).await;
    check(AuditFilter { correlation: Some(first), ..any() }, &[2]).await;
    check(AuditFilter { correlation: Some(second), ..any() }, &[4, 2]).await;
    check(AuditFilter { correlation: Some(second), limit: 1, ..any() }, &[4]).await;
    check(AuditFilter { correlation: Some(second), before: Some(4), ..any() }, &[2]).await;
    // All filter fields must match the same item.
    check(AuditFilter { actor: some("key a"), resource: some("pricing.quote"), ..any() }, &[2]).await;
    check(AuditFilter { actor: some("key a"), resource: some("pricing.sum"), ..any() }, &[]).await;
    check(AuditFilter { actor: some("key a"), code: Some(Code::FunctionFailed), ..any() }, &[]).await;
    // A group covers a time span.
    check(AuditFilter { since: Some(moment(30)), until: Some(moment(35)), ..any() }, &[2]).await;
    check(AuditFilter { since: Some(moment(41)), until: Some(moment(100)), ..any() }, &[]).await;
    check(AuditFilter { actor: some("key c"), since: Some(moment(120)), until: Some(moment(121)), ..any() }, &[4])
        .await;
    read_chain(&*store, 2).await;
}

pub async fn s17_refusals_are_pruned_and_the_chain_stays_whole(store: Arc<dyn Store>) {
    let refusal = |key: &str, number: u64| AuditEntry {
        actor: format!("key {key}"),
        key: Some(key.to_owned()),
        allowed: false,
        prunable: true,
        ..entry(number)
    };
    // One key is refused all the time, another from time to time, and changes happen in between.
    for round in 0..20 {
        let mut entries: Vec<_> = (0..50).map(|number| refusal("loud", round * 100 + number)).collect();
        entries.push(refusal("quiet", round * 100 + 60));
        entries.push(entry(round * 100 + 70));
        store.audit_append(&entries).await.unwrap();
    }
    let head = store.audit_head().await.unwrap();
    let keep = Keep { refusals: Bound::newest(40, moment(0)), ..Keep::since(moment(0)) };
    assert_eq!(store.prune(&keep).await.unwrap(), 980);
    let left = entries(&read_chain(&*store, 7).await);
    let of = |key: &str| left.iter().filter(|entry| entry.key.as_deref() == Some(key)).count();
    assert_eq!((of("loud"), of("quiet"), left.len()), (20, 20, 60), "nobody gives way to who has more");
    let oldest = left.iter().filter(|entry| entry.key.as_deref() == Some("loud")).map(|entry| entry.at).min();
    assert_eq!(oldest, Some(moment(1_930)), "the oldest go first");
    assert_eq!(store.audit_head().await.unwrap(), head);
    assert_eq!(store.prune(&keep).await.unwrap(), 0);

    // The last record is a refusal: it stays, and numbering continues after it.
    store.audit_append(&[refusal("loud", 3_000)]).await.unwrap();
    let none = Keep { refusals: Bound::newest(0, moment(0)), ..Keep::since(moment(0)) };
    assert_eq!(store.prune(&none).await.unwrap(), 40);
    store.audit_append(&[entry(3_001)]).await.unwrap();
    let records = read_chain(&*store, 100).await;
    assert_eq!(records.last().map(|record| record.sequence), Some(20 * 52 + 2));
    assert_eq!(store.prune(&Keep::since(moment(9_999))).await.unwrap(), 1, "old refusals go, and nothing else");
    assert_eq!(read_chain(&*store, 100).await.len(), 21);
}

pub async fn s17_a_group_that_is_pruned_is_not_found_any_more(store: Arc<dyn Store>) {
    let correlation = CorrelationId::new();
    store.audit_append(&[group(1, true, &[("c", "deploy.run", None, correlation)]), entry(2)]).await.unwrap();
    let filter = AuditFilter { correlation: Some(correlation), ..AuditFilter::default() };
    assert_eq!(listed(&*store, &filter).await, [1]);
    let none = Keep { refusals: Bound::newest(0, moment(0)), ..Keep::since(moment(0)) };
    assert_eq!(store.prune(&none).await.unwrap(), 1);
    assert_eq!(listed(&*store, &filter).await, [0_u64; 0]);
}
