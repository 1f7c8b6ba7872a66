//! The platform in this process: opens a data directory and answers for it.

use std::sync::Arc;

use async_trait::async_trait;
use outrigger_api::{
    ApiResult, AvailableReport, CallRequest, CallResponse, Configuration, DoctorReport, FunctionDescription,
    FunctionQuery, FunctionSummary, HealthCheckInfo, HealthInfo, InstallOutcome, InstallRequest, LogEntry,
    PackageReport, PackageSource, Platform, PluginDetails, PluginSummary, RecordQuery, RunEntry, StatisticsReport,
};
use outrigger_contract::{FunctionRef, PluginName};
use outrigger_engine::{Engine, EngineOptions};
use outrigger_runtime::{WasmOptions, WasmRuntime};
use outrigger_store::SqliteStore;

use crate::data_directory::DataDirectory;
use crate::packages::Packages;
use crate::{HostOptions, convert, doctor, functions, records};

/// The platform over a data directory of this machine. Whoever can open the directory is its administrator.
#[derive(Debug)]
pub struct LocalPlatform {
    engine: Engine,
    packages: Packages,
}

impl LocalPlatform {
    /// Opens a data directory, and makes it where it is not there.
    ///
    /// # Errors
    /// The directory, the database or the Wasm engine cannot be used.
    pub async fn open(options: HostOptions) -> ApiResult<Self> {
        let directory = DataDirectory::open(&options.data)?;
        let store = SqliteStore::open(&directory.database()).await.map_err(convert::store_error)?;
        let runtime =
            WasmRuntime::new(WasmOptions::new(directory.compiled())).map_err(|fault| convert::error(fault.into()))?;
        let engine = Engine::start(EngineOptions::new(directory.packages()), Arc::new(store), Arc::new(runtime))
            .await
            .map_err(convert::error)?;
        Ok(Self { packages: Packages::new(engine.clone(), directory, options.search_paths), engine })
    }
}

#[async_trait]
impl Platform for LocalPlatform {
    async fn call(&self, request: CallRequest) -> ApiResult<CallResponse> {
        functions::call(&self.engine, request).await
    }

    async fn call_batch(&self, requests: Vec<CallRequest>, parallel: usize) -> Vec<ApiResult<CallResponse>> {
        functions::call_batch(&self.engine, requests, parallel).await
    }

    async fn function_list(&self, query: &FunctionQuery) -> ApiResult<Vec<FunctionSummary>> {
        functions::list(&self.engine, query).await
    }

    async fn function_describe(&self, function: &FunctionRef) -> ApiResult<FunctionDescription> {
        functions::describe(&self.engine, function).await
    }

    async fn plugin_list(&self) -> ApiResult<Vec<PluginSummary>> {
        Ok(self.engine.plugins().into_iter().map(|(record, summary)| convert::plugin(record, summary)).collect())
    }

    async fn plugin_info(&self, name: &PluginName) -> ApiResult<PluginDetails> {
        self.packages.details(name).await
    }

    async fn plugin_available(&self) -> ApiResult<AvailableReport> {
        self.packages.available().await
    }

    async fn package_inspect(&self, source: &PackageSource) -> ApiResult<PackageReport> {
        self.packages.inspect(source).await
    }

    async fn plugin_install(&self, request: InstallRequest) -> ApiResult<InstallOutcome> {
        self.packages.install(request).await
    }

    async fn plugin_uninstall(&self, name: &PluginName) -> ApiResult<()> {
        self.packages.uninstall(name).await
    }

    async fn plugin_enable(&self, name: &PluginName) -> ApiResult<()> {
        self.engine.enable(name).await.map_err(convert::error)
    }

    async fn plugin_disable(&self, name: &PluginName) -> ApiResult<()> {
        self.engine.disable(name).await.map_err(convert::error)
    }

    async fn plugin_reload(&self, name: &PluginName) -> ApiResult<()> {
        self.engine.reload(name).await.map_err(convert::error)
    }

    async fn plugin_warm(&self, name: &PluginName) -> ApiResult<usize> {
        self.engine.warm(name).await.map_err(convert::error)
    }

    async fn plugin_health(&self, name: &PluginName) -> ApiResult<HealthInfo> {
        let report = self.engine.health(name).await.map_err(convert::error)?;
        let check = |check: outrigger_engine::runtime::HealthCheck| HealthCheckInfo {
            name: check.name,
            status: convert::health_status(check.status).to_owned(),
            message: check.message,
        };
        Ok(match report {
            Some(report) => HealthInfo {
                plugin: name.clone(),
                status: convert::health_status(report.status).to_owned(),
                checks: report.checks.into_iter().map(check).collect(),
            },
            None => HealthInfo {
                plugin: name.clone(),
                status: "healthy".to_owned(),
                checks: vec![HealthCheckInfo {
                    name: "loaded".to_owned(),
                    status: "healthy".to_owned(),
                    message: Some("the plugin was brought up; it reports no health of its own".to_owned()),
                }],
            },
        })
    }

    async fn plugin_statistics(&self, name: Option<&PluginName>) -> ApiResult<StatisticsReport> {
        records::statistics(&self.engine, name).await
    }

    async fn log_list(&self, query: &RecordQuery) -> ApiResult<Vec<LogEntry>> {
        records::logs(&self.engine, query).await
    }

    async fn run_list(&self, query: &RecordQuery) -> ApiResult<Vec<RunEntry>> {
        records::runs(&self.engine, query).await
    }

    async fn configuration_fetch(&self, name: &PluginName) -> ApiResult<Configuration> {
        let (record, _) = self.engine.plugin(name).map_err(convert::error)?;
        let revision = self.engine.revision(&record.active).await.map_err(convert::error)?;
        let stored = self.engine.store().configuration_fetch(name).await.map_err(convert::store_error)?;
        let (values, number) = stored.map(|stored| (stored.values, stored.revision)).unwrap_or_default();
        let schema = &revision.manifest.configuration;
        Ok(Configuration {
            plugin: name.clone(),
            schema: schema.to_json_schema(),
            effective: schema.with_defaults(values.clone()),
            values,
            revision: number,
        })
    }

    async fn configuration_put(
        &self,
        name: &PluginName,
        values: serde_json::Map<String, serde_json::Value>,
        expected: u64,
    ) -> ApiResult<u64> {
        self.engine.configure(name, values, expected).await.map_err(convert::error)
    }

    async fn doctor(&self) -> ApiResult<DoctorReport> {
        Ok(doctor::examine(&self.engine, &self.packages).await)
    }

    async fn close(&self) -> ApiResult<()> {
        self.engine.shutdown().await;
        Ok(())
    }
}
