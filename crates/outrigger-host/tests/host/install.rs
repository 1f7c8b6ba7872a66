//! Installing, updating, removing.

use std::time::{Duration, Instant};

use outrigger_api::{AuditQuery, Code, InstallRequest, PackageSource, PluginName, Plugins as _, RollbackRequest};
use outrigger_engine::Store as _;
use outrigger_host::{Host, HostOptions};
use outrigger_store::SqliteStore;
use outrigger_testkit::components::{self, Step};
use outrigger_testkit::store_suite;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use serde_json::json;

use crate::bench::{Bench, call, entries, names, none, tar_gz, zip};

fn hostile() -> PluginName {
    "hostile".parse().expect("a name")
}

#[tokio::test]
async fn a_folder_a_zip_and_a_tar_are_the_same_package() {
    let bench = Bench::new().await;
    let folder = bench.hostile("1.0.0", "");
    let (zipped, tarred) = (bench.path("x.zip"), bench.path("x.tar.gz"));
    zip(&folder, &zipped);
    tar_gz(&folder, &tarred);
    let outcome = bench.install(&folder).await.expect("it is installed");
    assert_eq!((outcome.action.as_str(), outcome.version.as_str()), ("installed", "1.0.0"));
    for archive in [zipped, tarred] {
        let outcome = bench.install(&archive).await.expect("it is installed");
        assert_eq!(outcome.action, "unchanged", "{}", archive.display());
    }
    assert_eq!(bench.call("hostile.good", json!({"number": 7})).await.expect("it answers"), json!(7));
}

#[tokio::test]
async fn what_is_installed_is_there_for_the_next_process() {
    let bench = Bench::new().await;
    let folder = bench.hostile("1.0.0", "");
    bench.install(&folder).await.expect("it is installed");
    bench.platform.close().await.expect("it closes");
    // The installed files are a copy: the source folder can be deleted.
    std::fs::remove_dir_all(folder).expect("it is removed");
    let another = bench.another().await;
    assert_eq!(call(&another, "hostile.good", json!({"number": 7})).await.expect("it answers"), json!(7));
    let info = another.plugin_info(&hostile()).await.expect("it is installed");
    assert_eq!(
        (info.summary.state.as_str(), info.offered.len()),
        ("active", usize::try_from(info.summary.functions).expect("few"))
    );
}

#[tokio::test]
async fn permissions_need_the_word_of_an_administrator_for_the_very_digest() {
    let bench = Bench::new().await;
    let folder = bench.hostile("1.0.0", "[permissions]\nenvironment = [\"LANG\"]\n");
    let source = PackageSource::Path(folder);
    let report = bench.platform.package_inspect(&source).await.expect("it is read");
    assert_eq!(report.widened.len(), 1, "{:?}", report.widened);
    let install = async |approved: Option<&str>| {
        let request = InstallRequest { approved: approved.map(str::to_owned), ..InstallRequest::new(source.clone()) };
        bench.platform.plugin_install(request).await
    };
    assert_eq!(install(None).await.expect_err("not approved").code, Code::GrantRequired);
    let other = format!("sha256:{}", "0".repeat(64));
    assert_eq!(install(Some(&other)).await.expect_err("another digest").code, Code::GrantRequired);
    assert_eq!(entries(&bench.path("data/packages")), 0);
    install(Some(&report.digest)).await.expect("approved");
    // The shown package is installed, even if it requests nothing new.
    assert_eq!(install(Some(&other)).await.expect_err("another digest").code, Code::GrantRequired);
    assert_eq!(install(None).await.expect("it is there").action, "unchanged");
    let info = bench.platform.plugin_info(&hostile()).await.expect("it is installed");
    assert_eq!(info.granted, report.permissions);
}

#[tokio::test]
async fn an_update_asks_again_only_for_what_goes_beyond() {
    let bench = Bench::new().await;
    let one = "[permissions]\nenvironment = [\"LANG\"]\n";
    bench.install(&bench.hostile("1.0.0", one)).await.expect("it is installed");
    let update = async |version: &str, manifest: &str| {
        let source = PackageSource::Path(bench.hostile(version, manifest));
        bench.platform.plugin_install(InstallRequest::new(source)).await
    };
    let outcome = update("1.1.0", one).await.expect("it asks for nothing new");
    assert_eq!((outcome.action.as_str(), outcome.previous_version.as_deref()), ("updated", Some("1.0.0")));
    let refused = update("1.2.0", "[permissions]\nenvironment = [\"LANG\", \"HOME\"]\n").await.expect_err("it widens");
    assert_eq!(refused.code, Code::GrantRequired);
    assert!(refused.message.contains("HOME") && !refused.message.contains("LANG"), "{}", refused.message);
    let info = bench.platform.plugin_info(&hostile()).await.expect("it is installed");
    assert_eq!((info.summary.version.as_str(), info.revisions.len()), ("1.1.0", 2));
    // Back to the version before: its files are still there. That has to be meant.
    let older = InstallRequest::new(PackageSource::Path(bench.hostile("1.0.0", one)));
    let refused = bench.platform.plugin_install(older.clone()).await.expect_err("it is older");
    assert_eq!(refused.code, Code::Conflict);
    assert!(refused.hint.contains("outrigger plugin rollback hostile"), "{}", refused.hint);
    let older = InstallRequest { allow_downgrade: true, ..older };
    bench.platform.plugin_install(older).await.expect("it is installed");
    assert_eq!(bench.call("hostile.good", json!({"number": 7})).await.expect("it answers"), json!(7));
}

#[tokio::test]
async fn a_version_that_does_not_start_changes_nothing() {
    let bench = Bench::new().await;
    let package = |version: &str, step, number| {
        let component = components::managed(step, number);
        bench.package(&format!("managed-{version}"), "managed", version, "[limits]\ntimeout = \"300ms\"\n", &component)
    };
    bench.install(&package("1.0.0", Step::Succeeds, 1)).await.expect("it is installed");
    for (version, step, code) in
        [("2.0.0", Step::Fails, Code::LifecycleFailed), ("3.0.0", Step::Loops, Code::DeadlineExceeded)]
    {
        let started = Instant::now();
        let error = bench.install(&package(version, step, 2)).await.expect_err("it does not start");
        assert_eq!(error.code, code, "{}", error.message);
        assert!(error.message.contains("initialize"), "{}", error.message);
        assert!(started.elapsed() < Duration::from_secs(20));
        assert_eq!(bench.call("managed.number", none()).await.expect("the old one answers"), json!(1));
        assert_eq!(entries(&bench.path("data/packages")), 1, "nothing of {version} is left");
    }
    let health = bench.platform.plugin_health(&"managed".parse().expect("a name")).await.expect("it reports");
    assert_eq!((health.status.as_str(), health.checks[0].name.as_str()), ("unhealthy", "connectivity"));
}

#[tokio::test]
async fn an_uninstalled_plugin_leaves_no_files() {
    let bench = Bench::new().await;
    bench.install(&bench.hostile("1.0.0", "")).await.expect("it is installed");
    bench.install(&bench.hostile("2.0.0", "")).await.expect("it is updated");
    bench.platform.plugin_uninstall(&hostile()).await.expect("it is uninstalled");
    assert_eq!(entries(&bench.path("data/packages")), 0);
    let compiled = names(&bench.path("data/cache/compiled"));
    assert!(!compiled.iter().any(|name| name.ends_with(".cwasm")), "{compiled:?}");
    let error = bench.platform.plugin_uninstall(&hostile()).await.expect_err("it is gone");
    assert_eq!(error.code, Code::PluginNotFound);
}

#[tokio::test]
async fn two_processes_install_at_the_same_time() {
    let bench = Bench::new().await;
    let another = bench.another().await;
    let one = bench.package("one", "one", "1.0.0", "", &components::managed(Step::Succeeds, 1));
    let two = bench.package("two", "two", "1.0.0", "", &components::managed(Step::Succeeds, 2));
    let install = |path| InstallRequest::new(PackageSource::Path(path));
    let (first, second) =
        tokio::join!(bench.platform.plugin_install(install(one)), another.plugin_install(install(two)));
    first.expect("it is installed");
    second.expect("it is installed");
    let third = bench.another().await;
    assert_eq!(call(&third, "one.number", none()).await.expect("it answers"), json!(1));
    assert_eq!(call(&third, "two.number", none()).await.expect("it answers"), json!(2));
}

#[tokio::test]
async fn what_an_interrupted_installation_left_is_cleared() {
    let bench = Bench::new().await;
    std::fs::create_dir_all(bench.path("data/staging/half/done")).expect("a folder");
    bench.install(&bench.hostile("1.0.0", "")).await.expect("it is installed");
    assert_eq!(entries(&bench.path("data/staging")), 0);
    let report = bench.platform.doctor().await.expect("it looks");
    assert_eq!(report.outcome(), outrigger_api::CheckOutcome::Ok, "{report:?}");
}

#[tokio::test]
async fn what_a_plugin_cannot_do_without_comes_with_it() {
    let bench = Bench::new().await;
    let manifest = "[configuration.token]\ntype = \"string\"\nrequired = true\nsecret = true\n";
    let source = PackageSource::Path(bench.hostile("1.0.0", manifest));
    let install = async |dry_run: bool, configuration: serde_json::Value| {
        let configuration = configuration.as_object().cloned().expect("an object");
        let request = InstallRequest { dry_run, configuration, ..InstallRequest::new(source.clone()) };
        bench.platform.plugin_install(request).await
    };
    for dry_run in [true, false] {
        let error = install(dry_run, json!({})).await.expect_err("it needs a token");
        assert_eq!(error.code, Code::InvalidConfiguration);
        assert_eq!(error.message, "the configuration of `hostile` lacks required keys: `token`");
        assert!(error.hint.contains("outrigger plugin install … --set token=…"), "{}", error.hint);
        assert_eq!(entries(&bench.path("data/packages")), 0);
    }
    install(true, json!({"token": "correct-horse"})).await.expect("it could be installed");
    assert!(bench.platform.plugin_list().await.expect("it lists").is_empty());
    let outcome = install(false, json!({"token": "correct-horse"})).await.expect("it is installed");
    assert_eq!(outcome.action, "installed");
    let token = async || bench.call("hostile.setting", json!({"key": "token"})).await.expect("it answers");
    assert_eq!(token().await, json!("\"correct-horse\""));

    // The same package again, with another value.
    assert_eq!(install(false, json!({})).await.expect("it is there").action, "unchanged");
    assert_eq!(install(false, json!({"token": "battery"})).await.expect("it is there").action, "configured");
    assert_eq!(token().await, json!("\"battery\""));
    let revisions = bench.platform.configuration_revisions(&hostile()).await.expect("it lists");
    let listed: Vec<_> = revisions.iter().map(|one| (one.revision, one.by.as_str())).collect();
    assert_eq!(listed, [(2, "local"), (1, "local")]);
    let audit = AuditQuery { limit: 100, ..AuditQuery::default() };
    let audit = bench.platform.audit_list(&audit).await.expect("it lists");
    let configured = |entry: &&outrigger_api::AuditInfo| {
        entry.after.as_ref().is_some_and(|after| after["configured"] == json!(["token"]))
    };
    assert_eq!(audit.iter().filter(configured).count(), 2, "{audit:#?}");
    assert!(!format!("{audit:?}").contains("horse"));
}

#[tokio::test]
async fn revisions_that_nothing_leads_back_to_go() {
    let bench = Bench::new().await;
    let compiled = || names(&bench.path("data/cache/compiled")).iter().filter(|name| name.ends_with(".cwasm")).count();
    for (version, kept) in [("1.0.0", 1), ("1.1.0", 2), ("1.2.0", 2), ("1.3.0", 2)] {
        bench.install(&bench.hostile(version, "")).await.expect("it is installed");
        assert_eq!(bench.call("hostile.good", json!({"number": 7})).await.expect("it answers"), json!(7));
        let info = bench.platform.plugin_info(&hostile()).await.expect("it is installed");
        assert_eq!(info.summary.version, version);
        let found = (info.revisions.len(), entries(&bench.path("data/packages")), compiled());
        assert_eq!(found, (kept, kept, kept), "{version}");
    }
    // The version that was rolled back is removed as well.
    bench.platform.plugin_rollback(&hostile(), RollbackRequest::default()).await.expect("it goes back");
    let info = bench.platform.plugin_info(&hostile()).await.expect("it is installed");
    assert_eq!((info.summary.version.as_str(), info.revisions.len()), ("1.2.0", 1));
    assert_eq!((entries(&bench.path("data/packages")), compiled()), (1, 1));
    assert_eq!(bench.call("hostile.good", json!({"number": 7})).await.expect("it answers"), json!(7));
    // It can be installed again.
    bench.install(&bench.hostile("1.3.0", "")).await.expect("it is installed");
    assert_eq!(bench.call("hostile.good", json!({"number": 7})).await.expect("it answers"), json!(7));
}

#[tokio::test]
async fn a_revision_that_had_to_stay_goes_with_the_next_server() {
    let Bench { folder, platform } = {
        let bench = Bench::new().await;
        bench.install(&bench.hostile("1.0.0", "")).await.expect("it is installed");
        bench.install(&bench.hostile("1.1.0", "")).await.expect("it is updated");
        bench
    };
    platform.close().await.expect("all is written");
    drop(platform);
    // Calls still ran on it, or the process died before it was removed.
    let data = folder.path().join("data");
    let store = SqliteStore::open(data.join("outrigger.db")).await.expect("it opens");
    let record = store.plugin_fetch(&hostile()).await.expect("it reads").expect("it is installed");
    let old = store_suite::revision(&hostile(), "0.9.0");
    store.plugin_put(&record, Some(&old), None, record.generation).await.expect("it is written");
    store.close().await;
    let packages = data.join("packages");
    std::fs::create_dir(packages.join(old.digest.hex())).expect("a folder");
    assert_eq!(entries(&packages), 3);

    let host = Host::open_alone(HostOptions { data, search_paths: Vec::new() }).await.expect("it opens");
    let until = Instant::now() + Duration::from_secs(10);
    while entries(&packages) > 2 {
        assert!(Instant::now() < until, "{:?}", names(&packages));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let info = host.session().plugin_info(&hostile()).await.expect("it is installed");
    let versions: Vec<_> = info.revisions.iter().map(|revision| revision.version.as_str()).collect();
    assert_eq!(versions, ["1.1.0", "1.0.0"]);
}

/// A database trigger simulates a disk that is full at that moment.
#[tokio::test]
async fn s18_a_plugin_that_cannot_be_removed_from_the_store_stays_and_goes_on() {
    let bench = Bench::new().await;
    bench.install(&bench.hostile("1.0.0", "")).await.expect("it is installed");
    let spoil = async |sql: &'static str| {
        let mut meddler =
            SqliteConnectOptions::new().filename(bench.path("data/outrigger.db")).connect().await.expect("it opens");
        meddler.execute(sql).await.expect("valid SQL");
        meddler.close().await.expect("it closes");
    };
    spoil("CREATE TRIGGER spoil BEFORE DELETE ON plugins BEGIN SELECT RAISE(ABORT, 'no'); END").await;
    let refused = bench.platform.plugin_uninstall(&hostile()).await.expect_err("the store fails");
    assert_eq!(refused.code, Code::StoreFailed, "{refused:?}");
    // Its files are removed as well, for this process and the next.
    assert_eq!(bench.call("hostile.good", json!({"number": 7})).await.expect("it answers"), json!(7));
    let another = bench.another().await;
    assert_eq!(call(&another, "hostile.good", json!({"number": 8})).await.expect("it answers"), json!(8));
    another.close().await.expect("it closes");
    spoil("DROP TRIGGER spoil").await;
    bench.platform.plugin_uninstall(&hostile()).await.expect("it is removed");
    assert_eq!(bench.platform.plugin_info(&hostile()).await.expect_err("it is gone").code, Code::PluginNotFound);
    assert_eq!(entries(&bench.path("data/packages")), 0);
}
