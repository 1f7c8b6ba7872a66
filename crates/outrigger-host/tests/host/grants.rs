//! Grants, approvals, and inheritance by other packages: limits above the defaults, subscriptions to hooks of others,
//! secrets, state. A developer's key can install packages but approve nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_api::{
    ApiError, CallRequest, CheckOutcome, Code, Door, InstallOutcome, InstallRequest, PackageReport, PackageSource,
    Platform, PluginDetails, PluginName, RollbackRequest, SubscriptionRequest, Visit,
};
use outrigger_host::{Host, HostOptions, ServerWork};
use outrigger_registry::{SigningKey, sign_package};
use outrigger_testkit::components;
use serde_json::{Value as Json, json};
use time::OffsetDateTime;

use crate::bench::{Bench, call, none};

/// An open data directory, with its administrator and a developer.
pub struct Yard {
    pub bench: Bench,
    pub host: Host,
    pub developer: Arc<dyn Platform>,
}

impl Yard {
    pub async fn new() -> Self {
        Self::over(tempfile::tempdir().expect("a temporary folder"), &[]).await
    }

    pub async fn over(folder: tempfile::TempDir, ceiling: &[&str]) -> Self {
        let options = HostOptions { data: folder.path().join("data"), search_paths: Vec::new() };
        let ceiling = ceiling.iter().map(|text| (*text).to_owned()).collect();
        let work = ServerWork { ceiling, ..ServerWork::default() };
        let host = Host::open_alone_with(options, work).await.expect("the data directory opens");
        let platform: Arc<dyn Platform> = Arc::new(host.session());
        let name = format!("dev-{}", platform.key_list().await.expect("it lists").len());
        // The packages of these tests are on the server's disk.
        let paths = serde_json::from_value(json!({"allow": ["path_use"]})).expect("a request");
        platform.role_put("paths", paths, None).await.expect("it is made");
        let request =
            serde_json::from_value(json!({"name": name, "roles": ["developer", "paths"]})).expect("a request");
        let key = platform.key_create(request).await.expect("it is made").key;
        let developer = host.enter(&key, Visit::default()).await.expect("it is let in");
        Self { bench: Bench { folder, platform }, host, developer }
    }

    /// The same directory, opened again with another ceiling.
    pub async fn reopened(self, ceiling: &[&str]) -> Self {
        let Self { bench: Bench { folder, platform }, host, developer } = self;
        platform.close().await.expect("all is written");
        drop((platform, developer, host));
        Self::over(folder, ceiling).await
    }

    pub fn package(&self, version: &str, manifest: &str) -> PathBuf {
        self.bench.package(&format!("subject-{version}"), "subject", version, manifest, &components::counter())
    }

    fn signed(&self, version: &str, manifest: &str, key: &SigningKey) -> PathBuf {
        let folder = self.package(version, manifest);
        sign_package(&folder, key, OffsetDateTime::now_utc()).expect("it is signed");
        folder
    }

    /// Trusts exactly these keys.
    fn trust(&self, keys: &[(&SigningKey, &str)]) {
        let entry = |(index, (key, more)): (usize, &(&SigningKey, &str))| {
            format!("[[key]]\nname = \"team-{index}\"\npublic-key = \"\"\"\n{}\"\"\"\n{more}\n", key.public().to_pem())
        };
        let text: String = keys.iter().enumerate().map(entry).collect();
        fs::write(self.bench.path("data/trust.toml"), text).expect("it is written");
    }

    pub async fn granted(&self, package: &Path) -> InstallOutcome {
        self.bench.install(package).await.expect("it is installed")
    }

    /// The outcome of a developer's installation.
    pub async fn developer_installs(&self, package: &Path) -> Result<InstallOutcome, ApiError> {
        install(&*self.developer, package).await
    }

    async fn info(&self) -> PluginDetails {
        self.bench.platform.plugin_info(&subject()).await.expect("it is installed")
    }
}

pub async fn install(platform: &dyn Platform, package: &Path) -> Result<InstallOutcome, ApiError> {
    platform.plugin_install(InstallRequest::new(PackageSource::Path(package.to_owned()))).await
}

pub async fn inspect(platform: &dyn Platform, package: &Path) -> PackageReport {
    platform.package_inspect(&PackageSource::Path(package.to_owned())).await.expect("it is read")
}

pub fn subject() -> PluginName {
    "subject".parse().expect("a name")
}

#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, ApiError>, code: Code, part: &str) {
    let error = outcome.expect_err("it is refused");
    assert_eq!(error.code, code, "{}", error.message);
    assert!(error.message.contains(part), "{part:?} is not in: {}", error.message);
}

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

const SHOP: &str = "[hooks.\"shop.priced\"]\nkind = \"filter\"\ndescription = \"x\"\n\
                    [hooks.\"shop.stored\"]\nkind = \"action\"\ndescription = \"x\"\n\
                    [hooks.\"shop.sold\"]\nkind = \"event\"\ndescription = \"x\"\n";

pub async fn shop(yard: &Yard) {
    let package = yard.bench.package("shop", "shop", "1.0.0", SHOP, &components::telling());
    yard.granted(&package).await;
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

pub const SECRET: &str =
    "[configuration.token]\ntype = \"string\"\nsecret = true\n[configuration.region]\ntype = \"string\"\n";

pub async fn configure(yard: &Yard, values: Json) {
    let Json::Object(values) = values else { panic!("an object") };
    let present = yard.bench.platform.configuration_fetch(&subject()).await.expect("it is there").revision;
    yard.bench.platform.configuration_put(&subject(), values, present).await.expect("it is set");
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

pub const GUARD: &str =
    "[[subscriptions]]\nhook = \"shop.priced\"\nfunction = \"append-a\"\non-error = \"fail-closed\"\n";

pub fn guard(yard: &Yard, version: &str, manifest: &str) -> PathBuf {
    yard.bench.package(&format!("guard-{version}"), "subject", version, manifest, &components::callbacks())
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r01_whoever_stops_a_guard_is_told_what_is_closed() {
    let yard = Yard::new().await;
    shop(&yard).await;
    yard.granted(&guard(&yard, "1.0.0", GUARD)).await;
    let hook = "shop.priced".parse().expect("a name");
    let platform = &yard.bench.platform;
    assert!(platform.hook_fetch(&hook).await.expect("it is there").closed_by.is_empty());
    let report = yard.developer.plugin_disable(&subject()).await.expect("a developer may");
    let [closed] = &report.closed_hooks[..] else { panic!("one is closed: {report:?}") };
    assert_eq!((closed.hook.as_str(), closed.reason.as_str()), ("shop.priced", "the plugin `subject` is disabled"));
    assert!(closed.sentence().contains(&format!("`outrigger hook disable {}` opens it", closed.subscription)));
    assert_eq!(platform.hook_fetch(&hook).await.expect("it is there").closed_by, report.closed_hooks);
    let listed = platform.hook_list().await.expect("it lists");
    assert_eq!(listed.iter().filter(|hook| !hook.closed_by.is_empty()).count(), 1);
    let doctor = platform.doctor().await.expect("it looks");
    let found = doctor.checks.iter().find(|check| check.name == "hook shop.priced").expect("it says so");
    assert_eq!(found.outcome, CheckOutcome::Warning);
    let payload = || json!({"hook": "shop.priced", "payload": "\"x\""});
    let error = call(platform, "shop.fire", payload()).await.expect_err("it is closed");
    assert_eq!(error.detail.expect("the function says why")["code"], "hook_failed");
    // A developer cannot lift it; an administrator can.
    refused(yard.developer.subscription_switch(&closed.subscription, false).await, Code::Forbidden, "hook_delete");
    platform.subscription_switch(&closed.subscription, false).await.expect("it may");
    assert_eq!(call(platform, "shop.fire", payload()).await.expect("it is open"), json!("\"x\""));
    assert!(platform.plugin_uninstall(&subject()).await.expect("it is removed").closed_hooks.is_empty());
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
