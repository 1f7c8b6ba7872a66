//! What happened: runs, log lines, statistics. A caller sees those of the plugins it may see.

use async_trait::async_trait;
use outrigger_api::{ApiResult, LogEntry, PluginProfile, RecordQuery, Records, RunEntry, StatisticsReport};
use outrigger_contract::PluginName;
use outrigger_engine::access::Right;

use super::Session;
use crate::{profiles, records};

#[async_trait]
impl Records for Session {
    async fn plugin_statistics(&self, name: Option<&PluginName>) -> ApiResult<StatisticsReport> {
        self.require_over(Right::STATISTICS_VIEW, name)?;
        let seen = |plugin: &PluginName| self.may(Right::STATISTICS_VIEW, plugin.as_str());
        records::statistics(&self.host.engine, name, seen).await
    }

    async fn log_list(&self, query: &RecordQuery) -> ApiResult<Vec<LogEntry>> {
        self.require_over(Right::LOG_VIEW, query.plugin.as_ref())?;
        let mut found = records::logs(&self.host.engine, query).await?;
        found.retain(|line| self.may(Right::LOG_VIEW, line.plugin.as_str()));
        Ok(found)
    }

    async fn run_list(&self, query: &RecordQuery) -> ApiResult<Vec<RunEntry>> {
        self.require_over(Right::RUN_VIEW, query.plugin.as_ref())?;
        let mut found = records::runs(&self.host.engine, query).await?;
        found.retain(|run| self.may(Right::RUN_VIEW, run.function.plugin.as_str()));
        Ok(found)
    }

    async fn plugin_profile(&self, name: &PluginName) -> ApiResult<PluginProfile> {
        self.require(Right::STATISTICS_VIEW, name.as_str())?;
        profiles::of_plugin(&self.host.engine, name)
    }
}

impl Session {
    /// The right over one plugin, or over any where none is named.
    fn require_over(&self, right: Right, name: Option<&PluginName>) -> ApiResult<()> {
        match name {
            Some(name) => self.require(right, name.as_str()),
            None => self.require_some(right),
        }
    }
}
