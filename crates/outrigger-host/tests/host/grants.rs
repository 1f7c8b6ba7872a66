//! Grants and approvals: limits above the defaults, subscriptions to hooks of others. A developer's key can install
//! packages but approve nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use outrigger_api::{CallRequest, CheckOutcome, Code, InstallRequest, PackageSource, SubscriptionRequest};
use outrigger_host::{Host, HostOptions, ServerWork};
use outrigger_testkit::components;
use serde_json::json;

use crate::bench::call;
use crate::yard::{Yard, guard, inspect, install, refused, shop};
const RAISED: [(&str, &str); 8] = [
    ("[limits]\nmemory = \"256MiB\"\n", "use 256MiB of memory in each instance (default: 64MiB)"),
    ("[limits]\ntimeout = \"1m\"\ncpu = \"1s\"\n", "run for 1m in a call (default: 5s)"),
    ("[limits]\ntimeout = \"1m\"\n", "use 1m of CPU time in a call (default: 5s)"),
    ("[limits]\noutput = \"32MiB\"\n", "return results of 32MiB (default: 4MiB)"),
    ("[limits]\nconcurrency = 500\n", "run 500 calls at once (default: 16)"),
    ("[limits]\nlog-lines = 50000\n", "write 50000 log lines in a call (default: 1000)"),
    ("[limits]\nstate = \"512MiB\"\n", "keep 512MiB of state (default: 1MiB)"),
    ("[functions.total]\ntimeout = \"2m\"\n", "run for 2m in a call (default: 5s)"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s08_each_limit_that_a_manifest_raises_needs_approval() {
    let yard = Yard::new().await;
    let instances = "instances = { warm = { max-instances = 50 } }\n";
    let asked = RAISED.into_iter().chain([(instances, "keep 50 instances in memory between calls (default: 4)")]);
    for (number, (manifest, sentence)) in asked.enumerate() {
        let package = yard.package(&format!("1.{number}.0"), manifest);
        let report = inspect(&*yard.developer, &package).await;
        assert!(report.permissions.iter().any(|one| one == sentence), "{:?}", report.permissions);
        assert_eq!(report.widened, report.permissions);
        refused(yard.developer_installs(&package).await, Code::GrantRequired, sentence);
        // Claiming approval or a dry run does not help, either.
        let source = PackageSource::Path(package.clone());
        let approved = InstallRequest { approved: Some(report.digest), ..InstallRequest::new(source.clone()) };
        refused(yard.developer.plugin_install(approved).await, Code::Forbidden, "plugin_approve");
        let tried = InstallRequest { dry_run: true, ..InstallRequest::new(source) };
        refused(yard.developer.plugin_install(tried).await, Code::GrantRequired, sentence);
        // An administrator must approve, too.
        refused(install(&*yard.bench.platform, &package).await, Code::GrantRequired, sentence);
    }
    assert!(yard.bench.platform.plugin_list().await.expect("it lists").is_empty());
    let modest = yard.package("2.0.0", "[limits]\nmemory = \"32MiB\"\ntimeout = \"1s\"\nconcurrency = 16\n");
    yard.developer_installs(&modest).await.expect("it asks for nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s08_an_update_asks_again_for_more_than_was_approved_and_for_no_less() {
    let yard = Yard::new().await;
    yard.granted(&yard.package("1.0.0", "[limits]\nmemory = \"256MiB\"\nconcurrency = 100\n")).await;
    let granted = yard.info().await.granted;
    assert_eq!(granted.len(), 2, "{granted:?}");
    assert!(granted[0].contains("use 256MiB of memory"), "{granted:?}");
    let administrator = &*yard.bench.platform;
    install(administrator, &yard.package("1.1.0", "[limits]\nmemory = \"200MiB\"\nconcurrency = 100\n"))
        .await
        .expect("it asks for less");
    let more = yard.package("1.2.0", "[limits]\nmemory = \"256MiB\"\nconcurrency = 100\n");
    refused(install(administrator, &more).await, Code::GrantRequired, "use 256MiB of memory");
    let more = yard.package("1.3.0", "[limits]\nmemory = \"200MiB\"\nconcurrency = 101\n");
    let report = inspect(administrator, &more).await;
    assert_eq!((report.permissions.len(), report.widened.len()), (2, 1), "{report:?}");
    refused(install(administrator, &more).await, Code::GrantRequired, "run 101 calls at once");
    assert_eq!(yard.info().await.summary.version, "1.1.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s08_nobody_is_granted_more_than_the_ceiling() {
    let yard = Yard::over(tempfile::tempdir().expect("a temporary folder"), &["memory=128MiB", "instances=8"]).await;
    for (number, (manifest, part)) in [
        ("[limits]\nmemory = \"256MiB\"\n", "`memory` of 256MiB is above the ceiling of 128MiB"),
        ("[limits]\nconcurrency = 10000\n", "`concurrency` of 10000 is above the ceiling of 1000"),
        ("[limits]\nstate = \"16GiB\"\n", "`state` of 16GiB is above the ceiling of 1GiB"),
        ("[limits]\ncpu = \"1d\"\ntimeout = \"1d\"\n", "`cpu` of 1d is above the ceiling of 1h"),
        ("instances = { warm = { max-instances = 9 } }\n", "`instances` of 9 is above the ceiling of 8"),
    ]
    .into_iter()
    .enumerate()
    {
        let package = yard.package(&format!("1.{number}.0"), manifest);
        let report = inspect(&*yard.bench.platform, &package).await;
        assert_eq!(report.above_ceiling, [part]);
        // With the administrator's approval.
        let error = yard.bench.install(&package).await.expect_err("it is too much");
        assert_eq!(error.code, Code::AboveCeiling);
        assert!(error.message.contains(part), "{}", error.message);
        assert!(error.hint.contains("OUTRIGGER_CEILING") && error.hint.contains("--ceiling"), "{}", error.hint);
    }
    yard.granted(&yard.package("2.0.0", "[limits]\nmemory = \"128MiB\"\n")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s08_a_ceiling_that_is_lowered_holds_for_what_was_granted_before() {
    let yard = Yard::new().await;
    let manifest = "[limits]\ntimeout = \"5m\"\ncpu = \"5m\"\nconcurrency = 50\n";
    let package = yard.bench.package("busy", "subject", "1.0.0", manifest, &components::hostile());
    yard.granted(&package).await;
    assert_eq!(yard.info().await.capped, [""; 0]);
    let yard = yard.reopened(&["timeout=300ms,concurrency=5"]).await;
    let capped = yard.info().await.capped;
    assert!(capped.contains(&"`timeout` is 300ms instead of 5m".to_owned()), "{capped:?}");
    assert!(capped.contains(&"`concurrency` is 5 instead of 50".to_owned()), "{capped:?}");
    let report = yard.bench.platform.doctor().await.expect("it looks");
    let found = report.checks.iter().find(|check| check.name == "limits of subject").expect("it says so");
    assert_eq!(found.outcome, CheckOutcome::Warning);
    assert!(found.message.contains("`timeout` is 300ms instead of 5m"), "{}", found.message);
    // A caller cannot give more time, either.
    let started = Instant::now();
    let mut request = CallRequest::new("subject.spin".parse().expect("a name"), serde_json::Map::new());
    request.timeout_ms = Some(60_000);
    let error = yard.bench.platform.call(request).await.expect_err("it spins");
    assert!(matches!(error.code, Code::DeadlineExceeded | Code::CpuLimit), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let wrong = ServerWork { ceiling: vec!["memry=1GiB".to_owned()], ..ServerWork::default() };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = HostOptions { data: folder.path().join("data"), search_paths: Vec::new() };
    let error = Host::open_alone_with(options, wrong).await.expect_err("there is no such limit");
    assert!(error.message.contains("--ceiling: there is no limit `memry`"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s08_a_caller_gives_more_time_for_waiting_and_not_for_computing() {
    let yard = Yard::new().await;
    let package =
        yard.bench.package("spins", "subject", "1.0.0", "[limits]\ntimeout = \"400ms\"\n", &components::hostile());
    yard.granted(&package).await;
    let call = async |function: &str, arguments: serde_json::Value| {
        let arguments = arguments.as_object().expect("an object").clone();
        let mut request = CallRequest::new(format!("subject.{function}").parse().expect("a name"), arguments);
        request.timeout_ms = Some(3_600_000);
        yard.bench.platform.call(request).await
    };
    let started = Instant::now();
    let error = call("spin", json!({})).await.expect_err("it spins");
    assert_eq!(error.code, Code::CpuLimit, "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    call("sleep", json!({"nanoseconds": 1_000_000_000})).await.expect("it waits for longer than its own timeout");
}

fn subscribing(yard: &Yard, version: &str, hook: &str, more: &str) -> PathBuf {
    let manifest = format!("[[subscriptions]]\nhook = \"{hook}\"\nfunction = \"append-a\"\n{more}");
    yard.bench.package(&format!("part-{version}"), "subject", version, &manifest, &components::callbacks())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_a_part_in_the_hooks_of_others_needs_approval() {
    let yard = Yard::new().await;
    shop(&yard).await;
    let closed = "on-error = \"fail-closed\"\n";
    for (number, (hook, more, sentence)) in [
        ("shop.priced", "", "change or refuse the payload of `shop.priced` (filter)"),
        ("shop.priced", closed, "change or refuse the payload of `shop.priced` (filter, fail-closed)"),
        ("shop.stored", closed, "take part in `shop.stored` (action, fail-closed)"),
        ("shop.sold", "", "receive the payload of `shop.sold` (event)"),
    ]
    .into_iter()
    .enumerate()
    {
        let package = subscribing(&yard, &format!("1.{number}.0"), hook, more);
        assert_eq!(inspect(&*yard.developer, &package).await.widened, [sentence]);
        refused(yard.developer_installs(&package).await, Code::GrantRequired, sentence);
        refused(install(&*yard.bench.platform, &package).await, Code::GrantRequired, sentence);
    }
    let package = subscribing(&yard, "2.0.0", "shop.priced", "");
    yard.granted(&package).await;
    assert_eq!(yard.info().await.granted, ["change or refuse the payload of `shop.priced` (filter)"]);
    let payload = json!({"hook": "shop.priced", "payload": "\"x\""});
    assert_eq!(call(&yard.bench.platform, "shop.fire", payload).await.expect("it is fired"), json!("\"xa\""));
    // A more powerful subscription needs a new approval; an equal one does not.
    let stricter = subscribing(&yard, "2.1.0", "shop.priced", closed);
    refused(install(&*yard.bench.platform, &stricter).await, Code::GrantRequired, "filter, fail-closed");
    let alike = subscribing(&yard, "2.2.0", "shop.priced", "priority = 5\n");
    install(&*yard.bench.platform, &alike).await.expect("that was granted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_its_own_hooks_are_nobody_elses_to_grant() {
    let yard = Yard::new().await;
    let manifest = "[hooks.\"subject.made\"]\nkind = \"filter\"\ndescription = \"x\"\n\
                    [[subscriptions]]\nhook = \"subject.made\"\nfunction = \"append-a\"\non-error = \"fail-closed\"\n";
    let package = yard.bench.package("own", "subject", "1.0.0", manifest, &components::callbacks());
    assert_eq!(inspect(&*yard.developer, &package).await.permissions, [""; 0]);
    yard.developer_installs(&package).await.expect("it asks for nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_a_key_makes_no_plugin_stop_another_without_the_right_to() {
    let yard = Yard::new().await;
    shop(&yard).await;
    let package = yard.bench.package("part", "subject", "1.0.0", "", &components::callbacks());
    yard.granted(&package).await;
    let request = |hook: &str, on_error: &str| -> SubscriptionRequest {
        let json = json!({"hook": hook, "function": "subject.append-a", "on_error": on_error});
        serde_json::from_value(json).expect("a request")
    };
    // A manifest needs approval for each of them, including observers, fail-open subscribers, and hooks that a key
    // added.
    for (name, kind) in [("own.filter", "filter"), ("own.action", "action"), ("own.event", "event")] {
        let hook = serde_json::from_value(json!({"name": name, "kind": kind})).expect("a request");
        yard.developer.hook_create(hook).await.expect("a developer may");
    }
    for (hook, on_error) in [
        ("shop.priced", "fail-open"),
        ("shop.stored", "fail-open"),
        ("shop.stored", "fail-closed"),
        ("shop.sold", "fail-open"),
        ("own.filter", "fail-open"),
        ("own.action", "fail-open"),
        ("own.event", "fail-open"),
        ("plugin.enabled", "fail-open"),
        ("call.before", "fail-open"),
        ("call.after", "fail-open"),
        ("plugin.before", "fail-open"),
    ] {
        let outcome = yard.developer.subscription_create(request(hook, on_error)).await;
        refused(outcome, Code::Forbidden, "function_administer");
        let manifest = subscribing(&yard, &format!("9.{}.0", hook.len()), hook, "");
        if !["call.before", "call.after", "plugin.before"].contains(&hook) {
            refused(yard.developer_installs(&manifest).await, Code::GrantRequired, hook);
        }
    }
    let unknown = yard.developer.subscription_create(request("shop.sod", "fail-open")).await;
    assert_ne!(unknown.expect_err("there is none").code, Code::Forbidden);
    // It cannot be enabled again, either.
    let made = yard.bench.platform.subscription_create(request("shop.priced", "fail-closed")).await.expect("it may");
    yard.bench.platform.subscription_switch(&made.id, false).await.expect("it may");
    refused(yard.developer.subscription_switch(&made.id, true).await, Code::Forbidden, "function_administer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_a_hook_of_its_own_that_is_gone_leads_into_nobody_elses() {
    let yard = Yard::new().await;
    let own = "[hooks.\"shop.priced\"]\nkind = \"filter\"\ndescription = \"x\"\n";
    yard.developer_installs(&guard(&yard, "1.0.0", own)).await.expect("it asks for nothing");
    let wanted = json!({"hook": "shop.priced", "function": "subject.append-a"});
    let wanted = serde_json::from_value(wanted).expect("a request");
    yard.developer.subscription_create(wanted).await.expect("the hook is its own");
    install(&*yard.bench.platform, &guard(&yard, "1.1.0", "")).await.expect("an administrator may");
    shop(&yard).await;
    let payload = json!({"hook": "shop.priced", "payload": "\"x\""});
    assert_eq!(call(&yard.bench.platform, "shop.fire", payload).await.expect("it is fired"), json!("\"x\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_calls_of_other_plugins_are_shown_and_granted() {
    let yard = Yard::new().await;
    let package = yard.package("1.0.0", "[permissions]\nplugins = [\"shop.*\"]\n");
    let sentence = "call every function of the plugin shop";
    refused(yard.developer_installs(&package).await, Code::GrantRequired, sentence);
    yard.granted(&package).await;
    assert_eq!(yard.info().await.granted, [sentence]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s08_what_is_said_of_a_function_that_is_not_there_is_refused() {
    let yard = Yard::new().await;
    for (number, (manifest, key, hint)) in [
        ("[functions.totl]\nconcurrency = 1\n", "`functions.totl`: the component exports no function `totl`", "did you mean `total`?"),
        ("[functions.TOTAL]\nrate-limit = \"1/1h\"\n", "`functions.TOTAL`", "did you mean `total`?"),
        ("[functions.zzzzzzzz]\nrequires-admin = true\n", "`functions.zzzzzzzz`", "it exports "),
        (
            "[hooks.\"subject.made\"]\nkind = \"event\"\ndescription = \"x\"\n[[subscriptions]]\nhook = \"subject.made\"\nfunction = \"ad\"\n",
            "`subscriptions[0].function`: the component exports no function `ad`",
            "did you mean `add`?",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let package = yard.package(&format!("1.{number}.0"), manifest);
        let source = PackageSource::Path(package.clone());
        let error = yard.bench.platform.package_inspect(&source).await.expect_err("it is refused");
        assert_eq!(error.code, Code::InvalidManifest);
        assert!(error.message.contains(key), "{}", error.message);
        assert!(error.hint.contains(hint), "{}", error.hint);
        refused(yard.bench.install(&package).await, Code::InvalidManifest, key);
    }
    yard.granted(&yard.package("2.0.0", "[functions.total]\nread-only = true\n")).await;
}
