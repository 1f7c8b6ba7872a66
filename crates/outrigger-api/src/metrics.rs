//! Metrics: counters and latencies of each function, and the health of plugins.

use std::collections::BTreeMap;

use outrigger_contract::PluginName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::FunctionStatistics;

/// The metrics of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricsReport {
    /// How many plugins are installed, by state.
    pub plugins: BTreeMap<String, u32>,
    /// Each function that was ever called, by name.
    pub functions: Vec<FunctionMetrics>,
    /// Each plugin that the health monitor has checked, by name.
    pub health: Vec<PluginHealthMetrics>,
    /// Each installed plugin, by name.
    #[serde(default)]
    pub each_plugin: Vec<PluginMetrics>,
    #[serde(default)]
    pub memory: MemoryMetrics,
    #[serde(default)]
    pub process: ProcessMetrics,
    #[serde(default)]
    pub store: StoreMetrics,
    /// Events and ends of calls dropped for the plugin since the server started, because its queue was full.
    #[serde(default)]
    pub dropped_firings: u64,
    /// Runs since the start that were merged into another run, as a count.
    #[serde(default)]
    pub counted_runs: u64,
    /// Refusals since the start that were merged into another audit record, as a count.
    #[serde(default)]
    pub counted_refusals: u64,
    /// Kept and dropped records of each plugin, key and other owner.
    #[serde(default)]
    pub kept: Vec<KeptRecords>,
}

/// The records of one kind that belong to one owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptRecords {
    /// `runs`, `logs`, `events`, `refusals`, `jobs`, `requests` or `deliveries`.
    pub kind: String,
    /// The owner: `plugin NAME`, `key NAME`, the id of a key, or `local`.
    pub owner: String,
    pub records: u64,
    pub bytes: u64,
    /// Records dropped because a retention limit was exceeded.
    pub dropped: u64,
}

/// Metrics of one plugin in the memory of the server, since the server started or the plugin was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginMetrics {
    pub plugin: PluginName,
    /// How often a revision of it was loaded.
    pub loads: u64,
    /// How often a revision failed to load, or failed in its `initialize` or `activate`.
    pub load_failures: u64,
    /// How often a loaded revision was unloaded, after its last call.
    pub unloads: u64,
    /// The peak memory of an instance at the end of a call, in bytes; none if it was never called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak_bytes: Option<u64>,
    /// Memory held for it, in bytes: its instances, and the server's memory for its calls.
    #[serde(default)]
    pub memory_held_bytes: u64,
    /// Peak of the memory held for it, in bytes.
    #[serde(default)]
    pub memory_held_peak_bytes: u64,
    /// Allocations refused because the plugin was at its memory limit.
    #[serde(default)]
    pub memory_refusals: u64,
    /// Events refused because the plugin's quota was used up.
    #[serde(default)]
    pub refused_events: u64,
    /// Log lines dropped because the plugin's quota was used up.
    #[serde(default)]
    pub dropped_log_lines: u64,
    /// State writes refused because the plugin's quota was used up.
    #[serde(default)]
    pub refused_state_writes: u64,
}

/// The memory of all plugins together, as the server counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryMetrics {
    /// Bytes held now. The first 4 MiB of each plugin are not counted.
    pub held_bytes: u64,
    /// Peak of the bytes held.
    pub peak_bytes: u64,
    /// The limit, in bytes.
    pub limit_bytes: u64,
    /// Allocations refused because all plugins together were at the memory limit.
    pub refusals: u64,
}

/// What the operating system reports about the server's process. Unknown values are left out; only Linux reports them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessMetrics {
    /// Memory of the process that is in RAM, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_memory_bytes: Option<u64>,
    /// CPU time of all its threads, including kernel time, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Its open file descriptors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_fds: Option<u64>,
    /// When it started, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time_seconds: Option<f64>,
}

/// The database, and its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreMetrics {
    /// Whether writes are accepted.
    pub writable: bool,
    /// Free disk space for the data directory, in bytes, without the reserved space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
}

/// How well one plugin is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginHealthMetrics {
    pub plugin: PluginName,
    /// `unknown`, `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// How often the monitor has restarted it since it was installed.
    pub restarts: u64,
}

/// The numbers of one function, since its plugin was installed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionMetrics {
    pub statistics: FunctionStatistics,
    /// How many calls took at most this long.
    pub latency: Vec<LatencyBucket>,
    /// Of all calls, in microseconds, with an error of at most 1 %.
    pub sum_us: u64,
}

/// A metric of each function.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// The metric is `outrigger_function_NAME_total`.
    pub name: &'static str,
    /// Its description.
    pub about: &'static str,
    /// Where it is found.
    pub value: fn(&FunctionStatistics) -> u64,
}

const fn counter(name: &'static str, about: &'static str, value: fn(&FunctionStatistics) -> u64) -> Counter {
    Counter { name, about, value }
}

/// All counters of each function.
pub const COUNTERS: [Counter; 11] = [
    counter("calls", "Calls that arrived, with any outcome.", |counted| counted.calls),
    counter("failures", "Calls that ended in any other error.", |counted| counted.failures),
    counter("refused", "Calls refused for their input, their caller or the plugin's state.", |counted| counted.refused),
    counter("rate_limited", "Calls refused by a rate limit.", |counted| counted.rate_limited),
    counter("limited", "Calls ended by a limit.", |counted| counted.limited),
    counter("cancelled", "Calls cancelled by their caller.", |counted| counted.cancelled),
    counter("cache_hits", "Calls answered from the cache.", |counted| counted.cache_hits),
    counter("cache_misses", "Calls looked up in the cache and not found.", |counted| counted.cache_misses),
    counter("retries", "Retries.", |counted| counted.retries),
    counter("violations", "Accesses refused for lack of a grant.", |counted| counted.violations),
    counter("dropped_log_lines", "Log lines dropped above the limit.", |counted| counted.dropped_log_lines),
];

/// A metric of each plugin, or of the process.
#[derive(Debug)]
pub struct Measure<T> {
    /// The name of the metric.
    pub name: &'static str,
    /// Its description.
    pub about: &'static str,
    pub kind: MeasureKind,
    /// As OTLP has it.
    pub unit: &'static str,
    /// Its value; none if unknown.
    pub value: fn(&T) -> Option<f64>,
}

/// How a measure changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasureKind {
    /// It only grows.
    Counter,
    Gauge,
}

/// All metrics of each plugin.
pub const PLUGIN_MEASURES: [Measure<PluginMetrics>; 10] = [
    Measure {
        name: "outrigger_plugin_loads_total",
        about: "Revisions loaded since the server started.",
        kind: MeasureKind::Counter,
        unit: "1",
        value: |plugin| Some(whole(plugin.loads)),
    },
    Measure {
        name: "outrigger_plugin_load_failures_total",
        about: "Revisions that failed to load, initialize or activate since the server started.",
        kind: MeasureKind::Counter,
        unit: "1",
        value: |plugin| Some(whole(plugin.load_failures)),
    },
    Measure {
        name: "outrigger_plugin_unloads_total",
        about: "Revisions unloaded since the server started.",
        kind: MeasureKind::Counter,
        unit: "1",
        value: |plugin| Some(whole(plugin.unloads)),
    },
    Measure {
        name: "outrigger_plugin_memory_peak_bytes",
        about: "Peak memory of an instance, measured at the end of calls, since the server started.",
        kind: MeasureKind::Gauge,
        unit: "By",
        value: |plugin| plugin.memory_peak_bytes.map(whole),
    },
    Measure {
        name: "outrigger_plugin_memory_held_bytes",
        about: "Memory held for the plugin: its instances, and the server's memory for its calls.",
        kind: MeasureKind::Gauge,
        unit: "By",
        value: |plugin| Some(whole(plugin.memory_held_bytes)),
    },
    Measure {
        name: "outrigger_plugin_memory_held_peak_bytes",
        about: "Peak of the memory held for the plugin, since the server started.",
        kind: MeasureKind::Gauge,
        unit: "By",
        value: |plugin| Some(whole(plugin.memory_held_peak_bytes)),
    },
    Measure {
        name: "outrigger_plugin_memory_refusals_total",
        about: "Allocations refused because the plugin was at its memory limit.",
        kind: MeasureKind::Counter,
        unit: "1",
        value: |plugin| Some(whole(plugin.memory_refusals)),
    },
    Measure {
        name: "outrigger_plugin_events_refused_total",
        about: "Events refused by the plugin's quota, since the server started.",
        kind: MeasureKind::Counter,
        unit: "1",
        value: |plugin| Some(whole(plugin.refused_events)),
    },
    Measure {
        name: "outrigger_plugin_log_lines_dropped_total",
        about: "Log lines dropped by the plugin's quota, since the server started.",
        kind: MeasureKind::Counter,
        unit: "1",
        value: |plugin| Some(whole(plugin.dropped_log_lines)),
    },
    Measure {
        name: "outrigger_plugin_state_writes_refused_total",
        about: "State writes refused by the plugin's quota, since the server started.",
        kind: MeasureKind::Counter,
        unit: "1",
        value: |plugin| Some(whole(plugin.refused_state_writes)),
    },
];

/// The metrics of the memory of all plugins together.
pub const MEMORY_MEASURES: [Measure<MemoryMetrics>; 4] = [
    Measure {
        name: "outrigger_memory_held_bytes",
        about: "Memory held for all plugins together. The first 4 MiB of each plugin are not counted.",
        kind: MeasureKind::Gauge,
        unit: "By",
        value: |memory| Some(whole(memory.held_bytes)),
    },
    Measure {
        name: "outrigger_memory_held_peak_bytes",
        about: "Peak of the memory held for all plugins together, since the server started.",
        kind: MeasureKind::Gauge,
        unit: "By",
        value: |memory| Some(whole(memory.peak_bytes)),
    },
    Measure {
        name: "outrigger_memory_limit_bytes",
        about: "Memory limit for all plugins together.",
        kind: MeasureKind::Gauge,
        unit: "By",
        value: |memory| Some(whole(memory.limit_bytes)),
    },
    Measure {
        name: "outrigger_memory_refusals_total",
        about: "Allocations refused because all plugins together were at the memory limit.",
        kind: MeasureKind::Counter,
        unit: "1",
        value: |memory| Some(whole(memory.refusals)),
    },
];

/// All metrics of the process, with the names that Prometheus uses.
pub const PROCESS_MEASURES: [Measure<ProcessMetrics>; 4] = [
    Measure {
        name: "process_resident_memory_bytes",
        about: "Resident memory size in bytes.",
        kind: MeasureKind::Gauge,
        unit: "By",
        value: |process| process.resident_memory_bytes.map(whole),
    },
    Measure {
        name: "process_cpu_seconds_total",
        about: "Total user and system CPU time spent in seconds.",
        kind: MeasureKind::Counter,
        unit: "s",
        value: |process| process.cpu_seconds,
    },
    Measure {
        name: "process_open_fds",
        about: "Number of open file descriptors.",
        kind: MeasureKind::Gauge,
        unit: "1",
        value: |process| process.open_fds.map(whole),
    },
    Measure {
        name: "process_start_time_seconds",
        about: "Start time of the process since unix epoch in seconds.",
        kind: MeasureKind::Gauge,
        unit: "s",
        value: |process| process.start_time_seconds,
    },
];

/// The metrics of the store.
pub const STORE_MEASURES: [Measure<StoreMetrics>; 2] = [
    Measure {
        name: "outrigger_store_writable",
        about: "1 if the database accepts writes, 0 if the disk is full, read-only or failing.",
        kind: MeasureKind::Gauge,
        unit: "1",
        value: |store| Some(if store.writable { 1.0 } else { 0.0 }),
    },
    Measure {
        name: "outrigger_data_free_bytes",
        about: "Free disk space for the data directory, without the reserved space.",
        kind: MeasureKind::Gauge,
        unit: "By",
        value: |store| store.free_bytes.map(whole),
    },
];

/// The metrics of each plugin that the health monitor has checked, besides [`HEALTH`].
pub const HEALTH_MEASURES: [Measure<PluginHealthMetrics>; 1] = [Measure {
    name: "outrigger_plugin_restarts_total",
    about: "Restarts by the health monitor.",
    kind: MeasureKind::Counter,
    unit: "1",
    value: |plugin| Some(whole(plugin.restarts)),
}];

/// The metrics of what was dropped or counted, of all plugins together.
pub const TOTAL_MEASURES: [Measure<MetricsReport>; 3] = [
    Measure {
        name: "outrigger_hook_firings_dropped_total",
        about: "Events and ends of calls dropped for a plugin because its queue was full.",
        kind: MeasureKind::Counter,
        unit: "1",
        value: |report| Some(whole(report.dropped_firings)),
    },
    Measure {
        name: "outrigger_runs_counted_total",
        about: "Runs merged into another run as a count, since the server started.",
        kind: MeasureKind::Counter,
        unit: "1",
        value: |report| Some(whole(report.counted_runs)),
    },
    Measure {
        name: "outrigger_refusals_counted_total",
        about: "Refusals merged into another audit record, since the server started.",
        kind: MeasureKind::Counter,
        unit: "1",
        value: |report| Some(whole(report.counted_refusals)),
    },
];

/// The metrics of the records of each kind and owner.
pub const KEPT_MEASURES: [Measure<KeptRecords>; 3] = [
    Measure {
        name: "outrigger_records_kept",
        about: "Records kept, by kind and owner.",
        kind: MeasureKind::Gauge,
        unit: "1",
        value: |kept| Some(whole(kept.records)),
    },
    Measure {
        name: "outrigger_records_kept_bytes",
        about: "Size of the records kept, by kind and owner.",
        kind: MeasureKind::Gauge,
        unit: "By",
        value: |kept| Some(whole(kept.bytes)),
    },
    Measure {
        name: "outrigger_records_dropped_total",
        about: "Records dropped because a retention limit was exceeded, by kind and owner.",
        kind: MeasureKind::Counter,
        unit: "1",
        value: |kept| Some(whole(kept.dropped)),
    },
];

#[expect(clippy::cast_precision_loss, reason = "nobody looks at single bytes of petabytes")]
fn whole(number: u64) -> f64 {
    number as f64
}

/// Name and description of the metric for plugins by state.
pub const PLUGINS: (&str, &str) = ("outrigger_plugins", "Installed plugins by state.");
/// Name and description of the metric for the health of plugins: a value for each of the states.
pub const HEALTH: (&str, &str) =
    ("outrigger_plugin_health", "1 for the status that the health monitor gives a plugin, 0 for the others.");
pub const HEALTH_STATES: [&str; 4] = ["unknown", "healthy", "degraded", "unhealthy"];
/// Name and description of the metric for the duration of calls.
pub const DURATION: (&str, &str) =
    ("outrigger_function_duration_seconds", "How long calls took, from arrival to answer.");

impl Counter {
    /// The name of the metric.
    #[must_use]
    pub fn metric(&self) -> String {
        format!("outrigger_function_{}_total", self.name)
    }
}

/// How many calls took at most this long, cumulative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyBucket {
    /// In microseconds.
    pub at_most_us: u64,
    pub calls: u64,
}
