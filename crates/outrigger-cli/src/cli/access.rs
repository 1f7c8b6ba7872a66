//! `outrigger access` and `outrigger audit`.

use clap::{Args, Subcommand};
use outrigger_contract::Code;
use outrigger_contract::units::Span;

use super::Since;

/// `outrigger access`.
#[derive(Clone, Debug, Subcommand)]
pub enum AccessCommand {
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Key(KeyCommand),

    /// Make, list and remove roles
    #[command(subcommand)]
    Role(RoleCommand),

    /// Explain whether a key is allowed to do something
    #[command(after_help = "Examples:
  outrigger access explain ci-deploy function_execute pricing.quote
  outrigger access explain ci-deploy audit_view")]
    Explain {
        /// The key's name or id
        key: String,
        /// The right, such as `function_execute`; `outrigger access matrix` lists them
        #[arg(value_name = "RIGHT")]
        right: String,
        /// The object, such as `pricing.quote`
        #[arg(value_name = "RESOURCE", default_value = "*")]
        name: String,
    },

    /// Show the rights of each role
    #[command(after_help = "Example:
  outrigger access matrix")]
    Matrix,
}

/// `outrigger access key`.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyCommand {
    /// Create a key, which is shown only once
    #[command(after_help = "Examples:
  outrigger access key create ci-deploy --role developer --expires 90d
  outrigger access key create quotes --role operator --scope 'function_execute:pricing.*'")]
    Create(KeyCreateArguments),

    /// List the keys
    #[command(after_help = "Example:
  outrigger access key list")]
    List,

    /// Revoke a key, at once and for good
    #[command(after_help = "Example:
  outrigger access key revoke ci-deploy")]
    Revoke {
        /// The key's name or id
        key: String,
    },
}

/// `outrigger access key create`.
#[derive(Clone, Debug, Args)]
pub struct KeyCreateArguments {
    /// The key's name: letters, digits, `.`, `_` and `-`
    pub name: String,
    /// A role of the key: admin, operator, developer, viewer, or your own; can be given several times
    #[arg(long = "role", value_name = "ROLE", required = true)]
    pub roles: Vec<String>,
    /// Limit the key's roles to this scope rule; can be given several times
    #[arg(long = "scope", value_name = "RULE")]
    pub scope: Vec<String>,
    /// How long the key is valid, such as `90d`; without it, the key never expires
    #[arg(long, value_name = "TIME")]
    pub expires: Option<Span>,
}

/// `outrigger access role`.
#[derive(Clone, Debug, Subcommand)]
pub enum RoleCommand {
    /// List the roles with their rules
    #[command(after_help = "Example:
  outrigger access role list")]
    List,

    /// Create or change a role
    ///
    /// A rule is a right and, after a colon, the names it applies to; `*` matches any text. A deny rule always wins.
    #[command(after_help = "Example:
  outrigger access role set deployer --allow 'function_execute:deploy.*' --allow 'plugin_view' --deny 'function_execute:*.destroy'")]
    Set {
        /// The role's name: lower-case letters, digits and hyphens
        name: String,
        /// A description of the role
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
        /// An allow rule
        #[arg(long = "allow", value_name = "RULE", required = true)]
        allow: Vec<String>,
        /// A deny rule
        #[arg(long = "deny", value_name = "RULE")]
        deny: Vec<String>,
    },

    /// Remove a role that no key has
    #[command(after_help = "Example:
  outrigger access role remove deployer")]
    Remove {
        /// The role
        name: String,
    },
}

/// `outrigger audit`.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// List audit records: who did what, and what was denied
    #[command(after_help = "Examples:
  outrigger audit list --since 1d
  outrigger audit list --denied
  outrigger audit list --actor 'key ci-deploy' --action plugin_create -o json")]
    List(AuditListArguments),

    /// Verify that the audit log was not changed
    ///
    /// Each record is chained to the previous one, so a single changed byte is detected. A log that was cut off at its
    /// end still verifies: store the printed head elsewhere, and pass it with --head the next time.
    #[command(after_help = "Examples:
  outrigger audit verify
  outrigger audit verify --head 5120:9f2c…")]
    Verify {
        /// A head that was printed earlier, SEQUENCE:HASH; the log must still contain it
        #[arg(long, value_name = "SEQUENCE:HASH")]
        head: Option<String>,
    },
}

/// `outrigger audit list`.
#[derive(Clone, Debug, Args)]
pub struct AuditListArguments {
    /// Only records of this actor: `local`, `key NAME`, `plugin PLUGIN.FUNCTION`
    #[arg(long)]
    pub actor: Option<String>,
    /// Only records of the key with this id, as shown by `outrigger access key list`
    #[arg(long, value_name = "ID")]
    pub key: Option<String>,
    /// Only records about this right, such as `plugin_create`
    #[arg(long, value_name = "RIGHT")]
    pub action: Option<String>,
    /// Only records about this object, such as `pricing`
    #[arg(long, value_name = "NAME")]
    pub resource: Option<String>,
    /// Only records with this correlation id
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// Only denied requests
    #[arg(long)]
    pub denied: bool,
    /// Only records with this error code, such as `conflict`
    #[arg(long, value_name = "CODE", value_parser = code)]
    pub code: Option<Code>,
    /// Only records after this: a length of time ago, such as `10m`, or a time
    #[arg(long, value_name = "WHEN")]
    pub since: Option<Since>,
    /// Only records before this: a length of time ago, such as `10m`, or a time
    #[arg(long, value_name = "WHEN")]
    pub until: Option<Since>,
    /// Show at most COUNT, newest first
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
}

fn code(text: &str) -> Result<Code, String> {
    let row = outrigger_contract::code::TABLE.iter().find(|row| row.name == text);
    row.map(|row| row.code).ok_or_else(|| format!("there is no error code `{text}`; `outrigger errors` lists them"))
}
