//! How well plugins are.

use outrigger_api::{ApiResult, HealthInfo, PluginHealth};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{LIFECYCLE, PluginPath};
use crate::endpoint::answer::Reply;
use crate::endpoint::api::Api;
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::page::{Limit, Offset, Page};

const TAG: &str = "Plugins";

pub fn routes(api: &mut Api) {
    api.get("/api/v1/plugins/{plugin_id}/health", "plugin_health", health)
        .tag(TAG)
        .summary("Check the health of a plugin")
        .describe("Loads the plugin if necessary, checks it, and returns its status in the health monitor.")
        .right("plugin_view")
        .fails(LIFECYCLE);
    api.get("/api/v1/health", "plugin_health_list", list)
        .tag(TAG)
        .summary("Show the health of all plugins")
        .describe(
            "The health monitor's status of each plugin. No plugin is checked for it; a plugin that was never called \
             is `unknown`. `/readyz` reports the health of the server itself, regardless of plugins.",
        )
        .right("plugin_view");
}

/// The requested page of a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HealthQuery {
    /// Only plugins with this status.
    #[serde(default)]
    status: Option<HealthStatus>,
    /// How many to pass over.
    #[serde(default)]
    offset: Offset,
    /// How many to answer with at most.
    #[serde(default)]
    limit: Limit,
}

/// The health monitor's status of a plugin.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum HealthStatus {
    Unknown,
    Healthy,
    Degraded,
    Unhealthy,
}

async fn list(caller: Caller, input: Input<NoPath, HealthQuery, NoBody>) -> ApiResult<Reply<Page<PluginHealth>>> {
    let HealthQuery { status, offset, limit } = input.query;
    let wanted = status.map(|status| match status {
        HealthStatus::Unknown => "unknown",
        HealthStatus::Healthy => "healthy",
        HealthStatus::Degraded => "degraded",
        HealthStatus::Unhealthy => "unhealthy",
    });
    let mut plugins = caller.platform.plugin_health_list().await?;
    plugins.retain(|plugin| wanted.is_none_or(|wanted| plugin.status == wanted));
    Ok(Reply(Page::of(plugins, offset, limit)))
}

async fn health(caller: Caller, input: Input<PluginPath, NoQuery, NoBody>) -> ApiResult<Reply<HealthInfo>> {
    caller.platform.plugin_health(&input.path.plugin_id).await.map(Reply)
}
