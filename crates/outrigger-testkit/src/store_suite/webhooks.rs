//! Webhooks and their deliveries.

use std::sync::Arc;

use outrigger_contract::WebhookName;
use outrigger_engine::Store;
use outrigger_engine::events::EventId;
use outrigger_engine::store::{Amount, Bound, DeliveryFilter, MOVED, SWITCHED_OFF};
use outrigger_engine::webhooks::{DeliveryRecord, DeliveryState, WebhookRecord};

use super::fixtures::{assert_conflict, delivery, moment, webhook};

fn name(text: &str) -> WebhookName {
    text.parse().unwrap()
}

async fn written(store: &dyn Store, names: &[&str]) {
    for name in names {
        store.webhook_put(&webhook(name)).await.unwrap();
    }
}

fn ids(deliveries: &[DeliveryRecord]) -> Vec<EventId> {
    deliveries.iter().map(|delivery| delivery.id).collect()
}

pub async fn a_webhook_comes_back_as_it_was_put(store: Arc<dyn Store>) {
    assert_eq!(store.webhook_list().await.unwrap(), []);
    let mut whole = webhook("chat");
    whole.plugin = "team-*".parse().ok();
    (whole.reason, whole.failing_since) = (Some("it failed".to_owned()), Some(moment(3)));
    assert_eq!(store.webhook_put(&whole).await.unwrap(), 1);
    assert_eq!(store.webhook_put(&webhook("alerts")).await.unwrap(), 1);
    whole.generation = 1;
    let alerts = WebhookRecord { generation: 1, ..webhook("alerts") };
    assert_eq!(store.webhook_list().await.unwrap(), [alerts.clone(), whole]);
    assert!(store.webhook_delete(&name("chat")).await.unwrap());
    assert!(!store.webhook_delete(&name("chat")).await.unwrap());
    assert_eq!(store.webhook_list().await.unwrap(), [alerts]);
}

pub async fn a_webhook_is_only_written_over_what_was_read(store: Arc<dyn Store>) {
    written(&*store, &["chat"]).await;
    assert_conflict(store.webhook_put(&webhook("chat")).await);
    let read = WebhookRecord { generation: 1, ..webhook("chat") };
    assert_eq!(store.webhook_put(&read).await.unwrap(), 2);
    assert_conflict(store.webhook_put(&read).await);
    assert_conflict(store.webhook_put(&WebhookRecord { generation: 1, ..webhook("nobody") }).await);
}

pub async fn deliveries_and_the_cursor_are_written_together(store: Arc<dyn Store>) {
    written(&*store, &["chat"]).await;
    assert_eq!(store.outbox_cursor().await.unwrap(), None);
    let [first, second] = [delivery("chat", 1).id, delivery("chat", 2).id];
    // One is for a webhook that was removed meanwhile.
    store.outbox_put(first, &[delivery("chat", 1), delivery("gone", 3)]).await.unwrap();
    assert_eq!(store.outbox_cursor().await.unwrap(), Some(first));
    let listed = store.delivery_list(&DeliveryFilter::default()).await.unwrap();
    assert_eq!(ids(&listed), [first]);
    assert_eq!(listed[0].body, "", "it can be large");
    store.outbox_put(second, &[]).await.unwrap();
    assert_eq!(store.outbox_cursor().await.unwrap(), Some(second));
    assert!(!store.delivery_create(&delivery("gone", 4)).await.unwrap());
    assert!(store.delivery_create(&delivery("chat", 5)).await.unwrap());
    assert_eq!(store.delivery_list(&DeliveryFilter::default()).await.unwrap().len(), 2);
}

pub async fn a_delivery_comes_back_as_it_was_written(store: Arc<dyn Store>) {
    written(&*store, &["chat"]).await;
    let mut whole = delivery("chat", 1);
    assert_eq!(store.delivery_fetch(whole.id).await.unwrap(), None);
    assert!(!store.delivery_put(&whole, 0).await.unwrap());
    assert!(store.delivery_create(&whole).await.unwrap());
    assert_eq!(store.delivery_fetch(whole.id).await.unwrap().as_ref(), Some(&whole));
    (whole.state, whole.attempts, whole.event) = (DeliveryState::Dead, 10, None);
    (whole.status, whole.error) = (Some(503), Some("the receiver answered 503".to_owned()));
    (whole.next_at, whole.ended_at, whole.private) = (moment(8), Some(moment(9)), true);
    assert!(store.delivery_put(&whole, 0).await.unwrap());
    assert_eq!(store.delivery_fetch(whole.id).await.unwrap(), Some(whole));
}

pub async fn the_end_of_a_delivery_is_not_written_over(store: Arc<dyn Store>) {
    written(&*store, &["chat"]).await;
    let sent = |attempts: u32, state| DeliveryRecord { attempts, state, ..delivery("chat", 1) };
    store.delivery_create(&delivery("chat", 1)).await.unwrap();
    assert!(store.delivery_put(&sent(1, DeliveryState::Pending), 0).await.unwrap());
    // A reader from before that attempt is too late.
    assert!(!store.delivery_put(&sent(1, DeliveryState::Dead), 0).await.unwrap());
    let delivered = DeliveryRecord { ended_at: Some(moment(9)), ..sent(2, DeliveryState::Delivered) };
    assert!(store.delivery_put(&delivered, 1).await.unwrap());
    for attempts in 0..4 {
        assert!(!store.delivery_put(&sent(3, DeliveryState::Pending), attempts).await.unwrap(), "{attempts}");
    }
    assert_eq!(store.delivery_fetch(delivered.id).await.unwrap(), Some(delivered));
}

pub async fn a_webhook_that_is_moved_abandons_what_has_not_arrived(store: Arc<dyn Store>) {
    written(&*store, &["chat", "alerts"]).await;
    let ended =
        |number: u64, state| DeliveryRecord { state, ended_at: Some(moment(number)), ..delivery("chat", number) };
    // The response of the old server is not shown as that of the new one.
    let dead = DeliveryRecord { status: Some(403), private: true, ..ended(2, DeliveryState::Dead) };
    let made = [delivery("chat", 1), dead, ended(3, DeliveryState::Delivered), delivery("alerts", 4)];
    store.outbox_put(made[0].id, &made).await.unwrap();
    let moved = WebhookRecord { url: "https://other.example.com/".parse().unwrap(), ..webhook("chat") };
    assert_conflict(store.webhook_move(&moved, moment(8)).await);
    assert_eq!(store.delivery_fetch(made[0].id).await.unwrap().as_ref(), Some(&made[0]), "all or nothing");
    let moved = WebhookRecord { generation: 1, ..moved };
    assert_eq!(store.webhook_move(&moved, moment(9)).await.unwrap(), 2);
    assert_eq!(store.webhook_list().await.unwrap()[1], WebhookRecord { generation: 2, ..moved });
    for unsent in &made[..2] {
        let expected = DeliveryRecord {
            state: DeliveryState::Abandoned,
            status: None,
            error: Some(MOVED.to_owned()),
            private: false,
            ended_at: Some(moment(9)),
            ..unsent.clone()
        };
        assert_eq!(store.delivery_fetch(expected.id).await.unwrap(), Some(expected));
    }
    for kept in &made[2..] {
        assert_eq!(store.delivery_fetch(kept.id).await.unwrap().as_ref(), Some(kept));
    }
    // Nobody sends them again, neither who was sending them nor who asks for it.
    let late = DeliveryRecord { attempts: 1, ..delivery("chat", 1) };
    assert!(!store.delivery_put(&late, 0).await.unwrap());
    assert_eq!(store.delivery_revive(&name("chat"), None, moment(10)).await.unwrap(), 0);
}

pub async fn what_is_pending_is_given_up_with_its_webhook(store: Arc<dyn Store>) {
    written(&*store, &["chat", "alerts", "mail"]).await;
    let done = DeliveryRecord { state: DeliveryState::Delivered, ..delivery("chat", 5) };
    let made = [delivery("chat", 1), delivery("chat", 2), delivery("alerts", 3), delivery("mail", 4), done];
    store.outbox_put(made[0].id, &made).await.unwrap();
    let off = [name("chat"), name("alerts")];
    let sent = [made[1].id];
    assert_eq!(store.delivery_give_up(&off, &sent, moment(9), 1).await.unwrap(), 1);
    assert_eq!(store.delivery_give_up(&off, &sent, moment(9), 10).await.unwrap(), 1);
    assert_eq!(store.delivery_give_up(&off, &sent, moment(9), 10).await.unwrap(), 0);
    let due = store.delivery_due(moment(50), &[], 10).await.unwrap();
    assert_eq!(ids(&due), [made[1].id, made[3].id]);
    let given_up = store.delivery_fetch(made[2].id).await.unwrap().unwrap();
    let expected = DeliveryRecord {
        state: DeliveryState::Dead,
        error: Some(SWITCHED_OFF.to_owned()),
        ended_at: Some(moment(9)),
        ..made[2].clone()
    };
    assert_eq!(given_up, expected);
    assert_eq!(store.delivery_fetch(made[4].id).await.unwrap().as_ref(), Some(&made[4]));
    assert_eq!(store.delivery_give_up(&off, &[], moment(9), 10).await.unwrap(), 1);
}

pub async fn what_is_due_comes_in_the_order_of_its_time(store: Arc<dyn Store>) {
    written(&*store, &["chat", "alerts"]).await;
    let late = DeliveryRecord { next_at: moment(50), ..delivery("chat", 1) };
    let ended = DeliveryRecord { state: DeliveryState::Delivered, ..delivery("chat", 2) };
    let made = [late, ended, delivery("chat", 3), delivery("alerts", 4), delivery("chat", 5)];
    store.outbox_put(made[0].id, &made).await.unwrap();
    let check = async |now: u64, except: &[&str], limit: u32, expected: &[usize]| {
        let except: Vec<_> = except.iter().map(|text| name(text)).collect();
        let due = store.delivery_due(moment(now), &except, limit).await.unwrap();
        let expected: Vec<_> = expected.iter().map(|place| made[*place].id).collect();
        assert_eq!(ids(&due), expected, "{now} {except:?} {limit}");
    };
    check(4, &[], 10, &[2, 3]).await;
    check(60, &[], 10, &[2, 3, 4, 0]).await;
    check(60, &[], 2, &[2, 3]).await;
    check(60, &["chat"], 10, &[3]).await;
    check(60, &["chat", "alerts"], 10, &[]).await;
}

pub async fn deliveries_are_listed_and_counted(store: Arc<dyn Store>) {
    written(&*store, &["chat", "alerts"]).await;
    let dead = DeliveryRecord { state: DeliveryState::Dead, ..delivery("chat", 2) };
    let made = [delivery("chat", 1), dead, delivery("alerts", 3), delivery("chat", 4)];
    store.outbox_put(made[0].id, &made).await.unwrap();
    let check = async |filter: DeliveryFilter, expected: &[usize]| {
        let expected: Vec<_> = expected.iter().map(|place| made[*place].id).collect();
        assert_eq!(ids(&store.delivery_list(&filter).await.unwrap()), expected, "{filter:?}");
    };
    let any = DeliveryFilter::default;
    check(any(), &[3, 2, 1, 0]).await;
    check(DeliveryFilter { webhook: Some(name("chat")), limit: 2, ..any() }, &[3, 1]).await;
    check(DeliveryFilter { state: Some(DeliveryState::Dead), ..any() }, &[1]).await;
    check(DeliveryFilter { before: Some(made[2].id), ..any() }, &[1, 0]).await;
    let expected = [
        (name("alerts"), DeliveryState::Pending, 1),
        (name("chat"), DeliveryState::Dead, 1),
        (name("chat"), DeliveryState::Pending, 2),
    ];
    assert_eq!(store.delivery_counts(None).await.unwrap(), expected);
    assert_eq!(store.delivery_counts(Some(&name("chat"))).await.unwrap(), expected[1..]);
    assert_eq!(store.delivery_counts(Some(&name("gone"))).await.unwrap(), []);
}

pub async fn deliveries_go_with_their_webhook(store: Arc<dyn Store>) {
    written(&*store, &["chat", "alerts"]).await;
    store.outbox_put(delivery("chat", 1).id, &[delivery("chat", 1), delivery("alerts", 2)]).await.unwrap();
    store.webhook_delete(&name("chat")).await.unwrap();
    let left = store.delivery_list(&DeliveryFilter::default()).await.unwrap();
    assert_eq!(ids(&left), [delivery("alerts", 2).id]);
    assert!(!store.delivery_put(&delivery("chat", 1), 0).await.unwrap());
}

pub async fn dead_letters_are_revived(store: Arc<dyn Store>) {
    written(&*store, &["chat", "alerts"]).await;
    let dead = |webhook: &str, number: u64| DeliveryRecord {
        state: DeliveryState::Dead,
        attempts: 10,
        ended_at: Some(moment(30)),
        error: Some("no".to_owned()),
        ..delivery(webhook, number)
    };
    let done = DeliveryRecord { state: DeliveryState::Delivered, ..delivery("chat", 5) };
    let made = [dead("chat", 1), dead("chat", 2), dead("chat", 3), dead("alerts", 4), done];
    store.outbox_put(made[0].id, &made).await.unwrap();
    let chat = name("chat");
    assert_eq!(store.delivery_revive(&chat, Some(made[3].id), moment(40)).await.unwrap(), 0);
    assert_eq!(store.delivery_revive(&chat, Some(made[4].id), moment(40)).await.unwrap(), 0);
    assert_eq!(store.delivery_revive(&chat, Some(made[0].id), moment(40)).await.unwrap(), 1);
    let revived = store.delivery_fetch(made[0].id).await.unwrap().unwrap();
    let expected = DeliveryRecord {
        state: DeliveryState::Pending,
        attempts: 0,
        next_at: moment(40),
        ended_at: None,
        ..made[0].clone()
    };
    assert_eq!(revived, expected);
    assert_eq!(store.delivery_revive(&chat, None, moment(41)).await.unwrap(), 2);
    let due = store.delivery_due(moment(50), &[], 10).await.unwrap();
    assert_eq!(ids(&due), [made[0].id, made[1].id, made[2].id]);
}

pub async fn ended_deliveries_are_dropped(store: Arc<dyn Store>) {
    written(&*store, &["chat"]).await;
    let ended =
        |number: u64, state| DeliveryRecord { state, ended_at: Some(moment(number)), ..delivery("chat", number) };
    let made = [
        ended(1, DeliveryState::Delivered),
        ended(2, DeliveryState::Dead),
        delivery("chat", 3),
        ended(9, DeliveryState::Dead),
    ];
    store.outbox_put(made[0].id, &made).await.unwrap();
    let newest = |most: u64| Bound::newest(most, moment(0));
    assert_eq!(store.delivery_prune(&newest(3)).await.unwrap(), 0);
    assert_eq!(store.delivery_prune(&newest(2)).await.unwrap(), 1);
    assert_eq!(store.delivery_prune(&Bound::newest(10, moment(5))).await.unwrap(), 1);
    assert_eq!(store.delivery_prune(&Bound::newest(10, moment(5))).await.unwrap(), 0);
    assert_eq!(ids(&store.delivery_list(&DeliveryFilter::default()).await.unwrap()), [made[3].id, made[2].id]);
    assert_eq!(store.delivery_prune(&newest(0)).await.unwrap(), 1);
    assert_eq!(ids(&store.delivery_list(&DeliveryFilter::default()).await.unwrap()), [made[2].id]);
}

pub async fn s06_pending_deliveries_of_others_are_not_displaced(store: Arc<dyn Store>) {
    let made = [("quiet", "key quiet"), ("loud-1", "key loud"), ("loud-2", "key loud"), ("loud-3", "key loud")];
    for (name, made_by) in made {
        let webhook = WebhookRecord { created_by: made_by.to_owned(), ..webhook(name) };
        store.webhook_put(&webhook).await.unwrap();
    }
    let large = |webhook: &str, number| DeliveryRecord { body: "x".repeat(1_000), ..delivery(webhook, number) };
    let ended = DeliveryRecord { state: DeliveryState::Dead, ended_at: Some(moment(900)), ..large("loud-1", 900) };
    let mut made: Vec<_> = (0..20).map(|number| large("quiet", number)).chain([ended.clone()]).collect();
    for (webhook, from) in [("loud-1", 100), ("loud-2", 300), ("loud-3", 500)] {
        made.extend((from..from + 150).map(|number| large(webhook, number)));
    }
    store.outbox_put(made[0].id, &made).await.unwrap();
    // Half of the total is more than the quiet one has; a share per webhook would be less.
    let most = Amount { records: 1_000, bytes: 60_000 };
    assert!(store.delivery_prune_pending(most).await.unwrap() > 400);
    assert_eq!(store.delivery_prune_pending(most).await.unwrap(), 0);
    let left = store.delivery_list(&DeliveryFilter::default()).await.unwrap();
    let of = |name: &str| left.iter().filter(|delivery| delivery.webhook.as_str() == name).count();
    assert_eq!(of("quiet"), 20, "nobody else's went");
    assert!((20..=31).contains(&(left.len() - 21)), "{} are left", left.len());
    assert!(left.iter().any(|delivery| delivery.id == ended.id), "nor what has ended");
    assert!(left.iter().any(|delivery| delivery.id == large("loud-2", 449).id), "the newest stay");
    assert_eq!(store.delivery_prune_pending(Amount::default()).await.unwrap(), left.len() as u64 - 1);
}
