//! The trait that every face speaks to.

use std::fmt::Debug;

use async_trait::async_trait;
use outrigger_contract::{FunctionRef, PluginName};

use crate::{
    ApiResult, AvailableReport, CallRequest, CallResponse, Configuration, DoctorReport, FunctionDescription,
    FunctionQuery, FunctionSummary, HealthInfo, InstallOutcome, InstallRequest, LogEntry, PackageReport, PackageSource,
    PluginDetails, PluginSummary, RecordQuery, RunEntry, StatisticsReport,
};

/// What one caller can ask. Who that caller is was settled when the platform was obtained.
#[async_trait]
pub trait Platform: Debug + Send + Sync {
    /// Calls a function.
    async fn call(&self, request: CallRequest) -> ApiResult<CallResponse>;
    /// Calls several functions, at most `parallel` at once. Answers in the order of the requests.
    async fn call_batch(&self, requests: Vec<CallRequest>, parallel: usize) -> Vec<ApiResult<CallResponse>>;

    /// The functions that match, by name.
    async fn function_list(&self, query: &FunctionQuery) -> ApiResult<Vec<FunctionSummary>>;
    /// Everything about one function: documentation, types, schemas, options.
    async fn function_describe(&self, function: &FunctionRef) -> ApiResult<FunctionDescription>;

    /// The installed plugins, by name.
    async fn plugin_list(&self) -> ApiResult<Vec<PluginSummary>>;
    /// Everything about one plugin.
    async fn plugin_info(&self, name: &PluginName) -> ApiResult<PluginDetails>;
    /// What could be installed by name: packages in the search paths, with duplicates and problems.
    async fn plugin_available(&self) -> ApiResult<AvailableReport>;
    /// Reads and checks a package without installing it.
    async fn package_inspect(&self, source: &PackageSource) -> ApiResult<PackageReport>;
    /// Installs a package, or puts it in the place of an installed version.
    async fn plugin_install(&self, request: InstallRequest) -> ApiResult<InstallOutcome>;
    /// Removes a plugin with its configuration and state.
    async fn plugin_uninstall(&self, name: &PluginName) -> ApiResult<()>;
    /// Makes a plugin take calls.
    async fn plugin_enable(&self, name: &PluginName) -> ApiResult<()>;
    /// Stops a plugin taking calls.
    async fn plugin_disable(&self, name: &PluginName) -> ApiResult<()>;
    /// Loads a plugin anew.
    async fn plugin_reload(&self, name: &PluginName) -> ApiResult<()>;
    /// Makes a plugin ready ahead of its first call. Answers how many instances wait.
    async fn plugin_warm(&self, name: &PluginName) -> ApiResult<usize>;
    /// How well a plugin is.
    async fn plugin_health(&self, name: &PluginName) -> ApiResult<HealthInfo>;
    /// Statistics of one plugin, or of all.
    async fn plugin_statistics(&self, name: Option<&PluginName>) -> ApiResult<StatisticsReport>;
    /// Log lines that match, the oldest first.
    async fn log_list(&self, query: &RecordQuery) -> ApiResult<Vec<LogEntry>>;
    /// Runs that match, the oldest first.
    async fn run_list(&self, query: &RecordQuery) -> ApiResult<Vec<RunEntry>>;

    /// A plugin's configuration with its schema.
    async fn configuration_fetch(&self, name: &PluginName) -> ApiResult<Configuration>;
    /// Sets a plugin's configuration, all of it. `expected` is the revision that was read, 0 for none.
    async fn configuration_put(
        &self,
        name: &PluginName,
        values: serde_json::Map<String, serde_json::Value>,
        expected: u64,
    ) -> ApiResult<u64>;

    /// Looks whether everything is in order.
    async fn doctor(&self) -> ApiResult<DoctorReport>;
    /// Writes everything that is still to be written. Called once, at the end.
    async fn close(&self) -> ApiResult<()>;
}
