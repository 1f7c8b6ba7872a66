//! When a webhook is disabled, and whether its deliveries are still sent.

use std::time::{Duration, Instant};

use outrigger_api::{Code, EventQuery, WebhookChange};
use outrigger_engine::webhooks::WebhookOptions;
use outrigger_engine::webhooks::machine::Patience;
use serde_json::json;

use super::receiver::{Receiver, Reply};
use super::{Bench, quick, read, webhook};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_gone_is_told_nothing_more() {
    let (bench, receiver) = (Bench::new().await, Receiver::new().await);
    bench.add("chat", &receiver, json!({})).await;
    receiver.reply([Reply::Status(410)]);
    bench.fire(json!(1)).await;
    let delivery = bench.reaches("chat", "dead").await;
    assert_eq!((delivery.attempts, delivery.status), (1, Some(410)));
    off(&bench, "refuses all further deliveries").await;
    bench.fire(json!(2)).await;
    let tested = bench.platform.webhook_test(&webhook("chat")).await.expect_err("it is off");
    assert_eq!(tested.code, Code::Conflict);

    // Switched on again, it is told of what happens from then on.
    switch(&bench, &receiver, true).await;
    bench.fire(json!(3)).await;
    assert_eq!(receiver.wait(2).await[1].json()["data"], json!(3));
}

/// Waits until the webhook is disabled for this reason, and the log says so.
async fn off(bench: &Bench, reason: &str) {
    let query = EventQuery { name: "webhook.disabled".parse().ok(), ..EventQuery::default() };
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let info = bench.platform.webhook_fetch(&webhook("chat")).await.expect("it is there");
        let told = bench.platform.event_list(&query).await.expect("it lists");
        if let (false, [event]) = (info.enabled, &told[..]) {
            assert!(info.reason.as_deref().is_some_and(|text| text.contains(reason)), "{info:?}");
            assert_eq!(event.payload.to_value()["webhook"], "chat");
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
