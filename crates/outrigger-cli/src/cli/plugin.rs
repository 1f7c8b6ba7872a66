//! `outrigger plugin`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCompleter;
use outrigger_api::{FunctionName, PluginName};
use outrigger_contract::units::Span;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Argument;
use crate::complete;

/// `outrigger plugin`.
#[derive(Clone, Debug, Subcommand)]
pub enum PluginCommand {
    /// List the installed plugins
    #[command(after_help = "Examples:
  outrigger plugin list --state failed
  outrigger plugin list --available")]
    List(ListArguments),

    /// Show everything about a plugin
    #[command(after_help = "Example:
  outrigger plugin info pricing")]
    Info {
        /// The plugin
        #[arg(add = ArgValueCompleter::new(complete::Plugins))]
        name: PluginName,
    },

    /// Install a plugin, or replace its installed version
    ///
    /// Shows the plugin's functions and the permissions it requests, and asks for your approval. The grant applies only
    /// to this exact package. Without a terminal, a package that requests permissions needs --yes. Set required
    /// configuration with --set or --config; the rest can be set later with `outrigger plugin config`.
    #[command(after_help = "Examples:
  outrigger plugin install ./pricing
  outrigger plugin install pricing-1.0.0.tar.gz --yes
  outrigger plugin install pricing --version ^1
  outrigger plugin install hetzner-cloud --set api-token=s3cret
  outrigger plugin install ./pricing --dry-run")]
    Install(InstallArguments),

    /// Update an installed plugin
    ///
    /// Works like `install`, but refuses a plugin that is not installed.
    #[command(after_help = "Examples:
  outrigger plugin update ./pricing
  outrigger plugin update pricing --version ^1")]
    Update(InstallArguments),

    /// Remove a plugin with its configuration and state
    #[command(after_help = "Example:
  outrigger plugin uninstall pricing")]
    Uninstall(UninstallArguments),

    /// Enable plugins
    #[command(after_help = "Example:
  outrigger plugin enable pricing")]
    Enable {
        /// The plugins
        #[arg(required = true, add = ArgValueCompleter::new(complete::Plugins))]
        names: Vec<PluginName>,
    },

    /// Disable plugins
    #[command(after_help = "Example:
  outrigger plugin disable pricing")]
    Disable {
        /// The plugins
        #[arg(required = true, add = ArgValueCompleter::new(complete::Plugins))]
        names: Vec<PluginName>,
    },

    /// Reload plugins; running calls finish first
    #[command(after_help = "Example:
  outrigger plugin reload pricing")]
    Reload {
        /// The plugins
        #[arg(required = true, add = ArgValueCompleter::new(complete::Plugins))]
        names: Vec<PluginName>,
    },

    /// Check a package or a manifest without installing it
    ///
    /// Reports all errors, with line and column. Exits with 2 if there are any, or if the package does not match its
    /// signature. Does not check whether the signing key is trusted; installing does.
    #[command(after_help = "Examples:
  outrigger plugin validate ./pricing
  outrigger plugin validate plugin.toml")]
    Validate {
        /// A folder, an archive, or a `plugin.toml`
        #[arg(value_hint = ValueHint::AnyPath)]
        path: PathBuf,
    },

    /// Check the files and signatures of installed plugins
    ///
    /// Compares the files of each plugin with the digest it was installed with, and checks its signature against the
    /// keys that `trust.toml` trusts now. Without names, checks all plugins. Exits with 2 if a plugin was changed or
    /// its signature is invalid, and with 4 if a plugin could no longer be installed.
    #[command(after_help = "Examples:
  outrigger plugin verify
  outrigger plugin verify pricing")]
    Verify {
        /// The plugins
        #[arg(add = ArgValueCompleter::new(complete::Plugins))]
        names: Vec<PluginName>,
    },

    /// Show the health of plugins
    ///
    /// Checks the named plugins and shows their status in the server's health monitor. Without names, shows the
    /// monitor's status of every plugin; if no server is running, checks all enabled plugins instead. Exits with 1 if a
    /// plugin is unhealthy.
    #[command(after_help = "Examples:
  outrigger plugin health
  outrigger plugin health pricing")]
    Health {
        /// The plugins
        #[arg(add = ArgValueCompleter::new(complete::Plugins))]
        names: Vec<PluginName>,
    },

    /// Show calls, outcomes and durations for each function
    #[command(after_help = "Example:
  outrigger plugin stats pricing")]
    Stats {
        /// Only functions of this plugin
        #[arg(add = ArgValueCompleter::new(complete::Plugins))]
        name: Option<PluginName>,
    },

    /// Show where the time of a plugin's calls goes
    ///
    /// A server profiles one in 64 calls of each function, and more of the first ones, and keeps the profile while the
    /// plugin is loaded. `outrigger call --profile` profiles a single call.
    #[command(after_help = "Example:
  outrigger plugin profile pricing")]
    Profile {
        /// The plugin
        #[arg(add = ArgValueCompleter::new(complete::Plugins))]
        name: PluginName,
    },

    /// Show the log lines of plugins
    #[command(after_help = "Examples:
  outrigger plugin logs pricing --level warn --since 10m
  outrigger plugin logs --follow")]
    Logs(LogsArguments),

    /// Load plugins before their first call
    #[command(after_help = "Example:
  outrigger plugin warm pricing")]
    Warm {
        /// The plugins
        #[arg(required = true, add = ArgValueCompleter::new(complete::Plugins))]
        names: Vec<PluginName>,
    },

    /// Show, set or restore a plugin's configuration
    ///
    /// Secrets are stored encrypted and never shown. Configuration files and environment variables override the values
    /// set here; the output names the source of each value.
    #[command(after_help = "Examples:
  outrigger plugin config pricing
  outrigger plugin config pricing --set region=eu --unset currency
  outrigger plugin config pricing --json @pricing.json
  outrigger plugin config pricing --file pricing.yaml
  outrigger plugin config pricing history
  outrigger plugin config pricing diff 3
  outrigger plugin config pricing rollback 3")]
    Config(ConfigArguments),

    /// Undo a plugin's last update
    ///
    /// Restores the previous version with its configuration and state. If the update changed the state, anything
    /// written to the state since then is lost.
    #[command(after_help = "Examples:
  outrigger plugin rollback pricing --dry-run
  outrigger plugin rollback pricing --yes")]
    Rollback(RollbackArguments),
}

/// The states in which a plugin can be found, as the platform writes them.
const STATES: [&str; 9] =
    ["validated", "installed", "registered", "loaded", "initialized", "active", "deactivated", "disabled", "failed"];

/// `outrigger plugin list`.
#[derive(Clone, Debug, Args)]
pub struct ListArguments {
    /// List the packages that can be installed by name instead
    #[arg(long)]
    pub available: bool,
    /// Only plugins in this state
    #[arg(long, value_parser = STATES, conflicts_with = "available")]
    pub state: Option<String>,
}

/// `outrigger plugin install`.
#[derive(Clone, Debug, Args)]
pub struct InstallArguments {
    /// A folder, a .zip, a .tar.gz, or the name of a package in the search paths
    #[arg(value_name = "PATH|NAME", value_hint = ValueHint::AnyPath)]
    pub package: String,
    /// Grant the requested permissions without asking
    #[arg(long, short)]
    pub yes: bool,
    /// Version requirement when installing by name, such as `^1.2` [default: the highest version]
    #[arg(long, value_name = "REQUIREMENT")]
    pub version: Option<String>,
    /// Only show how the update would change the installed version's configuration and state
    #[arg(long)]
    pub dry_run: bool,
    /// Replace a newer version with an older one that does not declare a migration from it
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Set one configuration key; in an update, overrides the migrated value
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<Argument>,
    /// Set configuration keys from a YAML, TOML or JSON file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

/// `outrigger plugin rollback`.
#[derive(Clone, Debug, Args)]
pub struct RollbackArguments {
    /// The plugin
    #[arg(add = ArgValueCompleter::new(complete::Plugins))]
    pub name: PluginName,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Only show what would change
    #[arg(long)]
    pub dry_run: bool,
}

/// `outrigger plugin uninstall`.
#[derive(Clone, Debug, Args)]
pub struct UninstallArguments {
    /// The plugin
    #[arg(add = ArgValueCompleter::new(complete::Plugins))]
    pub name: PluginName,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// `outrigger plugin logs`.
#[derive(Clone, Debug, Args)]
pub struct LogsArguments {
    /// Only lines of this plugin
    #[arg(add = ArgValueCompleter::new(complete::Plugins))]
    pub name: Option<PluginName>,
    /// Only lines of this function
    #[arg(long, value_name = "NAME", requires = "name")]
    pub function: Option<FunctionName>,
    /// Only lines of this level or above
    #[arg(long, value_enum)]
    pub level: Option<LogLevel>,
    /// Only lines after this: a length of time ago, such as `10m`, or a time, such as `2026-11-21T04:00:00Z`
    #[arg(long, value_name = "WHEN")]
    pub since: Option<Since>,
    /// Only lines that contain this text, ignoring case
    #[arg(long, value_name = "TEXT")]
    pub contains: Option<String>,
    /// Only lines of the call with this correlation id and of the calls it made
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// Show at most COUNT, newest first
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Keep showing new lines until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
}

/// Levels of log lines, the most severe last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl LogLevel {
    /// The level as the platform writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// `outrigger plugin config`.
#[derive(Clone, Debug, Args)]
pub struct ConfigArguments {
    /// The plugin
    #[arg(add = ArgValueCompleter::new(complete::Plugins))]
    pub name: PluginName,
    /// Set one key and keep the others
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<Argument>,
    /// Reset one key to its default
    #[arg(long, value_name = "KEY")]
    pub unset: Vec<String>,
    /// Set all keys at once, from a JSON object: the text itself, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "JSON|@FILE|-", conflicts_with_all = ["set", "unset"], allow_hyphen_values = true)]
    pub json: Option<String>,
    /// Set all keys at once, from a file in YAML, TOML or JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["set", "unset", "json"], value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    #[command(subcommand)]
    pub action: Option<ConfigAction>,
}

/// Commands on the revisions of a configuration.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigAction {
    /// List the revisions of the configuration; the newest 50 are kept
    #[command(after_help = "Example:
  outrigger plugin config pricing history")]
    History,

    /// Show the keys in which two revisions differ
    #[command(after_help = "Examples:
  outrigger plugin config pricing diff 3
  outrigger plugin config pricing diff 3 5")]
    Diff {
        /// The earlier revision; 0 is the empty configuration
        from: u64,
        /// The later revision [default: the current one]
        to: Option<u64>,
    },

    /// Restore the values of an earlier revision, including secrets, as a new revision
    #[command(after_help = "Example:
  outrigger plugin config pricing rollback 3")]
    Rollback {
        /// The revision
        revision: u64,
    },
}

/// `outrigger secrets`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum SecretsCommand {
    /// Make a new key, and encrypt all secrets again with it
    ///
    /// The old key is kept until a later rotation finds that no secret is encrypted with it. If the key comes from
    /// OUTRIGGER_SECRET_KEY, OUTRIGGER_SECRET_KEY_FILE or OUTRIGGER_SECRET_KEYRING, first put the new key there, before
    /// the old one.
    #[command(after_help = "Example:
  outrigger secrets rotate")]
    Rotate,
}

/// A moment, given as a length of time ago or as a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since(pub OffsetDateTime);

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = text.parse::<Span>() {
            let ago = OffsetDateTime::now_utc()
                .checked_sub(time::Duration::try_from(span.as_duration()).unwrap_or(time::Duration::MAX));
            return Ok(Self(ago.unwrap_or(OffsetDateTime::UNIX_EPOCH)));
        }
        OffsetDateTime::parse(text, &Rfc3339).map(Self).map_err(|_| {
            "write a length of time such as `10m` or `2h30m`, or a time such as `2026-11-21T04:00:00Z`".to_owned()
        })
    }
}
