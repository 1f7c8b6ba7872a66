//! Plugins that misbehave: each gets its own coded error in time, and the next call works.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Bench, Loaded, PLENTY, number, text};
use outrigger_contract::units::{ByteSize, Span};
use outrigger_contract::{Code, Value};
use outrigger_engine::Account;
use outrigger_engine::runtime::{CallContext, HealthStatus, LifecycleStep, LogLevel, RevisionSpec};
use outrigger_testkit::components::{self, Step};
use outrigger_testkit::greedy;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn an_endless_loop_ends_with_its_deadline() {
    let bench = Bench::new();
    let plugin = bench.hostile(|_| ()).await;
    let started = Instant::now();
    let (result, _) = plugin.call_within("spin", &[], Duration::from_millis(200)).await;
    let fault = result.expect_err("it never ends by itself");
    assert_eq!(fault.code, Code::DeadlineExceeded, "{fault}");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(190) && took < Duration::from_secs(2), "{took:?}");
    plugin.still_works().await;
}

#[tokio::test]
async fn computing_has_its_own_limit() {
    let bench = Bench::new();
    let plugin = bench.hostile(|spec| spec.limits.cpu = Some(Span::from_millis(100))).await;
    let message = plugin.fails("spin", &[], Code::CpuLimit).await;
    assert!(message.contains("100ms"), "{message}");
    // Waiting is not computing.
    plugin.call("sleep", &[number(300_000_000)]).await.expect("it only waits");
    plugin.still_works().await;
}

#[tokio::test]
async fn memory_is_limited() {
    let bench = Bench::new();
    let plugin = bench.hostile(|spec| spec.limits.memory = ByteSize::mib(8)).await;
    let message = plugin.fails("bomb", &[], Code::MemoryLimit).await;
    assert!(message.contains("8 MiB") || message.contains("8MiB"), "{message}");
    plugin.still_works().await;
    // A plugin that copes with it has not failed.
    let context = plugin.services.context(PLENTY);
    let observed = Arc::clone(&context.observed);
    let outcome = Arc::clone(&plugin.revision).call(plugin.place("bomb-kindly"), Arc::default(), context).await;
    let Ok(Value::Unsigned(pages)) = outcome else { panic!("it copes") };
    assert!((100..=128).contains(&pages), "{pages}");
    let peak = observed.memory_peak();
    assert!((pages << 16..=128 << 16).contains(&peak), "{peak} bytes, {pages} pages");
}

#[tokio::test]
async fn results_are_limited() {
    let bench = Bench::new();
    let plugin = bench
        .hostile(|spec| {
            spec.limits.memory = ByteSize::gib(2);
            spec.account = Account::default();
        })
        .await;
    let gigabyte = number(1 << 30);
    plugin.fails("big-text", &[gigabyte], Code::OutputLimit).await;
    plugin.fails("many-texts", &[number(1_000)], Code::OutputLimit).await;
    plugin.fails("many-bits", &[number(1 << 30)], Code::OutputLimit).await;
    let message = plugin.fails("big-text", &[number(5 << 20)], Code::OutputLimit).await;
    assert!(message.contains("is 5MiB; the limit is 4MiB"), "{message}");
    plugin.call("big-text", &[number(4 << 20)]).await.expect("just below the limit");
    plugin.still_works().await;
}

#[tokio::test]
async fn faults_of_the_code_are_told_apart() {
    let bench = Bench::new();
    let plugin = bench.hostile(|_| ()).await;
    plugin.fails("recurse", &[], Code::StackOverflow).await;
    let message = plugin.fails("trap", &[], Code::Trapped).await;
    assert!(message.contains("unreachable"), "{message}");
    plugin.fails("bad-char", &[], Code::InvalidOutput).await;
    plugin.fails("bad-text", &[], Code::InvalidOutput).await;
    let fault = plugin.call("fail", &[]).await.expect_err("it fails");
    assert_eq!(fault.code, Code::FunctionFailed);
    assert_eq!(fault.error_value.as_deref(), Some(&text("it failed")));
    plugin.still_works().await;
}

#[tokio::test]
async fn a_host_call_ends_with_the_deadline_too() {
    let bench = Bench::new();
    let plugin = bench.hostile(|_| ()).await;
    let started = Instant::now();
    let (result, _) = plugin.call_within("sleep", &[number(60_000_000_000)], Duration::from_millis(100)).await;
    assert_eq!(result.expect_err("it sleeps for a minute").code, Code::DeadlineExceeded);
    assert!(started.elapsed() < Duration::from_secs(2));
    plugin.still_works().await;
}

#[tokio::test]
async fn calls_can_be_cancelled_while_they_compute_and_while_they_wait() {
    let bench = Bench::new();
    let plugin = bench.hostile(|_| ()).await;
    for (function, arguments) in [("spin", vec![]), ("sleep", vec![number(60_000_000_000)])] {
        let cancel = CancellationToken::new();
        let context = CallContext { cancel: cancel.clone().into(), ..plugin.services.context(PLENTY) };
        let call = Arc::clone(&plugin.revision).call(plugin.place(function), arguments.into(), context);
        let (result, ()) = tokio::join!(call, async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            cancel.cancel();
        });
        assert_eq!(result.expect_err("it was cancelled").code, Code::Cancelled, "{function}");
    }
    plugin.still_works().await;
}

#[tokio::test]
async fn log_lines_are_capped_and_counted() {
    let bench = Bench::new();
    let plugin = bench.hostile(|_| ()).await;
    let (result, observed) = plugin.call_within("log", &[number(10_000)], PLENTY).await;
    result.expect("it goes on");
    assert_eq!(observed.dropped_log_lines, 9_000);
    assert_eq!(plugin.services.lines.lock().len(), 1_000);

    plugin.services.lines.lock().clear();
    let (result, observed) = plugin.call_within("print", &[text("hello\n"), number(10_000)], PLENTY).await;
    result.expect("it goes on");
    assert_eq!(observed.dropped_log_lines, 9_000);
    assert_eq!(plugin.services.lines.lock().len(), 1_000);
    plugin.still_works().await;
}

#[tokio::test]
async fn standard_output_becomes_lines() {
    let bench = Bench::new();
    let plugin = bench.hostile(|_| ()).await;
    plugin.call("print", &[text("one\r\ntwo\n\nthr"), number(2)]).await.expect("it prints");
    assert_eq!(plugin.services.messages(), ["one", "two", "", "throne", "two", "", "thr"]);
    assert!(plugin.services.lines.lock().iter().all(|line| line.level == LogLevel::Info));

    plugin.services.lines.lock().clear();
    plugin.call("print", &[text(&"x".repeat(4_000)), number(10)]).await.expect("it prints");
    let lines = plugin.services.messages();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].chars().count(), 8 * 1024 + 1, "a line that is too long is cut");
}

#[tokio::test]
async fn s03_no_more_is_written_to_standard_output_at_once_than_was_allowed() {
    let bench = Bench::new();
    let plugin = bench.load(&greedy::flood(), |_| ()).await;
    let (result, observed) = plugin.call_within("write", &[number(8 << 10)], PLENTY).await;
    result.expect("so much may be written");
    assert_eq!(observed.dropped_log_lines, (8 << 10) - 1_000);
    for bytes in [(8 << 10) + 1, 12 << 20] {
        let (result, observed) = plugin.call_within("write", &[number(bytes)], PLENTY).await;
        let fault = result.expect_err("it is more than was allowed");
        assert_eq!(fault.code, Code::Trapped, "{fault}");
        assert!(fault.message.contains("check-write"), "{fault}");
        assert_eq!(observed.dropped_log_lines, 0, "nothing was made of it");
    }
    plugin.still_works().await;
}

#[tokio::test]
async fn s02_what_is_handed_to_the_host_does_not_grow_with_what_a_result_may_have() {
    let bench = Bench::new();
    let large = |spec: &mut RevisionSpec| {
        spec.limits.output = ByteSize::mib(64);
        spec.limits.memory = ByteSize::mib(256);
        spec.account = Account::default();
    };
    let plugin = bench.load(&greedy::greedy(), large).await;
    let log = |fields| [number(1), number(fields), number(900_000)];
    plugin.call("log-fields", &log(8)).await.expect("15 MB may be handed over");
    let message = plugin.fails("log-fields", &log(32), Code::Trapped).await;
    assert!(message.contains("too much data"), "{message}");
    let plugin = bench.hostile(large).await;
    plugin.call("big-text", &[number(40 << 20)]).await.expect("a result may be larger");
}

#[tokio::test]
async fn s02_a_call_waits_for_few_pollables_at_once() {
    let bench = Bench::new();
    let plugin = bench.load(&greedy::polls(), |_| ()).await;
    assert_eq!(plugin.call("wait", &[number(1_000)]).await.expect("they are few"), number(1_000));
    // Each is a handle that is lent.
    let message = plugin.fails("wait", &[number(4_096)], Code::Trapped).await;
    assert!(message.contains("handle limit exceeded"), "{message}");
}

#[tokio::test]
async fn s22_names_that_are_looked_up_in_a_loop_hold_up_nobody() {
    const ACCESS_DENIED: u64 = 1;
    const FOUND: u64 = 1_000;
    let (bench, wasm) = (Bench::new(), greedy::lookups());
    let load = || bench.load(&wasm, |spec| spec.granted.tcp = vec!["localhost:80".parse().expect("a host")]);
    let (plugin, other) = (load().await, load().await);
    let first = async |plugin: &Loaded, name: &str| plugin.call("first", &[text(name)]).await.expect("it answers");
    let begin = plugin.call("begin", &[text("localhost"), number(500)]).await;
    assert_eq!(begin.expect("each is begun"), number(FOUND));
    for plugin in [&other, &plugin] {
        assert_eq!(first(plugin, "localhost").await, number(FOUND));
        assert_eq!(first(plugin, "example.org").await, number(ACCESS_DENIED));
    }
}

#[tokio::test]
async fn environment_and_configuration_are_as_given() {
    let bench = Bench::new();
    let path = std::env::var("PATH").expect("PATH is set");
    let plugin = bench.hostile(|_| ()).await;
    assert_eq!(plugin.call("variables", &[]).await.expect("it asks"), Value::List(vec![]));
    let plugin = bench
        .hostile(|spec| {
            spec.granted.environment = vec!["PATH".parse().expect("a name"), "NOT_THERE".parse().expect("a name")];
        })
        .await;
    let expected = Value::List(vec![Value::Tuple(vec![text("PATH"), text(&path)])]);
    assert_eq!(plugin.call("variables", &[]).await.expect("it asks"), expected);
    assert_eq!(plugin.call("setting", &[text("x")]).await.expect("it asks"), Value::Option(None));
}

#[tokio::test]
async fn calls_to_other_plugins_go_through_the_host() {
    let bench = Bench::new();
    let plugin = bench.hostile(|_| ()).await;
    let answer = plugin.call("call", &[text("pricing.quote"), text("{}")]).await;
    assert_eq!(answer.expect("it is answered"), text("{}"));
    let message = plugin.fails("call", &[text("nobody.home"), text("{}")], Code::FunctionFailed).await;
    assert!(message.contains("function_not_found"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_plugins_end_is_not_felt_by_another() {
    let bench = Bench::new();
    let plugin = Arc::new(bench.hostile(|_| ()).await);
    let hostile = {
        let plugin = Arc::clone(&plugin);
        tokio::spawn(async move {
            for _ in 0..5 {
                let (result, _) = plugin.call_within("spin", &[], Duration::from_millis(60)).await;
                assert_eq!(result.expect_err("it never ends").code, Code::DeadlineExceeded);
            }
        })
    };
    let mut served = 0;
    while !hostile.is_finished() {
        plugin.still_works().await;
        served += 1;
    }
    hostile.await.expect("each loop was ended");
    assert!(served > 10, "{served}");
}

#[tokio::test]
async fn a_single_thread_is_shared_with_a_busy_plugin() {
    let bench = Bench::new();
    let plugin = bench.hostile(|_| ()).await;
    let busy = plugin.call_within("spin", &[], Duration::from_millis(300));
    let good = async {
        for _ in 0..3 {
            plugin.still_works().await;
        }
        Instant::now()
    };
    let ((result, _), done) = tokio::join!(busy, good);
    assert_eq!(result.expect_err("it never ends").code, Code::DeadlineExceeded);
    assert!(done < Instant::now() - Duration::from_millis(50), "the good calls did not wait for the loop to end");
}

/// Three plugins that take memories and sleep would use the whole pool of 640.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s07_plugins_that_sleep_leave_slots_of_the_pool_to_others() {
    const PART: u64 = 640 / 8 / 4;
    const INSTANCE: u64 = 192 << 10;
    const PATIENCE: Duration = Duration::from_secs(1);
    let bench = Bench::new();
    let (mut sleepers, mut waiting) = (Vec::new(), Vec::new());
    for name in ["one", "two", "three"] {
        let account = Account::all(512 << 20).plugin(256 << 20);
        let change = |spec: &mut RevisionSpec| {
            spec.plugin = name.parse().expect("a name");
            spec.account = account.clone();
        };
        let plugin = Arc::new(bench.load(&components::hostile_with_memories(), change).await);
        let sleep = |time| {
            let plugin = Arc::clone(&plugin);
            tokio::spawn(async move {
                let started = Instant::now();
                (plugin.call_within("sleep", &[number(60_000_000_000)], time).await.0, started.elapsed())
            })
        };
        sleepers.extend((0..PART).map(|_| sleep(2 * PLENTY)));
        let started = Instant::now();
        while account.held() < PART * INSTANCE {
            assert!(started.elapsed() < PLENTY, "{} bytes are held", account.held());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        waiting.extend((0..50).map(|_| sleep(PATIENCE)));
    }
    let other = bench.hostile(|spec| spec.plugin = "other".parse().expect("a name")).await;
    while waiting.iter().any(|call| !call.is_finished()) {
        other.still_works().await;
    }
    for call in waiting {
        let (result, took) = call.await.expect("it does not panic");
        assert_eq!(result.expect_err("its plugin has no more slots").code, Code::Busy);
        assert!(took > PATIENCE / 2, "it waited for one: {took:?}");
    }
    for call in sleepers {
        assert!(!call.is_finished());
        call.abort();
    }
}

#[tokio::test]
async fn steps_of_the_lifecycle_are_under_the_same_limits() {
    let bench = Bench::new();
    let services = std::sync::Arc::<outrigger_testkit::services::RecordingServices>::default();
    let good = bench.load(&components::managed(Step::Succeeds, 1), |_| ()).await;
    for step in [LifecycleStep::Initialize, LifecycleStep::Activate, LifecycleStep::Deactivate, LifecycleStep::Cleanup]
    {
        good.revision.lifecycle(step, services.context(PLENTY)).await.expect("it succeeds");
    }
    let health = good.revision.health(services.context(PLENTY)).await.expect("it answers").expect("it exports health");
    assert_eq!(health.status, HealthStatus::Unhealthy, "the worst of all");
    assert_eq!(health.checks[0].name, "connectivity");
    assert_eq!(health.checks[0].message.as_deref(), Some("unreachable"));

    let failing = bench.load(&components::managed(Step::Fails, 1), |_| ()).await;
    let fault =
        failing.revision.lifecycle(LifecycleStep::Initialize, services.context(PLENTY)).await.expect_err("it fails");
    assert_eq!(fault.code, Code::FunctionFailed);
    assert!(fault.message.contains("no licence"), "{fault}");

    let looping = bench.load(&components::managed(Step::Loops, 1), |_| ()).await;
    let context = services.context(Duration::from_millis(100));
    let fault = looping.revision.lifecycle(LifecycleStep::Initialize, context).await.expect_err("it never ends");
    assert_eq!(fault.code, Code::DeadlineExceeded);
    assert_eq!(looping.call("number", &[]).await.expect("a call works"), number(1));

    let plain = bench.hostile(|_| ()).await;
    plain
        .revision
        .lifecycle(LifecycleStep::Initialize, services.context(PLENTY))
        .await
        .expect("there is nothing to do");
    assert_eq!(plain.revision.health(services.context(PLENTY)).await.expect("it is asked"), None);
}

/// Whether a call ends in the pool for long computations.
async fn ends_in_pool(plugin: &Loaded, function: &str, arguments: Vec<Value>, time: Duration) -> bool {
    let context = plugin.services.context(time);
    let (revision, place) = (Arc::clone(&plugin.revision), plugin.place(function));
    let call = async move {
        _ = revision.call(place, arguments.into(), context).await;
        outrigger_compute::is_in_pool()
    };
    outrigger_compute::run(false, Box::pin(call)).await
}

#[tokio::test]
async fn s19_a_call_that_computes_leaves_the_serving_threads_and_one_that_waits_stays() {
    let bench = Bench::new();
    let plugin = bench.hostile(|_| {}).await;
    assert!(ends_in_pool(&plugin, "spin", Vec::new(), Duration::from_millis(60)).await);
    // The clock of interruptions ticks meanwhile.
    assert!(!ends_in_pool(&plugin, "sleep", vec![number(30_000_000)], PLENTY).await);
    assert!(!ends_in_pool(&plugin, "good", vec![number(7)], PLENTY).await);
}
