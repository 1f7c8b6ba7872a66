//! Statistics and records of the plugins.

use async_trait::async_trait;
use outrigger_api::*;
use time::OffsetDateTime;

use super::Seen;

#[async_trait]
impl Records for Seen {
    async fn plugin_statistics(&self, name: Option<&PluginName>) -> ApiResult<StatisticsReport> {
        self.allowed()?;
        name.map(|name| self.plugin(name)).transpose()?;
        let line =
            |function: &str, calls| FunctionStatistics { function: function.to_owned(), calls, ..Default::default() };
        Ok(StatisticsReport {
            plugins: Default::default(),
            total: line("total", 7),
            functions: vec![line("pricing.echo", 3), line("pricing.slow", 4)],
        })
    }

    async fn log_list(&self, _: &RecordQuery) -> ApiResult<Vec<LogEntry>> {
        self.allowed()?;
        Ok(Vec::new())
    }

    async fn run_list(&self, _: &RecordQuery) -> ApiResult<Vec<RunEntry>> {
        self.allowed()?;
        Ok(Vec::new())
    }

    async fn run_usage(&self, query: &UsageQuery) -> ApiResult<UsageReport> {
        self.allowed()?;
        let (since, until) = query.span(OffsetDateTime::now_utc())?;
        let group = UsageGroup {
            from: None,
            plugin: Some("pricing".parse().expect("a name")),
            function: Some("pricing.echo".parse().expect("a name")),
            caller: query.caller.clone(),
            outcome: Some("ok".to_owned()),
            calls: 3,
            failures: 0,
            cache_hits: 1,
            retries: 0,
            total_us: 10,
            mean_us: 3,
            max_us: 7,
        };
        let by = query.keys().iter().collect();
        Ok(UsageReport { since, until, by, groups: vec![group], truncated: false, recorded_since: Some(since) })
    }

    async fn plugin_profile(&self, name: &PluginName) -> ApiResult<PluginProfile> {
        self.plugin(name)?;
        let stage =
            |stage: &str| StageProfile { stage: stage.to_owned(), mean_us: 1.5, p50_us: 1.5, p95_us: 1.5, share: 1.0 };
        let host = HostCallProfile { import: "wasi:io/poll".to_owned(), calls: 0.5, mean_us: 1.0, share: 0.5 };
        let function = FunctionProfile {
            function: "pricing.echo".parse().expect("a name"),
            samples: 2,
            total: stage("total"),
            stages: vec![stage("run")],
            host_calls: vec![host],
        };
        let since = Some(OffsetDateTime::UNIX_EPOCH);
        Ok(PluginProfile { plugin: name.clone(), since, one_in: 64, functions: vec![function] })
    }
}
