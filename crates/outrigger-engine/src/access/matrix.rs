//! The table of who may do what: a row for each right, a column for each role.

use serde::{Deserialize, Serialize};

use super::right::Right;
use super::role::{Role, RoleName};

/// Rights by roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    pub roles: Vec<RoleName>,
    pub rows: Vec<MatrixRow>,
}

/// One right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixRow {
    pub right: Right,
    /// In the order of the roles.
    pub cells: Vec<MatrixCell>,
}

/// The rules of one role for one right: patterns of names, `*` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixCell {
    pub allow: Vec<String>,
    pub deny: Vec<String>,
}

impl Matrix {
    /// The table of these roles.
    #[must_use]
    pub fn of(roles: &[Role]) -> Self {
        let names = |rules: &[super::Rule], right: Right| {
            let of_right = rules.iter().filter(|rule| rule.rights().any(|of| of == right));
            let mut names: Vec<_> = of_right.map(|rule| rule.names().to_owned()).collect();
            names.sort();
            names.dedup();
            names
        };
        let row = |right| MatrixRow {
            right,
            cells: roles
                .iter()
                .map(|role| MatrixCell { allow: names(&role.allow, right), deny: names(&role.deny, right) })
                .collect(),
        };
        Self { roles: roles.iter().map(|role| role.name.clone()).collect(), rows: Right::all().map(row).collect() }
    }
}
