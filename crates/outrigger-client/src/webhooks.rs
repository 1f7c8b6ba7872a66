//! Webhooks over HTTP.

use async_trait::async_trait;
use outrigger_api::{
    ApiResult, DeliveryInfo, DeliveryQuery, DeliveryRetry, Fingerprint, NewWebhook, WebhookChange, WebhookInfo,
    WebhookName, WebhookRequest, WebhookSecret, Webhooks,
};

use crate::Client;
use crate::http::segment;
use crate::records::MOST;

fn webhook(name: &WebhookName, rest: &str) -> String {
    format!("api/v1/webhooks/{name}{rest}")
}

#[async_trait]
impl Webhooks for Client {
    async fn webhook_list(&self) -> ApiResult<Vec<WebhookInfo>> {
        self.list("api/v1/webhooks", &()).await
    }

    async fn webhook_fetch(&self, name: &WebhookName) -> ApiResult<WebhookInfo> {
        self.get(&webhook(name, ""), &()).await
    }

    async fn webhook_create(&self, request: WebhookRequest) -> ApiResult<NewWebhook> {
        self.post("api/v1/webhooks", &request).await
    }

    async fn webhook_update(
        &self,
        name: &WebhookName,
        change: WebhookChange,
        expected: Option<Fingerprint>,
    ) -> ApiResult<WebhookInfo> {
        self.put(&webhook(name, ""), &change, expected).await
    }

    async fn webhook_delete(&self, name: &WebhookName) -> ApiResult<()> {
        self.delete(&webhook(name, "")).await
    }

    async fn webhook_rotate(&self, name: &WebhookName) -> ApiResult<WebhookSecret> {
        self.post_empty(&webhook(name, "/secret")).await
    }

    async fn webhook_test(&self, name: &WebhookName) -> ApiResult<DeliveryInfo> {
        self.post_empty(&webhook(name, "/test")).await
    }

    async fn delivery_list(&self, name: &WebhookName, query: &DeliveryQuery) -> ApiResult<Vec<DeliveryInfo>> {
        let query = DeliveryQuery { limit: query.limit.min(MOST), ..query.clone() };
        self.list(&webhook(name, "/deliveries"), &query).await
    }

    async fn delivery_fetch(&self, name: &WebhookName, id: &str) -> ApiResult<DeliveryInfo> {
        self.get(&webhook(name, &format!("/deliveries/{}", segment(id))), &()).await
    }

    async fn delivery_retry(&self, name: &WebhookName, id: Option<&str>) -> ApiResult<DeliveryRetry> {
        let which = id.map_or_else(String::new, |id| format!("/{}", segment(id)));
        self.post_empty(&webhook(name, &format!("/deliveries{which}/retry"))).await
    }
}
