//! All routes, by area. What a handler may do is settled by the platform that its caller obtained; the right that a
//! route names here is for the reader, and for the tests that are made from the document.

mod access;
mod backups;
mod configuration;
mod documents;
mod events;
mod functions;
mod health;
mod hooks;
mod jobs;
mod metrics;
mod packages;
mod plugins;
mod records;
mod seed;
mod templates;
mod webhooks;

use outrigger_api::{Code, FunctionRef, PluginName};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::endpoint::api::Api;

/// All routes.
pub fn all() -> Api {
    let mut api = Api::default();
    plugins::routes(&mut api);
    packages::routes(&mut api);
    configuration::routes(&mut api);
    functions::routes(&mut api);
    hooks::routes(&mut api);
    jobs::routes(&mut api);
    records::routes(&mut api);
    access::routes(&mut api);
    backups::routes(&mut api);
    events::routes(&mut api);
    webhooks::routes(&mut api);
    metrics::routes(&mut api);
    documents::routes(&mut api);
    seed::routes(&mut api);
    templates::routes(&mut api);
    health::routes(&mut api);
    api
}

/// The path of a plugin.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PluginPath {
    /// The plugin's name.
    #[schemars(example = &"pricing")]
    pub plugin_id: PluginName,
}

/// The path of a function.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct FunctionPath {
    /// The function, written `plugin.function`.
    #[schemars(example = &"pricing.currencies")]
    pub function: FunctionRef,
}

/// The error codes of a call.
const CALL: &[Code] = &[
    Code::InvalidInput,
    Code::PluginNotFound,
    Code::FunctionNotFound,
    Code::PluginNotActive,
    Code::LifecycleFailed,
    Code::PermissionDenied,
    Code::RateLimited,
    Code::Busy,
    Code::DeadlineExceeded,
    Code::CpuLimit,
    Code::MemoryLimit,
    Code::OutputLimit,
    Code::StackOverflow,
    Code::CallDepth,
    Code::Cancelled,
    Code::Trapped,
    Code::FunctionFailed,
    Code::HookRefused,
    Code::HookFailed,
    Code::Unsupported,
    Code::InvalidOutput,
    Code::InvalidConfiguration,
];

/// The error codes of starting a plugin.
const LIFECYCLE: &[Code] = &[
    Code::PluginNotFound,
    Code::Conflict,
    Code::DependencyMissing,
    Code::HookRefused,
    Code::HookFailed,
    Code::PluginNotActive,
    Code::LifecycleFailed,
    Code::InvalidConfiguration,
    Code::InvalidComponent,
    Code::GrantRequired,
    Code::PermissionDenied,
    Code::DeadlineExceeded,
    Code::CpuLimit,
    Code::MemoryLimit,
    Code::Busy,
    Code::Trapped,
    Code::Unsupported,
];

/// The error codes of reading a package.
const PACKAGE: &[Code] = &[
    Code::NotFound,
    Code::PluginNotFound,
    Code::InvalidManifest,
    Code::InvalidPackage,
    Code::InvalidComponent,
    Code::PackageTooLarge,
    Code::Unsupported,
];

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::endpoint::api::Parting;

    #[test]
    fn whatever_changes_something_is_done_to_its_end() {
        let api = all();
        let operations = api.routes.iter().map(|route| &route.operation);
        let dropped = operations.filter(|operation| operation.parting == Parting::Dropped);
        let calls: Vec<_> = dropped.filter(|dropped| dropped.method != Method::GET).map(|dropped| dropped.id).collect();
        assert_eq!(calls, ["plugin_execute", "function_call", "function_batch", "earlier_execute"]);
    }
}
