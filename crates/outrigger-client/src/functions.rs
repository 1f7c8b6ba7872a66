//! Functions over HTTP.

use async_trait::async_trait;
use outrigger_api::{
    ApiError, ApiResult, CallRequest, CallResponse, Code, FunctionDescription, FunctionQuery, FunctionRef,
    FunctionSummary, Functions, JsonObject, PluginName,
};
use serde::{Deserialize, Serialize};

use crate::Client;
use crate::http::{Problem, segment};

/// How many calls a server takes in one request.
const BATCH: usize = 256;

#[derive(Serialize)]
struct Filter<'a> {
    q: &'a str,
    plugin: Option<&'a PluginName>,
    all: bool,
}

#[derive(Serialize)]
struct Batch<'a> {
    calls: Vec<BatchCall<'a>>,
    parallel: usize,
}

#[derive(Serialize)]
struct BatchCall<'a> {
    function: &'a FunctionRef,
    args: &'a JsonObject,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    no_cache: bool,
    // Left out where there is none: a server of an earlier version does not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<&'a str>,
    profile: bool,
}

impl<'a> BatchCall<'a> {
    fn of(request: &'a CallRequest) -> Self {
        let CallRequest { function, arguments, timeout_ms, no_cache, correlation, profile } = request;
        let (correlation, no_cache) = (correlation.as_deref(), *no_cache);
        Self { function, args: arguments, timeout_ms: *timeout_ms, no_cache, correlation, profile: *profile }
    }
}

#[derive(Deserialize)]
struct BatchReport {
    results: Vec<BatchResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum BatchResult {
    Answer(CallResponse),
    Error(Problem),
}

#[async_trait]
impl Functions for Client {
    async fn call(&self, request: CallRequest) -> ApiResult<CallResponse> {
        let CallRequest { function, arguments, timeout_ms, no_cache, correlation, profile } = request;
        let name = segment(&function.to_string());
        let mut path = format!("api/v1/functions/{name}/call?no_cache={no_cache}&profile={profile}");
        if let Some(timeout) = timeout_ms {
            path = format!("{path}&timeout_ms={timeout}");
        }
        self.post_under(&path, &arguments, correlation.as_deref()).await
    }

    async fn call_batch(&self, requests: Vec<CallRequest>, parallel: usize) -> Vec<ApiResult<CallResponse>> {
        let mut answers = Vec::with_capacity(requests.len());
        for requests in requests.chunks(BATCH) {
            match self.batch(requests, parallel).await {
                Ok(part) => answers.extend(part),
                Err(error) => answers.extend(std::iter::repeat_n(Err(error), requests.len())),
            }
        }
        answers
    }

    async fn function_list(&self, query: &FunctionQuery) -> ApiResult<Vec<FunctionSummary>> {
        let FunctionQuery { text, plugin, all } = query;
        let filter = Filter { q: text, plugin: plugin.as_ref(), all: *all };
        self.pages("api/v1/functions", &filter).await
    }

    async fn function_describe(&self, function: &FunctionRef) -> ApiResult<FunctionDescription> {
        self.get(&format!("api/v1/functions/{}", segment(&function.to_string())), &()).await
    }
}

impl Client {
    async fn batch(&self, requests: &[CallRequest], parallel: usize) -> ApiResult<Vec<ApiResult<CallResponse>>> {
        let calls = requests.iter().map(BatchCall::of).collect();
        let batch = Batch { calls, parallel: parallel.clamp(1, 64) };
        let report: BatchReport = self.post("api/v1/batch", &batch).await?;
        if report.results.len() != requests.len() {
            return Err(ApiError::new(Code::Internal, "the server's response is incomplete"));
        }
        let result = |result| match result {
            BatchResult::Answer(answer) => Ok(answer),
            BatchResult::Error(problem) => Err(problem.into()),
        };
        Ok(report.results.into_iter().map(result).collect())
    }
}
