//! Stored webhooks and their deliveries.

use async_trait::async_trait;
use outrigger_contract::WebhookName;
use time::OffsetDateTime;

use super::{Amount, Bound, StoreError};
use crate::events::EventId;
use crate::webhooks::{DeliveryId, DeliveryRecord, DeliveryState, WebhookRecord};

/// Keeps webhooks and their deliveries.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// All webhooks, by name.
    async fn webhook_list(&self) -> Result<Vec<WebhookRecord>, StoreError>;
    /// Writes a webhook in the place of the one of its name and its generation, 0 for one that must not exist yet. Answers
    /// with the next generation, or [`StoreError::Conflict`].
    async fn webhook_put(&self, webhook: &WebhookRecord) -> Result<u64, StoreError>;
    /// The same for a webhook that is told somewhere else from now on, and abandons those of its deliveries that have not
    /// arrived: all or nothing. What was meant for one receiver is never sent to another.
    async fn webhook_move(&self, webhook: &WebhookRecord, now: OffsetDateTime) -> Result<u64, StoreError>;
    /// Removes a webhook with its deliveries. Answers whether it was there.
    async fn webhook_delete(&self, name: &WebhookName) -> Result<bool, StoreError>;

    /// How far the log of events was gone through for webhooks.
    async fn outbox_cursor(&self) -> Result<Option<EventId>, StoreError>;
    /// Adds deliveries and notes how far the log was gone through: both or neither. Those for a webhook that is not there
    /// any more are left out.
    async fn outbox_put(&self, cursor: EventId, deliveries: &[DeliveryRecord]) -> Result<(), StoreError>;
    /// Adds one delivery without an event in the log. Returns whether its webhook exists.
    async fn delivery_create(&self, delivery: &DeliveryRecord) -> Result<bool, StoreError>;
    /// Pending deliveries whose time has come, those that wait longest first, of webhooks other than these.
    async fn delivery_due(
        &self,
        now: OffsetDateTime,
        except: &[WebhookName],
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, StoreError>;
    /// Writes a delivery in the place of the one with its id, where that is pending and was sent so many times. Answers
    /// whether it was: otherwise somebody else has written what became of it.
    async fn delivery_put(&self, delivery: &DeliveryRecord, attempts: u32) -> Result<bool, StoreError>;
    /// Makes dead letters of pending deliveries of these webhooks, except the given ones: a limited number at once.
    /// Returns their number.
    async fn delivery_give_up(
        &self,
        webhooks: &[WebhookName],
        except: &[DeliveryId],
        now: OffsetDateTime,
        at_most: u32,
    ) -> Result<u64, StoreError>;
    /// One delivery.
    async fn delivery_fetch(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError>;
    /// Deliveries that match, the newest first, without their bodies: those can be large.
    async fn delivery_list(&self, filter: &DeliveryFilter) -> Result<Vec<DeliveryRecord>, StoreError>;
    /// How many deliveries of each webhook stand where: of one, or of all.
    async fn delivery_counts(
        &self,
        webhook: Option<&WebhookName>,
    ) -> Result<Vec<(WebhookName, DeliveryState, u64)>, StoreError>;
    /// Makes dead letters of a webhook pending again: one of them, or all. Returns their number.
    async fn delivery_revive(
        &self,
        webhook: &WebhookName,
        id: Option<DeliveryId>,
        now: OffsetDateTime,
    ) -> Result<u64, StoreError>;
    /// Prunes ended deliveries above the retention limits, by their end: a few at a time, so that others can write in
    /// between. Returns their number.
    async fn delivery_prune(&self, keep: &Bound) -> Result<u64, StoreError>;
    /// Drops pending deliveries above a limit on number and bytes. The creators of webhooks keep their newest
    /// deliveries within a fair share. Returns the number of dropped deliveries.
    async fn delivery_prune_pending(&self, most: Amount) -> Result<u64, StoreError>;
}

/// Why a delivery was given up together with the others of its webhook.
pub const SWITCHED_OFF: &str = "the webhook was disabled";
/// Why a delivery was abandoned.
pub const MOVED: &str = "the webhook was moved to another address";

/// Which deliveries to list. All that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub webhook: Option<WebhookName>,
    pub state: Option<DeliveryState>,
    /// Older than this one.
    pub before: Option<DeliveryId>,
    /// At most this many; 0 for 1,000.
    pub limit: u32,
}
