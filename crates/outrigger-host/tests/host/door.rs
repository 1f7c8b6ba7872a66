//! Authentication of callers.

use std::time::{Duration, Instant};

use outrigger_api::{Access as _, CheckOutcome, Code, Door as _, KeyRequest, Platform as _};
use outrigger_host::{Host, HostOptions, ServerWork};

#[tokio::test]
async fn whoever_asks_whether_it_is_ready_has_nothing_written_for_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let host = Host::open(HostOptions { data: data.clone(), search_paths: Vec::new() }).await.expect("it opens");
    let log = data.join("outrigger.db-wal");
    let written = || std::fs::metadata(&log).expect("the log of the database").len();
    loop {
        host.ready().await.expect("it can be written to");
        let (began, before) = (Instant::now(), written());
        let all = (0..200).map(|_| host.ready());
        futures::future::try_join_all(all).await.expect("it can be written to");
        let same = written() == before;
        // A machine that stood still for that long proves nothing.
        if began.elapsed() < Duration::from_millis(500) {
            assert!(same, "nothing was written");
            break;
        }
    }
    let (began, before) = (Instant::now(), written());
    while written() == before {
        assert!(began.elapsed() < Duration::from_secs(10), "it is tried again");
        tokio::time::sleep(Duration::from_millis(20)).await;
        host.ready().await.expect("it can be written to");
    }
}

#[tokio::test]
async fn unknown_keys_and_roles_and_impossible_expiries_come_with_advice() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = HostOptions { data: folder.path().join("data"), search_paths: Vec::new() };
    let local = Host::open(options).await.expect("it opens").session();
    let request = |role: &str, expires_in_s| KeyRequest {
        name: "one".to_owned(),
        roles: vec![role.to_owned()],
        scope: None,
        expires_in_s,
    };
    let error = local.key_create(request("vewer", None)).await.expect_err("there is no such role");
    assert_eq!((error.code, &*error.hint), (Code::InvalidInput, "did you mean `viewer`?"));
    let error = local.key_create(request("nobody", None)).await.expect_err("there is no such role");
    assert!(error.hint.contains("there are admin, operator"), "{error:?}");
    for seconds in [0, 101 * 366 * 86_400] {
        let error = local.key_create(request("viewer", Some(seconds))).await.expect_err("it is impossible");
        assert_eq!(error.hint, "give an expiry from 1 second to 100 years, or none");
    }
    let error = local.key_delete("nobody").await.expect_err("there is no such key");
    assert_eq!((error.code, &*error.hint), (Code::NotFound, "`outrigger access key list` shows the keys"));
    let error = local.role_delete("nobody").await.expect_err("there is no such role");
    assert_eq!((error.code, &*error.hint), (Code::NotFound, "`outrigger access role list` shows the roles"));
}

#[tokio::test]
async fn a_server_does_not_start_with_a_broken_key_or_backups_in_the_data_directory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let options = HostOptions { data: data.clone(), search_paths: Vec::new() };
    let work = ServerWork { backups: Some(data.join("backups")), ..ServerWork::default() };
    let error = Host::open_alone_with(options.clone(), work).await.expect_err("it is refused");
    assert!(error.message.contains("is in the data directory"), "{error:?}");
    let key = data.join("secret.key");
    std::fs::write(&key, "too short").expect("a file");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("it is changed");
    let error = Host::open_alone(options.clone()).await.expect_err("the key is broken");
    assert_eq!(error.code, Code::SecretUnreadable);
    let report = Host::open(options).await.expect("commands still work").session();
    let report = report.doctor().await.expect("it looks");
    let found = report.checks.iter().find(|check| check.name == "secret key").expect("it is checked");
    assert_eq!(found.outcome, CheckOutcome::Failed);
}
