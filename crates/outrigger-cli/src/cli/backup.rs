//! `outrigger backup`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// `outrigger backup`.
#[derive(Clone, Debug, Subcommand)]
pub enum BackupCommand {
    /// Put all that a data directory holds into one file
    ///
    /// It is as the directory was at one moment, and nothing has to stop for it: where a server holds the directory, the server
    /// makes it, on its own disk. Compiled code is left out, and of `config` all but .yaml, .yml, .toml and .json files. The file
    /// is there only once it is whole, and only its owner can read it: it holds configurations, configuration files with
    /// whatever secrets stand in them in the open, records and hashes of keys.
    #[command(after_help = "Examples:
  outrigger backup create /var/backups/outrigger.tar.gz
  outrigger backup create ./whole.tar.gz --include-secret-key")]
    Create(BackupCreateArguments),

    /// Check that a backup is as it was when it was made
    ///
    /// Reads all of it: every file is held against its digest, the database is checked page by page, and the audit log from end
    /// to end.
    #[command(after_help = "Example:
  outrigger backup verify /var/backups/outrigger.tar.gz")]
    Verify {
        /// The backup
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },

    /// Make a data directory of a backup
    ///
    /// Only where there is nothing: at a path that does not exist, or at an empty folder. The backup is checked first, and the
    /// directory is there whole or not at all.
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
    /// The file to make; nothing may be there
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Put the key of encrypted secrets into it, `secret.key`; keep such a backup as safe as the secrets. Refused where they
    /// are encrypted with a key that OUTRIGGER_SECRET_KEY, OUTRIGGER_SECRET_KEY_FILE or OUTRIGGER_SECRET_KEYRING gives
    #[arg(long)]
    pub include_secret_key: bool,
}
