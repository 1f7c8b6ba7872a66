//! Functions: find, describe and call them.

use outrigger_api::{
    ApiError, ApiResult, CallRequest, CallResponse, Code, FunctionDescription, FunctionQuery, FunctionRef,
    FunctionSummary, JsonObject, PluginName,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::records::checked;
use super::{CALL, FunctionPath, plugins};
use crate::endpoint::answer::Reply;
use crate::endpoint::api::Api;
use crate::endpoint::input::{AsText, Input, NoBody};
use crate::endpoint::problem::{Problem, refused_throughout};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::page::{Limit, Milliseconds, Offset, Page, Parallel};

const TAG: &str = "Functions";
/// How many calls one batch may have.
const BATCH: usize = 256;

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
    api.post("/api/v1/batch", "function_batch", batch)
        .tag(TAG)
        .summary("Call several functions")
        .describe(
            "At most 256 at a time. The results come in the order of the calls; a failed call does not stop the \
        others.",
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
    let functions = caller.platform.function_list(&query).await?;
    Ok(Reply(Page::of(functions, offset, limit)))
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

async fn call(
    caller: Caller,
    input: Input<FunctionPath, CallOptions, AsText<JsonObject>>,
) -> ApiResult<Reply<CallResponse>> {
    let CallOptions { timeout_ms, no_cache, profile } = input.query;
    let request = CallRequest::new(input.path.function, input.body.0);
    plugins::call(
        &caller,
        CallRequest { timeout_ms: timeout_ms.map(|timeout| timeout.0), no_cache, profile, ..request },
    )
    .await
}

/// Several calls.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Batch {
    #[serde(deserialize_with = "outrigger_api::object::list_up_to::<_, _, BATCH>")]
    #[schemars(length(min = 1, max = 256))]
    calls: Vec<BatchCall>,
    /// The number of concurrent calls; the default is 8.
    #[serde(default)]
    parallel: Parallel,
}

/// One of several calls.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BatchCall {
    function: FunctionRef,
    /// An object with a member for each parameter.
    #[serde(default)]
    args: JsonObject,
    /// Instead of the function's own timeout; at most a day.
    #[serde(default)]
    timeout_ms: Option<Milliseconds>,
    /// Ask for a fresh answer.
    #[serde(default)]
    no_cache: bool,
    /// The correlation id to use (a ULID), instead of that of the request.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"))]
    correlation: Option<String>,
    /// Say where the time went.
    #[serde(default)]
    profile: bool,
}

/// The results of several calls.
#[derive(Debug, Serialize, JsonSchema)]
struct BatchReport {
    succeeded: u32,
    failed: u32,
    /// In the order of the calls.
    results: Vec<BatchResult>,
}

/// The result of one call, or its problem.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BatchResult {
    Answer(CallResponse),
    Error(Problem),
}

async fn batch(caller: Caller, input: Input<NoPath, NoQuery, AsText<Batch>>) -> ApiResult<Reply<BatchReport>> {
    let Batch { calls, parallel } = input.body.0;
    if calls.is_empty() {
        return Err(ApiError::new(Code::InvalidInput, format!("`calls` is empty; it must have 1 to {BATCH} calls")));
    }
    for call in &calls {
        checked(0, call.correlation.as_deref(), None)?;
    }
    let request = |call: BatchCall| {
        let BatchCall { function, args, timeout_ms, no_cache, correlation, profile } = call;
        let timeout_ms = timeout_ms.map(|timeout| timeout.0);
        CallRequest { timeout_ms, no_cache, correlation, profile, ..CallRequest::new(function, args) }
    };
    let requests = calls.into_iter().map(request).collect();
    let answers = caller.platform.call_batch(requests, parallel.0 as usize).await;
    let mut report = BatchReport { succeeded: 0, failed: 0, results: Vec::with_capacity(answers.len()) };
    for answer in answers {
        report.results.push(match answer {
            Ok(answer) => {
                report.succeeded += 1;
                BatchResult::Answer(answer)
            }
            Err(error) => {
                report.failed += 1;
                BatchResult::Error(Problem::new(error, caller.correlation))
            }
        });
    }
    refused_throughout(report.results.iter().map(|result| match result {
        BatchResult::Answer(_) => None,
        BatchResult::Error(problem) => Some(problem),
    }))?;
    Ok(Reply(report))
}
