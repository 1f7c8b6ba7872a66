//! Webhooks and what is on its way to them, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use outrigger_contract::WebhookName;
use outrigger_engine::events::EventId;
use outrigger_engine::store::{DeliveryFilter, StoreError, WebhookStore};
use outrigger_engine::webhooks::{DeliveryId, DeliveryRecord, DeliveryState, WebhookRecord};
use time::OffsetDateTime;

use super::MemoryStore;
use crate::{records, webhooks};

/// Webhooks by name, deliveries by their age.
#[derive(Debug, Default)]
pub(super) struct Webhooks {
    webhooks: BTreeMap<WebhookName, WebhookRecord>,
    deliveries: BTreeMap<DeliveryId, DeliveryRecord>,
    cursor: Option<EventId>,
}

impl Webhooks {
    fn add(&mut self, delivery: &DeliveryRecord) -> bool {
        let there = self.webhooks.contains_key(&delivery.webhook);
        if there {
            self.deliveries.insert(delivery.id, delivery.clone());
        }
        there
    }
}

fn matches(filter: &DeliveryFilter, delivery: &DeliveryRecord) -> bool {
    let DeliveryFilter { webhook, state, before, limit: _ } = filter;
    webhook.as_ref().is_none_or(|webhook| *webhook == delivery.webhook)
        && state.is_none_or(|state| state == delivery.state)
        && before.is_none_or(|before| delivery.id < before)
}

#[async_trait]
impl WebhookStore for MemoryStore {
    async fn webhook_list(&self) -> Result<Vec<WebhookRecord>, StoreError> {
        Ok(self.tables.lock().webhooks.webhooks.values().cloned().collect())
    }

    async fn webhook_put(&self, webhook: &WebhookRecord) -> Result<u64, StoreError> {
        let mut tables = self.tables.lock();
        let present = tables.webhooks.webhooks.get(&webhook.name).map_or(0, |present| present.generation);
        if present != webhook.generation {
            return Err(webhooks::conflict(&webhook.name));
        }
        let written = WebhookRecord { generation: present + 1, ..webhook.clone() };
        tables.webhooks.webhooks.insert(webhook.name.clone(), written);
        Ok(present + 1)
    }

    async fn webhook_delete(&self, name: &WebhookName) -> Result<bool, StoreError> {
        let mut tables = self.tables.lock();
        tables.webhooks.deliveries.retain(|_, delivery| delivery.webhook != *name);
        Ok(tables.webhooks.webhooks.remove(name).is_some())
    }

    async fn outbox_cursor(&self) -> Result<Option<EventId>, StoreError> {
        Ok(self.tables.lock().webhooks.cursor)
    }

    async fn outbox_put(&self, cursor: EventId, deliveries: &[DeliveryRecord]) -> Result<(), StoreError> {
        let mut tables = self.tables.lock();
        for delivery in deliveries {
            tables.webhooks.add(delivery);
        }
        tables.webhooks.cursor = Some(cursor);
        Ok(())
    }

    async fn delivery_create(&self, delivery: &DeliveryRecord) -> Result<bool, StoreError> {
        Ok(self.tables.lock().webhooks.add(delivery))
    }

    async fn delivery_due(
        &self,
        now: OffsetDateTime,
        except: &[WebhookName],
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let tables = self.tables.lock();
        let due = |delivery: &&DeliveryRecord| {
            delivery.state == DeliveryState::Pending && delivery.next_at <= now && !except.contains(&delivery.webhook)
        };
        let mut found: Vec<_> = tables.webhooks.deliveries.values().filter(due).cloned().collect();
        found.sort_by_key(|delivery| (delivery.next_at, delivery.id));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn delivery_put(&self, delivery: &DeliveryRecord) -> Result<bool, StoreError> {
        let mut tables = self.tables.lock();
        let Some(present) = tables.webhooks.deliveries.get_mut(&delivery.id) else { return Ok(false) };
        present.clone_from(delivery);
        Ok(true)
    }

    async fn delivery_fetch(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        Ok(self.tables.lock().webhooks.deliveries.get(&id).cloned())
    }

    async fn delivery_list(&self, filter: &DeliveryFilter) -> Result<Vec<DeliveryRecord>, StoreError> {
        let limit = usize::try_from(records::limit_of(filter.limit)).unwrap_or(usize::MAX);
        let tables = self.tables.lock();
        let found = tables.webhooks.deliveries.values().rev().filter(|delivery| matches(filter, delivery));
        Ok(found.take(limit).cloned().collect())
    }

    async fn delivery_counts(&self) -> Result<Vec<(WebhookName, DeliveryState, u64)>, StoreError> {
        let tables = self.tables.lock();
        let mut counts: BTreeMap<_, (DeliveryState, u64)> = BTreeMap::new();
        for delivery in tables.webhooks.deliveries.values() {
            let place = (delivery.webhook.clone(), delivery.state.as_str());
            counts.entry(place).or_insert((delivery.state, 0)).1 += 1;
        }
        Ok(counts.into_iter().map(|((webhook, _), (state, number))| (webhook, state, number)).collect())
    }

    async fn delivery_revive(
        &self,
        webhook: &WebhookName,
        id: Option<DeliveryId>,
        now: OffsetDateTime,
    ) -> Result<u64, StoreError> {
        let mut tables = self.tables.lock();
        let dead = tables.webhooks.deliveries.values_mut().filter(|delivery| {
            delivery.webhook == *webhook
                && delivery.state == DeliveryState::Dead
                && id.is_none_or(|id| id == delivery.id)
        });
        let mut revived = 0;
        for delivery in dead {
            (delivery.state, delivery.attempts) = (DeliveryState::Pending, 0);
            (delivery.next_at, delivery.ended_at) = (now, None);
            revived += 1;
        }
        Ok(revived)
    }

    async fn delivery_prune(&self, ended_before: OffsetDateTime, at_most: u32) -> Result<u64, StoreError> {
        let mut tables = self.tables.lock();
        let old = tables.webhooks.deliveries.values().filter(|delivery| {
            delivery.state != DeliveryState::Pending && delivery.ended_at.is_some_and(|ended| ended < ended_before)
        });
        let gone: Vec<_> =
            old.take(usize::try_from(at_most).unwrap_or(usize::MAX)).map(|delivery| delivery.id).collect();
        for id in &gone {
            tables.webhooks.deliveries.remove(id);
        }
        Ok(gone.len() as u64)
    }
}
