//! What one plugin or key may write, however often it tries: events, state, jobs, runs, entries of the audit log.

use std::sync::Arc;
use std::time::Duration;

use outrigger_contract::Code;
use outrigger_engine::access::{Principal, Role};
use outrigger_engine::audit::AuditEntry;
use outrigger_engine::events::NewEvent;
use outrigger_engine::hooks::Firing;
use outrigger_engine::jobs::JobRequest;
use outrigger_engine::quota::Quotas;
use outrigger_engine::recorder::{Rate, RunSampling};
use outrigger_engine::store::{AuditFilter, EventFilter, RecordFilter, RunRecord, UsageFilter, UsageKey};
use outrigger_engine::{CallOptions, Caller, audit};
use serde_json::json;
use time::OffsetDateTime;

use crate::bench::{Bench, call, installation};

/// An event that the plugin declares, which carries anything.
const HOOK: &str = "[hooks.\"demo.happened\"]\nkind = \"event\"\ndescription = \"Something happened.\"\n";

fn key(name: &str, allow: &[&str]) -> Caller {
    let role = Role {
        name: "own".parse().expect("a name"),
        description: String::new(),
        allow: allow.iter().map(|rule| rule.parse().expect("a rule")).collect(),
        deny: Vec::new(),
    };
    let (id, name) = (format!("id-of-{name}"), name.to_owned());
    Caller::Key(Arc::new(Principal { id, name, roles: vec![Arc::new(role)], scope: None, expires_at: None }))
}

async fn happened(bench: &Bench) -> usize {
    let filter = EventFilter { name: "demo.*".parse().ok(), limit: 100_000, ..EventFilter::default() };
    bench.store.event_list(&filter).await.expect("it lists").len()
}

/// What the function says of a call that fires so often.
async fn fire(bench: &Bench, times: u32) -> String {
    let arguments = json!({"hook": "demo.happened", "times": times});
    let failure = bench.call("demo.fire-then-fail", arguments).await.expect_err("it says how it ended");
    failure.message
}

#[tokio::test]
async fn s06_a_plugin_fires_so_many_events_a_minute() {
    let bench = Bench::with_options(|options| options.quotas = Quotas { events: 20, ..Quotas::DEFAULT }).await;
    bench.demo(HOOK).await;
    let said = fire(&bench, 1_000).await;
    assert!(said.contains("rate_limited: the plugin `demo` wrote too many events"), "{said}");
    assert_eq!(happened(&bench).await, 20);
    // Neither another call nor a reload fills it.
    bench.engine.reload(&"demo".parse().expect("a name")).await.expect("it is reloaded");
    assert!(fire(&bench, 1).await.contains("rate_limited"));
    assert_eq!(happened(&bench).await, 20);
    assert_eq!(bench.engine.plugin_counters()[0].refused.events, 2, "what was refused is counted");

    bench
        .engine
        .install(installation("other", "1.0.0", &HOOK.replace("demo", "other")))
        .await
        .expect("it is installed");
    let arguments = json!({"hook": "other.happened", "times": 5});
    let failure = bench.call("other.fire-then-fail", arguments).await.expect_err("it says how it ended");
    assert!(failure.message.contains("all were fired"), "{}", failure.message);
}

#[tokio::test]
async fn s06_the_bytes_of_events_are_bounded_too() {
    let bench = Bench::with_options(|options| options.quotas = Quotas { event_bytes: 3_000, ..Quotas::DEFAULT }).await;
    bench.demo(HOOK).await;
    assert!(fire(&bench, 1_000).await.contains("rate_limited"));
    assert!((5..10).contains(&happened(&bench).await), "{}", happened(&bench).await);
}

#[tokio::test]
async fn s06_a_key_that_fires_hooks_has_a_quota_of_its_own() {
    let bench = Bench::with_options(|options| options.quotas = Quotas { events: 7, ..Quotas::DEFAULT }).await;
    bench.demo(HOOK).await;
    let fire = async |caller: Caller| {
        let hook = "demo.happened".parse().expect("a name");
        bench.engine.fire(Firing { cause: Some(caller), ..Firing::new(hook, json!({})) }).await.map(drop)
    };
    let (loud, quiet) = (key("loud", &["*"]), key("quiet", &["*"]));
    for _ in 0..7 {
        fire(loud.clone()).await.expect("it is within the quota");
    }
    let refused = fire(loud).await.expect_err("it is used up");
    assert_eq!(refused.code, Code::RateLimited);
    assert!(refused.retry_after.is_some_and(|wait| wait <= Duration::from_mins(1)), "{refused:?}");
    fire(quiet).await.expect("others have theirs");
    fire(Caller::Local).await.expect("the administrator has none");
}

#[tokio::test]
async fn s06_writes_to_the_state_are_bounded() {
    let bench = Bench::with_options(|options| options.quotas = Quotas { state_bytes: 10_000, ..Quotas::DEFAULT }).await;
    bench.demo("").await;
    let mut written = 0;
    let refused = loop {
        match bench.call("demo.remember", json!({"key": "a", "value": "x".repeat(935)})).await {
            Ok(_) => written += 1,
            Err(failure) => break failure,
        }
    };
    assert_eq!(written, 10, "however small the state stays");
    assert!(refused.message.contains("of state writes per minute"), "{}", refused.message);
    assert_eq!(bench.engine.plugin_counters()[0].refused.state_writes, 1);
}

#[tokio::test]
async fn s06_jobs_of_a_key_are_bounded() {
    let bench = Bench::with_options(|options| options.quotas = Quotas { job_bytes: 20_000, ..Quotas::DEFAULT }).await;
    bench.demo("").await;
    let request = JobRequest {
        function: "demo.version".parse().expect("a name"),
        arguments: "{}".to_owned(),
        timeout: None,
        max_attempts: 1,
        backoff: Duration::from_secs(1),
        concurrency_key: None,
        on_interruption: None,
        needs_approval: false,
        not_before: None,
    };
    let (loud, quiet) = (key("loud", &["*"]), key("quiet", &["*"]));
    let mut created = 0;
    let refused = loop {
        match bench.engine.job_create(&loud, request.clone()).await {
            Ok(_) => created += 1,
            Err(failure) => break failure,
        }
    };
    assert_eq!((refused.code, created), (Code::RateLimited, 9));
    bench.engine.job_create(&quiet, request).await.expect("others have theirs");
}

/// Rates that are soon used up.
fn few() -> RunSampling {
    let rate = |burst| Rate { burst, per_minute: 1 };
    RunSampling { function: rate(50), account: rate(80), refused: rate(10) }
}

#[tokio::test]
async fn s06_usage_is_exact_however_few_runs_are_kept() {
    let bench = Bench::with_options(|options| options.runs = few()).await;
    bench.demo("[functions.version]\nread-only = true\n[functions.fail]\nread-only = true\n").await;
    let since = OffsetDateTime::now_utc();
    for number in 0..400 {
        match number % 4 {
            0 => drop(bench.call("demo.fail", json!({"text": "no"})).await),
            _ => drop(bench.call("demo.version", json!({})).await),
        }
    }
    bench.engine.flush().await;
    let runs =
        bench.store.run_list(&RecordFilter { limit: 10_000, ..RecordFilter::default() }).await.expect("it lists");
    assert!(runs.len() < 90, "{} runs", runs.len());
    assert_eq!(runs.iter().map(RunRecord::calls).sum::<u64>(), 400, "each is counted");
    assert!(runs.iter().any(|run| run.calls() > 100), "and those that stand for several say so");
    let by = [UsageKey::Function, UsageKey::Outcome].into();
    let filter = UsageFilter { by, ..UsageFilter::between(since, OffsetDateTime::now_utc()) };
    let usage = bench.store.run_usage(&filter).await.expect("it adds up");
    let groups: Vec<_> = usage.groups.iter().map(|group| (group.calls, group.failures)).collect();
    assert_eq!(groups, [(300, 0), (100, 100)]);
    assert!(bench.engine.counted().runs > 300, "{:?}", bench.engine.counted());
}

async fn audited(bench: &Bench, filter: &AuditFilter) -> Vec<AuditEntry> {
    bench.engine.flush_audit().await;
    let records = bench.store.audit_list(&AuditFilter { limit: 100_000, ..filter.clone() }).await.expect("it lists");
    records.iter().map(|record| record.entry().expect("it is an entry")).collect()
}

#[tokio::test]
async fn s17_refused_calls_of_a_key_are_counted_in_few_records() {
    let bench = Bench::with_options(|options| options.runs = few()).await;
    bench.demo("").await;
    let (bad, good) = (key("bad", &[]), key("good", &["function_execute:*"]));
    let as_caller = async |caller: &Caller, function: &str| {
        let call = call(function, json!({}), CallOptions::default());
        bench.engine.call(outrigger_engine::Call { caller: caller.clone(), ..call }).await
    };
    for number in 0..2_000 {
        let name = if number % 2 == 0 { "demo.version" } else { "demo.echo" };
        assert_eq!(as_caller(&bad, name).await.expect_err("it has no right").code, Code::Forbidden);
    }
    as_caller(&good, "demo.version").await.expect("it may");
    let refused = AuditFilter { actor: Some("key bad".to_owned()), ..AuditFilter::default() };
    let entries = audited(&bench, &refused).await;
    assert_eq!(entries.iter().map(AuditEntry::count).sum::<u64>(), 2_000, "each is counted");
    assert!(entries.len() <= 6, "{} entries", entries.len());
    let group = entries.iter().find(|entry| entry.stage == audit::Stage::Group).expect("a group");
    assert_eq!((group.key.as_deref(), group.allowed, group.calls.len()), (Some("id-of-bad"), false, 2));
    let found = AuditFilter { resource: Some("demo.echo".to_owned()), allowed: Some(false), ..refused };
    assert!(audited(&bench, &found).await.iter().any(|entry| entry.stage == audit::Stage::Group));

    let runs =
        bench.store.run_list(&RecordFilter { limit: 10_000, ..RecordFilter::default() }).await.expect("it lists");
    let of = |caller: &str| runs.iter().filter(|run| run.caller == caller).collect::<Vec<_>>();
    assert_eq!(of("key bad").iter().map(|run| run.calls()).sum::<u64>(), 2_000);
    assert!(of("key bad").len() <= 14, "{} runs", of("key bad").len());
    assert_eq!(of("key good").len(), 1, "others' runs are kept");
}

#[tokio::test]
async fn s17_one_key_that_is_refused_takes_no_room_from_another() {
    let bench = Bench::with_options(|_| {}).await;
    let refuse = |name: &str, action: &str, resource: String| {
        let mut entry = AuditEntry {
            at: OffsetDateTime::now_utc(),
            until: None,
            actor: format!("key {name}"),
            key: Some(format!("id-of-{name}")),
            action: action.to_owned(),
            resource,
            allowed: false,
            decision: None,
            stage: audit::Stage::Done,
            code: None,
            revision: None,
            before: None,
            after: None,
            correlation: outrigger_engine::CorrelationId::new(),
            calls: Vec::new(),
            prunable: true,
        };
        entry.decision = Some("no rule allows it".to_owned());
        bench.engine.audit_soon(entry);
    };
    for number in 0..20_000 {
        refuse("bad", &format!("verb_{}", number % 300), format!("thing-{number}"));
    }
    refuse("quiet", "plugin_create", "pricing".to_owned());
    let filter = AuditFilter { allowed: Some(false), ..AuditFilter::default() };
    let entries = audited(&bench, &filter).await;
    assert_eq!(entries.iter().map(AuditEntry::count).sum::<u64>(), 20_001);
    assert!(entries.len() < 250, "{} entries", entries.len());
    let quiet = AuditFilter { key: Some("id-of-quiet".to_owned()), ..AuditFilter::default() };
    assert_eq!(audited(&bench, &quiet).await.len(), 1);
}

#[tokio::test]
async fn s17_what_is_counted_is_written_when_the_engine_ends() {
    let bench = Bench::with_options(|_| {}).await;
    bench.demo("").await;
    let caller = key("bad", &[]);
    for _ in 0..100 {
        let call = call("demo.version", json!({}), CallOptions::default());
        let _ = bench.engine.call(outrigger_engine::Call { caller: caller.clone(), ..call }).await;
    }
    bench.engine.shutdown().await;
    let filter = AuditFilter { actor: Some("key bad".to_owned()), limit: 1_000, ..AuditFilter::default() };
    let records = bench.store.audit_list(&filter).await.expect("it lists");
    let counts = records.iter().map(|record| record.entry().expect("it is an entry").count());
    assert_eq!(counts.sum::<u64>(), 100);
}

#[tokio::test]
async fn s06_an_event_of_the_system_needs_no_quota() {
    let bench = Bench::with_options(|options| options.quotas = Quotas { events: 1, ..Quotas::DEFAULT }).await;
    bench.demo(HOOK).await;
    let name = "demo".parse().expect("a name");
    for _ in 0..3 {
        bench.engine.disable(&name).await.expect("it is disabled");
        bench.engine.enable(&name).await.expect("it is enabled");
    }
    let filter = EventFilter { name: "plugin.disabled".parse().ok(), ..EventFilter::default() };
    assert_eq!(bench.store.event_list(&filter).await.expect("it lists").len(), 3);
    assert_eq!(NewEvent::now("job.failed".parse().expect("a name"), json!({})).owner().account, "system");
}
