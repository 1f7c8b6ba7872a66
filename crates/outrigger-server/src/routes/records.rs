//! Runs, log lines, statistics and the audit log.

use outrigger_api::{
    ApiError, ApiResult, AuditInfo, AuditQuery, AuditVerification, Code, DoctorReport, LogEntry, PluginProfile,
    RecordQuery, RunEntry, StatisticsReport, UsageQuery, UsageReport,
};

use super::PluginPath;
use crate::endpoint::answer::{Large, Reply};
use crate::endpoint::api::Api;
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::page::List;

const TAG: &str = "Records";
/// The maximum number of records in one response.
const MOST: u32 = 1000;
const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

pub fn routes(api: &mut Api) {
    api.get("/api/v1/runs", "run_list", runs)
        .tag(TAG)
        .summary("List runs of functions, oldest first")
        .right("run_view");
    api.get("/api/v1/usage", "run_usage", usage)
        .tag(TAG)
        .summary("Usage statistics for a time span")
        .describe(
            "Sums of the retained runs of the plugins whose runs you are allowed to see. Runs before `recorded_since` \
             were pruned and are not included.",
        )
        .right("run_view")
        .fails(&[Code::InvalidInput]);
    api.get("/api/v1/logs", "log_list", logs)
        .tag(TAG)
        .summary("List log lines of plugins, oldest first")
        .right("log_view");
    api.get("/api/v1/plugins/logs", "plugin_logs", logs)
        .tag(TAG)
        .summary("List log lines of plugins, oldest first")
        .right("log_view");
    api.get("/api/v1/stats", "statistics", statistics)
        .tag(TAG)
        .summary("Statistics of all plugins")
        .right("statistics_view");
    api.get("/api/v1/plugins/stats", "plugins_statistics", statistics)
        .tag(TAG)
        .summary("Statistics of all plugins")
        .right("statistics_view");
    api.get("/api/v1/plugins/{plugin_id}/stats", "plugin_statistics", plugin_statistics)
        .tag(TAG)
        .summary("Statistics of one plugin")
        .right("statistics_view")
        .fails(&[Code::PluginNotFound]);
    api.get("/api/v1/plugins/{plugin_id}/profile", "plugin_profile", plugin_profile)
        .tag(TAG)
        .summary("Show a profile of a plugin's calls")
        .describe(
            "A few calls of each function are profiled, and the result is kept while the plugin is loaded. To profile \
             a single call, request its profile with the call.",
        )
        .right("statistics_view")
        .fails(&[Code::PluginNotFound]);
    api.get("/api/v1/audit", "audit_list", audit)
        .tag(TAG)
        .summary("List audit records, newest first")
        .right("audit_view");
    api.get("/api/v1/audit/verify", "audit_verify", audit_verify)
        .tag(TAG)
        .summary("Verify that the audit log was not changed")
        .right("audit_view");
    api.get("/api/v1/doctor", "doctor", doctor).tag(TAG).summary("Check the installation").right("system_view");
}

/// Checks of queries that their schemas describe but their types do not enforce.
pub(super) fn checked(limit: u32, correlation: Option<&str>, level: Option<&str>) -> ApiResult<()> {
    let wrong = |message: String, hint: &str| Err(ApiError::new(Code::InvalidUsage, message).with_hint(hint));
    if limit > MOST {
        return wrong(
            format!("`limit` is {limit}, and the maximum is {MOST}"),
            "request the next page with `before`, or narrow the list down with the other parameters",
        );
    }
    if correlation.is_some_and(|text| !is_ulid(text)) {
        return wrong(
            "`correlation` is not a correlation id".to_owned(),
            "a correlation id is a ULID: 26 letters and digits",
        );
    }
    if level.is_some_and(|level| !LEVELS.contains(&level)) {
        return wrong("`level` is not a log level".to_owned(), "levels are trace, debug, info, warn and error");
    }
    Ok(())
}

/// 26 digits and letters other than I, L, O and U, of which the first can be no more than 7.
fn is_ulid(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() && !b"ILOU".contains(&byte.to_ascii_uppercase());
    text.len() == 26 && text.starts_with(|first: char| ('0'..='7').contains(&first)) && text.bytes().all(letter)
}

pub fn record_query(query: &RecordQuery) -> ApiResult<()> {
    checked(query.limit, query.correlation.as_deref(), query.level.as_deref())
}

async fn runs(caller: Caller, input: Input<NoPath, RecordQuery, NoBody>) -> ApiResult<Reply<List<RunEntry>>> {
    record_query(&input.query)?;
    let items = caller.platform.run_list(&input.query).await?;
    Ok(Reply(List { items }))
}

async fn usage(caller: Caller, input: Input<NoPath, UsageQuery, NoBody>) -> ApiResult<Reply<UsageReport>> {
    let (limit, most) = (input.query.limit, UsageQuery::MOST);
    if limit > most {
        let message = format!("`limit` is {limit}; the maximum is {most} groups");
        let hint = "ask for a shorter time span, or group by fewer fields";
        return Err(ApiError::new(Code::InvalidUsage, message).with_hint(hint));
    }
    caller.platform.run_usage(&input.query).await.map(Reply)
}

async fn logs(caller: Caller, input: Input<NoPath, RecordQuery, NoBody>) -> ApiResult<Large<List<LogEntry>>> {
    record_query(&input.query)?;
    let items = caller.platform.log_list(&input.query).await?;
    Ok(Large(List { items }))
}

async fn statistics(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<StatisticsReport>> {
    caller.platform.plugin_statistics(None).await.map(Reply)
}

async fn plugin_statistics(
    caller: Caller,
    input: Input<PluginPath, NoQuery, NoBody>,
) -> ApiResult<Reply<StatisticsReport>> {
    caller.platform.plugin_statistics(Some(&input.path.plugin_id)).await.map(Reply)
}

async fn plugin_profile(caller: Caller, input: Input<PluginPath, NoQuery, NoBody>) -> ApiResult<Reply<PluginProfile>> {
    caller.platform.plugin_profile(&input.path.plugin_id).await.map(Reply)
}

async fn audit(caller: Caller, input: Input<NoPath, AuditQuery, NoBody>) -> ApiResult<Reply<List<AuditInfo>>> {
    checked(input.query.limit, input.query.correlation.as_deref(), None)?;
    let items = caller.platform.audit_list(&input.query).await?;
    Ok(Reply(List { items }))
}

async fn audit_verify(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<AuditVerification>> {
    caller.platform.audit_verify().await.map(Reply)
}

async fn doctor(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<DoctorReport>> {
    caller.platform.doctor().await.map(Reply)
}
