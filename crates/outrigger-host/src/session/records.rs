//! Runs, log lines and statistics. A caller sees those of the plugins that it is allowed to see.

use async_trait::async_trait;
use outrigger_api::{
    ApiResult, LogEntry, PluginProfile, RecordQuery, Records, RunEntry, StatisticsReport, UsageQuery, UsageReport,
};
use outrigger_contract::PluginName;
use outrigger_engine::access::{Right, Rule};

use super::{LONGEST_LIST, Session, Who, page_size, shorten};
use crate::{profiles, records, usage};

#[async_trait]
impl Records for Session {
    async fn plugin_statistics(&self, name: Option<&PluginName>) -> ApiResult<StatisticsReport> {
        self.require_over(Right::STATISTICS_VIEW, name)?;
        let seen = |plugin: &PluginName| self.may(Right::STATISTICS_VIEW, plugin.as_str());
        records::statistics(&self.host.engine, name, seen).await
    }

    async fn log_list(&self, query: &RecordQuery) -> ApiResult<Vec<LogEntry>> {
        self.require_over(Right::LOG_VIEW, query.plugin.as_ref())?;
        let (turn, mut reading) = (self.list_turn().await, Reading::of(query, &self.who));
        loop {
            let (engine, asked) = (self.host.engine.clone(), reading.query.clone());
            let mut lines = turn.read(async move { records::logs(&engine, &asked).await }).await?;
            let found = lines.len();
            lines.retain(|line| self.may(Right::LOG_VIEW, line.plugin.as_str()));
            if reading.is_over(found, lines.len()) {
                let lines = reading.newest(lines);
                return Ok(match self.who {
                    Who::Local => lines,
                    Who::Key(_) => within(lines, LONGEST_LIST),
                });
            }
        }
    }

    async fn run_list(&self, query: &RecordQuery) -> ApiResult<Vec<RunEntry>> {
        self.require_over(Right::RUN_VIEW, query.plugin.as_ref())?;
        let (turn, mut reading) = (self.list_turn().await, Reading::of(query, &self.who));
        loop {
            let (engine, asked) = (self.host.engine.clone(), reading.query.clone());
            let mut runs = turn.read(async move { records::runs(&engine, &asked).await }).await?;
            let found = runs.len();
            runs.retain(|run| self.may(Right::RUN_VIEW, run.function.plugin.as_str()));
            if reading.is_over(found, runs.len()) {
                return Ok(reading.newest(runs));
            }
        }
    }

    async fn run_usage(&self, query: &UsageQuery) -> ApiResult<UsageReport> {
        self.require_over(Right::RUN_VIEW, query.plugin.as_ref())?;
        let seen = |plugin: &PluginName| self.may(Right::RUN_VIEW, plugin.as_str());
        let seen = (!self.may_all(Right::RUN_VIEW)).then_some(seen);
        usage::usage(&self.host.engine, query, seen).await
    }

    async fn plugin_profile(&self, name: &PluginName) -> ApiResult<PluginProfile> {
        self.require(Right::STATISTICS_VIEW, name.as_str())?;
        profiles::of_plugin(&self.host.engine, name)
    }
}

/// A list of the newest records. Where too few of those that were found may be seen, more are read: from the newest on again,
/// because records have no order but their time, which several may share.
struct Reading {
    wanted: usize,
    query: RecordQuery,
}

impl Reading {
    /// No more is read than so many.
    const MOST: u32 = 20_000;

    fn of(query: &RecordQuery, who: &Who) -> Self {
        let limit = limit_for(who, query.limit);
        Self { wanted: limit as usize, query: RecordQuery { limit, ..query.clone() } }
    }

    /// Whether that is all; otherwise more is asked for the next time.
    fn is_over(&mut self, found: usize, seen: usize) -> bool {
        let limit = self.query.limit;
        if seen >= self.wanted || found < limit as usize || limit >= Self::MOST {
            return true;
        }
        self.query.limit = limit.saturating_mul(8).min(Self::MOST);
        false
    }

    /// The newest stand last.
    fn newest<T>(&self, mut seen: Vec<T>) -> Vec<T> {
        seen.drain(..seen.len().saturating_sub(self.wanted));
        seen
    }
}

/// The newest lines, which stand last, in at most this many bytes.
fn within(mut lines: Vec<LogEntry>, mut most: usize) -> Vec<LogEntry> {
    let size = |line: &LogEntry| {
        let fields = line.fields.iter().map(|(name, value)| name.len() + value.len());
        line.message.len() + fields.sum::<usize>()
    };
    lines.reverse();
    shorten(&mut lines, &mut most, size);
    lines.reverse();
    lines
}

/// The number of records to list. A key gets one page, as of any list; the local user gets as many as requested.
fn limit_for(who: &Who, limit: u32) -> u32 {
    match who {
        Who::Local if limit > 0 => limit,
        Who::Local | Who::Key(_) => page_size(limit),
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

    /// Whether the caller has the right over whatever there is or may come. May say no where it is so, never yes where it is
    /// not.
    fn may_all(&self, right: Right) -> bool {
        match &self.who {
            Who::Local => true,
            Who::Key(principal) => right.as_str().parse::<Rule>().is_ok_and(|over_all| principal.has_all_of(&over_all)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outrigger_engine::access::Principal;
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn s12_of_log_lines_that_are_too_long_the_newest_are_listed() {
        let line = |number: usize| LogEntry {
            at: OffsetDateTime::UNIX_EPOCH,
            level: "info".to_owned(),
            plugin: "demo".parse().expect("a name"),
            function: None,
            correlation: number.to_string(),
            message: "x".repeat(60),
            fields: vec![("y".repeat(20), "z".repeat(20))],
        };
        let lines: Vec<_> = (0..5).map(line).collect();
        for (most, listed) in [(99, 0), (250, 2), (500, 5)] {
            assert_eq!(within(lines.clone(), most), lines[5 - listed..], "{most}");
        }
    }

    #[test]
    fn a_key_gets_no_more_records_than_a_page() {
        let (id, name) = ("id".to_owned(), "key".to_owned());
        let key = Who::Key(Arc::new(Principal { id, name, roles: Vec::new(), scope: None, expires_at: None }));
        for (limit, of_key, of_local) in [(0, 100, 100), (5, 5, 5), (1_000, 1_000, 1_000), (5_000, 1_000, 5_000)] {
            let limits = (limit_for(&key, limit), limit_for(&Who::Local, limit));
            assert_eq!(limits, (of_key, of_local), "{limit}");
        }
    }
}
