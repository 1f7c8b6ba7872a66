//! Records of what happened: runs, log lines and statistics.

use std::collections::BTreeMap;

use outrigger_contract::{Code, Digest, FunctionName, PluginName};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Owner;
use crate::audit::AuditEntry;
use crate::correlation::CorrelationId;
use crate::runtime::LogLevel;

/// Records to be appended together.
#[derive(Clone, Debug, Default)]
pub struct RecordBatch {
    pub runs: Vec<RunRecord>,
    /// Merged runs: each is added to the stored run with its id, or inserted as a new one.
    pub sums: Vec<RunRecord>,
    pub logs: Vec<LogRecord>,
    /// Added to what is there.
    pub statistics: Vec<StatisticsRow>,
    /// Chained behind what is there, in this order.
    pub audit: Vec<AuditEntry>,
}

impl RecordBatch {
    /// Whether there is nothing to append.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { runs, sums, logs, statistics, audit } = self;
        runs.is_empty() && sums.is_empty() && logs.is_empty() && statistics.is_empty() && audit.is_empty()
    }
}

/// One execution of a function, or one that was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    pub id: CorrelationId,
    pub correlation: CorrelationId,
    pub plugin: PluginName,
    pub function: FunctionName,
    /// The revision that ran; none where it did not come so far.
    pub digest: Option<Digest>,
    /// The caller, as text for people: `local`, `plugin pricing`.
    pub caller: String,
    pub started_at: OffsetDateTime,
    /// Duration in microseconds, from arrival to response; for a merged run, the total.
    pub duration_us: u64,
    /// None for success.
    pub code: Option<Code>,
    pub message: Option<String>,
    /// The cache status.
    pub cache: CacheOutcome,
    /// The number of attempts; for a merged run, the total.
    pub attempts: u32,
    /// Set if the run is a merged run.
    pub sum: Option<RunSum>,
}

/// Totals of a merged run. Its other fields are those of its first call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSum {
    pub calls: u64,
    /// The maximum duration, in microseconds.
    pub max_us: u64,
}

/// The size of a row without its texts, including index entries, in bytes.
pub const ROW_BYTES: u64 = 300;

impl RunRecord {
    /// How many calls the run counts.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.sum.map_or(1, |sum| sum.calls)
    }

    /// Their maximum duration, in microseconds.
    #[must_use]
    pub fn max_us(&self) -> u64 {
        self.sum.map_or(self.duration_us, |sum| sum.max_us)
    }

    /// The owner: the called plugin, with the caller as source; the calling plugin, if a plugin called; or the caller,
    /// if the call was refused before it reached the plugin.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let cause = match self.caller.strip_prefix("hook ") {
            Some(hook) => hook.split_once(" for ").map_or("system", |(_, cause)| cause),
            None => &self.caller,
        };
        let refused = self.code.is_some_and(|code| code == Code::Forbidden || self.digest.is_none());
        match cause.strip_prefix("plugin ") {
            Some(function) => {
                let plugin = function.split_once('.').map_or(function, |(plugin, _)| plugin);
                // Names of missing functions are not used as sources, because their number is unlimited.
                let source = if refused { "refused".to_owned() } else { format!("calls {}", self.plugin) };
                Owner { account: format!("plugin {plugin}"), source }
            }
            None if refused => Owner { account: cause.to_owned(), source: "refused".to_owned() },
            None => Owner { account: format!("plugin {}", self.plugin), source: cause.to_owned() },
        }
    }

    /// Its size in the store, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        // A message with other characters than ASCII is stored twice, the second time case-folded for searching.
        let message = self.message.as_ref().map_or(0, |message| message.len() * (1 + usize::from(!message.is_ascii())));
        ROW_BYTES + (self.caller.len() + message) as u64
    }
}

impl LogRecord {
    /// The owner: its plugin, with the function as source.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let source = self.function.as_ref().map(ToString::to_string).unwrap_or_default();
        Owner { account: format!("plugin {}", self.plugin), source }
    }

    /// Its size in the store, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let message = self.message.len() * (1 + usize::from(!self.message.is_ascii()));
        ROW_BYTES + (message + fields) as u64
    }
}

/// The cache status of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheOutcome {
    /// The function is not cached, or the caller asked for a fresh answer.
    Bypass,
    Miss,
    Hit,
    /// Another call was already computing the same answer.
    Shared,
}

/// A log line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    pub at: OffsetDateTime,
    pub plugin: PluginName,
    pub function: Option<FunctionName>,
    pub correlation: CorrelationId,
    pub level: LogLevel,
    pub message: String,
    /// In the order in which they were given.
    pub fields: Vec<(String, String)>,
}

/// Which runs or log lines to list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordFilter {
    pub plugin: Option<PluginName>,
    pub function: Option<FunctionName>,
    pub correlation: Option<CorrelationId>,
    /// Only log lines of this level or above. Ignored for runs.
    pub level: Option<LogLevel>,
    /// Text that the message contains, whatever the case of its letters.
    pub contains: Option<String>,
    /// Only runs that failed. Log lines ignore it.
    pub failed: bool,
    /// From this moment on.
    pub since: Option<OffsetDateTime>,
    /// Before this moment.
    pub until: Option<OffsetDateTime>,
    /// At most this many; 0 for 1,000.
    pub limit: u32,
}

/// Additive statistics of one function. Counters by name, and how many calls took how long. A number stops at 2^63 - 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticsRow {
    pub plugin: PluginName,
    pub function: FunctionName,
    /// Such as `calls`, `failures`, `cache_hits`, `rate_limited`.
    pub counters: BTreeMap<String, u64>,
    /// Upper bound of a bucket in microseconds → number of calls.
    pub latency_us: BTreeMap<u64, u64>,
}
