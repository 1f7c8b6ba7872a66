//! Metrics: as JSON, and in the text format that Prometheus reads.

use std::fmt::Write as _;

use outrigger_api::metrics::{
    DURATION, HEALTH, HEALTH_MEASURES, HEALTH_STATES, KEPT_MEASURES, MEMORY_MEASURES, Measure, MeasureKind,
    PLUGIN_MEASURES, PLUGINS, PROCESS_MEASURES, STORE_MEASURES, TOTAL_MEASURES,
};
use outrigger_api::{ApiResult, COUNTERS, FunctionMetrics, FunctionStatistics, MetricsReport, PluginHealthMetrics};

use crate::endpoint::answer::{Exposition, Reply};
use crate::endpoint::api::Api;
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};

const TAG: &str = "Records";

pub fn routes(api: &mut Api) {
    api.get("/metrics", "metrics_text", text)
        .tag(TAG)
        .summary("Metrics of all plugins, in the Prometheus text format")
        .right("system_view");
    api.get("/api/v1/metrics", "metrics", json).tag(TAG).summary("Metrics of all plugins").right("system_view");
}

async fn json(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<MetricsReport>> {
    caller.platform.metrics().await.map(Reply)
}

async fn text(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Exposition> {
    Ok(Exposition(render(&caller.platform.metrics().await?)))
}

/// Names of functions and states have no character that would have to be escaped in a label.
fn render(report: &MetricsReport) -> String {
    let MetricsReport {
        plugins,
        functions,
        health,
        each_plugin,
        memory,
        process,
        store,
        // In `TOTAL_MEASURES`.
        dropped_firings: _,
        counted_runs: _,
        counted_refusals: _,
        kept,
    } = report;
    let mut text = String::new();
    let (name, about) = PLUGINS;
    head(&mut text, name, "gauge", about);
    for (state, count) in plugins {
        line(&mut text, format_args!("{name}{{state=\"{state}\"}} {count}"));
    }
    health_lines(&mut text, health);
    measures(&mut text, &HEALTH_MEASURES, health, |one| format!("{{plugin=\"{}\"}}", one.plugin));
    measures(&mut text, &PLUGIN_MEASURES, each_plugin, |one| format!("{{plugin=\"{}\"}}", one.plugin));
    measures(&mut text, &MEMORY_MEASURES, std::slice::from_ref(memory), |_| String::new());
    measures(&mut text, &PROCESS_MEASURES, std::slice::from_ref(process), |_| String::new());
    measures(&mut text, &STORE_MEASURES, std::slice::from_ref(store), |_| String::new());
    measures(&mut text, &TOTAL_MEASURES, std::slice::from_ref(report), |_| String::new());
    // Names of owners are names of plugins and keys, and need no escaping.
    measures(&mut text, &KEPT_MEASURES, kept, |one| format!("{{kind=\"{}\",owner=\"{}\"}}", one.kind, one.owner));
    for counter in COUNTERS {
        let name = counter.metric();
        head(&mut text, &name, "counter", counter.about);
        for FunctionMetrics { statistics, .. } in functions {
            let labels = labels(statistics);
            line(&mut text, format_args!("{name}{{{labels}}} {}", (counter.value)(statistics)));
        }
    }
    let (name, about) = DURATION;
    head(&mut text, name, "histogram", about);
    for FunctionMetrics { statistics, latency, sum_us } in functions {
        let (labels, calls) = (labels(statistics), statistics.calls);
        for bucket in latency {
            let bound = seconds(bucket.at_most_us);
            line(&mut text, format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {}", bucket.calls));
        }
        line(&mut text, format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {calls}"));
        line(&mut text, format_args!("{name}_sum{{{labels}}} {}", seconds(*sum_us)));
        line(&mut text, format_args!("{name}_count{{{labels}}} {calls}"));
    }
    text
}

/// A line for each status, so that a plugin that leaves one is seen to leave it.
fn health_lines(text: &mut String, health: &[PluginHealthMetrics]) {
    let (name, about) = HEALTH;
    head(text, name, "gauge", about);
    for PluginHealthMetrics { plugin, status, .. } in health {
        for state in HEALTH_STATES {
            let value = u8::from(status == state);
            line(text, format_args!("{name}{{plugin=\"{plugin}\",state=\"{state}\"}} {value}"));
        }
    }
}

/// A line for each of what is known.
fn measures<T>(text: &mut String, measures: &[Measure<T>], told_of: &[T], labels: fn(&T) -> String) {
    for Measure { name, about, kind, unit: _, value } in measures {
        let kind = match kind {
            MeasureKind::Counter => "counter",
            MeasureKind::Gauge => "gauge",
        };
        head(text, name, kind, about);
        for one in told_of {
            if let Some(value) = value(one) {
                line(text, format_args!("{name}{} {value}", labels(one)));
            }
        }
    }
}

fn labels(statistics: &FunctionStatistics) -> String {
    let (plugin, function) = statistics.function.split_once('.').unwrap_or((&statistics.function, ""));
    format!("plugin=\"{plugin}\",function=\"{function}\"")
}

#[expect(clippy::cast_precision_loss, reason = "nobody looks at microseconds of centuries")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

fn head(text: &mut String, name: &str, kind: &str, about: &str) {
    // Writing to a text cannot fail.
    let _ = write!(text, "# HELP {name} {about}\n# TYPE {name} {kind}\n");
}

fn line(text: &mut String, sample: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{sample}");
}

#[cfg(test)]
mod tests {
    use outrigger_api::metrics::StoreMetrics;
    use outrigger_api::{KeptRecords, LatencyBucket, MemoryMetrics, PluginMetrics, PluginName, ProcessMetrics};

    use super::*;

    #[test]
    fn metrics_are_as_prometheus_reads_them() {
        let statistics = FunctionStatistics { function: "pricing.quote".to_owned(), calls: 5, ..Default::default() };
        let latency = vec![LatencyBucket { at_most_us: 250, calls: 3 }];
        let functions = vec![FunctionMetrics { statistics, latency, sum_us: 1_500_000 }];
        let plugin: PluginName = "pricing".parse().unwrap();
        let each_plugin = vec![PluginMetrics {
            plugin: plugin.clone(),
            loads: 4,
            load_failures: 1,
            unloads: 3,
            memory_peak_bytes: Some(1_179_648),
            memory_held_bytes: 65_536,
            memory_held_peak_bytes: 2_097_152,
            memory_refusals: 2,
            refused_events: 9,
            dropped_log_lines: 0,
            refused_state_writes: 0,
        }];
        let process = ProcessMetrics {
            resident_memory_bytes: Some(12_345_678_848),
            cpu_seconds: Some(0.25),
            open_fds: None,
            start_time_seconds: Some(1_753_000_000.5),
        };
        let health = vec![PluginHealthMetrics { plugin, status: "degraded".to_owned(), restarts: 3 }];
        let plugins = [("active".to_owned(), 2)].into();
        let memory = MemoryMetrics { held_bytes: 1_024, peak_bytes: 4_096, limit_bytes: 536_870_912, refusals: 5 };
        let store = StoreMetrics { writable: false, free_bytes: Some(4_096) };
        let kept = vec![KeptRecords {
            kind: "runs".to_owned(),
            owner: "plugin pricing".to_owned(),
            records: 12,
            bytes: 4_800,
            dropped: 5,
        }];
        let text = render(&MetricsReport {
            plugins,
            functions,
            health,
            each_plugin,
            memory,
            process,
            store,
            dropped_firings: 7,
            counted_runs: 3,
            counted_refusals: 2,
            kept,
        });
        let expected = "# HELP outrigger_plugins Installed plugins by state.\n# TYPE outrigger_plugins gauge\n\
            outrigger_plugins{state=\"active\"} 2\n";
        assert!(text.starts_with(expected), "{text}");
        let of = "plugin=\"pricing\",function=\"quote\"";
        for expected in [
            format!("# TYPE outrigger_function_calls_total counter\noutrigger_function_calls_total{{{of}}} 5\n"),
            format!("outrigger_function_duration_seconds_bucket{{{of},le=\"0.00025\"}} 3\n"),
            format!("outrigger_function_duration_seconds_bucket{{{of},le=\"+Inf\"}} 5\n"),
            format!("outrigger_function_duration_seconds_sum{{{of}}} 1.5\n"),
            format!("outrigger_function_duration_seconds_count{{{of}}} 5\n"),
            "# TYPE outrigger_plugin_health gauge\n\
             outrigger_plugin_health{plugin=\"pricing\",state=\"unknown\"} 0\n\
             outrigger_plugin_health{plugin=\"pricing\",state=\"healthy\"} 0\n\
             outrigger_plugin_health{plugin=\"pricing\",state=\"degraded\"} 1\n\
             outrigger_plugin_health{plugin=\"pricing\",state=\"unhealthy\"} 0\n"
                .to_owned(),
            "outrigger_plugin_restarts_total{plugin=\"pricing\"} 3\n".to_owned(),
            "# TYPE outrigger_plugin_loads_total counter\noutrigger_plugin_loads_total{plugin=\"pricing\"} 4\n"
                .to_owned(),
            "\noutrigger_store_writable 0\n".to_owned(),
            "\noutrigger_data_free_bytes 4096\n".to_owned(),
            "\noutrigger_plugin_load_failures_total{plugin=\"pricing\"} 1\n".to_owned(),
            "\noutrigger_plugin_events_refused_total{plugin=\"pricing\"} 9\n".to_owned(),
            "\noutrigger_plugin_unloads_total{plugin=\"pricing\"} 3\n".to_owned(),
            "\noutrigger_plugin_memory_peak_bytes{plugin=\"pricing\"} 1179648\n".to_owned(),
            "\noutrigger_plugin_memory_held_bytes{plugin=\"pricing\"} 65536\n".to_owned(),
            "\noutrigger_plugin_memory_held_peak_bytes{plugin=\"pricing\"} 2097152\n".to_owned(),
            "\noutrigger_plugin_memory_refusals_total{plugin=\"pricing\"} 2\n".to_owned(),
            "\noutrigger_memory_held_bytes 1024\n".to_owned(),
            "\noutrigger_memory_held_peak_bytes 4096\n".to_owned(),
            "\noutrigger_memory_limit_bytes 536870912\n".to_owned(),
            "# TYPE outrigger_memory_refusals_total counter\noutrigger_memory_refusals_total 5\n".to_owned(),
            "\noutrigger_runs_counted_total 3\n".to_owned(),
            "\noutrigger_refusals_counted_total 2\n".to_owned(),
            "\noutrigger_records_kept{kind=\"runs\",owner=\"plugin pricing\"} 12\n".to_owned(),
            "\noutrigger_records_dropped_total{kind=\"runs\",owner=\"plugin pricing\"} 5\n".to_owned(),
            "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes 12345678848\n".to_owned(),
            "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 0.25\n".to_owned(),
            "\nprocess_start_time_seconds 1753000000.5\n".to_owned(),
            "# TYPE outrigger_hook_firings_dropped_total counter\noutrigger_hook_firings_dropped_total 7\n".to_owned(),
        ] {
            assert!(text.contains(&expected), "{expected} is not in {text}");
        }
        assert!(!text.contains("\nprocess_open_fds "), "what is not known is left out: {text}");
    }
}
