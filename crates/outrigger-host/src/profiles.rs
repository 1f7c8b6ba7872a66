//! Where the time of calls goes, from the engine's types to those of the wire.

use std::time::Duration;

use outrigger_api::{
    ApiResult, CallProfile, FunctionProfile, HostCallProfile, HostCallTime, PluginProfile, StageProfile, StageTime,
};
use outrigger_contract::{FunctionRef, PluginName};
use outrigger_engine::profile::{self, HostCalls, HostSummary, Stage, StageSummary};
use outrigger_engine::{Engine, statistics};

use crate::convert;

/// Where the time of a plugin's calls goes.
pub(crate) fn of_plugin(engine: &Engine, name: &PluginName) -> ApiResult<PluginProfile> {
    let found = engine.profile(name).map_err(convert::error)?;
    let (since, functions) = match found {
        Some(profile::PluginProfile { since, functions }) => (Some(since), functions),
        None => (None, Vec::new()),
    };
    let functions = functions.into_iter().map(|found| function(name, found)).collect();
    Ok(PluginProfile { plugin: name.clone(), since, one_in: statistics::ONE_IN, functions })
}

fn function(plugin: &PluginName, found: profile::FunctionProfile) -> FunctionProfile {
    let profile::FunctionProfile { function, samples, total, stages, host } = found;
    FunctionProfile {
        function: FunctionRef::new(plugin.clone(), function),
        samples,
        total: stage("total", total),
        stages: stages.into_iter().map(|(name, summary)| stage(name.as_str(), summary)).collect(),
        host_calls: host.into_iter().map(host_calls).collect(),
    }
}

fn stage(name: &str, summary: StageSummary) -> StageProfile {
    let StageSummary { mean, p50, p95, share } = summary;
    StageProfile {
        stage: name.to_owned(),
        mean_us: microseconds(mean),
        p50_us: microseconds(p50),
        p95_us: microseconds(p95),
        share,
    }
}

fn host_calls(summary: HostSummary) -> HostCallProfile {
    let HostSummary { import, calls, mean, share } = summary;
    HostCallProfile { import: import.to_owned(), calls, mean_us: microseconds(mean), share }
}

/// Where the time of one call went.
pub(crate) fn of_call(found: &profile::CallProfile) -> CallProfile {
    let profile::CallProfile { function, code, total, stages, host, calls, calls_left_out } = found;
    let stage =
        |(stage, time): (Stage, &Duration)| StageTime { stage: stage.as_str().to_owned(), ns: nanoseconds(*time) };
    let host_call = |calls: &HostCalls| {
        let HostCalls { import, calls, time } = calls;
        HostCallTime { import: (*import).to_owned(), calls: *calls, ns: nanoseconds(*time) }
    };
    CallProfile {
        function: function.clone(),
        code: *code,
        total_ns: nanoseconds(*total),
        stages: Stage::ALL.into_iter().zip(stages).filter(|(_, time)| !time.is_zero()).map(stage).collect(),
        host_calls: host.iter().map(host_call).collect(),
        calls: calls.iter().map(of_call).collect(),
        calls_left_out: *calls_left_out,
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
