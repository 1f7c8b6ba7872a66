//! Hooks, who is subscribed to them, and what was done when they were fired.

use outrigger_api::{
    ApiError, ApiResult, Code, FireReport, FireRequest, FunctionName, FunctionRef, HookInfo, HookKind, HookName,
    HookRequest, HookTraceInfo, HookTraceQuery, OnError, SubscriptionInfo, SubscriptionQuery, SubscriptionRequest,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::records::checked;
use super::{CALL, PluginPath};
use crate::endpoint::answer::{Created, Done, Reply};
use crate::endpoint::api::Api;
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::page::List;

const TAG: &str = "Hooks";
/// The error codes of subscribing.
const SUBSCRIBE: &[Code] = &[
    Code::NotFound,
    Code::PluginNotFound,
    Code::FunctionNotFound,
    Code::InvalidInput,
    Code::Conflict,
    Code::AlreadyExists,
    Code::Unsupported,
];

pub fn routes(api: &mut Api) {
    api.get("/api/v1/hooks", "hook_list", hooks).tag(TAG).summary("List the hooks").right("hook_view");
    api.post("/api/v1/hooks", "hook_create", create_hook)
        .tag(TAG)
        .summary("Add a hook")
        .right("hook_create")
        .example(json!({
            "name": "customer.created", "kind": "action", "description": "A customer signed up.",
            "schema": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        }))
        .fails(&[Code::InvalidInput, Code::AlreadyExists, Code::Conflict]);
    api.get("/api/v1/hooks/{hook}", "hook_fetch", hook)
        .tag(TAG)
        .summary("Show a hook with its payload schema")
        .right("hook_view")
        .fails(&[Code::NotFound]);
    api.delete("/api/v1/hooks/{hook}", "hook_delete", delete_hook)
        .tag(TAG)
        .summary("Remove a hook without subscribers")
        .right("hook_delete")
        .fails(&[Code::NotFound, Code::Conflict]);
    api.post("/api/v1/hooks/{hook}/fire", "hook_fire", fire)
        .tag(TAG)
        .summary("Fire a hook, or do a dry run")
        .describe(
            "With `dry_run`, only conditions are evaluated and no function is called. Firing a hook that a plugin \
             declares also requires the right `plugin_modify` on that plugin. An event names its caller.",
        )
        .right("hook_execute")
        .example(json!({"payload": {"country": "NO"}, "dry_run": true}))
        .fails(&[Code::NotFound, Code::Conflict])
        .fails(CALL);
    api.get("/api/v1/hooks/traces", "hook_traces", traces)
        .tag(TAG)
        .summary("List traces of hook firings, newest first")
        .right("hook_view");
    api.get("/api/v1/subscriptions", "subscription_list", subscriptions)
        .tag(TAG)
        .summary("List subscriptions, in the order in which they are called")
        .right("hook_view")
        .fails(&[Code::NotFound, Code::PluginNotFound]);
    api.post("/api/v1/subscriptions", "subscription_create", subscribe)
        .tag(TAG)
        .summary("Subscribe a function to a hook")
        .right("hook_create")
        .example(json!({"hook": "customer.created", "function": "aws-s3-template.check-bucket-name", "priority": 50}))
        .fails(SUBSCRIBE);
    api.delete("/api/v1/subscriptions/{subscription_id}", "subscription_delete", unsubscribe)
        .tag(TAG)
        .summary("Remove a subscription")
        .right("hook_delete")
        .fails(&[Code::NotFound, Code::Conflict]);
    api.post("/api/v1/subscriptions/{subscription_id}/enable", "subscription_enable", enable)
        .tag(TAG)
        .summary("Enable a subscription")
        .right("hook_create")
        .fails(SUBSCRIBE);
    api.post("/api/v1/subscriptions/{subscription_id}/disable", "subscription_disable", disable)
        .tag(TAG)
        .summary("Disable a subscription")
        .right("hook_delete")
        .fails(SUBSCRIBE);
    api.get("/api/v1/plugins/{plugin_id}/hooks", "plugin_hooks", plugin_hooks)
        .tag(TAG)
        .summary("List the subscriptions of a plugin")
        .right("hook_view")
        .fails(&[Code::PluginNotFound]);
    api.post("/api/v1/plugins/{plugin_id}/hooks", "plugin_hook_create", subscribe_plugin)
        .tag(TAG)
        .summary("Subscribe one of a plugin's functions to a hook")
        .describe("`hook_type`, if given, must be the kind of the hook.")
        .right("hook_create")
        .example(
            json!({"hook_name": "customer.created", "hook_type": "action", "callback_method": "check-bucket-name"}),
        )
        .fails(SUBSCRIBE);
}

/// The path of a hook.
#[derive(Debug, Deserialize, JsonSchema)]
struct HookPath {
    /// Its name.
    hook: HookName,
}

/// The path of a subscription.
#[derive(Debug, Deserialize, JsonSchema)]
struct SubscriptionPath {
    /// Its id, a ULID.
    #[schemars(length(min = 1), example = &"01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    subscription_id: String,
}

async fn hooks(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<List<HookInfo>>> {
    let items = caller.platform.hook_list().await?;
    Ok(Reply(List { items }))
}

async fn hook(caller: Caller, input: Input<HookPath, NoQuery, NoBody>) -> ApiResult<Reply<HookInfo>> {
    caller.platform.hook_fetch(&input.path.hook).await.map(Reply)
}

async fn create_hook(caller: Caller, input: Input<NoPath, NoQuery, HookRequest>) -> ApiResult<Created<HookInfo>> {
    let hook = caller.platform.hook_create(input.body).await?;
    let place = format!("/api/v1/hooks/{}", hook.name);
    Ok(Created(hook, place))
}

async fn delete_hook(caller: Caller, input: Input<HookPath, NoQuery, NoBody>) -> ApiResult<Done> {
    caller.platform.hook_delete(&input.path.hook).await.map(|()| Done)
}

async fn fire(caller: Caller, input: Input<HookPath, NoQuery, FireRequest>) -> ApiResult<Reply<FireReport>> {
    caller.platform.hook_fire(&input.path.hook, input.body).await.map(Reply)
}

async fn traces(caller: Caller, input: Input<NoPath, HookTraceQuery, NoBody>) -> ApiResult<Reply<List<HookTraceInfo>>> {
    checked(input.query.limit, input.query.correlation.as_deref(), None)?;
    let items = caller.platform.hook_traces(&input.query).await?;
    Ok(Reply(List { items }))
}

async fn subscriptions(
    caller: Caller,
    input: Input<NoPath, SubscriptionQuery, NoBody>,
) -> ApiResult<Reply<List<SubscriptionInfo>>> {
    let items = caller.platform.subscription_list(&input.query).await?;
    Ok(Reply(List { items }))
}

async fn subscribe(
    caller: Caller,
    input: Input<NoPath, NoQuery, SubscriptionRequest>,
) -> ApiResult<Created<SubscriptionInfo>> {
    let made = caller.platform.subscription_create(input.body).await?;
    Ok(Created(made, "/api/v1/subscriptions".to_owned()))
}

async fn unsubscribe(caller: Caller, input: Input<SubscriptionPath, NoQuery, NoBody>) -> ApiResult<Done> {
    caller.platform.subscription_delete(&input.path.subscription_id).await.map(|()| Done)
}

async fn enable(caller: Caller, input: Input<SubscriptionPath, NoQuery, NoBody>) -> ApiResult<Reply<SubscriptionInfo>> {
    caller.platform.subscription_switch(&input.path.subscription_id, true).await.map(Reply)
}

async fn disable(
    caller: Caller,
    input: Input<SubscriptionPath, NoQuery, NoBody>,
) -> ApiResult<Reply<SubscriptionInfo>> {
    caller.platform.subscription_switch(&input.path.subscription_id, false).await.map(Reply)
}

async fn plugin_hooks(
    caller: Caller,
    input: Input<PluginPath, NoQuery, NoBody>,
) -> ApiResult<Reply<List<SubscriptionInfo>>> {
    let query = SubscriptionQuery { plugin: Some(input.path.plugin_id), hook: None };
    let items = caller.platform.subscription_list(&query).await?;
    Ok(Reply(List { items }))
}

/// A subscription of a plugin's function, with the field names of callback-based plugin systems.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Callback {
    hook_name: HookName,
    /// The expected kind of the hook.
    #[serde(default)]
    hook_type: Option<HookKind>,
    /// The function, by its name within the plugin.
    callback_method: FunctionName,
    /// Lower numbers are called first; the default is 100.
    #[serde(default)]
    #[schemars(range(min = -10_000, max = 10_000))]
    priority: Option<i32>,
    #[serde(default)]
    #[schemars(length(max = 4000))]
    description: Option<String>,
    /// A CEL expression over `event`, `hook`, `caller` and `origin`.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    condition: Option<String>,
    #[serde(default)]
    on_error: OnError,
}

async fn subscribe_plugin(
    caller: Caller,
    input: Input<PluginPath, NoQuery, Callback>,
) -> ApiResult<Created<SubscriptionInfo>> {
    let plugin = input.path.plugin_id;
    let Callback { hook_name, hook_type, callback_method, priority, description, condition, on_error } = input.body;
    if let Some(expected) = hook_type {
        let hooks = caller.platform.hook_list().await?;
        let present = hooks.iter().find(|hook| hook.name == hook_name);
        if present.is_some_and(|hook| hook.kind != expected) {
            let message = format!("the kind of the hook `{hook_name}` is not `hook_type`");
            return Err(ApiError::new(Code::Conflict, message).with_hint("`GET /api/v1/hooks` shows its kind"));
        }
    }
    let function = FunctionRef::new(plugin.clone(), callback_method);
    let hook = hook_name;
    let request = SubscriptionRequest { hook, function, priority, condition, on_error, timeout: None, description };
    let made = caller.platform.subscription_create(request).await?;
    Ok(Created(made, format!("/api/v1/plugins/{plugin}/hooks")))
}
