//! Metrics as OTLP has them: the same, under the same names, as `/metrics` shows.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use outrigger_api::metrics::{
    DURATION, HEALTH, HEALTH_MEASURES, HEALTH_STATES, KEPT_MEASURES, MEMORY_MEASURES, Measure, MeasureKind,
    PLUGIN_MEASURES, PLUGINS, PROCESS_MEASURES, STORE_MEASURES, TOTAL_MEASURES,
};
use outrigger_api::{
    COUNTERS, Counter, FunctionMetrics, FunctionStatistics, KeptRecords, LatencyBucket, MetricsReport,
    PluginHealthMetrics, PluginMetrics,
};
use time::OffsetDateTime;

use super::exporter::scope;
use super::spans::{nanoseconds, text};

/// Counters start when a plugin is installed, or when the server starts.
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// The data to send.
pub(super) fn request(resource: &Resource, report: &MetricsReport, now: OffsetDateTime) -> ExportMetricsServiceRequest {
    let now = nanoseconds(now);
    let (memory, process) = (std::slice::from_ref(&report.memory), std::slice::from_ref(&report.process));
    let store = std::slice::from_ref(&report.store);
    let total = std::slice::from_ref(report);
    let metrics = [plugins(report, now), health(&report.health, now)]
        .into_iter()
        .chain(HEALTH_MEASURES.iter().map(|measure| measured(measure, &report.health, health_label, now)))
        .chain(PLUGIN_MEASURES.iter().map(|measure| measured(measure, &report.each_plugin, plugin_label, now)))
        .chain(MEMORY_MEASURES.iter().map(|measure| measured(measure, memory, |_| Vec::new(), now)))
        .chain(PROCESS_MEASURES.iter().map(|measure| measured(measure, process, |_| Vec::new(), now)))
        .chain(STORE_MEASURES.iter().map(|measure| measured(measure, store, |_| Vec::new(), now)))
        .chain(TOTAL_MEASURES.iter().map(|measure| measured(measure, total, |_| Vec::new(), now)))
        .chain(KEPT_MEASURES.iter().map(|measure| measured(measure, &report.kept, kept_labels, now)))
        .chain(COUNTERS.iter().map(|counter| counted(counter, &report.functions, now)))
        .chain(std::iter::once(duration(&report.functions, now)))
        .collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
    let metrics = ResourceMetrics { resource: Some(resource.clone()), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![metrics] }
}

fn metric(name: &str, about: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: about.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn plugins(report: &MetricsReport, now: u64) -> Metric {
    let point = |(state, count): (&String, &u32)| point(vec![text("state", state)], u64::from(*count), now);
    let (name, about) = PLUGINS;
    metric(name, about, "{plugin}", Data::Gauge(Gauge { data_points: report.plugins.iter().map(point).collect() }))
}

fn health(health: &[PluginHealthMetrics], now: u64) -> Metric {
    let points = |one: &PluginHealthMetrics| {
        HEALTH_STATES.map(|state| {
            let labels = vec![text("plugin", one.plugin.as_str()), text("state", state)];
            point(labels, u64::from(one.status == state), now)
        })
    };
    let (name, about) = HEALTH;
    metric(name, about, "1", Data::Gauge(Gauge { data_points: health.iter().flat_map(points).collect() }))
}

/// A metric with one data point for each object.
fn measured<T>(measure: &Measure<T>, told_of: &[T], labels: fn(&T) -> Vec<KeyValue>, now: u64) -> Metric {
    let Measure { name, about, kind, unit, value } = measure;
    let point = |one: &T| {
        let value = Some(Value::AsDouble(value(one)?));
        Some(NumberDataPoint { attributes: labels(one), time_unix_nano: now, value, ..NumberDataPoint::default() })
    };
    let data_points = told_of.iter().filter_map(point).collect();
    let data = match kind {
        MeasureKind::Counter => Data::Sum(Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: true }),
        MeasureKind::Gauge => Data::Gauge(Gauge { data_points }),
    };
    metric(name, about, unit, data)
}

fn health_label(one: &PluginHealthMetrics) -> Vec<KeyValue> {
    vec![text("plugin", one.plugin.as_str())]
}

fn kept_labels(one: &KeptRecords) -> Vec<KeyValue> {
    vec![text("kind", &one.kind), text("owner", &one.owner)]
}

fn plugin_label(one: &PluginMetrics) -> Vec<KeyValue> {
    vec![text("plugin", one.plugin.as_str())]
}

fn counted(counter: &Counter, functions: &[FunctionMetrics], now: u64) -> Metric {
    let point = |function: &FunctionMetrics| {
        let statistics = &function.statistics;
        point(labels(statistics), (counter.value)(statistics), now)
    };
    let data_points = functions.iter().map(point).collect();
    let sum = Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: true };
    metric(&counter.metric(), counter.about, "1", Data::Sum(sum))
}

fn point(attributes: Vec<KeyValue>, value: u64, now: u64) -> NumberDataPoint {
    let value = Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX));
    NumberDataPoint { attributes, time_unix_nano: now, value: Some(value), ..NumberDataPoint::default() }
}

fn duration(functions: &[FunctionMetrics], now: u64) -> Metric {
    let point = |function: &FunctionMetrics| {
        let FunctionMetrics { statistics, latency, sum_us } = function;
        let bucket_counts = buckets(latency, statistics.calls);
        HistogramDataPoint {
            attributes: labels(statistics),
            time_unix_nano: now,
            count: bucket_counts.iter().sum(),
            sum: Some(seconds(*sum_us)),
            bucket_counts,
            explicit_bounds: latency.iter().map(|bucket| seconds(bucket.at_most_us)).collect(),
            ..HistogramDataPoint::default()
        }
    };
    let data_points = functions.iter().map(point).collect();
    let (name, about) = DURATION;
    metric(name, about, "s", Data::Histogram(Histogram { data_points, aggregation_temporality: CUMULATIVE }))
}

/// How many fell between one bound and the next, and how many above the last. Ours count those below, too.
fn buckets(latency: &[LatencyBucket], calls: u64) -> Vec<u64> {
    let mut below = 0;
    let mut counts = Vec::with_capacity(latency.len() + 1);
    for up_to in latency.iter().map(|bucket| bucket.calls).chain([calls]) {
        counts.push(up_to.saturating_sub(below));
        below = up_to;
    }
    counts
}

fn labels(statistics: &FunctionStatistics) -> Vec<KeyValue> {
    let (plugin, function) = statistics.function.split_once('.').unwrap_or((&statistics.function, ""));
    vec![text("plugin", plugin), text("function", function)]
}

#[expect(clippy::cast_precision_loss, reason = "nobody looks at microseconds of centuries")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use outrigger_api::ProcessMetrics;

    use super::*;

    #[test]
    fn what_is_measured_of_plugins_and_the_process_is_sent() {
        let plugin = "pricing".parse().expect("a name");
        let one = PluginMetrics {
            plugin,
            loads: 4,
            load_failures: 1,
            unloads: 3,
            memory_peak_bytes: None,
            memory_held_bytes: 512,
            memory_held_peak_bytes: 1_024,
            memory_refusals: 0,
            refused_events: 0,
            dropped_log_lines: 0,
            refused_state_writes: 0,
        };
        let process = ProcessMetrics { cpu_seconds: Some(0.25), ..ProcessMetrics::default() };
        let report = MetricsReport { each_plugin: vec![one], process, ..MetricsReport::default() };
        let sent = request(&Resource::default(), &report, OffsetDateTime::UNIX_EPOCH);
        let metrics = &sent.resource_metrics[0].scope_metrics[0].metrics;
        let of = |name: &str| {
            let found = metrics.iter().find(|metric| metric.name == name).expect("it is sent");
            match found.data.as_ref().expect("it has data") {
                Data::Sum(Sum { data_points, .. }) | Data::Gauge(Gauge { data_points }) => {
                    data_points.iter().map(|point| (point.attributes.clone(), point.value)).collect::<Vec<_>>()
                }
                other => panic!("{other:?}"),
            }
        };
        let labels = vec![text("plugin", "pricing")];
        let held = of("outrigger_plugin_memory_held_bytes");
        assert_eq!(held, [(labels.clone(), Some(Value::AsDouble(512.0)))]);
        assert_eq!(of("outrigger_plugin_loads_total"), [(labels, Some(Value::AsDouble(4.0)))]);
        assert_eq!(of("process_cpu_seconds_total"), [(Vec::<KeyValue>::new(), Some(Value::AsDouble(0.25)))]);
        assert_eq!((of("outrigger_plugin_memory_peak_bytes"), of("process_open_fds")), (Vec::new(), Vec::new()));
    }

    #[test]
    fn buckets_do_not_overlap() {
        let latency = [(100, 3), (250, 3), (500, 7)].map(|(at_most_us, calls)| LatencyBucket { at_most_us, calls });
        assert_eq!(buckets(&latency, 8), [3, 0, 4, 1]);
    }
}
