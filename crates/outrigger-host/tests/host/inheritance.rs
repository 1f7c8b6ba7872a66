//! References of others to a plugin's name: schedules, jobs, hooks, calls. A package of another publisher takes them
//! over only with approval, also if the name is free again.

use outrigger_api::Code;
use outrigger_testkit::components;
use serde_json::{Value as Json, json};

use crate::grants::{SECRET, Yard, configure, guard, inspect, install, refused, shop, subject};

fn read<T: serde::de::DeserializeOwned>(json: Json) -> T {
    serde_json::from_value(json).expect("a request")
}

/// Whether a developer can replace `subject` with another package, or what the package would take over.
async fn check(yard: &Yard, version: &str, expected: Option<&str>) {
    let package = guard(yard, version, "");
    match expected {
        Some(part) => {
            let report = inspect(&*yard.developer, &package).await;
            assert!(report.take_over.is_some_and(|sentence| sentence.contains(part)), "{part}");
            refused(yard.developer_installs(&package).await, Code::GrantRequired, part);
        }
        None => drop(yard.developer_installs(&package).await.expect("there is nothing to take over")),
    }
}

fn waiting() -> Json {
    json!({"function": "subject.append-a", "arguments": {"text": "hunter2"}, "needs_approval": true})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_schedules_and_jobs_are_not_handed_to_other_code() {
    let yard = Yard::new().await;
    let platform = &yard.bench.platform;
    check(&yard, "1.0.0", None).await;
    let schedule = json!({"cron": "30 2 * * *", "job": waiting(), "enabled": false});
    platform.schedule_put("nightly", read(schedule.clone()), None).await.expect("it is set");
    check(&yard, "1.1.0", Some("the schedules `nightly`")).await;
    // The same applies if the name is free.
    platform.plugin_uninstall(&subject()).await.expect("it is removed");
    check(&yard, "1.1.0", Some("the schedules `nightly` of `subject`")).await;
    platform.schedule_delete("nightly").await.expect("it is removed");
    check(&yard, "1.1.0", None).await;

    let job = platform.job_create(read(waiting())).await.expect("it waits").id;
    check(&yard, "1.2.0", Some("a job that has not succeeded")).await;
    platform.job_cancel(&job).await.expect("it is cancelled");
    check(&yard, "1.2.0", Some("a job that has not succeeded")).await;
    platform.plugin_uninstall(&subject()).await.expect("it is removed");
    check(&yard, "1.2.0", Some("a job that has not succeeded")).await;
    install(&**platform, &guard(&yard, "1.2.0", "")).await.expect("an administrator may");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_key_hands_over_its_own_jobs() {
    let yard = Yard::new().await;
    check(&yard, "1.0.0", None).await;
    yard.developer.job_create(read(waiting())).await.expect("it waits");
    let schedule = json!({"cron": "30 2 * * *", "job": waiting()});
    yard.developer.schedule_put("nightly", read(schedule), None).await.expect("it is set");
    check(&yard, "1.1.0", None).await;
    let key: outrigger_api::KeyRequest = read(json!({"name": "other", "roles": ["developer", "paths"]}));
    let other = yard.bench.platform.key_create(key).await.expect("it is made").key;
    let other = outrigger_api::Door::enter(&yard.host, &other, outrigger_api::Visit::default()).await;
    let outcome = install(&*other.expect("it is let in"), &guard(&yard, "1.2.0", "")).await;
    refused(outcome, Code::GrantRequired, "the schedules `nightly` and a job that has not succeeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_nor_are_events_calls_and_the_names_of_hooks() {
    let yard = Yard::new().await;
    let platform = &yard.bench.platform;
    shop(&yard).await;
    check(&yard, "1.0.0", None).await;
    let wanted = json!({"hook": "shop.sold", "function": "subject.append-a"});
    let made = platform.subscription_create(read(wanted)).await.expect("it may");
    check(&yard, "1.1.0", Some("the subscriptions to `shop.sold`")).await;
    platform.subscription_delete(&made.id).await.expect("it may");
    check(&yard, "1.1.0", None).await;
    // Another plugin was granted to call it by its name.
    let caller = "[permissions]\nplugins = [\"subject.append-a\"]\n";
    let caller = yard.bench.package("caller", "caller", "1.0.0", caller, &components::callbacks());
    yard.granted(&caller).await;
    check(&yard, "1.2.0", Some("the calls from `caller`")).await;
    platform.plugin_uninstall(&subject()).await.expect("it is removed");
    check(&yard, "1.2.0", Some("the calls from `caller`")).await;
    platform.plugin_uninstall(&"caller".parse().expect("a name")).await.expect("it is removed");
    check(&yard, "1.2.0", None).await;
    // Another plugin would fire a hook of that name, whose subscribers were approved for the previous plugin's hook.
    let told = json!({"hook": "shop.priced", "function": "subject.append-a"});
    let told = platform.subscription_create(read(told)).await.expect("it may");
    platform.plugin_uninstall(&"shop".parse().expect("a name")).await.expect("it is removed");
    let hook = "[hooks.\"shop.priced\"]\nkind = \"filter\"\ndescription = \"x\"\n";
    let other = yard.bench.package("stall", "stall", "1.0.0", hook, &components::telling());
    let part = "the subscribers to `shop.priced` of `stall`";
    refused(yard.developer_installs(&other).await, Code::GrantRequired, part);
    platform.subscription_delete(&told.id).await.expect("it may");
    yard.developer_installs(&other).await.expect("there is nothing to take over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_nor_secrets_that_a_configuration_had() {
    let yard = Yard::new().await;
    yard.developer_installs(&yard.package("1.0.0", SECRET)).await.expect("it holds nothing");
    configure(&yard, json!({"token": "tulip", "region": "eu"})).await;
    configure(&yard, json!({"region": "eu"})).await;
    let sly = yard.package("1.1.0", "[configuration.token]\ntype = \"string\"\n");
    refused(yard.developer_installs(&sly).await, Code::GrantRequired, "the secrets `token`");
    yard.bench.platform.plugin_uninstall(&subject()).await.expect("it is removed");
    yard.developer_installs(&sly).await.expect("they are deleted with it");
    let kept = yard.bench.platform.configuration_revisions(&subject()).await.expect("it lists");
    assert!(kept.is_empty(), "{kept:?}");
}
