//! Statistics.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_engine::Store;
use outrigger_engine::store::{RecordBatch, RecordFilter, StatisticsRow};

use super::fixtures::{function, line, moment, name, put, run, statistics};

async fn add(store: &dyn Store, statistics: Vec<StatisticsRow>) {
    let batch = RecordBatch { statistics, ..RecordBatch::default() };
    store.record_append(&batch).await.expect("the store works");
}

pub async fn numbers_add_up(store: Arc<dyn Store>) {
    let (pricing, other) = (name("pricing"), name("other"));
    put(&*store, &pricing).await;
    put(&*store, &other).await;
    let row = |counters: &[(&str, u64)], latency: &[(u64, u64)]| StatisticsRow {
        plugin: pricing.clone(),
        function: function("quote"),
        counters: counters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        latency_us: latency.iter().copied().collect(),
    };
    add(&*store, vec![row(&[("calls", 2), ("failures", 0)], &[(1_000, 2)])]).await;
    add(&*store, vec![statistics(&other, "echo", 7), statistics(&pricing, "a", 1)]).await;
    // The same function twice in one batch; a bucket without an upper bound; a bound that is also a counter's name.
    let again = row(&[("calls", 5), ("1000", 9)], &[(1_000, 1), (u64::MAX, 4)]);
    add(&*store, vec![row(&[("calls", 1)], &[]), again, row(&[], &[])]).await;

    let sum = row(&[("1000", 9), ("calls", 8), ("failures", 0)], &[(1_000, 3), (u64::MAX, 4)]);
    let of_pricing = [statistics(&pricing, "a", 1), sum.clone()];
    assert_eq!(store.statistics_list(Some(&pricing)).await.unwrap(), of_pricing);
    let all = [statistics(&other, "echo", 7), statistics(&pricing, "a", 1), sum];
    assert_eq!(store.statistics_list(None).await.unwrap(), all);
    assert_eq!(store.statistics_list(Some(&name("absent"))).await.unwrap(), []);
}

pub async fn numbers_of_many_writers_add_up(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let writers = (0..50).map(|number| {
        let (store, name) = (Arc::clone(&store), name.clone());
        let batch = RecordBatch {
            runs: vec![run(&name, number)],
            logs: vec![line(&name, moment(number), "x")],
            statistics: vec![statistics(&name, "echo", number), statistics(&name, "other", 1)],
            audit: Vec::new(),
            ..RecordBatch::default()
        };
        tokio::spawn(async move { store.record_append(&batch).await.expect("the store works") })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
    let sums = [statistics(&name, "echo", 49 * 50 / 2), statistics(&name, "other", 50)];
    assert_eq!(store.statistics_list(None).await.unwrap(), sums);
    assert_eq!(store.run_list(&RecordFilter::default()).await.unwrap().len(), 50);
    assert_eq!(store.log_list(&RecordFilter::default()).await.unwrap().len(), 50);
}

pub async fn numbers_stop_at_the_top(store: Arc<dyn Store>) {
    const TOP: u64 = i64::MAX as u64;
    let name = name("pricing");
    put(&*store, &name).await;
    let row = |calls| StatisticsRow { latency_us: BTreeMap::new(), ..statistics(&name, "echo", calls) };
    for (added, expected) in [(TOP - 2, TOP - 2), (1, TOP - 1), (1, TOP), (1, TOP), (u64::MAX, TOP), (0, TOP)] {
        add(&*store, vec![row(added)]).await;
        assert_eq!(store.statistics_list(None).await.unwrap(), [row(expected)]);
    }
}

pub async fn numbers_of_a_plugin_that_is_gone_are_dropped(store: Arc<dyn Store>) {
    let (gone, stays) = (name("gone"), name("stays"));
    put(&*store, &stays).await;
    let batch = RecordBatch {
        runs: vec![run(&gone, 1)],
        logs: vec![line(&gone, moment(1), "its last words")],
        statistics: vec![statistics(&gone, "echo", 1), statistics(&stays, "echo", 2)],
        audit: Vec::new(),
        ..RecordBatch::default()
    };
    store.record_append(&batch).await.unwrap();
    assert_eq!(store.statistics_list(None).await.unwrap(), [statistics(&stays, "echo", 2)]);
    assert_eq!(store.run_list(&RecordFilter::default()).await.unwrap().len(), 1, "what it did is still recorded");
    assert_eq!(store.log_list(&RecordFilter::default()).await.unwrap().len(), 1);
}

pub async fn s06_numbers_of_functions_that_are_gone_are_dropped(store: Arc<dyn Store>) {
    let (pricing, other) = (name("pricing"), name("other"));
    put(&*store, &pricing).await;
    put(&*store, &other).await;
    let of_pricing = (0..700).map(|number| statistics(&pricing, &format!("f{number}"), 1)).collect();
    add(&*store, of_pricing).await;
    add(&*store, vec![statistics(&pricing, "stays", 2), statistics(&other, "f7", 3)]).await;
    let kept = ["f7", "stays", "new"].into_iter().map(function).collect();
    store.statistics_retain(&pricing, &kept).await.unwrap();
    let left = [statistics(&other, "f7", 3), statistics(&pricing, "f7", 1), statistics(&pricing, "stays", 2)];
    assert_eq!(store.statistics_list(None).await.unwrap(), left);
    store.statistics_retain(&name("absent"), &kept).await.unwrap();
    assert_eq!(store.statistics_list(None).await.unwrap(), left);
}
