//! Keys, roles, and why something is allowed or refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::fingerprint::Fingerprint;

/// The pattern of role names.
pub const ROLE_NAME: &str = "^[a-z][a-z0-9-]{0,63}$";
/// The pattern of rules: a right and, after a colon, the names it applies to; in both, `*` matches any text.
const RULE: &str = "^[a-z_*]+(:[!-9;-~]+)?$";

/// A key, without its secret part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyInfo {
    /// Public, and never used again.
    pub id: String,
    pub name: String,
    pub roles: Vec<String>,
    /// Scope rules that limit the roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: OffsetDateTime,
    /// The creator.
    pub created_by: String,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub expires_at: Option<OffsetDateTime>,
    /// To within a minute.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_used_at: Option<OffsetDateTime>,
}

/// The settings of a new key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// 1 to 64 letters, digits, `.`, `_` and `-`; no other key has it.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub name: String,
    /// Names of roles, at least one.
    #[schemars(length(min = 1, max = 32), inner(regex(pattern = ROLE_NAME)))]
    pub roles: Vec<String>,
    /// Scope rules that limit the roles, such as `function_execute:pricing.*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(inner(regex(pattern = RULE), length(max = 256)))]
    pub scope: Option<Vec<String>>,
    /// Seconds until expiry, at least one; without it, the key expires with the key that creates it, or never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_153_600_000_u64))]
    pub expires_in_s: Option<u64>,
}

/// Resources of a revoked key that remain. Lists only resources that the caller can see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRevocation {
    /// IDs of subscriptions. They are called as before: without a fail-closed one, its hook would open.
    pub subscriptions: Vec<String>,
    /// Names of webhooks that it changed last. They receive no events until another key updates them.
    pub webhooks: Vec<String>,
    /// Names of schedules. Their jobs fail until another key sets them.
    pub schedules: Vec<String>,
    /// Plugins whose current permissions and limits it granted. They keep them.
    pub grants: Vec<String>,
    /// Names of keys. They stay valid.
    pub keys: Vec<String>,
}

/// A new key. The only time its secret part is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewKey {
    #[serde(flatten)]
    pub info: KeyInfo,
    /// The key for `Authorization: Bearer KEY`.
    pub key: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("info", &self.info).finish_non_exhaustive()
    }
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleInfo {
    pub name: String,
    pub description: String,
    /// Rules, such as `function_execute:pricing.*`.
    pub allow: Vec<String>,
    /// Deny rules, which always win.
    pub deny: Vec<String>,
    /// It is built in and cannot be changed.
    pub built_in: bool,
}

impl RoleInfo {
    /// Covers its rules and its description.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let Self { name: _, description, allow, deny, built_in: _ } = self;
        Fingerprint::of(&(description, allow, deny))
    }
}

/// The settings of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleRequest {
    #[serde(default)]
    #[schemars(length(max = 200))]
    pub description: String,
    /// Rules, such as `function_execute:pricing.*`: a right and, after a colon, the names it applies to.
    #[schemars(length(max = 256), inner(regex(pattern = RULE), length(max = 256)))]
    pub allow: Vec<String>,
    /// Deny rules, which always win.
    #[serde(default)]
    #[schemars(length(max = 256), inner(regex(pattern = RULE), length(max = 256)))]
    pub deny: Vec<String>,
}

/// A question about access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// The id or the name of a key.
    pub key: String,
    /// `<resource>_<verb>`, such as `function_execute`.
    #[schemars(regex(pattern = "^[a-z]+_[a-z]+$"))]
    pub right: String,
    /// The object, such as `pricing.quote`; `*` for objects without a name.
    #[serde(default = "anything")]
    pub name: String,
}

fn anything() -> String {
    "*".to_owned()
}

/// The decision, with the rule that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    pub key: String,
    /// The requested right; `function_administer` if the key has the requested right but lacks this one for an
    /// administrators' function.
    pub right: String,
    pub name: String,
    pub allowed: bool,
    /// `allowed`, `denied`, `out_of_scope`, `no_rule` or `expired`.
    pub reason: String,
    /// The role whose rule decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The whole in a sentence.
    pub text: String,
}

/// The rights of all roles: a row for each right, a column for each role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessMatrix {
    pub roles: Vec<String>,
    pub rows: Vec<AccessMatrixRow>,
}

/// One right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessMatrixRow {
    pub right: String,
    pub meaning: String,
    /// The kind of the names in the cells: `plugin`, `function`, …
    pub over: String,
    /// In the order of the roles.
    pub cells: Vec<AccessMatrixCell>,
}

/// The rules of one role for one right: patterns of names, `*` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessMatrixCell {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// The authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// `local`, or the name of the key.
    pub name: String,
    /// The id of the key; none for the owner of the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub roles: Vec<String>,
}
