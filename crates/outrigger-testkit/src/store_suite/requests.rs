//! Requests that are done once.

use std::sync::Arc;

use outrigger_engine::Store;
use outrigger_engine::store::{Bound, Keep, RequestProgress, RequestRecord};

use super::fixtures::{moment, request};

pub async fn a_request_is_begun_once(store: Arc<dyn Store>) {
    assert_eq!(store.request_begin(&request(1)).await.unwrap(), None);
    let again = RequestRecord { body: [9; 32], at: moment(7), ..request(1) };
    assert_eq!(store.request_begin(&again).await.unwrap(), Some(request(1)), "as it was first");
    assert_eq!(store.request_begin(&request(2)).await.unwrap(), None);
}

pub async fn the_end_of_a_request_is_kept_with_its_answer(store: Arc<dyn Store>) {
    for (number, answer) in [(1, None), (2, Some(&b"\x00 anything"[..])), (3, Some(&[][..]))] {
        store.request_begin(&request(number)).await.unwrap();
        store.request_end(&request(number).place, answer).await.unwrap();
        let progress = RequestProgress::Ended(answer.map(<[u8]>::to_vec));
        let ended = RequestRecord { progress, ..request(number) };
        assert_eq!(store.request_begin(&request(number)).await.unwrap(), Some(ended));
    }
    // A request that never started cannot end.
    store.request_end(&request(4).place, None).await.unwrap();
    assert_eq!(store.request_begin(&request(4)).await.unwrap(), None);
}

pub async fn a_request_that_is_forgotten_can_begin_anew(store: Arc<dyn Store>) {
    store.request_begin(&request(1)).await.unwrap();
    store.request_forget(&request(1).place).await.unwrap();
    store.request_forget(&request(2).place).await.unwrap();
    assert_eq!(store.request_begin(&request(1)).await.unwrap(), None);
}

pub async fn of_many_that_begin_the_same_one_does(store: Arc<dyn Store>) {
    let mut tasks = Vec::new();
    for number in 0..16 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            let mine = RequestRecord { at: moment(number), ..request(1) };
            store.request_begin(&mine).await.unwrap().is_none()
        }));
    }
    let mut first = 0;
    for task in tasks {
        first += u32::from(task.await.unwrap());
    }
    assert_eq!(first, 1);
}

pub async fn old_requests_are_pruned(store: Arc<dyn Store>) {
    for number in 0..10 {
        store.request_begin(&request(number)).await.unwrap();
    }
    assert_eq!(store.prune(&Keep::since(moment(4))).await.unwrap(), 4);
    let newest = Bound::newest(2, moment(0));
    assert_eq!(store.prune(&Keep { requests: newest, ..Keep::since(moment(0)) }).await.unwrap(), 4);
    let mut there = Vec::new();
    for number in 0..10 {
        there.extend(store.request_begin(&request(number)).await.unwrap());
    }
    assert_eq!(there, [request(8), request(9)]);
}

pub async fn s06_a_key_displaces_no_requests_of_others(store: Arc<dyn Store>) {
    store.request_begin(&RequestRecord { owner: "quiet".to_owned(), ..request(0) }).await.unwrap();
    for number in 1..40 {
        store.request_begin(&RequestRecord { owner: "loud".to_owned(), ..request(number) }).await.unwrap();
        store.request_end(&request(number).place, Some(&[7; 2_000])).await.unwrap();
    }
    let requests = Bound { bytes: 20_000, ..Bound::since(moment(0)) };
    let dropped = store.prune(&Keep { requests, ..Keep::since(moment(0)) }).await.unwrap();
    assert!((30..39).contains(&dropped), "{dropped}");
    let requests = Bound::newest(2, moment(0));
    store.prune(&Keep { requests, ..Keep::since(moment(0)) }).await.unwrap();
    let there = async |number| store.request_begin(&request(number)).await.unwrap().is_some();
    assert!(there(0).await && there(39).await && !there(38).await);
}
