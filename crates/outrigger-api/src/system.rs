//! Whether everything is in order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The findings of `outrigger doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoctorReport {
    pub checks: Vec<DoctorCheck>,
}

impl DoctorReport {
    /// The worst of all.
    #[must_use]
    pub fn outcome(&self) -> CheckOutcome {
        self.checks.iter().map(|check| check.outcome).max().unwrap_or(CheckOutcome::Ok)
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DoctorCheck {
    pub name: String,
    pub outcome: CheckOutcome,
    /// The finding.
    pub message: String,
    /// A hint for the fix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// From best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    Ok,
    Warning,
    Failed,
}
