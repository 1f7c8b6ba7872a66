//! Data and references under a plugin's name: secrets, state, grants, and the schedules, jobs, hooks and calls of others.
//! A package of another publisher takes them over only with approval, also if the name is free again.

use std::fs;

use outrigger_api::{Code, InstallRequest, PackageSource, RollbackRequest};
use outrigger_registry::SigningKey;
use outrigger_testkit::components;
use serde_json::{Value as Json, json};

use crate::bench::{call, none};
use crate::yard::{GUARD, Yard, guard, inspect, install, refused, shop, subject};

const SECRET: &str =
    "[configuration.token]\ntype = \"string\"\nsecret = true\n[configuration.region]\ntype = \"string\"\n";

async fn configure(yard: &Yard, values: Json) {
    let Json::Object(values) = values else { panic!("an object") };
    let present = yard.bench.platform.configuration_fetch(&subject()).await.expect("it is there").revision;
    yard.bench.platform.configuration_put(&subject(), values, present).await.expect("it is set");
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_another_makers_package_does_not_get_the_secrets() {
    let yard = Yard::new().await;
    yard.developer_installs(&yard.package("1.0.0", SECRET)).await.expect("it holds nothing");
    configure(&yard, json!({"region": "eu"})).await;
    yard.developer_installs(&yard.package("1.1.0", SECRET)).await.expect("that is no secret");
    configure(&yard, json!({"token": "tulip", "region": "eu"})).await;
    let package = yard.package("1.2.0", SECRET);
    let part = "the secrets `token` of `subject`, but may be from another publisher: the package is not signed";
    refused(yard.developer_installs(&package).await, Code::GrantRequired, part);
    let report = inspect(&*yard.developer, &package).await;
    assert!(report.take_over.is_some_and(|sentence| sentence.contains(part)));
    // Renaming the key does not help: the migration of the new version would read the secret.
    let migrating =
        "[configuration.label]\ntype = \"string\"\n[[migrations]]\nfrom = \"<2\"\nrename = { token = \"label\" }\n";
    let sly = yard.package("2.0.0", migrating);
    let tried = InstallRequest { dry_run: true, ..InstallRequest::new(PackageSource::Path(sly.clone())) };
    refused(yard.developer.plugin_install(tried).await, Code::GrantRequired, "the secrets `token`");
    refused(yard.developer_installs(&sly).await, Code::GrantRequired, "the secrets `token`");
    let digest = inspect(&*yard.developer, &package).await.digest;
    let approved =
        InstallRequest { approved: Some(digest), ..InstallRequest::new(PackageSource::Path(package.clone())) };
    refused(yard.developer.plugin_install(approved).await, Code::GrantRequired, "the secrets `token`");
    // The same package is allowed, and so is an approver.
    assert_eq!(yard.developer_installs(&yard.package("1.1.0", SECRET)).await.expect("it is there").action, "unchanged");
    install(&*yard.bench.platform, &package).await.expect("an administrator may");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_nor_the_state_nor_what_was_granted() {
    let yard = Yard::new().await;
    yard.developer_installs(&yard.package("1.0.0", "")).await.expect("it holds nothing");
    call(&yard.bench.platform, "subject.add", none()).await.expect("it counts");
    refused(yard.developer_installs(&yard.package("1.1.0", "")).await, Code::GrantRequired, "the state of `subject`");
    for (number, (permission, part)) in [
        ("files = [{ path = \"/etc/\", access = \"read\" }]", "read"),
        ("http = [\"api.example.org:443\"]", "send HTTP requests"),
        ("tcp = [\"db.example.org:5432\"]", "open TCP connections"),
        ("environment = [\"HOME\"]", "HOME"),
        ("plugins = [\"shop.*\"]", "call every function"),
    ]
    .into_iter()
    .enumerate()
    {
        let yard = Yard::new().await;
        let manifest = format!("[permissions]\n{permission}\n");
        yard.granted(&yard.package("1.0.0", &manifest)).await;
        for more in [manifest.as_str(), ""] {
            let package = yard.package(&format!("1.{}.{}", number + 1, more.len()), more);
            refused(yard.developer_installs(&package).await, Code::GrantRequired, part);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_the_same_trusted_key_updates_without_asking_and_no_other() {
    let yard = Yard::new().await;
    let key = || SigningKey::generate().expect("a key");
    let (team, other, stranger) = (key(), key(), key());
    yard.trust(&[(&team, ""), (&other, "")]);
    yard.granted(&yard.signed("1.0.0", SECRET, &team)).await;
    configure(&yard, json!({"token": "tulip"})).await;
    yard.developer_installs(&yard.signed("1.1.0", SECRET, &team)).await.expect("it is of the same maker");
    let part = "the installed version by";
    refused(yard.developer_installs(&yard.signed("1.2.0", SECRET, &other)).await, Code::GrantRequired, part);
    let untrusted = yard.signed("1.3.0", SECRET, &stranger);
    refused(yard.developer_installs(&untrusted).await, Code::GrantRequired, "the package is not signed");
    refused(
        yard.developer_installs(&yard.package("1.4.0", SECRET)).await,
        Code::GrantRequired,
        "the package is not signed",
    );
    // A key that is revoked, or trusted only for other plugins, proves nothing.
    yard.trust(&[(&team, "plugins = [\"others-*\"]"), (&other, "")]);
    refused(yard.developer_installs(&yard.signed("1.5.0", SECRET, &team)).await, Code::GrantRequired, "not signed");
    let by_other = yard.signed("1.6.0", SECRET, &other);
    refused(yard.developer_installs(&by_other).await, Code::GrantRequired, "the installed version is not signed");
    yard.trust(&[(&team, ""), (&other, "")]);
    // Files that were changed on disk have no proven publisher.
    let info = yard.info().await;
    let place = yard.bench.path("data/packages").join(info.summary.digest.trim_start_matches("sha256:"));
    fs::write(place.join("more.txt"), "x").expect("it is written");
    refused(
        yard.developer_installs(&yard.signed("1.7.0", SECRET, &team)).await,
        Code::GrantRequired,
        "installed version",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_going_back_takes_what_an_update_would_take() {
    let rollback = RollbackRequest { dry_run: false };
    let yard = Yard::new().await;
    yard.developer_installs(&yard.package("1.0.0", "")).await.expect("it holds nothing");
    yard.developer_installs(&yard.package("1.1.0", "")).await.expect("it holds nothing");
    yard.developer.plugin_rollback(&subject(), rollback).await.expect("there is nothing to take over");
    install(&*yard.bench.platform, &yard.package("1.2.0", "")).await.expect("it may");
    call(&yard.bench.platform, "subject.add", none()).await.expect("it counts");
    refused(yard.developer.plugin_rollback(&subject(), rollback).await, Code::GrantRequired, "the state");
    let tried = RollbackRequest { dry_run: true };
    refused(yard.developer.plugin_rollback(&subject(), tried).await, Code::GrantRequired, "the state");
    yard.bench.platform.plugin_rollback(&subject(), rollback).await.expect("an administrator may");
    // Data that an update removed does not come back.
    let yard = Yard::new().await;
    let key = SigningKey::generate().expect("a key");
    yard.trust(&[(&key, "")]);
    yard.granted(&yard.signed("1.0.0", "[permissions]\nhttp = [\"*:443\"]\n[limits]\nmemory = \"1GiB\"\n", &key)).await;
    yard.developer_installs(&yard.signed("1.1.0", "", &key)).await.expect("it asks for less");
    let outcome = yard.developer.plugin_rollback(&subject(), rollback).await;
    refused(outcome, Code::GrantRequired, "use 1GiB of memory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_what_is_removed_leaves_nothing_to_the_next_package_of_its_name() {
    let yard = Yard::new().await;
    yard.granted(&yard.package("1.0.0", SECRET)).await;
    configure(&yard, json!({"token": "tulip"})).await;
    call(&yard.bench.platform, "subject.add", none()).await.expect("it counts");
    yard.bench.platform.plugin_uninstall(&subject()).await.expect("it is removed");
    yard.developer_installs(&yard.package("2.0.0", SECRET)).await.expect("there is nothing to take over");
    assert_eq!(call(&yard.bench.platform, "subject.total", none()).await.expect("it answers"), json!(0));
    let configuration = yard.bench.platform.configuration_fetch(&subject()).await.expect("it is there");
    assert!(configuration.values.is_empty() && configuration.revision == 0, "{configuration:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_values_that_the_operator_keeps_for_a_name_are_not_for_anybody_who_takes_it() {
    let yard = Yard::new().await;
    fs::create_dir_all(yard.bench.path("data/config")).expect("a folder");
    fs::write(yard.bench.path("data/config/subject.yaml"), "token: tulip\n").expect("it is written");
    // Whether or not it is a secret.
    for (version, manifest) in [("1.0.0", SECRET), ("1.1.0", "[configuration.token]\ntype = \"string\"\n")] {
        let package = yard.package(version, manifest);
        refused(
            yard.developer_installs(&package).await,
            Code::GrantRequired,
            "values set by the host's configuration files or environment variables",
        );
    }
    install(&*yard.bench.platform, &yard.package("1.0.0", SECRET)).await.expect("an administrator may");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_guard_is_not_taken_over_or_given_up_on_the_quiet() {
    let yard = Yard::new().await;
    shop(&yard).await;
    yard.granted(&guard(&yard, "1.0.0", GUARD)).await;
    // By an update without the guard, or with a weaker one.
    let part = "end or change its fail-closed subscription to `shop.priced`";
    for (version, manifest) in [
        ("1.1.0", String::new()),
        ("1.2.0", GUARD.replace("fail-closed", "fail-open")),
        ("1.3.0", format!("{GUARD}condition = \"false\"\n")),
        ("1.4.0", GUARD.replace("append-a", "append-b")),
    ] {
        let package = guard(&yard, version, &manifest);
        refused(install(&*yard.bench.platform, &package).await, Code::GrantRequired, part);
        refused(yard.developer_installs(&package).await, Code::GrantRequired, "");
    }
    // By the next package of its name.
    let report = yard.bench.platform.plugin_uninstall(&subject()).await.expect("it is removed");
    assert_eq!(report.closed_hooks.len(), 1, "{report:?}");
    let package = guard(&yard, "2.0.0", GUARD);
    refused(yard.developer_installs(&package).await, Code::GrantRequired, "");
    let harmless = guard(&yard, "2.1.0", "");
    refused(yard.developer_installs(&harmless).await, Code::GrantRequired, "the subscriptions to `shop.priced`");
    refused(install(&*yard.bench.platform, &harmless).await, Code::GrantRequired, part);
    yard.granted(&package).await;
    assert!(
        yard.bench
            .platform
            .hook_fetch(&"shop.priced".parse().expect("a name"))
            .await
            .expect("it is there")
            .closed_by
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_function_that_an_administrator_subscribed_is_not_replaced_on_the_quiet() {
    let yard = Yard::new().await;
    shop(&yard).await;
    yard.developer_installs(&guard(&yard, "1.0.0", "")).await.expect("it holds nothing");
    let wanted = json!({"hook": "shop.priced", "function": "subject.append-a"});
    let made = yard.bench.platform.subscription_create(serde_json::from_value(wanted).expect("a request")).await;
    let made = made.expect("it may");
    let package = guard(&yard, "1.1.0", "");
    refused(yard.developer_installs(&package).await, Code::GrantRequired, "the subscriptions to `shop.priced`");
    yard.bench.platform.subscription_delete(&made.id).await.expect("it may");
    yard.developer_installs(&package).await.expect("it holds nothing any more");
}
