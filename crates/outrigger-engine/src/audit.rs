//! The audit log: one entry for each thing that was done or denied, chained by hashes so that changing, removing or
//! inserting a record is detected.
//!
//! Refusals are attached to the chain without being part of it: each is hashed with the last chained record before it,
//! and no chained record is hashed with a refusal. So a changed refusal is detected, and pruning a refusal leaves the
//! chain intact. Any key can cause refusals; a chained record requires a right.
//!
//! A record is the text of its entry, with a hash over that text, its sequence and the hash of the last chained record.
//! Changing one byte of a chained record breaks the chain from there on. The columns for filters repeat parts of the
//! text, and are compared with it: otherwise a changed column could hide a record from lists. Cutting off the end does
//! not break the chain; comparing it with a head that was stored elsewhere detects it, as `outrigger audit verify
//! --head` does.

use outrigger_contract::Code;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::correlation::CorrelationId;
use crate::store::Owner;

/// An action or a refusal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// The time; for a group, the time of its first item.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// For a group, the time of its last item.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub until: Option<OffsetDateTime>,
    /// Who, as logs have it: `local`, `key ci-deploy`, `plugin pricing.quote`.
    pub actor: String,
    /// The id of the key, where it was one. Names of keys may be used again, ids are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The right that it took, such as `plugin_create`.
    pub action: String,
    /// The resource, such as `pricing` or `pricing.quote`.
    pub resource: String,
    /// Whether it was allowed.
    pub allowed: bool,
    /// The rule that decided, as text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    pub stage: Stage,
    /// The error code, if the action was allowed and failed, or exceeded a quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The revision of the plugin it concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The value before, secrets redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The value after, secrets redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    pub correlation: CorrelationId,
    /// The items of a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<GroupedCall>,
    /// Whether the record can be pruned: true for refusals, which are not chained.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prunable: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Where in its course a thing was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Before it was done; another entry with the same correlation id says how it ended. For what may destroy something.
    Intent,
    /// When it had ended.
    Done,
    /// Several aggregated calls, refusals or failed changes.
    Group,
}

/// An item of a group: calls or refusals with the same actor, resource and code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupedCall {
    /// The actor, as in [`AuditEntry::actor`]; `several` for the rest, when the group was full.
    pub actor: String,
    /// The id of the key, if it was a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `plugin.function`, or the resource of a refusal; `*` for the rest, when the group was full.
    pub resource: String,
    /// The code of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The number of calls or refusals.
    pub count: u64,
    /// Correlation ids of the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub correlations: Vec<CorrelationId>,
}

/// The fields of a group's item by which filters find the record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    pub actor: String,
    pub key: Option<String>,
    pub action: String,
    pub resource: String,
    pub allowed: bool,
    pub code: Option<&'static str>,
    pub correlation: Option<CorrelationId>,
}

impl AuditEntry {
    /// The items of a group for filters; empty for any other record.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let part = |call: &GroupedCall, correlation| Part {
            actor: call.actor.clone(),
            key: call.key.clone(),
            action: self.action.clone(),
            resource: call.resource.clone(),
            allowed: self.allowed,
            code: call.code.map(Code::as_str),
            correlation,
        };
        let parts = self.calls.iter().flat_map(|call| match &call.correlations[..] {
            [] => vec![part(call, None)],
            correlations => correlations.iter().map(|correlation| part(call, Some(*correlation))).collect(),
        });
        parts.collect()
    }

    /// The owner of a refusal: the key or caller, with the action as source.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner { account: self.key.clone().unwrap_or_else(|| self.actor.clone()), source: self.action.clone() }
    }

    /// How many calls or refusals the record counts.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self.stage {
            Stage::Intent | Stage::Done => 1,
            Stage::Group => self.calls.iter().map(|call| call.count).sum(),
        }
    }
}

/// An entry in its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Numbered from 1. A missing number is a pruned refusal.
    pub sequence: u64,
    /// The entry as JSON text, byte for byte as it was hashed.
    pub text: String,
    pub hash: Hash,
}

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRecord {
    pub record: AuditRecord,
    /// A stored column that differs from the record.
    pub differs: Option<&'static str>,
}

/// A SHA-256, in hexadecimal.
pub type Hash = outrigger_contract::Digest;

/// The last chained record. For an empty log, sequence 0 and a hash of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub sequence: u64,
    pub hash: Hash,
}

impl Head {
    /// The head of an empty chain.
    pub const EMPTY: Self = Self { sequence: 0, hash: Hash::from_bytes([0; 32]) };
}

/// Why a chain is not whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenChain {
    #[error("a record between {after} and {found} is missing, or was changed")]
    Gap { after: u64, found: u64 },
    #[error("unexpected record {found}")]
    Added { found: u64 },
    #[error("record {sequence} was changed, or one before it: its hash is {recorded}, and should be {computed}")]
    Hash { sequence: u64, recorded: Hash, computed: Hash },
    #[error("record {sequence} was changed: its column `{column}` does not match its text")]
    Column { sequence: u64, column: &'static str },
}

/// Appends an entry after the head, with this sequence, which is greater than all before.
///
/// # Errors
/// The entry cannot be written as JSON.
pub fn append(head: Head, sequence: u64, entry: &AuditEntry) -> Result<AuditRecord, serde_json::Error> {
    let text = serde_json::to_string(entry)?;
    Ok(AuditRecord { hash: hash(&head.hash, sequence, &text), sequence, text })
}

/// Checks that a record follows the head, and returns the new head: the record itself, unless it is a refusal.
///
/// # Errors
/// It does not.
pub fn verify(head: Head, record: &AuditRecord) -> Result<Head, BrokenChain> {
    let Head { sequence: after, hash: previous } = head;
    if record.sequence <= after {
        return Err(BrokenChain::Added { found: record.sequence });
    }
    let computed = hash(&previous, record.sequence, &record.text);
    if computed != record.hash {
        return Err(match record.sequence - after {
            1 => BrokenChain::Hash { sequence: record.sequence, recorded: record.hash, computed },
            _ => BrokenChain::Gap { after, found: record.sequence },
        });
    }
    match record.entry() {
        Ok(entry) if entry.prunable => Ok(head),
        _ => Ok(Head { sequence: record.sequence, hash: record.hash }),
    }
}

/// Like [`verify`], for a stored record with its columns.
///
/// # Errors
/// The hash is wrong, or a column differs from the record.
pub fn verify_kept(head: Head, kept: &KeptRecord) -> Result<Head, BrokenChain> {
    let after = verify(head, &kept.record)?;
    match kept.differs {
        None => Ok(after),
        Some(column) => Err(BrokenChain::Column { sequence: kept.record.sequence, column }),
    }
}

impl AuditRecord {
    /// The entry.
    ///
    /// # Errors
    /// The text is not that of an entry: it was changed, or a newer version wrote it.
    pub fn entry(&self) -> Result<AuditEntry, serde_json::Error> {
        serde_json::from_str(&self.text)
    }
}

/// Lengths are fixed or known, so no two different records have the same input.
fn hash(previous: &Hash, sequence: u64, text: &str) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(previous.as_bytes());
    hasher.update(sequence.to_be_bytes());
    hasher.update(text.as_bytes());
    Hash::from_bytes(hasher.finalize().into())
}

#[cfg(test)]
mod tests;
