//! What keys with few rights can make the server do, and what they can leave there.

use std::sync::Arc;

use outrigger_api::{CheckOutcome, Platform};

use super::{Server, named, package};

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
