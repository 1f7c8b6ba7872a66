//! Runs and log lines.

use std::sync::Arc;

use outrigger_contract::code::TABLE;
use outrigger_contract::{Code, Digest, PluginName};
use outrigger_engine::runtime::LogLevel;
use outrigger_engine::store::{
    Bound, CacheOutcome, Keep, LogRecord, RecordBatch, RecordFilter, RunRecord, RunSum, UsageFilter,
};
use outrigger_engine::{CorrelationId, Store};
use time::OffsetDateTime;

use super::fixtures::{assert_conflict, function, line, moment, name, put, run, statistics};

const LEVELS: [LogLevel; 5] = [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];

async fn append(store: &dyn Store, runs: Vec<RunRecord>, logs: Vec<LogRecord>) {
    store.record_append(&RecordBatch { runs, logs, ..RecordBatch::default() }).await.expect("the store works");
}

async fn messages(store: &dyn Store, filter: &RecordFilter) -> Vec<String> {
    let lines = store.log_list(filter).await.expect("the store works");
    lines.into_iter().map(|line| line.message).collect()
}

pub async fn runs_come_back_as_they_were_appended(store: Arc<dyn Store>) {
    let name = name("pricing");
    let outcomes = [CacheOutcome::Bypass, CacheOutcome::Miss, CacheOutcome::Hit, CacheOutcome::Shared];
    let mut runs = Vec::new();
    for (number, row) in (0..).zip(TABLE) {
        runs.push(RunRecord {
            digest: Some(Digest::of(b"x")),
            caller: "plugin “zoë”".to_owned(),
            duration_us: number * 1_000_000_007,
            code: Some(row.code),
            message: Some(format!("{}\n☂ 'quoted'", row.meaning)),
            cache: outcomes[runs.len() % 4],
            attempts: u32::try_from(number).expect("few"),
            ..run(&name, number)
        });
    }
    runs.push(RunRecord { attempts: u32::MAX, started_at: moment(500), ..run(&name, 500) });
    append(&*store, runs.clone(), Vec::new()).await;
    runs.reverse();
    assert_eq!(store.run_list(&RecordFilter::default()).await.unwrap(), runs);
}

pub async fn runs_that_are_alike_stay_each_what_it_is(store: Arc<dyn Store>) {
    let (pricing, other) = (name("pricing"), name("other"));
    // As under load: nearly all alike, from two plugins by turns, and a few that are not.
    let of = |number: u64| {
        let alike = RunRecord {
            duration_us: number,
            digest: Some(Digest::of(b"x")),
            caller: "key ci".to_owned(),
            ..run(if number.is_multiple_of(2) { &pricing } else { &other }, number)
        };
        match number % 100 {
            7 => RunRecord { code: Some(Code::Trapped), message: Some("Überlauf".to_owned()), ..alike },
            8 => RunRecord { cache: CacheOutcome::Hit, attempts: 0, ..alike },
            9 => RunRecord { caller: format!("key {number}"), digest: None, ..alike },
            _ => alike,
        }
    };
    let mut runs: Vec<RunRecord> = (0..1_300).map(of).collect();
    append(&*store, runs.clone(), Vec::new()).await;
    runs.reverse();
    let all = RecordFilter { limit: 2_000, ..RecordFilter::default() };
    assert_eq!(store.run_list(&all).await.unwrap(), runs);
    let folded = RecordFilter { contains: Some("überLAUF".to_owned()), ..all };
    assert_eq!(store.run_list(&folded).await.unwrap().len(), 13);

    // Of runs that are alike, one that is there already keeps the others out, too.
    let again: Vec<RunRecord> =
        (1_300..1_320).chain([4]).map(|number| RunRecord { digest: None, ..of(number) }).collect();
    let batch = RecordBatch { runs: again, ..RecordBatch::default() };
    assert_conflict(store.record_append(&batch).await);
    assert_eq!(
        store.run_list(&RecordFilter { since: Some(moment(1_300)), ..RecordFilter::default() }).await.unwrap(),
        []
    );
}

pub async fn log_lines_come_back_as_they_were_appended(store: Arc<dyn Store>) {
    let name = name("pricing");
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut logs = Vec::new();
    for (number, level) in (0..).zip(LEVELS) {
        logs.push(LogRecord { level, ..line(&name, moment(number), "☂ “quoted”\n\tand more") });
    }
    logs.push(LogRecord { function: None, ..line(&name, moment(10), "") });
    let fields = vec![pair("z", "last"), pair("a", "first"), pair("z", "twice"), pair("", "\"\u{1f980}'")];
    logs.push(LogRecord { fields, ..line(&name, moment(11), &"x".repeat(300_000)) });
    append(&*store, Vec::new(), logs.clone()).await;
    logs.reverse();
    assert_eq!(store.log_list(&RecordFilter::default()).await.unwrap(), logs);
}

pub async fn the_newest_come_first(store: Arc<dyn Store>) {
    let name = name("pricing");
    let at = |number, nanoseconds| RunRecord {
        started_at: moment(5) + time::Duration::nanoseconds(nanoseconds),
        ..run(&name, number)
    };
    append(&*store, vec![at(1, 0), at(4, 1), at(3, 0)], Vec::new()).await;
    append(&*store, vec![at(2, 0), at(5, -1)], Vec::new()).await;
    let runs = store.run_list(&RecordFilter::default()).await.unwrap();
    let ids: Vec<CorrelationId> = runs.into_iter().map(|run| run.id).collect();
    assert_eq!(ids, [4, 3, 2, 1, 5].map(|number| run(&name, number).id), "of one moment, the higher id");

    let line = |at, message: &str| line(&name, at, message);
    append(&*store, Vec::new(), vec![line(moment(5), "first"), line(moment(9), "last"), line(moment(5), "second")])
        .await;
    append(&*store, Vec::new(), vec![line(moment(5), "third"), line(moment(1), "earliest")]).await;
    let found = messages(&*store, &RecordFilter::default()).await;
    assert_eq!(found, ["last", "third", "second", "first", "earliest"], "of one moment, the one appended later");
}

pub async fn filters_narrow_the_list(store: Arc<dyn Store>) {
    let (pricing, other, followed) = (name("pricing"), name("other"), CorrelationId::new());
    let mut runs = Vec::new();
    let mut logs = Vec::new();
    for number in 0..12_u64 {
        let plugin = if number % 2 == 0 { &pricing } else { &other };
        let called = function(if number % 3 == 0 { "echo" } else { "echo.more" });
        let correlation = if number % 4 == 0 { followed } else { CorrelationId::new() };
        runs.push(RunRecord { function: called.clone(), correlation, ..run(plugin, number) });
        let index = usize::try_from(number).expect("small");
        let called = (number != 6).then_some(called);
        let logged = line(plugin, moment(number), &number.to_string());
        logs.push(LogRecord { function: called, correlation, level: LEVELS[index % 5], ..logged });
    }
    append(&*store, runs, logs).await;
    let check = async |filter: RecordFilter, runs: &[u64], logs: &[u64]| {
        let found = store.run_list(&filter).await.expect("the store works");
        let found: Vec<OffsetDateTime> = found.iter().map(|run| run.started_at).collect();
        assert_eq!(found, runs.iter().map(|number| moment(*number)).collect::<Vec<_>>(), "{filter:?}");
        let expected: Vec<String> = logs.iter().map(ToString::to_string).collect();
        assert_eq!(messages(&*store, &filter).await, expected, "{filter:?}");
    };
    let any = RecordFilter::default;
    let all: Vec<u64> = (0..12).rev().collect();
    check(any(), &all, &all).await;
    let plugin = |plugin: &PluginName| RecordFilter { plugin: Some(plugin.clone()), ..any() };
    check(plugin(&pricing), &[10, 8, 6, 4, 2, 0], &[10, 8, 6, 4, 2, 0]).await;
    check(plugin(&name("absent")), &[], &[]).await;
    check(RecordFilter { function: Some(function("echo")), ..any() }, &[9, 6, 3, 0], &[9, 3, 0]).await;
    check(RecordFilter { correlation: Some(followed), ..any() }, &[8, 4, 0], &[8, 4, 0]).await;
    check(RecordFilter { correlation: Some(CorrelationId::new()), ..any() }, &[], &[]).await;
    check(RecordFilter { level: Some(LogLevel::Trace), ..any() }, &all, &all).await;
    check(RecordFilter { level: Some(LogLevel::Warn), ..any() }, &all, &[9, 8, 4, 3]).await;
    // From `since` on, and before `until`.
    check(RecordFilter { since: Some(moment(9)), ..any() }, &[11, 10, 9], &[11, 10, 9]).await;
    check(RecordFilter { until: Some(moment(2)), ..any() }, &[1, 0], &[1, 0]).await;
    check(RecordFilter { since: Some(moment(4)), until: Some(moment(6)), ..any() }, &[5, 4], &[5, 4]).await;
    let forever = (OffsetDateTime::UNIX_EPOCH.replace_year(1).ok(), OffsetDateTime::UNIX_EPOCH.replace_year(9999).ok());
    check(RecordFilter { since: forever.0, until: forever.1, ..any() }, &all, &all).await;
    let both =
        RecordFilter { plugin: Some(pricing), function: Some(function("echo")), since: Some(moment(1)), ..any() };
    check(both, &[6], &[]).await;
}

pub async fn runs_that_failed_are_listed_alone(store: Arc<dyn Store>) {
    let (pricing, other) = (name("pricing"), name("other"));
    let failed = |plugin: &PluginName, number| RunRecord { code: Some(Code::Trapped), ..run(plugin, number) };
    let runs = (0..40).map(|number| match number {
        3 | 20 => failed(&pricing, number),
        7 => failed(&other, number),
        _ => run(&pricing, number),
    });
    append(&*store, runs.collect(), vec![line(&pricing, moment(1), "one")]).await;
    let check = async |filter: RecordFilter, expected: &[u64]| {
        let found = store.run_list(&filter).await.expect("the store works");
        let found: Vec<OffsetDateTime> = found.iter().map(|run| run.started_at).collect();
        assert_eq!(found, expected.iter().map(|number| moment(*number)).collect::<Vec<_>>(), "{filter:?}");
    };
    let any = || RecordFilter { failed: true, ..RecordFilter::default() };
    check(any(), &[20, 7, 3]).await;
    // The limit counts those that failed, not those that were looked at.
    check(RecordFilter { limit: 2, ..any() }, &[20, 7]).await;
    check(RecordFilter { plugin: Some(pricing), until: Some(moment(20)), ..any() }, &[3]).await;
    assert_eq!(messages(&*store, &any()).await, ["one"], "of log lines none is left out");
}

pub async fn text_is_found_whatever_its_case(store: Arc<dyn Store>) {
    let name = name("pricing");
    let texts = ["Connection REFUSED", "ÜBERTRAGUNG abgebrochen", "ΟΔΥΣΣΕΥΣ", "plain", "Straße", "İstanbul"];
    let lines = (0..).zip(texts).map(|(number, text)| line(&name, moment(number), text)).collect();
    let runs =
        (0..).zip(texts).map(|(number, text)| RunRecord { message: Some(text.to_owned()), ..run(&name, number) });
    append(&*store, runs.chain([run(&name, 90)]).collect(), lines).await;
    let check = async |contains: &str, expected: &[&str]| {
        let filter = RecordFilter { contains: Some(contains.to_owned()), ..RecordFilter::default() };
        assert_eq!(messages(&*store, &filter).await, expected, "{contains}");
        let runs = store.run_list(&filter).await.expect("the store works");
        let found: Vec<_> = runs.into_iter().filter_map(|run| run.message).collect();
        assert_eq!(found, expected, "{contains}");
    };
    check("refused", &["Connection REFUSED"]).await;
    check("ion Ref", &["Connection REFUSED"]).await;
    check("übertragung", &["ÜBERTRAGUNG abgebrochen"]).await;
    check("ABGEBROCHEN", &["ÜBERTRAGUNG abgebrochen"]).await;
    check("οδυσσευς", &["ΟΔΥΣΣΕΥΣ"]).await;
    check("ΣΕΥ", &["ΟΔΥΣΣΕΥΣ"]).await;
    check("STRASSE", &["Straße"]).await;
    check("PLAIN", &["plain"]).await;
    check("absent", &[]).await;
    let all = store.run_list(&RecordFilter { contains: Some(String::new()), ..RecordFilter::default() }).await.unwrap();
    assert_eq!(all.len(), texts.len(), "a run without a message contains nothing, not even the empty text");
}

pub async fn text_is_searched_to_the_letter(store: Arc<dyn Store>) {
    let name = name("pricing");
    let texts = ["100%", "100 percent", "a_b", "axb", r"c:\temp", "it's", "\"quoted\"", "[x]*?", "a  b"];
    let lines = (0..).zip(texts).map(|(number, text)| line(&name, moment(number), text)).collect();
    append(&*store, Vec::new(), lines).await;
    for text in texts {
        let filter = RecordFilter { contains: Some(text.to_owned()), ..RecordFilter::default() };
        assert_eq!(messages(&*store, &filter).await, [text]);
    }
    for (text, expected) in [("%", "100%"), ("_", "a_b"), ("\\", r"c:\temp"), ("*", "[x]*?"), ("'", "it's")] {
        let filter = RecordFilter { contains: Some(text.to_owned()), ..RecordFilter::default() };
        assert_eq!(messages(&*store, &filter).await, [expected]);
    }
    // Longer than some databases allow for a pattern.
    let filter = RecordFilter { contains: Some("%a_".repeat(40_000)), ..RecordFilter::default() };
    assert_eq!(messages(&*store, &filter).await, Vec::<String>::new());
}

pub async fn a_list_has_a_limit(store: Arc<dyn Store>) {
    let name = name("pricing");
    let runs = (0..1_005).map(|number| run(&name, number)).collect();
    let logs = (0..1_005).map(|number| line(&name, moment(number), &number.to_string())).collect();
    append(&*store, runs, logs).await;
    let check = async |limit: u32, expected: usize| {
        let filter = RecordFilter { limit, ..RecordFilter::default() };
        let (runs, logs) = (store.run_list(&filter).await.unwrap(), store.log_list(&filter).await.unwrap());
        assert_eq!((runs.len(), logs.len()), (expected, expected));
        assert_eq!((runs[0].started_at, logs[0].at), (moment(1_004), moment(1_004)), "the newest are kept");
    };
    check(1, 1).await;
    check(7, 7).await;
    check(0, 1_000).await;
    check(5_000, 1_005).await;
    check(u32::MAX, 1_005).await;
}

pub async fn a_batch_is_appended_whole_or_not_at_all(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    append(&*store, vec![run(&name, 1)], Vec::new()).await;
    let batch = RecordBatch {
        runs: vec![run(&name, 2), run(&name, 1)],
        logs: vec![line(&name, moment(1), "never")],
        statistics: vec![statistics(&name, "echo", 1)],
        ..RecordBatch::default()
    };
    assert_conflict(store.record_append(&batch).await);
    let twice = RecordBatch { runs: vec![run(&name, 3), run(&name, 3)], ..batch };
    assert_conflict(store.record_append(&twice).await);
    assert_eq!(store.run_list(&RecordFilter::default()).await.unwrap().len(), 1);
    assert_eq!(messages(&*store, &RecordFilter::default()).await, Vec::<String>::new());
    assert_eq!(store.statistics_list(None).await.unwrap(), []);
}

pub async fn a_large_batch_is_appended(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let batch = RecordBatch {
        runs: (0..3_000).map(|number| run(&name, number)).collect(),
        logs: (0..5_000).map(|number| line(&name, moment(number), &format!("line {number}"))).collect(),
        statistics: (0..300).map(|number| statistics(&name, &format!("function-{}", number % 100), 1)).collect(),
        ..RecordBatch::default()
    };
    store.record_append(&batch).await.unwrap();
    let everything = RecordFilter { limit: 100_000, ..RecordFilter::default() };
    assert_eq!(store.run_list(&everything).await.unwrap().len(), 3_000);
    let found = messages(&*store, &everything).await;
    assert!(found.iter().eq((0..5_000).rev().map(|number| format!("line {number}")).collect::<Vec<_>>().iter()));
    let rows = store.statistics_list(Some(&name)).await.unwrap();
    assert_eq!(rows.len(), 100);
    assert!(rows.iter().all(|row| row.counters["calls"] == 3));
}

pub async fn old_records_are_pruned(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let batch = RecordBatch {
        runs: (0..10).map(|number| run(&name, number)).collect(),
        logs: (0..10).map(|number| line(&name, moment(number), "x")).collect(),
        statistics: vec![statistics(&name, "echo", 10)],
        ..RecordBatch::default()
    };
    store.record_append(&batch).await.unwrap();
    assert_eq!(store.prune(&Keep::since(moment(0))).await.unwrap(), 0);
    assert_eq!(store.prune(&Keep::since(moment(7))).await.unwrap(), 14);
    let runs = store.run_list(&RecordFilter::default()).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.started_at).min(), Some(moment(7)), "what is as old as that stays");
    assert_eq!(store.log_list(&RecordFilter::default()).await.unwrap().len(), 3);
    assert_eq!(store.statistics_list(None).await.unwrap(), [statistics(&name, "echo", 10)], "statistics stay");
    assert_eq!(store.prune(&Keep::since(moment(7))).await.unwrap(), 0);
    assert_eq!(store.prune(&Keep::since(moment(1_000))).await.unwrap(), 6);
    // A run that is gone may come again.
    append(&*store, vec![run(&name, 1)], Vec::new()).await;
}

pub async fn no_more_is_kept_than_was_said(store: Arc<dyn Store>) {
    let name = name("pricing");
    let logs = [1, 2, 2, 3, 4].map(|number| line(&name, moment(number), "x"));
    append(&*store, (0..10).map(|number| run(&name, number)).collect(), logs.to_vec()).await;
    let newest = |most: u64| Bound::newest(most, moment(0));
    let keep = Keep { runs: newest(3), logs: newest(10), ..Keep::since(moment(0)) };
    assert_eq!(store.prune(&keep).await.unwrap(), 7);
    let runs = store.run_list(&RecordFilter::default()).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.started_at).collect::<Vec<_>>(), [9, 8, 7].map(moment));
    let keep = Keep { logs: newest(2), ..Keep::since(moment(0)) };
    assert_eq!(store.prune(&keep).await.unwrap(), 3);
    assert_eq!(store.log_list(&RecordFilter::default()).await.unwrap().len(), 2);
    // Whichever of the two says less.
    let keep = Keep { runs: Bound::newest(2, moment(9)), ..Keep::since(moment(0)) };
    assert_eq!(store.prune(&keep).await.unwrap(), 2);
    let keep = Keep { runs: newest(0), logs: newest(0), ..Keep::since(moment(0)) };
    assert_eq!(store.prune(&keep).await.unwrap(), 3);
}

pub async fn many_records_are_pruned(store: Arc<dyn Store>) {
    let name = name("pricing");
    append(&*store, (0..2_300).map(|number| run(&name, number)).collect(), Vec::new()).await;
    assert_eq!(store.prune(&Keep::since(moment(1_800))).await.unwrap(), 1_800);
    assert_eq!(store.run_list(&RecordFilter::default()).await.unwrap().len(), 500);
}

pub async fn s06_runs_that_stand_for_several_add_up(store: Arc<dyn Store>) {
    let name = name("pricing");
    let part = |calls, duration_us, max_us, attempts| RunRecord {
        duration_us,
        attempts,
        sum: Some(RunSum { calls, max_us }),
        ..run(&name, 1)
    };
    let first = part(10, 100, 30, 12);
    for sums in [vec![first.clone()], vec![RunRecord { message: Some("x".to_owned()), ..part(5, 50, 20, 5) }]] {
        store.record_append(&RecordBatch { sums, ..RecordBatch::default() }).await.unwrap();
    }
    append(&*store, vec![run(&name, 2)], Vec::new()).await;
    let sum = RunRecord { correlation: first.correlation, ..part(15, 150, 30, 17) };
    let found = store.run_list(&RecordFilter::default()).await.unwrap();
    assert_eq!(found[1], sum, "what it says besides is that of the first");
    assert_eq!((found.len(), found[0].sum, found[0].calls()), (2, None, 1));
    let usage = store.run_usage(&UsageFilter::between(moment(0), moment(100))).await.unwrap();
    let group = &usage.groups[0];
    assert_eq!((group.calls, group.retries, group.total_us, group.max_us), (16, 2, 1_650, 1_500));
    assert_eq!(store.prune(&Keep::since(moment(100))).await.unwrap(), 2);
    store.record_append(&RecordBatch { sums: vec![first], ..RecordBatch::default() }).await.unwrap();
    assert_eq!(store.run_list(&RecordFilter::default()).await.unwrap()[0].calls(), 10, "and begins anew");
}

/// Runs and log lines of a busy plugin or key, older and newer than the few of a quiet one.
pub async fn s06_who_has_most_gives_way(store: Arc<dyn Store>) {
    let (quiet, loud) = (name("quiet"), name("loud"));
    let refused =
        |number: u64| RunRecord { caller: "key bad".to_owned(), code: Some(Code::Forbidden), ..run(&quiet, number) };
    let by_plugin = |number: u64| RunRecord { caller: "plugin loud.loop".to_owned(), ..run(&quiet, number) };
    let few: Vec<_> = (1..=5).map(|number| run(&quiet, number * 1_000)).collect();
    let mut runs = few.clone();
    runs.extend((10..700).map(|number| run(&loud, number)));
    runs.extend((1_001..1_700).map(refused));
    runs.extend((2_001..2_700).map(by_plugin));
    let logs = (0..600).map(|number| line(&loud, moment(number), &"x".repeat(1_000)));
    append(&*store, runs, logs.chain([line(&quiet, moment(1), "kept")]).collect()).await;

    let keep = Keep { runs: Bound::newest(60, moment(0)), ..Keep::since(moment(0)) };
    assert_eq!(store.prune(&keep).await.unwrap(), 5 + 690 + 699 + 699 - 60);
    let left = store.run_list(&RecordFilter::default()).await.unwrap();
    let found: Vec<_> = left.iter().rev().filter(|run| run.plugin == quiet && run.caller == "local").cloned().collect();
    assert_eq!(found, few, "a quiet plugin keeps all of its own");
    let of = |caller: &str| left.iter().filter(|run| run.caller == caller).count();
    assert_eq!((of("key bad"), left.len()), (27, 60));
    assert!(left.iter().any(|run| run.plugin == loud) && of("plugin loud.loop") > 0, "within a share all have one");

    let logs = Bound { bytes: 50_000, ..Bound::since(moment(0)) };
    let dropped = store.prune(&Keep { logs, ..Keep::since(moment(0)) }).await.unwrap();
    let lines = messages(&*store, &RecordFilter::default()).await;
    assert!(lines.contains(&"kept".to_owned()) && lines.len() < 50, "{} lines", lines.len());
    assert_eq!(dropped + lines.len() as u64, 601);
    let shares = store.share_list().await.unwrap();
    let share = |kind: &str, account: &str| shares.iter().find(|share| share.kind == kind && share.account == account);
    assert_eq!(share("runs", "key bad").map(|share| share.records), Some(27), "{shares:#?}");
    assert!(share("logs", "plugin loud").is_some_and(|share| share.bytes <= 50_000), "{shares:#?}");
}
