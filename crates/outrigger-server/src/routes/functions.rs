//! Functions: find, describe and call them.

mod batch;

use outrigger_api::{
    ApiResult, CallRequest, Code, FunctionDescription, FunctionQuery, FunctionSummary, JsonObject, PluginName,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{CALL, FunctionPath, plugins};
use crate::endpoint::answer::{Called, Reply};
use crate::endpoint::api::Api;
use crate::endpoint::input::{AsText, Input, NoBody};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::page::{Limit, Milliseconds, Offset, Page};

const TAG: &str = "Functions";

pub fn routes(api: &mut Api) {
    api.get("/api/v1/functions", "function_list", list)
        .tag(TAG)
        .summary("List the functions that can be called")
        .right("function_view")
        .fails(&[Code::PluginNotFound]);
    api.get("/api/v1/functions/{function}", "function_describe", describe)
        .tag(TAG)
        .summary("Describe a function")
        .describe("Documentation, types, JSON Schemas of the arguments and the result, and options.")
        .right("function_view")
        .fails(&[Code::PluginNotFound, Code::FunctionNotFound]);
    api.post("/api/v1/functions/{function}/call", "function_call", call)
        .tag(TAG)
        .summary("Call a function")
        .describe("The body is the object of the arguments, with a member for each parameter.")
        .right("function_execute")
        .example(json!({}))
        .fails(CALL)
        .calls();
    api.post("/api/v1/batch", "function_batch", batch::batch)
        .tag(TAG)
        .summary("Call several functions")
        .describe(
            "At most 256 at a time. The results come in the order of the calls; a failed call does not stop the \
             others. All results together are limited to 16 MiB. A call whose result does not fit fails with \
             `output_limit`, and so do calls that have not started by then: they are not made.",
        )
        .right("function_execute")
        .example(json!({"calls": [{"function": "pricing.currencies", "args": {}}], "parallel": 4}))
        .fails(CALL)
        .calls();
}

/// Which functions to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionFilter {
    /// Words that must all occur in the name, title, description or tags, ignoring case.
    #[serde(default)]
    q: Option<String>,
    /// Only functions of this plugin.
    #[serde(default)]
    plugin: Option<PluginName>,
    /// Also functions of plugins that are not active.
    #[serde(default)]
    all: bool,
    /// How many to pass over.
    #[serde(default)]
    offset: Offset,
    /// How many to answer with at most.
    #[serde(default)]
    limit: Limit,
}

pub async fn list(
    caller: Caller,
    input: Input<NoPath, FunctionFilter, NoBody>,
) -> ApiResult<Reply<Page<FunctionSummary>>> {
    let FunctionFilter { q, plugin, all, offset, limit } = input.query;
    let query = FunctionQuery { text: q.unwrap_or_default(), plugin, all };
    let first = offset.0 as usize;
    let (functions, total) = caller.platform.function_page(&query, first..first + limit.0 as usize).await?;
    Ok(Reply(Page::part(functions, total, offset, limit)))
}

async fn describe(
    caller: Caller,
    input: Input<FunctionPath, NoQuery, NoBody>,
) -> ApiResult<Reply<FunctionDescription>> {
    caller.platform.function_describe(&input.path.function).await.map(Reply)
}

/// How to call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CallOptions {
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

async fn call(caller: Caller, input: Input<FunctionPath, CallOptions, AsText<JsonObject>>) -> ApiResult<Called> {
    let CallOptions { timeout_ms, no_cache, profile } = input.query;
    let request = CallRequest::new(input.path.function, input.body.0);
    plugins::call(
        &caller,
        CallRequest { timeout_ms: timeout_ms.map(|timeout| timeout.0), no_cache, profile, ..request },
    )
    .await
}
