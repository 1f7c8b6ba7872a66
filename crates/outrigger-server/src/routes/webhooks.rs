//! Webhooks, and what is on its way to them.

use outrigger_api::{
    ApiResult, Code, DeliveryInfo, DeliveryQuery, DeliveryRetry, NewWebhook, WebhookChange, WebhookInfo, WebhookName,
    WebhookRequest, WebhookSecret,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::records::checked;
use crate::endpoint::answer::{Created, Done, Reply, Tagged};
use crate::endpoint::api::Api;
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::etag::{self, Demand, ETag};
use crate::page::List;

const TAG: &str = "Webhooks";
/// The right that sending again requires.
const RETRY: &str = "Requires the right `event_view` for all events of the webhook.";

pub fn routes(api: &mut Api) {
    api.get("/api/v1/webhooks", "webhook_list", list)
        .tag(TAG)
        .summary("List the webhooks, without their secrets")
        .right("webhook_view");
    api.post("/api/v1/webhooks", "webhook_create", create)
        .tag(TAG)
        .summary("Add a webhook")
        .describe(
            "Deliveries are signed as Standard Webhooks specifies. The secret is shown only in this response. \
             Requires the right `event_view` for all events of the webhook.",
        )
        .right("webhook_create")
        .example(json!({
            "name": "ops-chat", "url": "https://ops.example.com/hooks/outrigger", "events": ["plugin.*", "job.failed"],
        }))
        .fails(&[Code::AlreadyExists, Code::Conflict, Code::SecretUnreadable]);
    api.get("/api/v1/webhooks/{webhook}", "webhook_fetch", fetch)
        .tag(TAG)
        .summary("Show a webhook")
        .describe("The ETag covers the webhook's settings and the time of its last change, not its deliveries.")
        .right("webhook_view")
        .fails(&[Code::NotFound]);
    api.put("/api/v1/webhooks/{webhook}", "webhook_update", update)
        .tag(TAG)
        .summary("Change a webhook")
        .describe(
            "Omitted fields are set to their defaults, except `headers`, which are kept. If the address moves to \
             another server, `headers` must be given again, because the new server must not see the old values; \
             pending deliveries are abandoned.",
        )
        .right("webhook_update")
        .example(json!({"url": "https://ops.example.com/hooks/outrigger", "events": ["*"], "enabled": true}))
        .takes_if_match()
        .fails(&[Code::NotFound, Code::SecretUnreadable]);
    api.delete("/api/v1/webhooks/{webhook}", "webhook_delete", delete)
        .tag(TAG)
        .summary("Remove a webhook with its deliveries")
        .right("webhook_delete")
        .fails(&[Code::NotFound]);
    api.post("/api/v1/webhooks/{webhook}/test", "webhook_test", test)
        .tag(TAG)
        .summary("Test a webhook")
        .describe("Queues a delivery named `webhook.test`; its state is at `…/deliveries/{delivery_id}`.")
        .right("webhook_update")
        .fails(&[Code::NotFound, Code::Conflict]);
    api.post("/api/v1/webhooks/{webhook}/secret", "webhook_rotate", rotate)
        .tag(TAG)
        .summary("Create a new secret for a webhook")
        .describe("For a day, deliveries are signed with both the new and the previous secret.")
        .right("webhook_update")
        .fails(&[Code::NotFound, Code::SecretUnreadable]);
    api.get("/api/v1/webhooks/{webhook}/deliveries", "delivery_list", deliveries)
        .tag(TAG)
        .summary("List deliveries, newest first")
        .right("webhook_view")
        .fails(&[Code::NotFound]);
    api.post("/api/v1/webhooks/{webhook}/deliveries/retry", "delivery_retry_all", retry_all)
        .tag(TAG)
        .summary("Send all dead letters again")
        .describe(RETRY)
        .right("webhook_update")
        .fails(&[Code::NotFound, Code::Conflict]);
    api.get("/api/v1/webhooks/{webhook}/deliveries/{delivery_id}", "delivery_fetch", delivery)
        .tag(TAG)
        .summary("Show a delivery")
        .right("webhook_view")
        .fails(&[Code::NotFound]);
    api.post("/api/v1/webhooks/{webhook}/deliveries/{delivery_id}/retry", "delivery_retry", retry)
        .tag(TAG)
        .summary("Send a dead letter again")
        .describe(RETRY)
        .right("webhook_update")
        .fails(&[Code::NotFound, Code::Conflict]);
}

/// The path of a webhook.
#[derive(Debug, Deserialize, JsonSchema)]
struct WebhookPath {
    /// Its name.
    webhook: WebhookName,
}

/// The path of a delivery.
#[derive(Debug, Deserialize, JsonSchema)]
struct DeliveryPath {
    /// The webhook's name.
    webhook: WebhookName,
    /// The delivery's id, a ULID.
    #[schemars(length(min = 1), example = &"01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    delivery_id: String,
}

async fn list(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<List<WebhookInfo>>> {
    let items = caller.platform.webhook_list().await?;
    Ok(Reply(List { items }))
}

async fn create(caller: Caller, input: Input<NoPath, NoQuery, WebhookRequest>) -> ApiResult<Created<NewWebhook>> {
    let made = caller.platform.webhook_create(input.body).await?;
    let location = format!("/api/v1/webhooks/{}", made.webhook.name);
    Ok(Created(made, location))
}

async fn fetch(caller: Caller, input: Input<WebhookPath, NoQuery, NoBody>) -> ApiResult<Tagged<WebhookInfo>> {
    caller.platform.webhook_fetch(&input.path.webhook).await.map(tagged)
}

async fn update(caller: Caller, input: Input<WebhookPath, NoQuery, WebhookChange>) -> ApiResult<Tagged<WebhookInfo>> {
    let demand = Demand::read(input.if_match.as_ref())?;
    let name = input.path.webhook;
    let expected = match demand {
        Demand::OneOf(_) => demand.expected(Some(caller.platform.webhook_fetch(&name).await?.fingerprint()))?,
        // None is made where there is none.
        Demand::Nothing | Demand::Something => None,
    };
    let updated = caller.platform.webhook_update(&name, input.body, expected).await;
    updated.map(tagged).map_err(|error| if expected.is_some() { etag::stale(error) } else { error })
}

fn tagged(webhook: WebhookInfo) -> Tagged<WebhookInfo> {
    let tag = ETag::of(webhook.fingerprint());
    Tagged(webhook, tag)
}

async fn delete(caller: Caller, input: Input<WebhookPath, NoQuery, NoBody>) -> ApiResult<Done> {
    caller.platform.webhook_delete(&input.path.webhook).await.map(|()| Done)
}

async fn test(caller: Caller, input: Input<WebhookPath, NoQuery, NoBody>) -> ApiResult<Created<DeliveryInfo>> {
    let delivery = caller.platform.webhook_test(&input.path.webhook).await?;
    let location = format!("/api/v1/webhooks/{}/deliveries/{}", delivery.webhook, delivery.id);
    Ok(Created(delivery, location))
}

async fn rotate(caller: Caller, input: Input<WebhookPath, NoQuery, NoBody>) -> ApiResult<Reply<WebhookSecret>> {
    caller.platform.webhook_rotate(&input.path.webhook).await.map(Reply)
}

async fn deliveries(
    caller: Caller,
    input: Input<WebhookPath, DeliveryQuery, NoBody>,
) -> ApiResult<Reply<List<DeliveryInfo>>> {
    checked(input.query.limit, None, None)?;
    let items = caller.platform.delivery_list(&input.path.webhook, &input.query).await?;
    Ok(Reply(List { items }))
}

async fn delivery(caller: Caller, input: Input<DeliveryPath, NoQuery, NoBody>) -> ApiResult<Reply<DeliveryInfo>> {
    let DeliveryPath { webhook, delivery_id } = input.path;
    caller.platform.delivery_fetch(&webhook, &delivery_id).await.map(Reply)
}

async fn retry_all(caller: Caller, input: Input<WebhookPath, NoQuery, NoBody>) -> ApiResult<Reply<DeliveryRetry>> {
    caller.platform.delivery_retry(&input.path.webhook, None).await.map(Reply)
}

async fn retry(caller: Caller, input: Input<DeliveryPath, NoQuery, NoBody>) -> ApiResult<Reply<DeliveryRetry>> {
    let DeliveryPath { webhook, delivery_id } = input.path;
    caller.platform.delivery_retry(&webhook, Some(&delivery_id)).await.map(Reply)
}
