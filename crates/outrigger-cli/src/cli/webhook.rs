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

    /// Show a webhook: what it is told of, and how it does
    #[command(after_help = "Example:
  outrigger webhook info ops-chat")]
    Info {
        /// The webhook
        name: WebhookName,
    },

    /// Add a webhook; its secret is shown once
    ///
    /// Each delivery is signed by the scheme of Standard Webhooks, with a secret that is shown now and never again. A server
    /// delivers, `outrigger serve`; what happens while none runs is delivered by the next one.
    #[command(after_help = "Examples:
  outrigger webhook add ops-chat https://ops.example.com/hooks/outrigger --event 'plugin.*' --event job.failed
  outrigger webhook add local http://127.0.0.1:9000/ --allow-http --allow-private-network
  outrigger webhook add tracker https://tracker.example.com/in --header 'Authorization: Bearer TOKEN'")]
    Add(WebhookAddArguments),

    /// Change a webhook; what is not named stays as it is
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

    /// Send a webhook something, and say what it answered
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
        /// Only those that stand here
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
    /// What to call it
    pub name: WebhookName,
    /// Where it is told, https://…
    pub url: String,
    #[command(flatten)]
    pub options: WebhookOptions,
    /// Plain HTTP is meant, over which anybody on the way reads along
    #[arg(long)]
    pub allow_http: bool,
    /// Private, loopback and link-local addresses are meant too
    #[arg(long)]
    pub allow_private_network: bool,
    /// Keep it, and tell it nothing yet
    #[arg(long)]
    pub disabled: bool,
}

/// `outrigger webhook update`.
#[derive(Clone, Debug, Args)]
pub struct WebhookUpdateArguments {
    /// The webhook
    pub name: WebhookName,
    /// Where it is told, https://…
    #[arg(long)]
    pub url: Option<String>,
    #[command(flatten)]
    pub options: WebhookOptions,
    /// Send no headers besides any more
    #[arg(long, conflicts_with = "headers")]
    pub no_headers: bool,
    /// Whether plain HTTP is meant
    #[arg(long, value_name = "BOOL")]
    pub allow_http: Option<bool>,
    /// Whether private, loopback and link-local addresses are meant too
    #[arg(long, value_name = "BOOL")]
    pub allow_private_network: Option<bool>,
    /// Tell it of events from now on
    #[arg(long, conflicts_with = "disable")]
    pub enable: bool,
    /// Tell it nothing more
    #[arg(long)]
    pub disable: bool,
    /// Make a new secret, which is shown once; for a day deliveries are signed with the old one too
    #[arg(long)]
    pub rotate_secret: bool,
}

/// What a webhook is told of, and with which headers.
#[derive(Clone, Debug, Default, Args)]
pub struct WebhookOptions {
    /// Events of such a name, in which `*` stands for any text; may be given several times [default: `*`]
    #[arg(long = "event", value_name = "PATTERN")]
    pub events: Vec<Pattern>,
    /// Only events about such a plugin
    #[arg(long, value_name = "PATTERN")]
    pub plugin: Option<Pattern>,
    /// What it is for
    #[arg(long)]
    pub description: Option<String>,
    /// A header to send besides, `Name: value`; may be given several times. Values are encrypted and never shown
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
