//! Everything else that can be asked, area by area.

use async_trait::async_trait;
use outrigger_api::{
    Access, AccessMatrix, ApiError, ApiResult, Audit, AuditInfo, AuditQuery, AuditVerification, AvailableReport,
    BackupReport, BackupRequest, Backups, Code, Configuration, ConfigurationDiff, ConfigurationEdits,
    ConfigurationRevision, Configurations, DoctorReport, ExplainRequest, Explanation, Fingerprint, HealthInfo,
    Identity, InstallOutcome, InstallRequest, KeyInfo, KeyRequest, KeyRevocation, LogEntry, MetricsReport, NewKey,
    PackageReport, PackageSource, Platform, PluginDetails, PluginHealth, PluginName, PluginProfile, PluginSignature,
    PluginStanding, PluginSummary, Plugins, RecordQuery, Records, RoleInfo, RoleRequest, RollbackReport,
    RollbackRequest, RunEntry, SecretsRotation, StatisticsReport, StopReport, UsageQuery, UsageReport,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Client;
use crate::http::segment;
use crate::records::{MOST, newest};

fn plugin(name: &PluginName, rest: &str) -> String {
    format!("api/v1/plugins/{name}{rest}")
}

/// A source as the server takes it. A path is one on the server's disk, so it is made absolute while this process's
/// working directory is known.
fn source(source: &PackageSource) -> Value {
    match source {
        PackageSource::Path(path) => json!({"path": std::path::absolute(path).unwrap_or_else(|_| path.clone())}),
        PackageSource::Named { name, version: None } => json!({"name": name}),
        PackageSource::Named { name, version } => json!({"name": name, "version": version}),
        PackageSource::Package(digest) => json!({"package": digest}),
    }
}

#[async_trait]
impl Plugins for Client {
    async fn plugin_list(&self) -> ApiResult<Vec<PluginSummary>> {
        self.pages("api/v1/plugins", &()).await
    }

    async fn plugin_info(&self, name: &PluginName) -> ApiResult<PluginDetails> {
        self.get(&plugin(name, ""), &()).await
    }

    async fn plugin_available(&self) -> ApiResult<AvailableReport> {
        self.get("api/v1/plugins/registry", &()).await
    }

    async fn package_inspect(&self, package: &PackageSource) -> ApiResult<PackageReport> {
        self.post("api/v1/plugins/inspect", &json!({"source": source(package)})).await
    }

    async fn plugin_install(&self, request: InstallRequest) -> ApiResult<InstallOutcome> {
        let InstallRequest { source: package, approved, dry_run, allow_downgrade, replaces, configuration } = request;
        let mut body = json!({"source": source(&package)});
        if let Some(approved) = approved {
            body["approved"] = Value::String(approved);
        }
        // A server of an earlier version knows none of these, and says so only where it is asked.
        if dry_run {
            body["dry_run"] = Value::Bool(true);
        }
        if allow_downgrade {
            body["allow_downgrade"] = Value::Bool(true);
        }
        if !configuration.is_empty() {
            body["configuration"] = Value::Object(configuration);
        }
        let Some(PluginStanding { name, updated_at }) = replaces else {
            return self.post("api/v1/plugins/install", &body).await;
        };
        let expected = match updated_at {
            None => None,
            Some(seen) => {
                let (present, etag) = self.get_tagged::<PluginDetails>(&plugin(&name, "")).await?;
                if present.summary.updated_at != seen {
                    let message = format!("the plugin {name} was changed by someone else in the meantime");
                    return Err(ApiError::new(Code::Conflict, message));
                }
                etag
            }
        };
        self.put(&plugin(&name, ""), &body, expected).await
    }

    async fn plugin_uninstall(&self, name: &PluginName) -> ApiResult<StopReport> {
        self.delete_answered(&plugin(name, "")).await
    }

    async fn plugin_enable(&self, name: &PluginName) -> ApiResult<()> {
        self.act(&plugin(name, "/enable")).await
    }

    async fn plugin_disable(&self, name: &PluginName) -> ApiResult<StopReport> {
        self.post_empty(&plugin(name, "/disable")).await
    }

    async fn plugin_reload(&self, name: &PluginName) -> ApiResult<()> {
        self.act(&plugin(name, "/reload")).await
    }

    async fn plugin_warm(&self, name: &PluginName) -> ApiResult<usize> {
        #[derive(Deserialize)]
        struct Warmed {
            instances: usize,
        }
        let Warmed { instances } = self.post_empty(&plugin(name, "/warm")).await?;
        Ok(instances)
    }

    async fn plugin_health(&self, name: &PluginName) -> ApiResult<HealthInfo> {
        self.get(&plugin(name, "/health"), &()).await
    }

    async fn plugin_signature(&self, name: &PluginName) -> ApiResult<PluginSignature> {
        self.get(&plugin(name, "/signature"), &()).await
    }

    async fn plugin_rollback(&self, name: &PluginName, request: RollbackRequest) -> ApiResult<RollbackReport> {
        self.post(&plugin(name, "/rollback"), &request).await
    }

    async fn plugin_health_list(&self) -> ApiResult<Vec<PluginHealth>> {
        self.pages("api/v1/health", &()).await
    }
}

#[async_trait]
impl Records for Client {
    async fn plugin_statistics(&self, name: Option<&PluginName>) -> ApiResult<StatisticsReport> {
        match name {
            Some(name) => self.get(&plugin(name, "/stats"), &()).await,
            None => self.get("api/v1/stats", &()).await,
        }
    }

    async fn log_list(&self, query: &RecordQuery) -> ApiResult<Vec<LogEntry>> {
        let ask = |query: RecordQuery| async move { self.list("api/v1/logs", &query).await };
        newest(query, |line: &LogEntry| line.at, ask).await
    }

    async fn run_list(&self, query: &RecordQuery) -> ApiResult<Vec<RunEntry>> {
        let ask = |query: RecordQuery| async move { self.list("api/v1/runs", &query).await };
        newest(query, |run: &RunEntry| run.started_at, ask).await
    }

    async fn run_usage(&self, query: &UsageQuery) -> ApiResult<UsageReport> {
        self.get("api/v1/usage", query).await
    }

    async fn plugin_profile(&self, name: &PluginName) -> ApiResult<PluginProfile> {
        self.get(&plugin(name, "/profile"), &()).await
    }
}

#[async_trait]
impl Configurations for Client {
    async fn configuration_fetch(&self, name: &PluginName) -> ApiResult<Configuration> {
        self.get(&plugin(name, "/config"), &()).await
    }

    async fn configuration_put(&self, name: &PluginName, values: Map<String, Value>, expected: u64) -> ApiResult<u64> {
        #[derive(Deserialize)]
        struct Change {
            revision: u64,
        }
        let Change { revision } = self.put(&plugin(name, "/config"), &values, Some(expected)).await?;
        Ok(revision)
    }

    async fn configuration_change(
        &self,
        name: &PluginName,
        edits: ConfigurationEdits,
        expected: Option<u64>,
    ) -> ApiResult<u64> {
        #[derive(Deserialize)]
        struct Change {
            revision: u64,
        }
        let Change { revision } = self.patch(&plugin(name, "/config"), &edits, expected).await?;
        Ok(revision)
    }

    async fn configuration_revisions(&self, name: &PluginName) -> ApiResult<Vec<ConfigurationRevision>> {
        self.list(&plugin(name, "/config-revisions"), &()).await
    }

    async fn configuration_revision(&self, name: &PluginName, revision: u64) -> ApiResult<ConfigurationRevision> {
        self.get(&plugin(name, &format!("/config-revisions/{revision}")), &()).await
    }

    async fn configuration_diff(&self, name: &PluginName, from: u64, to: Option<u64>) -> ApiResult<ConfigurationDiff> {
        let mut query = vec![("from", from)];
        query.extend(to.map(|to| ("to", to)));
        self.get(&plugin(name, "/config-diff"), &query).await
    }

    async fn configuration_rollback(&self, name: &PluginName, revision: u64) -> ApiResult<u64> {
        #[derive(Deserialize)]
        struct Change {
            revision: u64,
        }
        let body = json!({"revision": revision});
        let Change { revision } = self.post(&plugin(name, "/config-rollback"), &body).await?;
        Ok(revision)
    }

    async fn secrets_rotate(&self) -> ApiResult<SecretsRotation> {
        self.post_empty("api/v1/secrets/rotate").await
    }
}

#[async_trait]
impl Access for Client {
    async fn identity(&self) -> ApiResult<Identity> {
        self.get("api/v1/identity", &()).await
    }

    async fn key_list(&self) -> ApiResult<Vec<KeyInfo>> {
        self.list("api/v1/keys", &()).await
    }

    async fn key_create(&self, request: KeyRequest) -> ApiResult<NewKey> {
        self.post("api/v1/keys", &request).await
    }

    async fn key_delete(&self, key: &str) -> ApiResult<KeyRevocation> {
        self.delete_answered(&format!("api/v1/keys/{}", segment(key))).await
    }

    async fn role_list(&self) -> ApiResult<Vec<RoleInfo>> {
        self.list("api/v1/roles", &()).await
    }

    async fn role_put(&self, name: &str, request: RoleRequest, expected: Option<Fingerprint>) -> ApiResult<RoleInfo> {
        self.put(&format!("api/v1/roles/{}", segment(name)), &request, expected).await
    }

    async fn role_delete(&self, name: &str) -> ApiResult<()> {
        self.delete(&format!("api/v1/roles/{}", segment(name))).await
    }

    async fn access_explain(&self, request: ExplainRequest) -> ApiResult<Explanation> {
        self.post("api/v1/access/explain", &request).await
    }

    async fn access_matrix(&self) -> ApiResult<AccessMatrix> {
        self.get("api/v1/access/matrix", &()).await
    }
}

#[async_trait]
impl Audit for Client {
    async fn audit_list(&self, query: &AuditQuery) -> ApiResult<Vec<AuditInfo>> {
        self.list("api/v1/audit", &AuditQuery { limit: query.limit.min(MOST), ..query.clone() }).await
    }

    async fn audit_verify(&self) -> ApiResult<AuditVerification> {
        self.get("api/v1/audit/verify", &()).await
    }
}

#[async_trait]
impl Backups for Client {
    async fn backup_create(&self, request: BackupRequest) -> ApiResult<BackupReport> {
        // A plain name is one in the server's backup folder.
        self.post("api/v1/backups", &request).await
    }
}

#[async_trait]
impl Platform for Client {
    /// The server checks the right.
    fn admit(&self, _: &str, _: Option<&str>) -> ApiResult<()> {
        Ok(())
    }

    async fn doctor(&self) -> ApiResult<DoctorReport> {
        self.get("api/v1/doctor", &()).await
    }

    async fn metrics(&self) -> ApiResult<MetricsReport> {
        self.get("api/v1/metrics", &()).await
    }

    async fn close(&self) -> ApiResult<()> {
        // The server writes its own pending records.
        Ok(())
    }
}
