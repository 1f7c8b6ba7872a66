//! Plugins and packages.

use async_trait::async_trait;
use outrigger_api::{
    ApiResult, AvailableReport, HealthInfo, InstallOutcome, InstallRequest, MigrationReport, PackageReport,
    PackageSource, PluginDetails, PluginHealth, PluginSignature, PluginSummary, Plugins, RollbackReport,
    RollbackRequest, StopReport,
};
use outrigger_contract::{Manifest, PluginName};
use outrigger_engine::Failure;
use outrigger_engine::access::Right;
use outrigger_engine::configuration::Given;
use outrigger_engine::life::{Change, Downgrade, Intent, RolledBack};
use serde_json::{Value, json};

use super::{Act, Session, Trace, health};
use crate::data_directory::PackagesLock;
use crate::packages::{Consent, Mode};
use crate::{convert, inheritance, signatures};

#[async_trait]
impl Plugins for Session {
    async fn plugin_list(&self) -> ApiResult<Vec<PluginSummary>> {
        self.require_some(Right::PLUGIN_VIEW)?;
        let seen = self.host.engine.plugins().into_iter();
        let seen = seen.filter(|(record, _)| self.may(Right::PLUGIN_VIEW, record.name.as_str()));
        let shown = seen.map(|(record, summary)| self.shown_summary(convert::plugin(record, summary)));
        Ok(shown.collect())
    }

    async fn plugin_info(&self, name: &PluginName) -> ApiResult<PluginDetails> {
        self.require(Right::PLUGIN_VIEW, name.as_str())?;
        let details = self.host.packages.details(name, &self.caller()).await;
        let mut details = details.map_err(|error| self.shown_error(error))?;
        details.source = self.shown_path(details.source);
        details.summary = self.shown_summary(details.summary);
        Ok(details)
    }

    async fn plugin_available(&self) -> ApiResult<AvailableReport> {
        self.require_some(Right::PLUGIN_VIEW)?;
        let available = self.host.packages.available(self.accepted_age()).await;
        let mut report = available.map_err(|error| self.shown_error(error))?;
        for plugin in &mut report.plugins {
            plugin.path = self.shown_path(std::mem::take(&mut plugin.path));
        }
        if !self.may_use_paths() {
            let hidden = |what: &str, all: &mut Vec<String>| {
                let count = all.len();
                all.clear();
                all.extend((count > 0).then(|| format!("{what}: {count}; seeing them requires the right `path_use`")));
            };
            hidden("duplicate packages", &mut report.duplicates);
            hidden("unreadable packages", &mut report.problems);
        }
        Ok(report)
    }

    async fn package_inspect(&self, source: &PackageSource) -> ApiResult<PackageReport> {
        self.require_some(Right::PLUGIN_CREATE)?;
        self.admit_source(source)?;
        let inspected = self.host.packages.inspect(source, &self.caller()).await;
        let mut report = inspected.map_err(|error| self.shown_error(error))?;
        // The report also tells what the package would replace and take over.
        self.require(Right::PLUGIN_CREATE, report.manifest.name.as_str())?;
        report.source = self.shown_path(report.source);
        Ok(report)
    }

    async fn plugin_install(&self, request: InstallRequest) -> ApiResult<InstallOutcome> {
        self.require_some(Right::PLUGIN_CREATE)?;
        let InstallRequest { source, approved, dry_run, allow_downgrade, replaces, configuration } = request;
        self.admit_source(&source)?;
        // The package is read first: only then is it known what is being installed.
        let prepared = self.host.packages.prepare(&source, &self.caller()).await;
        let prepared = prepared.map_err(|error| self.shown_error(error))?;
        let (name, digest, permissions) = (prepared.name().clone(), prepared.digest(), prepared.permissions());
        // First, so that a refusal tells nothing about the installed plugin.
        self.require(Right::PLUGIN_CREATE, name.as_str())?;
        if let Some(seen) = &replaces {
            prepared.replaces(seen)?;
        }
        if approved.is_some() && !prepared.widened.is_empty() {
            self.require(Right::PLUGIN_APPROVE, name.as_str())?;
            self.require_lifting(prepared.manifest())?;
        }
        let keys: Vec<_> = configuration.keys().cloned().collect();
        if !keys.is_empty() {
            self.require(Right::CONFIGURATION_MODIFY, name.as_str())?;
        }
        let consent = Consent {
            approved,
            may_approve: self.may(Right::PLUGIN_APPROVE, name.as_str()),
            by: self.caller(),
            correlation: self.correlation,
            downgrade: if allow_downgrade { Downgrade::Allowed } else { Downgrade::Refused },
            configuration: Given(configuration),
            mode: if dry_run { Mode::DryRun } else { Mode::Install },
        };
        if dry_run {
            let outcome = Box::pin(self.host.packages.install(prepared, consent)).await;
            return outcome.map(|outcome| self.seen(&name, outcome)).map_err(|error| self.shown_error(error));
        }
        let before = self.standing(&name);
        let work = async {
            let outcome = Box::pin(self.host.packages.install(prepared, consent)).await?;
            if let PackageSource::Package(digest) = &source {
                self.host.packages.uploads.forget(digest);
            }
            let granted = (!permissions.is_empty()).then(|| json!({"granted": permissions}));
            // Which keys, not with what: some are secrets.
            let configured = (!keys.is_empty()).then(|| json!({"configured": keys}));
            let done = Some(json!({"action": outcome.action, "signature": outcome.signature}));
            let after = merged(merged(merged(self.standing(&name), granted), configured), done);
            Ok((outcome, Trace { before, after, revision: Some(digest.to_string()) }))
        };
        // Large for all that an installation holds; it is rare enough for a place of its own.
        let outcome = self.act(Act::new(Right::PLUGIN_CREATE, name.as_str()), Box::pin(work)).await?;
        Ok(self.seen(&name, outcome))
    }

    async fn plugin_uninstall(&self, name: &PluginName) -> ApiResult<StopReport> {
        let work = async {
            let before = self.standing(name);
            self.consult(name, Change::Remove).await.map_err(convert::error)?;
            self.host.packages.uninstall(name, &self.caller()).await?;
            let report = self.stopped(name);
            let after = (!report.closed_hooks.is_empty()).then(|| json!({"closed_hooks": report.closed_hooks}));
            Ok((report, Trace { before, after, revision: None }))
        };
        self.act(Act::destroys(Right::PLUGIN_DELETE, name.as_str()), work).await
    }

    async fn plugin_enable(&self, name: &PluginName) -> ApiResult<()> {
        let change = async {
            self.consult(name, Change::Enable).await?;
            self.host.engine.enable(name).await
        };
        self.modify(name, change).await
    }

    async fn plugin_disable(&self, name: &PluginName) -> ApiResult<StopReport> {
        let change = async {
            self.consult(name, Change::Disable).await?;
            self.host.engine.disable(name).await?;
            Ok(self.stopped(name))
        };
        self.modify(name, change).await
    }

    async fn plugin_reload(&self, name: &PluginName) -> ApiResult<()> {
        let change = async {
            self.consult(name, Change::Reload).await?;
            self.host.engine.reload(name).await
        };
        self.modify(name, change).await
    }

    async fn plugin_warm(&self, name: &PluginName) -> ApiResult<usize> {
        self.modify(name, self.host.engine.warm(name)).await
    }

    async fn plugin_health(&self, name: &PluginName) -> ApiResult<HealthInfo> {
        self.require(Right::PLUGIN_VIEW, name.as_str())?;
        let asked = health::ask(&self.host.engine, name).await;
        let mut info = asked.map_err(|error| self.shown_error(error))?;
        for check in &mut info.checks {
            check.message = check.message.take().map(|message| self.shown_text(message));
        }
        info.monitor = self.shown_health(info.monitor);
        Ok(info)
    }

    async fn plugin_signature(&self, name: &PluginName) -> ApiResult<PluginSignature> {
        self.require(Right::PLUGIN_VIEW, name.as_str())?;
        let signature = signatures::of_installed(&self.host.engine, &self.host.packages, name, &self.caller()).await;
        signature.map_err(|error| self.shown_error(error))
    }

    async fn plugin_health_list(&self) -> ApiResult<Vec<PluginHealth>> {
        self.require_some(Right::PLUGIN_VIEW)?;
        let list = health::list(&self.host.engine, |name| self.may(Right::PLUGIN_VIEW, name.as_str())).await?;
        Ok(list.into_iter().map(|health| self.shown_health(health)).collect())
    }

    async fn plugin_rollback(&self, name: &PluginName, request: RollbackRequest) -> ApiResult<RollbackReport> {
        let RollbackRequest { dry_run } = request;
        let (engine, packages) = (&self.host.engine, &self.host.packages);
        let report = |RolledBack { migrated, lost }| {
            let mut migration = convert::migrated(migrated);
            self.veil(name, &mut migration);
            RollbackReport { plugin: name.clone(), dry_run, lost_writes: lost, migration }
        };
        if dry_run {
            self.require(Right::PLUGIN_CREATE, name.as_str())?;
            let lock = packages.lock(&self.caller().to_string()).await?;
            signatures::admit_predecessor(engine, packages, &lock, name).await?;
            self.admit_rollback(&lock, name).await?;
            let rehearsed = engine.rollback_rehearse(name).await.map(report);
            return rehearsed.map_err(|failure| self.shown_error(convert::error(failure)));
        }
        let work = async {
            // Held until it is done, so that what was looked at is what is gone back to.
            let lock = packages.lock(&self.caller().to_string()).await?;
            signatures::admit_predecessor(engine, packages, &lock, name).await?;
            self.admit_rollback(&lock, name).await?;
            self.consult(name, Change::Rollback).await.map_err(convert::error)?;
            let before = self.standing(name);
            let rolled_back = engine.rollback(name, self.correlation).await.map_err(convert::error)?;
            packages.let_go(&lock, name).await;
            let lost = Some(json!({"lost_writes": rolled_back.lost}));
            let after = merged(self.standing(name), lost);
            Ok((report(rolled_back), Trace { before, after, revision: None }))
        };
        // Later writes to the state are lost.
        self.act(Act::destroys(Right::PLUGIN_CREATE, name.as_str()), Box::pin(work)).await
    }
}

impl Session {
    /// Refuses paths of the server's disk without the right `path_use`, before the disk is accessed: the answer does
    /// not depend on what exists there.
    fn admit_source(&self, source: &PackageSource) -> ApiResult<()> {
        match source {
            PackageSource::Path(_) => self.require(Right::PATH_USE, "*").map_err(|error| {
                error.with_hint(
                    "upload the package to `POST /api/v1/packages`, as `outrigger plugin install` does \
                    with `--server`, or name one in the search paths",
                )
            }),
            PackageSource::Named { .. } | PackageSource::Package(_) => Ok(()),
        }
    }

    /// A plugin without paths that the caller may not see: the reason of its state can contain them.
    fn shown_summary(&self, summary: PluginSummary) -> PluginSummary {
        PluginSummary { reason: summary.reason.map(|reason| self.shown_text(reason)), ..summary }
    }

    /// The same for its health.
    fn shown_health(&self, mut health: PluginHealth) -> PluginHealth {
        health.reason = health.reason.map(|reason| self.shown_text(reason));
        if let Some(check) = &mut health.last_check {
            check.reason = check.reason.take().map(|reason| self.shown_text(reason));
        }
        for change in &mut health.changes {
            change.reason = self.shown_text(std::mem::take(&mut change.reason));
        }
        health
    }

    /// An outcome without what the caller may not see.
    fn seen(&self, name: &PluginName, mut outcome: InstallOutcome) -> InstallOutcome {
        if let Some(migration) = &mut outcome.migration {
            self.veil(name, migration);
        }
        outcome
    }

    /// The configuration is for who may see it.
    fn veil(&self, name: &PluginName, migration: &mut MigrationReport) {
        if !self.may(Right::CONFIGURATION_VIEW, name.as_str()) {
            migration.configuration = None;
        }
    }

    /// Asks who has a say in a change of a plugin that is there.
    async fn consult(&self, name: &PluginName, change: Change) -> Result<(), Failure> {
        let engine = &self.host.engine;
        let (record, summary) = engine.plugin(name)?;
        let (version, digest, by) = (summary.version.to_string(), record.active, self.caller());
        engine.consult(Intent { plugin: name, change, version, digest, by, correlation: self.correlation }).await
    }

    /// Changes where a plugin stands.
    async fn modify<T: Send>(
        &self,
        name: &PluginName,
        change: impl Future<Output = Result<T, Failure>> + Send,
    ) -> ApiResult<T> {
        let work = async {
            let before = self.standing(name);
            let value = change.await.map_err(convert::error)?;
            Ok((value, Trace { before, after: self.standing(name), revision: None }))
        };
        self.act(Act::new(Right::PLUGIN_MODIFY, name.as_str()), work).await
    }

    /// A rollback needs the same approval as an update to that version.
    async fn admit_rollback(&self, lock: &PackagesLock, name: &PluginName) -> ApiResult<()> {
        if !self.may(Right::PLUGIN_APPROVE, name.as_str()) {
            return inheritance::admit_rollback(&self.host.packages, lock, name, &self.caller()).await;
        }
        let engine = &self.host.engine;
        let predecessor = engine.store().predecessor_fetch(name).await.map_err(convert::store_error)?;
        match predecessor {
            Some(former) => {
                self.require_lifting(&engine.revision(&former.digest).await.map_err(convert::error)?.manifest)
            }
            None => Ok(()),
        }
    }

    /// A version that removes guards lifts them, which requires the right to end subscriptions.
    fn require_lifting(&self, manifest: &Manifest) -> ApiResult<()> {
        let given_up = self.host.engine.guards_given_up(manifest);
        given_up.iter().try_for_each(|guard| self.require(Right::HOOK_DELETE, guard.hook.as_str()))
    }

    /// The effects of disabling or removing a plugin.
    fn stopped(&self, name: &PluginName) -> StopReport {
        let closed_hooks = self.host.engine.closed_by(name).into_iter().map(convert::closed_hook).collect();
        StopReport { closed_hooks }
    }

    /// Where a plugin stands, as the audit log shows it.
    fn standing(&self, name: &PluginName) -> Option<Value> {
        let (record, summary) = self.host.engine.plugin(name).ok()?;
        let (version, state) = (summary.version.to_string(), record.state.as_str());
        Some(json!({"version": version, "digest": record.active.to_string(), "state": state}))
    }
}

fn merged(standing: Option<Value>, more: Option<Value>) -> Option<Value> {
    match (standing, more) {
        (Some(Value::Object(mut standing)), Some(Value::Object(more))) => {
            standing.extend(more);
            Some(Value::Object(standing))
        }
        (standing, more) => standing.or(more),
    }
}
