//! One version in the place of another, with real components that change what they keep: what was there is taken over whole,
//! or not at all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use outrigger_api::{
    ApiError, ApiResult, AuditQuery, Code, ConfigurationDifference, DifferenceKind, InstallOutcome, InstallRequest,
    MigrationReport, PackageSource, PluginName, RollbackReport, RollbackRequest,
};
use outrigger_engine::store::{ConfigurationStore, Store};
use outrigger_store::SqliteStore;
use outrigger_testkit::migrating::{MigrateState, Migrating, Verdict};
use serde_json::{Value as Json, json};

use crate::bench::{Bench, call, entries, none};

const FIRST: &str =
    "[configuration.region]\ntype = \"string\"\n[configuration.token]\ntype = \"string\"\nsecret = true\n";
const SECOND: &str = "[configuration.location]\ntype = \"string\"\n[configuration.key]\ntype = \"string\"\nsecret = true\n\
                      [[migrations]]\nfrom = \"<2.0.0\"\nrename = { region = \"location\", token = \"key\" }\n";
const SECRET: &str = "correct-horse-battery";

fn plugin() -> PluginName {
    "migrating".parse().expect("a name")
}

fn package(bench: &Bench, version: &str, manifest: &str, component: &Migrating) -> PathBuf {
    bench.package(&format!("migrating-{version}"), "migrating", version, manifest, &component.component())
}

/// Version 1.0.0, configured, with something in its state.
async fn installed() -> Bench {
    let bench = Bench::new().await;
    bench.install(&package(&bench, "1.0.0", FIRST, &Migrating::first())).await.expect("it is installed");
    configure(&bench, json!({"region": "eu", "token": SECRET})).await;
    for _ in 0..3 {
        bench.call("migrating.add", none()).await.expect("it counts");
    }
    keep(&bench, "user/1", "ada").await;
    keep(&bench, "tmp/1", "x").await;
    bench
}

async fn configure(bench: &Bench, values: Json) {
    let present = bench.platform.configuration_fetch(&plugin()).await.expect("it is read").revision;
    let values = values.as_object().cloned().expect("an object");
    bench.platform.configuration_put(&plugin(), values, present).await.expect("it fits");
}

async fn keep(bench: &Bench, key: &str, value: &str) {
    bench.call("migrating.keep", json!({"key": key, "value": value})).await.expect("it is kept");
}

async fn recall(bench: &Bench, key: &str) -> Json {
    bench.call("migrating.recall", json!({"key": key})).await.expect("it answers")
}

async fn setting(bench: &Bench, key: &str) -> Json {
    bench.call("migrating.setting", json!({"key": key})).await.expect("it answers")
}

async fn count(bench: &Bench) -> Json {
    bench.call("migrating.count", none()).await.expect("it answers")
}

/// All that is stored of the plugin, to the last byte.
async fn stored(bench: &Bench) -> impl PartialEq + std::fmt::Debug + use<> {
    let store = SqliteStore::open(bench.path("data/outrigger.db")).await.expect("it opens");
    let mut state = BTreeMap::new();
    for key in store.state_keys(&plugin(), "", u32::MAX).await.expect("it lists") {
        let value = store.state_get(&plugin(), &key).await.expect("it reads");
        state.insert(key, value);
    }
    let record = store.plugin_fetch(&plugin()).await.expect("it reads");
    let revisions = store.revision_list(&plugin()).await.expect("it lists");
    let configuration = store.configuration_fetch(&plugin()).await.expect("it reads");
    let history = store.configuration_revisions(&plugin()).await.expect("it lists");
    store.close().await;
    (state, record, revisions, configuration, history)
}

fn request(path: PathBuf) -> InstallRequest {
    InstallRequest::new(PackageSource::Path(path))
}

async fn update(bench: &Bench, version: &str, manifest: &str, component: &Migrating) -> ApiResult<InstallOutcome> {
    bench.install(&package(bench, version, manifest, component)).await
}

/// An update fails, and everything is as it was.
async fn undone(bench: &Bench, version: &str, manifest: &str, component: &Migrating) -> ApiError {
    let before = stored(bench).await;
    let error = update(bench, version, manifest, component).await.expect_err("it fails");
    assert_eq!(stored(bench).await, before, "{error:?}");
    assert_eq!(bench.call("migrating.number", none()).await.expect("the old one answers"), json!(1));
    assert_eq!(entries(&bench.path("data/packages")), 1, "nothing of it is left");
    error
}

fn migration(outcome: InstallOutcome) -> MigrationReport {
    outcome.migration.expect("it took the place of another version")
}

fn shown(differences: Option<Vec<ConfigurationDifference>>) -> Vec<String> {
    let value = |value: Option<Json>| value.map_or("-".to_owned(), |value| value.to_string());
    let line = |one: ConfigurationDifference| format!("{} {} → {}", one.key, value(one.before), value(one.after));
    differences.expect("the administrator sees it").into_iter().map(line).collect()
}

#[tokio::test]
async fn an_update_takes_over_what_is_there() {
    let bench = installed().await;
    let outcome = update(&bench, "2.0.0", SECOND, &Migrating::second()).await.expect("it is updated");
    let report = migration(outcome);
    assert_eq!((report.from.as_str(), report.to.as_str()), ("1.0.0", "2.0.0"));
    assert_eq!(report.steps.len(), 2, "{report:?}");
    assert_eq!(
        shown(report.configuration),
        [
            "key - → {\"$secret\":\"set\"}",
            "location - → \"eu\"",
            "region \"eu\" → -",
            "token {\"$secret\":\"set\"} → -"
        ]
    );
    assert_eq!((report.state.added, report.state.removed), (vec!["counter".to_owned()], vec!["count".to_owned()]));

    assert_eq!(bench.call("migrating.number", none()).await.expect("it answers"), json!(2));
    assert_eq!(count(&bench).await, json!(3));
    assert_eq!(setting(&bench, "location").await, json!("\"eu\""));
    assert_eq!(setting(&bench, "key").await, json!(format!("\"{SECRET}\"")), "it is sealed for its new key");
    assert_eq!(setting(&bench, "token").await, Json::Null);
    let revisions = bench.platform.configuration_revisions(&plugin()).await.expect("it lists");
    let listed: Vec<_> = revisions.iter().map(|one| (one.revision, one.by.as_str())).collect();
    assert_eq!(listed, [(2, "migration from 1.0.0 to 2.0.0"), (1, "local")]);
    // The same correlation id as the installation in the audit log.
    let audit = bench.platform.audit_list(&AuditQuery { limit: 100, ..AuditQuery::default() }).await.expect("it lists");
    assert!(audit.iter().any(|one| one.action == "plugin_create" && one.correlation == revisions[0].correlation));
    assert!(!format!("{audit:?}").contains(SECRET));
    let another = bench.another().await;
    assert_eq!(call(&another, "migrating.count", none()).await.expect("it answers"), json!(3));
}

#[tokio::test]
async fn versions_can_be_skipped() {
    const THIRD: &str = "[configuration.place]\ntype = \"string\"\n[configuration.retries]\ntype = \"integer\"\n\
        [[migrations]]\nfrom = \"<2.0.0\"\nrename = { region = \"location\" }\nremove = [\"token\"]\n\
        rename-state = { \"user/\" = \"users/\" }\nremove-state = [\"tmp/\"]\n\
        [[migrations]]\nfrom = \"<3.0.0\"\nrename = { location = \"place\" }\nset = { retries = 3 }\n\
        rename-state = { \"users/\" = \"people/\" }\n";
    let third = Migrating { number: 3, key: "total", old_key: "count", ..Migrating::second() };
    let bench = installed().await;
    let report = migration(update(&bench, "3.0.0", THIRD, &third).await.expect("it is updated"));
    assert_eq!(report.steps.len(), 3);
    assert_eq!(report.state.added, ["people/1", "total"]);
    assert_eq!(report.state.removed, ["count", "tmp/1", "user/1"]);
    assert_eq!((recall(&bench, "people/1").await, recall(&bench, "users/1").await), (json!("ada"), Json::Null));
    assert_eq!((setting(&bench, "place").await, setting(&bench, "retries").await), (json!("\"eu\""), json!("3")));
    assert_eq!(count(&bench).await, json!(3));

    // From 2.0.0 only the second step is taken.
    let bench = installed().await;
    let moved = SECOND.replace("[[migrations]]", "[[migrations]]\nrename-state = { \"user/\" = \"users/\" }");
    update(&bench, "2.0.0", &moved, &Migrating::second()).await.expect("it is updated");
    configure(&bench, json!({"location": "us"})).await;
    let third = Migrating { old_key: "counter", ..third };
    let report = migration(update(&bench, "3.0.0", THIRD, &third).await.expect("it is updated"));
    assert_eq!((report.steps.len(), report.state.removed), (2, vec!["counter".to_owned(), "users/1".to_owned()]));
    assert_eq!((recall(&bench, "people/1").await, setting(&bench, "place").await), (json!("ada"), json!("\"us\"")));
    // The same version, built anew, migrates nothing.
    let again = format!("{THIRD}# changed\n");
    let report = migration(update(&bench, "3.0.0", &again, &third).await.expect("it is updated"));
    assert_eq!((report.steps, report.state.is_empty()), (Vec::<String>::new(), true));
}

#[tokio::test]
async fn what_fails_on_the_way_changes_nothing() {
    let bench = installed().await;
    let second = Migrating::second();
    let quick = format!("{SECOND}[limits]\ntimeout = \"300ms\"\n");
    let failing = Migrating { state: MigrateState::Fails, ..second.clone() };
    let error = undone(&bench, "2.0.1", SECOND, &failing).await;
    assert_eq!(error.code, Code::MigrationFailed);
    let said =
        "`migrating` was not migrated from 1.0.0 to 2.0.1: `migrate-state` of migrating failed: it is not legible";
    assert_eq!(error.message, said);

    let looping = Migrating { state: MigrateState::Loops, ..second.clone() };
    let started = Instant::now();
    let error = undone(&bench, "2.0.2", &quick, &looping).await;
    assert_eq!(error.code, Code::MigrationFailed, "{}", error.message);
    assert!(
        error.message.contains("`migrate-state`: migrating did not answer before its deadline"),
        "{}",
        error.message
    );
    assert!(started.elapsed() < Duration::from_secs(20));

    let calling = Migrating { state: MigrateState::Calls, ..second.clone() };
    let granted = format!("{SECOND}[permissions]\nplugins = [\"hostile.good\"]\n");
    let error = undone(&bench, "2.0.3", &granted, &calling).await;
    assert!(error.message.contains("a migration calls no functions of other plugins"), "{}", error.message);

    let ill = Migrating { verdict: Verdict::Unhealthy, ..second.clone() };
    let error = undone(&bench, "2.0.4", SECOND, &ill).await;
    assert_eq!(error.code, Code::MigrationFailed);
    assert!(error.message.ends_with("reports that it is unhealthy: shape: not what it was"), "{}", error.message);

    let taken = SECOND.replace("token = \"key\"", "token = \"location\"");
    assert_eq!(update(&bench, "2.0.5", &taken, &second).await.expect_err("two are one").code, Code::InvalidManifest);
    let taken = SECOND.replace("rename =", "rename-state = { \"user/1\" = \"tmp/1\" }\nrename =");
    let error = undone(&bench, "2.0.6", &taken, &second).await;
    assert!(error.message.contains("cannot rename the state key `user/1` to `tmp/1`"), "{}", error.message);

    // The manifest of the new version does not know what the old one was configured with.
    let forgotten = "[configuration.location]\ntype = \"string\"\n[[migrations]]\nfrom = \"<2.0.0\"\n";
    let error = undone(&bench, "2.0.7", forgotten, &second).await;
    assert!(error.message.contains("region") && !error.message.contains(SECRET), "{}", error.message);

    let small = format!("{SECOND}[limits]\nstate = \"8B\"\n");
    let error = undone(&bench, "2.0.8", &small, &second).await;
    assert_eq!(error.code, Code::MigrationFailed, "{}", error.message);

    let nonsense = Migrating { configuration: Some("[1]"), ..second.clone() };
    let error = undone(&bench, "2.0.9", SECOND, &nonsense).await;
    assert!(error.message.contains("`migrate-configuration` did not return a JSON object"), "{}", error.message);

    update(&bench, "2.1.0", SECOND, &second).await.expect("what is right is taken over");
    assert_eq!(count(&bench).await, json!(3));
}

#[tokio::test]
async fn s02_a_migration_returns_no_more_than_a_configuration_can_take() {
    let bench = installed().await;
    // A plugin could return up to its memory of them. As values, each takes 32 bytes.
    let many: &str = format!("{{\"location\":[{}0]}}", "0,".repeat(1 << 20)).leak();
    let own = Migrating { configuration: Some(many), ..Migrating::second() };
    let error = undone(&bench, "2.0.0", SECOND, &own).await;
    assert_eq!(error.code, Code::MigrationFailed, "{}", error.message);
    assert!(error.message.ends_with("`migrate-configuration` returned 2.1MiB; the limit is 1MiB"), "{}", error.message);
}

#[tokio::test]
async fn an_unhealthy_version_is_not_taken_although_nothing_is_migrated() {
    let bench = Bench::new().await;
    bench.install(&package(&bench, "1.0.0", "", &Migrating::first())).await.expect("it is installed");
    let ill = Migrating { number: 2, verdict: Verdict::Unhealthy, ..Migrating::first() };
    let same = bench.package("again", "migrating", "1.0.0", "", &ill.component());
    let error = bench.install(&same).await.expect_err("it is unhealthy");
    assert_eq!(error.code, Code::LifecycleFailed, "{}", error.message);
    assert_eq!(bench.call("migrating.number", none()).await.expect("the old one answers"), json!(1));
}

#[tokio::test]
async fn a_plugin_makes_its_configuration_itself_and_secrets_stay_so() {
    let bench = installed().await;
    let answer = "{\"location\":\"north\",\"key\":\"another-secret-1\",\"note\":\"correct-horse-battery\"}";
    let manifest = format!("{SECOND}[configuration.note]\ntype = \"string\"\n");
    let own = Migrating { configuration: Some(answer), ..Migrating::second() };
    let report = migration(update(&bench, "2.0.0", &manifest, &own).await.expect("it is updated"));
    let hidden = "{\"$secret\":\"set\"}";
    assert_eq!(
        shown(report.configuration),
        [
            format!("key - → {hidden}"),
            "location - → \"north\"".to_owned(),
            format!("note - → {hidden}"),
            "region \"eu\" → -".to_owned(),
            format!("token {hidden} → -"),
        ]
    );
    assert_eq!(setting(&bench, "key").await, json!("\"another-secret-1\""));
    assert_eq!(setting(&bench, "note").await, json!(format!("\"{SECRET}\"")));
    bench.platform.close().await.expect("all is written");
    let database = std::fs::read(bench.path("data/outrigger.db")).expect("it is there");
    let log = std::fs::read(bench.path("data/outrigger.db-wal")).unwrap_or_default();
    for secret in [SECRET, "another-secret-1"] {
        let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!holds(&database) && !holds(&log), "{secret}");
    }
    assert!(database.windows(5).chain(log.windows(5)).any(|window| window == b"north"), "what is no secret is found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_for_a_migration_and_no_write_is_lost() {
    let bench = installed().await;
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (platform, stop) = (Arc::clone(&bench.platform), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut added = 0;
                while !stop.load(Ordering::SeqCst) {
                    call(&platform, "migrating.add", none()).await.expect("no call fails for an update");
                    added += 1;
                }
                added
            })
        })
        .collect();
    let keys = ["count", "counter", "total", "sum", "tally"];
    for (place, pair) in keys.windows(2).enumerate() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let number = u32::try_from(place).expect("few") + 2;
        let component = Migrating { number, key: pair[1], old_key: pair[0], ..Migrating::second() };
        let manifest = if place == 0 { SECOND } else { SECOND.split("[[").next().expect("a part") };
        update(&bench, &format!("{number}.0.0"), manifest, &component).await.expect("it is updated");
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.store(true, Ordering::SeqCst);
    let mut added = 3;
    for caller in callers {
        added += caller.await.expect("no panic");
    }
    assert!(added > 10, "{added}");
    assert_eq!(count(&bench).await, json!(added));
    assert_eq!(bench.call("migrating.number", none()).await.expect("it answers"), json!(5));
    for key in &keys[..4] {
        assert_eq!(recall(&bench, key).await, Json::Null, "{key}");
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let bench = installed().await;
    let before = stored(&bench).await;
    let second = package(&bench, "2.0.0", SECOND, &Migrating::second());
    let dry = InstallRequest { dry_run: true, ..request(second) };
    let outcome = bench.platform.plugin_install(dry.clone()).await.expect("it is tried");
    assert!(outcome.dry_run);
    assert_eq!(stored(&bench).await, before);
    assert_eq!(entries(&bench.path("data/packages")), 1);
    assert_eq!(entries(&bench.path("data/staging")), 0);
    assert!(!format!("{outcome:?}").contains(SECRET));
    let tried = migration(outcome);
    let done =
        migration(bench.platform.plugin_install(InstallRequest { dry_run: false, ..dry }).await.expect("updated"));
    assert_eq!(tried, done);

    let failing = Migrating { state: MigrateState::Fails, old_key: "counter", key: "x", ..Migrating::second() };
    let dry = InstallRequest { dry_run: true, ..request(package(&bench, "3.0.0", SECOND, &failing)) };
    let error = bench.platform.plugin_install(dry).await.expect_err("it would fail");
    assert_eq!(error.code, Code::MigrationFailed);

    let new = bench.package("new", "new", "1.0.0", "", &Migrating::first().component());
    let dry = InstallRequest { dry_run: true, ..request(new) };
    let outcome = bench.platform.plugin_install(dry).await.expect("it could be installed");
    assert_eq!((outcome.action.as_str(), outcome.migration), ("installed", None));
    assert_eq!(bench.platform.plugin_list().await.expect("it lists").len(), 1);
}

async fn rollback(bench: &Bench, dry_run: bool) -> ApiResult<RollbackReport> {
    bench.platform.plugin_rollback(&plugin(), RollbackRequest { dry_run }).await
}

#[tokio::test]
async fn an_update_can_be_taken_back() {
    let bench = installed().await;
    assert_eq!(rollback(&bench, false).await.expect_err("nothing to go back to").code, Code::Conflict);
    update(&bench, "2.0.0", SECOND, &Migrating::second()).await.expect("it is updated");
    for _ in 0..2 {
        bench.call("migrating.add", none()).await.expect("it counts");
    }
    keep(&bench, "user/2", "bob").await;
    configure(&bench, json!({"location": "us", "key": "another-secret"})).await;

    let before = stored(&bench).await;
    let tried = rollback(&bench, true).await.expect("it is tried");
    assert_eq!(stored(&bench).await, before);
    assert_eq!((tried.dry_run, tried.lost_writes), (true, 3));
    let done = rollback(&bench, false).await.expect("it goes back");
    assert_eq!(RollbackReport { dry_run: true, ..done.clone() }, tried);
    assert_eq!((done.migration.from.as_str(), done.migration.to.as_str()), ("2.0.0", "1.0.0"));
    assert_eq!(done.migration.state.added, ["count"]);
    assert_eq!(done.migration.state.removed, ["counter", "user/2"]);
    let kinds: Vec<_> =
        done.migration.configuration.expect("seen").into_iter().map(|one| (one.key, one.kind)).collect();
    let kind = |key: &str, kind| (key.to_owned(), kind);
    assert_eq!(
        kinds,
        [
            kind("key", DifferenceKind::Removed),
            kind("location", DifferenceKind::Removed),
            kind("region", DifferenceKind::Added),
            kind("token", DifferenceKind::Added)
        ]
    );

    assert_eq!(bench.call("migrating.number", none()).await.expect("it answers"), json!(1));
    assert_eq!((count(&bench).await, recall(&bench, "user/1").await), (json!(3), json!("ada")));
    assert_eq!(setting(&bench, "token").await, json!(format!("\"{SECRET}\"")));
    let revisions = bench.platform.configuration_revisions(&plugin()).await.expect("it lists");
    let newest = (revisions[0].revision, revisions[0].restores, revisions[0].by.as_str());
    assert_eq!(newest, (4, Some(1), "rollback from 2.0.0 to 1.0.0"));
    assert_eq!(rollback(&bench, false).await.expect_err("that was all").code, Code::Conflict);
    let audit = bench.platform.audit_list(&AuditQuery { limit: 100, ..AuditQuery::default() }).await.expect("it lists");
    assert!(
        audit.iter().any(|one| one.after.as_ref().is_some_and(|after| after["lost_writes"] == json!(3))),
        "{audit:?}"
    );

    // And forward again.
    update(&bench, "2.0.0", SECOND, &Migrating::second()).await.expect("it is updated");
    assert_eq!((count(&bench).await, setting(&bench, "location").await), (json!(3), json!("\"eu\"")));
}

#[tokio::test]
async fn going_back_from_an_update_that_left_the_state_alone_leaves_it_alone() {
    let bench = Bench::new().await;
    // No functions of its own for it, so only what the manifest says is done.
    let bare = outrigger_testkit::components::hostile();
    let install = async |version: &str, manifest: &str| {
        bench.install(&bench.package(version, "hostile", version, manifest, &bare)).await.expect("it is installed")
    };
    install("1.0.0", "").await;
    let hostile: PluginName = "hostile".parse().expect("a name");
    install("2.0.0", "# other\n").await;
    let report = bench.platform.plugin_rollback(&hostile, RollbackRequest::default()).await.expect("it goes back");
    assert_eq!((report.lost_writes, report.migration.state.is_empty()), (0, true));
    let info = bench.platform.plugin_info(&hostile).await.expect("it is there");
    assert_eq!(info.summary.version, "1.0.0");
    assert_eq!(bench.call("hostile.good", json!({"number": 7})).await.expect("it answers"), json!(7));
}

#[tokio::test]
async fn a_plugin_that_is_switched_off_is_migrated_and_stays_off() {
    let bench = installed().await;
    bench.platform.plugin_disable(&plugin()).await.expect("it is disabled");
    update(&bench, "2.0.0", SECOND, &Migrating::second()).await.expect("it is updated");
    let info = bench.platform.plugin_info(&plugin()).await.expect("it is there");
    assert_eq!((info.summary.version.as_str(), info.summary.state.as_str()), ("2.0.0", "disabled"));
    assert_eq!(info.exports, ["health", "migration"]);
    bench.platform.plugin_enable(&plugin()).await.expect("it is enabled");
    assert_eq!((count(&bench).await, setting(&bench, "location").await), (json!(3), json!("\"eu\"")));
}

#[tokio::test]
async fn an_older_version_needs_a_word() {
    let bench = installed().await;
    update(&bench, "2.0.0", SECOND, &Migrating::second()).await.expect("it is updated");
    let older = request(package(&bench, "1.5.0", FIRST, &Migrating::first()));
    let error = bench.platform.plugin_install(older.clone()).await.expect_err("it is older");
    assert_eq!(error.code, Code::Conflict);
    assert_eq!(bench.call("migrating.number", none()).await.expect("it answers"), json!(2));

    // A step for the newer version is such a word, and so is the administrator's; then nothing is migrated.
    let back =
        format!("{FIRST}[[migrations]]\nfrom = \">=2\"\nrename = {{ location = \"region\", key = \"token\" }}\n");
    let knows = Migrating { number: 1, key: "count", old_key: "counter", ..Migrating::second() };
    update(&bench, "1.6.0", &back, &knows).await.expect("it says how");
    assert_eq!((count(&bench).await, setting(&bench, "region").await), (json!(3), json!("\"eu\"")));
    let older = InstallRequest { allow_downgrade: true, ..older };
    let report = migration(bench.platform.plugin_install(older).await.expect("it is meant"));
    assert_eq!((report.to.as_str(), report.steps.len()), ("1.5.0", 0));
    assert_eq!(count(&bench).await, json!(3));
}
