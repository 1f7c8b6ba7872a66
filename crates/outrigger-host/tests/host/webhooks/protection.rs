//! What a webhook must not reach or reveal: other servers, private addresses, secrets.

use outrigger_api::{AuditQuery, Code, EventQuery, WebhookChange, WebhookRequest};
use outrigger_engine::store::WebhookStore as _;
use serde_json::{Value as Json, json};

use super::receiver::{Receiver, Reply};
use super::{Bench, read, webhook};

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
