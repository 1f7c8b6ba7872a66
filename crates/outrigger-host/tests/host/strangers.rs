//! Keys with few rights against a real platform: paths, network addresses and information that they can reach.

mod costs;
mod places;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_api::{
    BackupRequest, Code, DeliveryInfo, DeliveryQuery, Door as _, EventQuery, ExplainRequest, InstallRequest,
    KeyRequest, PackageReport, PackageSource, Platform, Template, Visit, WebhookChange, WebhookName, WebhookRequest,
};
use outrigger_host::{Host, HostOptions, ServerWork, WebhookOptions};
use outrigger_registry::{Origin, SearchPath};
use outrigger_testkit::components;
use serde_json::{Value as Json, json};

use crate::bench::{manifest_text, names};
use crate::webhooks::receiver::{Receiver, Reply};

/// A server host with the administrator's platform, and keys.
struct Server {
    folder: tempfile::TempDir,
    host: Host,
    local: Arc<dyn Platform>,
}

impl Server {
    async fn new(networks: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let search = folder.path().join("search");
        package(&search.join("found"), "found");
        package(&folder.path().join("elsewhere"), "elsewhere");
        std::fs::create_dir(folder.path().join("backups")).expect("a folder");
        let options = HostOptions {
            data: folder.path().join("data"),
            search_paths: vec![SearchPath { origin: Origin::System, path: search }],
        };
        let networks = networks.iter().map(|text| text.parse().expect("a network")).collect();
        let webhooks = WebhookOptions {
            networks,
            period: Duration::from_millis(20),
            timeout: Duration::from_secs(5),
            patience: outrigger_engine::webhooks::machine::Patience { attempts: 1, ..Default::default() },
            ..WebhookOptions::default()
        };
        let backups = Some(folder.path().join("backups"));
        let work = ServerWork { webhooks, backups, ..ServerWork::default() };
        let host = Host::open_alone_with(options, work).await.expect("the data directory opens");
        let local = Arc::new(host.session());
        Self { folder, host, local }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The platform for the holder of a new key, and the key's id.
    async fn key(&self, name: &str, role: &str) -> (Arc<dyn Platform>, String) {
        let request =
            KeyRequest { name: name.to_owned(), roles: vec![role.to_owned()], scope: None, expires_in_s: None };
        let key = self.local.key_create(request).await.expect("it is made");
        (self.host.enter(&key.key, Visit::default()).await.expect("it is known"), key.info.id)
    }
}

fn package(path: &Path, name: &str) {
    std::fs::create_dir_all(path).expect("a folder");
    std::fs::write(path.join("plugin.toml"), manifest_text(name, "1.0.0", "")).expect("a manifest");
    std::fs::write(path.join("x.wasm"), components::hostile()).expect("a component");
}

fn named(name: &str) -> PackageSource {
    PackageSource::Named { name: name.parse().expect("a name"), version: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_a_path_of_the_server_is_for_who_may_use_paths() {
    let server = Server::new(&[]).await;
    let (developer, _) = server.key("developer", "developer").await;
    let (admin, _) = server.key("admin", "admin").await;
    let there = server.path("elsewhere");
    for platform in [&server.local, &admin] {
        let report = platform.package_inspect(&PackageSource::Path(there.clone())).await.expect("they may");
        assert_eq!(report.source, there.display().to_string());
    }
    // The response is the same for a package, a file, an unreadable folder, a missing path, and the server's own
    // secrets.
    let mut answers = Vec::new();
    for path in [
        there.clone(),
        server.path("nothing"),
        "/etc/passwd".into(),
        "/root".into(),
        server.path("data/secret.key"),
        server.path("search/found"),
        "relative".into(),
        "/dev/zero".into(),
    ] {
        let source = PackageSource::Path(path);
        let inspected = developer.package_inspect(&source).await.expect_err("it is refused");
        let installed = developer.plugin_install(InstallRequest::new(source.clone())).await.expect_err("it is refused");
        let tried = InstallRequest { dry_run: true, ..InstallRequest::new(source) };
        let tried = developer.plugin_install(tried).await.expect_err("it is refused");
        for error in [inspected, installed, tried] {
            assert_eq!(error.code, Code::Forbidden, "{error:?}");
            answers.push((error.message, error.hint));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_where_granted_paths_lead_is_for_who_may_use_paths_or_approve_the_grant() {
    let server = Server::new(&[]).await;
    let root = server.folder.path().canonicalize().expect("it is there");
    std::fs::create_dir_all(root.join("srv/target")).expect("a folder");
    std::os::unix::fs::symlink(root.join("srv/target"), root.join("srv/link")).expect("a link");
    for (name, path) in [("linked", "srv/link"), ("inside", "data")] {
        let folder = server.path("search").join(name);
        package(&folder, name);
        let files = format!("[permissions]\nfiles = [{{ path = \"{}/\" }}]\n", root.join(path).display());
        std::fs::write(folder.join("plugin.toml"), manifest_text(name, "1.0.0", &files)).expect("a manifest");
    }
    let (developer, _) = server.key("developer", "developer").await;
    let role = serde_json::from_value(json!({"allow": ["plugin_*"]})).expect("a request");
    server.local.role_put("approver", role, None).await.expect("it is made");
    let (approver, _) = server.key("approver", "approver").await;
    let target = format!("resolves to {}/", root.join("srv/target").display());

    let report = developer.package_inspect(&named("linked")).await.expect("it may");
    assert_eq!(report.permissions, report.widened);
    assert!(report.permissions[0].contains("srv/link/") && !report.permissions[0].contains("resolves"), "{report:?}");
    let error = developer.plugin_install(InstallRequest::new(named("linked"))).await.expect_err("it is not granted");
    assert_eq!(error.code, Code::GrantRequired, "{error:?}");
    assert!(!error.message.contains("resolves"), "{error:?}");
    for platform in [&server.local, &approver] {
        let report = platform.package_inspect(&named("linked")).await.expect("it may");
        assert!(report.permissions[0].contains(&target) && report.widened[0].contains(&target), "{report:?}");
    }
    let approved = InstallRequest { approved: Some(report.digest), ..InstallRequest::new(named("linked")) };
    server.local.plugin_install(approved).await.expect("it is granted");
    let linked = "linked".parse().expect("a name");
    assert!(!developer.plugin_info(&linked).await.expect("it may").granted[0].contains("resolves"));
    assert!(server.local.plugin_info(&linked).await.expect("it may").granted[0].contains(&target));

    let error = server.local.package_inspect(&named("inside")).await.expect_err("it holds the keys");
    assert!(error.message.contains("data directory"), "{error:?}");
    let errors = [
        developer.package_inspect(&named("inside")).await.map(drop),
        developer.plugin_install(InstallRequest::new(named("inside"))).await.map(drop),
    ];
    for error in errors.map(|outcome| outcome.expect_err("it holds the keys")) {
        assert_eq!(error.code, Code::FileGrantRefused, "{error:?}");
        assert!(!error.message.contains("data") && error.hint.contains("path_use"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_a_revocation_names_what_the_key_had_made() {
    let server = Server::new(&[]).await;
    let (maker, id) = server.key("maker", "admin").await;
    let folder = server.path("search/greedy");
    package(&folder, "greedy");
    std::fs::write(folder.join("x.wasm"), components::callbacks()).expect("a component");
    let manifest = manifest_text("greedy", "1.0.0", "[limits]\nmemory = \"128MiB\"\n");
    std::fs::write(folder.join("plugin.toml"), manifest).expect("a manifest");
    let digest = maker.package_inspect(&named("greedy")).await.expect("it may").digest;
    let approved = InstallRequest { approved: Some(digest), ..InstallRequest::new(named("greedy")) };
    maker.plugin_install(approved).await.expect("it is granted");
    maker.plugin_install(InstallRequest::new(named("found"))).await.expect("it needs no grant");
    let hook = json!({"name": "customer.created", "kind": "event"});
    server.local.hook_create(serde_json::from_value(hook).expect("a request")).await.expect("it is added");
    let wanted = json!({"hook": "customer.created", "function": "greedy.append-a"});
    let subscribed = maker.subscription_create(serde_json::from_value(wanted).expect("a request")).await;
    let subscription = subscribed.expect("it may").id;
    let job = json!({"function": "greedy.append-a", "arguments": {"text": "x"}});
    let schedule = json!({"cron": "30 2 * * *", "job": job, "enabled": false});
    maker.schedule_put("nightly", serde_json::from_value(schedule).expect("a request"), None).await.expect("it may");
    let webhook = json!({"name": "chat", "url": "https://hooks.example.com/", "events": ["none"], "enabled": false});
    maker.webhook_create(serde_json::from_value(webhook).expect("a request")).await.expect("it may");
    let child = json!({"name": "child", "roles": ["viewer"]});
    maker.key_create(serde_json::from_value(child).expect("a request")).await.expect("it may");
    let role = serde_json::from_value(json!({"allow": ["key_*", "hook_view", "plugin_view"]})).expect("a request");
    server.local.role_put("keeper", role, None).await.expect("it is made");
    let (keeper, _) = server.key("keeper", "keeper").await;

    let left = keeper.key_delete(&id).await.expect("it is revoked");
    assert_eq!(left.subscriptions, [subscription]);
    assert_eq!(left.grants, ["greedy"]);
    assert_eq!(left.keys, ["child"]);
    assert!(left.webhooks.is_empty() && left.schedules.is_empty(), "{left:?}: it may not see them");

    let (again, id) = server.key("again", "admin").await;
    let change = json!({"url": "https://hooks.example.com/", "events": ["none"], "enabled": false});
    let change = serde_json::from_value(change).expect("a request");
    again.webhook_update(&chat(), change, None).await.expect("it may");
    let schedule = json!({"cron": "30 3 * * *", "job": {"function": "greedy.append-a", "arguments": {"text": "x"}}});
    again.schedule_put("nightly", serde_json::from_value(schedule).expect("a request"), None).await.expect("it may");
    let left = server.local.key_delete(&id).await.expect("it is revoked");
    assert_eq!(left.webhooks, ["chat"]);
    assert_eq!(left.schedules, ["nightly"]);
    assert!(left.subscriptions.is_empty() && left.grants.is_empty() && left.keys.is_empty(), "they are the maker's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_by_name_a_package_is_seen_without_its_place() {
    let server = Server::new(&[]).await;
    let broken = server.path("search/broken");
    std::fs::create_dir(&broken).expect("a folder");
    std::fs::write(broken.join("plugin.toml"), "nonsense").expect("a file");
    let (developer, _) = server.key("developer", "developer").await;
    let root = server.folder.path().display().to_string();
    let PackageReport { source, .. } = developer.package_inspect(&named("found")).await.expect("it may");
    assert_eq!(source, "found");
    let seen = developer.plugin_available().await.expect("it may");
    let text = serde_json::to_string(&seen).expect("JSON");
    assert!(!text.contains(&root) && text.contains("unreadable packages"), "{text}");
    developer.plugin_install(InstallRequest::new(named("found"))).await.expect("it may");
    let details = developer.plugin_info(&"found".parse().expect("a name")).await.expect("it may");
    assert_eq!(details.source, "found");
    let details = server.local.plugin_info(&"found".parse().expect("a name")).await.expect("it may");
    assert!(details.source.starts_with(&root), "{}", details.source);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_an_inspection_stands_in_nobodys_way() {
    let server = Server::new(&[]).await;
    // Another process holds the installation lock.
    let lock = std::fs::File::options().create(true).truncate(false).write(true).open(server.path("data/install.lock"));
    let lock = lock.expect("a file");
    lock.lock().expect("it is locked");
    let (developer, _) = server.key("developer", "developer").await;
    let looked = tokio::time::timeout(Duration::from_secs(20), developer.package_inspect(&named("found"))).await;
    looked.expect("it does not wait for the lock").expect("it is inspected");
    drop(lock);
    assert!(names(&server.path("data/uploads")).is_empty(), "nothing is left");
    developer.plugin_install(InstallRequest::new(named("found"))).await.expect("it is installed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_a_package_tells_nothing_of_a_plugin_that_a_key_cannot_install() {
    let server = Server::new(&[]).await;
    package(&server.path("search/mine"), "mine");
    let report = server.local.package_inspect(&named("found")).await.expect("it may");
    server.local.plugin_install(InstallRequest::new(named("found"))).await.expect("it is installed");
    let role = serde_json::from_value(json!({"allow": ["plugin_create:mine"]})).expect("a request");
    server.local.role_put("maker", role, None).await.expect("it is made");
    let (maker, _) = server.key("maker", "maker").await;
    maker.package_inspect(&named("mine")).await.expect("it may");
    let request = || InstallRequest::new(named("found"));
    let refusals = [
        maker.package_inspect(&named("found")).await.map(drop),
        maker.plugin_install(request()).await.map(drop),
        maker.plugin_install(InstallRequest { dry_run: true, ..request() }).await.map(drop),
        maker.plugin_install(InstallRequest { approved: Some(report.digest), ..request() }).await.map(drop),
    ];
    let mut messages = refusals.map(|refusal| refusal.expect_err("it is refused").message).to_vec();
    messages.dedup();
    assert!(messages.len() == 1 && messages[0].contains("plugin_create"), "{messages:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_a_key_learns_nothing_of_keys_and_roles_that_it_has_no_right_over() {
    let server = Server::new(&[]).await;
    for (name, allow) in [("own", json!(["key_delete:own-*", "role_view:own"])), ("secret", json!(["event_view:x"]))] {
        let role = serde_json::from_value(json!({"allow": allow})).expect("a request");
        server.local.role_put(name, role, None).await.expect("it is made");
    }
    let (lead, _) = server.key("lead", "own").await;
    server.key("other", "secret").await;
    let refused = async |name: &str| {
        let error = lead.key_delete(name).await.expect_err("it is refused");
        (error.code, error.message.replace(name, "x"))
    };
    let (code, message) = refused("other").await;
    assert_eq!((code, &refused("absent").await.1), (Code::Forbidden, &message));
    assert_eq!(refused("own-key").await.0, Code::NotFound);
    assert_eq!(lead.access_matrix().await.expect("it may").roles, ["own"]);
    let explain = |name: &str| {
        let (key, right, name) = (name.to_owned(), "event_view".to_owned(), "x".to_owned());
        lead.access_explain(ExplainRequest { key, right, name })
    };
    let refused = async |name: &str| {
        let error = explain(name).await.expect_err("it is refused");
        (error.code, error.message.replace(name, "x"))
    };
    let (code, message) = refused("other").await;
    assert_eq!((code, &refused("absent").await.1), (Code::Forbidden, &message));
    assert!(!explain("lead").await.expect("it is its own").allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_a_backup_goes_where_the_operator_has_backups() {
    let server = Server::new(&[]).await;
    let (operator, _) = server.key("operator", "operator").await;
    let request = |path: PathBuf| BackupRequest { path, include_secret_key: false };
    for path in [server.path("elsewhere.tar.gz"), "/etc/passwd".into(), "../x.tar.gz".into(), "a/b".into(), "..".into()]
    {
        let error = operator.backup_create(request(path)).await.expect_err("it is refused");
        assert_eq!(error.code, Code::Forbidden, "{error:?}");
    }
    let report = operator.backup_create(request("one.tar.gz".into())).await.expect("it is made");
    assert_eq!(report.path, server.path("backups/one.tar.gz"));
    let error = operator.backup_create(request("one.tar.gz".into())).await.expect_err("it is there");
    assert_eq!(error.code, Code::AlreadyExists);
    server.local.backup_create(request(server.path("elsewhere.tar.gz"))).await.expect("it may");
}

fn read<T: serde::de::DeserializeOwned>(json: Json) -> T {
    serde_json::from_value(json).expect("a request")
}

fn request(url: &str, private: bool) -> WebhookRequest {
    read(json!({
        "name": "chat", "url": url, "events": ["plugin.*"], "allow_http": true, "allow_private_network": private,
    }))
}

fn change(url: &str, more: Json) -> WebhookChange {
    let mut change = json!({"url": url, "events": ["plugin.*"], "allow_http": true, "allow_private_network": true});
    change.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    read(change)
}

fn chat() -> WebhookName {
    "chat".parse().expect("a name")
}

/// Tests a webhook, and waits for the outcome.
async fn tried(by: &Arc<dyn Platform>, seen_by: &Arc<dyn Platform>) -> DeliveryInfo {
    let made = by.webhook_test(&chat()).await.expect("it is tried");
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let found = seen_by.delivery_fetch(&chat(), &made.id).await.expect("it is there");
        if found.state != "pending" {
            return found;
        }
        assert!(Instant::now() < deadline, "it ends");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_private_networks_are_for_administrators_to_open() {
    let (server, receiver) = (Server::new(&[]).await, Receiver::new().await);
    let (operator, _) = server.key("operator", "operator").await;
    let (admin, _) = server.key("admin", "admin").await;
    let port = receiver.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fd00:ec2::254]",
        "100.64.0.1",
        "0.0.0.0",
        "[64:ff9b::7f00:1]",
        "internal.example",
    ] {
        let error = operator.webhook_create(request(&format!("http://{host}:{port}/"), true)).await.expect_err("no");
        assert_eq!(error.code, Code::Forbidden, "{host}: {error:?}");
    }
    admin.webhook_create(request(&receiver.url(), true)).await.expect("they may");
    assert_eq!(tried(&admin, &admin).await.status, Some(200));
    // Another address or other headers require the right again.
    let other = format!("http://127.0.0.1:{port}/other");
    for change in [change(&other, json!({})), change(&receiver.url(), json!({"headers": {"X-A": "b"}}))] {
        let error = operator.webhook_update(&chat(), change, None).await.expect_err("it is refused");
        assert_eq!(error.code, Code::Forbidden, "{error:?}");
    }
    let described = change(&receiver.url(), json!({"description": "Ours."}));
    operator.webhook_update(&chat(), described, None).await.expect("it goes where it went");
    assert_eq!(tried(&operator, &admin).await.status, Some(200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_what_answers_in_a_private_network_is_not_told_to_others() {
    let (server, receiver) = (Server::new(&[]).await, Receiver::new().await);
    let (operator, _) = server.key("operator", "operator").await;
    server.local.webhook_create(request(&receiver.url(), true)).await.expect("they may");
    let mut told = Vec::new();
    for reply in [Reply::Status(404), Reply::Status(500), Reply::Redirect("http://127.0.0.1:1/".to_owned())] {
        receiver.reply([reply]);
        let seen = tried(&operator, &operator).await;
        assert_eq!((seen.state.as_str(), seen.status), ("dead", None), "{seen:?}");
        told.push(seen.error);
    }
    let list = server.local.delivery_list(&chat(), &DeliveryQuery::default()).await.expect("it may");
    assert!(list.iter().any(|delivery| delivery.status == Some(500)), "{list:?}");
    let closed = change("http://127.0.0.1:1/", json!({}));
    server.local.webhook_update(&chat(), closed, None).await.expect("they may");
    told.push(tried(&operator, &operator).await.error);
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    let list = operator.delivery_list(&chat(), &DeliveryQuery::default()).await.expect("it may");
    assert!(list.iter().all(|delivery| delivery.status.is_none()), "{list:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_what_answered_in_a_private_network_is_not_told_after_it_is_closed() {
    let (server, receiver) = (Server::new(&["127.0.0.1/32"]).await, Receiver::new().await);
    let (operator, _) = server.key("operator", "operator").await;
    operator.webhook_create(request(&receiver.url(), true)).await.expect("it is listed");
    let mut told = Vec::new();
    for (reply, state) in [(403, "abandoned"), (500, "abandoned"), (200, "delivered")] {
        receiver.reply([Reply::Status(reply)]);
        let sent = tried(&operator, &operator).await;
        let closed = change("http://ops.example.com/", json!({"allow_private_network": false}));
        operator.webhook_update(&chat(), closed, None).await.expect("it may");
        let seen = operator.delivery_fetch(&chat(), &sent.id).await.expect("it is there");
        assert_eq!((seen.state.as_str(), seen.status), (state, None), "{reply}: {seen:?}");
        // What was not delivered keeps no response of a server that the webhook has left.
        let whole = server.local.delivery_fetch(&chat(), &sent.id).await.expect("it is there");
        assert_eq!(whole.status, (state == "delivered").then_some(reply), "{whole:?}");
        let opened = change(&receiver.url(), json!({}));
        operator.webhook_update(&chat(), opened, None).await.expect("it is listed");
        told.push((sent.error, seen.error));
    }
    assert_eq!(told[0], told[1], "whatever was answered");
    let list = operator.delivery_list(&chat(), &DeliveryQuery::default()).await.expect("it may");
    assert!(list.len() == 3 && list.iter().all(|delivery| delivery.status.is_none()), "{list:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_why_a_private_webhook_was_disabled_names_no_status() {
    let (server, receiver) = (Server::new(&["127.0.0.1/32"]).await, Receiver::new().await);
    let (operator, _) = server.key("operator", "operator").await;
    operator.webhook_create(request(&receiver.url(), true)).await.expect("it is listed");
    receiver.reply([Reply::Status(410)]);
    tried(&operator, &operator).await;
    let query = EventQuery { name: "webhook.disabled".parse().ok(), ..EventQuery::default() };
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let info = operator.webhook_fetch(&chat()).await.expect("it is there");
        let events = operator.event_list(&query).await.expect("it lists");
        if let (false, [event]) = (info.enabled, &events[..]) {
            let reason = "the receiver refuses all further deliveries";
            assert_eq!((info.reason.as_deref(), &event.payload.to_value()["reason"]), (Some(reason), &json!(reason)));
            return;
        }
        assert!(Instant::now() < deadline, "{info:?} {events:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_what_was_opened_is_closed_when_its_maker_may_no_longer() {
    let (server, receiver) = (Server::new(&[]).await, Receiver::new().await);
    let (admin, id) = server.key("admin", "admin").await;
    admin.webhook_create(request(&receiver.url(), true)).await.expect("they may");
    assert_eq!(tried(&server.local, &server.local).await.state, "delivered");
    server.local.key_delete(&id).await.expect("it is revoked");
    let seen = tried(&server.local, &server.local).await;
    assert!(seen.error.as_ref().is_some_and(|error| error.contains("private address")), "{seen:?}");
    assert_eq!(receiver.received().len(), 1);
    // An administrator opens it again.
    server.local.webhook_update(&chat(), change(&receiver.url(), json!({})), None).await.expect("they may");
    assert_eq!(tried(&server.local, &server.local).await.state, "delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_the_operators_networks_are_open_to_all_and_no_others_are() {
    let (server, receiver) = (Server::new(&["127.0.0.1/32"]).await, Receiver::new().await);
    let (operator, _) = server.key("operator", "operator").await;
    operator.webhook_create(request(&receiver.url(), true)).await.expect("it is listed");
    assert_eq!(tried(&operator, &operator).await.state, "delivered");
    // Another address of the same machine is not in the list.
    let port = receiver.address.port();
    for host in ["127.0.0.2", "[::1]"] {
        let moved = change(&format!("http://{host}:{port}/"), json!({}));
        operator.webhook_update(&chat(), moved, None).await.expect("it is kept");
        let seen = tried(&operator, &server.local).await;
        assert!(seen.error.as_ref().is_some_and(|error| error.contains("private address")), "{host}: {seen:?}");
    }
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_what_a_key_may_keep_is_bounded() {
    let server = Server::new(&[]).await;
    let ((loud, _), (quiet, _)) = (server.key("loud", "admin").await, server.key("quiet", "admin").await);
    let webhook = async |platform: &Arc<dyn Platform>, name: String| {
        let request = json!({"name": name, "url": "https://ops.example.com/", "events": ["none.*"]});
        let request: WebhookRequest = serde_json::from_value(request).expect("a request");
        platform.webhook_create(request).await.map(drop).map_err(|error| (error.code, error.message))
    };
    let template = async |platform: &Arc<dyn Platform>, name: String| {
        let template = json!({
            "name": name, "description": "For tests.", "runtime": "wasm", "language": "rust", "variables": [],
            "files": {"plugin.toml": manifest_text("{{ name }}", "1.0.0", "")},
        });
        let template: Template = serde_json::from_value(template).expect("a template");
        platform.template_create(template).await.map(drop).map_err(|error| (error.code, error.message))
    };
    for number in 0..125 {
        webhook(&loud, format!("loud-{number}")).await.expect("there is room");
        template(&loud, format!("loud-{number}")).await.expect("there is room");
    }
    let refused = webhook(&loud, "more".to_owned()).await.expect_err("there are too many");
    assert_eq!(refused, (Code::Conflict, "the key has 125 webhooks; the limit is 125".to_owned()));
    let refused = template(&loud, "more".to_owned()).await.expect_err("there are too many");
    assert_eq!(refused, (Code::Conflict, "the key has 125 templates; the limit is 125".to_owned()));
    for (platform, name) in [(&quiet, "quiet"), (&server.local, "local")] {
        webhook(platform, name.to_owned()).await.expect("others have room");
        template(platform, name.to_owned()).await.expect("others have room");
    }
    loud.template_delete(&"loud-7".parse().expect("a name")).await.expect("it is there");
    template(&loud, "more".to_owned()).await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s16_a_webhook_is_told_of_nothing_that_whoever_set_it_may_not_see_any_more() {
    let (server, receiver) = (Server::new(&["127.0.0.1/32"]).await, Receiver::new().await);
    let hook = json!({"name": "customer.created", "kind": "event"});
    server.local.hook_create(serde_json::from_value(hook).expect("a request")).await.expect("it is added");
    let role = async |allow: &[&str]| {
        let role = serde_json::from_value(json!({"allow": allow})).expect("a request");
        server.local.role_put("teller", role, None).await.expect("it is set")
    };
    let becomes = async |name: &str, state: &str| {
        let request = serde_json::from_value(json!({"payload": {"name": name}})).expect("a request");
        server.local.hook_fire(&"customer.created".parse().expect("a name"), request).await.expect("it is fired");
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let deliveries = server.local.delivery_list(&chat(), &DeliveryQuery::default()).await.expect("it lists");
            match deliveries.into_iter().next() {
                Some(delivery) if delivery.state == state => return delivery,
                other => assert!(Instant::now() < deadline, "{name} is not {state}: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    role(&["webhook_*", "event_view"]).await;
    let (teller, id) = server.key("teller", "teller").await;
    let events = vec!["customer.*".parse().expect("a pattern")];
    let wanted = WebhookRequest { events, ..request(&receiver.url(), true) };
    teller.webhook_create(wanted).await.expect("it may");
    becomes("Ada", "delivered").await;
    let why = "the key teller that last changed the webhook is no longer allowed to see `customer.created`";
    role(&["webhook_*"]).await;
    let dead = becomes("Grace", "dead").await;
    assert!(dead.error.as_ref().is_some_and(|error| error.contains(why)), "{dead:?}");
    role(&["webhook_*", "event_view"]).await;
    becomes("Edsger", "delivered").await;
    server.local.key_delete(&id).await.expect("it is revoked");
    let dead = becomes("Barbara", "dead").await;
    assert!(dead.error.as_ref().is_some_and(|error| error.contains(why)), "{dead:?}");
    // It receives events again after a key with the right has changed it.
    let (operator, _) = server.key("operator", "operator").await;
    let again = change(&receiver.url(), json!({"events": ["customer.*"]}));
    operator.webhook_update(&chat(), again, None).await.expect("it may");
    becomes("Alan", "delivered").await;
    let told: Vec<_> = receiver.received().iter().map(|received| received.json()["data"]["name"].clone()).collect();
    assert_eq!(told, ["Ada", "Edsger", "Alan"]);
}
