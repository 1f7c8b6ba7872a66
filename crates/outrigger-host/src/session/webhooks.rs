//! Webhooks. Their deliveries leave the server, so a caller can subscribe a webhook only to events that it is allowed
//! to see itself.

use std::collections::BTreeMap;

use async_trait::async_trait;
use outrigger_api::{
    ApiError, ApiResult, Code, DeliveryInfo, DeliveryQuery, DeliveryRetry, Fingerprint, NewWebhook, Secret,
    WebhookChange, WebhookInfo, WebhookRequest, WebhookSecret, Webhooks,
};
use outrigger_contract::{Pattern, WebhookName};
use outrigger_engine::Failure;
use outrigger_engine::access::{Right, Rule};
use outrigger_engine::jobs::Owner;
use outrigger_engine::store::DeliveryFilter;
use outrigger_engine::webhooks::{DeliveryId, DeliveryRecord, DeliveryState, SecretText, WebhookRecord, WebhookSpec};
use serde_json::json;

use super::{Act, Session, Trace, Who, page_size};
use crate::convert;

#[async_trait]
impl Webhooks for Session {
    async fn webhook_list(&self) -> ApiResult<Vec<WebhookInfo>> {
        self.require_some(Right::WEBHOOK_VIEW)?;
        let counts = self.counts(None).await?;
        let found = self.host.engine.webhooks().await.map_err(convert::error)?;
        let seen = found.into_iter().filter(|webhook| self.may(Right::WEBHOOK_VIEW, webhook.name.as_str()));
        Ok(seen.map(|webhook| info(webhook, &counts)).collect())
    }

    async fn webhook_fetch(&self, name: &WebhookName) -> ApiResult<WebhookInfo> {
        self.require(Right::WEBHOOK_VIEW, name.as_str())?;
        self.webhook_info(name).await
    }

    async fn webhook_create(&self, request: WebhookRequest) -> ApiResult<NewWebhook> {
        let WebhookRequest {
            name,
            url,
            events,
            plugin,
            enabled,
            description,
            headers,
            allow_http,
            allow_private_network,
        } = request;
        let headers = Some(headers);
        let change =
            WebhookChange { url, events, plugin, enabled, description, headers, allow_http, allow_private_network };
        let spec = self.spec(&name, change);
        let work = async {
            self.check_events(&spec.events)?;
            let by = self.caller().to_string();
            let made = self.host.engine.webhook_create(name.clone(), spec, by).await.map_err(convert::error)?;
            let (webhook, secret) = made;
            let webhook = info(webhook, &Counts::new());
            let after = serde_json::to_value(&webhook).ok();
            let secret = Secret::new(secret.reveal().to_owned());
            Ok((NewWebhook { webhook, secret }, Trace { after, ..Trace::default() }))
        };
        self.act(Act::new(Right::WEBHOOK_CREATE, name.as_str()), work).await
    }

    async fn webhook_update(
        &self,
        name: &WebhookName,
        change: WebhookChange,
        expected: Option<Fingerprint>,
    ) -> ApiResult<WebhookInfo> {
        let spec = self.spec(name, change);
        let work = async {
            self.check_events(&spec.events)?;
            let before = serde_json::to_value(self.webhook_info(name).await?).ok();
            self.host.engine.webhook_update(name, spec, is(expected)).await.map_err(convert::error)?;
            let info = self.webhook_info(name).await?;
            let after = serde_json::to_value(&info).ok();
            Ok((info, Trace { before, after, revision: None }))
        };
        self.act(Act::new(Right::WEBHOOK_UPDATE, name.as_str()), work).await
    }

    async fn webhook_delete(&self, name: &WebhookName) -> ApiResult<()> {
        let work = async {
            let before = serde_json::to_value(self.webhook_info(name).await?).ok();
            self.host.engine.webhook_delete(name).await.map_err(convert::error)?;
            Ok(((), Trace { before, ..Trace::default() }))
        };
        self.act(Act::destroys(Right::WEBHOOK_DELETE, name.as_str()), work).await
    }

    async fn webhook_rotate(&self, name: &WebhookName) -> ApiResult<WebhookSecret> {
        let work = async {
            let secret = self.host.engine.webhook_rotate(name).await.map_err(convert::error)?;
            let secret = WebhookSecret { name: name.clone(), secret: Secret::new(secret.reveal().to_owned()) };
            Ok((secret, Trace { after: Some(json!({"secret": "replaced"})), ..Trace::default() }))
        };
        self.act(Act::new(Right::WEBHOOK_UPDATE, name.as_str()), work).await
    }

    async fn webhook_test(&self, name: &WebhookName) -> ApiResult<DeliveryInfo> {
        let work = async {
            let delivery = self.host.engine.webhook_test(name).await.map_err(convert::error)?;
            let info = self.delivery_info(delivery);
            let after = Some(json!({"test": info.id}));
            Ok((info, Trace { after, ..Trace::default() }))
        };
        self.act(Act::new(Right::WEBHOOK_UPDATE, name.as_str()), work).await
    }

    async fn delivery_list(&self, name: &WebhookName, query: &DeliveryQuery) -> ApiResult<Vec<DeliveryInfo>> {
        self.require(Right::WEBHOOK_VIEW, name.as_str())?;
        let DeliveryQuery { state, before, limit } = query;
        let known = |text: &String| {
            let found = DeliveryState::ALL.into_iter().find(|state| state.as_str() == text);
            found.ok_or_else(|| {
                ApiError::new(Code::InvalidUsage, format!("`{text}` is not a state of a delivery"))
                    .with_hint("states are pending, delivered, dead and abandoned")
            })
        };
        let filter = DeliveryFilter {
            webhook: Some(name.clone()),
            state: state.as_ref().map(known).transpose()?,
            before: before.as_deref().map(delivery_id).transpose()?,
            limit: page_size(*limit),
        };
        self.host.engine.webhook(name).await.map_err(convert::error)?;
        let found = self.host.engine.store().delivery_list(&filter).await.map_err(convert::store_error)?;
        Ok(found.into_iter().map(|delivery| self.delivery_info(delivery)).collect())
    }

    async fn delivery_fetch(&self, name: &WebhookName, id: &str) -> ApiResult<DeliveryInfo> {
        self.require(Right::WEBHOOK_VIEW, name.as_str())?;
        let id = delivery_id(id)?;
        self.host.engine.webhook(name).await.map_err(convert::error)?;
        let found = self.host.engine.delivery(name, id).await.map_err(convert::error)?;
        Ok(self.delivery_info(found))
    }

    async fn delivery_retry(&self, name: &WebhookName, id: Option<&str>) -> ApiResult<DeliveryRetry> {
        let work = async {
            let one = id.map(delivery_id).transpose()?;
            let webhook = self.host.engine.webhook(name).await.map_err(convert::error)?;
            self.check_events(&webhook.events)?;
            let retried = self.host.engine.delivery_retry(name, one).await.map_err(convert::error)?;
            let after = Some(json!({"retried": retried, "delivery": id}));
            Ok((DeliveryRetry { retried }, Trace { after, ..Trace::default() }))
        };
        self.act(Act::new(Right::WEBHOOK_UPDATE, name.as_str()), work).await
    }
}

/// How many deliveries of a webhook stand where.
type Counts = BTreeMap<(WebhookName, &'static str), u64>;

impl Session {
    /// Of one webhook, or of all.
    async fn counts(&self, name: Option<&WebhookName>) -> ApiResult<Counts> {
        let counts = self.host.engine.store().delivery_counts(name).await.map_err(convert::store_error)?;
        Ok(counts.into_iter().map(|(webhook, state, number)| ((webhook, state.as_str()), number)).collect())
    }

    /// The webhook that the caller requests.
    fn spec(&self, name: &WebhookName, change: WebhookChange) -> WebhookSpec {
        let WebhookChange { url, events, plugin, enabled, description, headers, allow_http, allow_private_network } =
            change;
        WebhookSpec {
            url,
            events,
            plugin,
            enabled,
            description,
            headers: headers.map(hidden),
            allow_http,
            allow_private_network,
            opened_by: self.opener(name),
            set_by: self.as_owner(),
        }
    }

    /// The caller, if they may open private networks to a webhook.
    fn opener(&self, name: &WebhookName) -> Option<Owner> {
        self.may(Right::NETWORK_OPEN, name.as_str()).then(|| self.as_owner())
    }

    fn as_owner(&self) -> Owner {
        let caller = self.caller();
        Owner { name: caller.to_string(), key: caller.key().map(str::to_owned) }
    }

    /// A delivery as the caller may see it. Responses from private networks require the right to open them; otherwise a
    /// caller could probe the network. What counts is what the webhook allowed when it was sent.
    fn delivery_info(&self, delivery: DeliveryRecord) -> DeliveryInfo {
        let private = delivery.private;
        let mut info = delivery_info(delivery);
        if private && !self.may(Right::NETWORK_OPEN, info.webhook.as_str()) {
            info.status = None;
            info.error = info
                .error
                .map(|_| "the delivery failed; seeing the reason requires the right `network_open`".to_owned());
        }
        info
    }

    async fn webhook_info(&self, name: &WebhookName) -> ApiResult<WebhookInfo> {
        let webhook = self.host.engine.webhook(name).await.map_err(convert::error)?;
        Ok(info(webhook, &self.counts(Some(name)).await?))
    }

    /// Refuses a caller that is not allowed to see all events of a webhook. Checked within the operation, so that the
    /// refusal is audited for it.
    fn check_events(&self, events: &[Pattern]) -> ApiResult<()> {
        let Who::Key(principal) = &self.who else { return Ok(()) };
        for pattern in events {
            let rule: Option<Rule> = format!("{}:{pattern}", Right::EVENT_VIEW).parse().ok();
            if !rule.is_some_and(|rule| principal.has_all_of(&rule)) {
                // Where the pattern itself is allowed, something below it is not.
                return Err(convert::error(match principal.may(Right::EVENT_VIEW, pattern.as_str()) {
                    false => Failure::forbidden(principal, Right::EVENT_VIEW, pattern.as_str()),
                    true => Failure::new(
                        Code::Forbidden,
                        format!("key `{}` is not allowed to see all events that match `{pattern}`", principal.name),
                    ),
                }));
            }
        }
        Ok(())
    }
}

fn hidden(headers: BTreeMap<String, Secret>) -> BTreeMap<String, SecretText> {
    headers.into_iter().map(|(name, value)| (name, SecretText::new(value.into_revealed()))).collect()
}

fn delivery_id(text: &str) -> ApiResult<DeliveryId> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        ApiError::new(Code::NotFound, format!("there is no delivery `{shown}`"))
            .with_hint("the id of a delivery is a ULID; `outrigger webhook deliveries NAME` shows them")
    })
}

/// Asks whether a webhook is as it was read.
fn is(expected: Option<Fingerprint>) -> impl Fn(&WebhookRecord) -> bool + Send + Sync {
    move |present| expected.is_none_or(|expected| info(present.clone(), &Counts::new()).fingerprint() == expected)
}

/// Sealed values are left out.
fn info(record: WebhookRecord, counts: &Counts) -> WebhookInfo {
    let WebhookRecord {
        name,
        url,
        events,
        plugin,
        enabled,
        reason,
        description,
        headers,
        sealed: _,
        allow_http,
        allow_private_network,
        opened_by: _,
        set_by: _,
        since: _,
        failing_since,
        created_by,
        created_at,
        updated_at,
        generation: _,
    } = record;
    let count = |state: DeliveryState| counts.get(&(name.clone(), state.as_str())).copied().unwrap_or_default();
    WebhookInfo {
        pending: count(DeliveryState::Pending),
        dead: count(DeliveryState::Dead),
        name,
        url: url.into(),
        events,
        plugin,
        enabled,
        reason,
        description,
        headers,
        allow_http,
        allow_private_network,
        failing_since,
        created_by,
        created_at,
        updated_at,
    }
}

fn delivery_info(record: DeliveryRecord) -> DeliveryInfo {
    let DeliveryRecord {
        id,
        webhook,
        event,
        name,
        state,
        attempts,
        next_at,
        status,
        error,
        private: _,
        created_at,
        ended_at,
        body: _,
    } = record;
    DeliveryInfo {
        id: id.to_string(),
        webhook,
        event: event.map(|event| event.to_string()),
        name,
        state: state.as_str().to_owned(),
        attempts,
        next_at: (state == DeliveryState::Pending).then_some(next_at),
        status,
        error,
        created_at,
        ended_at,
    }
}
