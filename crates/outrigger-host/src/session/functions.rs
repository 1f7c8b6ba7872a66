//! Functions: found, described, called. The right to call is checked on the engine's path, where every call goes.

use std::ops::Range;

use async_trait::async_trait;
use futures::StreamExt;
use outrigger_api::{
    ApiResult, CallRequest, CallResponse, FunctionDescription, FunctionQuery, FunctionSummary, Functions,
};
use outrigger_contract::FunctionRef;
use outrigger_engine::access::Right;

use super::{Session, Who};
use crate::{convert, functions, records};

#[async_trait]
impl Functions for Session {
    async fn call(&self, request: CallRequest) -> ApiResult<CallResponse> {
        if let (Who::Key(_), Some(given)) = (&self.who, &request.correlation) {
            records::check_chosen(&self.host.engine, records::correlation(given)?).await?;
        }
        let call = functions::prepare(self.caller(), self.correlation, self.trace, request)?;
        let answer = self.host.engine.call(call).await;
        let answer = answer.map_err(|failure| self.shown_error(convert::error(failure)))?;
        functions::response(&answer).await
    }

    async fn call_batch(&self, requests: Vec<CallRequest>, parallel: usize) -> Vec<ApiResult<CallResponse>> {
        let running = requests.into_iter().map(|request| self.call(request));
        futures::stream::iter(running).buffered(parallel.max(1)).collect().await
    }

    async fn function_list(&self, query: &FunctionQuery) -> ApiResult<Vec<FunctionSummary>> {
        self.function_page(query, 0..usize::MAX).await.map(|(found, _)| found)
    }

    async fn function_page(
        &self,
        query: &FunctionQuery,
        page: Range<usize>,
    ) -> ApiResult<(Vec<FunctionSummary>, usize)> {
        self.require_some(Right::FUNCTION_VIEW)?;
        let seen = |summary: &FunctionSummary| self.may(Right::FUNCTION_VIEW, &summary.function.to_string());
        self.host.catalogue.list(&self.host.engine, query, page, seen).await
    }

    async fn function_describe(&self, function: &FunctionRef) -> ApiResult<FunctionDescription> {
        self.require(Right::FUNCTION_VIEW, &function.to_string())?;
        functions::describe(&self.host.engine, function).await
    }
}
