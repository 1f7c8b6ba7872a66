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

    /// Install a plugin, or put it in the place of an installed version
    ///
    /// Shows what the plugin offers and what it asks for, and asks for your consent. What is granted is granted to
    /// exactly this package. Without a terminal, a package that asks for permissions needs --yes. What a plugin cannot do
    /// without is configured with --set or --config; the rest can be set later, with `outrigger plugin config`.
    #[command(after_help = "Examples:
  outrigger plugin install ./pricing
  outrigger plugin install pricing-1.0.0.tar.gz --yes
  outrigger plugin install pricing --version ^1
  outrigger plugin install hetzner-cloud --set api-token=s3cret
  outrigger plugin install ./pricing --dry-run")]
    Install(InstallArguments),

    /// Put a package in the place of the installed version of its plugin
    ///
    /// As install does, but a plugin that is not installed is refused.
    #[command(after_help = "Examples:
  outrigger plugin update ./pricing
  outrigger plugin update pricing --version ^1")]
    Update(InstallArguments),

    /// Remove a plugin with its configuration and state
    #[command(after_help = "Example:
  outrigger plugin uninstall pricing")]
    Uninstall(UninstallArguments),

    /// Make plugins take calls
    #[command(after_help = "Example:
  outrigger plugin enable pricing")]
    Enable {
        /// The plugins
        #[arg(required = true, add = ArgValueCompleter::new(complete::Plugins))]
        names: Vec<PluginName>,
    },

    /// Stop plugins taking calls
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
    /// Reports everything that is wrong, with line and column. Exits with 2 when something is, also when the package is not
    /// what was signed. Which keys are trusted is for where it is installed to say.
    #[command(after_help = "Examples:
  outrigger plugin validate ./pricing
  outrigger plugin validate plugin.toml")]
    Validate {
        /// A folder, an archive, or a `plugin.toml`
        #[arg(value_hint = ValueHint::AnyPath)]
        path: PathBuf,
    },

    /// Check that plugins are as they were installed, and who made them
    ///
    /// Reads their files anew, and holds them to the digest that they were installed by and to their signature, with the keys
    /// that `trust.toml` of the data directory trusts now. Without names, all are checked. Exits with 2 when one was changed or
    /// its signature is not valid, and with 4 when one could not be installed any more.
    #[command(after_help = "Examples:
  outrigger plugin verify
  outrigger plugin verify pricing")]
    Verify {
        /// The plugins
        #[arg(add = ArgValueCompleter::new(complete::Plugins))]
        names: Vec<PluginName>,
    },

    /// Show how plugins are
    ///
    /// Asks those that are named, and shows what the health monitor of the server makes of them. Without names, shows what
    /// the monitor knows of each plugin; where no server runs, all that take calls are asked instead. Exits with 1 when one is
    /// unhealthy.
    #[command(after_help = "Examples:
  outrigger plugin health
  outrigger plugin health pricing")]
    Health {
        /// The plugins
        #[arg(add = ArgValueCompleter::new(complete::Plugins))]
        names: Vec<PluginName>,
    },

    /// Show how often functions were called, how they fared and how long they took
    #[command(after_help = "Example:
  outrigger plugin stats pricing")]
    Stats {
        /// Only functions of this plugin
        #[arg(add = ArgValueCompleter::new(complete::Plugins))]
        name: Option<PluginName>,
    },

    /// Show where the time of a plugin's calls goes
    ///
    /// A server looks at one of 64 calls of each function, of the first ones at more, and keeps what they show while the
    /// plugin is loaded. `outrigger call --profile` looks at one call.
    #[command(after_help = "Example:
  outrigger plugin profile pricing")]
    Profile {
        /// The plugin
        #[arg(add = ArgValueCompleter::new(complete::Plugins))]
        name: PluginName,
    },

    /// Show what plugins logged
    #[command(after_help = "Examples:
  outrigger plugin logs pricing --level warn --since 10m
  outrigger plugin logs --follow")]
    Logs(LogsArguments),

    /// Make plugins ready ahead of their first call
    #[command(after_help = "Example:
  outrigger plugin warm pricing")]
    Warm {
        /// The plugins
        #[arg(required = true, add = ArgValueCompleter::new(complete::Plugins))]
        names: Vec<PluginName>,
    },

    /// Show or set a plugin's configuration, or go back to what it was
    ///
    /// Secrets are stored encrypted and never shown. Files and environment variables where Outrigger runs go over what is
    /// set here; what is shown says where each value comes from.
    #[command(after_help = "Examples:
  outrigger plugin config pricing
  outrigger plugin config pricing --set region=eu --unset currency
  outrigger plugin config pricing --json @pricing.json
  outrigger plugin config pricing --file pricing.yaml
  outrigger plugin config pricing history
  outrigger plugin config pricing diff 3
  outrigger plugin config pricing rollback 3")]
    Config(ConfigArguments),

    /// Go back to what was there before a plugin's last update
    ///
    /// The version, its configuration and its state as they were. Where the update changed the state, what was written to
    /// it since is lost.
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
    /// List what could be installed by name instead
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
    /// Grant what the plugin asks for, without asking
    #[arg(long, short)]
    pub yes: bool,
    /// Which versions will do, such as `^1.2`, when installing by name [default: the highest]
    #[arg(long, value_name = "REQUIREMENT")]
    pub version: Option<String>,
    /// Only show what would become of the configuration and the state of the installed version
    #[arg(long)]
    pub dry_run: bool,
    /// Put an older version in the place of a newer one although it does not say that it can take over from it
    #[arg(long)]
    pub allow_downgrade: bool,
    /// Configure one key from the start; of an update, over what becomes of what is set
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<Argument>,
    /// The same for all keys in a file in YAML, TOML or JSON
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
    /// Only lines of this level or a graver one
    #[arg(long, value_enum)]
    pub level: Option<LogLevel>,
    /// Only lines after this: a length of time ago, such as `10m`, or a time, such as `2026-11-21T04:00:00Z`
    #[arg(long, value_name = "WHEN")]
    pub since: Option<Since>,
    /// Only lines with this text, whatever the case of its letters
    #[arg(long, value_name = "TEXT")]
    pub contains: Option<String>,
    /// Only lines of the call with this correlation id, and of those it made
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// Show at most COUNT, newest first
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Go on showing new lines until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
}

/// Levels of log lines, the gravest last.
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
    /// Set one key; the others stay
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<Argument>,
    /// Let one key take its default again
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

/// What can be done with the revisions of a configuration.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigAction {
    /// List what the configuration was, and who set it; the newest 50 revisions are kept
    #[command(after_help = "Example:
  outrigger plugin config pricing history")]
    History,

    /// Show the keys in which two revisions differ
    #[command(after_help = "Examples:
  outrigger plugin config pricing diff 3
  outrigger plugin config pricing diff 3 5")]
    Diff {
        /// The earlier revision; 0 is the time before anything was set
        from: u64,
        /// The later one [default: the present one]
        to: Option<u64>,
    },

    /// Take up the values of an earlier revision again, secrets too, as a new revision
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
    /// The old key is kept until a later rotation finds that nothing is encrypted with it any more. Where the key is given
    /// by OUTRIGGER_SECRET_KEY, OUTRIGGER_SECRET_KEY_FILE or OUTRIGGER_SECRET_KEYRING, put the new one there first, in front
    /// of the old one.
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
