//! Authorization: a pure function from a principal, a right and a name to a decision that names the deciding rule.
//!
//! A principal has roles; a role is a list of rules that allow and a list of rules that deny. Any rule that denies wins;
//! otherwise any that allows; otherwise it is refused. A key may be scoped: then its scope must allow it too.

mod attempts;
mod matrix;
mod right;
mod role;
mod rule;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use attempts::Attempts;
pub use matrix::{Matrix, MatrixCell, MatrixRow};
pub use right::{RIGHTS, Right, RightInfo, UnknownRight};
pub use role::{Role, RoleName, RoleNameError, built_in_roles};
pub use rule::{Rule, RuleError};

/// The holder of a key, with the key's roles and scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The id of the key: public, and never used again.
    pub id: String,
    /// The name of the key.
    pub name: String,
    pub roles: Vec<Arc<Role>>,
    /// The scope, if any: the roles' rights are limited to these rules.
    pub scope: Option<Vec<Rule>>,
    /// When the key stops working; none for one that does not.
    pub expires_at: Option<OffsetDateTime>,
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key {}", self.name)
    }
}

/// Whether something is allowed, and what decided it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Decision {
    /// A role's rule allows it.
    Allowed { role: RoleName, rule: Rule },
    /// A role's rule denies it, whatever the others say.
    Denied { role: RoleName, rule: Rule },
    /// The roles allow it, the key's scope does not.
    OutOfScope,
    /// No rule of any role speaks of it.
    NoRule,
}

impl Decision {
    /// Whether it is allowed.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

impl std::fmt::Display for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Allowed { role, rule } => write!(f, "the role `{role}` allows `{rule}`"),
            Self::Denied { role, rule } => write!(f, "the role `{role}` denies `{rule}`"),
            Self::OutOfScope => f.write_str("outside the key's scope"),
            Self::NoRule => f.write_str("no rule of its roles allows it"),
        }
    }
}

impl Principal {
    /// Decides whether this principal has a right over the thing of this name. Things without a name are called `*`.
    #[must_use]
    pub fn decide(&self, right: Right, name: &str) -> Decision {
        let deciding = |rules: fn(&Role) -> &[Rule]| {
            self.roles.iter().find_map(|role| {
                let rule = rules(role).iter().find(|rule| rule.covers(right, name))?;
                Some((role.name.clone(), rule.clone()))
            })
        };
        if let Some((role, rule)) = deciding(|role| &role.deny) {
            return Decision::Denied { role, rule };
        }
        match deciding(|role| &role.allow) {
            None => Decision::NoRule,
            Some(_) if !self.in_scope(right, name) => Decision::OutOfScope,
            Some((role, rule)) => Decision::Allowed { role, rule },
        }
    }

    /// Whether this principal has the right. The same as [`Principal::decide`], without saying why.
    #[must_use]
    pub fn may(&self, right: Right, name: &str) -> bool {
        let any = |rules: fn(&Role) -> &[Rule]| {
            self.roles.iter().flat_map(|role| rules(role)).any(|rule| rule.covers(right, name))
        };
        !any(|role| &role.deny) && any(|role| &role.allow) && self.in_scope(right, name)
    }

    /// Whether the key works no more.
    #[must_use]
    pub fn has_expired(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_some_and(|expires| expires <= now)
    }

    /// Whether there is anything at all over which this principal may have the right. Lists then show just that.
    #[must_use]
    pub fn may_some(&self, right: Right) -> bool {
        let speaks = |rules: &[Rule]| rules.iter().any(|rule| rule.rights().any(|of| of == right));
        self.roles.iter().any(|role| speaks(&role.allow)) && self.scope.as_deref().is_none_or(speaks)
    }

    /// Whether this principal has everything that a rule would allow. May say no where it is so, never yes where it is not:
    /// what is denied to it anywhere among these rights is taken to be denied everywhere.
    #[must_use]
    pub fn has_all_of(&self, rule: &Rule) -> bool {
        let contained = |rules: &[Rule]| rules.iter().any(|of| of.contains(rule));
        let denied = self
            .roles
            .iter()
            .flat_map(|role| &role.deny)
            .any(|deny| deny.rights().any(|right| rule.rights().any(|of| of == right)));
        !denied && self.roles.iter().any(|role| contained(&role.allow)) && self.scope.as_deref().is_none_or(contained)
    }

    fn in_scope(&self, right: Right, name: &str) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.iter().any(|rule| rule.covers(right, name)))
    }
}

#[cfg(test)]
mod tests;
