//! Webhooks with a real receiver: requests, signatures, and failed deliveries.

mod limits;
mod protection;
pub mod receiver;
mod switching;

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_api::{
    Code, DeliveryInfo, DeliveryQuery, EventQuery, FireRequest, HookRequest, NewWebhook, Platform, WebhookChange,
    WebhookName, WebhookRequest,
};
use outrigger_engine::webhooks::WebhookOptions;
use outrigger_engine::webhooks::machine::Patience;
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
