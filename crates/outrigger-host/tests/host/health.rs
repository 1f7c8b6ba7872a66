//! The health monitor with a real component, which is as well as it was told to be. The clock is moved by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use outrigger_api::{
    AuditQuery, Code, HookTraceInfo, HookTraceQuery, InstallRequest, PackageSource, Platform, PluginHealth, PluginName,
    Plugins, RecordQuery, SubscriptionRequest,
};
use outrigger_engine::health::{HealthOptions, Jitter};
use outrigger_engine::jobs::Clock;
use outrigger_host::{Host, HostOptions, ServerWork};
use outrigger_testkit::components;
use serde_json::json;
use time::OffsetDateTime;

use crate::bench::{call, manifest_text};

/// The time from one check to the next, with a jitter of 0.
const INTERVAL: i64 = 27;

/// A check of its own may take this long; one that never ends takes it.
const MANIFEST: &str = "[health]\ntimeout = \"1s\"\nmax-restarts = 2\n";

const HEALTHY: u8 = 0;
const DEGRADED: u8 = 1;
const UNHEALTHY: u8 = 2;
const TRAPS: u8 = 3;
const HANGS: u8 = 4;
const CANNOT_START: u8 = 5;

/// A server's host without the server.
struct Ward {
    folder: tempfile::TempDir,
    seconds: Arc<AtomicI64>,
    platform: Arc<dyn Platform>,
}

impl Ward {
    /// With the plugin `moody`, healthy after its first check.
    async fn new() -> Self {
        let (folder, seconds) = (tempfile::tempdir().expect("a temporary folder"), Arc::default());
        let platform = open(&folder, &seconds).await;
        let ward = Self { folder, seconds, platform };
        ward.install("moody", "1.0.0", &components::moody()).await;
        assert_eq!(ward.checked(0).await.status, "healthy");
        ward
    }

    async fn install(&self, name: &str, version: &str, component: &[u8]) {
        let path = self.folder.path().join(format!("{name}-{version}"));
        std::fs::create_dir_all(&path).expect("a folder");
        std::fs::write(path.join("plugin.toml"), manifest_text(name, version, MANIFEST)).expect("a manifest");
        std::fs::write(path.join("x.wasm"), component).expect("a component");
        let request = InstallRequest::new(PackageSource::Path(path));
        self.platform.plugin_install(request).await.expect("it is installed");
    }

    async fn feels(&self, mood: u8) {
        call(&self.platform, "moody.feel", json!({"mood": mood})).await.expect("it answers");
    }

    async fn known(&self) -> PluginHealth {
        let mut all = self.platform.plugin_health_list().await.expect("it lists").into_iter();
        all.find(|one| one.plugin == moody()).expect("it is installed")
    }

    /// How it is, once so much time has passed and nothing is due any more.
    async fn checked(&self, seconds: i64) -> PluginHealth {
        let now = moment(self.seconds.fetch_add(seconds, Ordering::SeqCst) + seconds);
        let waits = |at: Option<OffsetDateTime>| at.is_none_or(|at| at > now);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let known = self.known().await;
            let is_watched = known.next_check_at.is_some() || known.state == "disabled";
            if is_watched && waits(known.next_check_at) && waits(known.next_restart_at) {
                return known;
            }
            assert!(Instant::now() < deadline, "it is not looked after: {known:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets it be checked so often, and gives the status after each check.
    async fn statuses(&self, checks: usize) -> Vec<String> {
        let mut statuses = Vec::new();
        for _ in 0..checks {
            statuses.push(self.checked(INTERVAL).await.status);
        }
        statuses
    }

    /// Lets the time of its restart come.
    async fn restarted(&self) -> PluginHealth {
        let at = self.known().await.next_restart_at.expect("it is to be restarted");
        let wait = (at - moment(self.seconds.load(Ordering::SeqCst))).whole_seconds();
        self.checked(wait).await
    }

    /// The doctor's finding about its health.
    async fn diagnosis(&self) -> String {
        let report = self.platform.doctor().await.expect("it looks");
        let check = report.checks.into_iter().find(|check| check.name.starts_with("health")).expect("it is looked at");
        format!("{}: {} ({})", check.name, check.message, check.hint.unwrap_or_default())
    }

    /// The events that were told, the oldest first, with what became of their subscribers. There are so many.
    async fn told(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let traces = self.platform.hook_traces(&HookTraceQuery::default()).await.expect("it lists");
            if traces.len() >= count {
                let outcomes = |trace: &HookTraceInfo| {
                    trace.callbacks.iter().map(|callback| callback.outcome.clone()).collect::<Vec<_>>().join(", ")
                };
                return traces.iter().rev().map(|trace| format!("{}: {}", trace.hook, outcomes(trace))).collect();
            }
            assert!(Instant::now() < deadline, "{traces:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn open(folder: &tempfile::TempDir, seconds: &Arc<AtomicI64>) -> Arc<dyn Platform> {
    let options = HostOptions { data: folder.path().join("data"), search_paths: Vec::new() };
    let now = Arc::clone(seconds);
    let health = HealthOptions {
        period: Duration::from_millis(1),
        clock: Clock::new(move || moment(now.load(Ordering::SeqCst))),
        jitter: Jitter::new(|| 0.0),
        ..HealthOptions::default()
    };
    let work = ServerWork { health, ..ServerWork::default() };
    let host = Host::open_alone_with(options, work).await.expect("the data directory opens");
    Arc::new(host.session())
}

fn moody() -> PluginName {
    "moody".parse().expect("a name")
}

fn moment(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(1_800_000_000 + seconds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_three_times_in_a_row_is_unhealthy_until_it_succeeds_twice() {
    for (mood, reason) in [(UNHEALTHY, "mood: as it was told"), (TRAPS, "`unreachable`"), (HANGS, "")] {
        let ward = Ward::new().await;
        ward.feels(mood).await;
        assert_eq!(ward.statuses(3).await, ["healthy", "healthy", "unhealthy"], "{mood}");
        let sick = ward.known().await;
        assert_eq!((sick.consecutive_failures, sick.restarts), (3, 0), "{sick:?}");
        let last = sick.last_check.expect("it was checked");
        let said = last.reason.expect("there is a reason");
        assert!(last.outcome == "failed" && said.contains(reason), "{mood}: {said}");
        assert!(sick.changes[0].reason.ends_with(&said), "{:?}", sick.changes);
        assert!(mood != HANGS || last.duration_us >= 900_000, "it took {} us", last.duration_us);
        // However sick it is, calls are none of its concern.
        assert_eq!(call(&ward.platform, "moody.good", json!({"number": 3})).await.expect("it answers"), json!(3));
        let told = ward.diagnosis().await;
        assert!(told.starts_with("health of moody: it is unhealthy: ") && told.contains(reason), "{told}");
        // Asked just now it says the same, beside what is known of it.
        let asked = ward.platform.plugin_health(&moody()).await.expect("it says");
        assert_eq!((asked.status.as_str(), &asked.monitor.status), ("unhealthy", &sick.status), "{asked:?}");

        ward.feels(HEALTHY).await;
        // The restart comes first: it is due before the next check, and changes nothing by itself.
        assert_eq!(ward.restarted().await.restarts, 1);
        assert_eq!(ward.statuses(2).await, ["unhealthy", "healthy"], "{mood}");
        assert_eq!(ward.known().await.next_restart_at, None);
        ward.platform.close().await.expect("all is written");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn degraded_is_a_status_of_its_own_and_nothing_is_done_about_it() {
    let ward = Ward::new().await;
    ward.feels(DEGRADED).await;
    assert_eq!(ward.statuses(4).await, ["healthy", "healthy", "degraded", "degraded"]);
    let known = ward.known().await;
    assert_eq!((known.next_restart_at, known.restarts_total, known.consecutive_failures), (None, 0, 0));
    assert!(ward.diagnosis().await.starts_with("health of moody: it is degraded"), "{}", ward.diagnosis().await);
    ward.feels(HEALTHY).await;
    assert_eq!(ward.statuses(2).await, ["degraded", "healthy"]);
    assert_eq!(ward.diagnosis().await, "health: no plugin is known to be unwell ()");
    ward.platform.plugin_disable(&moody()).await.expect("it is disabled");
    assert_eq!(ward.diagnosis().await, "health: no plugin is known to be unwell ()", "that was meant");
    ward.platform.close().await.expect("all is written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_restart_helps_is_disabled_and_whoever_wants_to_know_is_told() {
    let ward = Ward::new().await;
    ward.install("callbacks", "1.0.0", &components::callbacks()).await;
    // A condition sees what the event carries.
    let why = "event.reason.endsWith('mood: as it was told')";
    for (hook, condition) in [
        ("plugin.health-changed", "event.from == 'healthy' && event.to == 'unhealthy'"),
        ("plugin.restarted", "event.reason.startsWith('restart 1 of 2')"),
        ("plugin.disabled", "event.reason.startsWith('2 restarts did not help')"),
    ] {
        let condition = format!("event.plugin == 'moody' && {condition} && {why}");
        let request = json!({"hook": hook, "function": "callbacks.append-a", "condition": condition});
        let request: SubscriptionRequest = serde_json::from_value(request).expect("a request");
        ward.platform.subscription_create(request).await.expect("it fits");
    }
    ward.feels(UNHEALTHY).await;
    ward.statuses(3).await;
    // One after the other: events that happen at once may be told in any order.
    ward.told(1).await;
    for (wait, told) in [(10, 2), (20, 3)] {
        let before = ward.seconds.load(Ordering::SeqCst);
        ward.restarted().await;
        ward.told(told).await;
        assert_eq!(ward.seconds.load(Ordering::SeqCst) - before, wait);
        ward.checked(INTERVAL).await;
    }
    let known = ward.known().await;
    let reason = "2 restarts did not help; the plugin is still unhealthy: mood: as it was told";
    assert_eq!((known.state.as_str(), known.reason.as_deref()), ("disabled", Some(reason)), "{known:?}");
    assert_eq!((known.status.as_str(), known.next_check_at, known.restarts_total), ("unhealthy", None, 2));
    let told = ward.diagnosis().await;
    let expected = format!("health of moody: the health monitor disabled it: {reason} (fix the cause; ");
    assert!(told.starts_with(&expected) && told.contains("plugin enable moody"), "{told}");
    let error = call(&ward.platform, "moody.good", json!({"number": 3})).await.expect_err("it takes no calls");
    assert!(error.code == Code::PluginNotActive && error.message.contains(reason), "{error:?}");
    let expected =
        ["plugin.health-changed: done", "plugin.restarted: done", "plugin.restarted: skipped", "plugin.disabled: done"];
    assert_eq!(ward.told(4).await, expected);

    // Two restarts, and an end, which is written down last.
    let query = AuditQuery { actor: Some("health monitor".to_owned()), ..AuditQuery::default() };
    let deadline = Instant::now() + Duration::from_secs(10);
    while ward.platform.audit_list(&query).await.expect("it lists").len() < 3 {
        assert!(Instant::now() < deadline, "not all is in the audit log");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(ward.platform.audit_verify().await.expect("it is read").whole);
    let lines = ward.platform.log_list(&RecordQuery::default()).await.expect("it lists");
    assert!(lines.last().expect("a line").message.contains("the plugin was disabled: 2 restarts"), "{lines:?}");
    let metrics = ward.platform.metrics().await.expect("it counts");
    let counted = metrics.health.iter().find(|one| one.plugin == moody()).expect("it was looked at");
    assert_eq!((counted.status.as_str(), counted.restarts), ("unhealthy", 2));

    ward.platform.plugin_enable(&moody()).await.expect("it is enabled");
    let known = ward.checked(0).await;
    assert_eq!((known.status.as_str(), known.restarts, known.consecutive_failures), ("unknown", 0, 1));
    assert_eq!(known.reason, None);
    ward.platform.close().await.expect("all is written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_fails_leaves_what_was_there_and_counts() {
    let ward = Ward::new().await;
    ward.feels(UNHEALTHY).await;
    ward.statuses(3).await;
    // It feels fine from now on, only that it could not be brought up once more.
    ward.feels(CANNOT_START).await;
    let known = ward.restarted().await;
    let said = known.last_check.expect("a restart counts as a check").reason.expect("there is a reason");
    assert!(said.contains("could not be restarted") && said.contains("not in the mood"), "{said}");
    assert_eq!((known.state.as_str(), known.consecutive_failures), ("active", 4));
    assert_eq!(call(&ward.platform, "moody.good", json!({"number": 3})).await.expect("it answers"), json!(3));
    assert_eq!(ward.restarted().await.state, "disabled");
    ward.platform.close().await.expect("all is written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_begins_anew() {
    let ward = Ward::new().await;
    ward.feels(UNHEALTHY).await;
    ward.statuses(3).await;
    ward.restarted().await;
    ward.feels(HEALTHY).await;
    ward.install("moody", "1.1.0", &components::moody()).await;
    let known = ward.checked(0).await;
    assert_eq!((known.status.as_str(), known.restarts, known.restarts_total), ("healthy", 0, 1));
    let changes: Vec<_> = known.changes.iter().map(|change| format!("{} {}", change.from, change.to)).collect();
    assert_eq!(changes, ["unhealthy unknown", "healthy unhealthy"]);
    ward.platform.close().await.expect("all is written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_outlives_the_server() {
    let ward = Ward::new().await;
    ward.feels(UNHEALTHY).await;
    ward.statuses(2).await;
    let Ward { folder, seconds, platform } = ward;
    platform.close().await.expect("all is written");
    drop(platform);
    // A command without a server sees it too, and checks nothing.
    let options = HostOptions { data: folder.path().join("data"), search_paths: Vec::new() };
    let host = Host::open(options).await.expect("the data directory opens");
    let known = host.session().plugin_health_list().await.expect("it lists").remove(0);
    assert_eq!((known.consecutive_failures, known.next_check_at), (2, None));
    drop(host);

    let platform = open(&folder, &seconds).await;
    let ward = Ward { folder, seconds, platform };
    // In trouble, it is looked at although nobody has called it; that is the third time.
    assert_eq!(ward.checked(0).await.status, "unhealthy");
    ward.platform.close().await.expect("all is written");
}
