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
use outrigger_api::metrics::{DROPPED_FIRINGS, DURATION, PLUGINS};
use outrigger_api::{COUNTERS, Counter, FunctionMetrics, FunctionStatistics, LatencyBucket, MetricsReport};
use time::OffsetDateTime;

use super::exporter::scope;
use super::spans::{nanoseconds, text};

/// What is counted is counted since a plugin was installed.
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// What is sent.
pub(super) fn request(resource: &Resource, report: &MetricsReport, now: OffsetDateTime) -> ExportMetricsServiceRequest {
    let now = nanoseconds(now);
    let metrics = [plugins(report, now), dropped_firings(report, now)]
        .into_iter()
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

fn dropped_firings(report: &MetricsReport, now: u64) -> Metric {
    let data_points = vec![point(Vec::new(), report.dropped_firings, now)];
    let (name, about) = DROPPED_FIRINGS;
    let sum = Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: true };
    metric(name, about, "1", Data::Sum(sum))
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
    use super::*;

    #[test]
    fn buckets_do_not_overlap() {
        let latency = [(100, 3), (250, 3), (500, 7)].map(|(at_most_us, calls)| LatencyBucket { at_most_us, calls });
        assert_eq!(buckets(&latency, 8), [3, 0, 4, 1]);
    }
}
