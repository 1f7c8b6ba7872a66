//! The same by other names: `/api/plugins/…`, as the earlier plugin API had it, where a function is called a plugin.

use outrigger_api::{
    ApiError, ApiResult, CallRequest, Code, FunctionDescription, FunctionQuery, FunctionRef, JsonObject, PluginDetails,
    PluginName, StatisticsReport,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{CALL, LIFECYCLE, functions, plugins};
use crate::endpoint::NoQuery;
use crate::endpoint::answer::{Called, Done, Reply};
use crate::endpoint::api::Api;
use crate::endpoint::input::{AsText, Input, NoBody};
use crate::endpoint::who::Caller;

const TAG: &str = "Earlier names";

pub fn routes(api: &mut Api) {
    api.get("/api/plugins/list", "earlier_list", functions::list)
        .tag(TAG)
        .summary("List the executable functions")
        .describe("Each `function` is a name for the other endpoints.")
        .right("function_view")
        .fails(&[Code::PluginNotFound]);
    api.get("/api/plugins/{name}", "earlier_info", info)
        .tag(TAG)
        .summary("Show a plugin or a function")
        .describe("For `plugin.function`, requires the right `function_view`.")
        .right("plugin_view")
        .fails(&[Code::PluginNotFound, Code::FunctionNotFound]);
    api.post("/api/plugins/{name}/execute", "earlier_execute", execute)
        .tag(TAG)
        .summary("Call a function")
        .describe("The name is `plugin.function`, or the name of a plugin with exactly one function.")
        .right("function_execute")
        .example(json!({"input_data": {}}))
        .fails(CALL)
        .calls();
    api.get("/api/plugins/{name}/metrics", "earlier_metrics", metrics)
        .tag(TAG)
        .summary("Statistics of a plugin or a function")
        .right("statistics_view")
        .fails(&[Code::PluginNotFound, Code::FunctionNotFound]);
    api.post("/api/plugins/{name}/reload", "earlier_reload", reload)
        .tag(TAG)
        .summary("Reload a plugin")
        .right("plugin_modify")
        .fails(LIFECYCLE);
}

/// The path of a plugin or a function.
#[derive(Debug, Deserialize, JsonSchema)]
struct NamePath {
    /// A plugin, or a function written `plugin.function`.
    name: Name,
}

/// A plugin or one of its functions.
#[derive(Clone, Debug)]
enum Name {
    Plugin(PluginName),
    Function(FunctionRef),
}

impl Name {
    fn plugin(&self) -> &PluginName {
        match self {
            Self::Plugin(plugin) => plugin,
            Self::Function(function) => &function.plugin,
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name = if text.contains('.') { text.parse().map(Self::Function) } else { text.parse().map(Self::Plugin) };
        name.map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Name {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^[a-z][a-z0-9_-]{0,63}(\.[A-Za-z0-9_.-]{1,128})?$",
            "examples": ["pricing.currencies"],
        })
    }
}

/// A plugin, or one of its functions.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum PluginOrFunction {
    Plugin(Box<PluginDetails>),
    Function(Box<FunctionDescription>),
}

async fn info(caller: Caller, input: Input<NamePath, NoQuery, NoBody>) -> ApiResult<Reply<PluginOrFunction>> {
    let platform = &caller.platform;
    Ok(Reply(match input.path.name {
        Name::Plugin(plugin) => PluginOrFunction::Plugin(Box::new(platform.plugin_info(&plugin).await?)),
        Name::Function(function) => PluginOrFunction::Function(Box::new(platform.function_describe(&function).await?)),
    }))
}

/// A call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EarlierExecution {
    /// An object with a member for each parameter.
    #[serde(default)]
    input_data: JsonObject,
}

async fn execute(caller: Caller, input: Input<NamePath, NoQuery, AsText<EarlierExecution>>) -> ApiResult<Called> {
    let function = match input.path.name {
        Name::Function(function) => function,
        Name::Plugin(plugin) => only_function(&caller, plugin).await?,
    };
    plugins::call(&caller, CallRequest::new(function, input.body.0.input_data)).await
}

async fn only_function(caller: &Caller, plugin: PluginName) -> ApiResult<FunctionRef> {
    let query = FunctionQuery { text: String::new(), plugin: Some(plugin.clone()), all: true };
    let (mut functions, total) = caller.platform.function_page(&query, 0..1).await?;
    match (functions.pop(), total) {
        (Some(only), 1) => Ok(only.function),
        (None, _) => Err(ApiError::new(Code::FunctionNotFound, format!("the plugin `{plugin}` has no function"))),
        (Some(_), _) => {
            let message = format!("the plugin `{plugin}` has {total} functions, so one must be named");
            Err(ApiError::new(Code::FunctionNotFound, message)
                .with_hint(format!("write `{plugin}.FUNCTION` instead of `{plugin}`")))
        }
    }
}

async fn metrics(caller: Caller, input: Input<NamePath, NoQuery, NoBody>) -> ApiResult<Reply<StatisticsReport>> {
    let name = input.path.name;
    let mut report = caller.platform.plugin_statistics(Some(name.plugin())).await?;
    if let Name::Function(function) = &name {
        let function = function.to_string();
        report.functions.retain(|statistics| statistics.function == function);
        // A function that was never called has no line of its own.
        report.total = report.functions.first().cloned().unwrap_or_default();
        "total".clone_into(&mut report.total.function);
    }
    Ok(Reply(report))
}

async fn reload(caller: Caller, input: Input<NamePath, NoQuery, NoBody>) -> ApiResult<Done> {
    caller.platform.plugin_reload(input.path.name.plugin()).await.map(|()| Done)
}
