//! Calls with real components through the whole path: hostile ones end with their own code, in time, and the next call
//! works.

use std::time::{Duration, Instant};

use outrigger_api::{CallRequest, FunctionQuery, RecordQuery};
use serde_json::{Value as Json, json};

use crate::bench::{Bench, none};

const LIMITS: &str = "[limits]\nmemory = \"4MiB\"\ntimeout = \"400ms\"\noutput = \"1MiB\"\nlog-lines = 100\n\
                      [functions.spin]\ntimeout = \"200ms\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_misdeed_has_its_own_code_and_the_next_call_works() {
    let bench = Bench::new().await;
    bench.install(&bench.hostile("1.0.0", LIMITS)).await.expect("it is installed");
    let cases: [(&str, Json, &str); 9] = [
        ("spin", none(), "deadline_exceeded"),
        ("bomb", none(), "memory_limit"),
        ("many-texts", json!({"count": 1000}), "output_limit"),
        ("big-text", json!({"bytes": 2_000_000}), "output_limit"),
        ("recurse", none(), "stack_overflow"),
        ("trap", none(), "trapped"),
        ("sleep", json!({"nanoseconds": 60_000_000_000_u64}), "deadline_exceeded"),
        ("fail", none(), "function_failed"),
        ("bad-text", none(), "invalid_output"),
    ];
    for (function, arguments, code) in cases {
        let started = Instant::now();
        let error = bench.call(&format!("hostile.{function}"), arguments).await.expect_err("it misbehaves");
        assert_eq!(error.code.as_str(), code, "{function}: {}", error.message);
        assert!(started.elapsed() < Duration::from_secs(5), "{function} took {:?}", started.elapsed());
        let next = bench.call("hostile.good", json!({"number": 3})).await;
        assert_eq!(next.expect("the next call works"), json!(3), "after {function}");
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_said() {
    let bench = Bench::new().await;
    bench.install(&bench.hostile("1.0.0", LIMITS)).await.expect("it is installed");
    let arguments = json!({"lines": 10_000}).as_object().cloned().expect("an object");
    let request = CallRequest::new("hostile.log".parse().expect("a name"), arguments);
    let response = bench.platform.call(request).await.expect("a flood is no failure");
    assert_eq!(response.warnings[0].code.as_str(), "log_limit");
    assert!(response.warnings[0].message.starts_with("9900 "), "{}", response.warnings[0].message);
    let query = RecordQuery { correlation: Some(response.correlation), limit: 1000, ..RecordQuery::default() };
    let lines = bench.platform.log_list(&query).await.expect("it lists");
    assert_eq!(lines.len(), 100);
    let statistics = bench.platform.plugin_statistics(None).await.expect("it counts");
    assert_eq!(statistics.total.dropped_log_lines, 9900);
}

#[tokio::test]
async fn what_was_not_granted_is_refused_and_named() {
    let bench = Bench::new().await;
    bench.install(&bench.hostile("1.0.0", LIMITS)).await.expect("it is installed");
    let open = json!({"folder": 0, "path": "etc/shadow", "open-flags": 0, "descriptor-flags": 1, "trap": false});
    let error = bench.call("hostile.open", open).await.expect_err("not granted");
    assert_eq!(error.code.as_str(), "permission_denied", "{}", error.message);
    assert!(error.message.contains("/etc/shadow"), "{}", error.message);
    let error =
        bench.call("hostile.fetch", json!({"authority": "example.org", "https": true})).await.expect_err("not granted");
    assert_eq!(error.code.as_str(), "permission_denied", "{}", error.message);
    assert!(error.message.contains("example.org"), "{}", error.message);
    let statistics = bench.platform.plugin_statistics(None).await.expect("it counts");
    assert_eq!(statistics.total.violations, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_plugins_timeout_never_touches_another() {
    let bench = std::sync::Arc::new(Bench::new().await);
    bench.install(&bench.hostile("1.0.0", LIMITS)).await.expect("it is installed");
    let spinning: Vec<_> = (0..4)
        .map(|_| {
            let bench = std::sync::Arc::clone(&bench);
            tokio::spawn(async move { bench.call("hostile.spin", none()).await.expect_err("it spins").code })
        })
        .collect();
    let mut answered = 0;
    while spinning.iter().any(|task| !task.is_finished()) {
        assert_eq!(bench.call("hostile.good", json!({"number": 1})).await.expect("it answers"), json!(1));
        answered += 1;
    }
    for task in spinning {
        assert_eq!(task.await.expect("no panic").as_str(), "deadline_exceeded");
    }
    assert!(answered > 0);
}

#[tokio::test]
async fn functions_are_found_and_described() {
    let bench = Bench::new().await;
    bench
        .install(&bench.hostile("1.0.0", "[functions.good]\ntitle = \"Answer a number\"\ntags = [\"arithmetic\"]\n"))
        .await
        .expect("it is installed");
    let query = FunctionQuery { text: "ARITHMETIC number".to_owned(), ..FunctionQuery::default() };
    let found = bench.platform.function_list(&query).await.expect("it lists");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].signature, "good(number: u32) -> u32");
    let described = bench.platform.function_describe(&found[0].function).await.expect("it describes");
    assert_eq!(described.arguments_schema["properties"]["number"]["maximum"], json!(u32::MAX));
    assert!(described.types.functions.len() == 1 && described.types.types.is_empty());

    // What was found once is found as it is now.
    let update = bench.hostile("1.1.0", "[functions.good]\ntitle = \"Answer a number\"\ntags = [\"sums\"]\n");
    bench.install(&update).await.expect("it is updated");
    assert_eq!(bench.platform.function_list(&query).await.expect("it lists"), []);
    let query = FunctionQuery { text: "sums".to_owned(), ..query };
    assert_eq!(bench.platform.function_list(&query).await.expect("it lists").len(), 1);
}

#[tokio::test]
async fn metrics_count_what_was_called() {
    let bench = Bench::new().await;
    bench.install(&bench.hostile("1.0.0", "")).await.expect("it is installed");
    for _ in 0..3 {
        bench.call("hostile.good", json!({"number": 7})).await.expect("it answers");
    }
    let report = bench.platform.metrics().await.expect("they are read");
    assert_eq!(report.plugins, [("active".to_owned(), 1)].into());
    let [good] = &report.functions[..] else { panic!("{report:?}") };
    assert_eq!((good.statistics.function.as_str(), good.statistics.calls), ("hostile.good", 3));
    let [hostile] = &report.each_plugin[..] else { panic!("{report:?}") };
    assert_eq!((hostile.loads, hostile.load_failures, hostile.unloads), (1, 0, 0));
    assert!(hostile.memory_peak_bytes.is_some_and(|bytes| bytes >= 64 << 10), "{hostile:?}");
    let last = good.latency.last().expect("buckets");
    assert!(last.calls == 3 && good.sum_us > 0 && good.latency.is_sorted_by_key(|bucket| bucket.calls), "{good:?}");
}
