//! Records: every call is recorded, whatever its outcome.

use std::collections::BTreeMap;

use outrigger_contract::Code;
use outrigger_engine::store::{RecordBatch, RecordFilter, StatisticsRow};
use outrigger_engine::{CallOptions, CorrelationId};
use serde_json::json;

use crate::bench::{Bench, installation, no_arguments, until};

#[tokio::test]
async fn every_call_is_recorded_with_its_outcome() {
    let bench = Bench::new().await;
    bench.demo("[functions.version]\nrate-limit = \"1/1h\"\n").await;
    bench.code("demo.version", no_arguments()).await;
    bench.code("demo.version", no_arguments()).await;
    bench.code("demo.echo", json!({"text": 5})).await;
    bench.code("demo.fail", json!({"text": "no"})).await;
    bench.code("nowhere.x", no_arguments()).await;
    bench.engine.flush().await;
    let mut runs = bench.store.run_list(&RecordFilter::default()).await.expect("it reads");
    runs.reverse();
    let outcomes: Vec<_> = runs
        .iter()
        .map(|run| format!("{}.{} {}", run.plugin, run.function, run.code.map_or("ok", |code| code.as_str())))
        .collect();
    assert_eq!(
        outcomes,
        [
            "demo.version ok",
            "demo.version rate_limited",
            "demo.echo invalid_input",
            "demo.fail function_failed",
            "nowhere.x plugin_not_found"
        ]
    );
    assert!(runs.iter().all(|run| run.caller == "local"));
}

#[tokio::test]
async fn the_correlation_id_follows_a_call_through_plugins() {
    let bench = Bench::new().await;
    bench.demo("[permissions]\nplugins = [\"demo.*\"]\n").await;
    let correlation = CorrelationId::new();
    let options = CallOptions { correlation: Some(correlation), ..CallOptions::default() };
    let arguments = json!({"function": "demo.version", "arguments": "{}"});
    bench.call_with("demo.call", arguments, options).await.expect("it answers");
    bench.engine.flush().await;
    let filter = RecordFilter { correlation: Some(correlation), ..RecordFilter::default() };
    let runs = bench.store.run_list(&filter).await.expect("it reads");
    let callers: Vec<_> = runs.iter().map(|run| (run.function.as_str(), run.caller.as_str())).collect();
    assert!(callers.contains(&("call", "local")) && callers.contains(&("version", "plugin demo.call")), "{callers:?}");
}

#[tokio::test]
async fn statistics_add_up_over_restarts() {
    let bench = Bench::new().await;
    bench.demo("[functions.echo]\nread-only = true\ncache = \"1h\"\n").await;
    for text in ["a", "a", "b"] {
        bench.code("demo.echo", json!({"text": text})).await;
    }
    bench.code("demo.fail", json!({"text": "no"})).await;
    bench.engine.shutdown().await;
    let restarted = bench.restarted().await;
    restarted.code("demo.echo", json!({"text": "a"})).await;
    restarted.engine.flush().await;
    let name = "demo".parse().expect("a name");
    let rows = bench.store.statistics_list(Some(&name)).await.expect("it reads");
    let calls: u64 = rows.iter().filter_map(|row| row.counters.get("calls")).sum();
    assert_eq!(calls, 5, "the store has them all");
    let total = restarted.engine.statistics(Some(&name)).await.expect("it counts").total(|_| true);
    assert_eq!((total.counters.calls, total.counters.failures), (5, 1));
    assert_eq!((total.counters.cache_hits, total.counters.cache_misses), (1, 3));
    assert!((total.error_rate - 0.2).abs() < 1e-9 && (total.cache_hit_rate - 0.25).abs() < 1e-9);
    assert!(total.p50_us >= 1 && total.p50_us <= total.p95_us && total.p95_us <= total.p99_us);
}

#[tokio::test]
async fn who_has_the_store_alone_counts_on_from_what_is_in_it() {
    let bench = Bench::new().await;
    bench.demo("").await;
    bench.code("demo.echo", json!({"text": "a"})).await;
    bench.engine.shutdown().await;
    let alone = bench.restarted().await;
    alone.engine.keep_statistics().await;
    let calls = async || alone.engine.statistics(None).await.expect("it counts").total(|_| true).counters.calls;
    let of = async |function: &str| {
        let mut view = alone.engine.statistics(None).await.expect("it counts");
        view.functions(|_| true).find(|counts| counts.function.as_str() == function).map(|counts| counts.summary)
    };
    alone.code("demo.echo", json!({"text": "b"})).await;
    assert_eq!(calls().await, 2);
    // From here on nothing is read, and what is written in between is not counted twice.
    alone.code("demo.echo", json!({"text": "c"})).await;
    alone.engine.flush().await;
    alone.code("demo.fail", json!({"text": "no"})).await;
    assert_eq!((calls().await, of("echo").await.expect("it was called").counters.calls), (4, 3));
    let mut view = alone.engine.statistics(None).await.expect("it counts");
    assert_eq!(view.total(|_| false).counters.calls, 0, "who may see no plugin sees no calls");
    assert_eq!(view.functions(|_| false).count(), 0);
    drop(view);
    alone.engine.flush().await;
    let rows = bench.store.statistics_list(None).await.expect("it reads");
    assert_eq!(rows.iter().filter_map(|row| row.counters.get("calls")).sum::<u64>(), 4, "the store has them all");
    alone.engine.uninstall(&"demo".parse().expect("a name")).await.expect("it is removed");
    assert_eq!((calls().await, of("echo").await), (0, None));
}

#[tokio::test]
async fn s06_an_update_drops_the_statistics_of_functions_that_are_gone() {
    let bench = Bench::new().await;
    bench.demo("").await;
    bench.engine.keep_statistics().await;
    bench.code("demo.echo", json!({"text": "a"})).await;
    bench.engine.flush().await;
    // As if an earlier version had had it.
    let gone = StatisticsRow {
        plugin: "demo".parse().expect("a name"),
        function: "gone".parse().expect("a name"),
        counters: BTreeMap::from([("calls".to_owned(), 3)]),
        latency_us: BTreeMap::new(),
    };
    let batch = RecordBatch { statistics: vec![gone], ..RecordBatch::default() };
    bench.store.record_append(&batch).await.expect("the store works");
    let calls = async || bench.engine.statistics(None).await.expect("it counts").total(|_| true).counters.calls;
    assert_eq!(calls().await, 4);
    bench.code("demo.echo", json!({"text": "b"})).await;
    bench.engine.update(installation("demo", "1.1.0", "")).await.expect("it is updated");
    assert_eq!(calls().await, 2);
    let rows = bench.store.statistics_list(None).await.expect("it reads");
    let functions: Vec<_> = rows.iter().map(|row| (row.function.as_str(), row.counters["calls"])).collect();
    assert_eq!(functions, [("echo", 2)]);
}

#[tokio::test]
async fn a_call_whose_caller_goes_away_is_recorded() {
    let bench = Bench::new().await;
    bench.demo("").await;
    let running = bench.start("demo.wait", no_arguments(), CallOptions::default());
    until("it is under way", || bench.runtime.waiting() == 1).await;
    running.abort();
    until("it is gone", || bench.runtime.waiting() == 0).await;
    bench.engine.flush().await;
    let runs = bench.store.run_list(&RecordFilter::default()).await.expect("it reads");
    assert_eq!(runs[0].code.map(Code::as_str), Some("cancelled"));
}
