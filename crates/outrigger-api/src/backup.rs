//! Backups: a single file with everything in a data directory, except what can be created again.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::AuditHead;

/// The settings of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// The new file, which must not exist: a file name, created in the operator's backup folder, or an absolute path on
    /// the server's machine, which requires the right `path_use`.
    #[schemars(regex(pattern = "^[^\\x00]+$"), length(max = 4095))]
    pub path: PathBuf,
    /// Include the key that encrypts secrets in configurations. Anyone with such a backup can read them; without the
    /// key, it cannot restore them.
    #[serde(default)]
    pub include_secret_key: bool,
}

/// The contents of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupReport {
    pub path: PathBuf,
    /// Of the file, in bytes.
    pub size: u64,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: OffsetDateTime,
    /// The version of Outrigger that made it.
    pub version: String,
    /// The version of the database's schema.
    pub schema: i64,
    pub files: u64,
    /// Of all the files in it, in bytes.
    pub unpacked: u64,
    /// The key of the secrets is in it.
    pub has_secret_key: bool,
    /// The number of configuration files in it. They are included unencrypted, with any secrets in them.
    #[serde(default)]
    pub configuration_files: u64,
    /// Where the audit log ended.
    pub audit: AuditHead,
}
