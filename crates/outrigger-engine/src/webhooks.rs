//! Webhooks: HTTP endpoints notified of events. The log of events is read once, in order; each event for a webhook
//! becomes a delivery, which is stored before it is sent. So a delivery is sent at least once, with the same id each
//! time, and receivers can skip repeated ids.
//!
//! [`machine`] decides what follows from the response of a receiver, [`worker`] sends, [`signature`] signs with
//! Standard Webhooks. HTTP is behind the trait [`Sender`].

mod check;
pub mod machine;
mod manage;
mod options;
mod secret;
mod send;
pub mod signature;
pub mod worker;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use outrigger_contract::address::Network;
use outrigger_contract::permission::HostAccess;
use outrigger_contract::{HookName, Pattern, WebhookName};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ulid::Generator;
use url::Url;

pub use machine::DeliveryState;
pub use options::{Chance, Keep, WebhookOptions};
pub use secret::SecretText;
pub(crate) use worker::PostOffice;

use crate::correlation::CorrelationId;
use crate::events::EventId;
use crate::jobs::Owner;

/// Of a delivery: the `webhook-id` that the receiver sees, the same at every attempt.
pub type DeliveryId = CorrelationId;

/// A stored webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebhookRecord {
    pub name: WebhookName,
    pub url: Url,
    /// It receives events whose name one of these matches.
    pub events: Vec<Pattern>,
    /// Only of those about a plugin that this covers.
    pub plugin: Option<Pattern>,
    pub enabled: bool,
    /// Why it was disabled, where that was not done by a person.
    pub reason: Option<String>,
    pub description: String,
    /// The names of headers that are sent besides. Their values are sealed.
    pub headers: Vec<String>,
    /// Its signing secret and the values of its headers, sealed by the vault.
    pub sealed: serde_json::Value,
    /// Plain HTTP is meant.
    pub allow_http: bool,
    /// Also allow private, loopback and link-local addresses: all of them while `opened_by` has the right to open them,
    /// otherwise those in the operator's list.
    pub allow_private_network: bool,
    /// The caller that opened private networks to it. Each delivery checks this caller's right again.
    #[serde(default)]
    pub opened_by: Option<Owner>,
    /// The key that last changed the webhook. Each delivery checks that it is allowed to see the event; webhooks stored
    /// before this field existed are not checked.
    #[serde(default)]
    pub set_by: Option<Owner>,
    /// It receives events since this time: when it was created, enabled, moved to another server, or given other
    /// patterns.
    pub since: OffsetDateTime,
    /// Since when every attempt has failed.
    pub failing_since: Option<OffsetDateTime>,
    /// The creator, as text for people.
    pub created_by: String,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    /// Counts writes; guards against two writers.
    pub generation: u64,
}

impl WebhookRecord {
    /// The account that its concurrent deliveries and lookups count against: the id of the key that last changed it,
    /// otherwise the name of its owner.
    #[must_use]
    pub fn account(&self) -> &str {
        match &self.set_by {
            Some(Owner { key: Some(key), .. }) => key,
            Some(Owner { name, key: None }) => name,
            None => &self.created_by,
        }
    }
}

/// The settings of a webhook.
#[derive(Clone, Debug)]
pub struct WebhookSpec {
    pub url: String,
    pub events: Vec<Pattern>,
    pub plugin: Option<Pattern>,
    pub enabled: bool,
    pub description: String,
    /// None leaves those that there are.
    pub headers: Option<BTreeMap<String, SecretText>>,
    pub allow_http: bool,
    pub allow_private_network: bool,
    /// The caller, if they may open private networks.
    pub opened_by: Option<Owner>,
    /// The owner who changes the webhook.
    pub set_by: Owner,
}

/// One stored event for one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    pub id: DeliveryId,
    pub webhook: WebhookName,
    /// The event; none for a delivery that tries the webhook out.
    pub event: Option<EventId>,
    /// The event's name.
    pub name: HookName,
    pub state: DeliveryState,
    /// The number of attempts since it was created or last retried by a user.
    pub attempts: u32,
    /// When it is sent next, while it is pending.
    pub next_at: OffsetDateTime,
    /// The receiver's last response.
    pub status: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Whether the webhook allowed private networks at the last attempt. Its outcome is then only for callers with the
    /// right to open them, whatever the webhook allows now.
    pub private: bool,
    pub created_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
    /// The exact body.
    pub body: String,
}

impl DeliveryRecord {
    /// The owner of the record: the creator of the webhook, by webhook and event.
    #[must_use]
    pub fn owner_of_row(&self, made_by: &str) -> crate::store::Owner {
        crate::store::Owner { account: made_by.to_owned(), source: format!("{} {}", self.webhook, self.name) }
    }
}

/// Ids grow with every delivery, also within a millisecond.
fn next_id(now: OffsetDateTime) -> DeliveryId {
    static IDS: Mutex<Generator> = Mutex::new(Generator::new());
    IDS.lock().generate_from_datetime(now.into()).map_or_else(|_| DeliveryId::at(now), DeliveryId::from)
}

/// Sends a request and waits for the head of the answer. Follows no redirect.
#[async_trait]
pub trait Sender: Debug + Send + Sync {
    /// Sends one request.
    ///
    /// # Errors
    /// Why there was no answer, for a person to read.
    async fn send(&self, request: Posting) -> Result<Reply, String>;
}

/// A POST that is to be sent.
pub struct Posting {
    pub url: Url,
    /// Which addresses may be connected to, whatever the name resolves to.
    pub access: HostAccess,
    /// Additional networks that webhooks may reach.
    pub networks: Arc<[Network]>,
    /// The account that its name lookups count against, see [`WebhookRecord::account`].
    pub account: String,
    pub headers: Vec<(String, SecretText)>,
    pub body: String,
}

impl Debug for Posting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, access, networks, account, headers, body } = self;
        let (host, headers, bytes) = (url.host_str(), headers.len(), body.len());
        f.debug_struct("Posting")
            .field("host", &host)
            .field("access", access)
            .field("networks", networks)
            .field("account", account)
            .field("headers", &headers)
            .field("bytes", &bytes)
            .finish()
    }
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Its `Retry-After`.
    pub retry_after: Option<Duration>,
}
