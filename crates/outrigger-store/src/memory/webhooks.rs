//! Webhooks and what is on its way to them, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use outrigger_contract::WebhookName;
use outrigger_engine::events::EventId;
use outrigger_engine::store::{
    Amount, Bound, DeliveryFilter, MOVED, ROW_BYTES, SWITCHED_OFF, StoreError, WebhookStore,
};
use outrigger_engine::webhooks::{DeliveryId, DeliveryRecord, DeliveryState, WebhookRecord};
use time::OffsetDateTime;

use super::MemoryStore;
use super::prune::{Droppable, prune_map};
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

    fn write(&mut self, webhook: &WebhookRecord) -> Result<u64, StoreError> {
        let present = self.webhooks.get(&webhook.name).map_or(0, |present| present.generation);
        if present != webhook.generation {
            return Err(webhooks::conflict(&webhook.name));
        }
        let written = WebhookRecord { generation: present + 1, ..webhook.clone() };
        self.webhooks.insert(webhook.name.clone(), written);
        Ok(present + 1)
    }

    /// Drops the deliveries whose time is outside the bound.
    fn prune(&mut self, keep: &Bound, moment: impl Fn(&DeliveryRecord) -> Option<OffsetDateTime>) -> u64 {
        let Self { webhooks, deliveries, .. } = self;
        let dropped = prune_map(deliveries, keep, |_, delivery| {
            let (made_by, at) = (&webhooks.get(&delivery.webhook)?.created_by, moment(delivery)?);
            let (owner, size) = (delivery.owner_of_row(made_by), ROW_BYTES + delivery.body.len() as u64);
            Some(Droppable { owner, at, size, stays: false })
        });
        dropped as u64
    }

    /// The deliveries of these webhooks that stand there.
    fn of<'a>(
        &'a mut self,
        webhooks: &'a [WebhookName],
        states: &'a [DeliveryState],
    ) -> impl Iterator<Item = &'a mut DeliveryRecord> {
        let deliveries = self.deliveries.values_mut();
        deliveries.filter(move |delivery| webhooks.contains(&delivery.webhook) && states.contains(&delivery.state))
    }
}

fn end(delivery: &mut DeliveryRecord, state: DeliveryState, why: &str, now: OffsetDateTime) {
    (delivery.state, delivery.error, delivery.ended_at) = (state, Some(why.to_owned()), Some(now));
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
        self.tables.lock().webhooks.write(webhook)
    }

    async fn webhook_move(&self, webhook: &WebhookRecord, now: OffsetDateTime) -> Result<u64, StoreError> {
        let mut tables = self.tables.lock();
        let generation = tables.webhooks.write(webhook)?;
        let unsent = [DeliveryState::Pending, DeliveryState::Dead];
        for delivery in tables.webhooks.of(std::slice::from_ref(&webhook.name), &unsent) {
            end(delivery, DeliveryState::Abandoned, MOVED, now);
            (delivery.status, delivery.private) = (None, false);
        }
        Ok(generation)
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

    async fn delivery_put(&self, delivery: &DeliveryRecord, attempts: u32) -> Result<bool, StoreError> {
        let mut tables = self.tables.lock();
        let present = tables.webhooks.deliveries.get_mut(&delivery.id);
        let expected =
            |present: &&mut DeliveryRecord| present.state == DeliveryState::Pending && present.attempts == attempts;
        let Some(present) = present.filter(expected) else { return Ok(false) };
        present.clone_from(delivery);
        Ok(true)
    }

    async fn delivery_give_up(
        &self,
        webhooks: &[WebhookName],
        except: &[DeliveryId],
        now: OffsetDateTime,
        at_most: u32,
    ) -> Result<u64, StoreError> {
        let mut tables = self.tables.lock();
        let pending = tables.webhooks.of(webhooks, &[DeliveryState::Pending]);
        let mut given_up = 0;
        let pending = pending.filter(|delivery| !except.contains(&delivery.id));
        for delivery in pending.take(usize::try_from(at_most).unwrap_or(usize::MAX)) {
            end(delivery, DeliveryState::Dead, SWITCHED_OFF, now);
            given_up += 1;
        }
        Ok(given_up)
    }

    async fn delivery_fetch(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        Ok(self.tables.lock().webhooks.deliveries.get(&id).cloned())
    }

    async fn delivery_list(&self, filter: &DeliveryFilter) -> Result<Vec<DeliveryRecord>, StoreError> {
        let limit = usize::try_from(records::limit_of(filter.limit)).unwrap_or(usize::MAX);
        let tables = self.tables.lock();
        let found = tables.webhooks.deliveries.values().rev().filter(|delivery| matches(filter, delivery));
        Ok(found.take(limit).map(|delivery| DeliveryRecord { body: String::new(), ..delivery.clone() }).collect())
    }

    async fn delivery_counts(
        &self,
        webhook: Option<&WebhookName>,
    ) -> Result<Vec<(WebhookName, DeliveryState, u64)>, StoreError> {
        let tables = self.tables.lock();
        let mut counts: BTreeMap<_, (DeliveryState, u64)> = BTreeMap::new();
        let wanted = |delivery: &&DeliveryRecord| webhook.is_none_or(|webhook| *webhook == delivery.webhook);
        for delivery in tables.webhooks.deliveries.values().filter(wanted) {
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

    async fn delivery_prune(&self, keep: &Bound) -> Result<u64, StoreError> {
        Ok(self.tables.lock().webhooks.prune(keep, |delivery| delivery.ended_at))
    }

    async fn delivery_prune_pending(&self, most: Amount) -> Result<u64, StoreError> {
        let keep = Bound { since: OffsetDateTime::UNIX_EPOCH, most: most.records, bytes: most.bytes };
        let made = |delivery: &DeliveryRecord| delivery.ended_at.is_none().then_some(delivery.created_at);
        Ok(self.tables.lock().webhooks.prune(&keep, made))
    }
}
