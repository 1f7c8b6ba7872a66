//! The webhooks, which can be changed, and a delivery.

use async_trait::async_trait;
use outrigger_api::*;
use time::OffsetDateTime;

use super::{Seen, put};

pub(super) fn webhook(name: &WebhookName) -> WebhookInfo {
    WebhookInfo {
        name: name.clone(),
        url: "https://ops.example.com/".to_owned(),
        events: vec!["*".parse().unwrap()],
        plugin: None,
        enabled: true,
        reason: None,
        description: String::new(),
        headers: vec!["Authorization".to_owned()],
        allow_http: false,
        allow_private_network: false,
        failing_since: Some(OffsetDateTime::UNIX_EPOCH),
        pending: 1,
        dead: 0,
        created_by: "local".to_owned(),
        created_at: OffsetDateTime::UNIX_EPOCH,
        updated_at: OffsetDateTime::UNIX_EPOCH,
    }
}

fn delivery(name: &WebhookName) -> DeliveryInfo {
    DeliveryInfo {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        webhook: name.clone(),
        event: None,
        name: "webhook.test".parse().unwrap(),
        state: "pending".to_owned(),
        attempts: 1,
        next_at: Some(OffsetDateTime::UNIX_EPOCH),
        status: Some(500),
        error: Some("the receiver answered 500".to_owned()),
        created_at: OffsetDateTime::UNIX_EPOCH,
        ended_at: None,
    }
}

#[async_trait]
impl Webhooks for Seen {
    async fn webhook_list(&self) -> ApiResult<Vec<WebhookInfo>> {
        self.allowed()?;
        Ok(self.state.webhooks.lock().clone())
    }

    async fn webhook_fetch(&self, name: &WebhookName) -> ApiResult<WebhookInfo> {
        self.allowed()?;
        let found = self.state.webhooks.lock().iter().find(|webhook| webhook.name == *name).cloned();
        found.ok_or_else(|| ApiError::new(Code::NotFound, format!("there is no webhook `{name}`")))
    }

    async fn webhook_create(&self, request: WebhookRequest) -> ApiResult<NewWebhook> {
        self.allowed()?;
        Ok(NewWebhook { webhook: webhook(&request.name), secret: Secret::new("whsec_AAAA".to_owned()) })
    }

    async fn webhook_update(
        &self,
        name: &WebhookName,
        change: WebhookChange,
        expected: Option<Fingerprint>,
    ) -> ApiResult<WebhookInfo> {
        let present = self.webhook_fetch(name).await?;
        self.check_expected(expected, Some(present.fingerprint()))?;
        let WebhookChange { url, events, plugin, enabled, description, .. } = change;
        let new = WebhookInfo { url, events, plugin, enabled, description, ..present };
        let mut all = self.state.webhooks.lock();
        let place = all.iter().position(|webhook| webhook.name == *name);
        put(&mut all, place, new)
    }

    async fn webhook_delete(&self, _: &WebhookName) -> ApiResult<()> {
        self.allowed()
    }

    async fn webhook_rotate(&self, name: &WebhookName) -> ApiResult<WebhookSecret> {
        self.allowed()?;
        Ok(WebhookSecret { name: name.clone(), secret: Secret::new("whsec_AAAA".to_owned()) })
    }

    async fn webhook_test(&self, name: &WebhookName) -> ApiResult<DeliveryInfo> {
        self.allowed().map(|()| delivery(name))
    }

    async fn delivery_list(&self, name: &WebhookName, _: &DeliveryQuery) -> ApiResult<Vec<DeliveryInfo>> {
        self.allowed()?;
        Ok(vec![delivery(name)])
    }

    async fn delivery_fetch(&self, name: &WebhookName, _: &str) -> ApiResult<DeliveryInfo> {
        self.allowed().map(|()| delivery(name))
    }

    async fn delivery_retry(&self, _: &WebhookName, _: Option<&str>) -> ApiResult<DeliveryRetry> {
        self.allowed()?;
        Ok(DeliveryRetry { retried: 1 })
    }
}
