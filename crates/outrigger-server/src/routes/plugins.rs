//! Installed plugins: found, enabled and disabled, called, maintained.

use outrigger_api::{
    ApiError, ApiResult, CallRequest, ClosedHook, Code, FunctionName, FunctionRef, JsonObject, PluginDetails,
    PluginName, PluginSignature, PluginSummary, StopReport,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{CALL, LIFECYCLE, PluginPath};
use crate::endpoint::answer::{Called, Done, Large, Reply, Tagged};
use crate::endpoint::api::Api;
use crate::endpoint::input::{AsText, Input, NoBody};
use crate::endpoint::problem::{Problem, refused_throughout};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::etag::ETag;
use crate::page::{Limit, Milliseconds, Offset, Page};

const TAG: &str = "Plugins";

pub fn routes(api: &mut Api) {
    api.get("/api/v1/plugins", "plugin_list", list)
        .also("/api/v1/plugins/")
        .tag(TAG)
        .summary("List the installed plugins")
        .right("plugin_view");
    api.get("/api/v1/plugins/{plugin_id}", "plugin_info", info)
        .tag(TAG)
        .summary("Show a plugin")
        .describe("The ETag changes with every change to the plugin; an update can be made conditional on it.")
        .right("plugin_view")
        .fails(&[Code::PluginNotFound]);
    api.get("/api/v1/plugins/{plugin_id}/signature", "plugin_signature", signature)
        .tag(TAG)
        .summary("Verify the files and the signature of a plugin")
        .describe(
            "Reads its files from disk, so changed files are found, whether signed or not (`modified`). \
             Uses the keys that are trusted now: a key that was revoked since makes it `invalid`.",
        )
        .right("plugin_view")
        .fails(&[Code::PluginNotFound]);
    api.delete("/api/v1/plugins/{plugin_id}", "plugin_uninstall", uninstall)
        .tag(TAG)
        .summary("Remove a plugin")
        .describe(
            "Its configuration and state are deleted too. Its fail-closed subscriptions to hooks of others stay: \
             `closed_hooks` \
             names the hooks that refuse everything until these subscriptions are disabled or removed.",
        )
        .right("plugin_delete")
        .fails(LIFECYCLE);
    api.post("/api/v1/plugins/{plugin_id}/enable", "plugin_enable", enable)
        .tag(TAG)
        .summary("Enable a plugin")
        .right("plugin_modify")
        .fails(LIFECYCLE);
    api.post("/api/v1/plugins/{plugin_id}/disable", "plugin_disable", disable)
        .tag(TAG)
        .summary("Disable a plugin")
        .describe(
            "`closed_hooks` names the hooks that now refuse everything, because the plugin is a fail-closed \
            subscriber.",
        )
        .right("plugin_modify")
        .fails(LIFECYCLE);
    api.post("/api/v1/plugins/{plugin_id}/reload", "plugin_reload", reload)
        .tag(TAG)
        .summary("Reload a plugin")
        .describe("Running calls finish on the old instances.")
        .right("plugin_modify")
        .fails(LIFECYCLE);
    api.post("/api/v1/plugins/{plugin_id}/warm", "plugin_warm", warm)
        .tag(TAG)
        .summary("Load a plugin before its first call")
        .right("plugin_modify")
        .fails(LIFECYCLE);
    api.post("/api/v1/plugins/{plugin_id}/execute", "plugin_execute", execute)
        .tag(TAG)
        .summary("Call a function of a plugin")
        .right("function_execute")
        .example(json!({"function": "currencies", "args": {}, "timeout_ms": 5000}))
        .fails(CALL)
        .calls();
    api.post("/api/v1/plugins/bulk", "plugin_bulk", bulk)
        .tag(TAG)
        .summary("Apply one action to several plugins")
        .describe(
            "Plugins are processed one after the other, in the given order. A failure for one does not stop the next. \
             Uninstalling requires the right `plugin_delete`, other actions `plugin_modify`; a missing right is \
             reported in the plugin's outcome.",
        )
        .right("plugin_modify")
        .example(json!({"action": "reload", "plugins": ["pricing", "team-directory"]}));
}

/// Which plugins to list, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PluginQuery {
    /// Text in the name or title, ignoring case.
    #[serde(default)]
    q: Option<String>,
    /// Such as `active`, `disabled`, `failed`.
    #[serde(default)]
    state: Option<String>,
    /// Only plugins of this category.
    #[serde(default)]
    category: Option<String>,
    /// The field to sort by; a leading `-` reverses the order.
    #[serde(default)]
    sort: Sort,
    /// How many to pass over.
    #[serde(default)]
    offset: Offset,
    /// How many to answer with at most.
    #[serde(default)]
    limit: Limit,
}

/// The field to sort by; a leading `-` reverses the order.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
enum Sort {
    #[default]
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "-name")]
    NameDown,
    #[serde(rename = "state")]
    State,
    #[serde(rename = "-state")]
    StateDown,
    #[serde(rename = "installed_at")]
    Installed,
    #[serde(rename = "-installed_at")]
    InstalledDown,
    #[serde(rename = "updated_at")]
    Updated,
    #[serde(rename = "-updated_at")]
    UpdatedDown,
}

async fn list(caller: Caller, input: Input<NoPath, PluginQuery, NoBody>) -> ApiResult<Reply<Page<PluginSummary>>> {
    let PluginQuery { q, state, category, sort, offset, limit } = input.query;
    let text = q.unwrap_or_default().to_lowercase();
    let mut plugins = caller.platform.plugin_list().await?;
    plugins.retain(|plugin| {
        (plugin.name.as_str().contains(&text) || plugin.title.to_lowercase().contains(&text))
            && state.as_ref().is_none_or(|state| plugin.state == *state)
            && category.as_ref().is_none_or(|category| plugin.categories.contains(category))
    });
    // The sort is stable and the platform lists by name, so plugins that are alike stay in the order of their names.
    match sort {
        Sort::Name => {}
        Sort::NameDown => plugins.reverse(),
        Sort::State => plugins.sort_by(|a, b| a.state.cmp(&b.state)),
        Sort::StateDown => plugins.sort_by(|a, b| b.state.cmp(&a.state)),
        Sort::Installed => plugins.sort_by_key(|plugin| plugin.installed_at),
        Sort::InstalledDown => plugins.sort_by_key(|plugin| std::cmp::Reverse(plugin.installed_at)),
        Sort::Updated => plugins.sort_by_key(|plugin| plugin.updated_at),
        Sort::UpdatedDown => plugins.sort_by_key(|plugin| std::cmp::Reverse(plugin.updated_at)),
    }
    Ok(Reply(Page::of(plugins, offset, limit)))
}

async fn info(caller: Caller, input: Input<PluginPath, NoQuery, NoBody>) -> ApiResult<Tagged<PluginDetails>> {
    let details = caller.platform.plugin_info(&input.path.plugin_id).await?;
    let tag = etag(&details.summary);
    Ok(Tagged(details, tag))
}

/// The fingerprint of a plugin: its package, its state, and the time of its last change.
pub fn etag(plugin: &PluginSummary) -> ETag {
    let digest = plugin.digest.strip_prefix("sha256:").unwrap_or(&plugin.digest);
    let digest = digest.get(..16).unwrap_or(digest);
    ETag::new(format!("{digest}-{}-{:x}", plugin.state, plugin.updated_at.unix_timestamp_nanos()))
}

async fn signature(caller: Caller, input: Input<PluginPath, NoQuery, NoBody>) -> ApiResult<Reply<PluginSignature>> {
    caller.platform.plugin_signature(&input.path.plugin_id).await.map(Reply)
}

async fn uninstall(caller: Caller, input: Input<PluginPath, NoQuery, NoBody>) -> ApiResult<Reply<StopReport>> {
    caller.platform.plugin_uninstall(&input.path.plugin_id).await.map(Reply)
}

async fn enable(caller: Caller, input: Input<PluginPath, NoQuery, NoBody>) -> ApiResult<Done> {
    caller.platform.plugin_enable(&input.path.plugin_id).await.map(|()| Done)
}

async fn disable(caller: Caller, input: Input<PluginPath, NoQuery, NoBody>) -> ApiResult<Reply<StopReport>> {
    caller.platform.plugin_disable(&input.path.plugin_id).await.map(Reply)
}

async fn reload(caller: Caller, input: Input<PluginPath, NoQuery, NoBody>) -> ApiResult<Done> {
    caller.platform.plugin_reload(&input.path.plugin_id).await.map(|()| Done)
}

/// A plugin that was made ready.
#[derive(Debug, Serialize, JsonSchema)]
struct Warmed {
    plugin: PluginName,
    /// How many instances wait for calls.
    instances: u64,
}

async fn warm(caller: Caller, input: Input<PluginPath, NoQuery, NoBody>) -> ApiResult<Reply<Warmed>> {
    let plugin = input.path.plugin_id;
    let instances = caller.platform.plugin_warm(&plugin).await? as u64;
    Ok(Reply(Warmed { plugin, instances }))
}

/// A call of one of a plugin's functions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Execution {
    /// The function, by its name within the plugin.
    function: FunctionName,
    /// An object with a member for each parameter.
    #[serde(default)]
    args: JsonObject,
    /// Instead of the function's own timeout; at most a day.
    #[serde(default)]
    timeout_ms: Option<Milliseconds>,
    /// Ask for a fresh answer.
    #[serde(default)]
    no_cache: bool,
    /// Say where the time went.
    #[serde(default)]
    profile: bool,
}

async fn execute(caller: Caller, input: Input<PluginPath, NoQuery, AsText<Execution>>) -> ApiResult<Called> {
    let Execution { function, args, timeout_ms, no_cache, profile } = input.body.0;
    let request = CallRequest::new(FunctionRef::new(input.path.plugin_id, function), args);
    let timeout_ms = timeout_ms.map(|timeout| timeout.0);
    call(&caller, CallRequest { timeout_ms, no_cache, profile, ..request }).await
}

pub async fn call(caller: &Caller, request: CallRequest) -> ApiResult<Called> {
    caller.platform.call(request).await.map(Large)
}

/// An action on several plugins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bulk {
    action: BulkAction,
    /// At most 100.
    #[schemars(length(min = 1, max = 100))]
    plugins: Vec<PluginName>,
}

/// The action.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BulkAction {
    Enable,
    Disable,
    Reload,
    Uninstall,
    Warm,
}

/// The outcome.
#[derive(Debug, Serialize, JsonSchema)]
struct BulkReport {
    action: BulkAction,
    succeeded: u32,
    failed: u32,
    /// In the order of the given plugins.
    outcomes: Vec<BulkOutcome>,
}

/// The outcome for one plugin.
#[derive(Debug, Serialize, JsonSchema)]
struct BulkOutcome {
    plugin: PluginName,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
    /// Hooks that now refuse everything, because the plugin is a fail-closed subscriber.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    closed_hooks: Vec<ClosedHook>,
}

async fn bulk(caller: Caller, input: Input<NoPath, NoQuery, Bulk>) -> ApiResult<Reply<BulkReport>> {
    let Bulk { action, plugins } = input.body;
    if plugins.is_empty() || plugins.len() > 100 {
        return Err(ApiError::new(
            Code::InvalidInput,
            format!("`plugins` has {} names; it must have 1 to 100", plugins.len()),
        )
        .with_hint("send several requests for more"));
    }
    let mut report = BulkReport { action, succeeded: 0, failed: 0, outcomes: Vec::with_capacity(plugins.len()) };
    for plugin in plugins {
        let outcome = one(&caller, action, plugin).await;
        if outcome.ok {
            report.succeeded += 1;
        } else {
            report.failed += 1;
        }
        report.outcomes.push(outcome);
    }
    refused_throughout(report.outcomes.iter().map(|outcome| outcome.error.as_ref()))?;
    Ok(Reply(report))
}

async fn one(caller: &Caller, action: BulkAction, plugin: PluginName) -> BulkOutcome {
    let platform = &caller.platform;
    let result = match action {
        BulkAction::Enable => platform.plugin_enable(&plugin).await.map(|()| StopReport::default()),
        BulkAction::Disable => platform.plugin_disable(&plugin).await,
        BulkAction::Reload => platform.plugin_reload(&plugin).await.map(|()| StopReport::default()),
        BulkAction::Uninstall => platform.plugin_uninstall(&plugin).await,
        BulkAction::Warm => platform.plugin_warm(&plugin).await.map(|_| StopReport::default()),
    };
    let (error, StopReport { closed_hooks }) = match result {
        Ok(report) => (None, report),
        Err(error) => (Some(Problem::new(error, caller.correlation)), StopReport::default()),
    };
    BulkOutcome { plugin, ok: error.is_none(), error, closed_hooks }
}
