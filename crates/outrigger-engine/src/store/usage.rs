//! Sums of runs over a span of time. They are made when somebody asks, from the runs that are kept anyway: no call pays for
//! them.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use outrigger_contract::{Code, FunctionName, PluginName};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::StoreError;

/// Sums up the runs that are kept.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// The sums of matching runs, in groups. Reads only runs of the time span.
    async fn run_usage(&self, filter: &UsageFilter) -> Result<Usage, StoreError>;
    /// The plugins that there are runs of, by name, also those that are not installed any more. Takes a look for each.
    async fn run_plugins(&self) -> Result<Vec<PluginName>, StoreError>;
}

/// The fields that runs are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageKey {
    /// The hour in which they began, in UTC.
    Hour,
    /// The day on which they began, in UTC. With [`UsageKey::Hour`] it says nothing more.
    Day,
    Plugin,
    /// The name that the function has in its plugin.
    Function,
    Caller,
    /// The code of the failure, or none for success.
    Outcome,
}

/// Which runs to sum up, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageFilter {
    /// From this moment on.
    pub since: OffsetDateTime,
    /// Before this moment.
    pub until: OffsetDateTime,
    /// Only of these; of all without it.
    pub plugins: Option<BTreeSet<PluginName>>,
    /// Only of functions of this name.
    pub function: Option<FunctionName>,
    /// Only by this caller, as it is written in [`super::RunRecord::caller`].
    pub caller: Option<String>,
    /// The fields to group by; the platform requires at least one.
    pub by: BTreeSet<UsageKey>,
    /// At most this many groups; 0 for 1,000.
    pub limit: u32,
}

impl UsageFilter {
    /// All runs of a span, to be told apart by nothing yet.
    #[must_use]
    pub const fn between(since: OffsetDateTime, until: OffsetDateTime) -> Self {
        let by = BTreeSet::new();
        Self { since, until, plugins: None, function: None, caller: None, by, limit: 0 }
    }

    /// How long the time is that a group stands for, where groups are told apart by it.
    #[must_use]
    pub fn step(&self) -> Option<Duration> {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let hourly = self.by.contains(&UsageKey::Hour).then_some(HOUR);
        hourly.or(self.by.contains(&UsageKey::Day).then_some(DAY))
    }
}

/// The sums of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The earliest first; of one time those with the most calls; then by plugin, function, caller and code.
    pub groups: Vec<UsageRecord>,
    /// There were more groups than the limit allows.
    pub truncated: bool,
    /// When the oldest run began that is kept, of whatever plugin. What was before it nobody knows any more.
    pub oldest: Option<OffsetDateTime>,
}

/// One group of runs. What they were not told apart by is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// When the hour or the day begins.
    pub from: Option<OffsetDateTime>,
    pub plugin: Option<PluginName>,
    pub function: Option<FunctionName>,
    pub caller: Option<String>,
    /// None for success, too.
    pub code: Option<Code>,
    pub calls: u64,
    /// Those that ended with a code.
    pub failures: u64,
    /// Those that the cache answered, or another call that was computing the same.
    pub cache_hits: u64,
    /// How many times a call was tried again.
    pub retries: u64,
    /// In microseconds, all calls together.
    pub total_us: u64,
    /// The longest call, in microseconds.
    pub max_us: u64,
}
