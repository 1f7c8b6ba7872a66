//! Administration of webhooks: add, change, test, send again.

use outrigger_contract::{Code, WebhookName};
use serde_json::json;
use time::OffsetDateTime;
use url::Url;

use super::secret::{SecretText, Secrets};
use super::{DeliveryId, DeliveryRecord, DeliveryState, WebhookRecord, WebhookSpec, check, next_id, signature, worker};
use crate::cap;
use crate::engine::Engine;
use crate::error::Failure;
use crate::events::{EventRecord, NewEvent};
use crate::hooks::spec::WEBHOOK_TEST;
use crate::jobs::Owner;
use crate::store::{DeliveryFilter, StoreError};

/// How long is signed with the secret before, too, once there is a new one.
const OVERLAP: time::Duration = time::Duration::hours(24);

impl Engine {
    /// All webhooks, by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn webhooks(&self) -> Result<Vec<WebhookRecord>, Failure> {
        Ok(self.inner.store.webhook_list().await?)
    }

    /// One webhook.
    ///
    /// # Errors
    /// There is no webhook of this name, or the store failed.
    pub async fn webhook(&self, name: &WebhookName) -> Result<WebhookRecord, Failure> {
        let found = self.webhooks().await?.into_iter().find(|webhook| webhook.name == *name);
        found.ok_or_else(|| {
            Failure::new(Code::NotFound, format!("there is no webhook `{name}`"))
                .with_hint("`outrigger webhook list` shows them")
        })
    }

    /// Adds a webhook. Its signing secret is returned only here.
    ///
    /// # Errors
    /// There is a webhook of this name already, the request is invalid, there is no key to seal its secret with, or the
    /// store failed.
    pub async fn webhook_create(
        &self,
        name: WebhookName,
        mut spec: WebhookSpec,
        created_by: String,
    ) -> Result<(WebhookRecord, SecretText), Failure> {
        let url = check::spec(&spec)?;
        let opened_by = self.opened_by(&spec, &url, None)?;
        let others = self.webhooks().await?;
        let others = others.iter().map(|other| (cap::key_of(&other.created_by), 0));
        cap::WEBHOOKS.check(cap::key_of(&created_by), others, 0)?;
        let secret = new_secret()?;
        let headers = spec.headers.take().unwrap_or_default();
        let names = headers.keys().cloned().collect();
        let sealed = Secrets { secret: secret.clone(), previous: None, headers }.seal(&*self.inner.vault, &name)?;
        let now = OffsetDateTime::now_utc();
        let WebhookSpec { events, plugin, enabled, description, allow_http, allow_private_network, set_by, .. } = spec;
        let mut webhook = WebhookRecord {
            name,
            url,
            events,
            plugin,
            enabled,
            reason: None,
            description,
            headers: names,
            sealed,
            allow_http,
            allow_private_network,
            opened_by,
            set_by: Some(set_by),
            since: now,
            failing_since: None,
            created_by,
            created_at: now,
            updated_at: now,
            generation: 0,
        };
        webhook.generation = self.inner.store.webhook_put(&webhook).await.map_err(|error| match error {
            StoreError::Conflict { .. } => {
                Failure::new(Code::AlreadyExists, format!("a webhook `{}` already exists", webhook.name))
            }
            error => error.into(),
        })?;
        Ok((webhook, secret))
    }

    /// Changes a webhook. One that is enabled, or gets other events or another address, receives events from now on.
    /// `is_expected` checks the version that would be replaced.
    ///
    /// # Errors
    /// There is no webhook of this name, it is not the expected version, the request is invalid, its headers would be
    /// sent to another server, or the store failed.
    pub async fn webhook_update(
        &self,
        name: &WebhookName,
        spec: WebhookSpec,
        is_expected: impl Fn(&WebhookRecord) -> bool + Send + Sync,
    ) -> Result<WebhookRecord, Failure> {
        let url = check::spec(&spec)?;
        self.webhook_change(name, |webhook| {
            if !is_expected(webhook) {
                return Err(StoreError::Conflict { what: format!("the webhook {name}") }.into());
            }
            let opened_by = self.opened_by(&spec, &url, Some(webhook))?;
            let now = OffsetDateTime::now_utc();
            let moved = webhook.url.origin() != url.origin();
            if moved && spec.headers.is_none() && !webhook.headers.is_empty() {
                // A caller that can change the address could otherwise read them there.
                let message = "the address is another server's, and the values of the headers are not for it to see";
                return Err(Failure::new(Code::InvalidInput, message)
                    .with_hint("send the headers again, with the values for the new server"));
            }
            if let Some(headers) = &spec.headers {
                let vault = &*self.inner.vault;
                let secrets = Secrets { headers: headers.clone(), ..Secrets::open(vault, webhook)? };
                webhook.sealed = secrets.seal(vault, name)?;
                webhook.headers = headers.keys().cloned().collect();
            }
            let other = webhook.events != spec.events || webhook.plugin != spec.plugin;
            let switched_on = spec.enabled && !webhook.enabled;
            if other || switched_on || moved {
                webhook.since = now;
            }
            if switched_on || webhook.url != url {
                (webhook.reason, webhook.failing_since) = (None, None);
            }
            webhook.url = url.clone();
            webhook.events.clone_from(&spec.events);
            webhook.plugin.clone_from(&spec.plugin);
            webhook.description.clone_from(&spec.description);
            webhook.enabled = spec.enabled;
            (webhook.allow_http, webhook.allow_private_network) = (spec.allow_http, spec.allow_private_network);
            (webhook.opened_by, webhook.set_by) = (opened_by, Some(spec.set_by.clone()));
            webhook.updated_at = now;
            Ok(())
        })
        .await
    }

    /// Creates a new secret for a webhook. For a day, its deliveries are signed with the old one too.
    ///
    /// # Errors
    /// There is no webhook of this name, its secret cannot be opened, or the store failed.
    pub async fn webhook_rotate(&self, name: &WebhookName) -> Result<SecretText, Failure> {
        let secret = new_secret()?;
        self.webhook_change(name, |webhook| {
            let (vault, now) = (&*self.inner.vault, OffsetDateTime::now_utc());
            let Secrets { secret: before, previous: _, headers } = Secrets::open(vault, webhook)?;
            let previous = Some((before, now + OVERLAP));
            webhook.sealed = Secrets { secret: secret.clone(), previous, headers }.seal(vault, name)?;
            webhook.updated_at = now;
            Ok(())
        })
        .await?;
        Ok(secret)
    }

    /// Removes a webhook with its deliveries.
    ///
    /// # Errors
    /// There is no webhook of this name, or the store failed.
    pub async fn webhook_delete(&self, name: &WebhookName) -> Result<(), Failure> {
        match self.inner.store.webhook_delete(name).await? {
            true => Ok(()),
            false => self.webhook(name).await.map(drop),
        }
    }

    /// Adds a test delivery of the webhook.
    ///
    /// # Errors
    /// There is no webhook of this name, or the store failed.
    pub async fn webhook_test(&self, name: &WebhookName) -> Result<DeliveryRecord, Failure> {
        require_enabled(&self.webhook(name).await?)?;
        let now = OffsetDateTime::now_utc();
        let tried = WEBHOOK_TEST.parse().expect("the built-in names are names");
        let payload = json!({"webhook": name.as_str(), "message": "This is a test of the webhook."});
        let event = EventRecord::of(next_id(now), &NewEvent::now(tried, payload));
        let delivery = DeliveryRecord { event: None, ..worker::delivery(name, &event, now) };
        if !self.inner.store.delivery_create(&delivery).await? {
            self.webhook(name).await?;
        }
        self.inner.post.wake();
        Ok(delivery)
    }

    /// One delivery of a webhook.
    ///
    /// # Errors
    /// There is no such delivery, or the store failed.
    pub async fn delivery(&self, webhook: &WebhookName, id: DeliveryId) -> Result<DeliveryRecord, Failure> {
        let found = self.inner.store.delivery_fetch(id).await?.filter(|delivery| delivery.webhook == *webhook);
        found.ok_or_else(|| {
            Failure::new(Code::NotFound, format!("the webhook `{webhook}` has no delivery {id}"))
                .with_hint(format!("`outrigger webhook deliveries {webhook}` shows them"))
        })
    }

    /// Sends a dead letter again, or all of a webhook. Returns their number.
    ///
    /// # Errors
    /// There is no such webhook or delivery, it is no dead letter, the webhook is disabled, or the store failed.
    pub async fn delivery_retry(&self, webhook: &WebhookName, id: Option<DeliveryId>) -> Result<u64, Failure> {
        let present = self.webhook(webhook).await?;
        let dead = DeliveryFilter {
            webhook: Some(webhook.clone()),
            state: Some(DeliveryState::Dead),
            limit: 1,
            ..DeliveryFilter::default()
        };
        if !present.enabled && !self.inner.store.delivery_list(&dead).await?.is_empty() {
            // They would be given up again at once.
            require_enabled(&present)?;
        }
        let revived = self.inner.store.delivery_revive(webhook, id, OffsetDateTime::now_utc()).await?;
        if let (0, Some(id)) = (revived, id) {
            let state = self.delivery(webhook, id).await?.state;
            return Err(Failure::new(Code::Conflict, format!("the delivery {id} is {state}, not a dead letter"))
                .with_hint("only dead letters can be sent again"));
        }
        self.inner.post.wake();
        Ok(revived)
    }

    /// The owner that opens private networks to the webhook: the caller if they have the right, or the previous owner
    /// if URL and headers are unchanged. None if the webhook can only reach the operator's networks.
    fn opened_by(
        &self,
        spec: &WebhookSpec,
        url: &Url,
        present: Option<&WebhookRecord>,
    ) -> Result<Option<Owner>, Failure> {
        if !spec.allow_private_network {
            return Ok(None);
        }
        let before = present.filter(|present| present.url == *url && spec.headers.is_none());
        let before = before.and_then(|present| present.opened_by.clone());
        match spec.opened_by.clone().or(before) {
            None if self.inner.post.networks().is_empty() => {
                let message = "webhooks to private networks require the right `network_open`";
                Err(Failure::new(Code::Forbidden, message).with_hint(
                    "ask an administrator, or have the operator allow the network with `outrigger serve \
                     --webhook-network`",
                ))
            }
            opened_by => Ok(opened_by),
        }
    }

    /// Changes a webhook, and tries again after a conflict. Pending deliveries are abandoned if the webhook is moved to
    /// another server.
    pub(super) async fn webhook_change(
        &self,
        name: &WebhookName,
        change: impl Fn(&mut WebhookRecord) -> Result<(), Failure> + Send,
    ) -> Result<WebhookRecord, Failure> {
        loop {
            let mut webhook = self.webhook(name).await?;
            let before = webhook.url.origin();
            change(&mut webhook)?;
            let written = match webhook.url.origin() == before {
                true => self.inner.store.webhook_put(&webhook).await,
                false => self.inner.store.webhook_move(&webhook, OffsetDateTime::now_utc()).await,
            };
            match written {
                Ok(generation) => {
                    webhook.generation = generation;
                    self.inner.post.wake();
                    return Ok(webhook);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Seals the secrets of webhooks again that are not sealed with the present key. Returns their number.
    pub(crate) async fn reseal_webhooks(&self) -> Result<u64, Failure> {
        let vault = &*self.inner.vault;
        let mut resealed = 0;
        for webhook in self.webhooks().await? {
            let present = vault.key().map_err(|error| error.failure("secrets cannot be encrypted"))?;
            if crate::vault::key_of(&webhook.sealed) != Some(present.as_str()) {
                self.webhook_change(&webhook.name, |webhook| {
                    webhook.sealed = Secrets::open(vault, webhook)?.seal(vault, &webhook.name)?;
                    Ok(())
                })
                .await?;
                resealed += 1;
            }
        }
        Ok(resealed)
    }
}

fn require_enabled(webhook: &WebhookRecord) -> Result<(), Failure> {
    let name = &webhook.name;
    if webhook.enabled {
        return Ok(());
    }
    Err(Failure::new(Code::Conflict, format!("the webhook `{name}` is disabled"))
        .with_hint(format!("enable it with `outrigger webhook update {name} --enable`")))
}

fn new_secret() -> Result<SecretText, Failure> {
    signature::generate()
        .map_err(|error| Failure::internal(format!("failed to get random numbers from the system: {error}")))
}
