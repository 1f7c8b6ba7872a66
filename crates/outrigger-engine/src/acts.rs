//! What a key may do that the audit log keeps for ever: so many acts a minute, which are refused beyond. Acts that fail, and
//! those that are as frequent as calls, are counted there instead. The administrator of the data directory has no quota.

use std::time::Instant;

use serde_json::Value;

use crate::audit::AuditEntry;
use crate::call::Caller;
use crate::engine::Engine;
use crate::error::Failure;
use crate::quota::{Kind, over};

/// Bytes of an entry that go with one act. A longer entry counts as several acts.
const UNIT: usize = 4 << 10;

impl Engine {
    /// Takes room for the entry of an act, before it is done.
    ///
    /// # Errors
    /// `rate_limited`: this key did too much within a minute.
    pub fn act_begin(&self, caller: &Caller, units: u64) -> Result<(), Failure> {
        let Some(key) = caller.key() else { return Ok(()) };
        let taken = self.writes_of(key).take(Kind::Act, units, Instant::now());
        taken.map_err(|wait| over(format!("the {caller} made too many changes within a minute"), wait))
    }

    /// What was taken for an act is not needed: it failed, and that is counted.
    pub fn act_failed(&self, caller: &Caller) {
        if let Some(key) = caller.key() {
            self.writes_of(key).act_left_nothing();
        }
    }

    /// An act was done: where its entry is long, that takes more, for which the next acts wait.
    pub fn act_done(&self, caller: &Caller, entry: &AuditEntry) {
        let length = |value: Option<&Value>| value.map_or(0, |value| value.to_string().len());
        let more = (length(entry.before.as_ref()) + length(entry.after.as_ref())) / UNIT;
        if let Some(key) = caller.key().filter(|_| more > 0) {
            self.writes_of(key).act_was_long(more as u64, Instant::now());
        }
    }

    /// Adds an act that is as frequent as calls to the audit log, and waits until it is written: an entry of its own, or
    /// counted with others where this key has many.
    ///
    /// # Errors
    /// The store failed; the entry is not there.
    pub async fn audit_as_call(&self, caller: &Caller, entry: AuditEntry) -> Result<(), Failure> {
        let alone = caller.key().is_none_or(|key| self.writes_of(key).is_audited_alone(Instant::now()));
        match alone {
            true => self.audit(entry).await?,
            false => self.inner.recorder.change(entry).await,
        }
        Ok(())
    }

    /// Adds an act that failed to the audit log. The first of a minute have entries of their own, those that follow are counted.
    /// Waits until it is written, where that is possible now, so that the log has things in their order.
    pub async fn audit_failed(&self, entry: AuditEntry) {
        self.inner.recorder.failed(entry);
        if self.inner.store.write_fault().is_none() {
            self.inner.recorder.flush().await;
        }
    }
}
