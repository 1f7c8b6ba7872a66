//! `outrigger hook`.

use clap::{Args, Subcommand};
use outrigger_api::{FunctionRef, HookKind, HookName, OnError, PluginName};
use outrigger_contract::units::Span;

/// `outrigger hook`.
#[derive(Clone, Debug, Subcommand)]
pub enum HookCommand {
    /// List the hooks and their subscribers
    #[command(after_help = "Examples:
  outrigger hook list
  outrigger hook list --plugin team-directory")]
    List {
        /// Only subscriptions of functions of this plugin
        #[arg(long, value_name = "PLUGIN")]
        plugin: Option<PluginName>,
    },

    /// Show a hook: its payload schema and its subscribers
    #[command(after_help = "Example:
  outrigger hook show call.before")]
    Show {
        /// The hook
        name: HookName,
    },

    /// Add a hook; plugins declare their own in `plugin.toml`
    #[command(after_help = "Examples:
  outrigger hook add customer.created event --description 'A customer was created.'
  outrigger hook add customer.created event --schema @customer.schema.json")]
    Add {
        /// Its name, in dotted lower-case words
        name: HookName,
        /// action, filter or event
        kind: HookKind,
        /// A description: when the hook is fired, and its payload
        #[arg(long, default_value = "")]
        description: String,
        /// JSON Schema of the payload: the text itself, `@FILE`, or `-` for standard input [default: any JSON]
        #[arg(long, value_name = "JSON")]
        schema: Option<String>,
    },

    /// Remove an added hook that has no subscribers
    #[command(after_help = "Example:
  outrigger hook remove customer.created")]
    Remove {
        /// The hook
        name: HookName,
    },

    /// Subscribe a function to a hook
    #[command(after_help = "Examples:
  outrigger hook subscribe customer.created team-directory.note --condition \"event.country == 'NO'\"
  outrigger hook subscribe call.before policy.check --priority 10 --on-error fail-closed")]
    Subscribe(SubscribeArguments),

    /// End a subscription
    #[command(after_help = "Example:
  outrigger hook unsubscribe 01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    Unsubscribe {
        /// The id of the subscription, as `outrigger hook list` shows it
        id: String,
    },

    /// Enable a subscription
    #[command(after_help = "Example:
  outrigger hook enable 01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    Enable {
        /// The id of the subscription
        id: String,
    },

    /// Disable a subscription
    #[command(after_help = "Example:
  outrigger hook disable 01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    Disable {
        /// The id of the subscription
        id: String,
    },

    /// Fire a hook, or show which functions would be called
    #[command(after_help = "Examples:
  outrigger hook fire customer.created '{\"name\": \"Ada\", \"country\": \"NO\"}'
  outrigger hook fire call.before '{\"function\": \"pricing.quote\", \"caller\": \"local\", \"origin\": \"local\", \"arguments\": {}}' --dry-run")]
    Fire {
        /// The hook
        name: HookName,
        /// The payload, as JSON
        #[arg(default_value = "null")]
        payload: String,
        /// Only evaluate the conditions; call no functions
        #[arg(long)]
        dry_run: bool,
    },

    /// Show a trace of hook firings, the latest last; kept while the server runs
    #[command(after_help = "Example:
  outrigger hook trace customer.created")]
    Trace {
        /// Only this hook
        name: Option<HookName>,
        /// Only firings with this correlation id
        #[arg(long, value_name = "ID")]
        correlation: Option<String>,
        /// Show at most COUNT
        #[arg(
            long,
            value_name = "COUNT",
            default_value_t = 20,
            value_parser = clap::value_parser!(u32).range(1..=1000)
        )]
        limit: u32,
    },
}

/// `outrigger hook subscribe`.
#[derive(Clone, Debug, Args)]
pub struct SubscribeArguments {
    /// The hook
    pub hook: HookName,
    /// `plugin.function`, with one parameter for the payload
    pub function: FunctionRef,
    /// Lower numbers are called first [default: 100]
    #[arg(long, allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// A CEL expression over `event`, `hook`, `caller` and `origin`; if it is false, the function is not called
    #[arg(long, value_name = "CEL")]
    pub condition: Option<String>,
    /// fail-open, fail-closed or disable-after(N)
    #[arg(long, value_name = "POLICY", default_value = "fail-open")]
    pub on_error: OnError,
    /// How long one call may take, at most 60s [default: 2s]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Span>,
    /// A description of what the function does
    #[arg(long)]
    pub description: Option<String>,
}
