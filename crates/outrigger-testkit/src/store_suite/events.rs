//! The log of events.

use std::sync::Arc;

use outrigger_engine::Store;
use outrigger_engine::events::{EventId, EventRecord, NewEvent};
use outrigger_engine::store::{Bound, EventFilter};

use super::fixtures::{event, moment};

pub async fn an_event_comes_back_as_it_was_appended(store: Arc<dyn Store>) {
    assert_eq!(store.event_head().await.unwrap(), None);
    assert_eq!(store.event_append(&[]).await.unwrap(), []);
    let events = [event(1), NewEvent { plugin: None, payload: serde_json::Value::Null.into(), ..event(2) }];
    let ids = store.event_append(&events).await.unwrap();
    let expected = [EventRecord::of(ids[0], &events[0]), EventRecord::of(ids[1], &events[1])];
    assert_eq!(store.event_read(None, 10).await.unwrap(), expected);
    assert_eq!(store.event_head().await.unwrap(), Some(ids[1]));
}

pub async fn ids_grow_whatever_the_clock_says(store: Arc<dyn Store>) {
    let mut ids = store.event_append(&[event(9), event(9), event(1)]).await.unwrap();
    ids.extend(store.event_append(&[event(0)]).await.unwrap());
    ids.extend(store.event_append(&[event(20)]).await.unwrap());
    assert!(ids.is_sorted_by(|left, right| left < right), "{ids:?}");
}

pub async fn the_ids_of_many_writers_grow_in_the_order_of_the_log(store: Arc<dyn Store>) {
    let write = |number: u64| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.event_append(&[event(8 - number), event(number)]).await.unwrap() })
    };
    // A reader that goes on from what it has seen misses nothing that is written meanwhile.
    let writers: Vec<_> = (0..8).map(write).collect();
    let mut seen: Vec<EventId> = Vec::new();
    while seen.len() < 16 {
        seen.extend(store.event_read(seen.last().copied(), 3).await.unwrap().into_iter().map(|event| event.id));
        tokio::task::yield_now().await;
    }
    let mut written = Vec::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    written.sort();
    assert_eq!(seen, written);
}

pub async fn the_log_is_read_on_from_an_event(store: Arc<dyn Store>) {
    let ids = store.event_append(&[event(1), event(2), event(3), event(4)]).await.unwrap();
    let check = async |after: Option<EventId>, limit: u32, expected: &[EventId]| {
        let found = store.event_read(after, limit).await.unwrap();
        assert_eq!(found.into_iter().map(|event| event.id).collect::<Vec<_>>(), expected);
    };
    check(None, 2, &ids[..2]).await;
    check(Some(ids[1]), 10, &ids[2..]).await;
    check(Some(ids[3]), 10, &[]).await;
    check(Some(EventId::new()), 10, &[]).await;
}

pub async fn events_are_listed_newest_first_as_the_filter_says(store: Arc<dyn Store>) {
    let named = |seconds: u64, name: &str, plugin: &str| NewEvent {
        name: name.parse().unwrap(),
        plugin: plugin.parse().ok(),
        ..event(seconds)
    };
    let events = [
        named(1, "plugin.installed", "team_a"),
        named(2, "job.queued", "team-a"),
        named(3, "job.failed", "pricing"),
        named(4, "system.job_failed", ""),
    ];
    let ids = store.event_append(&events).await.unwrap();
    let check = async |filter: EventFilter, expected: &[usize]| {
        let found = store.event_list(&filter).await.unwrap();
        let expected: Vec<_> = expected.iter().map(|place| ids[*place]).collect();
        assert_eq!(found.into_iter().map(|event| event.id).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    let any = EventFilter::default;
    let name = |pattern: &str| EventFilter { name: pattern.parse().ok(), ..any() };
    let plugin = |pattern: &str| EventFilter { plugin: pattern.parse().ok(), ..any() };
    check(any(), &[3, 2, 1, 0]).await;
    check(EventFilter { limit: 1, ..any() }, &[3]).await;
    check(name("job.*"), &[2, 1]).await;
    check(name("*failed"), &[3, 2]).await;
    check(name("job.failed"), &[2]).await;
    check(name("job_*"), &[]).await;
    check(plugin("team_a"), &[0]).await;
    check(plugin("*"), &[2, 1, 0]).await;
    check(EventFilter { after: Some(ids[1]), ..any() }, &[3, 2]).await;
    check(EventFilter { before: Some(ids[1]), ..any() }, &[0]).await;
    check(EventFilter { since: Some(moment(3)), ..name("job.*") }, &[2]).await;
}

pub async fn old_events_are_dropped_and_never_the_last(store: Arc<dyn Store>) {
    let ids = store.event_append(&(1..=10).map(event).collect::<Vec<_>>()).await.unwrap();
    let left =
        async || store.event_read(None, 100).await.unwrap().into_iter().map(|event| event.id).collect::<Vec<_>>();
    assert_eq!(store.event_prune(&Bound::newest(100, moment(0))).await.unwrap(), 0);
    assert_eq!(store.event_prune(&Bound::newest(8, moment(0))).await.unwrap(), 2);
    assert_eq!(left().await, ids[2..]);
    assert_eq!(store.event_prune(&Bound::since(moment(6))).await.unwrap(), 3);
    assert_eq!(left().await, ids[5..]);
    assert_eq!(store.event_prune(&Bound::newest(0, moment(99))).await.unwrap(), 4);
    assert_eq!(left().await, ids[9..]);
}

pub async fn s06_events_of_others_are_not_displaced(store: Arc<dyn Store>) {
    let of = |plugin: &str, number: u64| NewEvent {
        plugin: plugin.parse().ok(),
        name: format!("{plugin}.happened").parse().expect("a name"),
        payload: serde_json::json!({"text": "x".repeat(1_000)}).into(),
        ..event(number)
    };
    let mut events: Vec<_> = (1..=3).map(|number| of("quiet", number)).collect();
    events.extend((10..500).map(|number| of("loud", number)));
    events.push(event(900));
    events.extend((1_000..1_100).map(|number| of("loud", number)));
    store.event_append(&events).await.unwrap();
    store.event_prune(&Bound { bytes: 60_000, ..Bound::since(moment(0)) }).await.unwrap();
    let left = store.event_read(None, 1_000).await.unwrap();
    let of = |name: &str| left.iter().filter(|event| event.name.as_str() == name).count();
    assert_eq!((of("quiet.happened"), of("plugin.installed")), (3, 1));
    assert!((30..60).contains(&left.len()), "{} events", left.len());
    store.event_prune(&Bound::newest(10, moment(0))).await.unwrap();
    let left = store.event_read(None, 1_000).await.unwrap();
    assert_eq!((left.len(), left.iter().filter(|event| event.name.as_str() == "quiet.happened").count()), (10, 3));
}

pub async fn s06_events_of_jobs_are_shared_by_whose_jobs_they_are(store: Arc<dyn Store>) {
    let of = |caller: &str, number: u64| NewEvent {
        name: "job.queued".parse().expect("a name"),
        payload: serde_json::json!({"caller": caller}).into(),
        ..event(number)
    };
    let mut events: Vec<_> = (1..=3).map(|number| of("key quiet", number)).collect();
    events.extend((10..500).map(|number| of("key loud", number)));
    store.event_append(&events).await.unwrap();
    store.event_prune(&Bound::newest(20, moment(0))).await.unwrap();
    let left = store.event_read(None, 1_000).await.unwrap();
    let quiet = left.iter().filter(|event| event.payload == r#"{"caller":"key quiet"}"#).count();
    assert_eq!((left.len(), quiet), (20, 3));
}

pub async fn s06_events_that_a_key_fires_count_for_the_key(store: Arc<dyn Store>) {
    let of = |key: &str, number: u64| NewEvent {
        key: Some(key.to_owned()),
        name: format!("own.n{}", number % 50).parse().expect("a name"),
        ..event(number)
    };
    let mut events: Vec<_> = (1..=3).map(event).collect();
    events.extend((10..13).map(|number| NewEvent { plugin: None, ..of("id-of-quiet", number) }));
    events.extend((20..500).map(|number| of("id-of-loud", number)));
    store.event_append(&events).await.unwrap();
    store.event_prune(&Bound::newest(12, moment(0))).await.unwrap();
    let left = store.event_read(None, 1_000).await.unwrap();
    let of = |name: &str| left.iter().filter(|event| event.name.as_str() == name).count();
    assert_eq!((left.len(), of("plugin.installed")), (12, 3));
    assert!((10..13).all(|number| of(&format!("own.n{number}")) >= 1), "{left:?}");
}
