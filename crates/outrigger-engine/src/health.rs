//! Health and recovery: plugins that were called are asked for their health, and one that stays sick is restarted, and in the
//! end disabled.
//!
//! [`machine`] says what follows from what, [`monitor`] says what is due, `examine` looks, and `act` does what follows. What
//! decides is in the store before anything is done about it, so a server that is killed goes on where it was.

mod act;
mod examine;
pub mod machine;
pub mod monitor;

use std::time::Duration;

use outrigger_contract::PluginName;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use examine::Examination;
pub use machine::Status;
pub(crate) use monitor::Watch;
pub use monitor::{HealthOptions, Jitter};

/// The monitor's name in the audit log.
pub const MONITOR: &str = "health monitor";

/// Changes of a plugin that are kept.
const CHANGES_KEPT: usize = 20;

/// The stored health of a plugin. It is written where something changes that decides; of checks that change nothing the
/// store does not hear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthRecord {
    pub plugin: PluginName,
    pub standing: machine::Standing,
    /// The last check. The one that is stored may be an earlier one.
    pub last_check: Option<LastCheck>,
    /// Restarts since the plugin was installed.
    pub restarts_total: u64,
    /// The newest last.
    pub changes: Vec<HealthChange>,
}

/// A check, and what it gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastCheck {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub grade: machine::Grade,
    /// The problem, if any.
    pub reason: Option<String>,
    pub duration: Duration,
}

/// From one status to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthChange {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub from: Status,
    pub to: Status,
    pub reason: String,
}

/// How a plugin is, for somebody to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthView {
    pub record: HealthRecord,
    /// When it is next looked at; none where nobody watches over it: it was not called yet, takes no calls, or no server runs.
    pub next_check: Option<OffsetDateTime>,
}

impl HealthRecord {
    /// Of a plugin of which nothing is known.
    #[must_use]
    pub fn new(plugin: PluginName) -> Self {
        Self {
            plugin,
            standing: machine::Standing::default(),
            last_check: None,
            restarts_total: 0,
            changes: Vec::new(),
        }
    }

    /// Notes that the status is another one now.
    fn change(&mut self, change: HealthChange) {
        if self.changes.len() >= CHANGES_KEPT {
            self.changes.drain(..=self.changes.len() - CHANGES_KEPT);
        }
        self.changes.push(change);
    }
}
