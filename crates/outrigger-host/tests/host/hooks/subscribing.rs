//! Which subscriptions are accepted, over the API and from manifests.

use std::time::{Duration, Instant};

use outrigger_api::SubscriptionQuery;
use serde_json::json;

use super::{bench, course, fire, package, request, subscribe, try_subscribe, with_manifest};
use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_does_not_fit_the_hook_is_refused_when_it_subscribes() {
    let bench = with_manifest("[functions.greet]\nrequires-admin = true\n").await;
    let check = async |hook: &str, function: &str, code: &str, part: &str| {
        let error = try_subscribe(&bench.platform, hook, function, json!({})).await.expect_err("it does not fit");
        assert_eq!(error.code.as_str(), code, "{}", error.message);
        assert!(format!("{} {}", error.message, error.hint).contains(part), "{} {}", error.message, error.hint);
    };
    check(
        "text.shown",
        "join",
        "invalid_input",
        "needs exactly one parameter, for the payload; `join(first: string, second: string) -> string` has 2",
    )
    .await;
    check("text.shown", "measure", "invalid_input", "a filter answers with the type it takes, or with an option of it")
        .await;
    check(
        "plugin.enabled",
        "welcome",
        "invalid_input",
        "which `customer` of `welcome(customer: customer)` does not take: the field `name` of type string is missing",
    )
    .await;
    check("text.shown", "append-c", "function_not_found", "did you mean `callbacks.append-a`").await;
    check("text.show", "append-a", "not_found", "did you mean `text.shown`?").await;
    check("text.shown", "greet", "invalid_input", "is for administrators").await;
    assert!(bench.platform.subscription_list(&SubscriptionQuery::default()).await.expect("it lists").is_empty());
}

const DECLARES: &str = "[hooks.\"shop.sold\"]\nkind = \"event\"\ndescription = \"Something was sold.\"\n\
                        [[subscriptions]]\nhook = \"shop.sold\"\nfunction = \"flaky\"\non-error = \"disable-after(1)\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_manifest_declares_comes_and_goes_with_the_plugin() {
    let bench = with_manifest(DECLARES).await;
    let listed = async || bench.platform.subscription_list(&SubscriptionQuery::default()).await.expect("it lists");
    assert_eq!(course(&fire(&bench, "shop.sold", json!("")).await.trace), "flaky failed_and_disabled(trapped)");
    let [declared] = &listed().await[..] else { panic!("there is one") };
    assert_eq!((declared.source.as_str(), declared.enabled), ("manifest", false));
    let error = bench.platform.subscription_delete(&declared.id).await.expect_err("it goes with the plugin");
    assert_eq!(error.code.as_str(), "conflict");
    let again = bench.another().await.subscription_list(&SubscriptionQuery::default()).await.expect("it lists");
    assert_eq!(again, listed().await, "it is kept");

    // Another version has another try.
    bench.install(&package(&bench, "1.0.1", DECLARES)).await.expect("it is updated");
    let [updated] = &listed().await[..] else { panic!("there is one") };
    assert_eq!((&updated.id, updated.enabled, updated.failures), (&declared.id, true, 0));

    subscribe(&bench, "text.shown", "append-a", json!({})).await;
    bench.platform.plugin_uninstall(&"callbacks".parse().expect("a name")).await.expect("it is removed");
    assert_eq!(listed().await, [], "nobody is left to call");
    let hooks = bench.platform.hook_list().await.expect("it lists");
    assert!(!hooks.iter().any(|hook| hook.name.as_str() == "shop.sold"));
    assert_eq!(bench.another().await.subscription_list(&SubscriptionQuery::default()).await.expect("it lists"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_does_not_fit_its_hooks_is_not_installed() {
    let check = async |manifest: &str, part: &str| {
        let bench = Bench::new().await;
        let (code, error) = bench.refused(&package(&bench, "1.0.0", manifest)).await;
        assert_eq!(code, "invalid_manifest", "{}", error.message);
        assert!(error.message.contains(part), "{}", error.message);
        assert_eq!(bench.platform.subscription_list(&SubscriptionQuery::default()).await.expect("it lists"), []);
    };
    let subscription =
        |hook: &str, function: &str| format!("[[subscriptions]]\nhook = \"{hook}\"\nfunction = \"{function}\"\n");
    check(&subscription("call.before", "rename"), "only administrators can subscribe to this hook").await;
    check(&subscription("shop.sold", "measure"), "there is no hook `shop.sold`").await;
    check(&subscription("plugin.enabled", "join"), "needs exactly one parameter").await;
    check(&(subscription("plugin.enabled", "measure") + "condition = \"evnt.x\"\n"), "unknown variable `evnt`").await;
    check("[hooks.\"plugin.sold\"]\nkind = \"event\"\ndescription = \"x\"\n", "Outrigger's own").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_subscribes_past_their_rights() {
    let bench = bench().await;
    let host =
        outrigger_host::Host::open(outrigger_host::HostOptions { data: bench.path("data"), search_paths: Vec::new() });
    let host = host.await.expect("the data directory opens");
    let key =
        bench.platform.key_create(request(json!({"name": "dev", "roles": ["developer"]}))).await.expect("it is made");
    // A host looks for new keys now and then; one that is opened now knows it.
    let door: &dyn outrigger_api::Door = &host;
    let deadline = Instant::now() + Duration::from_secs(20);
    let developer = loop {
        match door.enter(&key.key, outrigger_api::Visit::default()).await {
            Ok(platform) => break platform,
            Err(error) => assert!(Instant::now() < deadline, "{}", error.message),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for (hook, function) in [("plugin.enabled", "measure"), ("call.before", "rename")] {
        let error = try_subscribe(&developer, hook, function, json!({})).await.expect_err("that is for operators");
        assert_eq!(error.code.as_str(), "forbidden");
        assert!(error.message.contains("`function_administer`"), "{}", error.message);
    }
    let made = subscribe(&bench, "call.before", "refuse", json!({"condition": "false"})).await;
    let error = developer.subscription_switch(&made.id, false).await.expect_err("no check is disabled like that");
    assert_eq!(error.code.as_str(), "forbidden");
}
