//! `outrigger hook`.

use clap::{Args, Subcommand};
use outrigger_api::{FunctionRef, HookKind, HookName, OnError, PluginName};
use outrigger_contract::units::Span;

/// `outrigger hook`.
#[derive(Clone, Debug, Subcommand)]
pub enum HookCommand {
    /// List the hooks and who is subscribed to them
    #[command(after_help = "Examples:
  outrigger hook list
  outrigger hook list --plugin team-directory")]
    List {
        /// Only subscriptions of functions of this plugin
        #[arg(long, value_name = "PLUGIN")]
        plugin: Option<PluginName>,
    },

    /// Show a hook: what it carries, and who is subscribed to it
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
        /// When it is fired, and with what
        #[arg(long, default_value = "")]
        description: String,
        /// A JSON Schema of what it carries: a text, `@FILE`, or `-` for standard input [default: any JSON]
        #[arg(long, value_name = "JSON")]
        schema: Option<String>,
    },

    /// Remove a hook that was added and to which nobody is subscribed
    #[command(after_help = "Example:
  outrigger hook remove customer.created")]
    Remove {
        /// The hook
        name: HookName,
    },

    /// Have a function called when a hook is fired
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

    /// Switch a subscription on again
    #[command(after_help = "Example:
  outrigger hook enable 01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    Enable {
        /// The id of the subscription
        id: String,
    },

    /// Switch a subscription off
    #[command(after_help = "Example:
  outrigger hook disable 01ARZ3NDEKTSV4RRFFQ69G5FAV")]
    Disable {
        /// The id of the subscription
        id: String,
    },

    /// Fire a hook, or see who would be called
    #[command(after_help = "Examples:
  outrigger hook fire customer.created '{\"name\": \"Ada\", \"country\": \"NO\"}'
  outrigger hook fire call.before '{\"function\": \"pricing.quote\", \"caller\": \"local\", \"arguments\": {}}' --dry-run")]
    Fire {
        /// The hook
        name: HookName,
        /// What the hook carries, as JSON
        #[arg(default_value = "null")]
        payload: String,
        /// Evaluate conditions and call nobody
        #[arg(long)]
        dry_run: bool,
    },

    /// Show what was done when hooks were fired, the latest last; kept while the server runs
    #[command(after_help = "Example:
  outrigger hook trace customer.created")]
    Trace {
        /// Only this hook
        name: Option<HookName>,
        /// Only under this correlation id
        #[arg(long, value_name = "ID")]
        correlation: Option<String>,
        /// Show at most LIMIT
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
}

/// `outrigger hook subscribe`.
#[derive(Clone, Debug, Args)]
pub struct SubscribeArguments {
    /// The hook
    pub hook: HookName,
    /// `plugin.function`, with one parameter for what the hook carries
    pub function: FunctionRef,
    /// Lower numbers are called first [default: 100]
    #[arg(long, allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// A CEL expression over `event`, `hook` and `caller`; where it is false, the function is not called
    #[arg(long, value_name = "CEL")]
    pub condition: Option<String>,
    /// fail-open, fail-closed or disable-after(N)
    #[arg(long, value_name = "POLICY", default_value = "fail-open")]
    pub on_error: OnError,
    /// How long one call may take, at most 60s [default: 2s]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Span>,
    /// What it does there
    #[arg(long)]
    pub description: Option<String>,
}
