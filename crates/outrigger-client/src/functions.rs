//! Functions over HTTP.

use async_trait::async_trait;
use outrigger_api::{
    ApiError, ApiResult, CallRequest, CallResponse, Code, FunctionDescription, FunctionQuery, FunctionRef,
    FunctionSummary, Functions,
};
use serde::{Deserialize, Serialize};

use crate::Client;
use crate::http::segment;

#[derive(Serialize)]
struct Batch {
    calls: Vec<CallRequest>,
    parallel: usize,
}

/// One answer of a batch.
#[derive(Deserialize)]
#[serde(untagged)]
enum Outcome {
    Answered { ok: CallResponse },
    Failed { error: ApiError },
}

#[async_trait]
impl Functions for Client {
    async fn call(&self, request: CallRequest) -> ApiResult<CallResponse> {
        self.post("api/v1/call", &request).await
    }

    async fn call_batch(&self, requests: Vec<CallRequest>, parallel: usize) -> Vec<ApiResult<CallResponse>> {
        let count = requests.len();
        let answered: ApiResult<Vec<Outcome>> = self.post("api/v1/batch", &Batch { calls: requests, parallel }).await;
        let answers: Vec<_> = match answered {
            Ok(outcomes) if outcomes.len() == count => outcomes,
            Ok(_) => return vec![Err(ApiError::new(Code::Internal, "the server left out answers")); count],
            Err(error) => return vec![Err(error); count],
        };
        let result = |outcome| match outcome {
            Outcome::Answered { ok } => Ok(ok),
            Outcome::Failed { error } => Err(error),
        };
        answers.into_iter().map(result).collect()
    }

    async fn function_list(&self, query: &FunctionQuery) -> ApiResult<Vec<FunctionSummary>> {
        self.get("api/v1/functions", query).await
    }

    async fn function_describe(&self, function: &FunctionRef) -> ApiResult<FunctionDescription> {
        self.get(&format!("api/v1/functions/{}", segment(&function.to_string())), &()).await
    }
}
