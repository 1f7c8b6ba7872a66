//! The functions: `pricing.echo`, `pricing.slow`, and those that end badly.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use outrigger_api::*;
use serde_json::json;

use super::{DIGEST, Seen};

#[async_trait]
impl Functions for Seen {
    async fn call(&self, request: CallRequest) -> ApiResult<CallResponse> {
        self.plugin(&request.function.plugin)?;
        self.state.calls.fetch_add(1, Ordering::SeqCst);
        let result = match request.function.function.as_str() {
            "echo" => request.arguments.to_value(),
            "currencies" => json!([]),
            "slow" => {
                self.state.pass("call").await;
                json!("at last")
            }
            "fail" => {
                let error = ApiError::new(Code::FunctionFailed, "it failed");
                return Err(ApiError { detail: Some(json!(["no", "price"])), ..error });
            }
            "limited" => {
                let error = ApiError::new(Code::RateLimited, "too often");
                return Err(ApiError { retry_after_ms: Some(1500), ..error });
            }
            "faulty" => {
                let error = ApiError::new(Code::InvalidInput, "it does not fit");
                return Err(ApiError { detail: Some(json!([{"path": "a", "message": "no"}])), ..error });
            }
            "cancelled" => return Err(ApiError::new(Code::Cancelled, "somebody cancelled it")),
            "panics" => panic!("on purpose"),
            other => return Err(ApiError::new(Code::FunctionNotFound, format!("no `{other}`"))),
        };
        Ok(CallResponse {
            result: result.into(),
            cache: "bypass".to_owned(),
            duration_us: 1,
            attempts: 1,
            correlation: request.correlation.unwrap_or_else(|| self.correlation.clone()),
            version: "1.2.0".to_owned(),
            revision: DIGEST.to_owned(),
            warnings: Vec::new(),
            profile: request.profile.then(|| Box::new(profile(request.function))),
        })
    }

    async fn call_batch(&self, requests: Vec<CallRequest>, _: usize) -> Vec<ApiResult<CallResponse>> {
        let mut answers = Vec::new();
        for request in requests {
            answers.push(self.call(request).await);
        }
        answers
    }

    async fn function_list(&self, query: &FunctionQuery) -> ApiResult<Vec<FunctionSummary>> {
        self.allowed()?;
        query.plugin.as_ref().map(|plugin| self.plugin(plugin)).transpose()?;
        Ok(self.functions())
    }

    async fn function_describe(&self, function: &FunctionRef) -> ApiResult<FunctionDescription> {
        self.plugin(&function.plugin)?;
        let mut functions = self.functions().into_iter();
        let summary = functions.find(|summary| summary.function == *function);
        Ok(FunctionDescription {
            summary: summary.ok_or_else(|| ApiError::new(Code::FunctionNotFound, "no such function"))?,
            description: String::new(),
            parameters: Vec::new(),
            arguments_schema: json!({}),
            result_schema: json!({}),
            error_schema: None,
            timeout_ms: 1000,
            cache_ms: None,
            rate_limit: None,
            estimated_ms: None,
            requires_auth: false,
            requires_admin: false,
            types: Default::default(),
        })
    }
}

/// A call that made another.
fn profile(function: FunctionRef) -> CallProfile {
    let alone = CallProfile {
        function,
        code: None,
        total_ns: 1_500,
        stages: vec![StageTime { stage: "run".to_owned(), ns: 1_500 }],
        host_calls: vec![HostCallTime { import: "outrigger:plugin/calls".to_owned(), calls: 1, ns: 700 }],
        calls: Vec::new(),
        calls_left_out: 0,
    };
    CallProfile { calls: vec![CallProfile { code: Some(Code::Trapped), ..alone.clone() }], ..alone }
}
