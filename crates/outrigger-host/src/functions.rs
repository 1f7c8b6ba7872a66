//! Functions, as they are listed, described and called.

mod catalogue;

use std::time::Duration;

use outrigger_api::{ApiResult, CallRequest, CallResponse, CallWarning, FunctionDescription, FunctionSummary};
use outrigger_contract::types::{Function, TypeGraph, schema};
use outrigger_contract::{Code, FunctionRef, Manifest, TraceContext};
use outrigger_engine::store::RevisionRecord;
use outrigger_engine::{Answer, Arguments, Call, CallOptions, Caller, CorrelationId, Engine, Failure};

pub(crate) use catalogue::Catalogue;

use crate::{convert, profiles, records};

/// A request, as a call of the engine's.
pub(crate) fn prepare(
    caller: Caller,
    correlation: CorrelationId,
    trace: Option<TraceContext>,
    request: CallRequest,
) -> ApiResult<Call> {
    let CallRequest { function, arguments, timeout_ms, no_cache, correlation: given, profile } = request;
    let options = CallOptions {
        timeout: timeout_ms.map(Duration::from_millis),
        no_cache,
        correlation: Some(given.as_deref().map(records::correlation).transpose()?.unwrap_or(correlation)),
        profile,
        trace: trace.map(Box::new),
        ..CallOptions::default()
    };
    Ok(Call { caller, function, arguments: Arguments::Text(arguments.into_string()), options })
}

/// An answer of the engine's, as it is sent.
pub(crate) async fn response(answer: &Answer) -> ApiResult<CallResponse> {
    let result = answer.raw_json().await.map_err(convert::error)?;
    Ok(CallResponse {
        result: result.into(),
        cache: convert::cache_outcome(answer.cache).to_owned(),
        duration_us: u64::try_from(answer.duration.as_micros()).unwrap_or(u64::MAX),
        attempts: answer.attempts,
        correlation: answer.correlation.to_string(),
        version: answer.revision().manifest.version.to_string(),
        revision: answer.revision().digest.to_string(),
        warnings: answer
            .warnings
            .iter()
            .map(|warning| CallWarning { code: warning.code, message: warning.message.clone() })
            .collect(),
        profile: answer.profile.as_deref().map(|profile| Box::new(profiles::of_call(profile))),
    })
}

/// The functions of a revision.
pub(crate) fn offered(revision: &RevisionRecord) -> Vec<FunctionSummary> {
    let graph = &revision.inspection.graph;
    graph.functions.iter().map(|function| convert::function(&revision.manifest, graph, function)).collect()
}

/// Exports of a revision that cannot be called, with the reason.
pub(crate) fn refused(graph: &TypeGraph) -> Vec<String> {
    graph.refused.iter().map(|refused| format!("{}: {}", refused.name, refused.reason)).collect()
}

pub(crate) async fn describe(engine: &Engine, name: &FunctionRef) -> ApiResult<FunctionDescription> {
    let (record, _) = engine.plugin(&name.plugin).map_err(convert::error)?;
    let revision = engine.revision(&record.active).await.map_err(convert::error)?;
    let graph = &revision.inspection.graph;
    let Some((_, function)) = graph.function(name.function.as_str()) else {
        return Err(convert::error(Failure::function_not_found(name, graph)));
    };
    Ok(description(&revision.manifest, graph, function))
}

/// Whether a function is there and is for administrators.
pub(crate) async fn is_for_administrators(engine: &Engine, name: &FunctionRef) -> ApiResult<bool> {
    let Ok((record, _)) = engine.plugin(&name.plugin) else { return Ok(false) };
    let revision = match engine.revision(&record.active).await {
        Err(failure) if failure.code == Code::PluginNotFound => return Ok(false),
        revision => revision.map_err(convert::error)?,
    };
    let is_there = revision.inspection.graph.function(name.function.as_str()).is_some();
    Ok(is_there && revision.manifest.function(&name.function).requires_admin)
}

fn description(manifest: &Manifest, graph: &TypeGraph, function: &Function) -> FunctionDescription {
    let options = convert::options(manifest, function);
    let millis =
        |span: outrigger_contract::units::Span| u64::try_from(span.as_duration().as_millis()).unwrap_or(u64::MAX);
    FunctionDescription {
        summary: convert::function(manifest, graph, function),
        description: convert::documentation(&options, function),
        parameters: convert::parameters(graph, function),
        arguments_schema: schema::arguments(graph, function),
        result_schema: schema::result(graph, function),
        error_schema: schema::error(graph, function),
        timeout_ms: millis(options.timeout.unwrap_or(manifest.limits.timeout)),
        cache_ms: options.cache.map(millis),
        rate_limit: options.rate_limit.map(|rate| rate.to_string()),
        estimated_ms: options.estimated_time.map(millis),
        requires_auth: options.requires_auth,
        requires_admin: options.requires_admin,
        types: graph.of_function(function),
    }
}
