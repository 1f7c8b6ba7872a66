//! Configurations and their revisions, backups, records, and actions on several plugins.

use std::sync::Arc;

use outrigger_api::{
    BackupRequest, Code, Configuration, DifferenceKind, FunctionRef, LogEntry, Platform, PluginName, RecordQuery,
    RunEntry, UsageKey, UsageKeys, UsageQuery,
};
use outrigger_host::backup::{Progress, restore, verify};
use outrigger_host::{Host, HostOptions};
use serde_json::{Map, Value, json};

use crate::places::{Place, WAYS, Way, call, everywhere};

const SECRET: &str = "correct-horse-battery";
const CONFIGURED: &str = "[configuration.region]\ntype = \"string\"\ndefault = \"eu\"\n\
                          [configuration.token]\ntype = \"string\"\nsecret = true\n";

everywhere! {
    configurations_have_a_history_and_can_go_back
    secrets_are_masked_kept_and_rotated
    a_backup_gives_the_same_answers
    records_are_filtered
    as_many_records_are_listed_as_are_asked_for
    runs_are_summed_up
    statistics_count_each_function
    several_plugins_are_seen_to_at_once
}

fn alpha() -> PluginName {
    "alpha".parse().expect("a name")
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

async fn configured(place: &Place) {
    place.install(&place.package("alpha", "1.0.0", CONFIGURED)).await.expect("it is installed");
}

async fn set(place: &Place, values: Value, expected: u64) -> u64 {
    place.platform.configuration_put(&alpha(), object(values), expected).await.expect("it fits")
}

async fn fetch(place: &Place) -> Configuration {
    place.platform.configuration_fetch(&alpha()).await.expect("it is there")
}

/// The configuration as the plugin sees it.
async fn seen(place: &Place, key: &str) -> Value {
    place.call("alpha.setting", json!({"key": key})).await.expect("it answers")
}

fn silent() -> Progress {
    Arc::new(|_, _| {})
}

/// Does one thing to several plugins; what came of it for each.
async fn bulk(place: &Place, way: Way, action: &str, plugins: &[&str]) -> Vec<Option<Code>> {
    let mut outcomes = Vec::new();
    if let (Way::Http, Some(address), Some(key)) = (way, &place.address, &place.key) {
        let request = reqwest::Client::new().post(format!("{address}/api/v1/plugins/bulk")).bearer_auth(key);
        let answer = request.json(&json!({"action": action, "plugins": plugins})).send().await.expect("it answers");
        assert_eq!(answer.status(), 200);
        let report: Value = answer.json().await.expect("it is JSON");
        for outcome in report["outcomes"].as_array().expect("there are outcomes") {
            let code = outcome["error"]["code"].clone();
            outcomes.push(serde_json::from_value(code).expect("a code, or none"));
        }
        return outcomes;
    }
    for plugin in plugins {
        let name = plugin.parse().expect("a name");
        let outcome = match action {
            "disable" => place.platform.plugin_disable(&name).await.map(drop),
            "enable" => place.platform.plugin_enable(&name).await,
            "reload" => place.platform.plugin_reload(&name).await,
            _ => place.platform.plugin_uninstall(&name).await.map(drop),
        };
        outcomes.push(outcome.err().map(|error| error.code));
    }
    outcomes
}

mod behaviour {
    use super::*;

    pub async fn configurations_have_a_history_and_can_go_back(place: &Place, way: Way) {
        configured(place).await;
        let platform = &place.platform;
        assert_eq!(platform.configuration_revisions(&alpha()).await.expect("there are none"), []);
        set(place, json!({"region": "us"}), 0).await;
        set(place, json!({"region": "ap", "token": SECRET}), 1).await;
        let revisions = platform.configuration_revisions(&alpha()).await.expect("they are kept");
        let by = if matches!(way, Way::Http) { "key administrator" } else { "local" };
        assert_eq!(revisions.iter().map(|kept| kept.revision).collect::<Vec<_>>(), [2, 1], "{way:?}");
        assert!(revisions.iter().all(|kept| kept.by == by && kept.correlation.len() == 26), "{revisions:?}");
        assert_eq!(revisions[1].values, object(json!({"region": "us"})), "{way:?}");

        let first = platform.configuration_revision(&alpha(), 1).await.expect("it is kept");
        assert_eq!(first, revisions[1], "{way:?}");
        let error = platform.configuration_revision(&alpha(), 9).await.expect_err("there is none");
        assert_eq!(error.code, Code::NotFound, "{way:?}: {}", error.message);

        let diff = platform.configuration_diff(&alpha(), 1, None).await.expect("they are kept");
        let keys: Vec<_> = diff.differences.iter().map(|one| (one.key.as_str(), one.kind)).collect();
        let changed = [("region", DifferenceKind::Changed), ("token", DifferenceKind::Added)];
        assert_eq!((diff.from, diff.to, &keys[..]), (1, 2, &changed[..]), "{way:?}");
        assert!(!format!("{diff:?}{revisions:?}").contains(SECRET), "{way:?}");
        let whole = platform.configuration_diff(&alpha(), 0, Some(1)).await.expect("they are kept");
        assert_eq!((whole.from, whole.to, whole.differences.len()), (0, 1, 1), "{way:?}");

        assert_eq!(platform.configuration_rollback(&alpha(), 1).await.expect("it is kept"), 3);
        assert_eq!(fetch(place).await.values, object(json!({"region": "us"})), "{way:?}");
        assert_eq!(seen(place, "region").await, json!("\"us\""), "{way:?}");
        let newest = platform.configuration_revisions(&alpha()).await.expect("they are kept").remove(0);
        assert_eq!((newest.revision, newest.restores), (3, Some(1)), "{way:?}");
        let error = platform.configuration_rollback(&alpha(), 9).await.expect_err("there is none");
        assert_eq!(error.code, Code::NotFound, "{way:?}: {}", error.message);
        let error = platform.configuration_diff(&alpha(), 1, Some(9)).await.expect_err("there is none");
        assert_eq!(error.code, Code::NotFound, "{way:?}");
        let unknown = "nobody".parse().expect("a name");
        let error = platform.configuration_revisions(&unknown).await.expect_err("it is not installed");
        assert_eq!(error.code, Code::PluginNotFound, "{way:?}");
    }

    pub async fn secrets_are_masked_kept_and_rotated(place: &Place, way: Way) {
        configured(place).await;
        set(place, json!({"token": SECRET}), 0).await;
        let hidden = json!({"$secret": "set"});
        let shown = fetch(place).await;
        assert_eq!((&shown.values["token"], &shown.effective["token"]), (&hidden, &hidden), "{way:?}");
        // Sent back, what is shown keeps the secret.
        set(place, json!({"token": hidden, "region": "us"}), 1).await;
        assert_eq!(seen(place, "token").await, json!(format!("\"{SECRET}\"")), "{way:?}");
        let first = place.platform.secrets_rotate().await.expect("there is a key");
        let second = place.platform.secrets_rotate().await.expect("there is a key");
        assert_eq!((first.rewritten, second.rewritten), (2, 2), "{way:?}");
        assert_ne!(first.key, second.key);
        place.platform.plugin_reload(&alpha()).await.expect("it opens its secret");
        assert_eq!(seen(place, "token").await, json!(format!("\"{SECRET}\"")), "{way:?}");
        let audit = place.platform.audit_list(&Default::default()).await.expect("it lists");
        assert!(!format!("{audit:?}{shown:?}").contains(SECRET), "{way:?}");
        // Old keys go for good, so it is written down before.
        let rotations = audit.iter().filter(|record| record.action == "configuration_modify" && record.resource == "*");
        let stages: Vec<_> = rotations.map(|record| record.stage.as_str()).collect();
        assert_eq!(stages, ["done", "intent", "done", "intent"], "{way:?}");
    }

    pub async fn a_backup_gives_the_same_answers(place: &Place, way: Way) {
        configured(place).await;
        set(place, json!({"region": "us", "token": SECRET}), 0).await;
        place.call("alpha.good", json!({"number": 3})).await.expect("it answers");
        let path = place.folder.path().join("one.tar.gz");
        let wanted = BackupRequest { path: path.clone(), include_secret_key: true };
        let report = place.platform.backup_create(wanted.clone()).await.expect("it is made");
        assert!(report.has_secret_key && report.size > 0, "{way:?}: {report:?}");
        let again = place.platform.backup_create(wanted).await.expect_err("it is there");
        assert_eq!(again.code, Code::AlreadyExists, "{way:?}");
        let inside = BackupRequest { path: place.folder.path().join("data/x.tar.gz"), include_secret_key: false };
        let error = place.platform.backup_create(inside).await.expect_err("it would be inside the data directory");
        assert_eq!(error.code, Code::InvalidInput, "{way:?}");
        assert_eq!(verify(&path, silent()).await.expect("it is whole"), report);

        let data = place.folder.path().join("restored");
        assert_eq!(restore(&path, &data, silent()).await.expect("it is restored"), report);
        let options = HostOptions { data, search_paths: Vec::new() };
        let restored: Arc<dyn Platform> = Arc::new(Host::open(options).await.expect("it opens").session());
        let here = &place.platform;
        assert_eq!(restored.plugin_list().await, here.plugin_list().await, "{way:?}");
        assert_eq!(restored.plugin_info(&alpha()).await, here.plugin_info(&alpha()).await, "{way:?}");
        assert_eq!(restored.configuration_fetch(&alpha()).await, here.configuration_fetch(&alpha()).await, "{way:?}");
        let names = async |platform: &dyn Platform| {
            let keys = platform.key_list().await.expect("it lists");
            keys.into_iter().map(|key| key.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&*restored).await, names(&**here).await, "{way:?}");
        let runs = RecordQuery { until: Some(report.created_at), ..RecordQuery::default() };
        assert_eq!(restored.run_list(&runs).await, here.run_list(&runs).await, "{way:?}");
        let token = call(&*restored, "alpha.setting", json!({"key": "token"})).await.expect("it answers");
        assert_eq!(token, seen(place, "token").await, "{way:?}");
        restored.close().await.expect("all is written");
    }

    pub async fn records_are_filtered(place: &Place, way: Way) {
        place.install(&place.package("alpha", "1.0.0", "")).await.expect("it is installed");
        place.install(&place.package("beta", "1.0.0", "")).await.expect("it is installed");
        place.call("alpha.log", json!({"lines": 2})).await.expect("it answers");
        place.call("alpha.good", json!({"number": 1})).await.expect("it answers");
        place.call("beta.print", json!({"text": "On Standard Output\n", "times": 1})).await.expect("it answers");
        place.call("beta.trap", json!({})).await.expect_err("it traps");
        let any = RecordQuery::default;
        let runs =
            async |query: RecordQuery| -> Vec<RunEntry> { place.platform.run_list(&query).await.expect("lists") };
        let names = |runs: &[RunEntry]| runs.iter().map(|run| run.function.to_string()).collect::<Vec<_>>();
        let all = runs(any()).await;
        assert_eq!(names(&all), ["alpha.log", "alpha.good", "beta.print", "beta.trap"], "{way:?}: the oldest first");
        assert_eq!(all[3].code, Some(Code::Trapped));
        assert_eq!(names(&runs(RecordQuery { limit: 2, ..any() }).await), ["beta.print", "beta.trap"], "{way:?}");
        let of_alpha = RecordQuery { plugin: Some(alpha()), ..any() };
        assert_eq!(names(&runs(of_alpha.clone()).await), ["alpha.log", "alpha.good"], "{way:?}");
        let good = RecordQuery { function: "good".parse().ok(), ..of_alpha };
        assert_eq!(names(&runs(good).await), ["alpha.good"], "{way:?}");
        let later = RecordQuery { since: Some(all[1].started_at), until: Some(all[3].started_at), ..any() };
        assert_eq!(names(&runs(later).await), ["alpha.good", "beta.print"], "{way:?}");
        assert_eq!(names(&runs(RecordQuery { failed: true, ..any() }).await), ["beta.trap"], "{way:?}");
        let failed = RecordQuery { failed: true, plugin: Some(alpha()), ..any() };
        assert_eq!(names(&runs(failed).await), Vec::<String>::new(), "{way:?}");

        let logs =
            async |query: RecordQuery| -> Vec<LogEntry> { place.platform.log_list(&query).await.expect("lists") };
        let printed = logs(RecordQuery { contains: Some("standard OUTPUT".to_owned()), ..any() }).await;
        assert_eq!((printed.len(), printed[0].plugin.as_str()), (1, "beta"), "{way:?}");
        assert_eq!(logs(RecordQuery { level: Some("error".to_owned()), ..any() }).await, [], "{way:?}");
        assert_eq!(
            logs(RecordQuery { correlation: Some(all[0].correlation.clone()), plugin: Some(alpha()), ..any() })
                .await
                .len(),
            2
        );
        for wrong in [
            RecordQuery { level: Some("loud".to_owned()), ..any() },
            RecordQuery { correlation: Some("nonsense".to_owned()), ..any() },
        ] {
            let (of_logs, of_runs) = (place.platform.log_list(&wrong).await, place.platform.run_list(&wrong).await);
            let codes = [of_logs.expect_err("it is wrong").code, of_runs.expect_err("it is wrong").code];
            assert_eq!(codes, [Code::InvalidUsage; 2], "{way:?}");
        }
    }

    pub async fn as_many_records_are_listed_as_are_asked_for(place: &Place, way: Way) {
        let talkative = place.package("alpha", "1.0.0", "[limits]\nlog-lines = 5000\n");
        place.install(&talkative).await.expect("it is installed");
        place.call("alpha.log", json!({"lines": 2_500})).await.expect("it answers");
        let logs =
            async |query: RecordQuery| -> Vec<LogEntry> { place.platform.log_list(&query).await.expect("lists") };
        let limited = |limit| RecordQuery { limit, ..RecordQuery::default() };
        let all = logs(limited(u32::MAX)).await;
        assert_eq!((all.len(), all.is_sorted_by_key(|line| line.at)), (2_500, true), "{way:?}");
        assert_eq!(logs(limited(2_300)).await, all[200..], "{way:?}: the newest");
        assert_eq!(logs(limited(0)).await.len(), 100, "{way:?}");
        let middle = RecordQuery { since: Some(all[300].at), until: Some(all[1_900].at), ..limited(10_000) };
        assert_eq!(logs(middle).await, all[300..1_900], "{way:?}");
        assert_eq!(place.platform.run_list(&limited(5_000)).await.expect("it lists").len(), 1, "{way:?}");
    }

    pub async fn runs_are_summed_up(place: &Place, way: Way) {
        place.install(&place.package("alpha", "1.0.0", "")).await.expect("it is installed");
        place.install(&place.package("beta", "1.0.0", "")).await.expect("it is installed");
        for number in 0..3 {
            place.call("alpha.good", json!({"number": number})).await.expect("it answers");
        }
        place.call("beta.good", json!({"number": 1})).await.expect("it answers");
        place.call("beta.trap", json!({})).await.expect_err("it traps");
        let ask = async |query: UsageQuery| place.platform.run_usage(&query).await.expect("it adds up");
        let any = UsageQuery::default;
        let report = ask(any()).await;
        let found: Vec<_> = report.groups.iter().map(|group| (group.function.clone(), group.calls)).collect();
        let of = |name: &str, calls: u64| (name.parse::<FunctionRef>().ok(), calls);
        assert_eq!(found, [of("alpha.good", 3), of("beta.good", 1), of("beta.trap", 1)], "{way:?}");
        assert_eq!((&report.by[..], report.truncated), (&[UsageKey::Function][..], false), "{way:?}");
        assert!(report.recorded_since.is_some_and(|oldest| oldest > report.since), "{way:?}");
        assert_eq!((report.until - report.since).whole_hours(), 24, "{way:?}");

        let keys = |keys: &[UsageKey]| Some(keys.iter().copied().collect::<UsageKeys>());
        let caller = if matches!(way, Way::Http) { "key administrator" } else { "local" };
        let of_beta = UsageQuery { plugin: "beta".parse().ok(), caller: Some(caller.to_owned()), ..any() };
        let by = keys(&[UsageKey::Outcome, UsageKey::Caller]);
        let groups = ask(UsageQuery { by, ..of_beta.clone() }).await.groups;
        let outcomes: Vec<_> = groups.iter().map(|group| group.outcome.as_deref().expect("there is one")).collect();
        assert_eq!(outcomes, ["ok", "trapped"], "{way:?}");
        assert!(groups.iter().all(|group| group.caller.as_deref() == Some(caller) && group.plugin.is_none()));
        assert_eq!((groups[0].failures, groups[1].failures), (0, 1), "{way:?}");
        assert!(groups.iter().all(|group| group.max_us >= group.mean_us && group.total_us > 0), "{groups:?}");
        let nobody = UsageQuery { caller: Some("nobody".to_owned()), ..any() };
        assert_eq!(ask(nobody).await.groups, [], "{way:?}");
        let hourly = ask(UsageQuery { by: keys(&[UsageKey::Hour]), limit: 1, ..any() }).await.groups;
        let from = hourly[0].from.expect("an hour has a beginning");
        assert_eq!((from.minute(), from.second(), from.nanosecond()), (0, 0, 0), "{way:?}");
        assert!(ask(UsageQuery { limit: 1, ..any() }).await.truncated, "{way:?}");
        let wrong = UsageQuery { since: Some(report.until), until: Some(report.since), ..any() };
        let error = place.platform.run_usage(&wrong).await.expect_err("it ends before it begins");
        assert_eq!(error.code, Code::InvalidInput, "{way:?}");
    }

    pub async fn statistics_count_each_function(place: &Place, way: Way) {
        place.install(&place.package("alpha", "1.0.0", "")).await.expect("it is installed");
        place.install(&place.package("beta", "1.0.0", "")).await.expect("it is installed");
        for number in 0..5 {
            place.call("alpha.good", json!({"number": number})).await.expect("it answers");
        }
        place.call("beta.trap", json!({})).await.expect_err("it traps");
        place.call("beta.good", json!({"number": "x"})).await.expect_err("it does not fit");
        let report = place.platform.plugin_statistics(None).await.expect("it counts");
        let of = |name: &str| report.functions.iter().find(|one| one.function == name).expect("it was called");
        assert_eq!((of("alpha.good").calls, of("beta.trap").failures, of("beta.good").refused), (5, 1, 1), "{way:?}");
        assert_eq!((report.total.calls, report.plugins["active"]), (7, 2), "{way:?}");
        assert!(of("alpha.good").p50_us > 0 && of("alpha.good").p99_us <= report.total.max_us, "{way:?}");
        let beta = "beta".parse().expect("a name");
        let report = place.platform.plugin_statistics(Some(&beta)).await.expect("it counts");
        assert_eq!((report.functions.len(), report.total.calls, report.plugins["active"]), (2, 2, 1), "{way:?}");
        let metrics = place.platform.metrics().await.expect("it counts");
        let good = metrics.functions.iter().find(|one| one.statistics.function == "alpha.good").expect("it was called");
        assert_eq!(good.latency.last().expect("there are buckets").calls, 5, "{way:?}");
        place.platform.plugin_uninstall(&beta).await.expect("it is removed");
        let error = place.platform.plugin_statistics(Some(&beta)).await.expect_err("it is gone");
        assert_eq!(error.code, Code::PluginNotFound, "{way:?}");
        assert_eq!(place.platform.plugin_statistics(None).await.expect("it counts").total.calls, 5, "{way:?}");
    }

    pub async fn several_plugins_are_seen_to_at_once(place: &Place, way: Way) {
        for name in ["alpha", "beta"] {
            place.install(&place.package(name, "1.0.0", "")).await.expect("it is installed");
        }
        let missing = Some(Code::PluginNotFound);
        let all = ["alpha", "gamma", "beta"];
        assert_eq!(bulk(place, way, "disable", &all).await, [None, missing, None], "{way:?}");
        let inactive = Some(Code::PluginNotActive);
        assert_eq!(bulk(place, way, "reload", &all).await, [inactive, missing, inactive], "{way:?}");
        assert_eq!(bulk(place, way, "enable", &all).await, [None, missing, None], "{way:?}");
        assert_eq!(place.call("beta.good", json!({"number": 3})).await.expect("it answers"), json!(3));
        assert_eq!(bulk(place, way, "uninstall", &all).await, [None, missing, None], "{way:?}");
        assert_eq!(place.platform.plugin_list().await.expect("it lists"), []);
    }
}
