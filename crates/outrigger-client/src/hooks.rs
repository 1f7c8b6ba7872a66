//! Hooks over HTTP.

use async_trait::async_trait;
use outrigger_api::{
    ApiResult, FireReport, FireRequest, HookInfo, HookName, HookRequest, HookTraceInfo, HookTraceQuery, Hooks,
    SubscriptionInfo, SubscriptionQuery, SubscriptionRequest,
};

use crate::Client;
use crate::http::segment;
use crate::records::MOST;

fn hook(name: &HookName, rest: &str) -> String {
    format!("api/v1/hooks/{name}{rest}")
}

fn subscription(id: &str, rest: &str) -> String {
    format!("api/v1/subscriptions/{}{rest}", segment(id))
}

#[async_trait]
impl Hooks for Client {
    async fn hook_list(&self) -> ApiResult<Vec<HookInfo>> {
        self.list("api/v1/hooks", &()).await
    }

    async fn hook_fetch(&self, name: &HookName) -> ApiResult<HookInfo> {
        self.get(&hook(name, ""), &()).await
    }

    async fn hook_create(&self, request: HookRequest) -> ApiResult<HookInfo> {
        self.post("api/v1/hooks", &request).await
    }

    async fn hook_delete(&self, name: &HookName) -> ApiResult<()> {
        self.delete(&hook(name, "")).await
    }

    async fn subscription_list(&self, query: &SubscriptionQuery) -> ApiResult<Vec<SubscriptionInfo>> {
        self.list("api/v1/subscriptions", query).await
    }

    async fn subscription_create(&self, request: SubscriptionRequest) -> ApiResult<SubscriptionInfo> {
        self.post("api/v1/subscriptions", &request).await
    }

    async fn subscription_delete(&self, id: &str) -> ApiResult<()> {
        self.delete(&subscription(id, "")).await
    }

    async fn subscription_switch(&self, id: &str, enabled: bool) -> ApiResult<SubscriptionInfo> {
        self.post_empty(&subscription(id, if enabled { "/enable" } else { "/disable" })).await
    }

    async fn hook_fire(&self, name: &HookName, request: FireRequest) -> ApiResult<FireReport> {
        self.post(&hook(name, "/fire"), &request).await
    }

    async fn hook_traces(&self, query: &HookTraceQuery) -> ApiResult<Vec<HookTraceInfo>> {
        let query = HookTraceQuery { limit: query.limit.min(MOST), ..query.clone() };
        self.list("api/v1/hooks/traces", &query).await
    }
}
