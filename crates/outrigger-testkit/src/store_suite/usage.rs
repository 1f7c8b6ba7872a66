//! Sums of runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::Code;
use outrigger_engine::Store;
use outrigger_engine::store::{CacheOutcome, RecordBatch, RunRecord, UsageFilter, UsageKey, UsageRecord};
use time::OffsetDateTime;

use super::fixtures::{function, moment, name, run};

async fn append(store: &dyn Store, runs: Vec<RunRecord>) {
    store.record_append(&RecordBatch { runs, ..RecordBatch::default() }).await.expect("the store works");
}

fn by<const N: usize>(keys: [UsageKey; N]) -> UsageFilter {
    let far = Duration::from_secs(100 * 24 * 60 * 60);
    UsageFilter { by: BTreeSet::from(keys), ..UsageFilter::between(moment(0), moment(0) + far) }
}

async fn groups(store: &dyn Store, filter: &UsageFilter) -> Vec<UsageRecord> {
    store.run_usage(filter).await.expect("the store works").groups
}

/// The name of each group, and its number of calls.
async fn calls(store: &dyn Store, filter: &UsageFilter) -> Vec<(String, u64)> {
    let called = |group: UsageRecord| {
        let parts = [
            group.plugin.map(|plugin| plugin.to_string()),
            group.function.map(|function| function.to_string()),
            group.caller,
            group.code.map(|code| code.to_string()),
        ];
        (parts.into_iter().flatten().collect::<Vec<_>>().join(" "), group.calls)
    };
    groups(store, filter).await.into_iter().map(called).collect()
}

fn expected(groups: &[(&str, u64)]) -> Vec<(String, u64)> {
    groups.iter().map(|(name, calls)| ((*name).to_owned(), *calls)).collect()
}

/// Runs of two plugins by three callers.
fn some() -> Vec<RunRecord> {
    let (pricing, other) = (name("pricing"), name("other"));
    let caller = |caller: &str, run: RunRecord| RunRecord { caller: caller.to_owned(), ..run };
    let failed = |code: Code, run: RunRecord| RunRecord { code: Some(code), ..run };
    let more = |run: RunRecord| RunRecord { function: function("echo.more"), ..run };
    vec![
        run(&pricing, 1),
        RunRecord { duration_us: 10, cache: CacheOutcome::Hit, ..caller("key ci", run(&pricing, 2)) },
        RunRecord { duration_us: 90, cache: CacheOutcome::Shared, ..caller("key ci", run(&pricing, 3)) },
        RunRecord { attempts: 3, cache: CacheOutcome::Miss, ..failed(Code::Trapped, more(run(&pricing, 4))) },
        // One that did not come so far as to be tried.
        RunRecord { attempts: 0, duration_us: 0, ..failed(Code::Forbidden, caller("key zoë", run(&pricing, 5))) },
        more(run(&other, 6)),
    ]
}

pub async fn runs_are_summed_up_in_groups(store: Arc<dyn Store>) {
    let all = by([]);
    let empty = store.run_usage(&all).await.unwrap();
    assert_eq!((empty.groups, empty.truncated, empty.oldest), (Vec::new(), false, None));
    append(&*store, some()).await;
    let whole = store.run_usage(&all).await.unwrap();
    let sums = UsageRecord {
        from: None,
        plugin: None,
        function: None,
        caller: None,
        code: None,
        calls: 6,
        failures: 2,
        cache_hits: 2,
        retries: 2,
        total_us: 4_600,
        max_us: 1_500,
    };
    assert_eq!((whole.groups, whole.truncated, whole.oldest), (vec![sums], false, Some(moment(1))));

    let check = async |filter: UsageFilter, wanted: &[(&str, u64)]| {
        assert_eq!(calls(&*store, &filter).await, expected(wanted), "{filter:?}");
    };
    check(by([UsageKey::Plugin]), &[("pricing", 5), ("other", 1)]).await;
    check(by([UsageKey::Function]), &[("echo", 4), ("echo.more", 2)]).await;
    let of_both = [("pricing echo", 4), ("other echo.more", 1), ("pricing echo.more", 1)];
    check(by([UsageKey::Plugin, UsageKey::Function]), &of_both).await;
    check(by([UsageKey::Caller]), &[("local", 3), ("key ci", 2), ("key zoë", 1)]).await;
    // Of those with as many calls, the one that went well comes first.
    check(by([UsageKey::Outcome]), &[("", 4), ("forbidden", 1), ("trapped", 1)]).await;
    let of_all = by([UsageKey::Plugin, UsageKey::Function, UsageKey::Caller, UsageKey::Outcome]);
    let each = [
        ("pricing echo key ci", 2),
        ("other echo.more local", 1),
        ("pricing echo key zoë forbidden", 1),
        ("pricing echo local", 1),
        ("pricing echo.more local trapped", 1),
    ];
    check(of_all, &each).await;
}

pub async fn hours_and_days_begin_where_clocks_say(store: Arc<dyn Store>) {
    let pricing = name("pricing");
    let midnight = OffsetDateTime::from_unix_timestamp(1_795_046_400).unwrap();
    assert_eq!(midnight.time(), time::Time::MIDNIGHT);
    let hour = Duration::from_secs(60 * 60);
    let at = |number, at: OffsetDateTime| RunRecord { started_at: at, ..run(&pricing, number) };
    let before = midnight - Duration::from_nanos(1);
    let times = [before, midnight, midnight + hour - Duration::from_nanos(1), midnight + hour];
    append(&*store, (0..).zip(times).map(|(number, time)| at(number, time)).collect()).await;
    let check = async |keys: BTreeSet<UsageKey>, expected: &[(OffsetDateTime, u64)]| {
        let filter = UsageFilter { by: keys, ..UsageFilter::between(midnight - 24 * hour, midnight + 24 * hour) };
        let found = groups(&*store, &filter).await;
        let found: Vec<_> = found.into_iter().map(|group| (group.from.unwrap(), group.calls)).collect();
        assert_eq!(found, expected, "{filter:?}");
    };
    let hours = [(midnight - hour, 1), (midnight, 2), (midnight + hour, 1)];
    check([UsageKey::Hour].into(), &hours).await;
    check([UsageKey::Day].into(), &[(midnight - 24 * hour, 1), (midnight, 3)]).await;
    check([UsageKey::Day, UsageKey::Hour].into(), &hours).await;
    // A group says when its hour begins, whatever the span.
    let part =
        UsageFilter { by: [UsageKey::Hour].into(), ..UsageFilter::between(midnight + hour / 2, midnight + hour) };
    let found = groups(&*store, &part).await;
    assert_eq!((found.len(), found[0].from, found[0].calls), (1, Some(midnight), 1));
}

pub async fn only_runs_that_match_are_summed_up(store: Arc<dyn Store>) {
    append(&*store, some()).await;
    let check = async |filter: UsageFilter, expected: u64| {
        let sum: u64 = groups(&*store, &filter).await.iter().map(|group| group.calls).sum();
        assert_eq!(sum, expected, "{filter:?}");
    };
    let any = || by([UsageKey::Caller]);
    let plugins = |names: &[&str]| Some(names.iter().map(|text| name(text)).collect::<BTreeSet<_>>());
    check(UsageFilter { plugins: plugins(&["pricing"]), ..any() }, 5).await;
    check(UsageFilter { plugins: plugins(&["other", "pricing"]), ..any() }, 6).await;
    check(UsageFilter { plugins: plugins(&["absent"]), ..any() }, 0).await;
    check(UsageFilter { plugins: plugins(&[]), ..any() }, 0).await;
    // More than a database has room for in one statement: anybody may call what is not there, and leave a run of it.
    let many = (0..40_000).map(|number| name(&format!("absent-{number}"))).chain([name("pricing")]);
    check(UsageFilter { plugins: Some(many.collect()), ..any() }, 5).await;
    check(UsageFilter { function: Some(function("echo.more")), ..any() }, 2).await;
    check(UsageFilter { caller: Some("key ci".to_owned()), ..any() }, 2).await;
    check(UsageFilter { caller: Some("key".to_owned()), ..any() }, 0).await;
    let of_ci = UsageFilter { caller: Some("key ci".to_owned()), since: moment(3), ..any() };
    check(UsageFilter { plugins: plugins(&["pricing"]), ..of_ci }, 1).await;
    // From `since` on, and before `until`.
    check(UsageFilter { since: moment(2), until: moment(4), ..any() }, 2).await;
    check(UsageFilter { since: moment(4), until: moment(4), ..any() }, 0).await;
    let forever = (OffsetDateTime::UNIX_EPOCH.replace_year(1).ok(), OffsetDateTime::UNIX_EPOCH.replace_year(9999).ok());
    check(UsageFilter { since: forever.0.unwrap(), until: forever.1.unwrap(), ..any() }, 6).await;
}

pub async fn groups_have_one_order_and_a_limit(store: Arc<dyn Store>) {
    let pricing = name("pricing");
    // Callers by turns, so that all have as many calls, over two hours.
    let of = |number: u64| RunRecord {
        caller: format!("key {:04}", number % 1_100),
        started_at: moment(0) + Duration::from_secs(3 * number),
        ..run(&pricing, number)
    };
    append(&*store, (0..2_200).map(of).collect()).await;
    let check = async |limit: u32, expected: usize, truncated: bool| {
        let usage = store.run_usage(&UsageFilter { limit, ..by([UsageKey::Caller]) }).await.unwrap();
        assert_eq!((usage.groups.len(), usage.truncated), (expected, truncated), "{limit}");
        let callers = usage.groups.into_iter().map(|group| group.caller.unwrap());
        assert!(callers.eq((0..expected).map(|number| format!("key {number:04}"))), "{limit}");
    };
    check(1, 1, true).await;
    check(0, 1_000, true).await;
    check(1_099, 1_099, true).await;
    check(1_100, 1_100, false).await;
    check(u32::MAX, 1_100, false).await;
    let timed = groups(&*store, &UsageFilter { limit: 5_000, ..by([UsageKey::Hour, UsageKey::Caller]) }).await;
    assert!(timed.is_sorted_by_key(|group| group.from), "the earliest come first, however many calls there were");
    assert_eq!(timed.iter().map(|group| group.calls).sum::<u64>(), 2_200);
}

pub async fn what_there_are_runs_of_is_known(store: Arc<dyn Store>) {
    assert!(store.run_plugins().await.unwrap().is_empty());
    let names = ["pricing", "a", "other", "z-last"].map(name);
    let runs = (0..).zip(names.iter().cycle().take(40)).map(|(number, name)| run(name, number));
    append(&*store, runs.collect()).await;
    assert_eq!(store.run_plugins().await.unwrap(), ["a", "other", "pricing", "z-last"].map(name));
}
