//! The quota of changes: each successful change of a key stays in the audit log forever, so the number per minute is
//! limited. Failed changes, and operations as frequent as calls, are aggregated instead. The administrator of the data
//! directory has no quota.

use std::time::Instant;

use serde_json::Value;

use crate::audit::AuditEntry;
use crate::call::Caller;
use crate::engine::Engine;
use crate::error::Failure;
use crate::quota::{Kind, over};

/// Bytes of an audit record that count as one change. A longer record counts as several.
const UNIT: usize = 4 << 10;

impl Engine {
    /// Takes a change from the quota before it is made.
    ///
    /// # Errors
    /// `rate_limited`: this key made too many changes within a minute.
    pub fn act_begin(&self, caller: &Caller, units: u64) -> Result<(), Failure> {
        let Some(key) = caller.key() else { return Ok(()) };
        let taken = self.writes_of(key).take(Kind::Act, units, Instant::now());
        taken.map_err(|wait| over(format!("the {caller} made too many changes within a minute"), wait))
    }

    /// Returns the quota of a change that failed. Failed changes are aggregated.
    pub fn act_failed(&self, caller: &Caller) {
        if let Some(key) = caller.key() {
            self.writes_of(key).act_left_nothing();
        }
    }

    /// Takes the rest of the quota for a long audit record. Later changes wait for it.
    pub fn act_done(&self, caller: &Caller, entry: &AuditEntry) {
        let length = |value: Option<&Value>| value.map_or(0, |value| value.to_string().len());
        let more = (length(entry.before.as_ref()) + length(entry.after.as_ref())) / UNIT;
        if let Some(key) = caller.key().filter(|_| more > 0) {
            self.writes_of(key).act_was_long(more as u64, Instant::now());
        }
    }

    /// Adds an operation that is as frequent as calls to the audit log, and waits until it is written: as a record of
    /// its own, or aggregated above the key's rate.
    ///
    /// # Errors
    /// The store failed; the record is not written.
    pub async fn audit_as_call(&self, caller: &Caller, entry: AuditEntry) -> Result<(), Failure> {
        let alone = caller.key().is_none_or(|key| self.writes_of(key).is_audited_alone(Instant::now()));
        match alone {
            true => self.audit(entry).await?,
            false => self.inner.recorder.change(entry).await,
        }
        Ok(())
    }

    /// Adds a failed change to the audit log. The first ones of a minute have records of their own, further ones are
    /// aggregated. Waits until the record is written, if that is possible now, to keep the order of the log.
    pub async fn audit_failed(&self, entry: AuditEntry) {
        self.inner.recorder.failed(entry);
        if self.inner.store.write_fault().is_none() {
            self.inner.recorder.flush().await;
        }
    }
}
