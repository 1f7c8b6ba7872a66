//! The command line, as plain data; the commands are in [`crate::commands`].

mod access;
mod backup;
mod call;
mod event;
mod global;
mod hook;
mod job;
mod plugin;
mod serve;
mod template;
mod usage;
mod webhook;

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand, ValueHint};
use clap_complete::engine::ArgValueCompleter;
use outrigger_api::{FunctionName, FunctionRef, PluginName, TemplateName};

use crate::complete;

pub use access::{AccessCommand, AuditCommand, AuditListArguments, KeyCommand, KeyCreateArguments, RoleCommand};
pub use backup::{BackupCommand, BackupCreateArguments};
pub use call::{Argument, BatchArguments, BothSides, CallArguments, CallOptions, InputOptions, TIMEOUTS};
pub use event::EventsArguments;
pub use global::{ColorChoice, GlobalOptions};
pub use hook::{HookCommand, SubscribeArguments};
pub use job::{
    JobCommand, JobListArguments, JobOptions, JobStartArguments, Missed, OnInterruption, Overlap, ScheduleCommand,
    ScheduleSetArguments,
};
pub use plugin::{
    ConfigAction, ConfigArguments, InstallArguments, ListArguments, LogLevel, LogsArguments, PluginCommand,
    RollbackArguments, SecretsCommand, Since, UninstallArguments,
};
pub use serve::ServeArguments;
pub use template::TemplateCommand;
pub use usage::{UsageArguments, UsageBy};
pub use webhook::{Header, WebhookAddArguments, WebhookCommand, WebhookOptions, WebhookUpdateArguments};

/// Colours of help and of usage errors.
pub(crate) const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Runs operational functions from sandboxed plugins.
///
/// A plugin is a package of typed functions. It can use only the files, hosts and variables that were granted to it.
/// Every call is checked against the function's types, limited, timed and recorded.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "outrigger",
    version,
    max_term_width = 110,
    styles = STYLES,
    arg_required_else_help = true,
    after_help = "Examples:
  outrigger plugin install ./pricing
  outrigger functions pricing
  outrigger call pricing.quote --service compute-small --quantity 3"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub global: GlobalOptions,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Install, inspect and run plugins
    #[command(subcommand, visible_alias = "plugins")]
    Plugin(PluginCommand),

    /// List functions, or describe one
    ///
    /// With the name of a function, shows its documentation, parameters, types, limits and an example. With the name
    /// of a plugin, shows all its functions. With other words, shows the functions in whose name, title, description
    /// or tags all of them occur.
    #[command(after_help = "Examples:
  outrigger functions
  outrigger functions price
  outrigger functions pricing.quote
  outrigger functions pricing.quote --schema")]
    Functions(FunctionsArguments),

    /// Call a function
    Call(CallArguments),

    /// Call many functions from a file
    ///
    /// The file holds one JSON object a line, or one JSON or YAML array of such objects. Each has `function`, and may
    /// have `arguments`, `timeout` and `no-cache`. Results come in the order of the file, one a line.
    #[command(after_help = "Examples:
  outrigger batch calls.jsonl --parallel 8
  echo '{\"function\": \"pricing.quote\", \"arguments\": {\"service\": \"compute-small\", \"quantity\": 3}}' | outrigger batch -")]
    Batch(BatchArguments),

    /// List runs, the records of calls
    #[command(after_help = "Examples:
  outrigger runs
  outrigger runs pricing.quote --since 1h --failed")]
    Runs(RunsArguments),

    /// Usage statistics: number of calls, callers and durations
    ///
    /// The statistics are computed from the retained runs; pruned runs are not included.
    #[command(after_help = "Examples:
  outrigger usage
  outrigger usage pricing --by day,caller --since 7d
  outrigger usage pricing.quote --by hour,outcome -o json")]
    Usage(UsageArguments),

    /// Serve the data directory over HTTP
    ///
    /// Prints its address and, the first time, an administrator's key. The REST API is at /api/v1, its documentation at
    /// /api/v1/docs. Commands on this machine that use the same data directory connect to the server automatically.
    /// Stops on Ctrl-C or SIGTERM, after the running requests are answered.
    #[command(after_help = "Examples:
  outrigger serve
  outrigger serve --listen 0.0.0.0:7070 --tls-certificate chain.pem --tls-key key.pem")]
    Serve(ServeArguments),

    /// Hooks, their subscriptions, and traces of their firings
    #[command(subcommand)]
    Hook(HookCommand),
    /// Jobs: durable background calls
    #[command(subcommand, visible_alias = "jobs")]
    Job(JobCommand),

    /// Schedules that start jobs
    #[command(subcommand, visible_alias = "schedules")]
    Schedule(ScheduleCommand),

    /// List or follow events
    ///
    /// There are events about plugins, configurations, jobs and webhooks, and events that plugins fire. With `-o json`
    /// and --follow, prints one JSON object per line.
    #[command(after_help = "Examples:
  outrigger events --name 'plugin.*' --since 1h
  outrigger events --follow --name 'job.*' -o json")]
    Events(EventsArguments),

    /// HTTP endpoints notified of events
    #[command(subcommand, visible_alias = "webhooks")]
    Webhook(WebhookCommand),

    /// Keys, roles, and explanations of decisions
    #[command(subcommand)]
    Access(AccessCommand),

    /// The audit log
    #[command(subcommand)]
    Audit(AuditCommand),

    /// Make, check and restore backups
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Encryption keys of secrets
    #[command(subcommand)]
    Secrets(SecretsCommand),

    /// Develop plugins
    #[command(subcommand)]
    Dev(DevCommand),

    /// Templates for new plugins
    #[command(subcommand, visible_alias = "templates")]
    Template(TemplateCommand),

    /// Check the installation
    ///
    /// Checks the data directory, the database, the installed plugins and the search paths, and suggests a fix for each
    /// problem. Exits with 9 if a check fails.
    #[command(after_help = "Example:
  outrigger doctor")]
    Doctor,

    /// Print the completion script for a shell
    #[command(after_help = "Examples:
  source <(outrigger completions bash)
  outrigger completions fish > ~/.config/fish/completions/outrigger.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Explain error codes and exit codes
    #[command(after_help = "Examples:
  outrigger errors
  outrigger errors rate_limited")]
    Errors {
        /// A code, such as `rate_limited` [default: all codes]
        code: Option<String>,
    },

    /// Print the version
    #[command(after_help = "Example:
  outrigger version -o json")]
    Version,
}

impl Command {
    /// Whether the command can put something into a new data directory. Every other one works on one that exists.
    #[must_use]
    pub const fn can_begin_data(&self) -> bool {
        matches!(
            self,
            Self::Plugin(PluginCommand::Install(_))
                | Self::Dev(DevCommand::Build { .. })
                | Self::Serve(_)
                | Self::Hook(HookCommand::Add { .. })
                | Self::Webhook(WebhookCommand::Add(_))
                | Self::Access(
                    AccessCommand::Key(KeyCommand::Create(_)) | AccessCommand::Role(RoleCommand::Set { .. })
                )
                | Self::Backup(BackupCommand::Restore { .. })
                | Self::Template(TemplateCommand::Add { .. })
        )
    }
}

/// Shells with completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// `outrigger functions`.
#[derive(Clone, Debug, clap::Args)]
pub struct FunctionsArguments {
    /// A function, a plugin, or words to search for
    #[arg(add = ArgValueCompleter::new(complete::Functions))]
    pub query: Vec<String>,
    /// Print the JSON Schemas of the arguments, the result and the error
    #[arg(long)]
    pub schema: bool,
    /// Also list functions of plugins that are not active
    #[arg(long)]
    pub all: bool,
}

/// `outrigger runs`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunsArguments {
    /// Only runs of this plugin, or of this function
    #[arg(value_name = "PLUGIN[.FUNCTION]", value_parser = RunFilter::parse, add = ArgValueCompleter::new(complete::Functions))]
    pub filter: Option<RunFilter>,
    /// Only runs that began after this: a length of time ago, such as `10m`, or a time, such as `2026-11-21T04:00:00Z`
    #[arg(long, value_name = "WHEN")]
    pub since: Option<Since>,
    /// Only the run with this correlation id and the runs it caused
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// Only runs that failed
    #[arg(long)]
    pub failed: bool,
    /// Show at most COUNT, newest first
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// A plugin, or one function of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFilter {
    pub plugin: PluginName,
    pub function: Option<FunctionName>,
}

impl RunFilter {
    fn parse(text: &str) -> Result<Self, outrigger_contract::name::NameError> {
        if text.contains('.') {
            let FunctionRef { plugin, function } = text.parse()?;
            return Ok(Self { plugin, function: Some(function) });
        }
        Ok(Self { plugin: text.parse()?, function: None })
    }
}

/// `outrigger dev`.
#[derive(Clone, Debug, Subcommand)]
pub enum DevCommand {
    /// Create a plugin project that is ready to build
    ///
    /// The project is in Rust unless another template is named. It contains the contract in WIT, the code with a test,
    /// the manifest, and a README with next steps. Existing files are never overwritten.
    #[command(after_help = "Examples:
  outrigger dev new disk-report
  outrigger dev new disk-report --sdk ~/outrigger/plugins/sdk
  outrigger dev new disk-watch --template rust-service --author 'Ada <ada@example.org>'
  outrigger dev new disk-tool --template our-template --set team=storage")]
    New(NewArguments),

    /// Build a plugin project into a package that can be installed
    #[command(after_help = "Examples:
  outrigger dev build
  outrigger dev build ./disk-report --install")]
    Build {
        /// The project's folder
        #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
        path: PathBuf,
        /// The folder to write the package to, in a subfolder named after the plugin [default: PATH/dist]
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
        /// Install the package afterwards
        #[arg(long)]
        install: bool,
        /// With --install: grant the requested permissions without asking
        #[arg(long, short, requires = "install")]
        yes: bool,
        /// Sign the package with the private key in this file
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        sign: Option<PathBuf>,
    },

    /// Create a key pair for signing packages
    ///
    /// Writes the private key to FILE, readable only by you, and the public key to FILE.pub, both in PEM format as
    /// OpenSSL uses it. Prints the entry for `trust.toml` on the machines that install your packages.
    #[command(after_help = "Examples:
  outrigger dev keygen signing-key.pem")]
    Keygen {
        /// The file for the private key; it must not exist
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },

    /// Sign a package
    ///
    /// Adds a `signature.json` that lists the digest of every other file; a `.tar.gz` is rewritten. Existing signatures
    /// of the same files are kept.
    #[command(after_help = "Examples:
  outrigger dev sign dist/disk-report --key signing-key.pem
  OUTRIGGER_SIGNING_KEY=signing-key.pem outrigger dev sign disk-report-1.0.0.tar.gz")]
    Sign {
        /// A folder or a .tar.gz
        #[arg(value_hint = ValueHint::AnyPath)]
        package: PathBuf,
        /// The file with the private key [default: $OUTRIGGER_SIGNING_KEY]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        key: Option<PathBuf>,
    },
}

/// `outrigger dev new`.
#[derive(Clone, Debug, clap::Args)]
pub struct NewArguments {
    /// The plugin's name: lowercase letters, digits, `-` and `_`
    pub name: PluginName,
    /// The folder to create it in, new or empty [default: ./NAME]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub path: Option<PathBuf>,
    /// The template to use; `outrigger template list` lists them
    #[arg(long, value_name = "NAME", default_value = "rust")]
    pub template: TemplateName,
    /// The value of a variable of the template
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<Argument>,
    /// Its title [default: made from the name]
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// What the plugin does, in one line
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// The author
    #[arg(long, value_name = "TEXT")]
    pub author: Option<String>,
    /// The folder of the Rust SDK, `plugins/sdk` in Outrigger's sources; without it, the project does not use the SDK
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub sdk: Option<PathBuf>,
}
