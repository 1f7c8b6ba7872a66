//! Plugins and packages.

use async_trait::async_trait;
use outrigger_api::{
    ApiResult, AvailableReport, HealthInfo, InstallOutcome, InstallRequest, PackageReport, PackageSource,
    PluginDetails, PluginHealth, PluginSummary, Plugins,
};
use outrigger_contract::PluginName;
use outrigger_engine::access::Right;
use serde_json::{Value, json};

use super::{Act, Session, Trace, health};
use crate::convert;

#[async_trait]
impl Plugins for Session {
    async fn plugin_list(&self) -> ApiResult<Vec<PluginSummary>> {
        self.require_some(Right::PLUGIN_VIEW)?;
        let seen = self.host.engine.plugins().into_iter();
        let seen = seen.filter(|(record, _)| self.may(Right::PLUGIN_VIEW, record.name.as_str()));
        Ok(seen.map(|(record, summary)| convert::plugin(record, summary)).collect())
    }

    async fn plugin_info(&self, name: &PluginName) -> ApiResult<PluginDetails> {
        self.require(Right::PLUGIN_VIEW, name.as_str())?;
        self.host.packages.details(name).await
    }

    async fn plugin_available(&self) -> ApiResult<AvailableReport> {
        self.require_some(Right::PLUGIN_VIEW)?;
        self.host.packages.available().await
    }

    async fn package_inspect(&self, source: &PackageSource) -> ApiResult<PackageReport> {
        self.require_some(Right::PLUGIN_CREATE)?;
        Ok(self.host.packages.prepare(source).await?.report())
    }

    async fn plugin_install(&self, request: InstallRequest) -> ApiResult<InstallOutcome> {
        self.require_some(Right::PLUGIN_CREATE)?;
        let InstallRequest { source, approved } = request;
        // The package is read first: only then is it known what is being installed.
        let prepared = self.host.packages.prepare(&source).await?;
        let (name, digest, permissions) = (prepared.name().clone(), prepared.digest(), prepared.permissions());
        if approved.is_some() && !prepared.widened.is_empty() {
            self.require(Right::PLUGIN_APPROVE, name.as_str())?;
        }
        let before = self.standing(&name);
        let by = self.caller().to_string();
        let work = async {
            let outcome = self.host.packages.install(prepared, approved.as_deref(), by).await?;
            let granted = (!permissions.is_empty()).then(|| json!({"granted": permissions}));
            let after = merged(self.standing(&name), granted);
            Ok((outcome, Trace { before, after, revision: Some(digest.to_string()) }))
        };
        // Large for all that an installation holds; it is rare enough for a place of its own.
        self.act(Act::new(Right::PLUGIN_CREATE, name.as_str()), Box::pin(work)).await
    }

    async fn plugin_uninstall(&self, name: &PluginName) -> ApiResult<()> {
        let work = async {
            let before = self.standing(name);
            self.host.packages.uninstall(name).await?;
            Ok(((), Trace { before, ..Trace::default() }))
        };
        self.act(Act::destroys(Right::PLUGIN_DELETE, name.as_str()), work).await
    }

    async fn plugin_enable(&self, name: &PluginName) -> ApiResult<()> {
        self.modify(name, self.host.engine.enable(name)).await
    }

    async fn plugin_disable(&self, name: &PluginName) -> ApiResult<()> {
        self.modify(name, self.host.engine.disable(name)).await
    }

    async fn plugin_reload(&self, name: &PluginName) -> ApiResult<()> {
        self.modify(name, self.host.engine.reload(name)).await
    }

    async fn plugin_warm(&self, name: &PluginName) -> ApiResult<usize> {
        self.modify(name, self.host.engine.warm(name)).await
    }

    async fn plugin_health(&self, name: &PluginName) -> ApiResult<HealthInfo> {
        self.require(Right::PLUGIN_VIEW, name.as_str())?;
        health::ask(&self.host.engine, name).await
    }

    async fn plugin_health_list(&self) -> ApiResult<Vec<PluginHealth>> {
        self.require_some(Right::PLUGIN_VIEW)?;
        health::list(&self.host.engine, |name| self.may(Right::PLUGIN_VIEW, name.as_str())).await
    }
}

impl Session {
    /// Changes where a plugin stands.
    async fn modify<T: Send>(
        &self,
        name: &PluginName,
        change: impl Future<Output = Result<T, outrigger_engine::Failure>> + Send,
    ) -> ApiResult<T> {
        let work = async {
            let before = self.standing(name);
            let value = change.await.map_err(convert::error)?;
            Ok((value, Trace { before, after: self.standing(name), revision: None }))
        };
        self.act(Act::new(Right::PLUGIN_MODIFY, name.as_str()), work).await
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
