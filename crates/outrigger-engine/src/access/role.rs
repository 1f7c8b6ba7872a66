//! Roles: lists of rules under a name. Four are built in; a team makes its own besides.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::rule::Rule;

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub name: RoleName,
    /// A description in one line.
    pub description: String,
    pub allow: Vec<Rule>,
    /// These win over whatever any role allows.
    pub deny: Vec<Rule>,
}

/// The name of a role: 1 to 64 lower-case letters, digits and hyphens, beginning with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(String);

/// Why a text is not the name of a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a valid role name: write 1 to 64 lower-case letters, digits and hyphens, starting with a letter"
)]
pub struct RoleNameError {
    pub text: String,
}

impl RoleName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoleName {
    type Err = RoleNameError;

    fn from_str(text: &str) -> Result<Self, RoleNameError> {
        let sound = text.len() <= 64
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        match sound {
            true => Ok(Self(text.to_owned())),
            false => Err(RoleNameError { text: text.chars().take(80).collect() }),
        }
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for RoleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RoleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The roles that are always there and cannot be changed, from the most to the least.
#[must_use]
pub fn built_in_roles() -> Vec<Role> {
    const ROLES: [(&str, &str, &[&str]); 4] = [
        ("admin", "Is allowed to do everything.", &["*"]),
        (
            "operator",
            "Runs the platform: calls functions, starts and approves jobs, configures, enables and disables.",
            &[
                "*_view",
                "function_execute",
                "function_administer",
                "plugin_modify",
                "configuration_modify",
                "hook_*",
                "job_*",
                "backup_create",
                "webhook_*",
            ],
        ),
        (
            "developer",
            "Writes plugins: installs and updates them, calls functions, reads logs. Grants no permissions.",
            &[
                "plugin_view",
                "plugin_create",
                "plugin_modify",
                "function_view",
                "function_execute",
                "configuration_view",
                "hook_view",
                "hook_create",
                "hook_execute",
                "job_view",
                "job_create",
                "job_modify",
                "run_view",
                "log_view",
                "statistics_view",
                "event_view",
                "template_*",
            ],
        ),
        (
            "viewer",
            "Looks, and changes nothing. Sees neither keys nor the audit log.",
            &[
                "plugin_view",
                "function_view",
                "hook_view",
                "job_view",
                "run_view",
                "log_view",
                "statistics_view",
                "system_view",
                "event_view",
                "template_view",
            ],
        ),
    ];
    let rule = |text: &&str| text.parse().expect("the built-in rules are rules");
    ROLES
        .iter()
        .map(|(name, description, allow)| Role {
            name: RoleName((*name).to_owned()),
            description: (*description).to_owned(),
            allow: allow.iter().map(rule).collect(),
            deny: Vec::new(),
        })
        .collect()
}
