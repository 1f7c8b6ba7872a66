//! Expensive work and stored data that keys with few rights can cause.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outrigger_api::{
    ApiResult, BackupRequest, CheckOutcome, Code, FunctionQuery, InstallRequest, KeyRequest, Platform, RecordQuery,
    Template,
};
use serde_json::json;

use super::{Server, named, package};
use crate::bench::{manifest_text, names};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s13_keys_share_a_report_of_the_doctor_and_the_administrator_gets_a_new_one() {
    let server = Server::new(&[]).await;
    let (viewer, _) = server.key("viewer", "viewer").await;
    let found = async |platform: &Arc<dyn Platform>| {
        let report = platform.doctor().await.expect("it may");
        let check = report.checks.into_iter().find(|check| check.name == "configuration files");
        check.expect("it is checked").outcome
    };
    assert_eq!(found(&viewer).await, CheckOutcome::Ok);
    std::fs::create_dir(server.path("data/config")).expect("a folder");
    std::fs::write(server.path("data/config/nobody.yaml"), "region: eu\n").expect("a file");
    assert_eq!(found(&viewer).await, CheckOutcome::Ok, "it is the same report");
    assert_eq!(found(&server.local).await, CheckOutcome::Warning);
    assert_eq!(found(&viewer).await, CheckOutcome::Warning, "it is the newest report");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s13_keys_share_a_verification_of_the_audit_log_and_the_administrator_gets_a_new_one() {
    let server = Server::new(&[]).await;
    let (operator, _) = server.key("operator", "operator").await;
    let records = async |platform: &Arc<dyn Platform>| platform.audit_verify().await.expect("it may").records;
    let before = records(&operator).await;
    server.key("another", "viewer").await;
    assert_eq!(records(&operator).await, before, "it is the same result");
    let after = records(&server.local).await;
    assert!(after > before);
    assert_eq!(records(&operator).await, after, "it is the newest result");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s13_keys_share_the_list_of_packages_and_install_those_that_are_there_now() {
    let server = Server::new(&[]).await;
    let (developer, _) = server.key("developer", "developer").await;
    let count = async |platform: &Arc<dyn Platform>| platform.plugin_available().await.expect("it may").plugins.len();
    assert_eq!(count(&developer).await, 1);
    package(&server.path("search/added"), "added");
    assert_eq!(count(&developer).await, 1, "it is the same list");
    developer.package_inspect(&named("added")).await.expect("it is found");
    assert_eq!(count(&server.local).await, 2);
    assert_eq!(count(&developer).await, 2, "it is the newest list");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s03_texts_to_search_for_are_short() {
    let server = Server::new(&[]).await;
    let (viewer, _) = server.key("viewer", "viewer").await;
    let refused = |listed: ApiResult<()>, is_refused: bool| {
        assert_eq!(listed.err().map(|error| error.code), is_refused.then_some(Code::InvalidUsage));
    };
    for (length, is_refused) in [(256, false), (257, true)] {
        let query = RecordQuery { contains: Some("a".repeat(length)), ..RecordQuery::default() };
        refused(viewer.log_list(&query).await.map(drop), is_refused);
        refused(viewer.run_list(&query).await.map(drop), is_refused);
    }
    for (words, is_refused) in [(20, false), (21, true)] {
        let query = FunctionQuery { text: "a ".repeat(words), ..FunctionQuery::default() };
        refused(viewer.function_list(&query).await.map(drop), is_refused);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s03_the_scope_of_a_key_has_few_rules() {
    let server = Server::new(&[]).await;
    for (rules, expected) in [(256, None), (257, Some(Code::InvalidInput))] {
        let scope = (0..rules).map(|number| format!("plugin_view:x-{number}")).collect();
        let (name, roles) = (format!("with-{rules}"), vec!["viewer".to_owned()]);
        let request = KeyRequest { name, roles, scope: Some(scope), expires_in_s: None };
        let made = server.local.key_create(request).await;
        assert_eq!(made.err().map(|error| error.code), expected, "{rules}");
    }
}

#[test]
fn s13_installations_that_wait_take_no_threads() {
    const SOON: Duration = Duration::from_secs(60);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(8).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = Server::new(&[]).await;
        let (developer, _) = server.key("developer", "developer").await;
        // Another process holds the installation lock.
        let path = server.path("data/install.lock");
        let lock = std::fs::File::options().create(true).truncate(false).write(true).open(path).expect("a file");
        lock.lock().expect("it is locked");
        let mut installing = tokio::task::JoinSet::new();
        for _ in 0..30 {
            let developer = Arc::clone(&developer);
            installing.spawn(async move { developer.plugin_install(InstallRequest::new(named("found"))).await });
        }
        for _ in 0..3 {
            let inspected = tokio::time::timeout(SOON, server.local.package_inspect(&named("found"))).await;
            inspected.expect("there are threads left").expect("it is inspected");
        }
        drop(lock);
        while let Some(outcome) = tokio::time::timeout(SOON, installing.join_next()).await.expect("they go on") {
            outcome.expect("it does not panic").expect("it is installed");
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_a_key_cannot_fill_the_backup_folder() {
    let server = Server::new(&[]).await;
    let (operator, _) = server.key("operator", "operator").await;
    let request = |path: PathBuf| BackupRequest { path, include_secret_key: false };
    let backup = |number: usize| server.path(&format!("backups/{number}.tar.gz"));
    for number in 0..99 {
        std::fs::write(backup(number), "").expect("a file");
    }
    operator.backup_create(request("last.tar.gz".into())).await.expect("there is room");
    let error = operator.backup_create(request("more.tar.gz".into())).await.expect_err("there are too many");
    assert_eq!(error.code, Code::Conflict, "{error:?}");
    assert!(error.hint.contains("delete backups"), "{error:?}");
    server.local.backup_create(request(backup(100))).await.expect("the administrator decides");
    for number in 0..2 {
        std::fs::remove_file(backup(number)).expect("it is there");
    }
    operator.backup_create(request("more.tar.gz".into())).await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_a_template_counts_for_the_key_that_last_changed_it() {
    let server = Server::new(&[]).await;
    let ((loud, _), (quiet, _)) = (server.key("loud", "developer").await, server.key("quiet", "developer").await);
    let template = |name: &str| -> Template {
        serde_json::from_value(json!({
            "name": name, "description": "For tests.", "runtime": "wasm", "language": "rust", "variables": [],
            "files": {"plugin.toml": manifest_text("{{ name }}", "1.0.0", "")},
        }))
        .expect("a template")
    };
    quiet.template_create(template("quiet")).await.expect("there is room");
    for number in 0..125 {
        loud.template_create(template(&format!("loud-{number}"))).await.expect("there is room");
    }
    let error = loud.template_put(template("quiet"), None).await.expect_err("it has too many");
    assert_eq!((error.code, &*error.message), (Code::Conflict, "the key has 125 templates; the limit is 125"));
    quiet.template_put(template("quiet"), None).await.expect("it has one");
    quiet.template_put(template("loud-7"), None).await.expect("it has two now");
    loud.template_put(template("quiet"), None).await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_packages_that_a_key_installs_are_bounded_in_bytes() {
    let server = Server::new(&[]).await;
    let ((loud, _), (quiet, _)) = (server.key("loud", "developer").await, server.key("quiet", "developer").await);
    for name in ["first", "second", "third"] {
        package(&server.path(&format!("search/{name}")), name);
    }
    let install = async |platform: &Arc<dyn Platform>, name: &str| {
        let outcome = platform.plugin_install(InstallRequest::new(named(name))).await;
        outcome.map(drop).map_err(|error| (error.code, error.message))
    };
    let refused = async |name: &str| {
        let (code, message) = install(&loud, name).await.expect_err("it is too much");
        assert_eq!(code, Code::Conflict, "{message}");
        assert!(message.starts_with("the packages of the key would take"), "{message}");
        assert!(message.ends_with("the limit is 2GiB"), "{message}");
    };
    install(&loud, "first").await.expect("there is room");
    // As if the package were as large as that. The file takes no space.
    let packages = server.path("data/packages");
    let large = packages.join(&names(&packages)[0]).join("large");
    std::fs::File::create(large).and_then(|file| file.set_len((2 << 30) - 4_096)).expect("a file");
    refused("second").await;
    std::fs::write(server.path("search/first/plugin.toml"), manifest_text("first", "2.0.0", "")).expect("a manifest");
    refused("first").await;
    assert_eq!(names(&packages).len(), 1, "nothing of them is kept");
    install(&quiet, "second").await.expect("others have their share");
    install(&server.local, "third").await.expect("the administrator has more");
    server.local.plugin_uninstall(&"first".parse().expect("a name")).await.expect("it is removed");
    install(&loud, "first").await.expect("there is room again");
}
