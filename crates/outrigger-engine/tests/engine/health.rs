//! The health monitor: what it looks at and when, what it does, and what it leaves alone. The clock is moved by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use outrigger_contract::{Code, PluginName};
use outrigger_engine::health::machine::Standing;
use outrigger_engine::health::{HealthOptions, HealthView, Jitter, Status};
use outrigger_engine::jobs::Clock;
use outrigger_engine::lifecycle::PluginState;
use outrigger_engine::store::{AuditFilter, RecordFilter};
use serde_json::json;
use time::OffsetDateTime;

use crate::bench::{Bench, installation, until};

/// The time from one check to the next: with a jitter of 0, a tenth less than the interval.
const INTERVAL: i64 = 27;

/// A bench whose engine watches over its plugins.
struct Ward {
    bench: Bench,
    seconds: Arc<AtomicI64>,
}

impl Ward {
    async fn over(bench: Bench, seconds: Arc<AtomicI64>) -> Self {
        let now = Arc::clone(&seconds);
        let options = HealthOptions {
            parallel: 2,
            period: Duration::from_millis(1),
            clock: Clock::new(move || moment(now.load(Ordering::SeqCst))),
            jitter: Jitter::new(|| 0.0),
        };
        bench.engine.start_health(options).await.expect("the store works");
        Self { bench, seconds }
    }

    /// With the plugin `demo`, healthy after its first check.
    async fn demo(manifest: &str) -> Self {
        let bench = Bench::new().await;
        bench.demo(manifest).await;
        let ward = Self::over(bench, Arc::default()).await;
        until("it is checked", || ward.checks() == 1).await;
        assert_eq!(ward.settled().await.record.standing.status, Status::Healthy);
        ward
    }

    /// Another engine over the same store, as after `kill -9`: nothing of the first one is told to end. There, too, checks
    /// fail.
    async fn killed(self) -> Self {
        let Self { bench, seconds } = self;
        let next = bench.restarted().await;
        drop(bench);
        next.runtime.fail("demo:health");
        Self::over(next, seconds).await
    }

    fn now(&self) -> i64 {
        self.seconds.load(Ordering::SeqCst)
    }

    fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    fn checks(&self) -> usize {
        self.bench.runtime.count("demo:health")
    }

    fn loads(&self) -> usize {
        self.bench.runtime.count("demo:load")
    }

    async fn view(&self) -> HealthView {
        self.bench.engine.health_of(&demo()).await.expect("it is installed")
    }

    fn state(&self) -> (PluginState, Option<String>) {
        let (record, _) = self.bench.engine.plugin(&demo()).expect("it is installed");
        (record.state, record.reason)
    }

    /// How it is, once nothing is due any more.
    async fn settled(&self) -> HealthView {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let view = self.view().await;
            let waits = |at: Option<OffsetDateTime>| at.is_none_or(|at| at > moment(self.now()));
            let is_watched = view.next_check.is_some() || !self.state().0.is_enabled();
            if is_watched && waits(view.next_check) && waits(view.record.standing.restart_at) {
                return view;
            }
            assert!(Instant::now() < deadline, "it is not looked after: {view:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Lets the time of the next check come, and gives what it made of the plugin.
    async fn check(&self) -> Standing {
        let before = self.checks();
        self.pass(INTERVAL);
        let standing = self.settled().await.record.standing;
        assert_eq!(self.checks(), before + 1, "it is checked once");
        standing
    }

    /// Lets the time of the next restart come, and gives how long that took.
    async fn restart(&self) -> i64 {
        let at = self.settled().await.record.standing.restart_at.expect("it is to be restarted");
        let wait = (at - moment(self.now())).whole_seconds();
        let before = self.loads();
        self.pass(wait);
        self.settled().await;
        assert_eq!(self.loads(), before + 1, "it is restarted once");
        wait
    }
}

fn demo() -> PluginName {
    "demo".parse().expect("a name")
}

fn moment(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(1_800_000_000 + seconds)
}

#[tokio::test]
async fn three_failures_make_it_unhealthy_and_two_successes_healthy() {
    let ward = Ward::demo("[health]\nrestart = \"never\"\n").await;
    ward.bench.runtime.fail("demo:health");
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(ward.check().await.status);
    }
    assert_eq!(statuses, [Status::Healthy, Status::Healthy, Status::Unhealthy, Status::Unhealthy]);
    ward.bench.runtime.heal();
    assert_eq!(ward.check().await.status, Status::Unhealthy);
    assert_eq!(ward.check().await.status, Status::Healthy);
    let record = ward.view().await.record;
    let changes: Vec<_> = record.changes.iter().map(|change| (change.from, change.to, &*change.reason)).collect();
    let failed = "3 consecutive checks failed; the last one: health was told to fail";
    let well = "2 consecutive checks were healthy";
    let expected = [(Status::Healthy, Status::Unhealthy, failed), (Status::Unhealthy, Status::Healthy, well)];
    assert_eq!(changes, expected);
    // Told not to restart it, it is only watched.
    assert_eq!((ward.loads(), record.restarts_total, ward.state().0), (1, 0, PluginState::Active));
}

#[tokio::test]
async fn a_check_that_comes_to_nothing_in_between_changes_nothing() {
    let ward = Ward::demo("").await;
    for _ in 0..4 {
        ward.bench.runtime.fail("demo:health");
        assert_eq!(ward.check().await.run.failed, 1);
        assert_eq!(ward.check().await.run.failed, 2);
        ward.bench.runtime.heal();
        assert_eq!(ward.check().await.run.failed, 0);
    }
    assert_eq!((ward.loads(), ward.view().await.record.changes), (1, vec![]));
}

#[tokio::test]
async fn what_stays_sick_is_restarted_ever_more_slowly_and_then_disabled() {
    let ward = Ward::demo("[health]\nmax-restarts = 3\n").await;
    ward.bench.runtime.fail("demo:health");
    for _ in 0..3 {
        ward.check().await;
    }
    let mut waits = Vec::new();
    for _ in 0..3 {
        waits.push(ward.restart().await);
        ward.check().await;
    }
    assert_eq!(waits, [10, 20, 40]);
    let (state, reason) = ward.state();
    let reason = reason.expect("there is a reason");
    assert_eq!(state, PluginState::Disabled);
    assert_eq!(reason, "3 restarts did not help; the plugin is still unhealthy: health was told to fail");
    let error = ward.bench.call("demo.version", json!({})).await.expect_err("it takes no calls");
    assert!(error.code == Code::PluginNotActive && error.message.ends_with(&reason), "{}", error.message);

    // It is left alone, for however long.
    let (checks, loads) = (ward.checks(), ward.loads());
    ward.pass(100_000);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((ward.checks(), ward.loads(), ward.view().await.next_check), (checks, loads, None));

    // Each step is in the audit log and in the plugin's own.
    ward.bench.engine.flush().await;
    let filter = AuditFilter { actor: Some("health monitor".to_owned()), ..AuditFilter::default() };
    let mut acts = ward.bench.store.audit_list(&filter).await.expect("the store works");
    acts.reverse();
    let states = acts.iter().map(|act| act.entry().expect("an entry")).map(|entry| {
        assert_eq!((entry.action.as_str(), entry.resource.as_str(), entry.code), ("plugin_modify", "demo", None));
        (entry.decision.expect("a reason"), entry.after.expect("where it stands")["state"].clone())
    });
    let states: Vec<_> = states.collect();
    assert_eq!(states.len(), 4);
    assert_eq!(states[0].1, "active");
    assert!(states[0].0.starts_with("restart 1 of 3; the plugin is unhealthy: "), "{}", states[0].0);
    assert_eq!(states[3], (reason.clone(), json!("disabled")));
    let lines = ward.bench.store.log_list(&RecordFilter::default()).await.expect("the store works");
    assert!(lines[0].message.ends_with(&reason) && lines.len() == 5, "{lines:?}");

    // An administrator has the last word.
    ward.bench.runtime.heal();
    ward.bench.engine.enable(&demo()).await.expect("it is enabled");
    let view = ward.settled().await;
    assert_eq!((view.record.standing.restarts, view.record.restarts_total), (vec![], 3));
    ward.check().await;
    assert_eq!(ward.view().await.record.standing.status, Status::Healthy);
}

#[tokio::test]
async fn what_counts_is_kept_when_the_server_is_killed() {
    let ward = Ward::demo("[health]\nmax-restarts = 2\n").await;
    ward.bench.runtime.fail("demo:health");
    ward.check().await;
    ward.check().await;
    let mut ward = ward.killed().await;
    // It is in trouble, and is looked at although nobody calls it.
    until("it is checked", || ward.checks() == 1).await;
    assert_eq!(ward.settled().await.record.standing.status, Status::Unhealthy);
    for wait in [10, 20] {
        assert_eq!(ward.restart().await, wait);
        ward = ward.killed().await;
        until("it is checked", || ward.checks() == 1).await;
        ward.settled().await;
    }
    assert_eq!(ward.state().0, PluginState::Disabled);
    assert_eq!(ward.view().await.record.restarts_total, 2);
}

#[tokio::test]
async fn what_cannot_be_brought_up_for_a_call_is_looked_after_too() {
    let bench = Bench::new().await;
    bench.demo("[health]\nmax-restarts = 1\n").await;
    let bench = bench.restarted().await;
    bench.runtime.fail("demo:initialize");
    let ward = Ward::over(bench, Arc::default()).await;
    ward.pass(1_000);
    assert_eq!(ward.view().await.next_check, None, "nobody called it");
    let error = ward.bench.call("demo.version", json!({})).await.expect_err("it cannot be brought up");
    assert_eq!(error.code, Code::LifecycleFailed);
    let seen = async || ward.settled().await.record.standing;
    assert_eq!(seen().await.run.failed, 1);
    for _ in 0..2 {
        ward.pass(INTERVAL);
        ward.settled().await;
    }
    assert_eq!(seen().await.status, Status::Unhealthy);
    let loads = ward.loads();
    ward.pass(10);
    ward.settled().await;
    assert_eq!(ward.loads(), loads + 1);
    // A restart that fails is as good as a check that does, and there was only one.
    let (state, reason) = ward.state();
    assert_eq!(state, PluginState::Disabled);
    assert!(reason.expect("a reason").contains("could not be restarted: `initialize` of the plugin"));
}

#[tokio::test]
async fn what_nobody_called_is_not_loaded_and_costs_nothing() {
    let bench = Bench::new().await;
    for number in 0..1_000 {
        let name = format!("plugin-{number}");
        bench.engine.install(installation(&name, "1.0.0", "")).await.expect("it is installed");
    }
    let bench = bench.restarted().await;
    let ward = Ward::over(bench, Arc::default()).await;
    for _ in 0..20 {
        ward.pass(INTERVAL);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for number in 0..1_000 {
        assert_eq!(ward.bench.runtime.count(&format!("plugin-{number}:load")), 0);
    }
    assert_eq!(ward.bench.store.health_list().await.expect("the store works"), []);
    // One that is called is looked at from then on, and what is well is written down once.
    ward.bench.call("plugin-7.version", json!({})).await.expect("it answers");
    until("it is checked", || ward.bench.runtime.count("plugin-7:health") == 1).await;
    for checks in 2..6 {
        ward.pass(INTERVAL);
        until("it is checked again", || ward.bench.runtime.count("plugin-7:health") == checks).await;
    }
    let records = ward.bench.store.health_list().await.expect("the store works");
    assert_eq!((records.len(), records[0].standing.run.healthy), (1, 2), "what is well is not written again and again");
}

#[tokio::test]
async fn a_check_that_hangs_has_failed_and_holds_nothing_up() {
    let ward = Ward::demo("[health]\ntimeout = \"20ms\"\n[limits]\nconcurrency = 1\n").await;
    ward.bench.runtime.fail("demo:health hangs");
    ward.pass(INTERVAL);
    until("it is being checked", || ward.bench.runtime.waiting() == 1).await;
    // There is room for one call, and the check is not one.
    ward.bench.call("demo.version", json!({})).await.expect("it answers meanwhile");
    let view = ward.settled().await;
    let last = view.record.last_check.expect("it was checked");
    assert_eq!(last.reason.as_deref(), Some("the check of `demo` was not done within 20ms"));
    assert_eq!(view.record.standing.run.failed, 1);
    ward.check().await;
    assert_eq!(ward.check().await.status, Status::Unhealthy);
    assert_eq!(ward.bench.runtime.waiting(), 0);
}

#[tokio::test]
async fn so_many_are_looked_after_at_once_and_no_more() {
    let bench = Bench::new().await;
    let names: Vec<_> = (0..6).map(|number| format!("plugin-{number}")).collect();
    for name in &names {
        let installed = bench.engine.install(installation(name, "1.0.0", "[health]\ntimeout = \"50ms\"\n"));
        installed.await.expect("it is installed");
        bench.runtime.fail(&format!("{name}:health hangs"));
    }
    let ward = Ward::over(bench, Arc::default()).await;
    let (mut most, checked) = (0, |name: &String| ward.bench.runtime.count(&format!("{name}:health")) == 1);
    until("all are checked", || {
        most = most.max(ward.bench.runtime.waiting());
        names.iter().all(checked)
    })
    .await;
    assert_eq!(most, 2);
}

#[tokio::test]
async fn s22_checks_that_hang_do_not_delay_those_of_others() {
    let bench = Bench::new().await;
    for name in (0..4).map(|number| format!("plugin-{number}")) {
        let limits = "[health]\ntimeout = \"1m\"\n[limits]\ntimeout = \"1m\"\n";
        bench.engine.install(installation(&name, "1.0.0", limits)).await.expect("it is installed");
        bench.runtime.fail(&format!("{name}:health hangs"));
    }
    bench.demo("").await;
    let ward = Ward::over(bench, Arc::default()).await;
    for checks in 1..4 {
        until("it is checked", || ward.checks() == checks).await;
        ward.settled().await;
        ward.pass(INTERVAL);
    }
}

#[tokio::test]
async fn what_was_found_before_an_administrator_acted_does_not_count() {
    let ward = Ward::demo("[health]\ntimeout = \"200ms\"\n").await;
    ward.bench.runtime.fail("demo:health hangs");
    ward.pass(INTERVAL);
    until("it is being checked", || ward.bench.runtime.waiting() == 1).await;
    ward.bench.engine.reload(&demo()).await.expect("it is reloaded");
    ward.bench.runtime.heal();
    until("the check has ended", || ward.bench.runtime.waiting() == 0).await;
    until("it is checked anew", || ward.checks() == 3).await;
    let standing = ward.settled().await.record.standing;
    assert_eq!((standing.status, standing.run.failed, standing.run.healthy), (Status::Healthy, 0, 1));
}

#[tokio::test]
async fn an_end_waits_for_no_check() {
    let ward = Ward::demo("[health]\ntimeout = \"1m\"\n[limits]\ntimeout = \"1m\"\n").await;
    ward.bench.runtime.fail("demo:health hangs");
    ward.pass(INTERVAL);
    until("it is being checked", || ward.bench.runtime.waiting() == 1).await;
    let started = Instant::now();
    ward.bench.engine.shutdown().await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(ward.view().await.record.standing.run.failed, 0);
}

#[tokio::test]
async fn what_is_gone_is_forgotten() {
    let ward = Ward::demo("").await;
    ward.bench.runtime.fail("demo:health");
    ward.check().await;
    ward.bench.engine.uninstall(&demo()).await.expect("it is removed");
    ward.bench.demo("").await;
    let standing = ward.settled().await.record.standing;
    assert_eq!(standing.run.failed, 1, "only the check since then");
    assert_eq!(
        ward.bench.engine.health_of(&"other".parse().expect("a name")).await.expect_err("it is not there").code,
        Code::PluginNotFound
    );
}
