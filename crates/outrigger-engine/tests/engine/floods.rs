//! Write limits of one plugin or key under a flood: events, state, jobs, runs, audit records.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use outrigger_contract::units::Span;
use outrigger_contract::{Code, HookKind, OnError};
use outrigger_engine::access::{Principal, Role};
use outrigger_engine::audit::AuditEntry;
use outrigger_engine::events::NewEvent;
use outrigger_engine::hooks::{Firing, NewHook, NewSubscription};
use outrigger_engine::jobs::{
    Callers, JobId, JobOptions, JobRecord, JobRequest, JobState, Missed, Overlap, Owner, ScheduleRequest,
};
use outrigger_engine::quota::Quotas;
use outrigger_engine::recorder::{Rate, RunSampling};
use outrigger_engine::store::{AuditFilter, Bound, EventFilter, RecordFilter, RunRecord, UsageFilter, UsageKey};
use outrigger_engine::{CallOptions, Caller, Failure, audit};
use serde_json::json;
use time::OffsetDateTime;

use crate::bench::{Bench, call, installation, until};

/// An event of the plugin, with any payload.
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

/// The function's result for a call that fires this often.
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
    // Neither another call nor a reload refills the quota.
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

fn new_hook(name: &str, created_by: &Caller) -> NewHook {
    let (name, kind) = (name.parse().expect("a name"), HookKind::Event);
    NewHook { name, kind, description: String::new(), schema: None, created_by: created_by.to_string() }
}

#[tokio::test]
async fn s06_events_that_a_key_fires_displace_nobody_elses() {
    let bench = Bench::new().await;
    bench.demo(HOOK).await;
    assert!(fire(&bench, 10).await.contains("all were fired"));
    let (loud, quiet) = (key("loud", &["*"]), key("quiet", &["*"]));
    let fire = async |caller: &Caller, hook: &str| {
        let hook = hook.parse().expect("a name");
        bench.engine.fire(Firing { cause: Some(caller.clone()), ..Firing::new(hook, json!({})) }).await.map(drop)
    };
    for number in 0..20 {
        let hook = format!("own.n{number}");
        bench.engine.hook_create(new_hook(&hook, &loud)).await.expect("there is room");
        for _ in 0..10 {
            fire(&loud, &hook).await.expect("it is within the quota");
        }
    }
    for _ in 0..10 {
        fire(&quiet, "own.n0").await.expect("it is within the quota");
        // The quota of the plugin that declares the hook is not used, either.
        fire(&loud, "demo.happened").await.expect("it is within the quota");
    }
    bench.store.event_prune(&Bound::newest(60, OffsetDateTime::UNIX_EPOCH)).await.expect("it is pruned");
    let left = bench.store.event_list(&EventFilter { limit: 1_000, ..EventFilter::default() }).await.expect("it lists");
    let of = |name: &str| left.iter().filter(|event| event.name.as_str() == name).count();
    assert_eq!(left.len(), 60);
    assert_eq!(of("plugin.installed"), 1);
    assert!(of("demo.happened") >= 10, "{}", of("demo.happened"));
    assert!(of("own.n0") >= 10, "{}", of("own.n0"));
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

/// A job with arguments of this size.
fn job(bytes: usize) -> JobRequest {
    let function = if bytes == 0 { "demo.version" } else { "demo.echo" };
    let around = json!({"text": ""}).to_string().len();
    let text = bytes.checked_sub(around).map(|length| json!({"text": "x".repeat(length)}));
    JobRequest {
        function: function.parse().expect("a name"),
        arguments: text.unwrap_or_else(|| json!({})).to_string(),
        timeout: None,
        max_attempts: 1,
        backoff: Duration::from_secs(1),
        concurrency_key: None,
        on_interruption: None,
        needs_approval: false,
        not_before: None,
    }
}

#[tokio::test]
async fn s06_jobs_of_a_key_are_bounded() {
    let bench = Bench::with_options(|options| options.quotas = Quotas { job_bytes: 20_000, ..Quotas::DEFAULT }).await;
    bench.demo("").await;
    let (loud, quiet) = (key("loud", &["*"]), key("quiet", &["*"]));
    let mut created = 0;
    let refused = loop {
        match bench.engine.job_create(&loud, job(0)).await {
            Ok(_) => created += 1,
            Err(failure) => break failure,
        }
    };
    assert_eq!((refused.code, created), (Code::RateLimited, 9));
    bench.engine.job_create(&quiet, job(0)).await.expect("others have theirs");
}

/// Knows these owners of jobs.
#[derive(Debug)]
struct Owners(Vec<Caller>);

#[async_trait]
impl Callers for Owners {
    async fn caller(&self, owner: &Owner) -> Result<Caller, Failure> {
        let found = self.0.iter().find(|caller| caller.key() == owner.key.as_deref());
        found.cloned().ok_or_else(|| Failure::new(Code::Forbidden, "the key is gone"))
    }
}

#[tokio::test]
async fn s06_results_of_jobs_count_against_the_quota() {
    let bench = Bench::with_options(|options| options.quotas = Quotas { job_bytes: 50_000, ..Quotas::DEFAULT }).await;
    bench.demo("").await;
    let (loud, quiet) = (key("loud", &["*"]), key("quiet", &["*"]));
    let options = JobOptions { period: Duration::from_millis(20), ..JobOptions::default() };
    let owners = Arc::new(Owners(vec![loud.clone(), quiet.clone()]));
    bench.engine.start_jobs(options, owners).await.expect("the store works");
    let id = bench.engine.job_create(&loud, job(40_000)).await.expect("it is within the quota").id;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while bench.engine.job(id).await.expect("it is there").state != JobState::Succeeded {
        assert!(std::time::Instant::now() < deadline, "it has not ended");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // The arguments leave room for three more jobs, the result for none. It is counted just after it is written.
    let refused = loop {
        match bench.engine.job_create(&loud, job(0)).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(failure) => break failure,
        }
    };
    assert_eq!(refused.code, Code::RateLimited, "{}", refused.message);
    assert!(refused.retry_after.is_some_and(|wait| wait > Duration::from_secs(30)), "{refused:?}");
    bench.engine.job_create(&quiet, job(0)).await.expect("others have theirs");
}

#[tokio::test]
async fn s22_long_jobs_of_one_key_leave_room_for_those_of_others() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let (loud, quiet) = (key("loud", &["*"]), key("quiet", &["*"]));
    let options = JobOptions { period: Duration::from_millis(20), ..JobOptions::default() };
    let owners = Arc::new(Owners(vec![loud.clone(), quiet.clone()]));
    bench.engine.start_jobs(options, owners).await.expect("the store works");
    let waiting = || JobRequest { function: "demo.wait".parse().expect("a name"), ..job(0) };
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(bench.engine.job_create(&loud, waiting()).await.expect("there is room").id);
    }
    until("three of four run", || bench.runtime.waiting() == 3).await;
    bench.engine.job_create(&quiet, waiting()).await.expect("there is room");
    until("that of the other key runs", || bench.runtime.waiting() == 4).await;
    for id in &ids[3..] {
        assert_eq!(bench.engine.job(*id).await.expect("it is there").state, JobState::Queued);
    }
    bench.runtime.release();
    until("the others run in the end", || bench.runtime.waiting() == 2).await;
}

#[tokio::test]
async fn s06_jobs_that_wait_are_bounded_in_bytes() {
    const LARGE: usize = 256 << 10;
    let bench = Bench::new().await;
    bench.demo("").await;
    let (loud, quiet) = (key("loud", &["*"]), key("quiet", &["*"]));
    let first = bench.engine.job_create(&loud, job(LARGE)).await.expect("there is room");
    // As if the address had returned day after day.
    for _ in 1..126 {
        let job = JobRecord { id: JobId::new(), ..first.clone() };
        bench.store.job_create(&job, None).await.expect("it is kept");
    }
    bench.engine.job_create(&loud, job(LARGE)).await.expect("there is room for one more");
    let refused = bench.engine.job_create(&loud, job(LARGE)).await.expect_err("and for no other");
    assert_eq!(refused.code, Code::Busy, "{}", refused.message);
    assert!(refused.message.contains("the waiting jobs of the key would take"), "{}", refused.message);
    assert!(refused.message.ends_with("the limit is 32MiB"), "{}", refused.message);
    let backlog = bench.store.job_backlog(Some("id-of-loud")).await.expect("it counts");
    assert!(backlog.bytes <= 32 << 20, "{backlog:?}");
    bench.engine.job_create(&quiet, job(LARGE)).await.expect("others have theirs");
    bench.engine.job_create(&Caller::Local, job(LARGE)).await.expect("the administrator has more");
    // An ended job counts as ended; a retry needs space among the unfinished ones.
    bench.engine.job_cancel(first.id).await.expect("it waits");
    bench.engine.job_create(&loud, job(LARGE)).await.expect("there is room again");
    let refused = bench.engine.job_retry(first.id, &Caller::Local).await.expect_err("whoever wants it");
    assert_eq!(refused.code, Code::Busy, "{}", refused.message);
}

#[tokio::test]
async fn s06_arguments_of_schedules_are_bounded_in_bytes() {
    const LARGE: usize = 256 << 10;
    let bench = Bench::new().await;
    bench.demo("").await;
    let put = async |caller: &Caller, name: &str, bytes: usize| {
        let wanted = ScheduleRequest {
            name: name.to_owned(),
            cron: "0 0 1 1 *".parse().expect("a cron expression"),
            job: job(bytes),
            enabled: true,
            missed: Missed::Skip,
            overlap: Overlap::Skip,
        };
        bench.engine.schedule_put(caller, wanted, |_| true).await
    };
    let (loud, quiet) = (key("loud", &["*"]), key("quiet", &["*"]));
    for number in 0..15 {
        put(&loud, &format!("large-{number}"), LARGE).await.expect("there is room in 4 MiB");
    }
    let refused = put(&loud, "large-15", LARGE).await.expect_err("it is too much");
    assert_eq!(refused.code, Code::Conflict, "{}", refused.message);
    assert!(refused.message.contains("the schedules of the key would take"), "{}", refused.message);
    put(&loud, "small", 100_000).await.expect("a small one has room");
    put(&loud, "small", LARGE).await.expect_err("and does not grow beyond it");
    put(&loud, "large-0", LARGE).await.expect("what is there can be put again");
    put(&quiet, "own", LARGE).await.expect("others have theirs");
}

#[tokio::test]
async fn s17_hooks_of_a_key_are_bounded() {
    let bench = Bench::new().await;
    let create = async |number: usize, created_by: &str| {
        let new = NewHook {
            name: format!("demo.hook-{number}").parse().expect("a name"),
            kind: HookKind::Event,
            description: String::new(),
            schema: None,
            created_by: created_by.to_owned(),
        };
        bench.engine.hook_create(new).await.map_err(|failure| (failure.code, failure.message))
    };
    for number in 0..250 {
        create(number, "key loud").await.expect("there is room");
    }
    let refused = create(250, "key loud").await.expect_err("there are too many");
    assert_eq!(refused, (Code::Conflict, "the key has 250 hooks; the limit is 250".to_owned()));
    create(250, "key quiet").await.expect("others have theirs");
    create(251, "local").await.expect("and so has the administrator");
}

#[tokio::test]
async fn s17_subscriptions_of_a_key_are_bounded() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let subscribe = async |created_by: &str| {
        let new = NewSubscription {
            hook: "plugin.reloaded".parse().expect("a name"),
            function: "demo.echo".parse().expect("a name"),
            priority: 1,
            condition: None,
            on_error: OnError::FailOpen,
            timeout: Span::from_secs(1),
            description: Some("x".repeat(500_000)),
            created_by: created_by.to_owned(),
        };
        bench.engine.subscribe(new).await.map_err(|failure| (failure.code, failure.message))
    };
    for _ in 0..16 {
        subscribe("key loud").await.expect("there is room in 8 MiB");
    }
    let (code, message) = subscribe("key loud").await.expect_err("it is too much");
    assert_eq!(code, Code::Conflict);
    assert!(message.contains("the subscriptions of the key would take 8.2MiB"), "{message}");
    subscribe("key quiet").await.expect("others have theirs");
}

#[tokio::test]
async fn s06_jobs_that_are_done_again_are_bounded_too() {
    let bench = Bench::with_options(|options| options.quotas = Quotas { job_bytes: 20_000, ..Quotas::DEFAULT }).await;
    bench.demo("").await;
    let loud = key("loud", &["*"]);
    let job = bench.engine.job_create(&loud, job(0)).await.expect("it is made");
    let mut again = 0;
    let refused = loop {
        bench.engine.job_cancel(job.id).await.expect("it waits");
        match bench.engine.job_retry(job.id, &loud).await {
            Ok(_) => again += 1,
            Err(failure) => break failure,
        }
    };
    assert_eq!((refused.code, again), (Code::RateLimited, 8));
}

#[tokio::test]
async fn s17_a_key_that_calls_in_a_loop_blurs_nothing_of_another() {
    let quotas = Quotas { audited_calls: 2, ..Quotas::DEFAULT };
    let bench = Bench::with_options(|options| options.quotas = quotas).await;
    bench.demo("[permissions]\nplugins = [\"other.thing\"]\n[functions.remember]\ndestructive = true\n").await;
    let (loud, quiet) = (key("loud", &["function_execute:*"]), key("quiet", &["function_execute:*"]));
    let remember = |caller: &Caller| {
        let call = call("demo.remember", json!({"key": "k", "value": "v"}), CallOptions::default());
        bench.engine.call(outrigger_engine::Call { caller: caller.clone(), ..call })
    };
    for _ in 0..25 {
        futures::future::join_all((0..4).map(|_| remember(&loud))).await;
    }
    remember(&quiet).await.expect("it may");
    let of = |key: &str| AuditFilter { key: Some(format!("id-of-{key}")), ..AuditFilter::default() };
    let entries = audited(&bench, &of("quiet")).await;
    let stages: Vec<_> = entries.iter().map(|entry| (&*entry.actor, &*entry.resource, entry.stage)).collect();
    let own = |stage| ("key quiet", "demo.remember", stage);
    let wanted = [own(audit::Stage::Done), own(audit::Stage::Intent)];
    assert_eq!(stages, wanted, "entries of its own, whatever the plugin's others do");
    let entries = audited(&bench, &of("loud")).await;
    assert_eq!(entries.iter().map(AuditEntry::count).sum::<u64>(), 200, "each is begun and done");
    assert!(entries.len() < 100, "{} entries", entries.len());
}

/// Small rates.
fn few() -> RunSampling {
    let rate = |burst| Rate { burst, per_minute: 1 };
    RunSampling { function: rate(50), account: rate(80), refused: rate(10) }
}

#[tokio::test]
async fn s17_who_calls_and_reads_the_audit_log_in_a_loop_leaves_few_records() {
    let bench = Bench::new().await;
    bench.demo("[functions.echo]\nread-only = true\n").await;
    for _ in 0..500 {
        bench.code("demo.echo", json!({"text": "x"})).await;
        bench.engine.flush_audit().await;
    }
    let filter = AuditFilter { limit: 10_000, ..AuditFilter::default() };
    let records = bench.store.audit_list(&filter).await.expect("it lists").len();
    assert!((100..320).contains(&records), "{records} records");
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
