//! Limits on deliveries: how many are sent at once, for a webhook and for a key, and how much is stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_api::{Door as _, Visit};
use outrigger_engine::webhooks::machine::Patience;
use outrigger_engine::webhooks::{Keep, WebhookOptions};
use serde_json::json;

use super::receiver::{Receiver, Reply};
use super::{Bench, open, quick, read, request};

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
