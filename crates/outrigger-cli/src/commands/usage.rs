//! `outrigger usage`: what was run, summed up.

use comfy_table::{Cell, Color};
use outrigger_api::{UsageGroup, UsageKey, UsageKeys, UsageQuery, UsageReport};

use super::filters;
use crate::cli::{UsageArguments, UsageBy};
use crate::context::Context;
use crate::error::CliResult;
use crate::output::table::{cell, status, table_or};
use crate::output::{duration, moment};

/// Sums up the runs of a span of time.
///
/// # Errors
/// The platform's.
pub async fn run(context: &Context, arguments: UsageArguments) -> CliResult {
    let UsageArguments { filter, by, since, until, caller, limit } = arguments;
    let (plugin, function) = filter.map_or((None, None), |filter| (Some(filter.plugin), filter.function));
    let by: UsageKeys = by.into_iter().map(UsageBy::key).collect();
    let (since, until) = (since.map(|since| since.0), until.map(|until| until.0));
    let query = UsageQuery { plugin, function, caller, by: Some(by), since, until, limit };
    let report = context.platform().await?.run_usage(&query).await?;
    context.output.print(&report, || {
        let shown = Shown::of(&report.by);
        let filters = [query.plugin.is_some(), query.caller.is_some(), query.since.is_some(), query.until.is_some()];
        let empty = filters::empty("runs", &filters);
        table_or(&empty, &shown.head(), report.groups.iter().map(|group| shown.row(group)).collect())
    })?;
    if report.groups.is_empty() {
        filters::check_plugin(context, query.plugin.as_ref(), query.function.as_ref()).await;
    }
    if report.truncated {
        context.output.remark(&cut_off(&report.by, limit));
    }
    remark_on_age(context, &report);
    Ok(())
}

/// Which groups are not shown, and what would show them.
fn cut_off(by: &[UsageKey], limit: u32) -> String {
    let is_timed = by.iter().any(|key| matches!(key, UsageKey::Hour | UsageKey::Day));
    // The earliest come first.
    let which = if is_timed { ": the latest are cut off" } else { "" };
    let advice = match limit < UsageQuery::MOST {
        true => "--limit shows more",
        false => "ask for a shorter time span, or group by fewer fields with --by",
    };
    format!("There are more groups than the {limit} shown{which}; {advice}.")
}

/// Notes the oldest retained run, so that a pruned time is not mistaken for a quiet one.
fn remark_on_age(context: &Context, report: &UsageReport) {
    if let Some(oldest) = report.recorded_since.filter(|oldest| *oldest > report.since) {
        context.output.remark(&format!("The oldest retained run is from {}.", moment(oldest)));
    }
}

/// Which columns there are beside the sums.
struct Shown {
    time: Option<&'static str>,
    plugin: bool,
    function: bool,
    caller: bool,
    outcome: bool,
}

impl Shown {
    fn of(by: &[UsageKey]) -> Self {
        let hour = by.contains(&UsageKey::Hour).then_some("HOUR");
        let function = by.contains(&UsageKey::Function);
        Self {
            time: hour.or(by.contains(&UsageKey::Day).then_some("DAY")),
            // The name of the function says it.
            plugin: by.contains(&UsageKey::Plugin) && !function,
            function,
            caller: by.contains(&UsageKey::Caller),
            outcome: by.contains(&UsageKey::Outcome),
        }
    }

    fn head(&self) -> Vec<&'static str> {
        let Self { time, plugin, function, caller, outcome } = self;
        let named = [
            *time,
            plugin.then_some("PLUGIN"),
            function.then_some("FUNCTION"),
            caller.then_some("CALLER"),
            outcome.then_some("OUTCOME"),
        ];
        let sums = ["CALLS>", "FAILED>", "CACHED>", "RETRIES>", "MEAN>", "MAX>", "TOTAL>"];
        named.into_iter().flatten().chain(sums).collect()
    }

    fn row(&self, group: &UsageGroup) -> Vec<Cell> {
        let Self { time, plugin: by_plugin, function: by_function, caller: by_caller, outcome: by_outcome } = self;
        let UsageGroup {
            from,
            plugin,
            function,
            caller,
            outcome,
            calls,
            failures,
            cache_hits,
            retries,
            total_us,
            mean_us,
            max_us,
        } = group;
        let text = |text: Option<String>| cell(text.unwrap_or_default());
        let outcome = match outcome.as_deref() {
            Some("ok") | None => status("ok"),
            Some(code) => cell(code).fg(Color::Red),
        };
        let named = [
            time.map(|_| text(from.map(moment))),
            by_plugin.then(|| text(plugin.as_ref().map(ToString::to_string))),
            by_function.then(|| text(function.as_ref().map(ToString::to_string))),
            by_caller.then(|| text(caller.clone())),
            by_outcome.then_some(outcome),
        ];
        let counts = [calls, failures, cache_hits, retries].map(|count| cell(count.to_string()));
        let times = [mean_us, max_us, total_us].map(|time| cell(duration(*time)));
        named.into_iter().flatten().chain(counts).chain(times).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_said_with_what_helps() {
        let check = |by: &[UsageKey], limit: u32, expected: &str| assert_eq!(cut_off(by, limit), expected);
        check(&[UsageKey::Function], 5, "There are more groups than the 5 shown; --limit shows more.");
        check(
            &[UsageKey::Day, UsageKey::Caller],
            9_999,
            "There are more groups than the 9999 shown: the latest are cut off; --limit shows more.",
        );
        check(
            &[UsageKey::Hour],
            10_000,
            "There are more groups than the 10000 shown: the latest are cut off; ask for a shorter time span, or \
             group by fewer fields with --by.",
        );
    }
}
