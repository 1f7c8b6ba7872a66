//! Webhooks with a real receiver: requests, signatures, and failed deliveries.

pub mod receiver;

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_api::{
    AuditQuery, Code, DeliveryInfo, DeliveryQuery, Door as _, EventQuery, FireRequest, HookRequest, NewWebhook,
    Platform, Visit, WebhookChange, WebhookName, WebhookRequest,
};
use outrigger_engine::store::WebhookStore as _;
use outrigger_engine::webhooks::machine::Patience;
use outrigger_engine::webhooks::{Keep, WebhookOptions};
use outrigger_host::{Host, HostOptions, ServerWork};
use outrigger_store::SqliteStore;
use serde_json::{Value as Json, json};
use time::OffsetDateTime;

use receiver::{Receiver, Reply};

/// Three attempts, as quickly as they can be told apart.
fn quick() -> WebhookOptions {
    WebhookOptions {
        period: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        drain: Duration::from_millis(100),
        patience: Patience {
            attempts: 3,
            first_wait: Duration::from_millis(10),
            longest_wait: Duration::from_millis(50),
            switched_off_after: Duration::from_secs(3600),
        },
        ..WebhookOptions::default()
    }
}

/// A data directory with a server's host over it, and an event hook, `customer.created`.
struct Bench {
    folder: tempfile::TempDir,
    platform: Arc<dyn Platform>,
}

impl Bench {
    async fn new() -> Self {
        Self::with(quick()).await
    }

    async fn with(options: WebhookOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let platform = serve(folder.path(), options).await;
        Self::over(folder, platform).await
    }

    async fn over(folder: tempfile::TempDir, platform: Arc<dyn Platform>) -> Self {
        let hook = json!({"name": "customer.created", "kind": "event"});
        platform.hook_create(read::<HookRequest>(hook)).await.expect("it is added");
        Self { folder, platform }
    }

    /// Adds a webhook at a receiver on this machine.
    async fn add(&self, name: &str, receiver: &Receiver, more: Json) -> NewWebhook {
        self.platform.webhook_create(request(name, receiver, &more)).await.expect("it is added")
    }

    async fn fire(&self, payload: Json) {
        let hook = "customer.created".parse().expect("a name");
        self.platform.hook_fire(&hook, FireRequest { payload, dry_run: false }).await.expect("it is fired");
    }

    async fn deliveries(&self, name: &str) -> Vec<DeliveryInfo> {
        self.platform.delivery_list(&webhook(name), &DeliveryQuery::default()).await.expect("it lists")
    }

    /// The newest delivery, once it is in this state.
    async fn reaches(&self, name: &str, state: &str) -> DeliveryInfo {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let deliveries = self.deliveries(name).await;
            match deliveries.first() {
                Some(delivery) if delivery.state == state => return delivery.clone(),
                _ => assert!(Instant::now() < deadline, "it is not {state}: {deliveries:#?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn store(&self) -> impl Future<Output = SqliteStore> + use<> {
        let path = self.folder.path().join("data/outrigger.db");
        async move { SqliteStore::open(path).await.expect("it opens") }
    }
}

async fn serve(folder: &std::path::Path, options: WebhookOptions) -> Arc<dyn Platform> {
    Arc::new(open(folder, options).await.session())
}

async fn open(folder: &std::path::Path, options: WebhookOptions) -> Host {
    let host = HostOptions { data: folder.join("data"), search_paths: Vec::new() };
    let work = ServerWork { webhooks: options, ..ServerWork::default() };
    Host::open_alone_with(host, work).await.expect("the data directory opens")
}

/// A webhook at a receiver on this machine.
fn request(name: &str, receiver: &Receiver, more: &Json) -> WebhookRequest {
    let mut request = json!({
        "name": name, "url": receiver.url(), "events": ["customer.*"], "allow_http": true,
        "allow_private_network": true,
    });
    request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    read(request)
}

fn read<T: serde::de::DeserializeOwned>(json: Json) -> T {
    serde_json::from_value(json).expect("a request")
}

fn webhook(name: &str) -> WebhookName {
    name.parse().expect("a name")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_delivered_once_and_signed() {
    let (bench, receiver) = (Bench::new().await, Receiver::new().await);
    let made = bench.add("chat", &receiver, json!({"headers": {"X-Token": "hunter2"}})).await;
    bench.fire(json!({"name": "Ada"})).await;
    let received = receiver.wait(1).await.remove(0);
    assert!(received.is_signed_with(made.secret.reveal()));
    let delivery = bench.reaches("chat", "delivered").await;
    assert_eq!((delivery.status, delivery.attempts, delivery.error), (Some(200), 1, None));
    assert_eq!(received.header("webhook-id"), delivery.id);
    let timestamp: i64 = received.header("webhook-timestamp").parse().expect("seconds");
    assert!((OffsetDateTime::now_utc().unix_timestamp() - timestamp).abs() < 60);
    assert_eq!((received.header("content-type"), received.header("x-token")), ("application/json", "hunter2"));
    let body = received.json();
    assert_eq!((&body["type"], &body["data"]), (&json!("customer.created"), &json!({"name": "Ada"})));
    assert_eq!(body["event"], json!(delivery.event));
    // It is the event of the log, and under the id of whoever caused it.
    let query = EventQuery { name: "customer.*".parse().ok(), ..EventQuery::default() };
    let events = bench.platform.event_list(&query).await.expect("it lists");
    assert_eq!((events.len(), Some(&events[0].id)), (1, delivery.event.as_ref()));
    assert_eq!(body["correlation"], json!(events[0].correlation));
    assert_eq!((&body["caller"], events[0].caller.as_deref()), (&json!("local"), Some("local")));

    // It gets no events that it did not subscribe to.
    bench.platform.secrets_rotate().await.expect("the keys are replaced");
    bench.fire(json!({"name": "Grace"})).await;
    let again = receiver.wait(2).await.remove(1);
    assert!(again.is_signed_with(made.secret.reveal()), "also once the secret was sealed anew");
    assert_eq!(bench.deliveries("chat").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_sent_again_under_the_same_id() {
    // More attempts than it takes: a busy machine may be slow to answer.
    let patience = Patience { attempts: 20, ..quick().patience };
    let options = WebhookOptions { timeout: Duration::from_millis(700), patience, ..quick() };
    let (bench, receiver) = (Bench::with(options).await, Receiver::new().await);
    bench.add("chat", &receiver, json!({})).await;
    receiver.reply([Reply::Status(500), Reply::Never]);
    bench.fire(json!({"name": "Ada"})).await;
    let received = receiver.wait(3).await;
    let delivery = bench.reaches("chat", "delivered").await;
    assert!(delivery.attempts >= 3 && delivery.status == Some(200), "{delivery:?}");
    for request in &received {
        assert_eq!((request.header("webhook-id"), &request.body), (delivery.id.as_str(), &received[0].body));
    }
    // How the webhook does is noted behind the end of the delivery.
    let info = loop {
        let info = bench.platform.webhook_fetch(&webhook("chat")).await.expect("it is there");
        if info.failing_since.is_none() {
            break info;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!((info.pending, info.dead), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_too_often_is_a_dead_letter_that_can_be_sent_again() {
    let (bench, receiver) = (Bench::new().await, Receiver::new().await);
    bench.add("chat", &receiver, json!({})).await;
    receiver.reply([500, 404, 503, 500, 500, 500].map(Reply::Status));
    bench.fire(json!(1)).await;
    let first = bench.reaches("chat", "dead").await;
    assert_eq!((first.attempts, first.status), (3, Some(503)));
    assert_eq!(first.error.as_deref(), Some("the receiver answered 503"));
    assert!(first.next_at.is_none() && first.ended_at.is_some());
    bench.fire(json!(2)).await;
    receiver.wait(6).await;
    let info = loop {
        let info = bench.platform.webhook_fetch(&webhook("chat")).await.expect("it is there");
        if info.dead == 2 {
            break info;
        }
        assert!(info.pending + info.dead <= 2, "{info:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(info.enabled && info.failing_since.is_some());

    let chat = webhook("chat");
    let retried = bench.platform.delivery_retry(&chat, Some(&first.id)).await.expect("it is dead");
    assert_eq!(retried.retried, 1);
    let received = receiver.wait(7).await;
    assert_eq!((received[6].header("webhook-id"), received[6].json()["data"].clone()), (first.id.as_str(), json!(1)));
    let retried = bench.platform.delivery_retry(&chat, None).await.expect("there is another one");
    assert_eq!(retried.retried, 1);
    assert_eq!(receiver.wait(8).await[7].json()["data"], json!(2));
    bench.reaches("chat", "delivered").await;
    let conflict = bench.platform.delivery_retry(&chat, Some(&first.id)).await.expect_err("it is delivered");
    assert_eq!(conflict.code, Code::Conflict);
    let unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let missing = bench.platform.delivery_retry(&chat, Some(unknown)).await.expect_err("there is none");
    assert_eq!(missing.code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_gone_is_told_nothing_more() {
    let (bench, receiver) = (Bench::new().await, Receiver::new().await);
    bench.add("chat", &receiver, json!({})).await;
    receiver.reply([Reply::Status(410)]);
    bench.fire(json!(1)).await;
    let delivery = bench.reaches("chat", "dead").await;
    assert_eq!((delivery.attempts, delivery.status), (1, Some(410)));
    off(&bench, "410").await;
    bench.fire(json!(2)).await;
    let tested = bench.platform.webhook_test(&webhook("chat")).await.expect_err("it is off");
    assert_eq!(tested.code, Code::Conflict);

    // Switched on again, it is told of what happens from then on.
    switch(&bench, &receiver, true).await;
    bench.fire(json!(3)).await;
    assert_eq!(receiver.wait(2).await[1].json()["data"], json!(3));
}

/// Waits until the webhook is switched off for this reason, and the log says so.
async fn off(bench: &Bench, reason: &str) {
    let query = EventQuery { name: "webhook.disabled".parse().ok(), ..EventQuery::default() };
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let info = bench.platform.webhook_fetch(&webhook("chat")).await.expect("it is there");
        let told = bench.platform.event_list(&query).await.expect("it lists");
        if let (false, [event]) = (info.enabled, &told[..]) {
            assert!(info.reason.as_deref().is_some_and(|text| text.contains(reason)), "{info:?}");
            assert_eq!(event.payload["webhook"], "chat");
            return;
        }
        assert!(Instant::now() < deadline, "{info:?} {told:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn switch(bench: &Bench, receiver: &Receiver, enabled: bool) {
    let change = json!({
        "url": receiver.url(), "events": ["customer.*"], "allow_http": true, "allow_private_network": true,
        "enabled": enabled,
    });
    let changed = bench.platform.webhook_update(&webhook("chat"), read::<WebhookChange>(change), None).await;
    assert_eq!(changed.expect("it is changed").enabled, enabled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_fails_for_long_is_switched_off() {
    let patience = Patience { switched_off_after: Duration::from_millis(1), ..quick().patience };
    let bench = Bench::with(WebhookOptions { patience, ..quick() }).await;
    let receiver = Receiver::new().await;
    bench.add("chat", &receiver, json!({})).await;
    receiver.reply([500; 3].map(Reply::Status));
    bench.fire(json!(1)).await;
    off(&bench, "every attempt has failed since").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed() {
    let (bench, receiver) = (Bench::new().await, Receiver::new().await);
    bench.add("chat", &receiver, json!({})).await;
    receiver.reply([(); 3].map(|()| Reply::Redirect(format!("http://{}/elsewhere", receiver.address))));
    bench.fire(json!(1)).await;
    let delivery = bench.reaches("chat", "dead").await;
    assert_eq!(delivery.status, Some(307));
    assert!(receiver.received().iter().all(|request| request.path == "/hook"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_are_refused_when_it_is_added_and_when_it_is_sent() {
    let (bench, receiver) = (Bench::new().await, Receiver::new().await);
    for url in [receiver.url(), format!("http://localhost:{}/", receiver.address.port())] {
        let request = json!({"name": "chat", "url": url, "allow_http": true});
        let error = bench.platform.webhook_create(read::<WebhookRequest>(request)).await.expect_err("it is private");
        assert_eq!((error.code, error.hint.contains("allow_private_network")), (Code::InvalidInput, true));
    }
    let request = json!({"name": "chat", "url": receiver.url(), "allow_private_network": true});
    let error = bench.platform.webhook_create(read::<WebhookRequest>(request)).await.expect_err("it is plain HTTP");
    assert!(error.hint.contains("allow_http"), "{error:?}");

    // As when a name that was public resolves to a private address later.
    bench.add("chat", &receiver, json!({})).await;
    let store = bench.store().await;
    let mut kept = store.webhook_list().await.expect("it lists").remove(0);
    kept.allow_private_network = false;
    store.webhook_put(&kept).await.expect("it is written");
    bench.fire(json!(1)).await;
    let delivery = bench.reaches("chat", "dead").await;
    assert!(delivery.error.expect("why").contains("127.0.0.1 is at a private address"));
    assert_eq!((delivery.status, receiver.received().len()), (None, 0));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_is_shown_once_and_kept_nowhere_in_the_open() {
    let (bench, receiver) = (Bench::new().await, Receiver::new().await);
    let made = bench.add("chat", &receiver, json!({"headers": {"Authorization": "Bearer hunter2"}})).await;
    let first = made.secret.reveal().to_owned();
    let rotated = bench.platform.webhook_rotate(&webhook("chat")).await.expect("it is replaced");
    let second = rotated.secret.reveal().to_owned();
    assert_ne!(first, second);
    bench.platform.webhook_test(&webhook("chat")).await.expect("it is tried");
    let received = receiver.wait(1).await.remove(0);
    assert!(received.is_signed_with(&first) && received.is_signed_with(&second), "for a day, with both");
    assert_eq!(received.header("authorization"), "Bearer hunter2");
    bench.reaches("chat", "delivered").await;

    let platform = &bench.platform;
    let mut seen = format!("{made:?}{rotated:?}");
    seen.push_str(&serde_json::to_string(&platform.webhook_list().await.expect("it lists")).expect("JSON"));
    seen.push_str(&serde_json::to_string(&bench.deliveries("chat").await).expect("JSON"));
    seen.push_str(&serde_json::to_string(&platform.event_list(&EventQuery::default()).await.unwrap()).expect("JSON"));
    let audit = platform.audit_list(&AuditQuery::default()).await.expect("it lists");
    assert!(audit.iter().any(|record| record.action == "webhook_create" && record.after.is_some()));
    seen.push_str(&serde_json::to_string(&audit).expect("JSON"));
    for file in ["outrigger.db", "outrigger.db-wal"] {
        let bytes = std::fs::read(bench.folder.path().join("data").join(file)).unwrap_or_default();
        seen.push_str(&String::from_utf8_lossy(&bytes));
    }
    for secret in [&first["whsec_".len()..], &second["whsec_".len()..], "hunter2"] {
        assert!(!seen.contains(secret), "{secret} is to be seen");
    }
    assert!(seen.contains("Authorization"), "its name may be seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_no_server_runs_is_told_by_the_next() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let receiver = Receiver::new().await;
    let command = || async {
        let options = HostOptions { data: folder.path().join("data"), search_paths: Vec::new() };
        Host::open(options).await.expect("the data directory opens").session()
    };
    let platform: Arc<dyn Platform> = Arc::new(command().await);
    let hook = json!({"name": "customer.created", "kind": "event"});
    platform.hook_create(read::<HookRequest>(hook)).await.expect("it is added");
    let fire = async |platform: &Arc<dyn Platform>, number: u64| {
        let hook = "customer.created".parse().expect("a name");
        let request = FireRequest { payload: json!(number), dry_run: false };
        platform.hook_fire(&hook, request).await.expect("it is fired");
    };
    // Before there is a webhook, and after.
    fire(&platform, 1).await;
    let bench = Bench { folder: tempfile::tempdir().expect("a folder"), platform: Arc::clone(&platform) };
    bench.add("chat", &receiver, json!({})).await;
    fire(&platform, 2).await;
    drop((bench, platform));
    assert_eq!(receiver.received().len(), 0);

    for number in 3..5 {
        let platform = serve(folder.path(), quick()).await;
        receiver.wait(number - 2).await;
        fire(&platform, number as u64).await;
        receiver.wait(number - 1).await;
        platform.close().await.expect("it closes");
        drop(platform);
    }
    let told: Vec<_> = receiver.received().iter().map(|request| request.json()["data"].clone()).collect();
    assert_eq!(told, [json!(2), json!(3), json!(4)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_receiver_does_not_hold_up_the_others() {
    let timeout = Duration::from_secs(1);
    let bench = Bench::with(WebhookOptions { parallel: 3, per_webhook: 2, timeout, ..quick() }).await;
    let (slow, quick) = (Receiver::new().await, Receiver::new().await);
    bench.add("slow", &slow, json!({})).await;
    bench.add("quick", &quick, json!({})).await;
    slow.reply((0..100).map(|_| Reply::Never));
    for number in 0..20 {
        bench.fire(json!(number)).await;
    }
    let received = quick.wait(20).await;
    let mut told: Vec<_> = received.iter().map(|request| request.json()["data"].as_u64().expect("a number")).collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, (0..20).collect::<Vec<_>>());
    assert!(slow.received().len() < 20, "two at once, each until its time is up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s22_webhooks_of_one_key_leave_room_for_those_of_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = WebhookOptions { parallel: 3, per_owner: 2, timeout: Duration::from_secs(1), ..quick() };
    let host = open(folder.path(), options).await;
    let bench = Bench::over(folder, Arc::new(host.session())).await;
    let key = bench.platform.key_create(read(json!({"name": "greedy", "roles": ["admin"]}))).await;
    let greedy = host.enter(&key.expect("it is made").key, Visit::default()).await.expect("it is let in");
    let (slow, quick) = (Receiver::new().await, Receiver::new().await);
    for number in 0..5 {
        let request = request(&format!("slow-{number}"), &slow, &json!({}));
        greedy.webhook_create(request).await.expect("it may");
    }
    bench.add("quick", &quick, json!({})).await;
    slow.reply((0..1_000).map(|_| Reply::Never));
    for number in 0..20 {
        bench.fire(json!(number)).await;
    }
    quick.wait(20).await;
    assert!(slow.received().len() < 20, "two at once, each until its time is up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_arrived_is_not_sent_again() {
    const EVENTS: usize = 150;
    let (bench, receiver) = (Bench::new().await, Receiver::new().await);
    bench.add("chat", &receiver, json!({})).await;
    for number in 0..EVENTS {
        bench.fire(json!(number)).await;
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while bench.platform.webhook_fetch(&webhook("chat")).await.expect("it is there").pending > 0
        || receiver.received().len() < EVENTS
    {
        assert!(Instant::now() < deadline, "{} have come", receiver.received().len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut told: Vec<_> = receiver.received().iter().map(|request| request.header("webhook-id").to_owned()).collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!((told.len(), receiver.received().len()), (EVENTS, EVENTS), "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_told_of_what_follows_its_creation_at_once() {
    let (bench, receiver) = (Bench::new().await, Receiver::new().await);
    for number in 0..25 {
        let name = format!("chat-{number}");
        bench.add(&name, &receiver, json!({})).await;
        bench.fire(json!(number)).await;
        receiver.wait(number + 1).await;
        // Every other time there is none when the next one is added.
        if number % 2 == 0 {
            bench.platform.webhook_delete(&webhook(&name)).await.expect("it is removed");
        } else {
            let change =
                json!({"url": receiver.url(), "events": ["job.*"], "allow_http": true, "allow_private_network": true});
            let changed = bench.platform.webhook_update(&webhook(&name), read::<WebhookChange>(change), None).await;
            changed.expect("it is changed");
        }
    }
    let told: Vec<_> = receiver.received().iter().map(|request| request.json()["data"].clone()).collect();
    assert_eq!(told, (0..25).map(|number| json!(number)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_is_moved_takes_neither_secrets_nor_letters_along() {
    let (bench, first, second) = (Bench::new().await, Receiver::new().await, Receiver::new().await);
    bench.add("chat", &first, json!({"headers": {"Authorization": "Bearer hunter2"}})).await;
    first.reply([500; 4].map(Reply::Status));
    bench.fire(json!(1)).await;
    let dead = bench.reaches("chat", "dead").await;
    let chat = webhook("chat");
    let change = |url: String, headers: Json| {
        let mut change =
            json!({"url": url, "events": ["customer.*"], "allow_http": true, "allow_private_network": true});
        if !headers.is_null() {
            change["headers"] = headers;
        }
        bench.platform.webhook_update(&chat, read::<WebhookChange>(change), None)
    };
    let refused = change(second.url(), Json::Null).await.expect_err("another server");
    assert_eq!((refused.code, refused.hint.contains("send the headers again")), (Code::InvalidInput, true));
    let address = bench.platform.webhook_fetch(&webhook("chat")).await.expect("it is there").url;
    assert_eq!(address, first.url(), "nothing was changed");
    // Elsewhere at the same server they stay, and so does what it is to be told.
    change(format!("{}/elsewhere", first.url()), Json::Null).await.expect("the same server");
    assert_eq!(bench.reaches("chat", "dead").await.id, dead.id);

    change(second.url(), json!({"X-Other": "1"})).await.expect("with headers for it");
    let abandoned = bench.reaches("chat", "abandoned").await;
    assert_eq!(
        (&abandoned.id, abandoned.error.as_deref()),
        (&dead.id, Some("the webhook was moved to another address"))
    );
    assert_eq!(bench.platform.delivery_retry(&chat, None).await.expect("nothing is dead").retried, 0);
    let kept = bench.platform.delivery_retry(&chat, Some(&dead.id)).await.expect_err("it is not for the other server");
    assert_eq!(kept.code, Code::Conflict);
    bench.fire(json!(2)).await;
    let received = second.wait(1).await;
    let told = (received[0].json()["data"].clone(), received[0].header("authorization"), received[0].header("x-other"));
    assert_eq!(told, (json!(2), "", "1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_given_up_when_its_webhook_is_switched_off() {
    let patience =
        Patience { first_wait: Duration::from_secs(600), longest_wait: Duration::from_secs(600), ..quick().patience };
    let bench = Bench::with(WebhookOptions { patience, ..quick() }).await;
    let receiver = Receiver::new().await;
    bench.add("chat", &receiver, json!({})).await;
    receiver.reply([Reply::Status(500)]);
    bench.fire(json!(1)).await;
    receiver.wait(1).await;
    switch(&bench, &receiver, false).await;
    let given_up = bench.reaches("chat", "dead").await;
    assert_eq!(given_up.error.as_deref(), Some("the webhook was disabled"));
    let chat = webhook("chat");
    let refused = bench.platform.delivery_retry(&chat, None).await.expect_err("it is off");
    assert_eq!(refused.code, Code::Conflict);
    switch(&bench, &receiver, true).await;
    assert_eq!(bench.platform.delivery_retry(&chat, None).await.expect("it is on").retried, 1);
    assert_eq!(receiver.wait(2).await[1].json()["data"], json!(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_what_waits_for_a_receiver_that_fails_is_bounded_in_bytes() {
    let keep = Keep { pending_bytes: 200_000, period: Duration::from_millis(20), ..Keep::default() };
    let hour = Duration::from_secs(3600);
    let patience = Patience { first_wait: hour, longest_wait: hour, ..quick().patience };
    let bench = Bench::with(WebhookOptions { keep, patience, ..quick() }).await;
    let receiver = Receiver::new().await;
    receiver.reply(vec![Reply::Status(500); 1_000]);
    for name in ["first", "second"] {
        bench.add(name, &receiver, json!({})).await;
    }
    for number in 0..60 {
        bench.fire(json!({"number": number, "text": "x".repeat(10_000)})).await;
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = [bench.deliveries("first").await, bench.deliveries("second").await];
        let [first, second] = left.each_ref().map(Vec::len);
        // The newest ones exist, within the limit.
        let newest = left.iter().all(|left| left.first().is_some_and(|delivery| delivery.attempts > 0));
        if first + second < 20 && newest {
            assert!(first > 5 && second > 5, "{first} and {second}");
            break;
        }
        let states = || left.iter().flatten().map(|delivery| (&*delivery.state, delivery.attempts)).collect::<Vec<_>>();
        assert!(Instant::now() < deadline, "{first} and {second} wait: {:?}", states());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
