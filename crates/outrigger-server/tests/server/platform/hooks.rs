//! The hooks: any, with a subscription.

use async_trait::async_trait;
use outrigger_api::*;
use serde_json::Value;
use time::OffsetDateTime;
use ulid::Ulid;

use super::Seen;

fn hook(name: HookName) -> HookInfo {
    HookInfo {
        name,
        kind: HookKind::Action,
        description: String::new(),
        schema: None,
        built_in: false,
        plugin: None,
        closed_by: Vec::new(),
        subscriptions: 1,
    }
}

fn subscription(enabled: bool) -> SubscriptionInfo {
    SubscriptionInfo {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        hook: "customer.created".parse().unwrap(),
        kind: HookKind::Action,
        function: "pricing.echo".parse().unwrap(),
        priority: 100,
        condition: None,
        on_error: OnError::default(),
        timeout: "2s".parse().unwrap(),
        description: None,
        enabled,
        reason: None,
        source: "api".to_owned(),
        created_by: "local".to_owned(),
        created_at: OffsetDateTime::UNIX_EPOCH,
        failures: 0,
    }
}

#[async_trait]
impl Hooks for Seen {
    async fn hook_list(&self) -> ApiResult<Vec<HookInfo>> {
        self.allowed()?;
        Ok(vec![hook("customer.created".parse().unwrap())])
    }

    async fn hook_fetch(&self, name: &HookName) -> ApiResult<HookInfo> {
        self.allowed()?;
        Ok(hook(name.clone()))
    }

    async fn hook_create(&self, request: HookRequest) -> ApiResult<HookInfo> {
        self.allowed()?;
        let HookRequest { name, kind, description, schema } = request;
        Ok(HookInfo { kind, description, schema: schema.map(Value::Object), ..hook(name) })
    }

    async fn hook_delete(&self, _: &HookName) -> ApiResult<()> {
        self.allowed()
    }

    async fn subscription_list(&self, _: &SubscriptionQuery) -> ApiResult<Vec<SubscriptionInfo>> {
        self.allowed()?;
        Ok(vec![subscription(true)])
    }

    async fn subscription_create(&self, _: SubscriptionRequest) -> ApiResult<SubscriptionInfo> {
        self.allowed()?;
        Ok(subscription(true))
    }

    async fn subscription_delete(&self, _: &str) -> ApiResult<()> {
        self.allowed()
    }

    async fn subscription_switch(&self, _: &str, enabled: bool) -> ApiResult<SubscriptionInfo> {
        self.allowed()?;
        Ok(subscription(enabled))
    }

    async fn hook_fire(&self, name: &HookName, request: FireRequest) -> ApiResult<FireReport> {
        self.allowed()?;
        let trace = HookTraceInfo {
            id: Ulid::new().to_string(),
            hook: name.clone(),
            kind: HookKind::Action,
            correlation: self.correlation.clone(),
            caller: self.name.clone(),
            started_at: OffsetDateTime::UNIX_EPOCH,
            duration_us: 1,
            dry_run: request.dry_run,
            result: "passed".to_owned(),
            callbacks: Vec::new(),
        };
        Ok(FireReport { value: request.payload, message: None, trace })
    }

    async fn hook_traces(&self, _: &HookTraceQuery) -> ApiResult<Vec<HookTraceInfo>> {
        self.allowed()?;
        Ok(Vec::new())
    }
}
