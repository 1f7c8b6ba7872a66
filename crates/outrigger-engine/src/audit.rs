//! The audit log: one entry for each thing that was done or denied, chained by hashes so that no record can be changed,
//! left out or put in between without it showing.
//!
//! A record is the text of its entry, with a hash over that text, its place and the hash before it. Changing one byte
//! breaks the chain from there on. What lists are narrowed by is kept beside the text a second time, and is held against it: a
//! record that no list shows any more would be as good as gone. Cutting off the end does not break it; that is seen by comparing with a head
//! that was noted elsewhere, as `outrigger audit verify --head` does.

use outrigger_contract::Code;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::correlation::CorrelationId;

/// What was done or denied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Who, as logs have it: `local`, `key ci-deploy`, `plugin pricing.quote`.
    pub actor: String,
    /// The id of the key, where it was one. Names of keys may be used again, ids are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The right that it took, such as `plugin_create`.
    pub action: String,
    /// What it was done to, such as `pricing` or `pricing.quote`.
    pub resource: String,
    /// Whether it was allowed.
    pub allowed: bool,
    /// What decided, for a person to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    pub stage: Stage,
    /// The code of the failure, where it was allowed and failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The revision of the plugin it concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What was there before, secrets redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there now, secrets redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    pub correlation: CorrelationId,
    /// For a group: how many calls it stands for, each in `calls`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<GroupedCall>,
}

/// Where in its course a thing was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Before it was done; another entry with the same correlation id says how it ended. For what may destroy something.
    Intent,
    /// When it had ended.
    Done,
    /// Several calls that only read, written down together.
    Group,
}

/// One call of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupedCall {
    /// Who, as in [`AuditEntry::actor`].
    pub actor: String,
    /// `plugin.function`.
    pub function: String,
    /// The code of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    pub correlation: CorrelationId,
}

/// An entry in its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Counted from 1, without gaps.
    pub sequence: u64,
    /// The entry as JSON text, byte for byte as it was hashed.
    pub text: String,
    pub hash: Hash,
}

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRecord {
    pub record: AuditRecord,
    /// What is kept beside the record and says something else than it.
    pub differs: Option<&'static str>,
}

/// A SHA-256, in hexadecimal.
pub type Hash = outrigger_contract::Digest;

/// The end of a chain. That of an empty one is sequence 0 and a hash of zeros.
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
    #[error("record {expected} is missing: after record {} comes record {found}", expected - 1)]
    Gap { expected: u64, found: u64 },
    #[error("record {found} stands where none belongs")]
    Added { found: u64 },
    #[error("record {sequence} was changed, or one before it: its hash is {recorded}, and should be {computed}")]
    Hash { sequence: u64, recorded: Hash, computed: Hash },
    #[error("record {sequence} was changed where it is looked for: its `{column}` is not what its text says")]
    Column { sequence: u64, column: &'static str },
}

/// Puts an entry behind the head.
///
/// # Errors
/// The entry cannot be written as JSON.
pub fn append(head: Head, entry: &AuditEntry) -> Result<AuditRecord, serde_json::Error> {
    let (sequence, text) = (head.sequence + 1, serde_json::to_string(entry)?);
    Ok(AuditRecord { hash: hash(&head.hash, sequence, &text), sequence, text })
}

/// Checks that a record stands behind the head, and answers with the head that it makes.
///
/// # Errors
/// It does not.
pub fn verify(head: Head, record: &AuditRecord) -> Result<Head, BrokenChain> {
    let expected = head.sequence + 1;
    if record.sequence < expected {
        return Err(BrokenChain::Added { found: record.sequence });
    }
    if record.sequence > expected {
        return Err(BrokenChain::Gap { expected, found: record.sequence });
    }
    let computed = hash(&head.hash, record.sequence, &record.text);
    if computed != record.hash {
        return Err(BrokenChain::Hash { sequence: record.sequence, recorded: record.hash, computed });
    }
    Ok(Head { sequence: record.sequence, hash: record.hash })
}

/// The same of a record as it is kept, with what stands beside it.
///
/// # Errors
/// It does not, or what stands beside it says something else.
pub fn verify_kept(head: Head, kept: &KeptRecord) -> Result<Head, BrokenChain> {
    let after = verify(head, &kept.record)?;
    match kept.differs {
        None => Ok(after),
        Some(column) => Err(BrokenChain::Column { sequence: after.sequence, column }),
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
