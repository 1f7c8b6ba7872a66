//! `outrigger backup`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// `outrigger backup`.
#[derive(Clone, Debug, Subcommand)]
pub enum BackupCommand {
    /// Back up a data directory into one file
    ///
    /// The backup is a consistent snapshot and needs no downtime: if a server uses the directory, the server makes the
    /// backup, on its own disk. Compiled code is left out, and so are files in `config` other than .yaml, .yml, .toml
    /// and .json. The file appears only when it is complete, and only its owner can read it: it contains
    /// configurations, configuration files with any plain-text secrets, records and hashes of keys.
    #[command(after_help = "Examples:
  outrigger backup create /var/backups/outrigger.tar.gz
  outrigger backup create ./whole.tar.gz --include-secret-key")]
    Create(BackupCreateArguments),

    /// Check that a backup is intact
    ///
    /// Reads the whole backup: compares every file with its digest, checks every page of the database, and verifies the
    /// audit log.
    #[command(after_help = "Example:
  outrigger backup verify /var/backups/outrigger.tar.gz")]
    Verify {
        /// The backup
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },

    /// Restore a backup into a new data directory
    ///
    /// The path must not exist or be an empty folder. The backup is checked first; the directory is restored completely
    /// or not at all.
    #[command(after_help = "Example:
  outrigger backup restore /var/backups/outrigger.tar.gz --data ./restored")]
    Restore {
        /// The backup
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

/// `outrigger backup create`.
#[derive(Clone, Debug, Args)]
pub struct BackupCreateArguments {
    /// The file to write; it must not exist. With --server, a file name without a folder goes to the server's backup
    /// folder (`outrigger serve --backups`)
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Include `secret.key`, which decrypts the secrets; keep such a backup as safe as the secrets. Refused if the key
    /// comes from OUTRIGGER_SECRET_KEY, OUTRIGGER_SECRET_KEY_FILE or OUTRIGGER_SECRET_KEYRING
    #[arg(long)]
    pub include_secret_key: bool,
}
