//! The table of rights, each named `<resource>_<verb>`.

use std::fmt;
use std::str::FromStr;

use outrigger_contract::excerpt::excerpt_of;
use outrigger_contract::near;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One right, such as `function_execute`. A place in [`RIGHTS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Right(usize);

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RightInfo {
    /// `<resource>_<verb>`.
    pub name: &'static str,
    /// The actions that it allows.
    pub meaning: &'static str,
    /// The kind of name that a rule's pattern is matched against.
    pub over: &'static str,
}

macro_rules! rights {
    ($($constant:ident $name:literal $over:literal $meaning:literal)*) => {
        /// Every right. The reference and the role table are generated from it.
        pub const RIGHTS: &[RightInfo] = &[$(RightInfo { name: $name, over: $over, meaning: $meaning }),*];

        rights!(@constants 0usize; $($constant)*);
    };
    (@constants $index:expr; $first:ident $($rest:ident)*) => {
        impl Right {
            #[doc = concat!("See the table, `", stringify!($first), "`.")]
            pub const $first: Self = Self($index);
        }
        rights!(@constants $index + 1usize; $($rest)*);
    };
    (@constants $index:expr;) => {};
}

rights! {
    PLUGIN_VIEW "plugin_view" "plugin" "see plugins, their health and the packages that can be installed"
    PLUGIN_CREATE "plugin_create" "plugin" "install and update packages"
    PLUGIN_APPROVE "plugin_approve" "plugin" "approve the grants that packages request"
    PLUGIN_MODIFY "plugin_modify" "plugin" "enable, disable, reload and warm plugins, and fire their hooks"
    PLUGIN_DELETE "plugin_delete" "plugin" "remove plugins"
    FUNCTION_VIEW "function_view" "function" "see functions with their types"
    FUNCTION_EXECUTE "function_execute" "function" "call functions"
    FUNCTION_ADMINISTER "function_administer" "function" "call functions that are for administrators"
    CONFIGURATION_VIEW "configuration_view" "plugin" "see the configuration of plugins, without secrets"
    CONFIGURATION_MODIFY "configuration_modify" "plugin" "change the configuration of plugins, including secrets"
    HOOK_VIEW "hook_view" "hook" "see hooks, subscriptions and traces"
    HOOK_CREATE "hook_create" "hook" "add hooks and subscribe to them"
    HOOK_DELETE "hook_delete" "hook" "remove hooks and subscriptions"
    HOOK_EXECUTE "hook_execute" "hook" "fire hooks, and do dry runs; firing a hook of a plugin also requires plugin_modify on that plugin"
    JOB_VIEW "job_view" "function" "see jobs with their logs"
    JOB_CREATE "job_create" "function" "start and schedule jobs"
    JOB_MODIFY "job_modify" "function" "cancel jobs, and retry jobs whose function the key is allowed to call"
    JOB_APPROVE "job_approve" "function" "approve waiting jobs; each runs as the caller that started it"
    RUN_VIEW "run_view" "plugin" "see runs of functions"
    LOG_VIEW "log_view" "plugin" "read the log lines of plugins"
    STATISTICS_VIEW "statistics_view" "plugin" "see statistics and profiles"
    KEY_VIEW "key_view" "key" "see keys, never their secret part"
    KEY_CREATE "key_create" "key" "create keys, which cannot have more rights than their creator"
    KEY_DELETE "key_delete" "key" "revoke keys"
    ROLE_VIEW "role_view" "role" "see roles, and explain decisions"
    ROLE_CREATE "role_create" "role" "create and change roles"
    ROLE_DELETE "role_delete" "role" "remove roles"
    AUDIT_VIEW "audit_view" "audit" "read and verify the audit log"
    BACKUP_CREATE "backup_create" "backup" "create backups, which contain all data"
    SYSTEM_VIEW "system_view" "system" "see the state of the server: doctor, metrics"
    EVENT_VIEW "event_view" "event" "read and follow the event log"
    WEBHOOK_VIEW "webhook_view" "webhook" "see webhooks and their deliveries, never their secrets"
    WEBHOOK_CREATE "webhook_create" "webhook" "add webhooks for events that the key is allowed to see"
    WEBHOOK_UPDATE "webhook_update" "webhook" "change and test webhooks, send dead letters again, and replace secrets"
    WEBHOOK_DELETE "webhook_delete" "webhook" "remove webhooks with their deliveries"
    NETWORK_OPEN "network_open" "webhook" "let webhooks reach private networks, and see the responses"
    PATH_USE "path_use" "path" "name paths on the server's disk, to read packages and write backups, and see such paths"
    TEMPLATE_VIEW "template_view" "template" "see and render templates for plugins"
    TEMPLATE_CREATE "template_create" "template" "add templates"
    TEMPLATE_UPDATE "template_update" "template" "change templates"
    TEMPLATE_DELETE "template_delete" "template" "remove templates"
}

/// A name that is not that of a right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no right `{}`{}", excerpt_of(.name), suggestion(.name))]
pub struct UnknownRight {
    pub name: String,
}

fn suggestion(name: &str) -> String {
    match near::nearest(name, RIGHTS.iter().map(|info| info.name)) {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => String::new(),
    }
}

impl Right {
    /// Every right, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..RIGHTS.len()).map(Self)
    }

    /// Its row of the table.
    #[must_use]
    pub const fn info(self) -> &'static RightInfo {
        &RIGHTS[self.0]
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.info().name
    }
}

impl FromStr for Right {
    type Err = UnknownRight;

    fn from_str(text: &str) -> Result<Self, UnknownRight> {
        let place = RIGHTS.iter().position(|info| info.name == text);
        place.map(Self).ok_or_else(|| UnknownRight { name: text.to_owned() })
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Right {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Right {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
