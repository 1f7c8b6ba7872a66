//! One delivery attempt: the checks before it, the request, and the handling of the response.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outrigger_contract::Code;
use outrigger_contract::permission::HostAccess;
use serde_json::json;

use super::machine::{self, Outcome, Standing, Transition};
use super::secret::Secrets;
use super::{
    DeliveryRecord, DeliveryState, Posting, Reply, SecretText, Sender, WebhookOptions, WebhookRecord, signature,
};
use crate::access::Right;
use crate::call::Caller;
use crate::engine::Engine;
use crate::error::Failure;
use crate::hooks::spec;
use crate::jobs::{Callers, Owner};

/// How long to wait before a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The addresses that a delivery of this webhook may reach now, including private ones while the key that opened them
/// keeps the right. An error with the reason if the key that last changed the webhook is not allowed to see the event.
pub(super) async fn access(
    callers: &dyn Callers,
    webhook: &WebhookRecord,
    delivery: &DeliveryRecord,
) -> Result<HostAccess, String> {
    if let Some(owner) = webhook.set_by.as_ref().filter(|_| delivery.event.is_some()) {
        let event = delivery.name.as_str();
        if !may(callers, owner, Right::EVENT_VIEW, event).await {
            return Err(format!(
                "the {} that last changed the webhook is no longer allowed to see `{event}`; update the webhook",
                owner.name
            ));
        }
    }
    let Some(owner) = webhook.opened_by.as_ref().filter(|_| webhook.allow_private_network) else {
        return Ok(HostAccess::PublicOnly);
    };
    if may(callers, owner, Right::NETWORK_OPEN, webhook.name.as_str()).await {
        return Ok(HostAccess::AlsoPrivate);
    }
    tracing::debug!(webhook = %webhook.name, "the key that opened private networks no longer has the right");
    Ok(HostAccess::PublicOnly)
}

/// Whether an owner has a right now: its key may be revoked, or have other roles.
async fn may(callers: &dyn Callers, owner: &Owner, right: Right, name: &str) -> bool {
    match callers.caller(owner).await {
        Ok(Caller::Local) => true,
        Ok(Caller::Key(principal)) => principal.may(right, name),
        Ok(_) | Err(_) => false,
    }
}

/// Makes one attempt, and writes down what came of it.
pub(super) async fn carry(
    engine: &Engine,
    options: &WebhookOptions,
    sender: &dyn Sender,
    webhook: &WebhookRecord,
    access: Result<HostAccess, String>,
    mut delivery: DeliveryRecord,
) {
    let (answer, outcome) = attempt(engine, options, sender, webhook, access, &delivery).await;
    let now = options.clock.now();
    let before = delivery.attempts;
    delivery.attempts += 1;
    delivery.private = webhook.allow_private_network;
    let (attempts, private) = (delivery.attempts, delivery.private);
    let standing = Standing { attempts, failing_since: webhook.failing_since, private };
    let transition = machine::advance(standing, &outcome, &options.patience, now, options.chance.draw());
    delivery.state = transition.state;
    delivery.next_at = transition.next_at.unwrap_or(now);
    delivery.ended_at = (transition.state != DeliveryState::Pending).then_some(now);
    (delivery.status, delivery.error) = match answer {
        Ok(status) if outcome == Outcome::Accepted => (Some(status), None),
        Ok(status) => (Some(status), Some(format!("the receiver answered {status}"))),
        Err(error) => (None, Some(error)),
    };
    let (id, name, state) = (delivery.id, &webhook.name, delivery.state);
    let told = delivery.error.as_deref().unwrap_or("it has it");
    tracing::debug!(delivery = %id, webhook = %name, %state, attempts = delivery.attempts, told, "a delivery was sent");
    // Until it is written nothing else sends it; a process that ends before leaves it to be sent again. One that was removed or
    // abandoned meanwhile stays so.
    while let Err(error) = engine.inner.store.delivery_put(&delivery, before).await {
        tracing::error!(%error, delivery = %id, "failed to record the end of a delivery");
        tokio::time::sleep(AGAIN).await;
    }
    if let Err(failure) = note(engine, webhook, transition).await {
        tracing::error!(%failure, webhook = %name, "failed to record the state of a webhook");
    }
}

/// Signs and sends a delivery. Returns the status, or the reason why there is none, and what that means.
async fn attempt(
    engine: &Engine,
    options: &WebhookOptions,
    sender: &dyn Sender,
    webhook: &WebhookRecord,
    access: Result<HostAccess, String>,
    delivery: &DeliveryRecord,
) -> (Result<u16, String>, Outcome) {
    let failed = |why: String| (Err(why), Outcome::Failed { retry_after: None });
    let posting = |access| posting(engine, options, webhook, access, delivery).map_err(|failure| failure.message);
    let request = match access.and_then(posting) {
        Ok(request) => request,
        Err(why) => return failed(why),
    };
    match tokio::time::timeout(options.timeout, sender.send(request)).await {
        Ok(Ok(Reply { status, .. })) if (200..300).contains(&status) => (Ok(status), Outcome::Accepted),
        Ok(Ok(Reply { status: 410, .. })) => (Ok(410), Outcome::Gone),
        Ok(Ok(Reply { status, retry_after })) => (Ok(status), Outcome::Failed { retry_after }),
        Ok(Err(why)) => failed(why),
        Err(_) => failed(format!("there was no answer within {:?}", options.timeout)),
    }
}

fn posting(
    engine: &Engine,
    options: &WebhookOptions,
    webhook: &WebhookRecord,
    access: HostAccess,
    delivery: &DeliveryRecord,
) -> Result<Posting, Failure> {
    let now = options.clock.now();
    let secrets = Secrets::open(&*engine.inner.vault, webhook)?;
    let (id, timestamp) = (delivery.id.to_string(), now.unix_timestamp());
    let signatures: Vec<_> =
        secrets.signing(now).filter_map(|secret| signature::sign(secret, &id, timestamp, &delivery.body)).collect();
    let mut headers: Vec<(String, SecretText)> = secrets.headers.into_iter().collect();
    let own = [
        ("content-type", "application/json".to_owned()),
        ("user-agent", concat!("outrigger/", env!("CARGO_PKG_VERSION")).to_owned()),
        ("webhook-id", id),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ];
    // One that was set may be there already, as `User-Agent`.
    let set: Vec<_> = headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let own = own.into_iter().filter(|(name, _)| !set.iter().any(|set| set == name));
    headers.extend(own.map(|(name, value)| (name.to_owned(), SecretText::new(value))));
    let networks = if webhook.allow_private_network { Arc::clone(&options.networks) } else { Arc::default() };
    let (url, account, body) = (webhook.url.clone(), webhook.account().to_owned(), delivery.body.clone());
    Ok(Posting { url, access, networks, account, headers, body })
}

/// Writes down how a webhook does, where that has changed; disables it where it is to be.
async fn note(engine: &Engine, webhook: &WebhookRecord, transition: Transition) -> Result<(), Failure> {
    let Transition { failing_since, switch_off, .. } = transition;
    if failing_since.is_some() == webhook.failing_since.is_some() && switch_off.is_none() {
        return Ok(());
    }
    // Of several attempts that fail at once, one disables it.
    let switched = AtomicBool::new(false);
    let changed = engine.webhook_change(&webhook.name, |present| {
        switched.store(false, Ordering::Relaxed);
        // It may be another address by now.
        if present.url == webhook.url {
            present.failing_since = failing_since.and(present.failing_since.or(failing_since));
            if let (Some(reason), true) = (&switch_off, present.enabled) {
                (present.enabled, present.reason) = (false, Some(reason.clone()));
                switched.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    });
    match changed.await {
        Ok(_) => {}
        // It was removed.
        Err(failure) if failure.code == Code::NotFound => return Ok(()),
        Err(failure) => return Err(failure),
    }
    if let (Some(reason), true) = (switch_off, switched.into_inner()) {
        tracing::warn!(webhook = %webhook.name, reason, "a webhook was disabled");
        engine.tell(spec::WEBHOOK_DISABLED, || json!({"webhook": webhook.name, "reason": reason})).await;
    }
    Ok(())
}
