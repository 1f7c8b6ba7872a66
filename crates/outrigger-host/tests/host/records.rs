//! The records that a key with few rights can cause.

use std::sync::Arc;
use std::time::Duration;

use outrigger_api::{
    AuditQuery, Begun, Code, Door as _, EventQuery, FireRequest, HookRequest, KeyRequest, Platform, Template, Visit,
};
use outrigger_contract::HookKind;
use outrigger_host::{Host, HostOptions, Quotas, Retention, ServerWork};
use serde_json::json;

struct Server {
    _folder: tempfile::TempDir,
    host: Host,
    local: Arc<dyn Platform>,
}

impl Server {
    async fn new(quotas: Quotas, retention: Retention) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = HostOptions { data: folder.path().join("data"), search_paths: Vec::new() };
        let work = ServerWork { quotas, retention, ..ServerWork::default() };
        let host = Host::open_alone_with(options, work).await.expect("the data directory opens");
        let local = Arc::new(host.session());
        Self { _folder: folder, host, local }
    }

    async fn key(&self, name: &str) -> (Arc<dyn Platform>, String) {
        let roles = vec!["admin".to_owned()];
        let request = KeyRequest { name: name.to_owned(), roles, scope: None, expires_in_s: None };
        let key = self.local.key_create(request).await.expect("it is made");
        (self.host.enter(&key.key, Visit::default()).await.expect("it is known"), key.info.id)
    }

    /// The audit records of a key and right, and their counts; chained records and refusals.
    async fn audited(&self, key: &str, right: &str) -> [(usize, u64); 2] {
        let (key, action) = (Some(key.to_owned()), Some(right.to_owned()));
        let query = AuditQuery { key, action, limit: 1_000, ..AuditQuery::default() };
        let records = self.local.audit_list(&query).await.expect("it lists");
        [true, false].map(|allowed| {
            let of = records.iter().filter(|record| record.allowed == allowed);
            (of.clone().count(), of.map(|record| record.count).sum())
        })
    }
}

fn template(name: &str) -> Template {
    serde_json::from_value(json!({
        "name": name, "description": "A template", "runtime": "wasm", "language": "rust", "files": {"a.txt": "a"},
    }))
    .expect("a template")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_acts_that_fail_are_counted_and_leave_few_links() {
    let server = Server::new(Quotas::DEFAULT, Retention::DEFAULT).await;
    let (bad, bad_id) = server.key("bad").await;
    let (other, other_id) = server.key("other").await;
    bad.template_create(template("taken")).await.expect("it is free");
    for _ in 0..1_500 {
        let error = bad.template_create(template("taken")).await.expect_err("it is taken");
        assert_eq!(error.code, Code::AlreadyExists, "what fails does not use up the quota: {error:?}");
    }
    other.template_create(template("taken")).await.expect_err("it is taken");
    let [(links, acts), refused] = server.audited(&bad_id, "template_create").await;
    assert_eq!((acts, refused), (1_501, (0, 0)), "each is counted");
    assert!(links <= 1 + 2 * 6, "{links} links");
    assert_eq!(server.audited(&other_id, "template_create").await[0], (1, 1));
    assert!(server.local.audit_verify().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_acts_beyond_the_quota_of_a_key_are_refused_before_they_are_done() {
    let server = Server::new(Quotas { acts: 3, ..Quotas::DEFAULT }, Retention::DEFAULT).await;
    let (bad, bad_id) = server.key("bad").await;
    let (quiet, _) = server.key("quiet").await;
    let mut made = 0;
    let refused = loop {
        assert!(made <= 60, "there is no bound");
        match bad.template_create(template(&format!("t{made}"))).await {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.code, Code::RateLimited);
    assert!(refused.retry_after_ms.is_some(), "{refused:?}");
    assert!((30..=31).contains(&made), "{made}: ten times as many at once");
    for _ in 0..500 {
        let _ = bad.template_delete(&"t0".parse().expect("a name")).await;
        let _ = bad.template_create(template("more")).await;
    }
    let templates = server.local.template_list().await.expect("it lists");
    assert!(templates.iter().filter(|template| template.name.as_str().starts_with('t')).count() >= 29);
    let [(links, _), (refusals, counted)] = server.audited(&bad_id, "template_create").await;
    assert!(links <= 32 && refusals <= 12 && counted > 490, "{links} links, {refusals} refusals of {counted}");
    let [(links, _), _] = server.audited(&bad_id, "template_delete").await;
    assert!(links <= 4, "{links}: what destroys is refused before its intent is written");
    quiet.template_create(template("quiet")).await.expect("others have theirs");
    for number in 0..50 {
        server.local.template_create(template(&format!("l{number}"))).await.expect("the administrator has no quota");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_long_traces_are_cut_and_count_as_several_acts() {
    let server = Server::new(Quotas { acts: 3, ..Quotas::DEFAULT }, Retention::DEFAULT).await;
    let (bad, bad_id) = server.key("bad").await;
    let make = async |number: u32, properties: u32| {
        let properties: serde_json::Map<_, _> =
            (0..properties).map(|at| (format!("p{at}"), json!({"description": "x".repeat(100)}))).collect();
        let schema = json!({"type": "object", "properties": properties}).as_object().cloned();
        let name = format!("long{number}.x").parse().expect("a name");
        bad.hook_create(HookRequest { name, kind: HookKind::Event, description: "d".repeat(3_900), schema }).await
    };
    make(100, 200).await.expect("it is made");
    let mut made = 0;
    for number in 0..40 {
        made += u32::from(make(number, 15).await.is_ok());
    }
    assert!((10..20).contains(&made), "{made}: each takes two of thirty");
    let query = AuditQuery { key: Some(bad_id), limit: 1_000, ..AuditQuery::default() };
    let records = server.local.audit_list(&query).await.expect("it lists");
    let text = serde_json::to_string(&records).expect("JSON");
    assert!(text.contains("omitted") && text.len() < 200_000, "{} bytes", text.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_firing_in_a_loop_is_counted_and_never_held_up() {
    let quotas = Quotas { acts: 3, audited_calls: 5, ..Quotas::DEFAULT };
    let server = Server::new(quotas, Retention::DEFAULT).await;
    let (bad, bad_id) = server.key("bad").await;
    let hook = "customer.created".parse().expect("a name");
    let request = HookRequest {
        name: "customer.created".parse().expect("a name"),
        kind: HookKind::Event,
        description: String::new(),
        schema: None,
    };
    server.local.hook_create(request).await.expect("it is made");
    let fire =
        |number: u32| bad.hook_fire(&hook, FireRequest { payload: json!(number), dry_run: number.is_multiple_of(2) });
    for batch in 0..10 {
        let fired = futures::future::join_all((batch * 50..batch * 50 + 50).map(fire)).await;
        assert!(fired.iter().all(Result::is_ok), "{fired:?}");
    }
    let [(links, acts), _] = server.audited(&bad_id, "hook_execute").await;
    assert_eq!(acts, 500, "each is counted");
    assert!(links < 100, "{links} links");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s19_a_list_of_large_events_ends_early_and_can_be_continued() {
    let server = Server::new(Quotas::DEFAULT, Retention::DEFAULT).await;
    let hook = "customer.created".parse().expect("a name");
    let request = HookRequest {
        name: "customer.created".parse().expect("a name"),
        kind: HookKind::Event,
        description: String::new(),
        schema: None,
    };
    server.local.hook_create(request).await.expect("it is made");
    for _ in 0..80 {
        let request = FireRequest { payload: json!("x".repeat(60_000)), dry_run: false };
        server.local.hook_fire(&hook, request).await.expect("it is fired");
    }
    let name = "customer.created".parse().ok();
    let mut query = EventQuery { name, limit: 1_000, ..EventQuery::default() };
    let first = server.local.event_list(&query).await.expect("it lists");
    assert_eq!(first.len(), (4 << 20) / 60_002);
    query.before = first.last().map(|event| event.id.clone());
    let second = server.local.event_list(&query).await.expect("it lists");
    assert_eq!(first.len() + second.len(), 80);
}

/// The place of an idempotent request.
fn place(number: u32) -> [u8; 32] {
    let mut place = [0; 32];
    place[..4].copy_from_slice(&number.to_be_bytes());
    place
}

impl Server {
    /// Begins and ends a request with an answer of 60 KiB.
    async fn answer(&self, number: u32, owner: &str) {
        assert!(matches!(self.host.request_begin(place(number), [1; 32], owner).await, Ok(Begun::New)));
        self.host.request_end(place(number), owner, Some(vec![7; 60 << 10])).await.expect("it is noted");
    }

    /// Whether the answer of a request was kept. None if the request itself is not known.
    async fn kept(&self, number: u32, owner: &str) -> Option<bool> {
        match self.host.request_begin(place(number), [1; 32], owner).await {
            Ok(Begun::Ended { answer, .. }) => Some(answer.is_some()),
            _ => None,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_answers_of_a_key_are_kept_up_to_a_quota() {
    let server = Server::new(Quotas { answer_bytes: 2 << 20, ..Quotas::DEFAULT }, Retention::DEFAULT).await;
    for number in 0..50 {
        server.answer(number, "loud").await;
    }
    let mut kept = 0;
    for number in 0..50 {
        // What was done is known in any case.
        kept += u32::from(server.kept(number, "loud").await.expect("the request is known"));
    }
    assert!((30..50).contains(&kept), "{kept} of 50 answers were kept");
    server.answer(1_000, "quiet").await;
    assert_eq!(server.kept(1_000, "quiet").await, Some(true), "others have theirs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_answers_are_pruned_as_they_come() {
    let mut retention = Retention { period: Duration::from_hours(1), ..Retention::DEFAULT };
    retention.requests.bytes = 1 << 20;
    let server = Server::new(Quotas { answer_bytes: 64 << 20, ..Quotas::DEFAULT }, retention).await;
    // The first 8 MiB trigger pruning, long before the hour is over.
    for number in 0..250 {
        server.answer(number, "loud").await;
    }
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while server.kept(0, "loud").await.is_some() {
        assert!(std::time::Instant::now() < until, "it is not pruned");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
