//! `outrigger webhook`.

use clap::{Args, Subcommand};
use outrigger_api::{Pattern, WebhookName};

/// `outrigger webhook`.
#[derive(Clone, Debug, Subcommand)]
pub enum WebhookCommand {
    /// List the webhooks
    #[command(after_help = "Example:
  outrigger webhook list")]
    List,

    /// Show a webhook: its events, its state and its last delivery
    #[command(after_help = "Example:
  outrigger webhook info ops-chat")]
    Info {
        /// The webhook
        name: WebhookName,
    },

    /// Add a webhook; its secret is shown once
    ///
    /// Deliveries are signed as Standard Webhooks specifies, with a secret that is shown only once. Only a running
    /// server (`outrigger serve`) sends deliveries; events that happen while no server runs are delivered when the next
    /// one starts.
    #[command(after_help = "Examples:
  outrigger webhook add ops-chat https://ops.example.com/hooks/outrigger --event 'plugin.*' --event job.failed
  outrigger webhook add local http://127.0.0.1:9000/ --allow-http --allow-private-network
  outrigger webhook add tracker https://tracker.example.com/in --header 'Authorization: Bearer TOKEN'")]
    Add(WebhookAddArguments),

    /// Change a webhook; options that are not given keep their values
    #[command(after_help = "Examples:
  outrigger webhook update ops-chat --event '*'
  outrigger webhook update ops-chat --disable
  outrigger webhook update ops-chat --enable
  outrigger webhook update ops-chat --rotate-secret")]
    Update(WebhookUpdateArguments),

    /// Remove a webhook with its deliveries
    #[command(after_help = "Example:
  outrigger webhook remove ops-chat")]
    Remove {
        /// The webhook
        name: WebhookName,
    },

    /// Send a test event to a webhook and show its response
    #[command(after_help = "Example:
  outrigger webhook test ops-chat")]
    Test {
        /// The webhook
        name: WebhookName,
    },

    /// List deliveries of a webhook, the newest first
    #[command(after_help = "Examples:
  outrigger webhook deliveries ops-chat
  outrigger webhook deliveries ops-chat --state dead")]
    Deliveries {
        /// The webhook
        name: WebhookName,
        /// Only entries in this state
        #[arg(long, value_name = "STATE", value_parser = ["pending", "delivered", "dead", "abandoned"])]
        state: Option<String>,
        /// Show at most COUNT, newest first
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },

    /// Send dead letters of a webhook again: one of them, or all
    #[command(after_help = "Examples:
  outrigger webhook retry ops-chat 01KAJ5M3V8Q2ZTRX7N4C6D9EFG
  outrigger webhook retry ops-chat --all")]
    Retry {
        /// The webhook
        name: WebhookName,
        /// The delivery
        #[arg(required_unless_present = "all")]
        delivery: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "delivery")]
        all: bool,
    },
}

/// `outrigger webhook add`.
#[derive(Clone, Debug, Args)]
pub struct WebhookAddArguments {
    /// The name
    pub name: WebhookName,
    /// The URL to send events to, https://…
    pub url: String,
    #[command(flatten)]
    pub options: WebhookOptions,
    /// Allow plain, unencrypted HTTP
    #[arg(long)]
    pub allow_http: bool,
    /// Allow private, loopback and link-local addresses
    #[arg(long)]
    pub allow_private_network: bool,
    /// Add the webhook disabled
    #[arg(long)]
    pub disabled: bool,
}

/// `outrigger webhook update`.
#[derive(Clone, Debug, Args)]
pub struct WebhookUpdateArguments {
    /// The webhook
    pub name: WebhookName,
    /// The URL to send events to, https://…
    #[arg(long)]
    pub url: Option<String>,
    #[command(flatten)]
    pub options: WebhookOptions,
    /// Remove all extra headers
    #[arg(long, conflicts_with = "headers")]
    pub no_headers: bool,
    /// Whether to allow plain, unencrypted HTTP
    #[arg(long, value_name = "BOOL")]
    pub allow_http: Option<bool>,
    /// Whether to allow private, loopback and link-local addresses
    #[arg(long, value_name = "BOOL")]
    pub allow_private_network: Option<bool>,
    /// Enable the webhook
    #[arg(long, conflicts_with = "disable")]
    pub enable: bool,
    /// Disable the webhook
    #[arg(long)]
    pub disable: bool,
    /// Make a new secret, which is shown once; for a day, deliveries are also signed with the old one
    #[arg(long)]
    pub rotate_secret: bool,
}

/// Which events a webhook receives, and with which headers.
#[derive(Clone, Debug, Default, Args)]
pub struct WebhookOptions {
    /// Only events with this name, in which `*` matches any text; can be given several times [default: `*`]
    #[arg(long = "event", value_name = "PATTERN")]
    pub events: Vec<Pattern>,
    /// Only events about this plugin; `*` matches any text
    #[arg(long, value_name = "PATTERN")]
    pub plugin: Option<Pattern>,
    /// A description
    #[arg(long)]
    pub description: Option<String>,
    /// An extra header to send, `Name: value`; can be given several times. Values are encrypted and never shown
    #[arg(long = "header", value_name = "HEADER", value_parser = Header::parse)]
    pub headers: Vec<Header>,
}

/// A header, whose value is not shown.
#[derive(Clone)]
pub struct Header {
    pub name: String,
    pub value: String,
}

impl Header {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("write it as `Name: value`")?;
        Ok(Self { name: name.trim().to_owned(), value: value.trim().to_owned() })
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: (secret)", self.name)
    }
}
