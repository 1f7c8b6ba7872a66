//! Looks at a plugin once, and shows what is known of all of them.

use std::time::{Duration, Instant};

use outrigger_contract::manifest::HealthPolicy;
use outrigger_contract::{Code, PluginName};

use super::machine::Grade;
use super::{HealthRecord, HealthView};
use crate::engine::Engine;
use crate::error::Failure;
use crate::plugins::Slot;
use crate::runtime::{HealthReport, HealthStatus, run_step};
use crate::services::Ground;

/// The result of checking a plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Examination {
    pub grade: Grade,
    /// The problem, if any.
    pub reason: Option<String>,
    /// The plugin's own report. None if it exports no health check, or could not run it.
    pub report: Option<HealthReport>,
    pub duration: Duration,
}

impl Engine {
    /// Looks how a plugin is, now. One that does not report its health is healthy when it can be brought up. What the
    /// monitor knows is not touched.
    ///
    /// # Errors
    /// It is not installed, takes no calls, or could not be looked at for a reason that is not its own.
    pub async fn examine(&self, name: &PluginName) -> Result<Examination, Failure> {
        let started = Instant::now();
        let found = self.ask(name).await;
        let duration = started.elapsed();
        let (grade, reason, report) = match found {
            Ok(None) => (Grade::Healthy, None, None),
            Ok(Some(report)) => (grade(report.status), wrong(&report), Some(report)),
            Err(failure) if is_its_own(failure.code) => (Grade::Failed, Some(failure.message), None),
            Err(failure) => return Err(failure),
        };
        Ok(Examination { grade, reason, report, duration })
    }

    async fn ask(&self, name: &PluginName) -> Result<Option<HealthReport>, Failure> {
        let revision = self.active_revision(name).await?;
        let _running = revision.calls.token();
        let limit = revision.manifest.health.timeout.min(revision.manifest.limits.timeout).as_duration();
        let ground = Ground { until: Some(Instant::now() + limit), ..Ground::default() };
        let context = self.step_context(name, &revision, &ground);
        let asked = run_step(&revision.loaded, |loaded| async move { loaded.health(context).await });
        match tokio::time::timeout(limit, asked).await {
            Ok(report) => Ok(report?),
            Err(_) => Err(Failure::deadline(&format!("the check of `{name}`"), limit)),
        }
    }

    /// The health of every installed plugin, by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn health_list(&self) -> Result<Vec<HealthView>, Failure> {
        let mut known = match self.inner.health.views() {
            Some(views) => views,
            None => {
                let records = self.inner.store.health_list().await?.into_iter();
                records.map(|record| (record.plugin.clone(), HealthView { record, next_check: None })).collect()
            }
        };
        let view = |name: PluginName| known.remove(&name).unwrap_or_else(|| HealthView::of_nothing(name));
        Ok(self.inner.plugins.names().into_iter().map(view).collect())
    }

    /// The health of one plugin.
    ///
    /// # Errors
    /// It is not installed, or the store failed.
    pub async fn health_of(&self, name: &PluginName) -> Result<HealthView, Failure> {
        self.slot(name)?;
        if let Some(mut views) = self.inner.health.views() {
            return Ok(views.remove(name).unwrap_or_else(|| HealthView::of_nothing(name.clone())));
        }
        let record = self.inner.store.health_fetch(name).await?;
        let view = record.map(|record| HealthView { record, next_check: None });
        Ok(view.unwrap_or_else(|| HealthView::of_nothing(name.clone())))
    }

    /// How a plugin is to be looked after.
    pub(super) async fn health_policy(&self, slot: &Slot) -> Result<HealthPolicy, Failure> {
        if let Some(revision) = slot.active.load_full() {
            return Ok(revision.manifest.health);
        }
        let digest = slot.record.lock().0.active;
        Ok(self.revision(&digest).await?.manifest.health)
    }
}

impl HealthView {
    fn of_nothing(name: PluginName) -> Self {
        Self { record: HealthRecord::new(name), next_check: None }
    }
}

const fn grade(status: HealthStatus) -> Grade {
    match status {
        HealthStatus::Healthy => Grade::Healthy,
        HealthStatus::Degraded => Grade::Degraded,
        HealthStatus::Unhealthy => Grade::Failed,
    }
}

/// The first problem in a report.
fn wrong(report: &HealthReport) -> Option<String> {
    let status = match report.status {
        HealthStatus::Healthy => return None,
        HealthStatus::Degraded => "degraded",
        HealthStatus::Unhealthy => "unhealthy",
    };
    let check = report.checks.iter().find(|check| check.status == report.status);
    Some(match check {
        Some(check) => match &check.message {
            Some(message) => format!("{}: {message}", check.name),
            None => format!("{} is {status}", check.name),
        },
        None => format!("it reports the status {status}"),
    })
}

/// Whether a failure speaks of the plugin, and not of what is around it. What fails for a full disk must not have every plugin
/// disabled.
pub(super) const fn is_its_own(code: Code) -> bool {
    !matches!(
        code,
        Code::PluginNotFound
            | Code::PluginNotActive
            | Code::Busy
            | Code::Cancelled
            | Code::Io
            | Code::StoreFailed
            | Code::DataDirectory
            | Code::SecretUnreadable
            | Code::ShuttingDown
            | Code::Conflict
            | Code::Internal
    )
}
